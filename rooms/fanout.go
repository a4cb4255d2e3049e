package rooms

import (
	"time"

	"confab/signaling/wire"
)

const (
	// From this many members on, a room gathers what it tells everyone and writes it in ticks: 1,000 writes of two
	// messages cost little more than 1,000 writes of one.
	largeRoom = 200
	largeTick = 10 * time.Millisecond
	// From this many members on, presence and other state are gathered, the longer the more there are: it changes the
	// more often, and is told to the more.
	mediumRoom   = 16
	statePerHead = 2 * time.Millisecond
	maxStateTick = 250 * time.Millisecond
)

func now() time.Time { return time.Now() }

// A batch gathers frames for everyone until its timer fires.
type batch struct {
	timer  *time.Timer
	armed  bool
	frames []stateFrame
	bytes  int
}

// A stateFrame is a frame and, for state, whose newest value it is and whom it is not for.
type stateFrame struct {
	frame  []byte
	key    string
	except *Member
}

func (b *batch) add(f stateFrame, wait time.Duration) {
	if f.key != "" {
		for i := range b.frames {
			if b.frames[i].key == f.key {
				b.bytes += len(f.frame) - len(b.frames[i].frame)
				b.frames[i] = f
				return
			}
		}
	}
	b.frames = append(b.frames, f)
	b.bytes += len(f.frame) + 1
	if !b.armed {
		b.armed = true
		b.timer.Reset(wait)
	}
}

func (b *batch) take() []stateFrame {
	frames := b.frames
	if b.armed {
		b.timer.Stop()
	}
	b.armed, b.frames, b.bytes = false, nil, 0
	return frames
}

// gathers reports whether logged messages wait for the tick.
func (r *Room) gathers() bool { return len(r.order) >= largeRoom || r.batch.armed }

// broadcast tells everyone but except of a logged message. While the room gathers nobody is left out.
func (r *Room) broadcast(frame []byte, except *Member) {
	if !r.gathers() {
		r.sendAll(frame, "", except)
		return
	}
	r.batch.add(stateFrame{frame: frame}, largeTick)
	if r.batch.bytes >= wire.MaxBatchBytes {
		r.flushBatch()
	}
}

// flushBatch writes what is gathered as one frame, made once for all members.
func (r *Room) flushBatch() {
	r.writeOut(r.batch.take())
}

// broadcastState tells everyone but except of state.
func (r *Room) broadcastState(frame []byte, key string, except *Member) {
	if len(r.order) < mediumRoom && !r.states.armed {
		r.sendAll(frame, key, except)
		return
	}
	r.states.add(stateFrame{frame, key, except}, min(time.Duration(len(r.order))*statePerHead, maxStateTick))
	if r.states.bytes >= wire.MaxBatchBytes {
		r.flushStates()
	}
}

// flushStates writes the state that is gathered.
func (r *Room) flushStates() {
	r.writeOut(r.states.take())
}

// writeOut sends frames to everyone, joined into one where nobody is left out. Who is left out of one gets the
// batch without it.
func (r *Room) writeOut(frames []stateFrame) {
	if len(frames) == 0 {
		return
	}
	if len(frames) == 1 {
		r.sendAll(frames[0].frame, frames[0].key, frames[0].except)
		return
	}
	all := joinFrames(frames, nil)
	excepted := make(map[*Member]bool)
	for _, f := range frames {
		if f.except != nil {
			excepted[f.except] = true
		}
	}
	for _, m := range r.order {
		switch {
		case m.state != memberOnline:
		case excepted[m]:
			if own := joinFrames(frames, m); len(own) > 0 {
				m.out.Send(own, "")
			}
		default:
			m.out.Send(all, "")
		}
	}
}

// joinFrames puts frames on lines, leaving out those not for m.
func joinFrames(frames []stateFrame, m *Member) []byte {
	size := 0
	for _, f := range frames {
		size += len(f.frame) + 1
	}
	out := make([]byte, 0, size)
	for _, f := range frames {
		if m != nil && f.except == m {
			continue
		}
		if len(out) > 0 {
			out = append(out, '\n')
		}
		out = append(out, f.frame...)
	}
	return out
}

func (r *Room) sendAll(frame []byte, key string, except *Member) {
	for _, m := range r.order {
		if m.state == memberOnline && m != except {
			m.out.Send(frame, key)
		}
	}
}
