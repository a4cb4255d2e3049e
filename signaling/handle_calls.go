package signaling

import (
	"context"
	"slices"

	"confab/rooms"
	"confab/signaling/wire"
)

// handleCalls registers what sets up media.
func handleCalls(m mux) {
	Handle(m, signal)
	Handle(m, inRoom(func(m *rooms.Member, _ wire.Envelope, msg wire.SubscribeMedia, answer rooms.Answer) {
		m.Subscribe(msg, answer)
	}))
	Handle(m, inRoom(func(m *rooms.Member, _ wire.Envelope, msg wire.RequestMode, answer rooms.Answer) {
		m.RequestMode(msg, answer)
	}))
	Handle(m, inRoom(func(m *rooms.Member, _ wire.Envelope, _ wire.ICEServersRequest, answer rooms.Answer) {
		m.ICEServers(answer)
	}))
}

// signal relays an offer, an answer or a candidate to one participant of the same room, byte for byte, or brings it
// to the SFU.
func signal(_ context.Context, s *Session, env wire.Envelope, msg wire.Signal) error {
	m, err := s.memberOf(env)
	if err != nil {
		return err
	}
	switch env.To {
	case "":
		return wire.Errorf(wire.CodeBadMessage, "webrtc-signal needs the participant it is for, in to")
	case wire.TheSFU:
		m.SignalSFU(msg, s.answer(env))
	default:
		m.Signal(env.To, slices.Clone(env.Data), s.answer(env)) // for later than this frame
	}
	return nil
}
