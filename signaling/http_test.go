package signaling

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/gin-gonic/gin"

	"confab/signaling/wire"
)

func testApp() fstest.MapFS {
	return fstest.MapFS{
		"index.html":      {Data: []byte("<!doctype html><title>app</title>")},
		"assets/app-1.js": {Data: []byte(strings.Repeat("let x = 1;\n", 500))},
		"icon.svg":        {Data: []byte("<svg/>")},
	}
}

func TestWebApp(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Web = testApp() })
	page := http.Header{"Accept": {"text/html,*/*"}}
	tests := []struct {
		name, path string
		header     http.Header
		status     int
		kind       string
		cache      string
		policies   bool
	}{
		{"the start page", "/", nil, 200, "text/html; charset=utf-8", "no-cache", true},
		{"a page of the app", "/room/team-a", page, 200, "text/html; charset=utf-8", "no-cache", true},
		{"a page asked for by a program", "/room/team-a", nil, 404, "application/json; charset=utf-8", "no-store", false},
		{"an asset", "/assets/app-1.js", nil, 200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", false},
		{"a file", "/icon.svg", nil, 200, "image/svg+xml", "no-cache", false},
		{"an asset that is gone", "/assets/app-0.js", page, 404, "application/json; charset=utf-8", "no-store", false},
		{"an unknown part of the API", "/api/v1/nothing", page, 404, "application/json; charset=utf-8", "no-store", false},
		{"a way out", "/../../etc/passwd", nil, 404, "application/json; charset=utf-8", "no-store", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, _ := w.get(tt.path, tt.header)
			h := resp.Header
			if resp.StatusCode != tt.status || h.Get("Content-Type") != tt.kind || h.Get("Cache-Control") != tt.cache {
				t.Errorf("%d %v", resp.StatusCode, h)
			}
			if got := strings.HasPrefix(h.Get("Content-Security-Policy"), contentPolicy) && h.Get("Permissions-Policy") == permissionsPolicy; got != tt.policies {
				t.Errorf("policies: %v", h)
			}
			if resp.StatusCode == 200 && (h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" || h.Get("Etag") == "") {
				t.Errorf("headers: %v", h)
			}
		})
	}
	if strings.Contains(contentPolicy, "unsafe-inline") || strings.Contains(contentPolicy, "'unsafe-eval'") {
		t.Error("the policy allows what it is there to forbid")
	}
}

func TestWebAppIsCachedAndCompressed(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Web = testApp() })
	plain, text := w.get("/assets/app-1.js", nil)
	zipped, raw := w.get("/assets/app-1.js", http.Header{"Accept-Encoding": {"br, gzip"}})
	r, err := gzip.NewReader(strings.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	unzipped, err := io.ReadAll(r)
	if err != nil || string(unzipped) != text || len(raw) >= len(text) {
		t.Errorf("compressed: %d of %d bytes, %v", len(raw), len(text), err)
	}
	if plain.Header.Get("Etag") == zipped.Header.Get("Etag") || zipped.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("headers: %v", zipped.Header)
	}
	for _, resp := range []*http.Response{plain, zipped} {
		again, body := w.get("/assets/app-1.js", http.Header{
			"If-None-Match": {resp.Header.Get("Etag")}, "Accept-Encoding": {resp.Header.Get("Content-Encoding")},
		})
		if again.StatusCode != http.StatusNotModified || body != "" {
			t.Errorf("asked again: %d", again.StatusCode)
		}
	}
}

// lockedBuffer is a log that may be written and read at once.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// TestRoutes also reads the log: nothing of a query string, a token or a message may stand in it.
func TestRoutes(t *testing.T) {
	var log lockedBuffer
	var down error
	w := newWorld(t, func(o *Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		o.Ready = func() error { return down }
		o.Routes = func(r gin.IRouter) {
			r.GET("/api/v1/test", func(c *gin.Context) { c.String(http.StatusOK, "mounted") })
			r.GET("/api/v1/panic", func(*gin.Context) { panic("a handler that panics") })
		}
	})
	if resp, body := w.get("/api/v1/test", nil); resp.StatusCode != 200 || body != "mounted" {
		t.Errorf("a mounted route: %d %s", resp.StatusCode, body)
	}
	if resp, body := w.get("/api/v1/panic?token=hidden", nil); resp.StatusCode != 500 || !strings.Contains(body, `"code":"internal"`) {
		t.Errorf("a panic: %d %s", resp.StatusCode, body)
	}
	if resp, _ := w.get("/readyz", nil); resp.StatusCode != 200 {
		t.Errorf("ready: %d", resp.StatusCode)
	}
	down = errors.New("the disk is full")
	if resp, _ := w.get("/readyz", nil); resp.StatusCode != 503 {
		t.Errorf("not ready: %d", resp.StatusCode)
	}
	room := roomName(t)
	c := w.dial("/ws?token=hidden-user")
	c.want(wire.KindConnected, "")
	c.join(room)
	c.send("chat", "c", room, wire.Chat{Text: "hidden text"})
	c.want(wire.KindAck, "c")
	bad := w.dial("/ws?token=bad-hidden")
	bad.wantClose(wire.ClosePolicy)
	_, metrics := w.get("/metrics", nil)
	for _, want := range []string{
		`confab_connections_total{outcome="accepted",transport="websocket"} 2`, `confab_authentications_total{method="url",outcome="ok"} 1`,
		`confab_authentications_total{method="url",outcome="unauthorized"} 1`, `confab_sessions{transport="websocket"} 1`,
		`confab_messages_received_total{type="chat"} 1`, `confab_errors_total{code="unauthorized"} 1`,
		`confab_slow_consumers_total 0`, `confab_answer_seconds_count`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("metrics lack %s", want)
		}
	}
	text := strings.ReplaceAll(log.String(), "user=hidden-user", "") // who it is may be logged
	if strings.Contains(text, "hidden") || !strings.Contains(text, "panic") {
		t.Errorf("the log holds what it must not, or lacks the panic:\n%s", text)
	}
}

// FuzzReceive feeds frames to an authenticated session over a socket. Whatever comes, the server answers a ping
// afterwards or has closed the connection with a code of its own.
func FuzzReceive(f *testing.F) {
	for _, e := range wire.Catalog {
		if e.Client != nil {
			f.Add([]byte(line(f, e.Kind, "f", "fuzz", e.Client)))
		}
	}
	f.Add([]byte("{}\n{}\n\n[]"))
	f.Add([]byte("{\"type\":\"\xff\"}"))
	f.Add([]byte(`{"type":"join","room":"fuzz","data":{"since":{"seq":18446744073709551615,"epoch":"x"}}}`))
	w := newWorld(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		s := &world{Server: w.Server, t: t, http: w.http, registry: w.registry}
		c, _ := s.login("ann?rooms=fuzz")
		c.raw(string(frame))
		c.raw(`{"type":"ping","id":"end-of-fuzz"}`)
		for {
			env, err := c.next()
			if err != nil {
				if !isOwnClose(err) {
					t.Fatalf("%q: %v", frame, err)
				}
				return
			}
			if env.ID == "end-of-fuzz" {
				return
			}
		}
	})
}
