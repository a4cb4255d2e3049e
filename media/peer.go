package media

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"confab/media/plane"
	"confab/signaling/wire"

	"github.com/pion/webrtc/v4"
)

// Why a peer ended; see Peer.Err.
var (
	ErrPeerClosed = errors.New("media: peer closed")
	ErrLost       = errors.New("media: the connection was lost")
	ErrNoAnswer   = errors.New("media: the client did not answer an offer")
	ErrStreams    = errors.New("media: the client has sent too many streams")
	errRoomClosed = errors.New("media: room closed")
)

// PeerOptions say who a peer is for and what it may do.
type PeerOptions struct {
	Grants wire.Grants // Publish and Subscribe count here
	// Send takes a message for the client: a wire.Signal, and what the SFU says about media (wire.PublishMedia,
	// wire.MediaQuality, wire.ActiveSpeakers). It must be set. It is called by one goroutine, in order, and must
	// neither block nor call the peer. What it takes is not changed afterwards.
	Send func(wire.ServerMessage)
	// ClientFirst: nothing is offered before the client's first offer has been answered. Browsers always make one; one
	// that has to take it back for ours may not be able to offer again (Chromium 156: the header extensions of the
	// offer taken back and of ours have different numbers).
	ClientFirst bool
}

// A Peer is one PeerConnection with one participant, both directions. It is an actor: run owns the negotiation, the
// exported methods post to it. They may be called concurrently.
type Peer struct {
	// Set by newPeer, then constant.
	server   *Server
	room     *room
	id       wire.ParticipantID
	send     func(wire.ServerMessage)
	log      *slog.Logger
	pc       *webrtc.PeerConnection
	ssrc     uint32 // sender of our RTCP
	ctx      context.Context
	end      context.CancelCauseFunc
	requests chan request       // never closed
	changed  chan struct{}      // something in events or in the room; holds one
	wake     chan struct{}      // there may be something to write; holds one
	later    chan time.Duration // there will be, after so long; holds one
	due      chan struct{}      // a key frame request may be due; holds one
	decided  chan struct{}      // closed by choosePath
	done     chan struct{}      // closed by run as it returns

	transport *plane.Transport // nil = the server has no plane

	running sync.WaitGroup // every goroutine but run; started by run

	// Owned by run.
	negotiation
	grants        wire.Grants
	muted         []wire.Source             // see Mute
	subscriptions map[trackKey]subscription // what the client has chosen
	publishing    map[string]*ingress       // by mid
	told          map[wire.Source]use       // how much the client was told to send; absent = nothing was said
	view          *view                     // what a viewer plays, nil = it is no viewer

	// Owned by control.
	sharing
	dominant    wire.ParticipantID // who speaks before others, "" = nobody
	saidVersion int                // of what the client was told last about speakers
	saidAt      time.Time          // and when

	turn int // owned by write: which section is next to give a packet for a probe

	connected atomic.Bool
	served    atomic.Bool                // by the plane, not by pion; never unset
	waiting   bool                       // guarded by the shard: EndOfBatch is to come
	asking    bool                       // guarded by the shard: it is to ask for what is missing
	first     int                        // owned by who pumps: which section is the first
	waits     bool                       // owned by who pumps: video waits for the pacer
	sending   atomic.Pointer[[]*egress]  // replaced by run
	receiving atomic.Pointer[[]*ingress] // replaced by run
	taps      taps
	feedback  arrivals
	downlink  downlink
	rtcp      rate

	mu     sync.Mutex
	events events // guarded by mu
}

// A request is a call of an exported method.
type request struct {
	do     func() error
	result chan error // holds one
}

// events are what pion's goroutines and our readers have seen and run has not yet looked at.
type events struct {
	messages   []wire.ServerMessage // to be sent
	candidates []webrtc.ICECandidateInit
	gathered   bool
	tracks     []remoteTrack
	ended      []*stream
	state      webrtc.PeerConnectionState
}

type remoteTrack struct {
	track    *webrtc.TrackRemote
	receiver *webrtc.RTPReceiver
}

func newPeer(s *Server, r *room, id wire.ParticipantID, opts PeerOptions) (*Peer, error) {
	p := &Peer{
		server: s, room: r, id: id, grants: opts.Grants, send: opts.Send,
		log:           s.log.With("room", r.id, "participant", id),
		ssrc:          rand.Uint32(),
		requests:      make(chan request, s.limits.Requests),
		changed:       make(chan struct{}, 1),
		wake:          make(chan struct{}, 1),
		later:         make(chan time.Duration, 1),
		due:           make(chan struct{}, 1),
		decided:       make(chan struct{}),
		done:          make(chan struct{}),
		negotiation:   newNegotiation(),
		subscriptions: map[trackKey]subscription{},
		publishing:    map[string]*ingress{},
		told:          map[wire.Source]use{},
		rtcp:          rate{perSecond: s.limits.RTCPPerSecond},
	}
	p.sending.Store(&[]*egress{})
	p.receiving.Store(&[]*ingress{})
	p.taps = taps{limit: s.limits.Streams, open: map[uint32]*tap{}}
	p.feedback.init(p.ssrc)
	p.downlink.init(s.limits.RTCPPerSecond)
	p.ctx, p.end = context.WithCancelCause(s.lifetime)
	if r.shard != nil {
		p.transport = r.shard.NewTransport(p)
	}
	p.silent = opts.ClientFirst
	pc, err := s.newConnection(p)
	if err != nil {
		p.end(err)
		return nil, err
	}
	p.pc = pc
	p.watchPath()
	pc.OnICECandidate(func(c *webrtc.ICECandidate) {
		p.post(func(e *events) {
			if c == nil {
				e.gathered = true
			} else {
				e.candidates = append(e.candidates, c.ToJSON())
			}
		})
	})
	pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		p.post(func(e *events) { e.tracks = append(e.tracks, remoteTrack{track, receiver}) })
	})
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		p.post(func(e *events) { e.state = state })
	})
	return p, nil
}

// post notes something for run. It never blocks, so pion may call it while run waits for pion.
func (p *Peer) post(note func(*events)) {
	p.mu.Lock()
	note(&p.events)
	p.mu.Unlock()
	p.lookAgain()
}

// lookAgain has run look at the events and at the room.
func (p *Peer) lookAgain() { poke(p.changed) }

// poke puts a token into a channel that holds one, unless one is there.
func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// run is the peer's own goroutine.
func (p *Peer) run() {
	defer close(p.done)
	defer p.teardown()
	p.running.Go(p.write)
	p.running.Go(p.control)
	for {
		select {
		case <-p.ctx.Done():
			return
		case req := <-p.requests:
			req.result <- req.do()
		case <-p.changed:
			p.takeEvents()
			p.reconcile()
		case <-p.offerTimer.C:
			p.offer()
		case <-p.answerTimer.C:
			p.end(ErrNoAnswer)
		case <-p.failTimer.C:
			p.end(ErrLost)
		}
	}
}

// teardown ends what the peer has started, others' side first: they are told, the transport ends, then all readers
// and writers find it gone.
func (p *Peer) teardown() {
	p.end(ErrPeerClosed)
	p.connected.Store(false)
	p.stopTimers()
	p.server.leave(p)
	for _, e := range *p.sending.Load() {
		e.assign(nil)
	}
	if err := p.pc.GracefulClose(); err != nil {
		p.log.Debug("closing the connection", "error", err)
	}
	p.running.Wait()
	if p.transport != nil {
		p.transport.Close()
	}
	for _, e := range *p.sending.Load() {
		e.drop()
	}
	p.offered = nil // of other peers
	p.log.Debug("peer ended", "cause", p.Err())
}

// takeEvents works off what was noted by post.
func (p *Peer) takeEvents() {
	p.mu.Lock()
	e := p.events
	p.events = events{state: e.state}
	p.mu.Unlock()
	p.sendCandidates(e.candidates, e.gathered)
	for _, msg := range e.messages {
		if told, ok := msg.(wire.PublishMedia); ok {
			p.told[told.Source] = use{told.Layers, told.Bitrate}
		}
		p.send(msg)
	}
	for _, s := range e.ended {
		p.unpublish(s)
	}
	for _, t := range e.tracks {
		p.publish(t)
	}
	p.noteState(e.state)
}

func (p *Peer) noteState(state webrtc.PeerConnectionState) {
	switch state {
	case webrtc.PeerConnectionStateConnected:
		p.failTimer.Stop()
		p.choosePath()
		p.connected.Store(true)
		for _, e := range *p.sending.Load() {
			e.notify()
		}
	case webrtc.PeerConnectionStateFailed:
		if p.connected.Swap(false) || !p.failed {
			p.failTimer.Reset(failedGrace)
		}
	case webrtc.PeerConnectionStateClosed: // the client has ended DTLS
		p.end(ErrLost)
	default:
	}
	p.failed = state == webrtc.PeerConnectionStateFailed
}

// call has run do something and waits for it. The error is that of do, of ctx, or unavailable for an ended peer.
func (p *Peer) call(ctx context.Context, do func() error) error {
	req := request{do: do, result: make(chan error, 1)}
	select {
	case p.requests <- req:
	case <-p.ctx.Done():
		return p.gone()
	case <-ctx.Done():
		return wire.Errorf(wire.CodeTimeout, "the call's media server is busy")
	}
	select {
	case err := <-req.result:
		return err
	case <-p.done:
		select {
		case err := <-req.result: // it was the last one
			return err
		default:
			return p.gone()
		}
	case <-ctx.Done():
		return wire.Errorf(wire.CodeTimeout, "the call's media server is busy")
	}
}

func (p *Peer) gone() error {
	return &wire.Error{Code: wire.CodeUnavailable, Text: "the media connection has ended", Err: context.Cause(p.ctx)}
}

// Close ends the peer and waits until all it has started has ended. It may be called more than once.
func (p *Peer) Close() {
	p.end(ErrPeerClosed)
	<-p.done
}

// Done is closed when the peer has ended, for whatever reason.
func (p *Peer) Done() <-chan struct{} { return p.done }

// Err says why the peer ended: ErrPeerClosed, ErrLost, ErrNoAnswer, ErrStreams, ErrClosed; nil while it lives.
func (p *Peer) Err() error {
	if p.ctx.Err() == nil {
		return nil
	}
	return context.Cause(p.ctx)
}

// negotiation is the state of a peer's offers and answers. It is owned by run.
type negotiation struct {
	generation  int
	labels      map[string]wire.Source // what the client sends, by mid; it grows and never changes
	rids        map[string][]string    // of its simulcast layers, by mid, smallest first
	sendingMids map[string]bool        // on which of them it sends now
	mids        map[string]bool        // that the client has named in its descriptions
	early       []wire.Signal          // candidates of a description that has not come yet
	candidates  int                    // of this generation
	gathered    bool                   // the end of our candidates was sent
	needOffer   bool
	silent      bool // nothing is offered before the client's first offer has been answered
	failed      bool
	sections    int               // media sections made by us
	offered     map[*egress]*feed // what the offer under way names

	offerTimer  *time.Timer
	answerTimer *time.Timer
	failTimer   *time.Timer
}

func newNegotiation() negotiation {
	n := negotiation{
		labels: map[string]wire.Source{}, rids: map[string][]string{}, sendingMids: map[string]bool{}, mids: map[string]bool{},
		offerTimer: time.NewTimer(time.Hour), answerTimer: time.NewTimer(time.Hour), failTimer: time.NewTimer(time.Hour),
	}
	n.stopTimers()
	return n
}

func (n *negotiation) stopTimers() {
	n.offerTimer.Stop()
	n.answerTimer.Stop()
	n.failTimer.Stop()
}
