package signaling

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"

	"confab/rooms"
	"confab/rooms/bus"
	"confab/signaling/wire"
)

// patience bounds every wait of a test; nothing waits that long when all is well.
const patience = 10 * time.Second

// testLog is the log of all tests: a real one, in a folder of its own. Tests use rooms of their own.
var testLog *bus.Bus

func TestMain(m *testing.M) {
	if what := os.Getenv(loadEnv); what != "" {
		if err := runLoad(what, os.Args[len(os.Args)-2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "confab-signaling-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	testLog, err = bus.Open(context.Background(), bus.Options{DataDir: dir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := testLog.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// testVerifier takes tokens of the form "user", "user?role=moderator&rooms=a,b-*&exp=<Unix seconds>". A token that
// begins with "bad" is refused, one that begins with "down" cannot be decided, "panic" panics.
type testVerifier struct{ calls atomic.Int64 }

func (v *testVerifier) Verify(_ context.Context, token string) (*Claims, error) {
	v.calls.Add(1)
	switch {
	case strings.HasPrefix(token, "bad"):
		return nil, wire.Errorf(wire.CodeUnauthorized, "the token is not good")
	case strings.HasPrefix(token, "down"):
		return nil, wire.Errorf(wire.CodeUnavailable, "the keys cannot be had")
	case token == "panic":
		panic("a verifier that panics")
	}
	user, params, _ := strings.Cut(token, "?")
	c := &Claims{User: wire.UserID(user), Name: user, Role: wire.RoleMember, Rooms: []string{"*"}}
	for param := range strings.SplitSeq(params, "&") {
		key, value, _ := strings.Cut(param, "=")
		switch key {
		case "role":
			c.Role = wire.Role(value)
		case "name":
			c.Name = value
		case "guest":
			c.Guest = true
		case "rooms":
			c.Rooms = strings.Split(value, ",")
		case "exp":
			var sec int64
			if _, err := fmt.Sscan(value, &sec); err != nil {
				return nil, err
			}
			c.ExpiresAt = time.Unix(sec, 0)
		}
	}
	c.Grants = RoleGrants(c.Role)
	return c, nil
}

// A world is one server with real sockets, rooms and log.
type world struct {
	*Server
	t        testing.TB
	http     *httptest.Server
	registry *rooms.Registry
}

var testKey = []byte("0123456789abcdef0123456789abcdef")

func newWorld(t testing.TB, change ...func(*Options)) *world {
	t.Helper()
	opts := Options{
		Registry: rooms.NewRegistry(testLog, rooms.Options{Logger: slog.New(slog.DiscardHandler)}),
		Verifier: &testVerifier{}, TicketKey: testKey, Logger: slog.New(slog.DiscardHandler),
	}
	for _, fn := range change {
		fn(&opts)
	}
	server, err := New(opts)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{Server: server, t: t, http: httptest.NewUnstartedServer(server.Handler()), registry: opts.Registry}
	w.http.Listener = Listener(w.http.Listener, nil)
	w.http.Start()
	t.Cleanup(func() {
		_ = server.Close()
		w.http.Close()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := opts.Registry.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) url(path string) string { return "ws" + strings.TrimPrefix(w.http.URL, "http") + path }

// roomName makes a room that no other test uses.
func roomName(t testing.TB) wire.RoomID {
	return wire.RoomID(fmt.Sprintf("t%d", roomCounter.Add(1)))
}

var roomCounter atomic.Int64

// A client is a WebSocket client as simple as can be. Its methods fail the test.
type client struct {
	t       testing.TB
	ws      *websocket.Conn
	events  *eventClient // over which it speaks instead, when not nil
	pending [][]byte     // lines of a frame not looked at yet
	frames  int
}

// dial connects without authentication.
func (w *world) dial(path string) *client {
	w.t.Helper()
	return w.dialWith(websocket.DefaultDialer, path)
}

func (w *world) dialWith(dialer *websocket.Dialer, path string) *client {
	w.t.Helper()
	ws, resp, err := dialer.Dial(w.url(path), nil)
	if err != nil {
		body := ""
		if resp != nil {
			raw, _ := io.ReadAll(resp.Body)
			body = resp.Status + " " + string(raw)
		}
		w.t.Fatalf("dial %s: %v %s", path, err, body)
	}
	_ = resp.Body.Close()
	w.t.Cleanup(func() { _ = ws.Close() })
	return &client{t: w.t, ws: ws}
}

// login connects and authenticates.
func (w *world) login(token string) (*client, wire.Connected) {
	w.t.Helper()
	return w.loginWith(wire.Auth{Token: token})
}

func (w *world) loginWith(auth wire.Auth) (*client, wire.Connected) {
	w.t.Helper()
	c := w.dial("/ws")
	c.send("auth", "", "", auth)
	return c, body[wire.Connected](c.want(wire.KindConnected, ""))
}

// enter logs in and joins room.
func (w *world) enter(token string, room wire.RoomID) (*client, wire.Connected, wire.Joined) {
	w.t.Helper()
	c, connected := w.login(token)
	return c, connected, c.join(room)
}

func (c *client) join(room wire.RoomID) wire.Joined {
	c.t.Helper()
	c.send("join", "j", room, wire.Join{})
	return body[wire.Joined](c.want(wire.KindJoined, "j"))
}

// raw sends a frame as it is.
func (c *client) raw(frame string) {
	c.t.Helper()
	if c.events != nil {
		if status, text := c.events.send(frame); status != http.StatusNoContent {
			c.t.Fatalf("send: %d %s", status, text)
		}
		return
	}
	if err := c.ws.WriteMessage(websocket.TextMessage, []byte(frame)); err != nil {
		c.t.Fatalf("write: %v", err)
	}
}

func (c *client) send(kind wire.Kind, id wire.RequestID, room wire.RoomID, data any) {
	c.t.Helper()
	c.raw(line(c.t, kind, id, room, data))
}

func line(t testing.TB, kind wire.Kind, id wire.RequestID, room wire.RoomID, data any) string {
	t.Helper()
	raw, err := json.Marshal(data)
	if err != nil {
		t.Fatal(err)
	}
	out, err := json.Marshal(wire.Envelope{Type: kind, ID: id, Room: room, Data: raw})
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// next reads the next message.
func (c *client) next() (wire.Envelope, error) {
	for len(c.pending) == 0 {
		frame, err := c.read()
		if err != nil {
			return wire.Envelope{}, err
		}
		c.frames++
		wire.Lines(frame, func(line []byte) bool {
			c.pending = append(c.pending, line)
			return true
		})
	}
	var env wire.Envelope
	err := json.Unmarshal(c.pending[0], &env)
	c.pending = c.pending[1:]
	return env, err
}

// read reads the next frame.
func (c *client) read() ([]byte, error) {
	if c.events != nil {
		return c.events.read()
	}
	_ = c.ws.SetReadDeadline(time.Now().Add(patience))
	_, frame, err := c.ws.ReadMessage()
	return frame, err
}

// want reads on until a message of this type and id comes. Others are skipped, but not an error instead.
func (c *client) want(kind wire.Kind, id wire.RequestID) wire.Envelope {
	c.t.Helper()
	for {
		env, err := c.next()
		switch {
		case err != nil:
			c.t.Fatalf("waiting for %s %q: %v", kind, id, err)
		case env.Type == kind && env.ID == id:
			return env
		case env.ID == id && env.Type == wire.KindError:
			c.t.Fatalf("waiting for %s %q: got %s %.200s", kind, id, env.Type, env.Data)
		}
	}
}

// wantError reads on until the error with this id comes.
func (c *client) wantError(id wire.RequestID, code wire.ErrorCode) wire.ErrorBody {
	c.t.Helper()
	for {
		env, err := c.next()
		if err != nil {
			c.t.Fatalf("waiting for error %s: %v", code, err)
		}
		if env.ID == id && env.Type == wire.KindError {
			got := body[wire.ErrorBody](env)
			if got.Code != code {
				c.t.Fatalf("error %s %q, want %s", got.Code, got.Message, code)
			}
			if got.Retryable != code.Retryable() || got.Message == "" {
				c.t.Fatalf("error %+v", got)
			}
			return got
		}
	}
}

// wantClose reads on until the connection ends with code.
func (c *client) wantClose(code wire.CloseCode) {
	c.t.Helper()
	for {
		_, err := c.next()
		if err == nil {
			continue
		}
		closed, ok := errors.AsType[*websocket.CloseError](err)
		if !ok || closed.Code != int(code) {
			c.t.Fatalf("the connection ended with %v, want %d", err, code)
		}
		return
	}
}

// sync waits until everything sent before has been handled, and returns what came meanwhile.
func (c *client) sync(id wire.RequestID) (meanwhile []wire.Envelope) {
	c.t.Helper()
	c.send("ping", id, "", wire.Ping{})
	for {
		env, err := c.next()
		if err != nil {
			c.t.Fatalf("waiting for pong: %v", err)
		}
		if env.Type == wire.KindPong && env.ID == id {
			return meanwhile
		}
		meanwhile = append(meanwhile, env)
	}
}

// closeWith says goodbye with a code.
func (c *client) closeWith(code int) {
	c.t.Helper()
	err := c.ws.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, ""), time.Now().Add(patience))
	if err != nil {
		c.t.Fatal(err)
	}
}

func body[M any](env wire.Envelope) M {
	var m M
	if err := json.Unmarshal(env.Data, &m); err != nil {
		panic(fmt.Sprintf("%s: %v", env.Type, err))
	}
	return m
}

// eventually waits for a condition.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for tick := time.NewTicker(2 * time.Millisecond); ; <-tick.C {
		if ok() {
			tick.Stop()
			return
		}
		if time.Now().After(deadline) {
			tick.Stop()
			t.Fatalf("never happened: %s", what)
		}
	}
}

// later moves the server's clock and lets the sweeper look.
func (w *world) later(d time.Duration) {
	w.clock.skew.Add(int64(d))
	w.sweepOnce(nil)
}

// session returns the live session of an id.
func (w *world) session(id wire.ParticipantID) *Session { return w.index.find(id) }

// tightDialer makes connections whose client side holds little, so that a client that does not read is noticed.
func tightDialer() *websocket.Dialer { return narrowDialer(4 << 10) }

// narrowDialer makes connections whose client side holds bytes. One that holds very little is slow also when it reads.
func narrowDialer(bytes int) *websocket.Dialer {
	return &websocket.Dialer{
		HandshakeTimeout: patience,
		NetDialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetReadBuffer(bytes)
			}
			return conn, err
		},
	}
}

// get does a plain HTTP request.
func (w *world) get(path string, header http.Header) (*http.Response, string) {
	w.t.Helper()
	req, err := http.NewRequest(http.MethodGet, w.http.URL+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: true}
	defer transport.CloseIdleConnections()
	resp, err := transport.RoundTrip(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp, string(raw)
}

// count reads a counter.
func count(t testing.TB, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

// isOwnClose reports whether the server has closed the connection with a code.
func isOwnClose(err error) bool {
	closed, ok := errors.AsType[*websocket.CloseError](err)
	return ok && closed.Code != websocket.CloseAbnormalClosure
}
