package rooms

import (
	"slices"
	"time"

	"confab/signaling/wire"
)

// maxLater bounds what bots have promised to say in one room.
const maxLater = 32

// A promise is what a bot will say at its time, or when the room is next opened after it.
type promise struct {
	At     int64         `json:"at"` // Unix time in milliseconds
	Bot    wire.BotID    `json:"bot"`
	Thread wire.ThreadID `json:"thread,omitempty"`
	Text   string        `json:"text"`
}

// SayLater lets a bot say something at a time to come, also after a restart. Answer: Ack when that is stored. Errors:
// conflict (too many promises), unavailable.
func (m *Member) SayLater(thread wire.ThreadID, at time.Time, msg wire.Chat, answer Answer) {
	m.act(answer, func() {
		r := m.room
		switch {
		case m.seat == nil:
			answer(nil, wire.Errorf(wire.CodeForbidden, "only a bot of this server says something later"))
		case len(r.doc.Later) >= maxLater:
			answer(nil, wire.Errorf(wire.CodeConflict, "%d things are to be said later in this room already", maxLater))
		default:
			r.doc.Later = append(r.doc.Later, promise{At: at.UnixMilli(), Bot: wire.BotOf(m.User), Thread: thread, Text: msg.Text})
			r.armLater()
			r.saveThenAck(answer)
		}
	})
}

// armLater starts the timer for the next promise.
func (r *Room) armLater() {
	stopTimer(&r.later)
	if len(r.doc.Later) == 0 {
		return
	}
	next := slices.MinFunc(r.doc.Later, func(x, y promise) int { return int(x.At - y.At) })
	r.later = r.after(max(0, time.Until(time.UnixMilli(next.At))), r.keepPromises)
}

// keepPromises says what is due. What a bot has promised that is not in the room any more is not said.
func (r *Room) keepPromises() {
	limit := now().UnixMilli()
	var due []promise
	r.doc.Later = slices.DeleteFunc(r.doc.Later, func(p promise) bool {
		if p.At > limit {
			return false
		}
		due = append(due, p)
		return true
	})
	if len(due) == 0 {
		r.armLater()
		return
	}
	for _, p := range due {
		m, msg := r.seatOf(p.Bot), wire.Chat{Text: p.Text}
		switch {
		case m == nil:
		case p.Thread == "":
			r.chat(m, r.main, newServerID(), msg, noAnswer)
		default:
			r.inThread(m, p.Thread, noAnswer, func(t *timeline) { r.chat(m, t, newServerID(), msg, noAnswer) })
		}
	}
	r.armLater()
	r.save(nil)
}
