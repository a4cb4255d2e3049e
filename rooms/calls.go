package rooms

import (
	"encoding/json"
	"strconv"
	"time"

	"confab/signaling/wire"
)

// An SFU is the server's part of calls, as rooms see it. Its methods do not block and may be called from any
// goroutine. What is said of one participant takes effect in the order in which it is said. An answer is called
// exactly once; its errors are *wire.Error.
type SFU interface {
	// Signal brings an offer, an answer or a candidate of a participant. What the SFU has to say comes by
	// Registry.Deliver.
	Signal(room wire.RoomID, from wire.ParticipantID, grants wire.Grants, signal wire.Signal, answer func(wire.ServerMessage, error))
	// Subscribe says what a participant wants to see of another one in the room, until that one leaves.
	Subscribe(room wire.RoomID, from wire.ParticipantID, grants wire.Grants, msg wire.SubscribeMedia, answer func(wire.ServerMessage, error))
	// SetGrants says that what a participant may do has changed.
	SetGrants(room wire.RoomID, of wire.ParticipantID, grants wire.Grants)
	// Leave says that a participant is gone. One that is reconnecting is not: its call goes on.
	Leave(room wire.RoomID, who wire.ParticipantID)
}

// A call is how the media of a room flows.
type call struct {
	mode   wire.Mode
	reason string      // for people; changes with mode
	calm   *time.Timer // runs while the room could go back to the mesh
	back   bool        // calm runs
}

// SignalSFU brings a signal for the SFU. Errors: forbidden, not-found (this server has no SFU, or it has no
// connection that the signal could be for), and those of the SFU.
func (m *Member) SignalSFU(msg wire.Signal, answer Answer) {
	m.act(answer, func() {
		if sfu := m.room.sfuFor(m, answer); sfu != nil {
			sfu.Signal(m.room.id, m.Participant, m.room.grantsOf(m), msg, answer)
		}
	})
}

// Subscribe says what this participant wants to see from the SFU. Errors as of SignalSFU; not-found too for a participant
// who is not there. That one who is not there is not wanted goes without saying.
func (m *Member) Subscribe(msg wire.SubscribeMedia, answer Answer) {
	m.act(answer, func() {
		sfu := m.room.sfuFor(m, answer)
		switch {
		case sfu == nil:
		case m.room.members[msg.Participant] != nil:
			sfu.Subscribe(m.room.id, m.Participant, m.room.grantsOf(m), msg, answer)
		case msg.Enabled:
			answer(nil, wire.Errorf(wire.CodeNotFound, "there is no such participant in this room"))
		default:
			answer(wire.Ack{}, nil)
		}
	})
}

// sfuFor returns the SFU, or answers why m cannot have it and returns nil.
func (r *Room) sfuFor(m *Member, answer Answer) SFU {
	sfu := r.registry.opts.SFU
	if sfu == nil {
		answer(nil, wire.Errorf(wire.CodeNotFound, "this server has no SFU; calls go from browser to browser"))
		return nil
	}
	if grants := r.grantsOf(m); !grants.Subscribe && len(grants.Publish) == 0 {
		answer(nil, wire.Errorf(wire.CodeForbidden, "this token may neither publish nor subscribe"))
		return nil
	}
	return sfu
}

// RequestMode says that this participant cannot reach another one directly. The room uses the SFU as long as it is
// there. Errors: not-found (there is no SFU).
func (m *Member) RequestMode(_ wire.RequestMode, answer Answer) {
	m.act(answer, func() {
		if m.room.sfuFor(m, answer) == nil {
			return
		}
		m.unreachable = true
		m.room.updateMode()
		answer(wire.Ack{}, nil)
	})
}

// ICEServers answers with the STUN and TURN servers that this participant may use from now on.
func (m *Member) ICEServers(answer Answer) {
	m.act(answer, func() { answer(m.room.registry.opts.ICE(m.Participant), nil) })
}

// Deliver brings a participant what the SFU has to say to it. Signals, and what it shall publish, wait while it is
// reconnecting; other state is told anew when it changes.
func (g *Registry) Deliver(room wire.RoomID, to wire.ParticipantID, body wire.ServerMessage) {
	g.mu.Lock()
	r := g.rooms[room]
	g.mu.Unlock()
	if r == nil {
		return
	}
	frame := wire.Encode(wire.Envelope{Room: room, From: wire.TheSFU, To: to}, body)
	key := stateKey(room, body)
	r.post(noAnswer, func() { r.deliver(to, frame, key) })
}

// stateKey is what conflates the SFU's messages of one kind, empty for those that must all arrive.
func stateKey(room wire.RoomID, body wire.ServerMessage) string {
	switch msg := body.(type) {
	case wire.PublishMedia:
		return "publish/" + string(room) + "/" + string(msg.Source)
	case wire.MediaQuality:
		return "quality/" + string(room) + "/" + string(msg.Participant) + "/" + string(msg.Source)
	case wire.ActiveSpeakers:
		return "speakers/" + string(room)
	default:
		return ""
	}
}

func (r *Room) deliver(to wire.ParticipantID, frame []byte, key string) {
	m := r.members[to]
	switch {
	case m == nil:
	case m.state == memberOnline:
		r.flushStates() // it must know of the participants that the frame speaks of
		m.out.Send(frame, key)
	case m.waitBytes+len(frame) <= maxWaiting:
		m.waiting = append(m.waiting, frame)
		m.waitBytes += len(frame)
	}
}

// grantsChanged tells the SFU what m may do now.
func (r *Room) grantsChanged(m *Member) {
	if sfu := r.registry.opts.SFU; sfu != nil {
		sfu.SetGrants(r.id, m.Participant, r.grantsOf(m))
	}
}

// updateMode must be called when anything has changed that wantedMode looks at. To the SFU the room changes at once,
// back after a while.
func (r *Room) updateMode() {
	if r.registry.opts.SFU == nil {
		return
	}
	mode, reason := r.wantedMode()
	switch {
	case mode == wire.SFU:
		r.stopCalm()
		r.setMode(mode, reason)
	case r.empty():
		r.stopCalm()
		r.call.mode = wire.Mesh
	case r.call.mode == wire.SFU && !r.call.back:
		r.call.back = true
		r.call.calm.Reset(r.registry.opts.BackToMesh)
	}
}

func (r *Room) stopCalm() {
	r.call.back = false
	r.call.calm.Stop()
}

// calmedDown goes back to the mesh, if nothing has spoken against it meanwhile.
func (r *Room) calmedDown() {
	if !r.call.back {
		return // stopped after the timer had fired
	}
	r.call.back = false
	if mode, reason := r.wantedMode(); mode == wire.Mesh {
		r.setMode(mode, reason)
	}
}

func (r *Room) setMode(mode wire.Mode, reason string) {
	if r.call.mode == mode {
		return
	}
	r.call.mode, r.call.reason = mode, reason
	r.logger.Info("media mode", "mode", string(mode), "reason", reason)
	frame := wire.Encode(wire.Envelope{Room: r.id}, wire.MediaMode{Mode: mode, Reason: reason})
	r.broadcastState(frame, "mode/"+string(r.id), nil)
}

// wantedMode says how the media of the room should flow now, and why.
func (r *Room) wantedMode() (wire.Mode, string) {
	if r.registry.opts.SFU == nil {
		return wire.Mesh, "no SFU"
	}
	if r.recording.active != nil {
		return wire.SFU, "recording"
	}
	if len(r.watches) > 0 {
		return wire.SFU, "a viewer"
	}
	inCall, reason := 0, ""
	for _, m := range r.order {
		switch {
		case m.Kind == wire.Ingress || m.Kind == wire.Recorder:
			return wire.SFU, string(m.Kind)
		case m.Kind == wire.Bot && m.media.Microphone:
			return wire.SFU, "a bot speaks"
		case m.hears:
			return wire.SFU, "a bot hears"
		case m.Kind == wire.Bot:
			continue
		case m.media.Screen:
			reason = "screen"
		case m.unreachable && reason == "":
			reason = "unreachable"
		}
		inCall++
	}
	switch limit := r.registry.opts.MeshMax; {
	case inCall > limit:
		return wire.SFU, "more than " + strconv.Itoa(limit) + " participants"
	case reason != "":
		return wire.SFU, reason
	default:
		return wire.Mesh, "a small call"
	}
}

// appendMedia appends wire.MediaSetup for m in JSON. It is by hand for the reason that Member.describe is.
func (r *Room) appendMedia(out []byte, m *Member) []byte {
	ice := r.registry.opts.ICE(m.Participant)
	out = append(append(append(out, `{"mode":"`...), r.call.mode...), `","iceServers":[`...)
	for i, server := range ice.ICEServers {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendICEServer(out, server)
	}
	out = append(out, ']')
	if ice.TTL > 0 {
		out = strconv.AppendInt(append(out, `,"ttl":`...), int64(ice.TTL), 10)
	}
	if r.registry.opts.SFU != nil {
		out = append(out, `,"sfu":true`...)
	}
	return append(out, '}')
}

func appendICEServer(out []byte, server wire.ICEServer) []byte {
	out = append(out, `{"urls":[`...)
	for i, url := range server.URLs {
		if i > 0 {
			out = append(out, ',')
		}
		out = wire.AppendString(out, url)
	}
	out = append(out, ']')
	if server.Username != "" {
		out = wire.AppendString(append(out, `,"username":`...), server.Username)
	}
	if server.Credential != "" {
		out = wire.AppendString(append(out, `,"credential":`...), server.Credential)
	}
	return append(out, '}')
}

// Signal relays data, unread, to another participant of the room. It waits while that one is reconnecting.
// Errors: not-found, forbidden, unavailable (too much is waiting for it).
func (m *Member) Signal(to wire.ParticipantID, data json.RawMessage, answer Answer) {
	m.act(answer, func() { m.room.signal(m, to, data, answer) })
}

// signal relays data to one member.
func (r *Room) signal(m *Member, to wire.ParticipantID, data json.RawMessage, answer Answer) {
	if grants := r.grantsOf(m); !grants.Subscribe && len(grants.Publish) == 0 {
		answer(nil, wire.Errorf(wire.CodeForbidden, "this token may neither publish nor subscribe"))
		return
	}
	other := r.members[to]
	if other == nil || other == m {
		answer(nil, wire.Errorf(wire.CodeNotFound, "there is no such participant in this room"))
		return
	}
	frame := wire.AppendEnvelope(make([]byte, 0, len(data)+160),
		wire.Envelope{Room: r.id, From: m.Participant, To: to}, wire.KindSignal, data)
	if other.state == memberOnline {
		r.flushStates() // the addressee must know of the sender before it hears from it
		other.out.Send(frame, "")
		answer(wire.Ack{}, nil)
		return
	}
	if other.waitBytes+len(frame) > maxWaiting {
		answer(nil, wire.Errorf(wire.CodeUnavailable, "too much is waiting for a participant that is reconnecting"))
		return
	}
	other.waiting = append(other.waiting, frame)
	other.waitBytes += len(frame)
	answer(wire.Ack{}, nil)
}
