package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"go.uber.org/goleak"

	"confab/cmd/internal/driver"
	"confab/rooms"
	"confab/rooms/bus"
	"confab/signaling"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const testSecret = "a secret of thirty-two bytes or more"

// serve runs a real server in this process, with guests, and returns its URL.
func serve(t *testing.T, connections int) string {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	records, err := bus.Open(t.Context(), bus.Options{DataDir: t.TempDir(), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	registry := rooms.NewRegistry(records, rooms.Options{Logger: log})
	keys, err := signaling.OpenKeyring(t.Context(), signaling.KeyringOptions{Secret: []byte(testSecret), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	guests := signaling.NewGuestHandler(signaling.GuestOptions{Keys: keys, Guests: signaling.GuestsLocal, Logger: log})
	hub, err := signaling.New(signaling.Options{
		Registry: registry, Verifier: keys, TicketKey: []byte(testSecret), ConnectionLimit: connections, Metrics: metrics, Logger: log,
		Routes: func(r gin.IRouter) { guests.Routes(r) },
	})
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server, served := &http.Server{Handler: hub.Handler()}, make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := errors.Join(hub.Drain(ctx), server.Shutdown(ctx), registry.Close(ctx), records.Close()); err != nil {
			t.Error(err)
		}
		<-served
	})
	return "http://" + listener.Addr().String()
}

// ran is what a run has printed.
type ran struct {
	result
	code   int
	stderr string
}

func runJSON(t *testing.T, args ...string) *ran {
	t.Helper()
	var stdout, stderr bytes.Buffer
	r := &ran{code: run(t.Context(), append(args, "--json"), &stdout, &stderr)}
	r.stderr = stderr.String()
	if stdout.Len() > 0 {
		if err := json.Unmarshal(stdout.Bytes(), &r.result); err != nil {
			t.Fatalf("%v: %s", err, &stdout)
		}
	}
	return r
}

func (r *ran) timed(what string) uint64 {
	for _, l := range r.Latencies {
		if l.What == what && l.P50 > 0 && l.P50 <= l.P95 && l.P95 <= l.P99 && l.P99 <= l.Max {
			return l.Count
		}
	}
	return 0
}

// TestScenarios runs each against a real server, small, with every way to be somebody, and counts.
func TestScenarios(t *testing.T) {
	base := serve(t, 0)
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte(testSecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	token, err := driver.Mint([]byte(testSecret), "somebody")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		args  []string
		want  *result // what is counted
		timed map[string]uint64
	}{
		"chat, as guests": {
			[]string{"chat", "--rooms", "3", "--people", "4", "--rate", "20", "--for", "1s"},
			&result{People: 12, Sent: 60, Acknowledged: 60, Delivered: 240},
			map[string]uint64{"to connect and join": 12, "to an acknowledgement": 60, "to a delivery": 240},
		},
		"idle, with one token": {
			[]string{"--token", token, "idle", "--people", "7", "--room-size", "3", "--for", "1s"},
			&result{People: 7}, map[string]uint64{"to connect and join": 7},
		},
		"join, with a secret in a file": {
			[]string{"--secret-file", secret, "join", "--people", "3", "--history", "20", "--joins", "5", "--rate", "100"},
			&result{People: 8, Joins: 5, Delivered: 100}, map[string]uint64{"to connect and join": 3, "to connect": 5, "to join": 5},
		},
		"storm, with a secret": {
			[]string{"--secret", testSecret, "storm", "--people", "10", "--room-size", "4", "--missed", "30", "--over", "100ms"},
			&result{People: 10, Sent: 90, Acknowledged: 90, Delivered: 300}, map[string]uint64{"to be back with all messages": 10},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := runJSON(t, append([]string{"--target", base}, tt.args...)...)
			if got.code != exitOK {
				t.Fatalf("exit code %d: %s %v", got.code, got.stderr, got.Notes)
			}
			counts := func(r *result) string {
				return fmt.Sprintf("%d people, %d refused, %d cut off, %d joins, %d sent, %d acknowledged, %d refused, %d delivered, %d lost, %d doubled",
					r.People, r.Refused, r.CutOff, r.Joins, r.Sent, r.Acknowledged, r.RefusedMessages, r.Delivered, r.Lost, r.Doubled)
			}
			if g, w := counts(&got.result), counts(tt.want); g != w {
				t.Errorf("%s; want %s", g, w)
			}
			for what, want := range tt.timed {
				if n := got.timed(what); n != want {
					t.Errorf("%s: timed %d; want %d: %+v", what, n, want, got.Latencies)
				}
			}
			if got.Server == nil || got.Server.Memory <= 0 || got.Server.Before <= 0 || got.Seconds <= 0 {
				t.Errorf("the server used %+v in %v s", got.Server, got.Seconds)
			}
		})
	}
}

// TestRefusals: a server that takes no more says how many it took and why, and the code tells it.
func TestRefusals(t *testing.T) {
	base := serve(t, 5)
	got := runJSON(t, "--target", base, "--secret", testSecret, "idle", "--people", "8", "--for", "1s")
	if got.code != exitNotWhole || got.People != 5 || got.Refused != 3 || len(got.Notes) != 1 || !strings.Contains(got.Notes[0], "--connection-limit 0") {
		t.Errorf("exit code %d, %d came, %d refused, %q", got.code, got.People, got.Refused, got.Notes)
	}
	if got := runJSON(t, "--target", base, "--secret", testSecret, "chat"); got.code != exitFailed || !strings.Contains(got.stderr, "--connection-limit 0") {
		t.Errorf("exit code %d: %s", got.code, got.stderr)
	}
	if got := runJSON(t, "--target", base, "--secret", testSecret, "--limit", "1s", "idle", "--people", "2"); got.code != exitFailed || !strings.Contains(got.stderr, "--limit 1s") {
		t.Errorf("beyond its limit: exit code %d: %s", got.code, got.stderr)
	}
}

// TestCommandLine: what is out of bounds is refused before anything is connected to.
func TestCommandLine(t *testing.T) {
	for name, tt := range map[string]struct {
		args []string
		code int
		says string
	}{
		"out in the world":    {[]string{"--target", "http://192.0.2.1", "chat"}, exitFailed, "--anywhere"},
		"no URL":              {[]string{"--target", "localhost:8080", "chat"}, exitFailed, "http://host:port"},
		"too many":            {[]string{"chat", "--rooms", "1000", "--people", "1000"}, exitUsage, "50000"},
		"too much to count":   {[]string{"chat", "--rooms", "1", "--people", "50000", "--rate", "10000", "--for", "10m"}, exitUsage, "1 GiB"},
		"too long":            {[]string{"idle", "--for", "1h"}, exitUsage, "--for"},
		"too long a history":  {[]string{"join", "--history", "1000"}, exitUsage, "--history"},
		"too many to miss":    {[]string{"storm", "--missed", "1000"}, exitUsage, "--missed"},
		"no scenario":         {nil, exitUsage, "expected one of"},
		"nobody there":        {[]string{"--target", "http://127.0.0.1:1", "idle"}, exitFailed, "refused"},
		"help is no scenario": {[]string{"--help"}, exitOK, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := run(t.Context(), tt.args, &stdout, &stderr); code != tt.code || !strings.Contains(stderr.String(), tt.says) {
				t.Errorf("exit code %d: %s", code, &stderr)
			}
		})
	}
	for host, private := range map[string]bool{"127.0.0.1": true, "[::1]": true, "10.1.2.3": true, "[::ffff:192.168.1.1]": true, "8.8.8.8": false, "[2001:db8::1]": false} {
		base := &url.URL{Scheme: "http", Host: host + ":8080"}
		if _, err := resolve(t.Context(), base, false); (err == nil) != private {
			t.Errorf("%s: %v", host, err)
		}
		if addr, err := resolve(t.Context(), base, true); err != nil || !strings.HasSuffix(addr, ":8080") {
			t.Errorf("%s anywhere: %s, %v", host, addr, err)
		}
	}
}

// TestCounting: what comes twice or not at all is found by its id, and what is not of this run is none of it.
func TestCounting(t *testing.T) {
	l := &load{name: "loadx"}
	c := &client{load: l, seen: newBitset(100)}
	for _, n := range []int{0, 1, 2, 64, 99} {
		if !c.read([]byte(l.messageID(n))) {
			t.Errorf("%d is not taken for new", n)
		}
	}
	c.readAll([]byte(`{"type":"joined","id":"j","data":{"history":[{"type":"chat","id":"loadx.3","data":{"text":"a"}},{"type":"chat","id":"loadx.2"}]}}`))
	for _, id := range []string{"loadx.1", "other.7", "loadx", "loadx.", "loadx.x", "loadx.-1", "loadx.100000", ""} {
		if c.read([]byte(id)) {
			t.Errorf("%q is taken for a new message", id)
		}
	}
	acked := newBitset(100)
	for _, n := range []int{1, 2, 3, 50, 99} {
		acked.add(n)
	}
	if lost := acked.without(c.seen); lost != 1 || l.found.doubled.Load() != 2 || c.unique.Load() != 6 || l.found.whole() {
		t.Errorf("%d lost, %d doubled, %d seen", lost, l.found.doubled.Load(), c.unique.Load())
	}
}

func TestReadUsage(t *testing.T) {
	var u usage
	u.read(strings.NewReader("# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total 1.5\nprocess_resident_memory_bytes 2.5e+07\nother 1\n"))
	if !u.known || u.cpu != 1.5 || u.memory != 25e6 {
		t.Errorf("%+v", u)
	}
	var half usage
	if half.read(strings.NewReader("process_cpu_seconds_total 1.5\n")); half.known {
		t.Errorf("half of it: %+v", half)
	}
}

// TestTable: people read the same figures.
func TestTable(t *testing.T) {
	r := &result{Scenario: "chat", Target: "http://x", Shape: "two", People: 2, Sent: 3, Acknowledged: 3, Delivered: 5, Lost: 1, Server: &serverUse{Cores: .5, Memory: 64 << 20}}
	h := new(driver.Histogram)
	h.Add(10 * time.Millisecond)
	r.latency("to a delivery", h)
	r.latency("to nothing", new(driver.Histogram))
	r.behind(time.Second)
	r.note(errors.New("because"))
	r.note(errors.New("because"))
	var out bytes.Buffer
	if err := r.print(&out, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"2 came", "3 sent, 3 acknowledged", "5, 1 lost, 0 doubled", "0.50 cores, 64 MiB", "to a delivery", "could not keep up", "because"} {
		if strings.Count(out.String(), want) != 1 {
			t.Errorf("%q is not there once:\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "to nothing") {
		t.Errorf("what never happened is timed:\n%s", &out)
	}
}
