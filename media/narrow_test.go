package media

import (
	"testing"
	"time"
)

func TestUse(t *testing.T) {
	for _, c := range []struct{ a, b, both use }{
		{use{}, use{2, 0}, use{2, 0}},
		{use{1, 0}, use{2, 300}, use{2, 300}},
		{use{2, 0}, use{2, 300}, use{2, 0}},
		{use{2, 500}, use{2, 300}, use{2, 500}},
	} {
		if c.a.plus(c.b) != c.both || c.b.plus(c.a) != c.both {
			t.Errorf("%v and %v: %v", c.a, c.b, c.a.plus(c.b))
		}
		if c.a.exceeds(c.both) || c.b.exceeds(c.both) || c.a.exceeds(c.a) {
			t.Errorf("%v or %v exceeds %v", c.a, c.b, c.both)
		}
		if c.a != c.b && c.a.exceeds(c.b) == c.b.exceeds(c.a) {
			t.Errorf("neither of %v and %v exceeds the other", c.a, c.b)
		}
	}
}

// More than was told is told at once, less after a while; the receiver with the widest way decides.
func TestDemand(t *testing.T) {
	var d demand
	var a, b egress
	now := time.Unix(1000, 0)
	for i, c := range []struct {
		after time.Duration
		who   *egress
		wish  use
		more  bool
		told  use
		ok    bool
	}{
		{0, &a, use{3, 0}, false, use{}, false},
		{time.Second, &b, use{2, 300}, false, use{}, false},
		{time.Second, &a, use{1, 0}, false, use{}, false},
		{demandFalls, &b, use{2, 300}, false, use{2, 300}, true},
		{0, &b, use{2, 400}, true, use{2, 400}, true},
		{0, &b, use{2, 200}, false, use{}, false},
		{demandFalls, &b, use{2, 200}, false, use{2, 200}, true},
		{0, &a, use{2, 0}, true, use{2, 0}, true},
		{0, &a, use{}, false, use{}, false},
		{demandFalls, &b, use{}, false, use{}, true},
		{0, &b, use{9, 0}, true, use{3, 0}, true},
	} {
		now = now.Add(c.after)
		if more := d.wish(c.who, c.wish); more != c.more {
			t.Errorf("%d: more %v", i, more)
		}
		if u, ok := d.due(now, 3); u != c.told || ok != c.ok {
			t.Errorf("%d: %v %v, want %v %v", i, u, ok, c.told, c.ok)
		}
	}
}

// All is asked for again once there has been room for it for a while, and after each time that this was too much, for
// twice as long; a cap follows the room, down at once.
func TestNarrow(t *testing.T) {
	now := time.Unix(1000, 0)
	var n narrow
	for _, want := range []time.Duration{wideHold, 2 * wideHold, 4 * wideHold} {
		n.ask(now, use{layers: 2}, 1_000_000)
		span, began := time.Duration(0), now
		for ; n.active && span < time.Minute; span = now.Sub(began) {
			now = now.Add(100 * time.Millisecond)
			room := int64(1_200_000)
			if span == time.Second {
				room = 1_100_000 // all begins anew
			}
			n.widen(now, room)
		}
		if early := span - 1200*time.Millisecond; early < want || early > want+time.Second {
			t.Errorf("all is asked for after %v, want %v", early, want)
		}
	}
	now = now.Add(wideSoon + time.Second)
	if n.ask(now, use{1, 300_000}, 1_000_000); n.hold != wideHold {
		t.Errorf("what was long ago still counts: %v", n.hold)
	}
	for i, c := range []struct {
		after   time.Duration
		room    int64
		bitrate int
	}{
		{0, 400_000, 300_000},
		{time.Minute, 470_000, 300_000}, // hardly more
		{0, 600_000, 300_000},
		{wideHold, 600_000, 450_000},
		{0, 500_000, 375_000},
		{0, 0, capLeast},
	} {
		now = now.Add(c.after)
		if n.widen(now, c.room); n.use.bitrate != c.bitrate || !n.active {
			t.Errorf("%d: %+v with room for %d, want %d", i, n, c.room, c.bitrate)
		}
	}
}
