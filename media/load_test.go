package media

import (
	"slices"
	"testing"
	"time"

	"confab/media/bandwidth"
	"confab/signaling/wire"

	"github.com/pion/webrtc/v4"
)

// The level follows what is used of the CPU, slowly, and more slowly where it would go up and down.
func TestLoad(t *testing.T) {
	var l load
	now, used := time.Unix(1000, 0), time.Duration(0)
	l.look(now, used, 4)
	for i, c := range []struct {
		percent, seconds int
		level            int32
	}{
		{84, 60, 0},                        // not high
		{90, 1, 0}, {80, 1, 0}, {90, 1, 0}, // not for long
		{80, 1, 0}, {90, 2, 1}, {90, 1, 1}, // one step, then its effect is waited for
		{90, 1, 2}, {95, 8, 6}, {100, 20, 6}, // to the end
		{70, 60, 6},                        // neither high nor low
		{50, 9, 6}, {50, 1, 5}, {50, 9, 5}, // slowly down
		{90, 2, 6}, {50, 19, 6}, {50, 1, 5}, // one too many: more slowly
		{50, 20, 4}, {50, 80, 0}, {50, 30, 0}, // to the other end
		{90, 2, 1}, {50, 9, 1}, {50, 1, 0}, // and it is forgotten
		{90, 2, 1}, {55, 10, 1}, {55, 9, 1}, {55, 1, 0}, // one too many again
	} {
		for range c.seconds {
			now, used = now.Add(time.Second), used+time.Duration(c.percent)*4*time.Second/100
			l.look(now, used, 4)
		}
		if got := l.level.Load(); got != c.level {
			t.Fatalf("step %d, %d %% for %d s: level %d, want %d", i, c.percent, c.seconds, got, c.level)
		}
	}
}

// What matters least loses first, and screens nothing.
func TestLoadPriorities(t *testing.T) {
	for level, want := range [][3]int{{0, 0, 0}, {1, 0, 0}, {2, 0, 0}, {3, 0, 0}, {3, 1, 0}, {3, 2, 0}, {3, 3, 0}} {
		var got [3]int
		for i, priority := range []int{bandwidth.PriorityOther, bandwidth.PrioritySpeaker, bandwidth.PriorityScreen} {
			got[i] = less(int32(level), priority)
		}
		if got != want {
			t.Errorf("level %d: %v, want %v", level, got, want)
		}
	}
	if used := cpuTime(); used <= 0 {
		t.Errorf("the process has used %v of the CPU", used)
	}
}

// A server under load sends a smaller layer of a camera and says why; screen and sound stay as they are. When the load
// has gone, the camera is as large as before.
func TestServerLoad(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		ann, ben := l.join("ann", "10.0.0.2"), l.join("ben", "10.0.0.3")
		defer ann.close()
		defer ben.close()
		ann.publishSimulcast("q", "h", "f")
		ann.publish(wire.Microphone, webrtc.MimeTypeOpus)
		ann.publish(wire.Screen, webrtc.MimeTypeVP8)
		ann.do(func() { ann.offer(nil) })
		// The server looks once a second; what is changed between two looks is changed for certain before the next one.
		time.Sleep(time.Until(time.Now().Truncate(loadInterval).Add(5*time.Second + loadInterval/2)))
		for _, c := range []struct {
			name   string
			busy   int32
			after  time.Duration
			layer  int
			reason wire.QualityReason
		}{
			{"at ease", 50, time.Second, 2, wire.QualityFull},
			{"under load", 95, 3 * time.Second, 1, wire.QualityServer},
			{"as it is then", 75, 3 * time.Second, 1, wire.QualityServer},
			{"at ease again", 50, 15 * time.Second, 2, wire.QualityFull},
		} {
			l.busy.Store(c.busy)
			time.Sleep(c.after)
			if c.busy > 80 {
				l.busy.Store(75) // one step was enough
			}
			camera, screen, sound := len(ben.got("ann", wire.Camera)), len(ben.got("ann", wire.Screen)), len(ben.got("ann", wire.Microphone))
			time.Sleep(2 * time.Second)
			if got := seen(ben, camera); !slices.Equal(got, []int{c.layer}) {
				t.Errorf("%s: layers %v, want %d", c.name, got, c.layer)
			}
			if a, b := len(ben.got("ann", wire.Screen))-screen, len(ben.got("ann", wire.Microphone))-sound; a < 480 || b < 190 {
				t.Errorf("%s: %d packets of the screen and %d of the sound in 2 s", c.name, a, b)
			}
			var reason, other wire.QualityReason
			for _, q := range told[wire.MediaQuality](ben) {
				if q.Source == wire.Camera {
					reason = q.Reason
				} else {
					other = q.Reason
				}
			}
			if reason != c.reason || other != wire.QualityFull {
				t.Errorf("%s: the camera is said to be limited by %q, the screen by %q", c.name, reason, other)
			}
		}
	})
}
