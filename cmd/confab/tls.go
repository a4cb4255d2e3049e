package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"confab/signaling/wire"
)

// redirectTimeout is for a request of --http-listen, all of it.
const redirectTimeout = 10 * time.Second

// A transport is TLS of the server's own: a certificate from files or by ACME, and the plain listener that sends
// browsers on. The zero value is none.
type transport struct {
	files    *certificate // nil = not from files
	acme     *acmeKeeper  // nil = not by ACME
	redirect net.Listener // nil = none
	port     string       // with its colon, where the redirect leads; empty = that of https
	log      *slog.Logger

	// Set by begin.
	plain   *http.Server
	end     context.CancelFunc
	running *sync.WaitGroup
}

// openTransport opens what the settings ask for beside the listener of the server.
//
// Errors: one line with what is wrong and what to do.
func openTransport(s *Settings, listen net.Addr, log *slog.Logger) (_ transport, err error) {
	t := transport{log: log}
	// A domain that a certificate was got for is reached at the port of https, whatever it is forwarded to.
	if port := portOf(listen); port != 443 && len(s.TLSDomain) == 0 {
		t.port = ":" + strconv.Itoa(port)
	}
	if s.HTTPListen != "" {
		if t.redirect, err = net.Listen("tcp", s.HTTPListen); err != nil {
			return transport{}, fmt.Errorf("cannot listen at %s (--http-listen): %s", s.HTTPListen, listenProblem(err))
		}
	}
	switch {
	case s.TLSCert != "":
		if t.files, err = loadCertificate(s.TLSCert, s.TLSKey, log); err != nil {
			err = fmt.Errorf("the certificate of --tls-cert and --tls-key cannot be used: %w", err)
		}
	case len(s.TLSDomain) > 0:
		t.acme, err = newACMEKeeper(s, listen, t.redirect, log)
	}
	if err != nil {
		return transport{}, errors.Join(err, t.close(context.Background()))
	}
	return t, nil
}

// get is for tls.Config.GetCertificate, nil when there is no TLS.
func (t *transport) get() func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	switch {
	case t.files != nil:
		return t.files.get
	case t.acme != nil:
		return t.acme.magic.GetCertificate
	}
	return nil
}

// wrap has connections of inner speak TLS, if the server does. HTTP/2 is for all but the socket, which browsers ask for
// by HTTP/1.1.
func (t *transport) wrap(inner net.Listener) net.Listener {
	get := t.get()
	if get == nil {
		return inner
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: get, NextProtos: []string{"h2", "http/1.1"}}
	if t.acme != nil {
		config.NextProtos = append(config.NextProtos, acmeProtocol)
	}
	return tls.NewListener(inner, config)
}

// begin serves the plain listener, has certificates of ACME made and renewed, and reads those of files again on SIGHUP.
// The listener of the server must be open by now: what proves a domain comes to it.
func (t *transport) begin(ctx context.Context, more ...*certificate) error {
	ctx, t.end = context.WithCancel(context.WithoutCancel(ctx))
	t.running = new(sync.WaitGroup)
	if files := slices.DeleteFunc(append(more, t.files), func(c *certificate) bool { return c == nil }); len(files) > 0 {
		asked := make(chan os.Signal, 1)
		signal.Notify(asked, syscall.SIGHUP)
		t.running.Go(func() {
			defer signal.Stop(asked)
			reload(ctx, asked, files)
		})
	}
	if t.redirect != nil {
		t.plain = &http.Server{
			Handler: t.plainHandler(), ReadTimeout: redirectTimeout, WriteTimeout: redirectTimeout, MaxHeaderBytes: maxHeaderBytes,
			ErrorLog: slog.NewLogLogger(t.log.Handler(), slog.LevelDebug),
		}
		t.running.Go(func() {
			if err := t.plain.Serve(t.redirect); !errors.Is(err, http.ErrServerClosed) {
				t.log.Error("the listener of --http-listen has failed", "error", err)
			}
		})
	}
	if t.acme != nil {
		return t.acme.begin(ctx)
	}
	return nil
}

func reload(ctx context.Context, asked <-chan os.Signal, files []*certificate) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
			for _, c := range files {
				c.reload()
			}
		}
	}
}

func (t *transport) close(ctx context.Context) error {
	var err error
	if t.end != nil {
		t.end()
	}
	if t.plain != nil {
		if down := t.plain.Shutdown(ctx); down != nil {
			err = t.plain.Close()
		}
	} else if t.redirect != nil {
		err = t.redirect.Close()
	}
	if t.running != nil {
		t.running.Wait()
	}
	if t.acme != nil {
		t.acme.close()
	}
	return wrap("closing the listener of --http-listen", err)
}

func (t *transport) plainHandler() http.Handler {
	if t.acme == nil {
		return http.HandlerFunc(t.toTLS)
	}
	return t.acme.issuer.HTTPChallengeHandler(http.HandlerFunc(t.toTLS))
}

// toTLS sends a browser on to the same page by TLS. What else comes has said by now what nobody should have heard, and
// is told so instead of being made to say it again.
func (t *transport) toTLS(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Connection", "close")
	if r.Method != http.MethodGet && r.Method != http.MethodHead || r.Header.Get("Upgrade") != "" || r.Header.Get("Authorization") != "" || r.URL.RawQuery != "" {
		wire.WriteProblem(w, http.StatusForbidden, wire.Errorf(wire.CodeForbidden, "this server speaks TLS only: use https and wss"))
		return
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	if host = strings.Trim(host, "[]"); host == "" || !isHost(host) {
		wire.WriteProblem(w, http.StatusBadRequest, wire.Errorf(wire.CodeBadMessage, "the request has no Host that can be gone to"))
		return
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, "https://"+host+t.port+r.URL.EscapedPath(), http.StatusPermanentRedirect)
}

// register has /metrics tell when the certificate expires.
func (t *transport) register(metrics prometheus.Registerer) error {
	switch {
	case t.files != nil:
		return registerCertificate(metrics, "https", t.files.leaf)
	case t.acme != nil:
		return registerCertificate(metrics, "https", t.acme.leaf)
	}
	return nil
}

// leaf returns the certificate in use, nil when there is none.
func (c *certificate) leaf() *x509.Certificate {
	loaded, err := c.get(nil)
	if err != nil {
		return nil
	}
	return loaded.Leaf
}

// tls reports whether the server speaks TLS by itself.
func (s *Settings) tls() bool { return s.TLSCert != "" || len(s.TLSDomain) > 0 }

// address is the URL by which a browser reaches the server: by its domain where it has one, else from this machine.
func (s *Settings) address(addr net.Addr) string {
	if len(s.TLSDomain) > 0 {
		return "https://" + s.TLSDomain[0]
	}
	return s.local(addr)
}

// local is the URL by which this machine reaches the server.
func (s *Settings) local(addr net.Addr) string {
	at := reachableAt(addr)
	if s.tls() {
		return "https" + strings.TrimPrefix(at, "http")
	}
	return at
}

func (s *Settings) checkTLS(bad func(name, format string, args ...any)) {
	switch {
	case s.TLSCert != "" && s.TLSKey == "":
		bad("tls-cert", "its key is missing; name the file with --tls-key")
	case s.TLSKey != "" && s.TLSCert == "":
		bad("tls-key", "its certificate is missing; name the file with --tls-cert")
	case s.TLSCert != "" && len(s.TLSDomain) > 0:
		bad("tls-domain", "--tls-cert is set too; leave one of them out")
	}
	for _, domain := range s.TLSDomain {
		if !isDomain(domain) {
			bad("tls-domain", "%q is no name that a certificate can be had for; write one such as meet.example.org", domain)
		}
	}
	if len(s.TLSDomain) == 0 && s.ACMERoot != "" {
		bad("acme-root", "no certificate is had by ACME; set --tls-domain too, or leave it out")
	}
	if !strings.HasPrefix(s.ACMEDirectory, "https://") {
		bad("acme-directory", "it is no https URL")
	}
	if s.HTTPListen == "" {
		return
	}
	if !s.tls() {
		bad("http-listen", "there is no TLS to send browsers on to; set --tls-domain or --tls-cert too, or leave it out")
	}
	if err := checkListen(s.HTTPListen); err != nil {
		bad("http-listen", "%v", err)
	}
}

// isDomain reports whether a text is a fully qualified name of a host, in lower case.
func isDomain(text string) bool {
	if len(text) > 253 || !strings.Contains(text, ".") || net.ParseIP(text) != nil {
		return false
	}
	for label := range strings.SplitSeq(text, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "-") != label ||
			strings.ContainsFunc(label, func(r rune) bool { return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') }) {
			return false
		}
	}
	return true
}
