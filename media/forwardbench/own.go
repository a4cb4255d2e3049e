package forwardbench

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	"confab/media"
	"confab/signaling/wire"

	"github.com/pion/webrtc/v4"
)

// own is media.Server behind the protocol.
type own struct {
	server *media.Server

	mu    sync.Mutex
	peers map[participant]*ownPeer // guarded by mu
}

// An ownPeer gathers what a media.Peer says to its client.
type ownPeer struct {
	*media.Peer
	changed chan struct{} // something has come; holds one

	mu         sync.Mutex
	candidates []webrtc.ICECandidateInit // guarded by mu; kept for each description
	gathered   bool                      // guarded by mu
	waiting    []wire.Signal             // guarded by mu; descriptions
}

var errNoPeer = errors.New("forwardbench: unknown participant")

func newOwn() (*own, error) {
	server, err := media.New(media.Options{
		Listen: netip.MustParseAddrPort("127.0.0.1:0"), Log: slog.New(slog.DiscardHandler), Limits: media.Limits{PeersPerRoom: 1000},
	})
	if err != nil {
		return nil, err
	}
	return &own{server: server, peers: map[participant]*ownPeer{}}, nil
}

// peer returns the participant's peer, which joins with the first call.
func (o *own) peer(who participant) (*ownPeer, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if p := o.peers[who]; p != nil {
		return p, nil
	}
	p := &ownPeer{changed: make(chan struct{}, 1)}
	joined, err := o.server.Join(who.room, who.id, media.PeerOptions{Grants: wire.RoleGrants(wire.RoleMember), Send: p.take})
	if err != nil {
		return nil, err
	}
	p.Peer = joined
	o.peers[who] = p
	return p, nil
}

// take notes one signal of the server's. What else it says, a browser would act on; these clients send all the time.
func (p *ownPeer) take(msg wire.ServerMessage) {
	signal, ok := msg.(wire.Signal)
	if !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if signal.Description != nil {
		p.waiting = append(p.waiting, signal)
	}
	if len(signal.Candidate) > 0 {
		var candidate *webrtc.ICECandidateInit
		if err := json.Unmarshal(signal.Candidate, &candidate); err == nil && candidate != nil {
			p.candidates = append(p.candidates, *candidate)
		} else {
			p.gathered = true
		}
	}
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// next waits for the next description of a type, with all candidates.
func (p *ownPeer) next(ctx context.Context, kind string) (message, error) {
	for {
		p.mu.Lock()
		i := slices.IndexFunc(p.waiting, func(s wire.Signal) bool { return s.Description.Type == kind })
		if i >= 0 && p.gathered {
			found := message{SDP: p.waiting[i].Description.SDP, Candidates: p.candidates, Labels: p.waiting[i].Tracks}
			p.waiting = slices.Delete(p.waiting, i, i+1)
			p.mu.Unlock()
			return found, nil
		}
		p.mu.Unlock()
		select {
		case <-p.changed:
		case <-ctx.Done():
			return message{}, ctx.Err()
		}
	}
}

func (o *own) publish(ctx context.Context, who participant, offer message) (message, error) {
	p, err := o.peer(who)
	if err != nil {
		return message{}, err
	}
	err = p.Signal(ctx, wire.Signal{Description: &wire.SessionDescription{Type: "offer", SDP: offer.SDP}, Tracks: offer.Labels})
	if err != nil {
		return message{}, err
	}
	return p.next(ctx, "answer")
}

func (o *own) offer(ctx context.Context, who participant, _ int) (message, error) {
	p, err := o.peer(who)
	if err != nil {
		return message{}, err
	}
	return p.next(ctx, "offer")
}

func (o *own) answer(ctx context.Context, who participant, answer message) error {
	o.mu.Lock()
	p := o.peers[who]
	o.mu.Unlock()
	if p == nil {
		return errNoPeer
	}
	return p.Signal(ctx, wire.Signal{Description: &wire.SessionDescription{Type: "answer", SDP: answer.SDP}, Tracks: answer.Labels})
}

func (o *own) close() error { return o.server.Close() }
