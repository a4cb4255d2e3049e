package media

import (
	"context"
	"maps"
	"slices"

	"confab/signaling/wire"

	"github.com/pion/webrtc/v4"
)

// Subscribe says how large this client shows one track, or turns it off; without it every track is sent as large as
// there is. Of a video it gets the smallest layer that is at least as large as it is shown. What is off stays
// negotiated, so that turning it on needs no offer: audio goes on at once, video with a key frame. The track need not
// exist yet. The error is a *wire.Error.
func (p *Peer) Subscribe(ctx context.Context, msg wire.SubscribeMedia) error {
	if err := msg.Validate(); err != nil {
		return err
	}
	sub := subscription{off: !msg.Enabled, width: max(msg.Width, 0), height: max(msg.Height, 0), fps: max(msg.FPS, 0)}
	return p.call(ctx, func() error { return p.subscribe(trackKey{msg.Participant, msg.Source}, sub) })
}

func (p *Peer) subscribe(key trackKey, sub subscription) error {
	if !p.grants.Subscribe {
		return wire.Errorf(wire.CodeForbidden, "you may not receive media")
	}
	limit := p.server.limits.Subscriptions
	if _, known := p.subscriptions[key]; !known && len(p.subscriptions) >= limit {
		return tooManySubscriptions(limit)
	}
	p.subscriptions[key] = sub
	for _, e := range *p.sending.Load() {
		if f := e.want.Load(); f != nil && f.in.key == key && f.sub != sub {
			next := *f
			next.sub = sub
			p.replaceFeed(e, f, &next)
			poke(p.due)
		}
	}
	return nil
}

func tooManySubscriptions(limit int) *wire.Error {
	return wire.Errorf(wire.CodeRateLimited, "more than %d subscriptions", limit)
}

// forget drops the subscriptions of a participant who has left.
func (p *Peer) forget(ctx context.Context, who wire.ParticipantID) error {
	return p.call(ctx, func() error {
		maps.DeleteFunc(p.subscriptions, func(key trackKey, _ subscription) bool { return key.participant == who })
		return nil
	})
}

// SetGrants says what the client may do from now on. What it sends and may not any more is no longer forwarded; it
// receives nothing more when it may not subscribe. An error is that of ctx or of an ended peer.
func (p *Peer) SetGrants(ctx context.Context, grants wire.Grants) error {
	return p.call(ctx, func() error {
		p.grants = grants
		p.republish()
		p.reconcile()
		return nil
	})
}

// republish has the room have what passes and nothing else.
func (p *Peer) republish() {
	for _, in := range p.publishing { // first, since a source may have moved to another section
		if !p.passes(in) {
			p.room.unpublish(in)
		}
	}
	for _, in := range p.publishing {
		if p.passes(in) {
			p.room.publish(in)
		}
	}
}

// passes reports whether others are to have a track: the client sends it, and may.
func (p *Peer) passes(in *ingress) bool {
	return p.sendingMids[in.mid] && p.grants.May(in.key.source) && !slices.Contains(p.muted, in.key.source)
}

// replaceFeed changes what e is to do with the track it has.
func (p *Peer) replaceFeed(e *egress, old, next *feed) {
	if p.offered[e] == old {
		p.offered[e] = next
	}
	e.assign(next)
}

// reconcile compares what the room has with what we send and sees to it that an offer follows where they differ.
func (p *Peer) reconcile() {
	if p.view != nil {
		p.showView()
		return
	}
	var missing []*ingress
	if p.grants.Subscribe {
		missing = p.room.tracks(p)
	}
	changed := false
	for _, e := range *p.sending.Load() {
		f := e.want.Load()
		if f == nil {
			continue
		}
		if i := slices.Index(missing, f.in); i >= 0 {
			missing = slices.Delete(missing, i, i+1)
			continue
		}
		e.assign(nil)
		changed = true
	}
	for _, in := range missing {
		changed = p.attach(in) || changed
	}
	if changed {
		p.needOffer = true
		p.offerTimer.Reset(coalesceOffers)
	}
}

// attach gives in a media section: a free one, else a new one as long as there may be more.
func (p *Peer) attach(in *ingress) bool {
	var free *egress
	count := 0
	for _, e := range *p.sending.Load() {
		if e.want.Load() != nil {
			count++
		} else if free == nil && e.kind == in.mediaType() {
			free = e
		}
	}
	if count >= p.server.limits.DownTracks {
		return false
	}
	if free == nil {
		var err error
		if free, err = p.addSection(in.mediaType()); err != nil {
			p.log.Warn("adding a media section", "error", err)
			return false
		}
	}
	free.target.Store(nil)
	free.assign(&feed{in: in, sub: p.subscriptions[in.key]})
	poke(p.due)
	return true
}

func (p *Peer) addSection(kind webrtc.RTPCodecType) (*egress, error) {
	e := newEgress(p, kind, p.nextMid())
	transceiver, err := p.pc.AddTransceiverFromTrack(e, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		return nil, err
	}
	if err := transceiver.SetMid(e.mid); err != nil {
		return nil, err
	}
	e.sender = transceiver.Sender()
	list := append(slices.Clone(*p.sending.Load()), e)
	p.sending.Store(&list)
	p.running.Go(e.readRTCP)
	return e, nil
}

// goLive lets flow what an answered offer has named, where it still is what we have to send.
func (p *Peer) goLive() {
	for e, f := range p.offered {
		if e.want.Load() == f && !f.live {
			next := *f
			next.live = true
			e.assign(&next)
		}
	}
	p.offered = nil
}

// publish takes a stream of the client's: it is read, and its track offered to the room if the client has said what it
// is.
func (p *Peer) publish(t remoteTrack) {
	mid := ""
	if transceiver := t.receiver.RTPTransceiver(); transceiver != nil {
		mid = transceiver.Mid()
	}
	s := p.addStream(mid, t)
	if s == nil { // a stray stream; it must be read all the same
		p.running.Go(func() { discard(p, t.track) })
		return
	}
	p.setReceiving()
	if p.feedback.extension.Load() == 0 {
		p.feedback.extension.Store(uint32(extensionID(t.receiver.GetParameters().HeaderExtensions, uriTransportCC)))
	}
	p.taps.read(s.ssrc)
	s.claim()
	p.running.Go(s.read)
	p.running.Go(s.readRTCP)
	if p.passes(s.in) {
		p.room.publish(s.in)
	}
}

// addStream finds or makes the track that t belongs to, and adds it there. nil: nobody is to have it.
func (p *Peer) addStream(mid string, t remoteTrack) *stream {
	source, known := p.labels[mid]
	if !known {
		return nil
	}
	in := p.publishing[mid]
	if in == nil {
		in = newIngress(p, mid, trackKey{p.id, source}, p.rids[mid], t)
		if has, ok := p.told[source]; ok {
			in.demand.told, in.demand.has = true, has
		}
	}
	s := in.add(t)
	if s == nil {
		return nil
	}
	p.publishing[mid] = in
	return s
}

// unpublish forgets a stream that has ended, and its track with the last of them.
func (p *Peer) unpublish(s *stream) {
	in := s.in
	s.disclaim()
	empty := in.remove(s)
	if empty && p.publishing[in.mid] == in {
		delete(p.publishing, in.mid)
	}
	p.setReceiving()
	if empty {
		p.room.unpublish(in)
	}
	s.wake()
}

// setReceiving tells control what there is. Ended streams of a track that goes on stay out of it.
func (p *Peer) setReceiving() {
	list := make([]*ingress, 0, len(p.publishing))
	for _, in := range p.publishing {
		list = append(list, in)
	}
	p.receiving.Store(&list)
}
