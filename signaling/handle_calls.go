package signaling

import (
	"context"

	"confab/signaling/wire"
)

// handleCalls registers what sets up media.
func handleCalls(m mux) {
	Handle(m, signal)
}

// signal relays an offer, an answer or a candidate to one participant of the same room, byte for byte.
func signal(_ context.Context, s *Session, env wire.Envelope, _ wire.Signal) error {
	m, err := s.memberOf(env)
	if err != nil {
		return err
	}
	if env.To == "" {
		return wire.Errorf(wire.CodeBadMessage, "webrtc-signal needs the participant it is for, in to")
	}
	m.Signal(env.To, env.Data, s.answer(env))
	return nil
}
