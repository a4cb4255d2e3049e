package signaling

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"confab/signaling/wire"
)

// An eventClient speaks over Server-Sent Events and POST.
type eventClient struct {
	t      testing.TB
	url    string
	http   *http.Client
	ticket string
	number uint64 // of the last frame sent

	body     io.ReadCloser // of the stream
	lines    *bufio.Reader
	comments int
	cut      context.CancelFunc
}

// transports are the ways to begin a session.
var transports = map[string]func(*world, wire.Auth) (*client, wire.Connected){
	"websocket": (*world).loginWith,
	"events":    (*world).loginByEvents,
}

// overEach runs a test over each transport.
func overEach(t *testing.T, test func(t *testing.T, w *world, login func(wire.Auth) (*client, wire.Connected)), change ...func(*Options)) {
	for name, login := range transports {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, change...)
			test(t, w, func(auth wire.Auth) (*client, wire.Connected) { return login(w, auth) })
		})
	}
}

// eventClient makes a client with connections of its own and no session.
func (w *world) eventClient() *eventClient {
	transport := &http.Transport{DisableCompression: true}
	if base, ok := w.http.Client().Transport.(*http.Transport); ok && w.http.TLS != nil {
		transport = base.Clone()
	}
	w.t.Cleanup(transport.CloseIdleConnections)
	return &eventClient{t: w.t, url: w.http.URL, http: &http.Client{Transport: transport}}
}

// loginByEvents begins a session and reads its events.
func (w *world) loginByEvents(auth wire.Auth) (*client, wire.Connected) {
	w.t.Helper()
	e := w.eventClient()
	connected := e.begin(auth)
	e.open()
	return &client{t: w.t, events: e}, connected
}

// do makes a request and returns its answer.
func (e *eventClient) do(method, path, body string, header ...string) (int, http.Header, string) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, e.url+path, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	if e.ticket != "" {
		req.Header.Set("Authorization", "Bearer "+e.ticket)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := e.http.Do(req)
	if err != nil {
		return 0, nil, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil, err.Error()
	}
	return resp.StatusCode, resp.Header, string(text)
}

// begin begins a session without reading its events.
func (e *eventClient) begin(auth wire.Auth) wire.Connected {
	e.t.Helper()
	status, _, text := e.do("POST", "/session", line(e.t, "auth", "", "", auth))
	var env wire.Envelope
	if err := json.Unmarshal([]byte(text), &env); err != nil || status != http.StatusOK || env.Type != wire.KindConnected {
		e.t.Fatalf("POST /session: %d %s", status, text)
	}
	connected := body[wire.Connected](env)
	e.ticket = connected.Ticket
	return connected
}

// open begins to read the events.
func (e *eventClient) open() http.Header {
	e.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	e.cut = cancel
	e.t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url+"/events", nil)
	if err != nil {
		e.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+e.ticket)
	resp, err := e.http.Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		e.t.Fatalf("GET /events: %d %s", resp.StatusCode, text)
	}
	e.body, e.lines = resp.Body, bufio.NewReader(resp.Body)
	e.t.Cleanup(func() { _ = resp.Body.Close() })
	if name, data, err := e.event(); name != "open" || data != "{}" || err != nil {
		e.t.Fatalf("the stream begins with %q %q, %v", name, data, err)
	}
	return resp.Header
}

// event reads the next event.
func (e *eventClient) event() (name, data string, err error) {
	watch := time.AfterFunc(patience, e.cut)
	defer watch.Stop()
	for {
		text, err := e.lines.ReadString('\n')
		if err != nil {
			return "", "", err
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(text, "\n"), ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case text == "\n" && data != "":
			return name, data, nil
		case strings.HasPrefix(text, ":"):
			e.comments++
		case field == "event":
			name = value
		case field == "data":
			data += value
		case text != "\n":
			return "", "", fmt.Errorf("a line that is no field: %q", text)
		}
	}
}

// read reads the next message as a frame; the event that closes is the error that a WebSocket would give.
func (e *eventClient) read() ([]byte, error) {
	name, data, err := e.event()
	switch {
	case err != nil:
		return nil, err
	case name == "":
		return []byte(data), nil
	}
	var end streamEnd
	if err := json.Unmarshal([]byte(data), &end); err != nil || name != "close" {
		return nil, fmt.Errorf("event %q %q", name, data)
	}
	if rest, err := io.ReadAll(e.lines); len(rest) > 0 || err != nil {
		return nil, fmt.Errorf("after the event that closes: %q, %w", rest, err)
	}
	return nil, &websocket.CloseError{Code: int(end.Code), Text: end.Reason}
}

// send sends a frame with the next number.
func (e *eventClient) send(frame string) (int, string) {
	e.t.Helper()
	e.number++
	status, _, text := e.do("POST", "/send", frame, frameHeader, strconv.FormatUint(e.number, 10))
	return status, text
}

// drop loses the connection without a word.
func (c *client) drop() {
	c.t.Helper()
	if c.events != nil {
		c.events.cut()
		return
	}
	_ = c.ws.NetConn().Close()
}

// leave says goodbye.
func (c *client) leave() {
	c.t.Helper()
	if c.events == nil {
		c.closeWith(websocket.CloseNormalClosure)
		return
	}
	if status, _, text := c.events.do("DELETE", "/session", ""); status != http.StatusNoContent {
		c.t.Errorf("DELETE /session: %d %s", status, text)
	}
}

// flood writes until the server ends the session, and reads nothing.
func (c *client) flood(frame string) {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		if c.events != nil {
			if status, _ := c.events.send(frame); status != http.StatusNoContent {
				return
			}
		} else if c.ws.WriteMessage(websocket.TextMessage, []byte(frame)) != nil {
			return
		}
	}
	c.t.Fatal("the server bears everything")
}

// pings is a frame of n pings with the numbers as ids.
func pings(t testing.TB, n int) string {
	var frame bytes.Buffer
	for i := range n {
		frame.WriteString(line(t, "ping", wire.RequestID(strconv.Itoa(i)), "", wire.Ping{}) + "\n")
	}
	return frame.String()
}

// together runs fn n times at once and waits.
func together(n int, fn func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { fn(i) })
	}
	all.Wait()
}
