package signaling

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"confab/signaling/wire"
)

// taken empties an outbox as the writer does, and returns the frames.
func taken(o *outbox) []string {
	var frames []string
	b := new(batch)
	for o.take(b) {
		frames = append(frames, string(b.frame()))
	}
	return frames
}

func TestOutbox(t *testing.T) {
	kib := strings.Repeat("x", 1<<10)
	tests := []struct {
		name string
		do   func(*outbox) []pushed
		got  []pushed
		want []string // frames that the writer takes afterwards
	}{
		{"gated until open", func(o *outbox) []pushed {
			first := o.push([]byte("a"), "", true)
			o.open()
			return []pushed{first, o.push([]byte("b"), "", true)}
		}, []pushed{pushWaits, pushWaits}, []string{"a\nb"}},
		{"the first makes a writer", func(o *outbox) []pushed {
			o.open()
			taken(o)
			return []pushed{o.push([]byte("a"), "", true), o.push([]byte("b"), "", true)}
		}, []pushed{pushWrite, pushWaits}, []string{"b"}},
		{"state is conflated in its place", func(o *outbox) []pushed {
			o.open()
			return []pushed{
				o.push([]byte("a1"), "a", true), o.push([]byte("m"), "", true), o.push([]byte("b1"), "b", true),
				o.push([]byte("a2"), "a", true), o.push([]byte("b2"), "b", true),
			}
		}, []pushed{pushWaits, pushWaits, pushWaits, pushWaits, pushWaits}, []string{"a2\nm\nb2"}},
		{"batches of at most 32 KiB", func(o *outbox) []pushed {
			o.open()
			for range 40 {
				o.push([]byte(kib), "", true)
			}
			return nil
		}, nil, []string{kib + strings.Repeat("\n"+kib, 30), kib + strings.Repeat("\n"+kib, 8)}},
		{"a larger message goes alone", func(o *outbox) []pushed {
			o.open()
			o.push([]byte("a"), "", true)
			o.push([]byte(strings.Repeat(kib, 40)), "", false)
			o.push([]byte("b"), "", true)
			return nil
		}, nil, []string{"a", strings.Repeat(kib, 40), "b"}},
		{"closed writes what it has and takes nothing", func(o *outbox) []pushed {
			o.open()
			o.push([]byte("a"), "", true)
			o.close()
			return []pushed{o.push([]byte("b"), "", true)}
		}, []pushed{pushRefused}, []string{"a"}},
		{"too much kills it before anything else is sent", func(o *outbox) []pushed {
			o.open()
			var last pushed
			for range wire.MaxOutboxBytes>>10 + 1 {
				last = o.push([]byte(kib), "", true)
			}
			return []pushed{last, o.push([]byte("later"), "", true)}
		}, []pushed{pushSlow, pushRefused}, nil},
		{"joined does not count", func(o *outbox) []pushed {
			o.open()
			return []pushed{
				o.push(bytes.Repeat([]byte("j"), 2*wire.MaxOutboxBytes), "", false), o.push([]byte("a"), "", true),
			}
		}, []pushed{pushWaits, pushWaits}, []string{strings.Repeat("j", 2*wire.MaxOutboxBytes), "a"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var o outbox
			if got := tt.do(&o); fmt.Sprint(got) != fmt.Sprint(tt.got) {
				t.Errorf("pushed %v, want %v", got, tt.got)
			}
			if got := taken(&o); fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("taken %d frames, want %d", len(got), len(tt.want))
			}
			if o.waiting != nil || o.writing {
				t.Error("an empty outbox holds something")
			}
		})
	}
}

// TestOutboxConflatesWhileItMoves replaces state while other frames are being taken, so that indexes shift.
func TestOutboxConflatesWhileItMoves(t *testing.T) {
	var o outbox
	o.open()
	filler := strings.Repeat("x", 1<<10)
	b := new(batch)
	last := map[string]string{}
	seen := map[string]string{}
	note := func() {
		for _, f := range b.frames {
			if key, value, ok := strings.Cut(string(f), "="); ok {
				seen[key] = value
			}
		}
	}
	for i := range 5000 {
		key := fmt.Sprint("k", i%7)
		last[key] = fmt.Sprint(i)
		o.push([]byte(key+"="+last[key]), key, true)
		o.push([]byte(filler), "", true)
		if i%32 == 31 { // a little less than comes, so that it is never empty
			o.take(b)
			note()
		}
		if o.waiting != nil && len(o.waiting.items) > 1000 {
			t.Fatal("the queue grows though it is being emptied")
		}
	}
	for o.take(b) {
		note()
	}
	if fmt.Sprint(seen) != fmt.Sprint(last) {
		t.Errorf("newest state %v, want %v", seen, last)
	}
}

func TestOutboxDrained(t *testing.T) {
	var o outbox
	o.open()
	o.push([]byte("a"), "", true)
	drained := o.close()
	select {
	case <-drained:
		t.Fatal("drained while something waits")
	default:
	}
	taken(&o)
	<-drained

	var idle outbox
	idle.open()
	taken(&idle)
	if idle.close() != nil {
		t.Error("an idle outbox has nothing to wait for")
	}
	var gone outbox
	gone.open()
	gone.push([]byte("a"), "", true)
	ended := gone.die()
	if len(taken(&gone)) != 0 {
		t.Error("a dead outbox holds something")
	}
	<-ended
	if gone.die() != nil {
		t.Error("no writer is left to wait for")
	}
}

// TestSlowConsumer lets one client of a room read nothing. It is closed as too slow; the others get every message.
func TestSlowConsumer(t *testing.T) {
	w := newWorld(t)
	room := roomName(t)
	slow := w.dialWith(tightDialer(), "/ws")
	slow.send("auth", "", "", wire.Auth{Token: "slow"})
	slow.want(wire.KindConnected, "")
	slow.join(room)
	reader, _, _ := w.enter("reader", room)
	writer, _, _ := w.enter("writer", room)
	text := strings.Repeat("x", 12<<10)
	worst := time.Duration(0)
	sent := 0
	for ; count(t, w.metrics.slow) == 0; sent++ {
		if sent == 5000 {
			t.Fatal("a client that reads nothing is never too slow")
		}
		start := time.Now()
		id := wire.RequestID(fmt.Sprint(sent))
		writer.send("chat", id, room, wire.Chat{Text: text})
		reader.want(wire.KindChat, id)
		worst = max(worst, time.Since(start))
		writer.want(wire.KindAck, id)
	}
	t.Logf("too slow after %d messages of 12 KiB; the worst delivery to the other took %v", sent, worst)
	if worst > 2*time.Second {
		t.Errorf("another client waited %v", worst)
	}
	eventually(t, "the slow one is gone", func() bool { return len(w.hub.appendAll(nil)) == 2 })
}

// TestSlowButAlive: a client that reads, only not fast enough, gets the code that tells it to resume.
func TestSlowButAlive(t *testing.T) {
	w := newWorld(t)
	c, connected := w.login("ann")
	session := w.session(connected.Session)
	frame := []byte(`{"type":"test","data":"` + strings.Repeat("x", 16<<10) + `"}`)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		c.wantClose(wire.CloseTooSlow)
	}()
	for i := 0; !session.ending(); i++ {
		session.Send(frame, "")
		if i%1000 == 999 {
			runtime.Gosched()
		}
	}
	<-closed
}

// TestBatching counts the frames that a burst becomes.
func TestBatching(t *testing.T) {
	w := newWorld(t)
	c, connected := w.login("ann")
	session := w.session(connected.Session)
	before := c.frames
	const messages = 1000
	for i := range messages {
		session.Send(fmt.Appendf(nil, `{"type":"test","seq":%d}`, i+1), "")
	}
	for i := range messages {
		if env := c.want("test", ""); env.Seq != wire.Seq(i+1) {
			t.Fatalf("message %d came at place %d", env.Seq, i+1)
		}
	}
	if frames := c.frames - before; frames > messages/2 {
		t.Errorf("%d messages came in %d frames", messages, frames)
	}
}

// TestStuckWrite: a client that takes nothing, but for whom too little waits to be too slow, is cut off in time.
func TestStuckWrite(t *testing.T) {
	w := newWorld(t)
	c := w.dialWith(tightDialer(), "/ws")
	c.send("auth", "", "", wire.Auth{Token: "ann"})
	session := w.session(body[wire.Connected](c.want(wire.KindConnected, "")).Session)
	frame := []byte(`{"type":"test","data":"` + strings.Repeat("x", 16<<20) + `"}`)
	session.SendJoined(frame) // larger than any buffer of the kernel
	eventually(t, "the write is stuck", func() bool { return session.writes.Load()%2 == 1 })
	w.later(0)
	w.later(writeWait - time.Second)
	if w.session(session.id) == nil {
		t.Fatal("cut off too early")
	}
	w.later(2 * time.Second)
	eventually(t, "the connection is cut off", func() bool { return len(w.hub.appendAll(nil)) == 0 })
}
