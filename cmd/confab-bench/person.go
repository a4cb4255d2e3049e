package main

import (
	"context"
	"fmt"
	"strconv"
	"sync/atomic"

	"confab/cmd/internal/driver"
)

// A person is a client of a scenario.
type person struct {
	*driver.Person
	spoke atomic.Int64 // when the last message was written, in a closed loop, in nanoseconds since 1970
}

// enter connects and authenticates.
func enter(ctx context.Context, s *server, secret, user string) (*person, error) {
	token, err := driver.Mint([]byte(secret), user)
	if err != nil {
		return nil, err
	}
	p := &person{Person: &driver.Person{User: user, Token: token}}
	return p, p.Connect(ctx, s.at())
}

// crowd has n people enter, each into the room that roomOf names; none joins where it names none.
func crowd(ctx context.Context, s *server, secret string, n int, prefix string, roomOf func(i int) string) ([]*person, error) {
	people := make([]*person, n)
	err := driver.InParallel(n, driver.Connectors, func(i int) error {
		p, err := enter(ctx, s, secret, prefix+strconv.Itoa(i))
		if err != nil {
			return fmt.Errorf("person %d of %d at %s: %w", i, n, s.name, err)
		}
		people[i] = p
		if room := roomOf(i); room != "" {
			_, err = p.Join(room)
		}
		return err
	})
	return people, err
}

func noRoom(int) string { return "" }

// roomsOf spreads people over rooms of a size.
func roomsOf(size int) func(i int) string {
	return func(i int) string { return "room-" + strconv.Itoa(i/size) }
}

// part ends everybody's connection.
func part(people []*person) {
	for _, p := range people {
		if p != nil && p.Conn != nil {
			p.Bye()
		}
	}
}
