package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"
)

func openOutbox(t *testing.T, b *Bus, lease time.Duration) *Outbox {
	t.Helper()
	o, err := b.OpenOutbox(testContext(t), lease)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// take waits for the next parcel.
func take(t *testing.T, o *Outbox, destination string, lane int) *Parcel {
	t.Helper()
	p, err := o.Next(testContext(t), destination, lane)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func put(t *testing.T, o *Outbox, destination string, lane int, id string) {
	t.Helper()
	if err := o.Put(testContext(t), destination, lane, id, []byte(id)); err != nil {
		t.Fatal(err)
	}
}

func TestOutbox(t *testing.T) {
	dir := t.TempDir()
	b := openBus(t, Options{DataDir: dir})
	o := openOutbox(t, b, time.Minute)
	for _, id := range []string{"1", "2", "2", "3"} { // a repeat is harmless
		put(t, o, "a", 0, id)
	}
	put(t, o, "a", 1, "other")
	put(t, o, "b", 0, "1")
	first := take(t, o, "a", 0)
	if string(first.Payload) != "1" || first.Attempt != 1 || time.Since(first.Stored) > time.Minute {
		t.Errorf("first: %+v", first)
	}
	if p := take(t, o, "a", 1); string(p.Payload) != "other" {
		t.Errorf("the other lane: %s", p.Payload)
	}
	if p := take(t, o, "b", 0); string(p.Payload) != "1" {
		t.Errorf("the other destination: %s", p.Payload)
	}
	// What is behind one that is on its way, or waits to be tried again, waits.
	briefly, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if p, err := o.Next(briefly, "a", 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("beside the first: %v, %v", p, err)
	}
	if err := first.Retry(50 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	again := take(t, o, "a", 0)
	if string(again.Payload) != "1" || again.Attempt != 2 {
		t.Errorf("again: %s, attempt %d", again.Payload, again.Attempt)
	}
	if err := again.Done(t.Context()); err != nil {
		t.Fatal(err)
	}
	closeBus(t, b)

	b = openBus(t, Options{DataDir: dir})
	o = openOutbox(t, b, time.Minute)
	var got []string
	for range 2 {
		p := take(t, o, "a", 0)
		got = append(got, string(p.Payload))
		if err := p.Done(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got, []string{"2", "3"}) {
		t.Errorf("after a restart: %v", got)
	}
	waiting, err := o.Waiting(t.Context())
	if err != nil || waiting["a"] != 1 || waiting["b"] != 1 {
		t.Errorf("waiting: %v, %v", waiting, err)
	}
	if err := o.Discard(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if waiting, err = o.Waiting(t.Context()); err != nil || waiting["a"] != 0 || waiting["b"] != 1 {
		t.Errorf("waiting after a discard: %v, %v", waiting, err)
	}
}

func TestOutboxIsBounded(t *testing.T) {
	b := openBus(t, Options{})
	o := openOutbox(t, b, time.Minute)
	config := b.outboxConfig()
	config.MaxMsgsPerSubject = 3
	if _, err := o.js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		put(t, o, "a", 0, fmt.Sprint(i))
	}
	if err := o.Put(t.Context(), "a", 0, "one too many", nil); !errors.Is(err, ErrOutboxFull) {
		t.Errorf("into a full lane: %v", err)
	}
	put(t, o, "b", 0, "of another destination")
	if err := o.Put(t.Context(), "A.*", 0, "x", nil); !errors.Is(err, ErrBadName) {
		t.Errorf("to no destination: %v", err)
	}
}

func TestOutboxLanes(t *testing.T) {
	seen := map[int]bool{}
	for i := range 1000 {
		lane := OutboxLane(fmt.Sprint("room-", i))
		if lane < 0 || lane >= OutboxLanes {
			t.Fatalf("lane %d", lane)
		}
		seen[lane] = true
	}
	if len(seen) != OutboxLanes {
		t.Errorf("%d lanes are used", len(seen))
	}
}

// TestOutboxOfNodes takes a parcel at one node, which is then gone, and gets it at another, also over a kill of NATS.
func TestOutboxOfNodes(t *testing.T) {
	server := startExternal(t)
	one, two := openBus(t, Options{URL: server.url()}), openBus(t, Options{URL: server.url()})
	first, second := openOutbox(t, one, time.Second), openOutbox(t, two, time.Second)
	put(t, first, "a", 0, "1")
	put(t, second, "a", 0, "2")
	if p := take(t, first, "a", 0); string(p.Payload) != "1" {
		t.Errorf("one node: %s", p.Payload)
	}
	closeBus(t, one) // with the parcel in hand
	p := take(t, second, "a", 0)
	if string(p.Payload) != "1" || p.Attempt != 2 {
		t.Errorf("the other node: %s, attempt %d", p.Payload, p.Attempt)
	}
	if err := p.Done(t.Context()); err != nil {
		t.Fatal(err)
	}
	server.kill()
	stored := make(chan error, 1)
	go func() { stored <- second.Put(context.WithoutCancel(t.Context()), "a", 0, "3", []byte("3")) }()
	server.start()
	if err := <-stored; err != nil {
		t.Fatal(err)
	}
	var got []string
	for range 2 {
		var p *Parcel
		eventually(t, "a parcel comes after NATS is back", func() (ok bool) {
			var err error
			p, err = second.Next(testContext(t), "a", 0)
			return err == nil
		})
		got = append(got, string(p.Payload))
		if err := p.Done(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(got, []string{"2", "3"}) {
		t.Errorf("after the kill: %v", got)
	}
}
