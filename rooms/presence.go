package rooms

import (
	"slices"
	"strconv"

	"github.com/google/uuid"

	"confab/signaling/wire"
)

// maxWaiting bounds the signals kept for a member that is reconnecting, in bytes.
const maxWaiting = wire.MaxOutboxBytes

func newServerID() wire.RequestID { return wire.RequestID("srv-" + uuid.NewString()) }

// join lets m in or says why not.
func (r *Room) join(m *Member, reqID wire.RequestID, join wire.Join, answer Answer) {
	if r.loadErr != nil {
		r.reject(m, answer, &wire.Error{Code: wire.CodeUnavailable, Text: "the room cannot be opened now; try again", Err: r.loadErr})
		return
	}
	if old := r.members[m.Participant]; old != nil {
		if old.Connection > m.Connection && old.state == memberOnline { // else their clocks differ: it came by another node
			r.reject(m, answer, errNewerConnection())
			return
		}
		r.takeOver(old, m, reqID, join)
		answer(nil, nil)
		return
	}
	r.newMeeting()
	before := r.knockOf(m.Participant)
	if before != nil && before.m.Connection > m.Connection && before.m.state == memberKnocking {
		r.reject(m, answer, errNewerConnection())
		return
	}
	err := r.mayEnter(m)
	if err != nil && join.Knock && isLocked(err) {
		r.wait(m, before, reqID, join, answer)
		return
	}
	if before != nil && r.leaveDoor(before) {
		r.dismiss(before, wire.Errorf(wire.CodeConflict, "this session has asked again"))
		r.tellDoor()
	}
	if err != nil {
		r.reject(m, answer, err)
		return
	}
	r.enter(m, reqID, join.Since, answer)
}

func errNewerConnection() *wire.Error {
	return wire.Errorf(wire.CodeConflict, "a newer connection of this session is in the room")
}

// enter makes m, which may come in, a member, and answers its join.
func (r *Room) enter(m *Member, reqID wire.RequestID, since *wire.Cursor, answer Answer) {
	r.occupied()
	r.firstGuest(m)
	if r.eventful(m) {
		r.meetingBegun()
	}
	r.flushBatch() // what is gathered is in the newcomer's history already
	m.joinedAt = now()
	r.members[m.Participant] = m
	r.order = append(r.order, m)
	if m.Kind == wire.Bot {
		r.hearers = append(r.hearers, m)
	}
	if active := r.recording.active; active != nil {
		active.Joined(m.Participant, m.User, m.Name)
	}
	r.updateMode() // before m is online: it learns of the mode from its joined
	m.state = memberOnline
	if r.doc.Locked && !slices.Contains(r.doc.Admitted, m.User) {
		r.doc.Admitted = append(r.doc.Admitted, m.User)
		r.save(nil)
	}
	m.out.SendJoined(r.joinedFrame(m, reqID, since))
	if m.Kind == wire.Ingress && len(r.doc.Muted[m.User]) > 0 {
		r.grantsChanged(m) // before it begins to publish; it does not read its joined
	}
	r.keepMembers()
	answer(nil, nil)
	r.announce(m, wire.PresenceJoined, "")
	if r.eventful(m) {
		who := m.participant()
		r.happened(Event{Kind: ParticipantJoined, Participant: &who})
	}
}

func (r *Room) reject(m *Member, answer Answer, err error) {
	m.state = memberGone
	r.registry.release(r)
	answer(nil, err)
}

// takeOver gives the place of a member to the same session's newer connection: nobody sees it leave.
func (r *Room) takeOver(old, m *Member, reqID wire.RequestID, join wire.Join) {
	r.flushBatch()
	was := old.state
	stopTimer(&old.lost)
	stopTimer(&old.typing)
	r.unfollowAll(old)
	old.state = memberGone
	r.registry.release(r) // old's hold; m has its own
	m.state, m.joinedAt, m.media = memberOnline, old.joinedAt, old.media
	m.waiting, m.waitBytes = old.waiting, old.waitBytes
	m.unreachable = old.unreachable
	r.members[m.Participant] = m
	r.order[slices.Index(r.order, old)] = m
	if i := slices.Index(r.hearers, old); i >= 0 {
		r.hearers[i] = m
	}
	m.out.SendJoined(r.joinedFrame(m, reqID, join.Since))
	for _, frame := range m.waiting {
		m.out.Send(frame, "")
	}
	m.waiting, m.waitBytes = nil, 0
	if was == memberReconnecting || old.Name != m.Name || r.roleOf(old) != r.roleOf(m) {
		r.announce(m, wire.PresenceUpdated, "")
	}
}

// drop takes a member out and tells the others.
func (r *Room) drop(m *Member, reason string) {
	if m.state == memberGone {
		return
	}
	r.clearTyping(m)
	r.unfollowAll(m)
	stopTimer(&m.lost)
	m.state = memberGone
	m.waiting, m.waitBytes = nil, 0
	delete(r.members, m.Participant)
	if m.seat != nil {
		r.seats--
	}
	i := slices.Index(r.order, m)
	r.order = slices.Delete(r.order, i, i+1)
	if i := slices.Index(r.hearers, m); i >= 0 {
		r.hearers = slices.Delete(r.hearers, i, i+1)
	}
	r.announce(m, wire.PresenceLeft, reason)
	if r.eventful(m) {
		who := m.participant()
		r.happened(Event{Kind: ParticipantLeft, Participant: &who, Reason: reason})
	}
	if sfu := r.registry.opts.SFU; sfu != nil && m.seat == nil {
		sfu.Leave(r.id, m.Participant)
	}
	if active := r.recording.active; active != nil {
		active.Left(m.Participant)
		if !r.hasPeople() {
			r.stopRecording(true)
		}
	}
	r.unwatchIf(func(w *Watch) bool { return w.of == m.Participant })
	r.updateMode()
	r.keepMembers()
	if m.seat != nil {
		return // it holds no reference, and no meeting
	}
	r.registry.release(r)
	r.openDoor() // there is a place now
	if r.empty() {
		if r.doc.Locked {
			r.vacate()
		} else {
			r.endMeeting()
		}
		r.save(nil) // read marks
	}
}

// disconnect keeps a member whose connection is lost for wire.ReconnectWindow.
func (r *Room) disconnect(m *Member) {
	if m.state == memberKnocking {
		r.doorLost(m)
		return
	}
	if m.state != memberOnline {
		return
	}
	r.clearTyping(m)
	r.unfollowAll(m)
	m.state = memberReconnecting
	r.awaitReturn(m)
	r.announce(m, wire.PresenceUpdated, "")
}

// update brings a refreshed token's claims.
func (r *Room) update(m *Member, id Identity) {
	if m.state == memberGone || m.state == memberPending {
		return
	}
	before := r.roleOf(m)
	id.Participant, id.User, id.Connection = m.Participant, m.User, m.Connection
	if m.state == memberKnocking || m.state == memberKnockLost {
		m.Identity = id
		r.openDoor() // the new token may be a moderator's
		return
	}
	changed := id.Name != m.Name
	m.Identity = id
	m.changed()
	r.grantsChanged(m)
	if changed || r.roleOf(m) != before {
		r.announce(m, wire.PresenceUpdated, "")
	}
	if r.roleOf(m) != before {
		r.tellDoorTo(m)
	}
}

// announce tells the others, and m itself when it is still here and something changed.
func (r *Room) announce(m *Member, event wire.PresenceEvent, reason string) {
	m.changed()
	who := m.describe()
	data := append(make([]byte, 0, len(who)+64), `{"event":"`...)
	data = append(append(data, event...), `","participant":`...)
	data = append(data, who...)
	if reason != "" {
		data = append(append(append(data, `,"reason":"`...), reason...), '"')
	}
	data = append(data, '}')
	frame := wire.AppendEnvelope(make([]byte, 0, len(data)+64), wire.Envelope{Room: r.id}, wire.KindPresence, data)
	var except *Member
	if event == wire.PresenceJoined {
		except = m // it is in its own joined
	}
	r.broadcastState(frame, "", except)
}

func (r *Room) read(m *Member, msg wire.Read, answer Answer) {
	if msg.Seq > r.main.last {
		answer(nil, wire.Errorf(wire.CodeNotFound, "there is no message at this seq yet"))
		return
	}
	if r.setRead(m.User, msg.Seq) {
		r.sendState(m, msg, "read", m)
	}
	answer(wire.Ack{}, nil)
}

// setTyping notes that m writes in a thread, or in the main timeline when there is none. One writes in one place at a
// time.
func (r *Room) setTyping(m *Member, thread wire.ThreadID, typing bool, answer Answer) {
	if err := r.mayWrite(m); err != nil {
		answer(nil, err)
		return
	}
	if thread != "" && r.knownThread(m, thread) == nil {
		answer(nil, errNoThread())
		return
	}
	answer(wire.Ack{}, nil)
	if m.typingIn != thread {
		if !typing {
			return
		}
		r.clearTyping(m)
		m.typingIn = thread
	}
	if !typing {
		r.clearTyping(m)
		return
	}
	if m.typing == nil {
		r.tellTyping(m, true)
	}
	stopTimer(&m.typing)
	m.typing = r.after(wire.TypingTimeout, func() { r.clearTyping(m) })
}

// clearTyping ends m's typing, if it does.
func (r *Room) clearTyping(m *Member) {
	if m.typing == nil {
		return
	}
	stopTimer(&m.typing)
	r.tellTyping(m, false)
}

// tellTyping tells those who see where m writes.
func (r *Room) tellTyping(m *Member, typing bool) {
	if m.typingIn == "" {
		r.sendState(m, wire.Typing{Typing: typing}, "typing", m)
		return
	}
	if t := r.knownThread(m, m.typingIn); t != nil {
		frame := wire.Encode(wire.Envelope{Room: r.id, Thread: t.name, From: m.Participant}, wire.Typing{Typing: typing})
		r.tellThread(t, frame, "typing/"+string(r.id)+"~"+string(t.name)+"/"+string(m.Participant), m)
	}
}

func (r *Room) setMedia(m *Member, msg wire.SetMedia, answer Answer) {
	next := m.media
	for _, set := range []struct {
		to     *bool
		field  *bool
		source wire.Source
	}{
		{msg.Microphone, &next.Microphone, wire.Microphone},
		{msg.Camera, &next.Camera, wire.Camera},
		{msg.Screen, &next.Screen, wire.Screen},
		{msg.Hand, &next.Hand, ""},
	} {
		if set.to == nil {
			continue
		}
		if *set.to && set.source != "" && !r.grantsOf(m).May(set.source) {
			answer(nil, wire.Errorf(wire.CodeForbidden, "this token may not publish %s", set.source))
			return
		}
		*set.field = *set.to
	}
	answer(wire.Ack{}, nil)
	r.changeMedia(m, next)
}

// changeMedia tells everyone, m's own client too, what m sends now.
func (r *Room) changeMedia(m *Member, next wire.Media) {
	if next == m.media {
		return
	}
	m.media = next
	m.changed()
	r.keepMembers()
	r.sendState(m, wire.MediaState(next), "media", nil)
	r.updateMode()
}

// sendState tells everyone but except the newest value of a kind of state of m.
func (r *Room) sendState(m *Member, body wire.ServerMessage, key string, except *Member) {
	frame := wire.Encode(wire.Envelope{Room: r.id, From: m.Participant}, body)
	r.broadcastState(frame, key+"/"+string(r.id)+"/"+string(m.Participant), except)
}

// joinedFrame is the first frame of the room for m.
func (r *Room) joinedFrame(m *Member, reqID wire.RequestID, since *wire.Cursor) []byte {
	history, recovered := r.main.since(since, maxJoinedBytes)
	more := false
	if !recovered {
		history, more = r.main.newest()
	}
	m.changed()
	size := len(history) + 1024
	for _, other := range r.order {
		size += len(other.describe()) + 1
	}
	out := append(newFrame(size), `{"type":"joined"`...)
	if reqID != "" {
		out = append(append(append(out, `,"id":"`...), reqID...), '"')
	}
	out = append(append(append(out, `,"room":"`...), r.id...), '"')
	if r.main.last != 0 {
		out = strconv.AppendUint(append(out, `,"seq":`...), uint64(r.main.last), 10)
	}
	out = append(append(out, `,"data":{"self":`...), m.describe()...)
	out = append(append(append(out, `,"role":"`...), r.roleOf(m)...), '"')
	out = appendGrants(append(out, `,"grants":`...), r.grantsOf(m))
	out = append(out, `,"participants":[`...)
	for i, other := range r.order {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, other.describe()...)
	}
	out = append(append(out, `],"history":`...), history...)
	out = strconv.AppendBool(append(out, `,"recovered":`...), recovered)
	out = strconv.AppendBool(append(out, `,"more":`...), more)
	out = append(out, `,"threads":`...)
	if r.threads == nil {
		out = append(out, "[]"...)
	} else {
		out = append(out, mustJSON(r.summariesFor(m))...)
	}
	out = r.appendBots(append(out, `,"bots":`...))
	out = r.appendRuns(append(out, `,"runs":`...), nil)
	out = r.appendMedia(append(out, `,"media":`...), m)
	out = append(append(append(out, `,"epoch":"`...), r.main.epoch...), '"')
	out = strconv.AppendBool(append(out, `,"room":{"locked":`...), r.doc.Locked)
	if r.doc.Title != "" {
		out = wire.AppendString(append(out, `,"title":`...), r.doc.Title)
	}
	out = append(append(append(out, `,"mode":"`...), r.call.mode...), '"')
	out = strconv.AppendBool(append(out, `,"recording":`...), r.recording.active != nil)
	out = r.appendHearing(append(out, `,"hearing":`...))
	if r.roleOf(m) == wire.RoleModerator { // nobody too: they may have known somebody before
		out = r.appendKnocking(append(out, `,"knocking":`...))
	}
	out = append(out, '}')
	if len(r.reads) > 0 {
		out = append(append(out, `,"reads":`...), mustJSON(r.reads)...)
	}
	return append(out, `}}`...)
}
