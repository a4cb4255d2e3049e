package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"confab/media/rtctest"
	"confab/signaling/wire"
)

// A caller is a participant of a call through the SFU: a socket and a pion client with real media.
type caller struct {
	*rtctest.Participant
	t      *testing.T
	id     wire.ParticipantID
	ticket string
	room   string
	conn   *websocket.Conn
	change func(*wire.Signal) // of the server's signals; nil = none
	done   chan struct{}      // closed when the socket is read no more

	mu      sync.Mutex
	counter int                            // guarded by mu: requests sent
	codes   map[wire.ErrorCode]int         // guarded by mu: errors answered
	waiting map[string]chan wire.ErrorCode // guarded by mu; by request
	leaving bool                           // guarded by mu: what fails now is no fault
}

// call has a user join a room and its call. Cleanup has it leave.
func call(t *testing.T, base, user, room string, opts rtctest.ParticipantOptions) *caller {
	t.Helper()
	return callThrough(t, base, user, room, opts, nil)
}

// callThrough is call with something that changes the server's signals.
func callThrough(t *testing.T, base, user, room string, opts rtctest.ParticipantOptions, change func(*wire.Signal)) *caller {
	t.Helper()
	return callBy(newTalker(t, base, user), room, opts, change)
}

// callBy is callThrough for one who is connected already.
func callBy(k *talker, room string, opts rtctest.ParticipantOptions, change func(*wire.Signal)) *caller {
	t := k.t
	t.Helper()
	k.send(`{"type":"join","id":"join","room":"` + room + `"}`)
	var joined wire.Joined
	if err := json.Unmarshal(k.answer("join").Data, &joined); err != nil || joined.Self.ID == "" {
		t.Fatalf("joining: %v", err)
	}
	_ = k.conn.SetReadDeadline(time.Time{})
	c := &caller{
		t: t, id: joined.Self.ID, ticket: k.ticket, room: room, conn: k.conn, change: change, done: make(chan struct{}),
		codes: map[wire.ErrorCode]int{}, waiting: map[string]chan wire.ErrorCode{},
	}
	opts.ID = c.id
	opts.Send = func(signal wire.Signal) error { return c.send(wire.KindSignal, signal) }
	opts.Fail = func(err error) { c.fault("%v", err) }
	participant, err := rtctest.NewParticipant(opts)
	if err != nil {
		t.Fatal(err)
	}
	c.Participant = participant
	go c.listen()
	t.Cleanup(c.leave)
	return c
}

func (c *caller) fault(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.leaving {
		c.t.Errorf("%s: %s", c.id, fmt.Sprintf(format, args...))
	}
}

// send sends something to the SFU, or about it, under the next id.
func (c *caller) send(kind wire.Kind, body any) error {
	_, err := c.write(kind, body)
	return err
}

func (c *caller) write(kind wire.Kind, body any) (answer chan wire.ErrorCode, err error) {
	raw, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counter++
	id := strconv.Itoa(c.counter)
	answer = make(chan wire.ErrorCode, 1)
	c.waiting[id] = answer
	frame := wire.AppendEnvelope(nil, wire.Envelope{ID: wire.RequestID(id), Room: wire.RoomID(c.room), To: wire.TheSFU}, kind, raw)
	return answer, c.conn.WriteMessage(websocket.TextMessage, frame)
}

// ask sends something and returns the code of the error that answers it, empty for none.
func (c *caller) ask(kind wire.Kind, body any) wire.ErrorCode {
	c.t.Helper()
	answer, err := c.write(kind, body)
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	select {
	case code := <-answer:
		return code
	case <-c.done:
		c.t.Fatal("the connection has ended")
	case <-ctx.Done():
		c.t.Fatalf("%s is not answered", kind)
	}
	return ""
}

// listen takes what comes by the socket until it ends.
func (c *caller) listen() {
	defer close(c.done)
	for {
		_, frame, err := c.conn.ReadMessage()
		if err != nil {
			c.mu.Lock()
			codes := maps.Clone(c.codes)
			c.mu.Unlock()
			c.fault("its connection ended: %v; it was answered %v", err, codes)
			return
		}
		wire.Lines(frame, func(line []byte) bool {
			c.take(line)
			return true
		})
	}
}

func (c *caller) take(line []byte) {
	var env wire.Envelope
	if err := json.Unmarshal(line, &env); err != nil {
		c.fault("what came is not JSON: %q", line)
		return
	}
	switch env.Type {
	case wire.KindSignal:
		var signal wire.Signal
		if err := json.Unmarshal(env.Data, &signal); err != nil {
			c.fault("a signal that cannot be read: %q", line)
			return
		}
		if c.change != nil {
			c.change(&signal)
		}
		c.Do(func() { c.Take(signal) })
	case wire.KindError, wire.KindAck:
		var body wire.ErrorBody
		if err := json.Unmarshal(env.Data, &body); err != nil {
			c.fault("an answer that cannot be read: %q", line)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if body.Code != "" {
			c.codes[body.Code]++
		}
		if answer := c.waiting[string(env.ID)]; answer != nil {
			answer <- body.Code
			delete(c.waiting, string(env.ID))
		}
	default:
	}
}

// connected waits until the call is up.
func (c *caller) connected() {
	c.t.Helper()
	awaitThat(c.t, "the call is up", func() bool { return c.PC.ConnectionState() == webrtc.PeerConnectionStateConnected })
}

// hears waits until c has got so many more packets of each track of another one.
func (c *caller) hears(of *caller, count int, sources ...wire.Source) {
	c.t.Helper()
	var waits []func()
	for _, source := range sources {
		waits = append(waits, c.awaits(of, count, source))
	}
	for _, wait := range waits {
		wait()
	}
}

// awaits returns what waits until c has got so many packets more than it has now.
func (c *caller) awaits(of *caller, count int, source wire.Source) (wait func()) {
	from := c.Got(of.id, source).Packets
	return func() {
		c.t.Helper()
		awaitThat(c.t, fmt.Sprintf("%s gets %s of %s", c.id, source, of.id), func() bool {
			return c.Got(of.id, source).Packets >= from+count
		})
	}
}

// server is where the SFU's UDP port is.
func (c *caller) server() *net.UDPAddr {
	c.t.Helper()
	pair, err := c.PC.SCTP().Transport().ICETransport().GetSelectedCandidatePair()
	if err != nil || pair == nil {
		c.t.Fatalf("no pair: %v", err)
	}
	return &net.UDPAddr{IP: net.ParseIP(pair.Remote.Address), Port: int(pair.Remote.Port)}
}

// expectEnd says that what fails from now on is no fault.
func (c *caller) expectEnd() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving = true
}

// leave ends the call and the connection. It may be called more than once.
func (c *caller) leave() {
	c.expectEnd()
	_ = c.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(time.Second))
	c.vanish()
}

// vanish is leave without a word.
func (c *caller) vanish() {
	c.expectEnd()
	c.conn.Close()
	<-c.done
	if err := c.Close(); err != nil {
		c.t.Error(err)
	}
}

// A wiretap is a client's UDP socket: it keeps what was sent by it and can go deaf.
type wiretap struct {
	net.PacketConn
	closed chan struct{}
	once   sync.Once
	deaf   chan struct{} // closed when nothing is read any more

	mu   sync.Mutex
	sent [][]byte // guarded by mu; the last maxKept datagrams
}

const maxKept = 64

// newWiretap makes the socket and the settings of a connection that uses it.
func newWiretap(t *testing.T) (*wiretap, *webrtc.SettingEngine) {
	t.Helper()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	_ = socket.SetReadBuffer(1 << 16)
	w := &wiretap{PacketConn: socket, closed: make(chan struct{}), deaf: make(chan struct{})}
	settings := rtctest.Loopback()
	mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: w})
	settings.SetICEUDPMux(mux)
	t.Cleanup(func() { _ = mux.Close() })
	return w, &settings
}

// WriteTo implements net.PacketConn.
func (w *wiretap) WriteTo(b []byte, to net.Addr) (int, error) {
	w.mu.Lock()
	w.sent = append(w.sent[max(0, len(w.sent)+1-maxKept):], append([]byte{}, b...))
	w.mu.Unlock()
	return w.PacketConn.WriteTo(b, to)
}

// ReadFrom implements net.PacketConn.
func (w *wiretap) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case <-w.deaf:
		<-w.closed
		return 0, nil, net.ErrClosed
	default:
		return w.PacketConn.ReadFrom(b)
	}
}

// Close implements net.PacketConn.
func (w *wiretap) Close() error {
	w.once.Do(func() { close(w.closed) })
	return w.PacketConn.Close()
}

// kept returns what was sent lately.
func (w *wiretap) kept() [][]byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([][]byte{}, w.sent...)
}

// gauges reads figures of the server's process from /metrics.
func gauges(t *testing.T, c *confab, names ...string) []float64 {
	t.Helper()
	_, text := c.get(t, "/metrics")
	values := make([]float64, len(names))
	for i, name := range names {
		_, rest, ok := strings.Cut(text, "\n"+name+" ")
		value, _, _ := strings.Cut(rest, "\n")
		var err error
		if values[i], err = strconv.ParseFloat(value, 64); !ok || err != nil {
			t.Fatal(errors.Join(err, fmt.Errorf("/metrics has no %s", name)))
		}
	}
	return values
}

// openWhole starts all of a server in this process but its listener, until the test ends.
func openWhole(t *testing.T, args ...string) (*hub, *parts) {
	t.Helper()
	s := settingsOf(t, append([]string{"--listen", "127.0.0.1:0", "--data", t.TempDir()}, args...)...)
	listener, err := net.Listen("tcp", s.Listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	log := slog.New(slog.DiscardHandler)
	p := &process{settings: s, origins: origins{}, stdout: io.Discard, stderr: io.Discard}
	behind, err := openParts(t.Context(), p, listener.Addr(), log)
	if err != nil {
		t.Fatal(err)
	}
	ctx := context.WithoutCancel(t.Context())
	t.Cleanup(func() {
		if err := behind.close(ctx); err != nil {
			t.Error(err)
		}
	})
	h, err := openHub(t.Context(), p, behind, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return h, behind
}
