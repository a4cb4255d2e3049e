package rooms

import (
	"errors"
	"slices"
	"time"

	"confab/signaling/wire"
)

// lockedVacancy is how long a locked room stays locked when the last of its people has gone: whoever reloads the page
// comes back to the same meeting, and nobody slips in meanwhile.
const lockedVacancy = wire.ReconnectWindow

// A door is what stands before a locked room: who asks to be let in. A room has none until somebody does, or until it
// stands locked and empty.
type door struct {
	knocks    []*knock     // in the order they came; at most wire.MaxKnocking
	addresses []addressBan // oldest first; at most maxBans
	vacant    *time.Timer  // until the meeting of a locked room that everybody has left is over; nil = it is not empty
}

// A knock is one who waits: its join has no answer yet. It holds a reference of the room, as every member does.
type knock struct {
	m      *Member
	reqID  wire.RequestID
	since  *wire.Cursor
	answer Answer      // of the join
	late   *time.Timer // ends the waiting
}

// knocks returns who waits at the door.
func (r *Room) knocks() []*knock {
	if r.door == nil {
		return nil
	}
	return r.door.knocks
}

// needDoor returns the door, making it when there is none yet.
func (r *Room) needDoor() *door {
	if r.door == nil {
		r.door = new(door)
	}
	return r.door
}

// knockOf returns the knock of a participant, nil when it does not wait.
func (r *Room) knockOf(who wire.ParticipantID) *knock {
	for _, k := range r.knocks() {
		if k.m.Participant == who {
			return k
		}
	}
	return nil
}

func isLocked(err error) bool {
	problem, ok := errors.AsType[*wire.Error](err)
	return ok && problem.Code == wire.CodeRoomLocked
}

// wait lets m wait at the door, in the place of its earlier connection if that waits. The join is answered when
// somebody admits or denies it, when it has waited for wire.KnockTimeout, or when the door opens.
func (r *Room) wait(m *Member, before *knock, reqID wire.RequestID, join wire.Join, answer Answer) {
	k := &knock{m: m, reqID: reqID, since: join.Since, answer: answer}
	if before != nil {
		m.joinedAt = before.m.joinedAt
		r.needDoor().knocks[slices.Index(r.knocks(), before)] = k
		k.late = r.knockTimer(k)
		r.dismiss(before, wire.Errorf(wire.CodeConflict, "this session has asked again"))
	} else {
		if err := r.mayWait(m); err != nil {
			r.reject(m, answer, err)
			return
		}
		m.joinedAt = now()
		r.needDoor().knocks = append(r.knocks(), k)
		k.late = r.knockTimer(k)
	}
	m.state = memberKnocking
	r.tellDoor()
}

// mayWait reports why there is no place for m at the door, nil when there is.
func (r *Room) mayWait(m *Member) error {
	own := 0
	for _, k := range r.knocks() {
		if k.m.User == m.User {
			own++
		}
	}
	switch {
	case own >= wire.MaxKnocksPerUser:
		return wire.Errorf(wire.CodeConflict, "you wait at this door %d times already", own)
	case len(r.knocks()) >= wire.MaxKnocking:
		return &wire.Error{Code: wire.CodeRoomFull, Text: "too many people wait at this door; try again later", RetryAfter: 30 * time.Second}
	}
	return nil
}

// knockTimer ends the waiting of k when it has lasted too long, counted from when it came first.
func (r *Room) knockTimer(k *knock) *time.Timer {
	return r.after(time.Until(k.m.joinedAt.Add(wire.KnockTimeout)), func() {
		if r.leaveDoor(k) {
			r.dismiss(k, wire.Errorf(wire.CodeTimeout, "nobody has let you in; ask again later"))
			r.tellDoor()
		}
	})
}

// leaveDoor takes k from those who wait, and reports whether it did wait.
func (r *Room) leaveDoor(k *knock) bool {
	i := slices.Index(r.knocks(), k)
	if i < 0 {
		return false
	}
	r.door.knocks = slices.Delete(r.door.knocks, i, i+1)
	k.stop()
	return true
}

func (k *knock) stop() {
	k.late.Stop()
	stopTimer(&k.m.lost)
}

// dismiss answers the join of k, which waits no longer, with an error.
func (r *Room) dismiss(k *knock, err error) {
	k.stop()
	k.m.state = memberGone
	r.registry.release(r)
	k.answer(nil, err)
}

// refuse sends k away, which waits no longer; why is what it is told, as the answer to its join.
func (r *Room) refuse(k *knock, why wire.RemovedReason) {
	k.stop()
	lost := k.m.state == memberKnockLost
	k.m.state = memberGone
	if !lost {
		k.m.out.Send(wire.Encode(wire.Envelope{Room: r.id, ID: k.reqID}, wire.Removed{Reason: why}), "")
	}
	k.m.out.Removed(r.id, why)
	r.registry.release(r)
	k.answer(nil, nil)
}

// answerDoor does what a moderator says of one who waits; it holds for all sessions of that person.
func (r *Room) answerDoor(msg wire.Moderate, answer Answer) {
	target := r.knockOf(msg.Participant)
	if target == nil {
		answer(nil, wire.Errorf(wire.CodeNotFound, "nobody with this id waits at the door"))
		return
	}
	if msg.Action == wire.ActionDeny {
		r.sendAway(target.m.User, wire.Denied)
		answer(wire.Ack{}, nil)
		return
	}
	if err := r.hasRoom(); err != nil {
		answer(nil, err)
		return
	}
	// One whose connection is lost comes in when it is back.
	if !slices.Contains(r.doc.Admitted, target.m.User) {
		r.doc.Admitted = append(r.doc.Admitted, target.m.User)
	}
	r.openDoor()
	r.saveThenAck(answer)
}

// sendAway refuses every knock of a user.
func (r *Room) sendAway(user wire.UserID, why wire.RemovedReason) {
	for _, k := range slices.Clone(r.knocks()) {
		if k.m.User == user && r.leaveDoor(k) {
			r.refuse(k, why)
		}
	}
	r.tellDoor()
}

// sendAllAway refuses everyone who waits.
func (r *Room) sendAllAway(why wire.RemovedReason) {
	for _, k := range slices.Clone(r.knocks()) {
		r.leaveDoor(k)
		r.refuse(k, why)
	}
}

// openDoor lets those in who wait and may come by now. Who has no place goes on waiting.
func (r *Room) openDoor() {
	if len(r.knocks()) == 0 {
		return
	}
	for _, k := range slices.Clone(r.knocks()) {
		if k.m.state == memberKnocking && r.mayEnter(k.m) == nil && r.leaveDoor(k) {
			r.enter(k.m, k.reqID, k.since, k.answer)
		}
	}
	r.tellDoor()
}

// doorLost keeps the place of one whose connection is lost for wire.ReconnectWindow.
func (r *Room) doorLost(m *Member) {
	k := r.knockOf(m.Participant)
	m.state = memberKnockLost
	m.lost = r.after(wire.ReconnectWindow, func() {
		if k.m == m && r.leaveDoor(k) {
			r.dismiss(k, wire.Errorf(wire.CodeCancelled, "the connection was lost"))
			r.tellDoor()
		}
	})
	r.tellDoor()
}

// doorLeft ends the waiting of one who has changed their mind.
func (r *Room) doorLeft(m *Member) {
	if k := r.knockOf(m.Participant); k != nil && k.m == m && r.leaveDoor(k) {
		r.dismiss(k, wire.Errorf(wire.CodeCancelled, "you have stopped waiting"))
		r.tellDoor()
	}
}

// vacate begins the time after which the meeting of a locked room is over that everybody has left.
func (r *Room) vacate() {
	if d := r.needDoor(); d.vacant == nil {
		d.vacant = r.after(lockedVacancy, func() {
			d.vacant = nil
			if r.empty() {
				r.endMeeting()
			}
		})
	}
}

// occupied ends the time that vacate began.
func (r *Room) occupied() {
	if r.door != nil {
		stopTimer(&r.door.vacant)
	}
}

// vacated reports whether a locked room waits for its people to come back.
func (r *Room) vacated() bool { return r.door != nil && r.door.vacant != nil }

// tellDoor tells moderators, and nobody else, who waits.
func (r *Room) tellDoor() {
	var frame []byte
	for _, m := range r.order {
		if m.state != memberOnline || r.roleOf(m) != wire.RoleModerator {
			continue
		}
		if frame == nil {
			frame = r.doorFrame(true)
		}
		m.out.Send(frame, r.doorKey())
	}
}

// tellDoorTo tells m who waits, after its role has changed: nobody, when it may not know.
func (r *Room) tellDoorTo(m *Member) {
	if len(r.knocks()) > 0 && m.state == memberOnline {
		m.out.Send(r.doorFrame(r.roleOf(m) == wire.RoleModerator), r.doorKey())
	}
}

func (r *Room) doorKey() string { return "door/" + string(r.id) }

func (r *Room) doorFrame(names bool) []byte {
	data := append(make([]byte, 0, 32+320*len(r.knocks())), `{"knocking":`...)
	if names {
		data = r.appendKnocking(data)
	} else {
		data = append(data, "[]"...)
	}
	return wire.AppendEnvelope(make([]byte, 0, len(data)+64), wire.Envelope{Room: r.id}, wire.KindRoom, append(data, '}'))
}

// appendKnocking appends who waits, in JSON.
func (r *Room) appendKnocking(out []byte) []byte {
	out = append(out, '[')
	for i, k := range r.knocks() {
		if i > 0 {
			out = append(out, ',')
		}
		k.m.changed() // seldom enough
		out = append(out, k.m.describe()...)
	}
	return append(out, ']')
}

// shutDoor lets go of everyone who waits: the room ends in this process, and their clients ask again.
func (r *Room) shutDoor() {
	for _, k := range slices.Clone(r.knocks()) {
		r.leaveDoor(k)
		r.dismiss(k, errGoingDown())
	}
	r.occupied()
}
