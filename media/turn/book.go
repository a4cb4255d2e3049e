package turn

import (
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/turn/v5"
)

// book is who has what: allocations of each participant, and what each allocation has. Its methods may be called
// concurrently; none calls back into pion with mu held.
type book struct {
	limits Limits // constant

	running sync.WaitGroup // relays whose reader has not ended; Add with mu held

	mu      sync.Mutex
	closed  bool                      // guarded by mu
	count   map[string]int            // allocations by participant; guarded by mu
	total   int                       // guarded by mu
	relays  map[netip.AddrPort]*relay // those open, by what clients are told; guarded by mu
	clients map[clientKey]*client     // those with an allocation; guarded by mu
	streams map[clientKey]*stream     // TCP and TLS connections; guarded by mu
}

// A clientKey is a client's 5-tuple, as pion's events name it.
type clientKey struct {
	network, client, server string
}

func keyOf(client, server net.Addr) clientKey {
	return clientKey{client.Network(), client.String(), server.String()}
}

// A client is what is known of one allocation. It is guarded by book.mu.
type client struct {
	idle        *time.Timer // ends the allocation
	permissions map[netip.Addr]bool
	channels    int
	granting    time.Time // when pion was last told that it may add a permission
}

// settle is how long pion may take to add a permission. It shows one to others before it has made the permission's
// timer, and would fail on it if it ended the allocation in between.
const settle = 10 * time.Millisecond

func newBook(limits Limits) *book {
	return &book{
		limits: limits, count: map[string]int{}, relays: map[netip.AddrPort]*relay{},
		clients: map[clientKey]*client{}, streams: map[clientKey]*stream{},
	}
}

// room reports whether a participant may have one more allocation.
func (b *book) room(participant string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.roomLocked(participant)
}

func (b *book) roomLocked(participant string) bool {
	return b.total < b.limits.Allocations && b.count[participant] < b.limits.PerParticipant
}

// reserve counts an allocation, until release.
func (b *book) reserve(participant string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case b.closed:
		return errClosed
	case !b.roomLocked(participant):
		return errQuota
	}
	b.total++
	b.count[participant]++
	return nil
}

func (b *book) release(participant string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.total--
	if b.count[participant]--; b.count[participant] == 0 {
		delete(b.count, participant)
	}
}

// size is how many allocations there are.
func (b *book) size() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}

// open notes a relay, until end. It reports false when the server is closed.
func (b *book) open(r *relay) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	b.running.Add(1)
	b.relays[r.told] = r
	return true
}

func (b *book) end(r *relay) {
	b.mu.Lock()
	delete(b.relays, r.told)
	b.mu.Unlock()
	b.running.Done()
}

// close has no allocation be made any more, ends those there are and waits for their readers.
func (b *book) close() error {
	b.mu.Lock()
	b.closed = true
	open := make([]*relay, 0, len(b.relays))
	for _, r := range b.relays {
		open = append(open, r)
	}
	for _, c := range b.clients {
		c.idle.Stop()
	}
	b.mu.Unlock()
	var errs []error
	for _, r := range open {
		errs = append(errs, r.Close())
	}
	b.running.Wait()
	return errors.Join(errs...)
}

// events are what pion tells of allocations.
func (b *book) events() turn.EventHandler {
	return turn.EventHandler{
		OnAuth: func(src, dst net.Addr, _, _, _, _ string, ok bool) {
			if ok {
				b.alive(keyOf(src, dst))
			}
		},
		OnAllocationCreated: func(src, dst net.Addr, _, _, _ string, relay net.Addr, _ int) {
			b.allocated(keyOf(src, dst), relay)
		},
		OnAllocationDeleted: func(src, dst net.Addr, _, _, _ string) { b.deallocated(keyOf(src, dst)) },
		OnPermissionCreated: func(src, dst net.Addr, _, _, _ string, _ net.Addr, peer net.IP) {
			b.permission(keyOf(src, dst), peer, true)
		},
		OnPermissionDeleted: func(src, dst net.Addr, _, _, _ string, _ net.Addr, peer net.IP) {
			b.permission(keyOf(src, dst), peer, false)
			time.Sleep(b.unsettled(keyOf(src, dst)))
		},
		OnChannelCreated: func(src, dst net.Addr, _, _, _ string, _, _ net.Addr, _ uint16) { b.channel(keyOf(src, dst), 1) },
		OnChannelDeleted: func(src, dst net.Addr, _, _, _ string, _, _ net.Addr, _ uint16) { b.channel(keyOf(src, dst), -1) },
	}
}

// allocated notes an allocation. Its client has to prove who it is again within limits.Idle; pion would let it ask for
// an hour at a time.
func (b *book) allocated(key clientKey, at net.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.relays[at.(*net.UDPAddr).AddrPort()]
	b.clients[key] = &client{permissions: map[netip.Addr]bool{}, idle: time.AfterFunc(b.limits.Idle, func() {
		if r != nil {
			_ = r.Close() // pion sees it and ends the allocation
		}
	})}
	if s := b.streams[key]; s != nil {
		s.expect(0)
	}
}

func (b *book) alive(key clientKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.clients[key]; c != nil {
		c.idle.Reset(b.limits.Idle)
	}
}

func (b *book) deallocated(key clientKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.clients[key]; c != nil {
		c.idle.Stop()
		delete(b.clients, key)
	}
	if s := b.streams[key]; s != nil {
		s.expect(b.limits.Silence)
	}
}

func (b *book) permission(key clientKey, peer net.IP, granted bool) {
	ip, _ := netip.AddrFromSlice(peer)
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.clients[key]
	if c == nil {
		return
	}
	if granted {
		c.permissions[ip.Unmap()] = true
	} else {
		delete(c.permissions, ip.Unmap())
	}
}

func (b *book) channel(key clientKey, more int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.clients[key]; c != nil {
		c.channels += more
	}
}

// mayAdd reports whether an allocation may have a permission: one that it has, or one more.
func (b *book) mayAdd(key clientKey, ip netip.Addr) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.clients[key]
	ok := c != nil && c.channels < b.limits.Channels && (c.permissions[ip] || len(c.permissions) < b.limits.Permissions)
	if ok {
		c.granting = time.Now()
	}
	return ok
}

// unsettled returns how long pion has to wait before it ends what it may be adding.
func (b *book) unsettled(key clientKey) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.clients[key]; c != nil {
		return time.Until(c.granting.Add(settle))
	}
	return 0
}

// connected notes a connection, until disconnected.
func (b *book) connected(key clientKey, s *stream) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.streams[key] = s
}

func (b *book) disconnected(key clientKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.streams, key)
}
