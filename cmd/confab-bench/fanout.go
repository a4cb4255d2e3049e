package main

import (
	"context"
	"sync/atomic"
	"time"

	"confab/cmd/internal/driver"
)

// fanout is many rooms of one size, a steady rate of messages into each, and everybody reads.
type fanout struct {
	bench  *bench
	server *server
	people []*person
	size   int
	rate   int // messages a second into each room
	length time.Duration

	delivered atomic.Int64
	latency   atomic.Pointer[driver.Histogram]
}

// settleTime is how long a server gets after its clients have come and before it is measured.
const settleTime = 500 * time.Millisecond

func openFanout(rooms, size, rate int) func(context.Context, *bench, target) (contest, error) {
	return func(ctx context.Context, b *bench, t target) (contest, error) {
		s, err := t.start(ctx, b.dir, b.secret)
		if err != nil {
			return nil, err
		}
		f := &fanout{bench: b, server: s, size: size, rate: rate, length: b.windowLength}
		f.latency.Store(new(driver.Histogram))
		f.people, err = crowd(ctx, s, b.secret, rooms*size, "p", roomsOf(size))
		if err != nil {
			f.close()
			return nil, err
		}
		for _, p := range f.people {
			p.Listen(f.heard)
		}
		time.Sleep(settleTime)
		f.send(b.windowLength / 4) // warms caches and pools
		return f, nil
	}
}

// heard counts a delivered message. It runs on every reader.
func (f *fanout) heard(line []byte) {
	if !driver.IsKind(line, driver.KindChat) {
		return
	}
	if at := driver.SentAt(line); at > 0 {
		f.latency.Load().Add(time.Duration(time.Now().UnixNano() - at))
	}
	f.delivered.Add(1)
}

func (f *fanout) window(context.Context) (sample, error) {
	latency := new(driver.Histogram)
	f.latency.Store(latency)
	m, err := f.bench.begin(f.server)
	if err != nil {
		return sample{}, err
	}
	before := f.delivered.Load()
	expected, late := f.send(f.length)
	got := int(f.delivered.Load() - before)
	found, err := f.bench.end(m, got, latency)
	found.lost, found.late = expected-got, late
	return found, err
}

// send writes at the rate into every room, evenly, the first member of each being the one who speaks, and waits
// until everything has arrived. It returns how many deliveries there should have been and how far the driver
// was behind at worst.
func (f *fanout) send(length time.Duration) (expected int, late time.Duration) {
	rooms := len(f.people) / f.size
	total := int(length.Seconds() * float64(f.rate*rooms))
	interval := time.Second / time.Duration(f.rate*rooms)
	target := f.delivered.Load()
	start := time.Now()
	for i := range total {
		due := start.Add(time.Duration(i) * interval)
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		} else {
			late = max(late, -wait)
		}
		speaker := f.people[i%rooms*f.size]
		if err := speaker.Write(speaker.NextChat()); err != nil {
			break // its deliveries are counted as lost
		}
	}
	expected = total * f.size
	driver.Await(5*time.Second, func() bool { return f.delivered.Load()-target >= int64(expected) })
	return expected, late
}

func (f *fanout) close() {
	part(f.people)
	f.server.stop()
}
