package media

import (
	"context"
	"slices"
	"strings"

	"confab/signaling/wire"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// What a gateway to another protocol needs of a Peer: a client that offers once, gets one answer and is offered
// nothing afterwards.

// A View is what a viewer plays: the audio and the video of one participant.
type View struct {
	Participant  wire.ParticipantID
	Audio, Video wire.Source
}

// A view is a View under way.
type view struct {
	participant wire.ParticipantID
	sections    map[wire.Source]*egress
}

// Play answers the offer of a client that only plays: its first audio and its first video section that receive get
// the sources of v, what is published now and what will be. The answer comes by Send, and no offer ever. It is called
// once, before any other signal, on a peer whose grants do not have Subscribe, which would offer the client all that
// the room has. After an error, a *wire.Error, the peer is of no use: close it.
func (p *Peer) Play(ctx context.Context, v View, offer wire.Signal) error {
	if err := p.server.limits.check(offer); err != nil {
		return err
	}
	return p.call(ctx, func() error { return p.play(v, offer) })
}

func (p *Peer) play(v View, offer wire.Signal) error {
	var desc sdp.SessionDescription
	if offer.Description == nil || desc.UnmarshalString(offer.Description.SDP) != nil {
		return wire.Errorf(wire.CodeBadMessage, "the offer is no SDP")
	}
	p.view = &view{participant: v.Participant, sections: map[wire.Source]*egress{}}
	for _, m := range desc.MediaDescriptions {
		source, kind := v.Audio, webrtc.RTPCodecTypeAudio
		if m.MediaName.Media == "video" {
			source, kind = v.Video, webrtc.RTPCodecTypeVideo
		}
		mid, _ := m.Attribute("mid")
		_, receives := m.Attribute("recvonly")
		if !receives || kind.String() != m.MediaName.Media || p.view.sections[source] != nil || !namesCodec(m) {
			continue
		}
		e, err := p.takeSection(kind, mid, string(v.Participant))
		if err != nil {
			return &wire.Error{Code: wire.CodeBadMessage, Text: "the offer cannot be used", Err: err}
		}
		p.view.sections[source] = e
	}
	p.showView() // first, so that the answer says what is sent on which section
	if err := p.takeOffer(offer); err != nil {
		return err
	}
	if !p.canPlay() {
		return wire.Errorf(wire.CodeBadMessage, "%s sends none of the codecs of the offer", v.Participant)
	}
	return nil
}

// namesCodec reports whether a section has a codec that newMediaEngine lists. Pion refuses a whole offer for a section
// on which something is to be sent and that has none.
func namesCodec(m *sdp.MediaDescription) bool {
	return slices.ContainsFunc(m.Attributes, func(a sdp.Attribute) bool {
		_, codec, _ := strings.Cut(a.Value, " ")
		switch strings.ToLower(codec) {
		case "opus/48000/2", "vp8/90000", "vp9/90000", "h264/90000", "av1/90000":
			return a.Key == "rtpmap"
		default:
			return false
		}
	})
}

// canPlay reports whether the viewer can decode anything of what is published for it, if there is any.
func (p *Peer) canPlay() bool {
	there := false
	for _, in := range p.room.tracks(p) {
		e := p.view.sections[in.key.source]
		if e == nil || in.key.participant != p.view.participant {
			continue
		}
		if b := e.bound.Load(); b != nil {
			if _, _, ok := matchCodec(in.codec, b.codecs); ok {
				return true
			}
		}
		there = true
	}
	return !there
}

// takeSection makes an egress for a section that the client is about to offer.
func (p *Peer) takeSection(kind webrtc.RTPCodecType, mid, stream string) (*egress, error) {
	e := newEgress(p, kind, mid)
	transceiver, err := p.pc.AddTransceiverFromTrack(viewTrack{e, stream}, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		return nil, err
	}
	if err := transceiver.SetMid(mid); err != nil {
		return nil, err
	}
	e.sender = transceiver.Sender()
	list := append(slices.Clone(*p.sending.Load()), e)
	p.sending.Store(&list)
	p.running.Go(e.readRTCP)
	return e, nil
}

// A viewTrack is an egress whose stream has its name before there is anything to send: audio and video must arrive
// as one stream.
type viewTrack struct {
	*egress
	stream string
}

// StreamID implements webrtc.TrackLocal.
func (t viewTrack) StreamID() string { return t.stream }

// showView gives each section of a viewer what is published for it.
func (p *Peer) showView() {
	published := p.room.tracks(p)
	for source, e := range p.view.sections {
		var next *ingress
		if i := slices.IndexFunc(published, func(in *ingress) bool { return in.key == trackKey{p.view.participant, source} }); i >= 0 {
			next = published[i]
		}
		switch f := e.want.Load(); {
		case next == nil && f != nil:
			e.assign(nil)
		case next != nil && (f == nil || f.in != next):
			e.target.Store(nil)
			e.assign(&feed{in: next, live: true, always: true})
			poke(p.due)
		}
	}
}

// Mute has nothing of some sources forwarded, of an encoder that does not fall silent by itself; nil = none is muted any
// more. Unlike one that is taken from the grants, a muted source may stand in offers: ICE restarts go on. Errors:
// *wire.Error with unavailable when the peer has ended, with timeout for ctx.
func (p *Peer) Mute(ctx context.Context, sources []wire.Source) error {
	sources = slices.Clone(sources)
	return p.call(ctx, func() error {
		p.muted = sources
		p.republish()
		return nil
	})
}

// OnConnection has fn told when the connection is up and when it is down: at once after each change, the second
// after five seconds of silence. It is called before the first signal; fn must not block.
func (p *Peer) OnConnection(fn func(up bool)) {
	p.pc.OnICEConnectionStateChange(func(state webrtc.ICEConnectionState) {
		switch state {
		case webrtc.ICEConnectionStateConnected, webrtc.ICEConnectionStateCompleted:
			fn(true)
		case webrtc.ICEConnectionStateDisconnected, webrtc.ICEConnectionStateFailed, webrtc.ICEConnectionStateClosed:
			fn(false)
		default:
		}
	})
}
