package rooms

import (
	"slices"

	"confab/signaling/wire"
)

// maxMarks bounds the read marks of all threads of a room together; the one that is furthest back goes.
const maxMarks = 2000

// setThreadRead moves a person's mark in a thread forward and tells who follows it, and the person's other clients.
func (r *Room) setThreadRead(m *Member, name wire.ThreadID, msg wire.Read, answer Answer) {
	t := r.knownThread(m, name)
	if t == nil {
		answer(nil, errNoThread())
		return
	}
	if msg.Seq > t.counted {
		answer(nil, wire.Errorf(wire.CodeNotFound, "there is no message at this seq yet"))
		return
	}
	answer(wire.Ack{}, nil)
	if msg.Seq <= t.marks[m.User].seq {
		return
	}
	r.mark(t, m.User, readMark{msg.Seq, t.readBy(msg.Seq, t.marks[m.User].messages)})
	r.saveSummaries()
	frame := wire.Encode(wire.Envelope{Room: r.id, Thread: t.name, From: m.Participant}, msg)
	key := "read/" + string(r.id) + "~" + string(t.name) + "/" + string(m.Participant)
	r.tellThread(t, frame, key, m)
	for _, other := range r.order {
		if other != m && other.User == m.User && other.state == memberOnline && !slices.Contains(other.following, t) {
			other.out.Send(frame, key)
		}
	}
}

// readIn is how far somebody has read a timeline.
func (r *Room) readIn(t *timeline, user wire.UserID) wire.Seq {
	if t.thread == nil {
		return r.reads[user]
	}
	return t.thread.marks[user].seq
}

// readBy counts the messages of t up to seq. Where that cannot be told, because the log is not in memory, the answer is
// what was known before.
func (t *thread) readBy(seq wire.Seq, before int) int {
	if seq >= t.last.Seq {
		return t.messages
	}
	if t.log == nil || t.log.line == nil {
		return before
	}
	later := 0
	for _, m := range slices.Backward(t.log.line.messages) {
		if m.seq <= seq {
			break
		}
		if !m.deleted {
			later++
		}
	}
	return max(t.messages-later, before)
}

// mark notes how far somebody has read.
func (r *Room) mark(t *thread, user wire.UserID, mark readMark) {
	if t.marks == nil {
		t.marks = make(map[wire.UserID]readMark)
	}
	if _, known := t.marks[user]; !known {
		r.placeForMark()
	}
	t.marks[user] = mark
}

// placeForMark drops the mark that is furthest back when there are too many.
func (r *Room) placeForMark() {
	marks := 0
	var in *thread
	var of wire.UserID
	for _, t := range r.threads.all {
		marks += len(t.marks)
		for user, m := range t.marks {
			if in == nil || m.seq < in.marks[of].seq {
				in, of = t, user
			}
		}
	}
	if marks >= maxMarks {
		delete(in.marks, of)
	}
}
