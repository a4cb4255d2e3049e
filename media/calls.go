package media

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"time"

	"confab/signaling/wire"
)

const (
	seatPatience = 10 * time.Second // for one signal; a peer takes milliseconds
	maxSeatIn    = 64               // signals and subscriptions that wait for one participant
	maxSeatOut   = 1024             // messages that wait to be delivered to one
)

// Calls is a Server for rooms: participants, each with the peer that its newest RTCPeerConnection needs. It makes
// that peer when the first offer comes, makes another when the client has begun anew, and ends it when the
// participant leaves.
//
// Its methods do not block and may be called concurrently. Each participant has a goroutine, which brings signals to
// the peer and the peer's messages to the room, both in order; Close waits for all of them.
type Calls struct {
	// Set by NewCalls, then constant.
	server  *Server
	deliver func(wire.RoomID, wire.ParticipantID, wire.ServerMessage)

	running sync.WaitGroup // of the seats

	mu     sync.Mutex
	closed bool              // guarded by mu
	seats  map[seatKey]*seat // guarded by mu
}

type seatKey struct {
	room        wire.RoomID
	participant wire.ParticipantID
}

// NewCalls serves calls with server, which the caller closes after it. deliver brings a participant what the SFU has to
// say: wire.Signal, wire.PublishMedia, wire.MediaQuality and wire.ActiveSpeakers. It may block for a while.
func NewCalls(server *Server, deliver func(wire.RoomID, wire.ParticipantID, wire.ServerMessage)) *Calls {
	return &Calls{server: server, deliver: deliver, seats: map[seatKey]*seat{}}
}

// Signal brings a participant's signal to its peer. The answer is wire.Ack, or a *wire.Error: not-found when there
// is no peer and the signal is not the first offer of an RTCPeerConnection, so that the client has to make a new one;
// rate-limited; and those of Peer.Signal.
func (c *Calls) Signal(room wire.RoomID, from wire.ParticipantID, grants wire.Grants, msg wire.Signal, answer func(wire.ServerMessage, error)) {
	c.post(seatKey{room, from}, answer, func(ctx context.Context, s *seat) error {
		s.grants = grants
		return s.signal(ctx, msg)
	})
}

// Subscribe says what a participant wants to see, now and by later peers. The answer is wire.Ack or a *wire.Error;
// see Peer.Subscribe.
func (c *Calls) Subscribe(room wire.RoomID, from wire.ParticipantID, grants wire.Grants, msg wire.SubscribeMedia, answer func(wire.ServerMessage, error)) {
	c.post(seatKey{room, from}, answer, func(ctx context.Context, s *seat) error {
		s.grants = grants
		return s.subscribe(ctx, msg)
	})
}

// SetGrants says what a participant may do from now on.
func (c *Calls) SetGrants(room wire.RoomID, of wire.ParticipantID, grants wire.Grants) {
	if s := c.seat(seatKey{room, of}, false); s != nil {
		s.put(func(ctx context.Context) {
			s.grants = grants
			if s.live() {
				if err := s.peer.SetGrants(ctx, grants); err != nil {
					s.peer.log.Debug("setting grants", "error", err)
				}
			}
		}, true)
	}
}

// Leave ends a participant's peer, and has the others of the room forget what they wanted to see of it.
func (c *Calls) Leave(room wire.RoomID, who wire.ParticipantID) {
	key := seatKey{room, who}
	c.mu.Lock()
	s := c.seats[key]
	delete(c.seats, key)
	var others []*seat
	for other, seat := range c.seats {
		if other.room == room {
			others = append(others, seat)
		}
	}
	c.mu.Unlock()
	if s != nil {
		s.leave()
	}
	for _, other := range others {
		other.put(func(ctx context.Context) { other.forget(ctx, who) }, true)
	}
}

// Close ends all peers and waits for them. The Server stays open.
func (c *Calls) Close() {
	c.mu.Lock()
	c.closed = true
	seats := c.seats
	c.seats = map[seatKey]*seat{}
	c.mu.Unlock()
	for _, s := range seats {
		s.leave()
	}
	c.running.Wait()
}

// post has a participant's goroutine do something and answer.
func (c *Calls) post(key seatKey, answer func(wire.ServerMessage, error), do func(context.Context, *seat) error) {
	s := c.seat(key, true)
	if s == nil {
		answer(nil, wire.Errorf(wire.CodeUnavailable, "the server is going down; try again in a moment"))
		return
	}
	taken := s.put(func(ctx context.Context) {
		if err := do(ctx, s); err != nil {
			answer(nil, err)
			return
		}
		answer(wire.Ack{}, nil)
	}, false)
	if !taken {
		answer(nil, wire.Errorf(wire.CodeRateLimited, "more than %d signals wait for the SFU", maxSeatIn))
	}
}

// seat returns the seat of a participant, made if there is none and it shall be; nil when there is none.
func (c *Calls) seat(key seatKey, create bool) *seat {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.seats[key]
	if s != nil || !create || c.closed {
		return s
	}
	s = &seat{calls: c, key: key, wake: make(chan struct{}, 1), subscriptions: map[trackKey]wire.SubscribeMedia{}}
	c.seats[key] = s
	c.running.Go(s.run)
	return s
}

// A seat is one participant's place in a call, with or without a peer.
type seat struct {
	// Set by Calls.seat, then constant.
	calls *Calls
	key   seatKey
	wake  chan struct{} // something is in in, out or gone; holds one

	// Owned by run.
	peer          *Peer  // nil = none yet
	session       string // of the peer: what the client's descriptions call it
	grants        wire.Grants
	subscriptions map[trackKey]wire.SubscribeMedia // for the next peer

	mu     sync.Mutex
	in     []func(context.Context) // guarded by mu
	out    []wire.ServerMessage    // guarded by mu
	gone   bool                    // guarded by mu: the participant has left
	broken bool                    // guarded by mu: out was full, so that the client has missed something
}

// put queues a command. What is necessary is taken at the bound too. False: the queue is full.
func (s *seat) put(do func(context.Context), necessary bool) bool {
	s.mu.Lock()
	full := len(s.in) >= maxSeatIn && !necessary
	if !full {
		s.in = append(s.in, do)
	}
	s.mu.Unlock()
	poke(s.wake)
	return !full
}

// tell queues a message for the client. The peer calls it; it never blocks.
func (s *seat) tell(msg wire.ServerMessage) {
	s.mu.Lock()
	if len(s.out) < maxSeatOut {
		s.out = append(s.out, msg)
	} else {
		s.broken = true
	}
	s.mu.Unlock()
	poke(s.wake)
}

func (s *seat) leave() {
	s.mu.Lock()
	s.gone = true
	s.mu.Unlock()
	poke(s.wake)
}

// run is the seat's goroutine.
func (s *seat) run() {
	for range s.wake {
		for s.turn() {
		}
		if s.end() {
			return
		}
	}
}

// turn delivers what waits, or does one command; false when there was neither.
func (s *seat) turn() bool {
	s.mu.Lock()
	out := s.out
	s.out = nil
	var do func(context.Context)
	if len(out) == 0 && len(s.in) > 0 {
		do, s.in = s.in[0], s.in[1:]
	}
	s.mu.Unlock()
	for _, msg := range out {
		s.calls.deliver(s.key.room, s.key.participant, msg)
	}
	if do != nil {
		ctx, cancel := context.WithTimeout(context.Background(), seatPatience)
		defer cancel()
		do(ctx)
	}
	return do != nil || len(out) > 0
}

// end closes the peer of a participant who has left, or whose client has missed something that it cannot do
// without. It reports whether the seat is over.
func (s *seat) end() bool {
	s.mu.Lock()
	gone, broken := s.gone, s.broken
	s.broken = false
	s.mu.Unlock()
	if (gone || broken) && s.peer != nil {
		s.peer.Close()
		s.peer = nil
	}
	return gone
}

// live reports whether there is a peer that has not ended by itself.
func (s *seat) live() bool {
	if s.peer != nil && s.peer.Err() != nil {
		s.peer = nil
	}
	return s.peer != nil
}

// signal brings a signal to the peer, which it makes for the first offer of an RTCPeerConnection.
func (s *seat) signal(ctx context.Context, msg wire.Signal) error {
	live := s.live()
	if d := msg.Description; d != nil && d.Type == "offer" {
		session := sessionID(d.SDP)
		switch {
		case session == "": // not that of another connection, for which the one there is would end
			return wire.Errorf(wire.CodeBadMessage, "the description is no SDP")
		case live && session == s.session:
		case !live && session == s.session, !live && namesOurSections(d.SDP):
			return errNoPeer() // this peer connection has been answered by one that is no more
		default:
			if err := s.join(ctx); err != nil {
				return err
			}
			s.session = session
		}
	} else if !live {
		return errNoPeer()
	}
	return s.peer.Signal(ctx, msg)
}

func errNoPeer() error {
	return wire.Errorf(wire.CodeNotFound, "the SFU has no such connection; make a new one and offer again")
}

// join makes a peer in the place of the one there may be.
func (s *seat) join(ctx context.Context) error {
	peer, err := s.calls.server.Join(s.key.room, s.key.participant, PeerOptions{Grants: s.grants, Send: s.tell, ClientFirst: true})
	if err != nil {
		return asWireError(err)
	}
	s.peer = peer
	for _, msg := range s.subscriptions {
		if err := peer.Subscribe(ctx, msg); err != nil {
			peer.log.Debug("subscribing again", "error", err)
		}
	}
	return nil
}

func (s *seat) subscribe(ctx context.Context, msg wire.SubscribeMedia) error {
	key, limit := trackKey{msg.Participant, msg.Source}, s.calls.server.limits.Subscriptions
	if _, known := s.subscriptions[key]; !known && len(s.subscriptions) >= limit {
		return tooManySubscriptions(limit)
	}
	s.subscriptions[key] = msg
	if !s.live() {
		return nil
	}
	return s.peer.Subscribe(ctx, msg)
}

// forget drops the subscriptions of a participant who has left.
func (s *seat) forget(ctx context.Context, who wire.ParticipantID) {
	maps.DeleteFunc(s.subscriptions, func(key trackKey, _ wire.SubscribeMedia) bool { return key.participant == who })
	if s.live() {
		if err := s.peer.forget(ctx, who); err != nil {
			s.peer.log.Debug("forgetting subscriptions", "error", err)
		}
	}
}

// asWireError gives an error of Server.Join a code.
func asWireError(err error) error {
	if known, ok := errors.AsType[*wire.Error](err); ok {
		return known
	}
	return &wire.Error{Code: wire.CodeUnavailable, Text: "the SFU cannot take the connection; try again", Err: err}
}

// sessionID is what an RTCPeerConnection calls itself in all its descriptions (RFC 8866 section 5.2, RFC 8829 section
// 5.2.1), empty when there is no such line.
func sessionID(sdp string) string {
	for line := range strings.Lines(sdp) {
		if rest, ok := strings.CutPrefix(line, "o="); ok {
			fields := strings.Fields(rest)
			if len(fields) > 1 {
				return fields[1]
			}
			return ""
		}
	}
	return ""
}

// namesOurSections reports whether an offer has media sections that a peer of ours has made.
func namesOurSections(sdp string) bool {
	for line := range strings.Lines(sdp) {
		if rest, ok := strings.CutPrefix(line, "a=mid:"+midPrefix); ok && rest != "" && rest[0] >= '0' && rest[0] <= '9' {
			return true
		}
	}
	return false
}
