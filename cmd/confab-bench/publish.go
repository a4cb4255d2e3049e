package main

import (
	"context"
	"sync/atomic"
	"time"

	"confab/cmd/internal/driver"
)

// publish is clients in a closed loop, each in a room of its own: the next message goes out when the one before
// is acknowledged. So it measures what it costs to take, to store and to acknowledge, and one delivery: the echo.
type publish struct {
	bench  *bench
	server *server
	people []*person
	length time.Duration

	running atomic.Bool
	flying  atomic.Int64
	acked   atomic.Int64
	latency atomic.Pointer[driver.Histogram]
}

func openPublish(clients int) func(context.Context, *bench, target) (contest, error) {
	return func(ctx context.Context, b *bench, t target) (contest, error) {
		s, err := t.start(ctx, b.dir, b.secret)
		if err != nil {
			return nil, err
		}
		c := &publish{bench: b, server: s, length: b.windowLength / 2}
		if c.people, err = crowd(ctx, s, b.secret, clients, "p", roomsOf(1)); err != nil {
			c.close()
			return nil, err
		}
		for _, p := range c.people {
			p.Listen(c.loop(p))
		}
		time.Sleep(settleTime)
		_, err = c.window(ctx) // warms caches and pools
		return c, err
	}
}

// loop is what a client does with each line: an acknowledgement makes it write again.
func (c *publish) loop(p *person) func([]byte) {
	return func(line []byte) {
		if !driver.IsKind(line, driver.KindAck) {
			return
		}
		c.latency.Load().Add(time.Duration(time.Now().UnixNano() - p.spoke.Load()))
		c.acked.Add(1)
		c.flying.Add(-1)
		c.speak(p)
	}
}

// speak writes p's next message while the window is open.
func (c *publish) speak(p *person) {
	if !c.running.Load() {
		return
	}
	c.flying.Add(1)
	p.spoke.Store(time.Now().UnixNano())
	if err := p.Write(p.NextChat()); err != nil {
		c.flying.Add(-1)
	}
}

func (c *publish) window(context.Context) (sample, error) {
	latency := new(driver.Histogram)
	c.latency.Store(latency)
	m, err := c.bench.begin(c.server)
	if err != nil {
		return sample{}, err
	}
	before := c.acked.Load()
	c.running.Store(true)
	for _, p := range c.people {
		c.speak(p)
	}
	time.Sleep(c.length)
	c.running.Store(false)
	driver.Await(5*time.Second, func() bool { return c.flying.Load() == 0 })
	lost := int(c.flying.Load())
	found, err := c.bench.end(m, int(c.acked.Load()-before), latency)
	found.lost = lost
	return found, err
}

func (c *publish) close() {
	part(c.people)
	c.server.stop()
}
