package signaling

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"confab/signaling/wire"
)

// TestSlowClientDelaysNobody has clients that read nothing until all others have everything, again and again.
func TestSlowClientDelaysNobody(t *testing.T) {
	w := newWorld(t)
	room := roomName(t)
	speaker, _, _ := w.enter("speaker", room)
	var slow, fast []*client
	var stuck []*Session
	for i := range 2 {
		c := w.dialWith(narrowDialer(48<<10), "/ws")
		c.send("auth", "", "", wire.Auth{Token: fmt.Sprintf("slow%d", i)})
		id := body[wire.Connected](c.want(wire.KindConnected, "")).Session
		c.join(room)
		stuck = append(stuck, w.session(id))
		if raw := stuck[i].raw; raw != nil { // nil where the system cannot try a write
			if err := raw.Conn.(*net.TCPConn).SetWriteBuffer(8 << 10); err != nil {
				t.Fatal(err)
			}
		}
		slow = append(slow, c)
		c, _, _ = w.enter(fmt.Sprintf("fast%d", i), room)
		fast = append(fast, c)
	}
	const rounds, messages = 2, 60
	text := strings.Repeat("x", 4000) // a round is less than an outbox holds
	for round := range rounds {
		for i := range messages {
			speaker.send("chat", "", room, wire.Chat{Text: fmt.Sprintf("%d.%d %s", round, i, text)})
		}
		for _, c := range append(fast, speaker) {
			wantRound(t, c, round, messages)
		}
		for _, s := range stuck {
			eventually(t, "a write to a slow client begins", func() bool { return s.writes.Load()%2 == 1 })
		}
		for _, c := range slow {
			wantRound(t, c, round, messages)
		}
	}
}

// wantRound reads the messages of a round, in order.
func wantRound(t *testing.T, c *client, round, messages int) {
	t.Helper()
	for i := range messages {
		got := body[wire.ChatRecord](c.want(wire.KindChat, "")).Text
		if want := fmt.Sprintf("%d.%d ", round, i); !strings.HasPrefix(got, want) {
			t.Fatalf("got %.8q, want %q", got, want)
		}
	}
}

// TestFlusherGoesOnAfterClose: who is late gets a goroutine of its own.
func TestFlusherGoesOnAfterClose(t *testing.T) {
	w := newWorld(t)
	c, connected := w.login("ann")
	w.flusher.close()
	s := w.session(connected.Session)
	for i := range 3 {
		s.Send(fmt.Appendf(nil, `{"type":"late","id":"%d"}`, i), "")
		c.want("late", wire.RequestID(fmt.Sprint(i)))
	}
}
