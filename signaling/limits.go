package signaling

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"confab/signaling/wire"
)

const (
	burstSeconds   = 4  // a bucket holds this many seconds of its rate
	addressFactor  = 10 // an address may send this many times what one session may
	authsPerSecond = 20 // attempts to authenticate per address
	authBurst      = 300
	failedAuthCost = 10 // attempts; so 30 failures in a row, then one in half a second
)

// A bucket is a token bucket in one word (the generic cell rate algorithm): the moment at which it is full
// again, on the server's clock. The zero value is full.
type bucket int64

// take takes cost tokens at the moment now from a bucket that refills one per interval and holds burst. It returns
// how long until there are enough, 0 = taken.
func (b *bucket) take(now, interval time.Duration, burst, cost int) time.Duration {
	full := max(time.Duration(*b), now)
	after := full + time.Duration(cost)*interval
	if wait := after - now - time.Duration(burst)*interval; wait > 0 {
		return wait
	}
	*b = bucket(after)
	return 0
}

// An address is what is counted for all connections of one client address.
type address struct {
	// Set by enter, then constant.
	source netip.Prefix

	// Guarded by the table's mu.
	connections int

	// Guarded by mu.
	mu       sync.Mutex
	messages bucket
	auths    bucket
}

// takeMessage takes one message from what the address may send.
func (a *address) takeMessage(now, interval time.Duration, burst int) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.messages.take(now, interval, burst, 1)
}

// takeAuth takes attempts to authenticate.
func (a *address) takeAuth(now time.Duration, cost int) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.auths.take(now, time.Second/authsPerSecond, authBurst, cost)
}

// idle reports whether a says nothing that a new one would not say.
func (a *address) idle(now time.Duration) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return time.Duration(a.messages) <= now && time.Duration(a.auths) <= now
}

// addresses counts connections by address. It is bounded by the connections that are open or came in the last
// seconds, which the process's file limit and the listener bound.
type addresses struct {
	// Set once, then constant.
	limit int // connections per address; 0 = none

	// Guarded by mu.
	mu  sync.Mutex
	all map[netip.Prefix]*address
}

// enter counts a connection from source; nil when it has too many already.
func (t *addresses) enter(source netip.Prefix) *address {
	t.mu.Lock()
	defer t.mu.Unlock()
	a := t.all[source]
	if a == nil {
		a = &address{source: source}
		t.all[source] = a
	}
	if t.limit > 0 && a.connections >= t.limit {
		return nil
	}
	a.connections++
	return a
}

// leave takes a connection back.
func (t *addresses) leave(a *address) {
	t.mu.Lock()
	a.connections--
	t.mu.Unlock()
}

// forget removes the addresses without connections that owe nothing.
func (t *addresses) forget(now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for source, a := range t.all {
		if a.connections == 0 && a.idle(now) {
			delete(t.all, source)
		}
	}
}

// An errorWindow remembers when the last wire.MaxErrors errors were, in milliseconds of the server's clock. The
// differences stay right when the counter wraps after 49 days.
type errorWindow struct {
	at    [wire.MaxErrors]uint32
	next  int
	count int
}

// add notes an error and reports whether it is the one too many.
func (w *errorWindow) add(now time.Duration) bool {
	ms := uint32(now / time.Millisecond)
	w.at[w.next] = ms
	w.next = (w.next + 1) % len(w.at)
	w.count = min(w.count+1, len(w.at))
	return w.count == len(w.at) && ms-w.at[w.next] <= uint32(wire.ErrorWindow/time.Millisecond)
}

// clock is the server's own: time since its start, from the monotonic clock.
type clock struct {
	start time.Time
	skew  atomic.Int64 // added by tests
}

func (c *clock) now() time.Duration { return time.Since(c.start) + time.Duration(c.skew.Load()) }
