package bus

import (
	"testing"
	"time"
)

// TestGatherer runs a second of even load at each rate and looks at how long the last batches had to wait.
func TestGatherer(t *testing.T) {
	for _, test := range []struct {
		rate    int // appends a second
		gathers bool
	}{{1, false}, {100, false}, {300, false}, {500, true}, {1000, true}, {3900, true}, {4200, false}, {20_000, false}} {
		var g gatherer
		start := time.Unix(1_000_000_000, 0)
		step := time.Second / time.Duration(test.rate)
		sent, waiting := start, 0
		var longest time.Duration
		for now := start; now.Before(start.Add(time.Second)); now = now.Add(step) {
			waiting++
			if g.wait(now) > 0 {
				continue
			}
			g.sent(waiting, now)
			if now.Sub(start) > time.Second/2 {
				longest = max(longest, now.Sub(sent))
			}
			sent, waiting = now, 0
		}
		want := step
		if test.gathers {
			want = gatherTick + step
		}
		if longest > want || test.gathers && longest < gatherTick {
			t.Errorf("at %d/s batches went every %v, want at most %v", test.rate, longest, want)
		}
		if wait := g.wait(start.Add(2 * time.Second)); wait != 0 {
			t.Errorf("after a pause at %d/s the first append waits %v", test.rate, wait)
		}
	}
}
