package bus

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
)

// countConfirmations counts what NATS confirms to b from now on.
func countConfirmations(t *testing.T, b *Bus) *atomic.Int32 {
	t.Helper()
	var n atomic.Int32
	for i := range b.appender.replies {
		if _, err := b.history.Subscribe(b.appender.replies[i].prefix+"*", func(*nats.Msg) { n.Add(1) }); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.history.Flush(); err != nil {
		t.Fatal(err)
	}
	return &n
}

// TestEchoConfirms: of a timeline that is followed nothing but the echo says that a record is stored.
func TestEchoConfirms(t *testing.T) {
	t.Parallel()
	b := openBus(t, Options{URL: startExternal(t).url()})
	confirmed := countConfirmations(t, b)
	to := timeline("echo")
	append1(t, b, to, "before", "nobody follows yet")
	eventually(t, "a confirmation", func() bool { return confirmed.Load() == 1 })

	l, _, _ := open1(t, b, to)
	var stored outcome
	for i := range 100 {
		b.Append(to, fmt.Sprintf("followed.%d", i), []byte("x"), stored.done)
	}
	eventually(t, "all stored", func() bool { return stored.count() == 100 })
	eventually(t, "all heard", func() bool { return len(l.heard()) == 100 })
	if n := stored.failed(t, nil); n != 0 {
		t.Errorf("%d appends failed", n)
	}
	if n := confirmed.Load(); n != 1 {
		t.Errorf("NATS confirmed %d appends of a timeline that is followed", n-1)
	}
	b.appender.mu.Lock()
	defer b.appender.mu.Unlock()
	if len(b.appender.pending)+len(b.appender.echoing) != 0 || b.appender.bytes != 0 {
		t.Errorf("left behind: %d pending, %d echoing, %d bytes", len(b.appender.pending), len(b.appender.echoing), b.appender.bytes)
	}
}

// TestLostEchoes: what does not come back is asked for, and what is stored already says so.
func TestLostEchoes(t *testing.T) {
	t.Parallel()
	b := openBus(t, Options{URL: startExternal(t).url()})
	to := timeline("lost-echo")
	open1(t, b, to)
	first := append1(t, b, to, "twice", "said")
	// A second one with this id has no echo.
	if again, err := try1(b, to, "twice", "said"); err != nil || !again.Duplicate || again.Seq != first.Seq {
		t.Errorf("the second time: %+v, %v", again, err)
	}
	if err := followerOf(b, to).sub.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	if lost, err := try1(b, to, "lost", "not heard"); err != nil || lost.Seq <= first.Seq {
		t.Errorf("a record without its echo: %+v, %v", lost, err)
	}
}
