package bandwidth

import (
	"testing"
	"time"
)

// A path that holds the largest layer of a camera, but shows less at first, to the probes that begin a call: the layer comes
// soon after the path is as good as it stays, not after as many waits as there were probes.
func TestLargeLayerComesSoon(t *testing.T) {
	narrow := func(until time.Duration, rate float64) link { return path(within(4e6, 0, until, rate)) }
	rough := path(constant(4e6))
	rough.jitter, rough.inOrder, rough.changes, rough.farther = 80*time.Millisecond, true, 2*second, rough.delay
	stalls := path(constant(4e6))
	stalls.stall = 300 * time.Millisecond
	for _, c := range []struct {
		name string
		link link
		good time.Duration // from then on
	}{
		{"good at once", path(constant(4e6)), 0},
		{"400 kb/s for 0.5 s", narrow(500*time.Millisecond, 4e5), 500 * time.Millisecond},
		{"400 kb/s for 2 s", narrow(2*second, 4e5), 2 * second},
		{"400 kb/s for 5 s", narrow(5*second, 4e5), 5 * second},
		{"800 kb/s for 2 s", narrow(2*second, 8e5), 2 * second},
		{"1.2 Mb/s for 3.5 s", narrow(3500*time.Millisecond, 1.2e6), 3500 * time.Millisecond},
		{"jitter for 2 s", rough, 2 * second},
		{"stalls", stalls, 300 * time.Millisecond},
		{"5 % lost", lossy(path(constant(4e6)), 0.05), 0},
	} {
		for seed := range uint64(seeds) {
			if at := largestAt(c.link, seed); at > c.good+3*second {
				t.Errorf("%s, seed %d: after %v", c.name, seed, at-c.good)
			} else if seed == 0 {
				t.Logf("%-20s after %v", c.name, at-c.good)
			}
		}
	}
}

// largestAt returns when a camera goes over a link in its largest layer.
func largestAt(l link, seed uint64) (at time.Duration) {
	tracks := []Track{{ID: 1, Layers: []Layer{{150_000, 320, 180, 30}, {500_000, 640, 360, 30}, {1_700_000, 1280, 720, 30}}, Enabled: true}}
	const sound = audioPacket * 8 * 50
	var allocator Allocator
	last := -1.0
	at = time.Hour
	s := trial{link: l, back: 20 * time.Millisecond, wanted: 1_700_000 + sound, opts: Options{Start: 1_000_000, Min: 100_000}, length: 20 * second, seed: seed}
	s.media = func(now, target float64) float64 {
		if now-last >= 0.1 {
			last = now
			moment := trialStart.Add(s.now)
			allocator.Carried, allocator.Drowned = s.est.Carries(moment), s.est.Drowned(moment, allocator.Least())
			tracks[0].Current = allocator.Allocate(moment, tracks, int(target)-sound)[0].Layer
			if tracks[0].Current == 2 {
				at = min(at, s.now)
			}
		}
		return float64(tracks[0].Bitrate(tracks[0].Current)) + sound
	}
	s.run()
	return at
}
