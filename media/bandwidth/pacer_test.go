package bandwidth

import (
	"testing"
	"time"
)

// send offers a pacer count packets and returns when each of them went.
func send(p *Pacer, now time.Time, count, size int) (at []time.Duration) {
	for start := now; len(at) < count; {
		if p.Open(now) {
			at = append(at, now.Sub(start))
			if p.Sent(now, size) != (p.Next() == 0) {
				panic("it does not know whether it is open")
			}
			continue
		}
		wait := p.Next()
		if wait <= 0 {
			panic("closed without a time to come again")
		}
		now = now.Add(wait)
		if !p.Open(now) {
			panic("closed at the time it has named")
		}
	}
	return at
}

func TestPacer(t *testing.T) {
	now := time.Unix(1000, 0)
	for _, c := range []struct {
		name         string
		target       int
		packets      int
		bursts       int           // separate releases
		least, most  time.Duration // until the last one
		waitingBytes int
	}{
		{"an ordinary frame is one burst", 2_000_000, 10, 1, 0, 0, 0},
		{"a small frame at a small rate too", 100_000, 4, 1, 0, 0, 0},
		{"a key frame is spread", 2_000_000, 100, 9, 150 * time.Millisecond, 190 * time.Millisecond, 0},
		{"a large frame at a large rate is not", 100_000_000, 50, 1, 0, 0, 0},
		{"what would wait too long goes faster", 200_000, 100, 11, 150 * time.Millisecond, 250 * time.Millisecond, 120_000},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p Pacer
			p.SetRate(now, c.target, c.waitingBytes)
			at := send(&p, now, c.packets, 1200)
			bursts := 1
			for i := range at[1:] {
				if at[i+1] != at[i] {
					bursts++
				}
			}
			last := at[len(at)-1]
			if last < c.least || last > c.most || bursts > c.bursts+2 || bursts < c.bursts-2 || c.bursts == 1 && bursts != 1 {
				t.Errorf("%d bursts until %v", bursts, last)
			}
		})
	}
}

// Over time no more than 2.5 times the target goes, however it is asked for.
func TestPacerRate(t *testing.T) {
	var p Pacer
	start := time.Unix(1000, 0)
	p.SetRate(start, 1_000_000, 0)
	sent := 0
	for d := time.Duration(0); d < 10*time.Second; d += 300 * time.Microsecond {
		if p.Open(start.Add(d)) {
			p.Sent(start.Add(d), 1000)
			sent += 1000
		}
	}
	if rate := sent * 8 / 10; rate > 2_520_000 || rate < 2_400_000 {
		t.Errorf("%d bits a second", rate)
	}
}

// What does not wait counts too: audio and resends leave less to video.
func TestPacerCounts(t *testing.T) {
	var p Pacer
	now := time.Unix(1000, 0)
	if !p.Sent(now, 1e9) || !p.Open(now) || p.Next() != 0 {
		t.Error("closed before a rate was set")
	}
	p.SetRate(now, 100_000, 0)
	for range 100 {
		p.Sent(now, 200)
	}
	if p.Open(now) {
		t.Error("audio is not counted")
	}
	if wait := p.Next(); wait <= 0 || wait > time.Second {
		t.Errorf("video waits for %v", wait)
	}
	if n := testing.AllocsPerRun(100, func() { p.Sent(now, 1200); p.Open(now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
