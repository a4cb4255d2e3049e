package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"confab/cmd/internal/driver"
)

const (
	maxPeople  = 50_000
	maxFor     = 10 * time.Minute
	maxTokens  = 40 // of guests, of whom a server lets 60 in at once: several people come with one of them
	askTimeout = 10 * time.Second
	maxAnswer  = 4 << 20 // bytes of metrics that are read
)

// A load is one run against one server.
type load struct {
	// Set by open, then constant.
	server  driver.Server
	base    *url.URL
	client  *http.Client
	metrics string // URL; empty = none
	secret  []byte
	tokens  []string // of those who have no secret; person i has the one at i modulo their number
	name    string   // of this run: rooms, users and messages begin with it
	report  *progress

	found result // owned by the scenario, but for what says otherwise

	mu    sync.Mutex
	conns []*driver.Conn // all that were opened; guarded by mu
}

// connect connects a person. The connection ends with the run at the latest.
func (l *load) connect(ctx context.Context, p *driver.Person) error {
	if err := p.Connect(ctx, l.server); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns = append(l.conns, p.Conn)
	return nil
}

// abort ends all connections, so that nothing waits for one any more.
func (l *load) abort() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		c.Drop()
	}
}

// open finds the server and makes sure that it may be loaded.
func (line *commandLine) open(ctx context.Context, out io.Writer) (*load, error) {
	base, err := url.Parse(line.Target)
	if err != nil || base.Host == "" || base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("--target %q is no URL of a server; write http://host:port", line.Target)
	}
	addr, err := resolve(ctx, base, line.Anywhere)
	if err != nil {
		return nil, err
	}
	l := &load{
		base: base, server: driver.Server{Addr: addr, Host: base.Host}, name: "load" + strings.ToLower(rand.Text()[:8]),
		found: result{Target: base.String(), Began: time.Now().UTC().Format(time.RFC3339)},
	}
	if base.Scheme == "https" {
		l.server.TLS = &tls.Config{ServerName: base.Hostname()}
	}
	l.client = &http.Client{Timeout: askTimeout, Transport: &http.Transport{DisableKeepAlives: true}}
	if line.Metrics != "off" {
		l.metrics = cmp.Or(line.Metrics, base.JoinPath("/metrics").String())
	}
	if err := l.identify(ctx, line); err != nil {
		return nil, err
	}
	l.report = newProgress(out)
	return l, nil
}

// resolve returns the address of a server. It refuses one that is out in the world, unless that is wanted.
func resolve(ctx context.Context, base *url.URL, anywhere bool) (string, error) {
	ips, err := net.DefaultResolver.LookupNetIP(ctx, "ip", base.Hostname())
	if err != nil {
		return "", fmt.Errorf("finding %s: %w", base.Hostname(), err)
	}
	for i, ip := range ips {
		ips[i] = ip.Unmap()
		if ip = ips[i]; !anywhere && !ip.IsLoopback() && !ip.IsPrivate() && !ip.IsLinkLocalUnicast() {
			return "", fmt.Errorf("%s (%s) is neither this machine nor in a private network; with --anywhere it is loaded all the same: make sure that it is yours", base.Hostname(), ip)
		}
	}
	slices.SortStableFunc(ips, netip.Addr.Compare) // IPv4 first, where a server for this machine alone listens
	port := base.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[base.Scheme]
	}
	return net.JoinHostPort(ips[0].String(), port), nil
}

// identify finds out as whom people come.
func (l *load) identify(ctx context.Context, line *commandLine) error {
	switch {
	case line.Secret != "":
		l.secret = []byte(line.Secret)
		return nil
	case line.File != "":
		text, err := os.ReadFile(line.File)
		l.secret = bytes.TrimSuffix(text, []byte("\n"))
		return err
	case line.Token != "":
		l.tokens = []string{line.Token}
		return nil
	}
	for i := range maxTokens {
		token, err := l.guest(ctx, "Load "+strconv.Itoa(i+1))
		if err != nil && i == 0 {
			return fmt.Errorf("%w; give --secret-file, --secret or --token", err)
		}
		if err != nil {
			return nil // those are enough
		}
		l.tokens = append(l.tokens, token)
	}
	return nil
}

// guest asks for a guest's token.
func (l *load) guest(ctx context.Context, name string) (string, error) {
	body, err := json.Marshal(map[string]string{"name": name})
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, l.base.JoinPath("/api/v1/guest").String(), bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := l.client.Do(request)
	if err != nil {
		return "", fmt.Errorf("asking for a guest's token: %w", err)
	}
	defer response.Body.Close()
	var answer struct{ Token string }
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the server lets no guests in (%s)", response.Status)
	}
	if err := json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&answer); err != nil {
		return "", fmt.Errorf("asking for a guest's token: %w", err)
	}
	return answer.Token, nil
}

// newPerson makes the nth person of a kind, who has not connected.
func (l *load) newPerson(kind string, n int) (*driver.Person, error) {
	p := &driver.Person{User: l.name + "-" + kind + strconv.Itoa(n)}
	if l.secret == nil {
		p.Token = l.tokens[n%len(l.tokens)]
		return p, nil
	}
	var err error
	p.Token, err = driver.Mint(l.secret, p.User)
	return p, err
}

// room names the nth room of this run.
func (l *load) room(n int) string { return l.name + "-" + strconv.Itoa(n) }

// messageID names the nth message of a room.
func (l *load) messageID(n int) string { return l.name + "." + strconv.Itoa(n) }

// number reads n off a message's id; false for one that is not of this run.
func (l *load) number(id []byte) (int, bool) {
	if len(id) <= len(l.name) || string(id[:len(l.name)]) != l.name || id[len(l.name)] != '.' {
		return 0, false
	}
	n, err := strconv.Atoi(string(id[len(l.name)+1:]))
	return n, err == nil && n >= 0
}

// explain adds to an error what can be done.
func explain(err error) error {
	var refused *driver.RefusedError
	switch {
	case errors.As(err, &refused) && refused.Status == http.StatusTooManyRequests:
		return fmt.Errorf("%w: the server takes so many connections from one address; start it with --connection-limit 0 for this", err)
	case strings.Contains(err.Error(), `"rate-limited"`):
		return fmt.Errorf("%w: start the server with --rate-limit 0 for this", err)
	case errors.Is(err, syscall.EMFILE):
		return fmt.Errorf("%w: raise the limit of open files (ulimit -n)", err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("%w: this machine has no more ports for connections to one address; load the server from several", err)
	default:
		return err
	}
}
