package main

import (
	"bytes"
	"context"
	"fmt"
	"math/bits"
	"sync/atomic"
	"time"

	"confab/cmd/internal/driver"
)

// A client is one person of a scenario and what reached them.
type client struct {
	*driver.Person
	load *load
	room *room

	// Owned by the reading goroutine; read by others once the connection has ended.
	seen bitset // messages of the room, by their numbers

	unique atomic.Int64 // messages that are in seen
}

// A room is one room of a scenario.
type room struct {
	name    string
	members []*client
}

// A bitset is a set of small numbers.
type bitset []uint64

func newBitset(n int) bitset { return make(bitset, n/64+1) }

// add puts n in and reports whether it was not there. Numbers beyond the set's size are none of ours.
func (b bitset) add(n int) (first, known bool) {
	if n/64 >= len(b) {
		return false, false
	}
	bit := uint64(1) << (n % 64)
	first = b[n/64]&bit == 0
	b[n/64] |= bit
	return first, true
}

// without counts what is in b and not in other, which is as large.
func (b bitset) without(other bitset) (n int64) {
	for i := range b {
		n += int64(bits.OnesCount64(b[i] &^ other[i]))
	}
	return n
}

// enter connects n people into rooms of a size, at most so many a second; size 0 = into none. Those who came are there also
// beside an error.
func (l *load) enter(ctx context.Context, kind string, n, size, aSecond, messages int) ([]*client, []*room, error) {
	people := make([]*client, n)
	var rooms []*room
	if size > 0 {
		rooms = make([]*room, (n+size-1)/size)
		for i := range rooms {
			rooms[i] = &room{name: l.room(i)}
		}
	}
	waits := new(driver.Histogram)
	var there atomic.Int64
	began := time.Now()
	l.report.now(func() string { return fmt.Sprintf("%d of %d people are there", there.Load(), n) })
	err := driver.InParallel(n, driver.Connectors, func(i int) error {
		if aSecond > 0 && !sleepUntil(ctx, began.Add(time.Duration(i)*time.Second/time.Duration(aSecond))) {
			return context.Cause(ctx)
		}
		p, err := l.newPerson(kind, i)
		if err != nil {
			return err
		}
		asked := time.Now()
		if err := l.connect(ctx, p); err != nil {
			return fmt.Errorf("person %d of %d: %w", i+1, n, err)
		}
		c := &client{Person: p, load: l, seen: newBitset(messages)}
		people[i] = c
		if size > 0 {
			c.room = rooms[i/size]
			if _, err := c.Join(c.room.name); err != nil {
				return fmt.Errorf("person %d of %d: %w", i+1, n, err)
			}
		}
		waits.Add(time.Since(asked))
		there.Add(1)
		return ctx.Err()
	})
	for i, c := range people {
		if c != nil && size > 0 {
			rooms[i/size].members = append(rooms[i/size].members, c)
		}
	}
	l.found.People += int(there.Load())
	what := "to connect"
	if size > 0 {
		what = "to connect and join"
	}
	l.found.latency(what, waits)
	return people, rooms, err
}

// read takes in a message of the room. It reports whether it is one of this run that the client had not seen.
func (c *client) read(id []byte) bool {
	n, ours := c.load.number(id)
	if !ours {
		return false
	}
	first, known := c.seen.add(n)
	switch {
	case !known:
		return false
	case !first:
		c.load.found.doubled.Add(1)
		return false
	}
	c.unique.Add(1)
	return true
}

// readAll takes in the messages within a line, the history of a joined say.
func (c *client) readAll(line []byte) {
	for {
		i := bytes.Index(line, driver.ChatWithin)
		if i < 0 {
			return
		}
		line = line[i+len(driver.ChatWithin):]
		c.read(driver.IDOf(line))
	}
}

// cut reports whether the connection has ended by itself.
func (c *client) cut() bool {
	select {
	case <-c.Done():
		return true
	default:
		return false
	}
}

// part ends everybody's connection, and counts those that were cut off before. It returns who stayed until now.
func (l *load) part(people []*client) (stayed []*client) {
	for _, c := range people {
		switch {
		case c == nil:
		case c.cut():
			l.found.CutOff++
			l.found.note(c.Err())
		default:
			stayed = append(stayed, c)
			c.Bye()
		}
	}
	return stayed
}

// sleepUntil reports false when ctx ended first.
func sleepUntil(ctx context.Context, at time.Time) bool {
	wait := time.Until(at)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
