package rooms

import "confab/signaling/wire"

// An Outlet is where a room puts what one member's client must see: the session's outbox. Its methods never
// block and may be called from any goroutine.
type Outlet interface {
	// Send queues a frame (one or more objects, one a line). Frames arrive in the order of the calls. With a
	// key the frame is state: a later frame with the same key replaces it while it has not been written. The
	// frame is shared between members and must not be changed.
	Send(frame []byte, key string)
	// SendJoined queues the first frame of a room or of a thread. It is large by nature and does not count against what may
	// wait for a slow client. The frame is this outlet's alone, which may give it back by Recycle.
	SendJoined(frame []byte)
	// Removed says that the room has put this member out and sends nothing more; why is one of wire's reasons.
	// A frame of type removed has been sent before.
	Removed(room wire.RoomID, why wire.RemovedReason)
}

// A Mover is an Outlet whose client can look for a room that is run elsewhere now. Others are put out, as from a room
// that was ended.
type Mover interface {
	// Moved says that the room has ended here and sends nothing more, though its members have not left it.
	Moved(room wire.RoomID)
}

// An Answer gives a request its one answer: body when err is nil. A nil body with a nil err means that the
// answer was sent as a frame already. It is called exactly once and never blocks.
type Answer func(body wire.ServerMessage, err error)
