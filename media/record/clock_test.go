package record

import (
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

func TestClock(t *testing.T) {
	type step struct {
		ts      uint32
		arrival time.Duration
		want    time.Duration
	}
	tests := map[string][]step{
		"follows timestamps, not arrivals": {
			{0, 0, 0}, {3000, 90 * time.Millisecond, 33333333}, {9000, 95 * time.Millisecond, 100 * time.Millisecond},
		},
		"wraps": {
			{0xffffffff - 2999, 0, 0}, {0, 33 * time.Millisecond, 33333333}, {90000 - 3000, time.Second, time.Second},
		},
		"never goes back": {
			{9000, 0, 0}, {18000, 100 * time.Millisecond, 100 * time.Millisecond}, {9000, 200 * time.Millisecond, 100 * time.Millisecond},
			{27000, 300 * time.Millisecond, 200 * time.Millisecond},
		},
		"a long pause is one": {
			{0, 0, 0}, {90000 * 600, 600 * time.Second, 600 * time.Second},
		},
		"a jump of the timestamps is none": {
			{0, 0, 0}, {1 << 30, time.Second, time.Second}, {1<<30 + 90000, 2 * time.Second, 2 * time.Second},
		},
	}
	for name, steps := range tests {
		t.Run(name, func(t *testing.T) {
			c := clock{rate: 90000}
			for i, s := range steps {
				if got := c.at(s.ts, noon.Add(s.arrival)); got != s.want {
					t.Errorf("step %d: %v, want %v", i, got, s.want)
				}
			}
		})
	}
}

// TestReportsAlignTracks has sound and picture of one participant arrive with different delays. Their reports put the
// files where they belong.
func TestReportsAlignTracks(t *testing.T) {
	var wall wallClock
	sound, picture := clock{rate: 48000}, clock{rate: 90000}
	theirs := noon.Add(-7 * time.Hour) // the participant's clock is wrong
	const soundDelay, pictureDelay = 20 * time.Millisecond, 180 * time.Millisecond
	sound.at(1000, noon.Add(soundDelay))
	picture.at(5000, noon.Add(pictureDelay))
	for i := range uint32(3) {
		sent := time.Duration(i) * time.Second
		ntp := ntpOf(theirs.Add(sent))
		sound.report(1000+48000*i, wall.report(ntpTime(ntp), noon.Add(sent+15*time.Millisecond)))
		picture.report(5000+90000*i, wall.report(ntpTime(ntp), noon.Add(sent+170*time.Millisecond)))
	}
	if off := picture.base.Sub(sound.base); off < -time.Millisecond || off > time.Millisecond {
		t.Errorf("captured at the same time, %v apart", off)
	}
	if off := sound.base.Sub(noon); off != 15*time.Millisecond {
		t.Errorf("the first frame is %v after it was captured; the fastest report took 15 ms", off)
	}
}

// TestDriftIsFollowed has a sound card that is 200 ppm fast for ten minutes.
func TestDriftIsFollowed(t *testing.T) {
	var wall wallClock
	c := clock{rate: 48000}
	var position time.Duration
	for i := range 600 {
		real := time.Duration(i) * time.Second
		ts := uint32(float64(i) * 48000 * 1.0002)
		position = c.at(ts, noon.Add(real))
		c.report(ts, wall.report(noon.Add(real), noon.Add(real)))
	}
	if off := position - 599*time.Second; off < -5*time.Millisecond || off > 5*time.Millisecond {
		t.Errorf("%v off after ten minutes", off)
	}
}

// TestReportIsNotBelieved ignores what would put a frame somewhere it cannot be.
func TestReportIsNotBelieved(t *testing.T) {
	var c clock
	c.rate = 90000
	c.report(0, noon) // before any frame
	c.at(0, noon)
	c.report(0, noon.Add(time.Hour))
	if c.settled || !c.base.Equal(noon) {
		t.Errorf("base %v, settled %v", c.base, c.settled)
	}
}

func TestWallClockSet(t *testing.T) {
	var w wallClock
	w.report(noon, noon.Add(50*time.Millisecond))
	if got := w.report(noon.Add(time.Second), noon.Add(1090*time.Millisecond)); got.Sub(noon) > 1051*time.Millisecond {
		t.Errorf("a slow report moved the clock: %v", got.Sub(noon))
	}
	set := noon.Add(-time.Hour) // the participant sets its clock back
	if got := w.report(set, noon.Add(2*time.Second)); !got.Equal(noon.Add(2 * time.Second)) {
		t.Errorf("after it was set: %v", got)
	}
}

func TestNTPTime(t *testing.T) {
	// 2026-11-20 12:00:00.5 UTC.
	if got := ntpTime(ntpOf(noon.Add(500 * time.Millisecond))); got.Sub(noon).Round(time.Microsecond) != 500*time.Millisecond {
		t.Errorf("%v", got)
	}
	if got := ntpTime(2208988800 << 32); !got.Equal(time.Unix(0, 0)) {
		t.Errorf("1970 is %v", got)
	}
}
