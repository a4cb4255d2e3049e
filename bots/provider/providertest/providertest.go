// Package providertest plays servers of models in tests: what a server sends, when, and how it breaks, byte for byte.
package providertest

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Cut is a step that ends the connection in the middle of the answer.
type Cut struct{}

// Stream answers with an event stream, step by step: a string is sent at once, a time.Duration is waited, Cut ends the
// connection. It panics on another type.
func Stream(steps ...any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) //nolint:errcheck // the answer does not depend on it
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		w.WriteHeader(http.StatusOK)
		play(w, r, steps)
	}
}

// Status answers with a status and a body. Headers are pairs of a name and a value.
func Status(status int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body) //nolint:errcheck // the answer does not depend on it
		w.Header().Set("Content-Type", "application/json")
		for i := 0; i+1 < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		io.WriteString(w, body) //nolint:errcheck // who asked may be gone
	}
}

func play(w http.ResponseWriter, r *http.Request, steps []any) {
	flush := http.NewResponseController(w).Flush
	if flush() != nil {
		return
	}
	for _, step := range steps {
		switch step := step.(type) {
		case string:
			if _, err := io.WriteString(w, step); err != nil || flush() != nil {
				return
			}
		case time.Duration:
			select {
			case <-time.After(step):
			case <-r.Context().Done():
				return
			}
		case Cut:
			panic(http.ErrAbortHandler)
		default:
			panic("providertest: a step is a string, a time.Duration or Cut")
		}
	}
}

// Events returns the events of the data given, as a stream has them.
func Events(data ...string) string {
	var b strings.Builder
	for _, d := range data {
		b.WriteString("data: " + d + "\n\n")
	}
	return b.String()
}

// Bytewise returns steps that send a text one byte at a time.
func Bytewise(text string) []any {
	steps := make([]any, len(text))
	for i := range len(text) {
		steps[i] = text[i : i+1]
	}
	return steps
}

// InOrder answers the first request by the first handler, and so on; the last one answers all that follow.
func InOrder(handlers ...http.HandlerFunc) http.HandlerFunc {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		next := handlers[0]
		if len(handlers) > 1 {
			handlers = handlers[1:]
		}
		mu.Unlock()
		next(w, r)
	}
}

// Transport returns a Transport all of whose connections end at the handler, whatever the address. They are pipes, so
// that it works in a synctest bubble. It ends with the test.
func Transport(t testing.TB, handler http.Handler) *http.Transport {
	t.Helper()
	l := &pipes{incoming: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: handler}
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serving: %v", err)
		}
	})
	transport := &http.Transport{DialContext: l.dial, DisableCompression: true}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		server.Close()
		serving.Wait()
	})
	return transport
}

// pipes is a net.Listener whose connections are made by dial.
type pipes struct {
	incoming chan net.Conn // never closed
	closed   chan struct{} // closed by Close
	once     sync.Once
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.incoming <- far:
		return near, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.incoming:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }
