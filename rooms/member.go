package rooms

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"time"

	"confab/signaling/wire"
)

// Identity is who joins, as its token says.
type Identity struct {
	Participant wire.ParticipantID
	User        wire.UserID
	Name        string
	Kind        wire.ParticipantKind
	Role        wire.Role
	Grants      wire.Grants
	Guest       bool // of a guest token: the first such person in a room becomes its moderator
	// Connection grows with each connection of a participant: an older one never takes the place of a newer.
	Connection uint64
	// Address is what the participant's client is counted by: an IPv4 address, or the /64 of an IPv6 one. Zero = unknown.
	Address netip.Prefix
}

// A Member is a session's hold on a room: the handle through which it acts there. Every method posts one command;
// the Answer (never nil) is called exactly once, maybe before the method returns. The caller must hold no lock that
// Answers or Outlets need.
type Member struct {
	Identity // Owned by who is at work in the room after Join; changed by Update.

	// Set by Join, then constant.
	room *Room
	out  Outlet

	// Owned by who is at work in the room.
	state     memberState
	joinedAt  time.Time
	media     wire.Media
	lost      *time.Timer   // runs while reconnecting
	typing    *time.Timer   // runs while typing
	typingIn  wire.ThreadID // where it types, or did last
	following []*thread     // subscribed to; at most wire.MaxThreadsFollowed
	waiting   [][]byte      // signals that came while reconnecting
	waitBytes int
	described []byte       // the participant as JSON; nil = has changed
	authored  *wire.Author // how logged messages name the participant; nil = has changed, or nothing was said

	unreachable bool // it cannot reach somebody directly
	seat        Seat // of a bot of this server; nil = of nobody else
	hushed      bool // a bot that a moderator has muted
	hears       bool // a bot that hears what people say
	absent      bool // an operator: it is not among the room's members, and answers are all that it hears
}

// memberState is where a member stands.
type memberState uint8

const (
	memberPending memberState = iota // asked to join
	memberOnline
	memberReconnecting
	memberKnocking  // waits at the locked door
	memberKnockLost // the same, without a connection
	memberGone
)

// Room returns the room's name.
func (m *Member) Room() wire.RoomID { return m.room.id }

// act gives a command that only a present member may give. It may be done before act returns: the caller must hold no
// lock that an Answer or an Outlet needs.
func (m *Member) act(answer Answer, fn func()) {
	m.room.enqueue(command{fn: fn, by: m, answer: answer}, true)
}

// Chat says something, in the main timeline or in a thread. Answer: Ack with its seq once it is stored. Errors: forbidden,
// not-found (replyTo, or there can be no such thread), unavailable.
func (m *Member) Chat(id wire.RequestID, thread wire.ThreadID, msg wire.Chat, answer Answer) {
	m.act(answer, func() {
		if thread == "" {
			m.room.chat(m, m.room.main, id, msg, answer)
			return
		}
		m.room.inThread(m, thread, answer, func(t *timeline) { m.room.chat(m, t, id, msg, answer) })
	})
}

// in does fn with the timeline that a request names, which must be there.
func (m *Member) in(thread wire.ThreadID, answer Answer, fn func(*Room, *timeline)) {
	m.act(answer, func() {
		r := m.room
		if thread == "" {
			fn(r, r.main)
			return
		}
		r.inKnownThread(m, thread, answer, func(t *timeline) { fn(r, t) })
	})
}

// Edit replaces the text of an own message, or of anybody's for a moderator.
func (m *Member) Edit(id wire.RequestID, thread wire.ThreadID, msg wire.Edit, answer Answer) {
	m.in(thread, answer, func(r *Room, t *timeline) { r.edit(m, t, id, msg, answer) })
}

// Delete takes an own message back, or anybody's for a moderator. Its text is erased from storage.
func (m *Member) Delete(id wire.RequestID, thread wire.ThreadID, msg wire.Delete, answer Answer) {
	m.in(thread, answer, func(r *Room, t *timeline) { r.remove(m, t, id, msg, answer) })
}

// React puts an emoji on a message or takes it off.
func (m *Member) React(id wire.RequestID, thread wire.ThreadID, msg wire.Reaction, answer Answer) {
	m.in(thread, answer, func(r *Room, t *timeline) { r.react(m, t, id, msg, answer) })
}

// Clear erases the timeline. Moderators only, but for a private thread, which its person may clear.
func (m *Member) Clear(id wire.RequestID, thread wire.ThreadID, _ wire.Clear, answer Answer) {
	m.in(thread, answer, func(r *Room, t *timeline) { r.clear(m, t, id, answer) })
}

// History answers with a page of older messages as they stand now.
func (m *Member) History(thread wire.ThreadID, msg wire.History, answer Answer) {
	m.in(thread, answer, func(_ *Room, t *timeline) { t.history(msg, answer) })
}

// SubscribeThread follows a thread until the member leaves, joins again or is disconnected. On success the outlet gets
// the frame that answers id, and then the thread's messages. A bot hears every thread that it may see without. Errors:
// not-found, conflict (wire.MaxThreadsFollowed), unavailable.
func (m *Member) SubscribeThread(id wire.RequestID, thread wire.ThreadID, msg wire.SubscribeThread, answer Answer) {
	m.act(answer, func() { m.room.subscribe(m, id, thread, msg, answer) })
}

// UnsubscribeThread stops following a thread.
func (m *Member) UnsubscribeThread(thread wire.ThreadID, answer Answer) {
	m.act(answer, func() { m.room.unsubscribe(m, thread, answer) })
}

// Read tells how far this person has read.
func (m *Member) Read(thread wire.ThreadID, msg wire.Read, answer Answer) {
	m.act(answer, func() {
		if thread == "" {
			m.room.read(m, msg, answer)
			return
		}
		m.room.setThreadRead(m, thread, msg, answer)
	})
}

// Typing tells that this person writes.
func (m *Member) Typing(thread wire.ThreadID, msg wire.Typing, answer Answer) {
	m.act(answer, func() { m.room.setTyping(m, thread, msg.Typing, answer) })
}

// SetMedia tells what this participant sends. Errors: forbidden for a source that it may not publish.
func (m *Member) SetMedia(msg wire.SetMedia, answer Answer) {
	m.act(answer, func() { m.room.setMedia(m, msg, answer) })
}

// Moderate does what moderators may.
func (m *Member) Moderate(msg wire.Moderate, answer Answer) {
	m.act(answer, func() { m.room.moderate(m, msg, answer) })
}

// Bans answers a moderator with wire.BanList. Errors: forbidden.
func (m *Member) Bans(answer Answer) {
	m.act(answer, func() { m.room.bans(m, answer) })
}

// Leave leaves the room at once, or stops waiting at its door.
func (m *Member) Leave(answer Answer) {
	m.room.post(answer, func() {
		switch m.state {
		case memberGone, memberPending:
			answer(nil, wire.Errorf(wire.CodeNotJoined, "this session is not in the room"))
			return
		case memberKnocking, memberKnockLost:
			m.room.doorLeft(m)
		case memberOnline, memberReconnecting:
			m.room.drop(m, "left")
		}
		answer(wire.Ack{}, nil)
	})
}

// Disconnect tells that the connection is lost. The member stays as reconnecting for wire.ReconnectWindow.
func (m *Member) Disconnect() {
	m.room.post(noAnswer, func() { m.room.disconnect(m) })
}

// Update brings what a refreshed token says.
func (m *Member) Update(id Identity) {
	m.room.post(noAnswer, func() { m.room.update(m, id) })
}

// Expel puts the member out, as denied: its new token is not for this room.
func (m *Member) Expel() {
	m.room.post(noAnswer, func() {
		switch m.state {
		case memberOnline, memberReconnecting:
			m.room.putOut(m, wire.Denied, "the new token is not for this room")
		case memberKnocking, memberKnockLost:
			m.room.sendAway(m.User, wire.Denied)
		case memberPending, memberGone:
		}
	})
}

func noAnswer(wire.ServerMessage, error) {}

// participant is the member as others see it.
func (m *Member) participant() wire.Participant {
	status := wire.Online
	if m.state == memberReconnecting {
		status = wire.Reconnecting
	}
	return wire.Participant{
		ID: m.Participant, User: m.User, Name: m.Name, Kind: m.Kind, Role: m.room.roleOf(m), Status: status,
		JoinedAt: m.joinedAt.UnixMilli(), Media: m.media,
	}
}

// describe returns the member as wire.Participant in JSON, kept until the member changes. It is written by hand: the
// encoder's stack would stay with every room that somebody has joined.
func (m *Member) describe() []byte {
	if m.described != nil {
		return m.described
	}
	status := wire.Online
	if m.state == memberReconnecting || m.state == memberKnockLost {
		status = wire.Reconnecting
	}
	out := make([]byte, 0, 320)
	out = wire.AppendString(append(out, `{"id":`...), string(m.Participant))
	out = wire.AppendString(append(out, `,"user":`...), string(m.User))
	out = wire.AppendString(append(out, `,"name":`...), m.Name)
	out = wire.AppendString(append(out, `,"kind":`...), string(m.Kind))
	out = wire.AppendString(append(out, `,"role":`...), string(m.room.roleOf(m)))
	out = wire.AppendString(append(out, `,"status":`...), string(status))
	out = strconv.AppendInt(append(out, `,"joinedAt":`...), m.joinedAt.UnixMilli(), 10)
	out = strconv.AppendBool(append(out, `,"media":{"microphone":`...), m.media.Microphone)
	out = strconv.AppendBool(append(out, `,"camera":`...), m.media.Camera)
	out = strconv.AppendBool(append(out, `,"screen":`...), m.media.Screen)
	out = strconv.AppendBool(append(out, `,"hand":`...), m.media.Hand)
	m.described = append(out, "}}"...)
	return m.described
}

// appendGrants appends g in JSON.
func appendGrants(out []byte, g wire.Grants) []byte {
	out = append(out, `{"publish":[`...)
	for i, source := range g.Publish {
		if i > 0 {
			out = append(out, ',')
		}
		out = wire.AppendString(out, string(source))
	}
	out = strconv.AppendBool(append(out, `],"subscribe":`...), g.Subscribe)
	out = strconv.AppendBool(append(out, `,"chat":`...), g.Chat)
	out = strconv.AppendBool(append(out, `,"bots":`...), g.Bots)
	return append(out, '}')
}

// changed must be called when anything that describe or author shows has changed.
func (m *Member) changed() { m.described, m.authored = nil, nil }

// author is how logged messages name the member. It is shared by them and must not be changed.
func (m *Member) author() *wire.Author {
	if m.authored == nil {
		m.authored = &wire.Author{User: m.User, Name: m.Name, Kind: m.Kind}
	}
	return m.authored
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("rooms: a value that cannot be encoded: " + err.Error()) // plain structs of ours
	}
	return b
}
