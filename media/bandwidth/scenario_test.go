package bandwidth

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"confab/signaling/wire"
)

// A check bounds what happens between two times of a trial.
type check struct {
	from, to time.Duration
	value    func([]sample) float64
	least    float64
	most     float64
	name     string
}

func meanTarget(s []sample) float64  { return mean(s, target) }
func leastTarget(s []sample) float64 { return quantile(s, 0, target) }
func mostTarget(s []sample) float64  { return quantile(s, 1, target) }
func meanCame(s []sample) float64    { return mean(s, carried) }
func meanTCP(s []sample) float64     { return mean(s, func(s sample) float64 { return s.tcp }) }
func queue50(s []sample) float64     { return quantile(s, 0.5, waited) }
func queue95(s []sample) float64     { return quantile(s, 0.95, waited) }
func queueMost(s []sample) float64   { return quantile(s, 1, waited) }

const (
	second = time.Second
	seeds  = 3 // of chance: a bound that holds for one may hold by luck
)

// path is a link with 20 ms each way and a queue of 300 ms.
func path(capacity func(time.Duration) float64) link {
	return link{capacity: capacity, delay: 20 * time.Millisecond, limit: 300 * time.Millisecond}
}

// within is constant but for a part of the time.
func within(rate float64, from, to time.Duration, other float64) func(time.Duration) float64 {
	return func(at time.Duration) float64 {
		if at >= from && at < to {
			return other
		}
		return rate
	}
}

func lossy(l link, loss float64) link {
	l.loss = loss
	return l
}

func far(l link, delay, jitter time.Duration) link {
	l.delay, l.jitter = delay, jitter
	return l
}

// upTo is media that uses the target up to a bound.
func upTo(most float64) func(now, target float64) float64 {
	return func(_, target float64) float64 { return min(target, most) }
}

// With -v this prints a table of what comes of each path.
func TestScenarios(t *testing.T) {
	shallow := path(constant(4e6))
	shallow.limit = 50 * time.Millisecond
	for _, c := range []struct {
		name     string
		trial    trial
		from, to time.Duration // of the row in the table
		checks   []check
	}{
		{"4 Mb/s", trial{link: path(constant(4e6)), length: 60 * second}, 10 * second, 60 * second, []check{
			{0, second, mostTarget, 3e6, 4.4e6, "target in the first second"},
			{10 * second, 60 * second, leastTarget, 3e6, 4.2e6, "least target"},
			{10 * second, 60 * second, mostTarget, 3e6, 4.2e6, "largest target"},
			{10 * second, 60 * second, queue50, 0, 60, "queue p50"},
			{10 * second, 60 * second, queue95, 0, 90, "queue p95"},
		}},
		{"500 kb/s", trial{link: path(constant(5e5)), length: 60 * second}, 10 * second, 60 * second, []check{
			{10 * second, 60 * second, meanTarget, 3.75e5, 5.25e5, "mean target"},
			{10 * second, 60 * second, queue50, 0, 60, "queue p50"},
		}},
		{"30 Mb/s", trial{link: path(constant(30e6)), length: 60 * second}, 10 * second, 60 * second, []check{
			{10 * second, 60 * second, leastTarget, 22.5e6, 31.5e6, "least target"},
			{10 * second, 60 * second, mostTarget, 22.5e6, 34.5e6, "largest target"},
			{10 * second, 60 * second, queue50, 0, 60, "queue p50"},
		}},
		{"4 Mb/s, 500 kb/s from 15 to 30 s", trial{link: path(within(4e6, 15*second, 30*second, 5e5)), length: 60 * second}, 17 * second, 30 * second, []check{
			{15900 * time.Millisecond, 16 * second, mostTarget, 1e5, 5e5, "target 1 s after the drop"},
			{18 * second, 30 * second, meanCame, 3.5e5, 5e5, "came at 500 kb/s"},
			{18 * second, 30 * second, queue50, 0, 60, "queue p50 at 500 kb/s"},
			{18 * second, 30 * second, queueMost, 0, 250, "longest queue from 3 s after the drop"},
			{39 * second, 40 * second, leastTarget, 3e6, 4.2e6, "target 10 s after the end"},
		}},
		{"10 Mb/s, 5 % lost", trial{link: lossy(path(constant(10e6)), 0.05), length: 60 * second}, 10 * second, 60 * second, []check{
			{10 * second, 60 * second, leastTarget, 7e6, 11e6, "least target"},
			{10 * second, 60 * second, queue50, 0, 60, "queue p50"},
		}},
		{"10 Mb/s, 10 % lost", trial{link: lossy(path(constant(10e6)), 0.1), length: 60 * second}, 20 * second, 60 * second, []check{
			{20 * second, 60 * second, leastTarget, 5e6, 11e6, "least target"},
		}},
		{"4 Mb/s, 200 ms RTT, 50 ms jitter", trial{link: far(path(constant(4e6)), 100*time.Millisecond, 50*time.Millisecond), length: 60 * second}, 20 * second, 60 * second, []check{
			{20 * second, 60 * second, meanTarget, 3e6, 4.2e6, "mean target"},
			{20 * second, 60 * second, leastTarget, 2e6, 4.2e6, "least target"},
			{20 * second, 60 * second, queue95, 0, 150, "queue p95"},
		}},
		{"4 Mb/s, 200 ms RTT", trial{link: far(path(constant(4e6)), 100*time.Millisecond, 0), length: 60 * second}, 10 * second, 60 * second, []check{
			{10 * second, 60 * second, leastTarget, 3e6, 4.2e6, "least target"},
			{10 * second, 60 * second, queue95, 0, 90, "queue p95"},
		}},
		{"4 Mb/s, queue of 50 ms", trial{link: shallow, length: 60 * second}, 10 * second, 60 * second, []check{
			{10 * second, 60 * second, meanTarget, 2.8e6, 4.6e6, "mean target"},
		}},
		{"4 Mb/s, nothing from 15 to 17 s", trial{link: path(within(4e6, 15*second, 17*second, 0)), length: 40 * second}, 19 * second, 40 * second, []check{
			{16900 * time.Millisecond, 17 * second, mostTarget, 3e4, 6e5, "target at the end of the outage"},
			{19 * second, 40 * second, leastTarget, 3e6, 4.2e6, "target from 2 s after it"},
			{17 * second, 40 * second, queueMost, 0, 150, "longest queue after it"},
		}},
		{"4 Mb/s, 500 kb/s are sent of 1.5", trial{link: path(constant(4e6)), media: upTo(5e5), wanted: 1_500_000, length: 60 * second}, 10 * second, 60 * second, []check{
			{5 * second, 60 * second, leastTarget, 1.5e6, 4e6, "least target: enough for what is wanted"},
			{5 * second, 60 * second, queueMost, 0, 60, "longest queue"},
		}},
		{"4 Mb/s, 300 kb/s from 10 s, no probes", trial{link: path(constant(4e6)), noProbes: true, length: 60 * second, media: func(now, target float64) float64 {
			if now < 10 {
				return target
			}
			return min(target, 3e5)
		}}, 12 * second, 60 * second, []check{
			{11 * second, 60 * second, func(s []sample) float64 { return mostTarget(s) - leastTarget(s) }, 0, 1, "change of the target"},
			{11 * second, 60 * second, leastTarget, 8e5, 4e6, "least target"},
		}},
		{"4 Mb/s, shared with TCP from 15 s", trial{link: path(constant(4e6)), tcp: &tcp{begin: 15 * second}, length: 120 * second}, 20 * second, 120 * second, []check{
			{20 * second, 120 * second, meanCame, 4e5, 3e6, "came"},
			{20 * second, 120 * second, leastTarget, 2e5, 4e6, "least target"},
			{20 * second, 120 * second, meanTCP, 1e6, 4e6, "came of TCP"},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(seeds) {
				s := c.trial
				s.seed, s.back = seed, s.link.delay
				if s.tcp != nil {
					s.tcp = &tcp{begin: s.tcp.begin}
				}
				samples := s.run()
				if seed == 0 {
					row(t, c.name, between(samples, c.from, c.to))
				}
				verify(t, seed, samples, c.checks)
			}
		})
	}
}

func verify(t *testing.T, seed uint64, samples []sample, checks []check) {
	t.Helper()
	failed := false
	for _, check := range checks {
		if v := check.value(between(samples, check.from, check.to)); v < check.least || v > check.most {
			failed = true
			t.Errorf("seed %d, %s: %.0f, want %.0f to %.0f", seed, check.name, v, check.least, check.most)
		}
	}
	if failed && testing.Verbose() {
		t.Log("\n" + series(samples))
	}
}

// Whatever becomes of the feedback, the estimate stays near the path's 4 Mb/s.
func TestFeedbackFaults(t *testing.T) {
	for _, c := range []struct {
		name   string
		mangle func(random *rand.Rand, i int, body []byte) []spoilt
	}{
		{"a third is lost", func(random *rand.Rand, _ int, body []byte) []spoilt {
			if random.IntN(3) == 0 {
				return nil
			}
			return []spoilt{{0, body}}
		}},
		{"each third comes 300 ms late", func(_ *rand.Rand, i int, body []byte) []spoilt {
			if i%3 == 0 {
				return []spoilt{{300 * time.Millisecond, body}}
			}
			return []spoilt{{0, body}}
		}},
		{"each comes three times", func(_ *rand.Rand, _ int, body []byte) []spoilt {
			return []spoilt{{0, body}, {time.Millisecond, body}, {400 * time.Millisecond, body}}
		}},
		{"copies from another time", func(_ *rand.Rand, _ int, body []byte) []spoilt {
			copied := slices.Clone(body)
			copied[12] += 0x40
			return []spoilt{{0, body}, {time.Millisecond, copied}}
		}},
		{"garbage between", func(random *rand.Rand, _ int, body []byte) []spoilt {
			garbage := make([]byte, 16+random.IntN(100))
			for i := range garbage {
				garbage[i] = byte(random.Uint32())
			}
			return []spoilt{{0, garbage}, {0, body}}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(seeds) {
				random := rand.New(rand.NewPCG(3, seed))
				mangle := func(i int, body []byte) []spoilt { return c.mangle(random, i, body) }
				s := trial{link: path(constant(4e6)), back: 20 * time.Millisecond, mangle: mangle, length: 40 * second, seed: seed}
				samples := s.run()
				if seed == 0 {
					row(t, c.name, between(samples, 10*second, 40*second))
				}
				verify(t, seed, samples, []check{
					{10 * second, 40 * second, meanTarget, 2.8e6, 4.4e6, "mean target"},
					{10 * second, 40 * second, leastTarget, 1e6, 4.4e6, "least target"},
					{10 * second, 40 * second, queue50, 0, 60, "queue p50"},
				})
			}
		})
	}
}

// The same, with an estimator that only a liar feeds: it stays within its bounds, whatever is claimed.
func TestForgedFeedback(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 4))
	e := NewEstimator(Options{Max: 5_000_000})
	now := trialStart
	for range 20_000 {
		now = now.Add(5 * time.Millisecond)
		base := e.Sent(now, 1200, 0) - uint16(random.IntN(40))
		body := []byte{7: 1, 8: byte(base >> 8), 9: byte(base), 11: 30, 12: byte(random.Uint32()), 13: byte(random.Uint32()), 14: byte(random.Uint32()), 17: 0}
		body = append(body[:16], 0x40, 30) // a run of 30 large deltas
		for range 60 {
			body = append(body, byte(random.Uint32()))
		}
		f, err := ParseFeedback(body)
		if err != nil {
			t.Fatal(err)
		}
		e.Feedback(now, &f)
		e.Probe(now, 1e9)
		if got := e.Target(now); got < 30_000 || got > 5_000_000 {
			t.Fatalf("target %d", got)
		}
	}
}

// The layers of three cameras and a screen over a path that becomes narrow: they go down by priority, come back, and
// do not flap.
func TestLadder(t *testing.T) {
	tracks := []Track{camera(1), camera(2), with(camera(3), func(t *Track) { t.Priority = PrioritySpeaker }),
		with(camera(4), func(t *Track) { t.Layers, t.Floor, t.Priority = screen, 1, PriorityScreen })}
	var allocator Allocator
	changes, narrow := 0, []Choice(nil)
	last := -1.0
	s := trial{link: path(within(10e6, 20*second, 40*second, 1.2e6)), back: 20 * time.Millisecond, wanted: Demand(tracks), length: 70 * second}
	s.media = func(now, target float64) (bitrate float64) {
		if now-last >= 0.2 {
			last = now
			at := trialStart.Add(time.Duration(now * float64(second)))
			allocator.Carried, allocator.Drowned = s.est.Carries(at), s.est.Drowned(at, allocator.Least())
			choices := allocator.Allocate(at, tracks, int(target)-audioPacket*8*50)
			for i, c := range choices {
				if c.Layer != tracks[i].Current {
					changes++
				}
				tracks[i].Current = c.Layer
			}
			if now > 38 && narrow == nil {
				narrow = slices.Clone(choices)
			}
		}
		for _, track := range tracks {
			if track.Current != Paused {
				bitrate += float64(track.Layers[track.Current].Bitrate)
			}
		}
		return bitrate + audioPacket*8*50
	}
	samples := s.run()
	row(t, "four tracks at 1.2 Mb/s", between(samples, 25*second, 40*second))
	t.Logf("%d changes, at 1.2 Mb/s %v", changes, narrow)
	verify(t, 0, samples, []check{
		{10 * second, 20 * second, meanCame, 6.5e6, 8e6, "came at 10 Mb/s"},
		{23 * second, 40 * second, queueMost, 0, 250, "longest queue from 3 s after the drop"},
		{25 * second, 40 * second, meanCame, 6e5, 1.2e6, "came at 1.2 Mb/s"},
		{55 * second, 70 * second, meanCame, 6.5e6, 8e6, "came 15 s after the end"},
	})
	if narrow[3] != (Choice{1, wire.QualityBandwidth}) {
		t.Errorf("the screen gets %v", narrow[3])
	}
	if changes > 40 {
		t.Errorf("%d changes of a layer", changes)
	}
}

// A video of one layer over a wide path whose receiver stands still for a moment again and again, as a loaded machine
// does: it is not paused for that.
func TestStalls(t *testing.T) {
	for _, stall := range []time.Duration{30 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 350 * time.Millisecond} {
		track := Track{ID: 1, Layers: []Layer{{Bitrate: 1_200_000, Width: 1280, Height: 720, FPS: 30}}, Enabled: true}
		var allocator Allocator
		pauses := 0
		last := -1.0
		s := trial{link: path(constant(20e6)), back: 20 * time.Millisecond, wanted: 1_300_000, opts: Options{Start: 2_000_000}, length: 60 * second}
		s.link.stall = stall
		s.media = func(now, target float64) float64 {
			if now-last >= 0.1 {
				last = now
				before := track.Current
				at := trialStart.Add(time.Duration(now * float64(second)))
				allocator.Carried, allocator.Drowned = s.est.Carries(at), s.est.Drowned(at, allocator.Least())
				track.Current = allocator.Allocate(at, []Track{track}, int(target)-audioPacket*8*50)[0].Layer
				if track.Current < before {
					pauses++
				}
			}
			return float64(1_200_000*(1+track.Current)) + audioPacket*8*50
		}
		samples := s.run()
		row(t, "stalls of "+stall.String(), samples)
		if pauses > 0 {
			t.Errorf("%v: paused %d times\n%s", stall, pauses, series(samples))
		}
	}
}

// A path with a screen and two cameras becomes narrow, from one packet to the next: what is lost or waits at the change
// was sent before it, and proves nothing about the screen alone, which goes on. The cameras give way.
func TestScreenStays(t *testing.T) {
	for _, limit := range []time.Duration{50 * time.Millisecond, 200 * time.Millisecond, 600 * time.Millisecond, 3 * time.Second} {
		t.Run("queue of "+limit.String(), func(t *testing.T) {
			for seed := range uint64(10) {
				tracks := []Track{camera(1), camera(2), {ID: 3, Priority: PriorityScreen, Enabled: true, Current: Paused, Layers: []Layer{
					{250_000, 1280, 720, 3}, {450_000, 1280, 720, 5}, {800_000, 1280, 720, 10},
				}}}
				var allocator Allocator
				paused, cameras := time.Duration(0), time.Duration(0)
				last := -1.0
				s := trial{link: path(within(4e6, 15*second, 30*second, 5e5)), back: 20 * time.Millisecond, wanted: Demand(tracks), length: 40 * second, seed: seed}
				s.link.limit = limit
				s.media = func(now, target float64) float64 {
					if now-last >= 0.1 {
						at, span := trialStart.Add(time.Duration(now*float64(second))), time.Duration((now-last)*float64(second))
						last = now
						allocator.Carried, allocator.Drowned = s.est.Carries(at), s.est.Drowned(at, allocator.Least())
						for i, c := range allocator.Allocate(at, tracks, int(target)-audioPacket*8*50) {
							tracks[i].Current = c.Layer
						}
						if now > 15 && tracks[2].Current == Paused {
							paused += span
						}
						if now > 18 && now < 30 && (tracks[0].Current > 0 || tracks[1].Current > 0) {
							cameras += span
						}
					}
					bitrate := float64(audioPacket * 8 * 50)
					for i := range tracks {
						bitrate += float64(tracks[i].Bitrate(tracks[i].Current))
					}
					return bitrate
				}
				samples := s.run()
				if seed == 0 {
					row(t, "a screen at 500 kb/s", between(samples, 18*second, 30*second))
				}
				if paused > 0 || cameras > 0 {
					t.Errorf("seed %d: the screen was paused for %v, cameras had more than their floor for %v", seed, paused, cameras)
				}
			}
		})
	}
}
