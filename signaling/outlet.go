package signaling

import (
	"slices"
	"time"

	"confab/rooms"
	"confab/signaling/wire"
)

const (
	drainTimeout  = time.Second // for what waits to be written before a close frame
	closeTimeout  = time.Second // for the client to answer a close frame
	maxReasonText = 120         // bytes of a close frame's reason; RFC 6455 section 5.5 allows 123
)

// Send implements rooms.Outlet.
func (s *Session) Send(frame []byte, key string) {
	if v := s.virtual; v != nil {
		v.link.out.send(v.number, frame, key)
		return
	}
	switch s.out.push(frame, key, true) {
	case pushWrite:
		s.server.flusher.add(s, frame) // ended waits for the writer
	case pushSlow:
		s.server.metrics.slow.Inc()
		s.finish(wire.CloseTooSlow, "too much is waiting for this client; resume")
	case pushWaits, pushRefused:
	}
}

// SendJoined implements rooms.Outlet. Nobody else has the frame, so it is given back when it is written.
func (s *Session) SendJoined(frame []byte) {
	if v := s.virtual; v != nil {
		v.link.out.put(itemJoined, frame, v.number)
		rooms.Recycle(frame)
		return
	}
	if s.out.push(frame, "", false) != pushWrite {
		return // it waits, or the session is over; it does not count, so it cannot be one too many
	}
	go func() { // ended waits for it
		s.writeFrame(frame)
		rooms.Recycle(frame)
		s.writeGathered(batches.Get().(*batch))
	}()
}

// Removed implements rooms.Outlet. A client that is in no room any more is closed with the code of the reason.
func (s *Session) Removed(room wire.RoomID, why wire.RemovedReason) {
	s.mu.Lock()
	s.members = slices.DeleteFunc(s.members, func(m *rooms.Member) bool { return m.Room() == room })
	last := len(s.members)+s.relayed() == 0
	s.mu.Unlock()
	switch {
	case s.virtual != nil:
		s.virtual.left(room, why)
	case last:
		s.finishRemoved(why)
	}
}

// Moved implements rooms.Mover: the client comes back and finds the room where it is now.
func (s *Session) Moved(room wire.RoomID) {
	s.mu.Lock()
	s.members = slices.DeleteFunc(s.members, func(m *rooms.Member) bool { return m.Room() == room })
	s.mu.Unlock()
	s.finish(wire.CloseTooSlow, "the room moves to another node; resume")
}

// finishRemoved closes a connection that is in no room any more with the code of the reason.
func (s *Session) finishRemoved(why wire.RemovedReason) {
	switch why {
	case wire.Kicked:
		s.finish(wire.CloseKicked, "a moderator removed you")
	case wire.Banned:
		s.finish(wire.CloseBanned, "a moderator banned you")
	case wire.Ended:
		s.finish(wire.CloseRoomEnded, "the room was ended")
	case wire.Denied: // was never inside: the connection may knock elsewhere
	}
}

// write is the session's writer when the flusher is not: it writes frame and then what has gathered meanwhile, until
// there is nothing more. The outbox sees to it that there is only one writer. frame may be in b, which write releases.
func (s *Session) write(frame []byte, b *batch) {
	s.writeFrame(frame)
	s.writeGathered(b)
}

func (s *Session) writeFrame(frame []byte) {
	s.writes.Add(1)
	err := s.conn.write(frame)
	s.writes.Add(1)
	if err != nil {
		s.cut()
	}
}

// writeGathered is the writer after its first frame. It releases b.
func (s *Session) writeGathered(b *batch) {
	for s.out.take(b) {
		s.writeFrame(b.frame())
	}
	b.release()
}

// writeSpill is the writer after the flusher, when the client did not take a frame at once. err is what became of
// the frame otherwise.
func (s *Session) writeSpill(err error) {
	if failed := s.raw.drain(); failed != nil {
		err = failed
	}
	s.writes.Add(1) // begun by the flusher
	if err != nil {
		s.cut()
	}
	s.writeGathered(batches.Get().(*batch))
}

// cut ends a connection that cannot be written to. The client resumes from what it has seen.
func (s *Session) cut() {
	s.out.die()
	s.conn.abort()
}

// finish ends the connection from the server's side: what waits is written, then the close frame, and if the
// client does not answer that the socket is closed. It does not block; only the first call counts.
func (s *Session) finish(code wire.CloseCode, reason string) {
	if !s.serverCode.CompareAndSwap(0, int32(code)) {
		return
	}
	if s.virtual != nil {
		s.virtual.close(code, reason)
		return
	}
	s.server.metrics.closed(code)
	drained := s.out.close()
	if !s.server.spawn(func() { s.closeWith(code, reason, drained) }) {
		s.conn.abort()
	}
}

func (s *Session) closeWith(code wire.CloseCode, reason string, drained <-chan struct{}) {
	if drained != nil {
		timeout := time.NewTimer(drainTimeout)
		select {
		case <-drained:
		case <-timeout.C:
		}
		timeout.Stop()
	}
	if err := s.conn.writeClose(code, reason[:min(len(reason), maxReasonText)], wire.SlowCloseTimeout); err != nil {
		s.conn.abort()
		return
	}
	time.AfterFunc(closeTimeout, s.conn.close)
}
