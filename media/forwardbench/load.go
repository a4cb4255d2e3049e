package forwardbench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"confab/signaling/wire"
)

const (
	joinGap     = 15 * time.Millisecond // between two joins
	joinTimeout = 10 * time.Second      // of one participant
	drainTime   = 300 * time.Millisecond
)

// A Load is a crowd of clients at one server. Its methods are for one goroutine.
type Load struct {
	// Set by Open, then constant.
	shape       Shape
	remote      remote
	clients     []*client
	rooms       map[wire.RoomID][]*stream
	streamCount int
	stop        chan struct{} // ends the pacers; closed by Close
	pacers      sync.WaitGroup

	received atomic.Int64 // packets, each once for each client
	repeated atomic.Int64 // packets that had come before
	latency  atomic.Pointer[func(time.Duration)]
	late     atomic.Int64 // nanoseconds that a pacer was behind at worst
}

// Open brings a crowd to the server at base, a URL, and waits until it is connected. Publishers come first and send
// while the others come. onPacket is told of each packet's way through the server, by any goroutine; it may be nil.
func Open(ctx context.Context, base string, shape Shape, onPacket func(time.Duration)) (*Load, error) {
	l := &Load{shape: shape, remote: remote{base: base}, rooms: map[wire.RoomID][]*stream{}, stop: make(chan struct{})}
	if onPacket != nil {
		l.latency.Store(&onPacket)
	}
	if err := l.open(ctx); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *Load) open(ctx context.Context) error {
	if err := l.come(ctx, l.shape.Publishers, (*client).publish); err != nil {
		return err
	}
	publishers := slices.Clone(l.clients)
	for _, c := range publishers {
		l.rooms[c.who.room] = append(l.rooms[c.who.room], c.streams...)
	}
	for _, c := range publishers {
		for _, s := range c.streams {
			l.pacers.Go(func() { l.noteLate(s.run(l.stop, l.shape)) })
		}
	}
	if l.shape.Publishers > 1 {
		for _, c := range publishers {
			if err := within(ctx, c.subscribe); err != nil {
				return err
			}
		}
	}
	return l.come(ctx, l.shape.Viewers, (*client).subscribe)
}

// come has so many clients of each room do their first thing.
func (l *Load) come(ctx context.Context, perRoom int, first func(*client, context.Context) error) error {
	for room := range l.shape.Rooms {
		for range perRoom {
			c, err := newClient(l, room, len(l.clients))
			if err != nil {
				return err
			}
			l.clients = append(l.clients, c)
			if err := within(ctx, func(ctx context.Context) error { return first(c, ctx) }); err != nil {
				return fmt.Errorf("forwardbench: %s in %s: %w", c.who.id, c.who.room, err)
			}
		}
	}
	return nil
}

// within gives f as long as one participant may take, and the next one its distance.
func within(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	gap := time.NewTimer(joinGap)
	defer gap.Stop()
	if err := f(ctx); err != nil {
		return err
	}
	<-gap.C
	return nil
}

func (l *Load) noteLate(d time.Duration) {
	for {
		old := l.late.Load()
		if int64(d) <= old || l.late.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

// A Mark is a moment of a Load.
type Mark struct {
	sent     []uint32 // by stream
	received int64
	repeated int64
}

// Mark notes how far everything is.
func (l *Load) Mark() Mark {
	m := Mark{received: l.received.Load(), repeated: l.repeated.Load(), sent: make([]uint32, l.streamCount)}
	for _, streams := range l.rooms {
		for _, s := range streams {
			m.sent[s.index] = s.sent.Load()
		}
	}
	return m
}

// Received is how many packets have come between two marks, each counted once for each client.
func Received(from, to Mark) int { return int(to.received - from.received) }

// A Loss is what became of the packets that were sent between two marks.
type Loss struct {
	Expected int // at all clients together
	Lost     int
	Repeated int // packets that came once more, retransmissions included
}

// Loss waits for what is under way and counts what is missing of what was sent between two marks.
func (l *Load) Loss(from, to Mark) Loss {
	time.Sleep(drainTime)
	loss := Loss{Repeated: int(to.repeated - from.repeated)}
	for _, c := range l.clients {
		for _, s := range c.others() {
			first, end := from.sent[s.index], to.sent[s.index]
			loss.Expected += int(end - first)
			loss.Lost += int(end-first) - c.got(s.index, first, end)
		}
	}
	return loss
}

// FirstPackets is how long each client waited for its first packet, from posting its first answer; what has not come
// is left out. Setting up ICE and DTLS is part of it, unless the client had published before.
func (l *Load) FirstPackets() []time.Duration {
	var waits []time.Duration
	for _, c := range l.clients {
		if first := c.first.Load(); first != 0 {
			waits = append(waits, time.Duration(first))
		}
	}
	return waits
}

// Late is how far a publisher was behind its schedule at worst; it is known after Close.
func (l *Load) Late() time.Duration { return time.Duration(l.late.Load()) }

// Stats asks the server for its own.
func (l *Load) Stats(ctx context.Context) (Stats, error) {
	var s Stats
	err := l.remote.post(ctx, "/stats", struct{}{}, &s)
	return s, err
}

// Close ends all clients and waits for them.
func (l *Load) Close() error {
	close(l.stop)
	l.pacers.Wait()
	errs := make([]error, len(l.clients))
	var closing sync.WaitGroup
	for i, c := range l.clients {
		closing.Go(func() { errs[i] = c.close() })
	}
	closing.Wait()
	l.remote.http.CloseIdleConnections()
	return errors.Join(errs...)
}
