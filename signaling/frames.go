package signaling

import "confab/signaling/wire"

// encodeError frames the answer to the request in env.
func encodeError(env wire.Envelope, problem *wire.Error) []byte {
	head := wire.Envelope{ID: env.ID, Room: env.Room, Thread: env.Thread}
	if !wire.ValidName(string(head.Room)) { // what is wrong with the request may be the name
		head.Room = ""
	}
	if !wire.ValidName(string(head.Thread)) {
		head.Thread = ""
	}
	return wire.Encode(head, *problem.Body())
}

func errGoingDown() *wire.Error {
	return wire.Errorf(wire.CodeUnavailable, "the server is going down; try again in a moment")
}
