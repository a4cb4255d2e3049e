package bandwidth

import (
	"fmt"
	"testing"
	"time"
)

// A call is one video with two layers as browsers send them, sent as the estimate and the allocation have it.
type call struct {
	trial
	track     Track
	allocator Allocator
	asked     float64       // when the allocation was last asked
	paused    time.Duration // how long the video was paused, after the first seconds
	small     time.Duration // how long it was not as large as could be
	downs     int           // times a layer was taken down
}

func newCall(l link, seed uint64) *call {
	c := &call{asked: -1, track: Track{ID: 1, Layers: []Layer{{80_000, 320, 180, 10}, {200_000, 640, 360, 10}}, Enabled: true, Current: Paused}}
	c.trial = trial{
		link: l, back: -1, frame: 100 * time.Millisecond, wanted: (200_000 + audioPacket*8*50) * 11 / 10,
		opts: Options{Start: 1_000_000, Min: 100_000}, length: 40 * second, seed: seed,
	}
	c.media = c.send
	return c
}

// send returns what is sent for a target, in bits a second.
func (c *call) send(seconds, target float64) float64 {
	if seconds-c.asked >= 0.09 {
		now, before := trialStart.Add(time.Duration(seconds*float64(second))), c.track.Current
		c.allocator.Carried, c.allocator.Drowned = c.est.Carries(now), c.est.Drowned(now, c.allocator.Least())
		c.track.Current = c.allocator.Allocate(now, []Track{c.track}, int(target)-audioPacket*8*50)[0].Layer
		if span := time.Duration((seconds - c.asked) * float64(second)); seconds > 3 {
			if c.track.Current == Paused {
				c.paused += span
			}
			if c.track.Current < 1 {
				c.small += span
			}
			if c.track.Current < before {
				c.downs++
			}
		}
		c.asked = seconds
	}
	rate := float64(audioPacket * 8 * 50)
	if c.track.Current >= 0 {
		rate += float64(c.track.Layers[c.track.Current].Bitrate)
	}
	return rate
}

// A path with much more than is needed becomes longer at once, with jitter or without, as after a change of network:
// the only video goes on, and is as large as before when it may be.
func TestLongerPath(t *testing.T) {
	for _, delay := range []time.Duration{40, 75, 100, 150, 250} {
		for _, jitter := range []time.Duration{0, 20, 50, 100} {
			for _, inOrder := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d ms, jitter %d ms, in order %v", delay, jitter, inOrder), func(t *testing.T) {
					l := path(constant(50e6))
					l.delay = time.Millisecond
					l.changes, l.farther, l.rougher, l.inOrder = 15*second, delay*time.Millisecond, jitter*time.Millisecond, inOrder
					var paused, small time.Duration
					downs := 0
					for seed := range uint64(10) {
						c := newCall(l, seed)
						c.run()
						paused, small, downs = max(paused, c.paused), max(small, c.small), max(downs, c.downs)
						if v := c.est.Stats().Loss; v > 0.02 {
							t.Errorf("seed %d: a loss of %.3f, but nothing is lost", seed, v)
						}
					}
					t.Logf("paused for %v, small for %v, %d times down", paused, small, downs)
					if paused > 0 || downs > 2 || jitter <= 50 && delay <= 100 && small > upHold {
						t.Errorf("paused for %v, small for %v, %d times down", paused, small, downs)
					}
				})
			}
		}
	}
}

// A path that becomes too narrow for the least video and the sound says so, by loss or by a queue that stays: then the
// only video is paused, so that the sound gets through, and it comes back with the path.
func TestTooNarrow(t *testing.T) {
	for name, limit := range map[string]time.Duration{"by loss": 300 * time.Millisecond, "by its queue": 1500 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(seeds) {
				l := path(within(4e6, 15*second, 30*second, 70_000))
				l.limit = limit
				c := newCall(l, seed)
				samples := c.run()
				if seed == 0 {
					row(t, name, between(samples, 20*second, 30*second))
				}
				verify(t, seed, samples, []check{
					{22 * second, 30 * second, meanCame, 4e4, 7e4, "came"},
					{25 * second, 30 * second, queue50, 0, 100, "queue p50"},
					{38 * second, 40 * second, meanCame, 2e5, 3e5, "came after it"},
				})
				if c.paused < 8*second || c.paused > 17*second {
					t.Errorf("seed %d: paused for %v", seed, c.paused)
				}
			}
		})
	}
}
