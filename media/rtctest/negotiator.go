package rtctest

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"confab/signaling/wire"

	"github.com/pion/webrtc/v4"
)

// A Negotiator is a client's side of the negotiation with the SFU: polite, with signals one after the other in both
// directions. Its goroutine, the loop, is started by NewNegotiator and ended by Close.
//
// Pion cannot take an offer back, so an offer becomes the local description only with its answer; until then, forgetting
// it is the rollback (W3C WebRTC section 10.7).
type Negotiator struct {
	// Constant.
	pc   *webrtc.PeerConnection
	id   wire.ParticipantID
	send func(wire.Signal) error
	fail func(error)
	work chan func() // never closed

	looping sync.WaitGroup
	ended   chan struct{} // closed by Close

	// Owned by the loop.
	Generation int                        // of ICE: one more with each restart
	Pending    *webrtc.SessionDescription // the own offer that is not answered
	labels     map[string]wire.TrackLabel // what is sent, by mid
	remoteSet  bool
	again      bool // to offer once more
	early      []webrtc.ICECandidateInit

	mu     sync.Mutex
	theirs map[string]wire.TrackLabel // guarded by mu
	counts Counts                     // guarded by mu
}

// Counts are what has come of the server's side.
type Counts struct {
	Offers int // of the server's
	Rolled int // own offers taken back for them
	Ends   int // of candidates
}

// NewNegotiator negotiates for pc as participant id. The id of a track that is sent has to be its wire.Source. send
// brings a signal to the server; its error goes to fail, like all that fails. Both are called by the loop alone.
func NewNegotiator(pc *webrtc.PeerConnection, id wire.ParticipantID, send func(wire.Signal) error, fail func(error)) *Negotiator {
	n := &Negotiator{
		pc: pc, id: id, send: send, fail: fail, work: make(chan func(), 1024), ended: make(chan struct{}),
		labels: map[string]wire.TrackLabel{}, theirs: map[string]wire.TrackLabel{},
	}
	pc.OnICECandidate(func(candidate *webrtc.ICECandidate) {
		raw := json.RawMessage("null")
		if candidate != nil {
			raw, _ = json.Marshal(candidate.ToJSON()) // strings and numbers
		}
		n.Do(func() { n.signal(wire.Signal{Candidate: raw, Generation: n.Generation}) })
	})
	n.looping.Go(n.loop)
	return n
}

// Do has the loop call f, unless it has ended.
func (n *Negotiator) Do(f func()) {
	select {
	case n.work <- f:
	case <-n.ended:
	}
}

// Work is what the loop has yet to do. Who takes something out of it puts it back with Do.
func (n *Negotiator) Work() <-chan func() { return n.work }

func (n *Negotiator) loop() {
	for {
		select {
		case f := <-n.work:
			f()
		case <-n.ended:
			return
		}
	}
}

// Close ends the loop and waits for it. The connection stays open.
func (n *Negotiator) Close() {
	close(n.ended)
	n.looping.Wait()
}

// Counts returns what has come so far.
func (n *Negotiator) Counts() Counts {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.counts
}

// Theirs returns what the server says it sends, by mid. The map is not changed any more.
func (n *Negotiator) Theirs() map[string]wire.TrackLabel {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.theirs
}

func (n *Negotiator) signal(signal wire.Signal) {
	if err := n.send(signal); err != nil {
		n.fail(err)
	}
}

// Offer negotiates what the client has to send, now or as soon as what is under way is settled. It runs in the loop.
func (n *Negotiator) Offer(options *webrtc.OfferOptions) {
	if n.Pending != nil || n.pc.SignalingState() != webrtc.SignalingStateStable {
		n.again = true
		return
	}
	offer, err := n.pc.CreateOffer(options)
	if err != nil {
		n.fail(fmt.Errorf("offer: %w", err))
		return
	}
	n.Pending = &offer
	n.label()
	n.signal(wire.Signal{Description: &wire.SessionDescription{Type: "offer", SDP: offer.SDP}, Tracks: n.labels, Generation: n.Generation})
}

// label names what is sent on which mid.
func (n *Negotiator) label() {
	n.labels = map[string]wire.TrackLabel{}
	for _, tr := range n.pc.GetTransceivers() {
		if tr.Sender() != nil && tr.Sender().Track() != nil && tr.Mid() != "" {
			n.labels[tr.Mid()] = wire.TrackLabel{Participant: n.id, Source: wire.Source(tr.Sender().Track().ID())}
		}
	}
}

// Take takes a signal of the server. It runs in the loop.
func (n *Negotiator) Take(signal wire.Signal) {
	if signal.Description != nil {
		n.takeDescription(signal)
	}
	if len(signal.Candidate) == 0 {
		return
	}
	var candidate *webrtc.ICECandidateInit
	if err := json.Unmarshal(signal.Candidate, &candidate); err != nil {
		n.fail(err)
		return
	}
	if candidate == nil || candidate.Candidate == "" {
		n.mu.Lock()
		n.counts.Ends++
		n.mu.Unlock()
		return
	}
	if !n.remoteSet {
		n.early = append(n.early, *candidate)
		return
	}
	if err := n.pc.AddICECandidate(*candidate); err != nil {
		n.fail(fmt.Errorf("candidate: %w", err))
	}
}

func (n *Negotiator) takeDescription(signal wire.Signal) {
	offered := signal.Description.Type == "offer"
	if err := n.settle(offered); err != nil {
		n.fail(err)
		return
	}
	n.mu.Lock()
	n.theirs = signal.Tracks
	n.mu.Unlock()
	desc := webrtc.SessionDescription{Type: webrtc.NewSDPType(signal.Description.Type), SDP: signal.Description.SDP}
	if err := n.pc.SetRemoteDescription(desc); err != nil {
		n.fail(fmt.Errorf("%s: %w", desc.Type, err))
		return
	}
	n.remoteSet = true
	for _, candidate := range n.early {
		_ = n.pc.AddICECandidate(candidate) // of an older generation perhaps
	}
	n.early = nil
	if offered && !n.answer(signal.Generation) {
		return
	}
	if n.again {
		n.again = false
		n.Offer(nil)
	}
}

// settle deals with the own offer when a description comes: it is taken back for theirs, or answered.
func (n *Negotiator) settle(offered bool) error {
	if offered {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.counts.Offers++
		if n.Pending != nil {
			n.Pending, n.again = nil, true
			n.counts.Rolled++
		}
		return nil
	}
	if n.Pending == nil {
		return errors.New("an answer to nothing")
	}
	own := *n.Pending
	n.Pending = nil
	if err := n.pc.SetLocalDescription(own); err != nil {
		return fmt.Errorf("own offer: %w", err)
	}
	return nil
}

func (n *Negotiator) answer(generation int) bool {
	answer, err := n.pc.CreateAnswer(nil)
	if err == nil {
		err = n.pc.SetLocalDescription(answer)
	}
	if err != nil {
		n.fail(fmt.Errorf("answer: %w", err))
		return false
	}
	n.signal(wire.Signal{Description: &wire.SessionDescription{Type: "answer", SDP: answer.SDP}, Tracks: n.labels, Generation: generation})
	return true
}
