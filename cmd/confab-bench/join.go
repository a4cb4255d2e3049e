package main

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"confab/cmd/internal/driver"
)

const (
	joinRoom     = "hall"
	joinFirst    = 75 // members in the room before
	joinVisitors = 50 // who join, so that the room has 100 members on average
	joinHistory  = 256
)

// join is people who enter a room of 100 members with 256 messages of history, at an even pace. They are
// connected and authenticated before; leaving is not measured.
type join struct {
	bench     *bench
	server    *server
	residents []*person
	visitors  []*visitor
	rate      int // joins a second
	repeats   int // of the same within a window

	told    atomic.Int64 // residents who heard of a visitor
	latency *driver.Histogram
}

// A visitor is complete when it has the history.
type visitor struct {
	*person
	asked atomic.Int64 // when, in nanoseconds since 1970
	have  atomic.Int64 // messages
	whole chan time.Duration
}

func openJoin(rate int) func(context.Context, *bench, target) (contest, error) {
	return func(ctx context.Context, b *bench, t target) (contest, error) {
		s, err := t.start(ctx, b.dir, b.secret)
		if err != nil {
			return nil, err
		}
		c := &join{bench: b, server: s, rate: rate, repeats: max(1, int(b.windowLength.Seconds())*rate/joinVisitors/2)}
		if err := c.prepare(ctx); err != nil {
			c.close()
			return nil, err
		}
		_, err = c.wave() // warms caches and pools
		return c, err
	}
}

func (c *join) prepare(ctx context.Context) error {
	var err error
	everyone := func(int) string { return joinRoom }
	if c.residents, err = crowd(ctx, c.server, c.bench.secret, joinFirst, "r", everyone); err != nil {
		return err
	}
	if err = c.residents[0].Say(joinHistory); err != nil {
		return err
	}
	people, err := crowd(ctx, c.server, c.bench.secret, joinVisitors, "v", noRoom)
	for _, p := range people {
		if p == nil {
			continue
		}
		v := &visitor{person: p, whole: make(chan time.Duration, 1)}
		p.Room = joinRoom
		p.Listen(v.heard)
		c.visitors = append(c.visitors, v)
	}
	for _, p := range c.residents {
		p.Listen(func(line []byte) {
			if driver.IsKind(line, driver.KindPresence) && bytes.Contains(line, driver.EventJoined) {
				c.told.Add(1)
			}
		})
	}
	time.Sleep(settleTime)
	return err
}

// heard counts the history: within joined, or message by message behind it.
func (v *visitor) heard(line []byte) {
	var more int
	switch {
	case driver.IsKind(line, driver.KindJoined):
		more = bytes.Count(line, driver.ChatWithin)
	case driver.IsKind(line, driver.KindChat):
		more = 1
	}
	if more > 0 && v.have.Add(int64(more)) == joinHistory {
		v.whole <- time.Duration(time.Now().UnixNano() - v.asked.Load())
	}
}

func (c *join) window(context.Context) (sample, error) {
	c.latency = new(driver.Histogram)
	var whole sample
	for range c.repeats {
		part, err := c.wave()
		if err != nil {
			return whole, err
		}
		whole = whole.plus(part)
	}
	whole.latency = c.latency
	return whole, nil
}

// wave lets every visitor in once, and out again when the measure is taken.
func (c *join) wave() (sample, error) {
	if c.latency == nil {
		c.latency = new(driver.Histogram)
	}
	c.told.Store(0)
	m, err := c.bench.begin(c.server)
	if err != nil {
		return sample{}, err
	}
	start := time.Now()
	for i, v := range c.visitors {
		time.Sleep(time.Until(start.Add(time.Duration(i) * time.Second / time.Duration(c.rate))))
		v.have.Store(0)
		v.asked.Store(time.Now().UnixNano())
		if err := v.Write(v.JoinRequest(joinRoom, false)); err != nil {
			return sample{}, err
		}
	}
	for _, v := range c.visitors {
		select {
		case took := <-v.whole:
			c.latency.Add(took)
		case <-v.Done():
			return sample{}, fmt.Errorf("a visitor was cut off: %w", v.Err())
		case <-time.After(driver.AnswerTimeout):
			return sample{}, fmt.Errorf("a visitor got %d of %d messages of history", v.have.Load(), joinHistory)
		}
	}
	events := int64(joinFirst * joinVisitors)
	driver.Await(2*time.Second, func() bool { return c.told.Load() >= events })
	found, err := c.bench.end(m, joinVisitors, nil)
	found.lost = int(events - c.told.Load())
	if err != nil {
		return found, err
	}
	for _, v := range c.visitors {
		if err := v.Leave(); err != nil {
			return found, err
		}
	}
	time.Sleep(settleTime) // until everyone has heard that they left
	return found, nil
}

// plus averages two samples by their ops.
func (s sample) plus(other sample) sample {
	if s.ops == 0 {
		return other
	}
	mean := func(a, b float64) float64 {
		return (a*float64(s.ops) + b*float64(other.ops)) / float64(s.ops+other.ops)
	}
	s.figure, s.server, s.driver = mean(s.figure, other.figure), mean(s.server, other.server), mean(s.driver, other.driver)
	s.ops += other.ops
	s.lost += other.lost
	s.late = max(s.late, other.late)
	return s
}

func (c *join) close() {
	part(c.residents)
	for _, v := range c.visitors {
		v.Bye()
	}
	c.server.stop()
}
