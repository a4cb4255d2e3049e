package main

import (
	"context"
	"fmt"
	"time"
)

// idleSettle is how long a server is left alone before its memory is read: without connections first, then with all
// of them. Collectors give back what a wave has left behind after a while; nothing makes them.
const idleSettle = 12 * time.Second

// idle is many joined connections that do nothing: what does one take of the server's memory? Memory does not suffer
// from what else the machine does, so the targets are measured side by side.
type idle struct {
	bench *bench
	count int
	size  int // of a room
	found chan idleResult
}

type idleResult struct {
	sample sample
	err    error
}

func openIdle(size int) func(context.Context, *bench, target) (contest, error) {
	return func(ctx context.Context, b *bench, t target) (contest, error) {
		// Both sides of a connection are files, each in its own process; some are needed for other things.
		count := min(b.idle, (fileLimit()-500)/2) / size * size
		if count <= 0 {
			return nil, fmt.Errorf("this process may open only %d files", fileLimit())
		}
		c := &idle{bench: b, count: count, size: size, found: make(chan idleResult, 1)}
		go func() {
			got, err := c.measure(ctx, t)
			c.found <- idleResult{got, err}
		}()
		return c, nil
	}
}

func (c *idle) window(context.Context) (sample, error) {
	got := <-c.found
	return got.sample, got.err
}

func (c *idle) measure(ctx context.Context, t target) (sample, error) {
	s, err := t.start(ctx, c.bench.dir, c.bench.secret)
	if err != nil {
		return sample{}, err
	}
	defer s.stop()
	warm, err := crowd(ctx, s, c.bench.secret, 1, "warm", func(int) string { return "warm" })
	defer part(warm)
	if err != nil {
		return sample{}, err
	}
	before, err := c.settled(ctx, s)
	if err != nil {
		return sample{}, err
	}
	people, err := crowd(ctx, s, c.bench.secret, c.count, "p", roomsOf(c.size))
	defer part(people)
	if err != nil {
		return sample{}, err
	}
	m, err := c.bench.begin(s)
	if err != nil {
		return sample{}, err
	}
	after, err := c.settled(ctx, s)
	if err != nil {
		return sample{}, err
	}
	found, err := c.bench.end(m, c.count, nil)
	found.figure = float64(after-before) / 1024 / float64(c.count)
	found.note = fmt.Sprintf("%d connections, %d MiB in all, %d MiB before they came", c.count, after>>20, before>>20)
	return found, err
}

// settled reads the memory of a server that has been left alone.
func (c *idle) settled(ctx context.Context, s *server) (int64, error) {
	select {
	case <-time.After(idleSettle):
		return s.rss()
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func (c *idle) close() {}
