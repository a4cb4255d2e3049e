package main

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"confab/cmd/internal/driver"
)

const (
	comebackPeople = 1000 // unless a flag says otherwise
	comebackSize   = 10   // members of a room who lose their connection
	comebackMissed = 100  // messages written into each room meanwhile
)

// comeback is everybody who loses the connection at the same moment and comes back at the same moment: connect,
// authenticate (with the ticket), join again with the cursor, until the last one has every message it missed.
type comeback struct {
	bench  *bench
	target target
	count  int
}

func openComeback(_ context.Context, b *bench, t target) (contest, error) {
	return &comeback{b, t, b.comeback}, nil
}

func (c *comeback) window(ctx context.Context) (sample, error) {
	s, err := c.target.start(ctx, c.bench.dir, c.bench.secret)
	if err != nil {
		return sample{}, err
	}
	defer s.stop()
	rooms := roomsOf(comebackSize)
	keepers, err := crowd(ctx, s, c.bench.secret, c.count/comebackSize, "k", roomsOf(1))
	defer part(keepers)
	if err != nil {
		return sample{}, err
	}
	if err := driver.InParallel(len(keepers), driver.Connectors, func(i int) error { return keepers[i].Say(1) }); err != nil {
		return sample{}, err
	}
	people, err := crowd(ctx, s, c.bench.secret, c.count, "p", rooms)
	defer part(people)
	if err != nil {
		return sample{}, err
	}
	if err := goAway(people, keepers); err != nil {
		return sample{}, err
	}
	if err := driver.InParallel(len(keepers), driver.Connectors, func(i int) error { return keepers[i].Say(comebackMissed) }); err != nil {
		return sample{}, err
	}
	time.Sleep(settleTime)
	return c.storm(ctx, s, people)
}

// goAway drops every connection, and waits until the server has told those who stay.
func goAway(people, keepers []*person) error {
	var told atomic.Int64
	for _, k := range keepers {
		k.Listen(func(line []byte) {
			if driver.IsKind(line, driver.KindPresence) && !bytes.Contains(line, driver.EventJoined) {
				told.Add(1)
			}
		})
	}
	for _, p := range people {
		p.Drop()
	}
	if !driver.Await(driver.AnswerTimeout, func() bool { return told.Load() >= int64(len(people)) }) {
		return fmt.Errorf("the server noticed %d of %d lost connections", told.Load(), len(people))
	}
	return nil
}

// storm has all come back at once. The figure is the time until the last one is complete.
func (c *comeback) storm(ctx context.Context, s *server, people []*person) (sample, error) {
	latency := new(driver.Histogram)
	var (
		group  sync.WaitGroup
		failed atomic.Pointer[error]
		late   atomic.Int64
	)
	m, err := c.bench.begin(s)
	if err != nil {
		return sample{}, err
	}
	start := time.Now()
	for _, p := range people {
		group.Go(func() {
			if err := p.comeBack(ctx, s); err != nil {
				failed.CompareAndSwap(nil, &err)
				late.Add(1)
				return
			}
			latency.Add(time.Since(start))
		})
	}
	group.Wait()
	took := time.Since(start)
	found, err := c.bench.end(m, len(people), latency)
	if first := failed.Load(); first != nil && int(late.Load()) == len(people) {
		return found, *first
	}
	found.note = strconv.Itoa(int(found.figure)) + " us of CPU each"
	found.figure, found.lost = took.Seconds(), int(late.Load())
	return found, err
}

// comeBack returns when p has every message that it missed.
func (p *person) comeBack(ctx context.Context, s *server) error {
	whole := make(chan struct{})
	if err := p.Connect(ctx, s.at()); err != nil {
		return err
	}
	have := 0
	p.Listen(func(line []byte) {
		before := have
		switch {
		case driver.IsKind(line, driver.KindJoined):
			have += bytes.Count(line, driver.ChatWithin)
		case driver.IsKind(line, driver.KindChat):
			have++
		}
		if before < comebackMissed && have >= comebackMissed {
			close(whole)
		}
	})
	if err := p.Write(p.JoinRequest(p.Room, true)); err != nil {
		return err
	}
	select {
	case <-whole:
		return nil
	case <-p.Done():
		return p.Err()
	case <-time.After(driver.AnswerTimeout):
		return fmt.Errorf("%s has %d of %d messages", p.User, have, comebackMissed)
	}
}

func (c *comeback) close() {}
