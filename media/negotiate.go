package media

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"confab/signaling/wire"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// Perfect negotiation (W3C WebRTC section 10.7): the client is polite, this side is not. An offer that meets ours is
// ignored; the client takes its own back, answers ours and offers again. Media sections made here bear mids with a
// prefix, so that two offers that cross never mean different sections by one mid.
const midPrefix = "s"

// Signal takes a signal of the client: an offer, an answer, a candidate or the end of candidates. An error is a
// *wire.Error, and then no part of the signal has taken effect. A signal of an older generation is ignored.
func (p *Peer) Signal(ctx context.Context, signal wire.Signal) error {
	if err := p.server.limits.check(signal); err != nil {
		return err
	}
	return p.call(ctx, func() error { return p.take(signal) })
}

// maxCandidate bounds one candidate, in bytes of JSON. Browsers write up to about 300.
const maxCandidate = 2 << 10

func (l Limits) check(signal wire.Signal) error {
	if signal.Description != nil && len(signal.Description.SDP) > l.SDPBytes {
		return wire.Errorf(wire.CodeTooLarge, "the description has %d bytes; at most %d", len(signal.Description.SDP), l.SDPBytes)
	}
	if len(signal.Candidate) > maxCandidate {
		return wire.Errorf(wire.CodeTooLarge, "the candidate has %d bytes; at most %d", len(signal.Candidate), maxCandidate)
	}
	if len(signal.Tracks) > l.MediaSections {
		return wire.Errorf(wire.CodeTooLarge, "tracks names %d media sections; at most %d", len(signal.Tracks), l.MediaSections)
	}
	return nil
}

func (p *Peer) take(signal wire.Signal) error {
	if signal.Generation < p.generation {
		return nil
	}
	if d := signal.Description; d != nil {
		var err error
		switch d.Type {
		case "offer":
			err = p.takeOffer(signal)
		case "answer":
			err = p.takeAnswer(signal)
		default:
			err = wire.Errorf(wire.CodeBadMessage, "a description is an offer or an answer, not %.20q", d.Type)
		}
		if err != nil {
			return err
		}
	}
	if len(signal.Candidate) > 0 {
		return p.takeCandidate(signal)
	}
	return nil
}

func (p *Peer) takeOffer(signal wire.Signal) error {
	if p.pc.SignalingState() != webrtc.SignalingStateStable {
		return nil // the client is polite and will offer again
	}
	sections, err := p.readSections(signal)
	if err != nil {
		return err
	}
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: signal.Description.SDP}); err != nil {
		return &wire.Error{Code: wire.CodeBadMessage, Text: "the offer cannot be used", Err: err}
	}
	answer, err := p.pc.CreateAnswer(nil)
	if err == nil {
		err = p.pc.SetLocalDescription(answer)
	}
	if err != nil {
		p.end(err) // it can neither go back nor on
		return &wire.Error{Code: wire.CodeInternal, Text: "the offer cannot be answered", Err: err}
	}
	if signal.Generation > p.generation {
		p.generation, p.candidates, p.gathered = signal.Generation, 0, false
	}
	p.accept(sections)
	p.send(wire.Signal{
		Description: &wire.SessionDescription{Type: "answer", SDP: answer.SDP}, Generation: p.generation, Tracks: p.sentTracks(),
	})
	if p.silent {
		p.silent = false
		p.offerTimer.Reset(coalesceOffers)
	}
	p.takeEarly()
	return nil
}

func (p *Peer) takeAnswer(signal wire.Signal) error {
	if p.pc.SignalingState() != webrtc.SignalingStateHaveLocalOffer {
		return nil // of an offer that is settled
	}
	sections, err := p.readSections(signal)
	if err != nil {
		return err
	}
	if err := p.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: signal.Description.SDP}); err != nil {
		return &wire.Error{Code: wire.CodeBadMessage, Text: "the answer cannot be used", Err: err}
	}
	p.answerTimer.Stop()
	p.accept(sections)
	p.goLive()
	if p.needOffer {
		p.offerTimer.Reset(coalesceOffers)
	}
	p.takeEarly()
	return nil
}

// offer sends an offer, unless none is needed, the client has to make the first one, or the last one is not answered;
// then the client's offer or answer leads here again.
func (p *Peer) offer() {
	if !p.needOffer || p.silent || p.pc.SignalingState() != webrtc.SignalingStateStable {
		return
	}
	offer, err := p.pc.CreateOffer(nil)
	if err == nil {
		err = p.pc.SetLocalDescription(offer)
	}
	if err != nil {
		p.end(err)
		return
	}
	p.needOffer = false
	p.offered = map[*egress]*feed{}
	for _, e := range *p.sending.Load() {
		if f := e.want.Load(); f != nil {
			p.offered[e] = f
		}
	}
	p.answerTimer.Reset(answerTimeout)
	p.send(wire.Signal{
		Description: &wire.SessionDescription{Type: "offer", SDP: offer.SDP}, Generation: p.generation, Tracks: p.sentTracks(),
	})
}

// sentTracks says what we send, by mid.
func (p *Peer) sentTracks() map[string]wire.TrackLabel {
	tracks := map[string]wire.TrackLabel{}
	for _, e := range *p.sending.Load() {
		if f := e.want.Load(); f != nil {
			tracks[e.mid] = wire.TrackLabel{Participant: f.in.key.participant, Source: f.in.key.source}
		}
	}
	return tracks
}

// sections is what a description of the client says of what it sends, by mid.
type sections map[string]section

type section struct {
	source wire.Source
	rids   []string // of its simulcast layers
}

// readSections checks a description against limits, labels and grants.
func (p *Peer) readSections(signal wire.Signal) (sections, error) {
	var desc sdp.SessionDescription
	if err := desc.UnmarshalString(signal.Description.SDP); err != nil {
		return nil, &wire.Error{Code: wire.CodeBadMessage, Text: "the description is no SDP", Err: err}
	}
	limits := p.server.limits
	if len(desc.MediaDescriptions) > limits.MediaSections {
		return nil, wire.Errorf(wire.CodeTooLarge, "%d media sections; at most %d", len(desc.MediaDescriptions), limits.MediaSections)
	}
	found, taken, fresh := sections{}, map[wire.Source]string{}, map[string]bool{}
	for _, m := range desc.MediaDescriptions {
		mid, _ := m.Attribute("mid")
		if len(mid) > maxSectionName {
			return nil, wire.Errorf(wire.CodeBadMessage, "a mid has %d bytes; at most %d", len(mid), maxSectionName)
		}
		if !p.mids[mid] {
			fresh[mid] = true
		}
		if !sends(m) {
			continue
		}
		source := signal.Tracks[mid].Source
		if source == "" {
			source = p.labels[mid]
		}
		if err := p.checkSection(mid, m.MediaName.Media, source); err != nil {
			return nil, err
		}
		if other, ok := taken[source]; ok {
			return nil, wire.Errorf(wire.CodeConflict, "media sections %.20q and %.20q both send %s", other, mid, source)
		}
		rids, err := simulcast(m)
		if err != nil {
			return nil, err
		}
		taken[source], found[mid] = mid, section{source, rids}
	}
	if len(found) > limits.UpTracks {
		return nil, wire.Errorf(wire.CodeTooLarge, "%d tracks sent; at most %d", len(found), limits.UpTracks)
	}
	if most := limits.MediaSections * sectionsInAll; len(p.mids)+len(fresh) > most {
		return nil, wire.Errorf(wire.CodeTooLarge, "more than %d media sections in the life of one connection; make a new one", most)
	}
	maps.Copy(p.mids, fresh)
	return found, nil
}

const (
	maxSectionName = 64 // bytes of a mid or rid; browsers write up to 3
	// pion keeps something for each mid that it has ever seen, also of those whose place others have taken (RFC 9429
	// section 5.2.2). So many times what one description may have are enough for a day of screens that come and go.
	sectionsInAll = 4
)

func (p *Peer) checkSection(mid, kind string, source wire.Source) error {
	switch {
	case source == "" || kind != kindOfSource(source):
		return wire.Errorf(wire.CodeBadMessage, "media section %.20q sends %.20s, and tracks does not say which source", mid, kind)
	case p.labels[mid] != "" && p.labels[mid] != source:
		return wire.Errorf(wire.CodeConflict, "media section %.20q has been %s; send %s on another one", mid, p.labels[mid], source)
	case !p.grants.May(source):
		return wire.Errorf(wire.CodeForbidden, "you may not send %s", source)
	default:
		return nil
	}
}

// kindOfSource returns the media type of a source's section, "" for an unknown source.
func kindOfSource(source wire.Source) string {
	switch source {
	case wire.Microphone, wire.ScreenAudio:
		return "audio"
	case wire.Camera, wire.Screen:
		return "video"
	default:
		return ""
	}
}

// sends reports whether a section of the client's says that the client sends (RFC 8866 section 6.7: sendrecv is the
// default; RFC 9143 section 6: port 0 is a section that is rejected, unless it exists in its bundle only).
func sends(m *sdp.MediaDescription) bool {
	if m.MediaName.Media != "audio" && m.MediaName.Media != "video" {
		return false
	}
	if _, bundled := m.Attribute("bundle-only"); m.MediaName.Port.Value == 0 && !bundled {
		return false
	}
	for _, quiet := range []string{"recvonly", "inactive"} {
		if _, ok := m.Attribute(quiet); ok {
			return false
		}
	}
	return true
}

// simulcast returns the rids of the layers that a section sends, in the order of its simulcast attribute (RFC 8853
// section 5.1); nil if it is no simulcast. Of alternatives the first one counts. The error is a *wire.Error.
func simulcast(m *sdp.MediaDescription) ([]string, error) {
	known := map[string]bool{}
	for _, a := range m.Attributes {
		if fields := strings.Fields(a.Value); a.Key == "rid" && len(fields) > 1 && fields[1] == "send" {
			if len(fields[0]) > maxSectionName {
				return nil, wire.Errorf(wire.CodeBadMessage, "a rid has %d bytes; at most %d", len(fields[0]), maxSectionName)
			}
			known[fields[0]] = true
		}
	}
	if len(known) > maxStreams {
		return nil, wire.Errorf(wire.CodeTooLarge, "%d simulcast layers; at most %d", len(known), maxStreams)
	}
	var rids []string
	listed := false
	for _, a := range m.Attributes {
		if a.Key != "simulcast" {
			continue
		}
		for fields := strings.Fields(a.Value); len(fields) > 1; fields = fields[2:] {
			if fields[0] == "send" {
				rids, listed = append(rids, streamNames(fields[1])...), true
			}
		}
	}
	if !listed {
		rids = slices.Collect(maps.Keys(known)) // one at most, or it fails
	}
	for i, rid := range rids {
		if !known[rid] || slices.Contains(rids[:i], rid) || !listed && i > 0 {
			return nil, wire.Errorf(wire.CodeBadMessage, "the simulcast attribute does not fit the rids: %.20q", rid)
		}
	}
	if len(rids) != len(known) {
		return nil, wire.Errorf(wire.CodeBadMessage, "%d rids, of which the simulcast attribute names %d", len(known), len(rids))
	}
	return rids, nil
}

// streamNames returns the rids of a list of simulcast streams: of alternatives the first, paused ones too.
func streamNames(list string) []string {
	var rids []string
	for alternatives := range strings.SplitSeq(list, ";") {
		first, _, _ := strings.Cut(alternatives, ",")
		rids = append(rids, strings.TrimPrefix(first, "~"))
	}
	return rids
}

// accept notes what a description that has taken effect says.
func (p *Peer) accept(found sections) {
	clear(p.sendingMids)
	for mid, s := range found {
		p.labels[mid], p.rids[mid], p.sendingMids[mid] = s.source, s.rids, true
	}
	p.republish()
}

// takeCandidate takes a candidate, or keeps it until the description comes that it belongs to.
func (p *Peer) takeCandidate(signal wire.Signal) error {
	candidate, err := readCandidate(signal.Candidate)
	if err != nil {
		return err
	}
	early := p.pc.RemoteDescription() == nil || signal.Generation > p.generation
	if candidate.Candidate == "" && !early {
		return nil // the end of candidates, which some clients say again with each description, takes no place
	}
	if p.candidates >= p.server.limits.Candidates {
		return wire.Errorf(wire.CodeRateLimited, "more than %d candidates", p.server.limits.Candidates)
	}
	p.candidates++
	if early {
		p.early = append(p.early, wire.Signal{Candidate: signal.Candidate, Generation: signal.Generation})
		return nil
	}
	// A name of multicast DNS says nothing outside the client's network; its checks tell us its address.
	if isMulticastName(candidate.Candidate) {
		return nil
	}
	if err := p.pc.AddICECandidate(candidate); err != nil {
		return &wire.Error{Code: wire.CodeBadMessage, Text: "the candidate cannot be used", Err: err}
	}
	return nil
}

// readCandidate reads an RTCIceCandidateInit; null and an empty candidate are the end of candidates.
func readCandidate(raw json.RawMessage) (webrtc.ICECandidateInit, error) {
	var candidate *webrtc.ICECandidateInit
	if err := json.Unmarshal(raw, &candidate); err != nil {
		return webrtc.ICECandidateInit{}, &wire.Error{Code: wire.CodeBadMessage, Text: "the candidate is malformed", Err: err}
	}
	if candidate == nil {
		return webrtc.ICECandidateInit{}, nil
	}
	return *candidate, nil
}

func isMulticastName(candidate string) bool {
	fields := strings.Fields(candidate)
	return len(fields) > 4 && strings.HasSuffix(strings.ToLower(fields[4]), ".local")
}

// takeEarly takes the candidates that came before their description. A bad one has been acknowledged and is dropped.
func (p *Peer) takeEarly() {
	early := p.early
	p.early, p.candidates = nil, max(0, p.candidates-len(early))
	for _, signal := range early {
		if signal.Generation < p.generation {
			continue
		}
		if err := p.takeCandidate(signal); err != nil {
			p.log.Debug("early candidate", "error", err)
		}
	}
}

// sendCandidates sends our candidates, and null after the last one.
func (p *Peer) sendCandidates(list []webrtc.ICECandidateInit, last bool) {
	if last && !p.gathered {
		list = append(list, p.server.reflexiveCandidates()...)
	}
	for _, candidate := range list {
		raw, err := json.Marshal(candidate)
		if err != nil {
			p.log.Warn("own candidate", "error", err)
			continue
		}
		p.send(wire.Signal{Candidate: raw, Generation: p.generation})
	}
	if last && !p.gathered {
		p.gathered = true
		p.send(wire.Signal{Candidate: json.RawMessage("null"), Generation: p.generation})
	}
}

// nextMid names a media section made by us.
func (p *Peer) nextMid() string {
	p.sections++
	return midPrefix + strconv.Itoa(p.sections-1)
}
