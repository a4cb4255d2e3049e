package rooms

import (
	"slices"

	"confab/signaling/wire"
)

// maxBots bounds the bots that one room has.
const maxBots = 16

// Bots are what answers in rooms; package bots implements it. It may be used from any goroutine, and does not block.
type Bots interface {
	// Catalog lists the bots that a room may have, in the order in which they are shown. It does not change.
	Catalog() []wire.BotInfo
	// Seat says that a bot has its place in a room, where it is a member until Removed. What it then hears begins with
	// SendJoined.
	Seat(bot wire.BotID, place *Member) Seat
}

// A Seat is a bot at its place in a room. What it does there it does through its Member, as people do. After Removed it
// hears nothing more, its runs have ended, and its Member does nothing.
type Seat interface {
	Outlet
	// Ask wants an answer that no message of the chat asks for. answer gets an Ack with its run; errors: rate-limited
	// (too much is under way, or was asked lately), not-found (the messages named).
	Ask(q Question, answer Answer)
	// SetVoice says whether the bot has a microphone in the room's call, by which it speaks its answers; it has none before,
	// and none after Removed.
	SetVoice(on bool)
	// SetHearing says whether the bot hears what people say in the room's call, which it brings by Member.Hear; it does not
	// before, and not after Removed.
	SetHearing(on bool)
}

// A Question is what somebody wants of a bot.
type Question struct {
	By         Asker
	Request    wire.RequestID // the run's AgentStarted bears it
	Thread     wire.ThreadID
	Prompt     string   // may be empty with one of the others
	ReplyTo    wire.Seq // the message that it is about
	Regenerate wire.Seq // the bot's answer that shall be given anew
	Was        *wire.RunReceipt
	Spoken     bool // Prompt was said aloud, and a machine has written it down
}

// An Asker is who wants an answer.
type Asker struct {
	wire.Author
	Participant wire.ParticipantID // empty = they are not in the room
	Read        wire.Seq           // how far they have read
}

// ToggleBot lets a bot into the room, or puts it out. Errors: forbidden, not-found, conflict (too many).
func (m *Member) ToggleBot(msg wire.BotToggle, answer Answer) {
	m.act(answer, func() { m.room.toggleBot(m, msg, answer) })
}

// Ask asks a bot of this room. Answer: Ack with the run. Errors: forbidden, not-found, and those of the bot.
func (m *Member) Ask(id wire.RequestID, thread wire.ThreadID, msg wire.AIRequest, answer Answer) {
	m.act(answer, func() {
		r := m.room
		if thread == "" {
			r.ask(m, r.main, id, msg, answer)
			return
		}
		r.inThread(m, thread, answer, func(t *timeline) { r.ask(m, t, id, msg, answer) })
	})
}

func (r *Room) toggleBot(m *Member, msg wire.BotToggle, answer Answer) {
	answer = r.audited(m, Act{Action: ActBotToggle, Bot: msg.Bot, On: msg.Enabled}, answer)
	info := r.botInfo(msg.Bot)
	switch enabled := slices.Contains(r.doc.Bots, msg.Bot); {
	case !r.grantsOf(m).Bots:
		answer(nil, wire.Errorf(wire.CodeForbidden, "this token may not let bots in or out; ask a moderator"))
	case info == nil:
		answer(nil, errNoBot(msg.Bot))
	case enabled == msg.Enabled:
		answer(wire.Ack{Duplicate: true}, nil)
	case msg.Enabled && len(r.doc.Bots) >= maxBots:
		answer(nil, wire.Errorf(wire.CodeConflict, "a room has at most %d bots; put one out first", maxBots))
	case msg.Enabled:
		r.doc.Bots = append(r.doc.Bots, msg.Bot)
		r.seat(*info)
		r.saveThenAck(answer)
	default:
		r.removeBot(msg.Bot, "left")
		r.saveThenAck(answer)
	}
}

func errNoBot(bot wire.BotID) error {
	return wire.Errorf(wire.CodeNotFound, "this server has no bot %q", bot)
}

// botInfo is what the server has by this name, nil for nothing.
func (r *Room) botInfo(bot wire.BotID) *wire.BotInfo {
	if r.registry.opts.Bots == nil {
		return nil
	}
	catalog := r.registry.opts.Bots.Catalog()
	i := slices.IndexFunc(catalog, func(b wire.BotInfo) bool { return b.Bot == bot })
	if i < 0 {
		return nil
	}
	return &catalog[i]
}

// seat lets a bot in.
func (r *Room) seat(info wire.BotInfo) {
	m := r.botMember(info)
	m.state, m.joinedAt = memberOnline, now()
	m.seat = r.registry.opts.Bots.Seat(info.Bot, m)
	m.out = m.seat
	r.members[m.Participant] = m
	r.order = append(r.order, m)
	r.hearers = append(r.hearers, m)
	r.seats++
	r.bots = nil
	m.out.SendJoined(r.joinedFrame(m, "", nil))
	if active := r.recording.active; active != nil {
		active.Joined(m.Participant, m.User, m.Name)
	}
	r.announce(m, wire.PresenceJoined, "")
}

// botMember is a bot's place, not taken yet.
func (r *Room) botMember(info wire.BotInfo) *Member {
	return &Member{
		Identity: Identity{
			Participant: "bot-" + wire.ParticipantID(info.Bot), User: info.User, Name: info.Name, Kind: wire.Bot, Role: wire.RoleMember,
			Grants: wire.Grants{Publish: []wire.Source{}, Subscribe: true, Chat: true},
		},
		room: r, out: nowhere{}, state: memberGone,
	}
}

// nowhere is where a bot hears that has no seat.
type nowhere struct{}

func (nowhere) Send([]byte, string)                     {}
func (nowhere) SendJoined([]byte)                       {}
func (nowhere) Removed(wire.RoomID, wire.RemovedReason) {}

// seatAll gives the room's bots their places, after it is loaded. Those that the server does not have any more wait
// for it to have them again.
func (r *Room) seatAll() {
	for _, bot := range r.doc.Bots {
		if info := r.botInfo(bot); info != nil {
			r.seat(*info)
		}
	}
}

// unseatAll takes the bots' places as the room ends; they come back with it.
func (r *Room) unseatAll() {
	for _, m := range r.order {
		if m.seat != nil {
			m.state = memberGone
			m.out.Removed(r.id, wire.Ended)
		}
	}
}

// removeBot puts a bot out for good.
func (r *Room) removeBot(bot wire.BotID, reason string) {
	r.doc.Bots = slices.DeleteFunc(r.doc.Bots, func(b wire.BotID) bool { return b == bot })
	r.bots = nil
	m := r.seatOf(bot)
	if m == nil {
		return
	}
	r.endRunsOf(m)
	r.stopHearing(m)
	r.drop(m, reason)
	m.out.Removed(r.id, wire.Ended)
}

// seatOf is the place of a bot, nil when it has none.
func (r *Room) seatOf(bot wire.BotID) *Member {
	m := r.members["bot-"+wire.ParticipantID(bot)]
	if m == nil || m.seat == nil {
		return nil
	}
	return m
}

// empty reports whether nobody but bots is in the room.
func (r *Room) empty() bool { return len(r.members) == r.seats }

// appendBots appends the bots that this room may have, in JSON.
func (r *Room) appendBots(out []byte) []byte {
	if r.registry.opts.Bots == nil {
		return append(out, `[]`...)
	}
	if len(r.doc.Bots) == 0 { // as in most rooms, which share it
		return append(out, r.registry.noBots()...)
	}
	if r.bots == nil {
		catalog := slices.Clone(r.registry.opts.Bots.Catalog())
		for i := range catalog {
			catalog[i].Enabled = slices.Contains(r.doc.Bots, catalog[i].Bot)
		}
		r.bots = mustJSON(catalog)
	}
	return append(out, r.bots...)
}

func (r *Room) ask(m *Member, t *timeline, id wire.RequestID, msg wire.AIRequest, answer Answer) {
	if err := r.mayWrite(m); err != nil {
		answer(nil, err)
		return
	}
	seat := r.seatOf(msg.Bot)
	if seat == nil {
		err := errNoBot(msg.Bot)
		if r.botInfo(msg.Bot) != nil {
			err = wire.Errorf(wire.CodeNotFound, "this bot is not in the room; let it in with bot-toggle")
		}
		answer(nil, err)
		return
	}
	if t.thread != nil && !t.thread.visible(seat) {
		answer(nil, wire.Errorf(wire.CodeForbidden, "this bot may not see that thread"))
		return
	}
	q := Question{
		By:      Asker{Author: *m.author(), Participant: m.Participant, Read: r.readIn(t, m.User)},
		Request: id, Thread: t.name(), Prompt: msg.Prompt, ReplyTo: msg.ReplyTo, Regenerate: msg.Regenerate,
	}
	if msg.Regenerate != 0 {
		var err error
		if q.Was, err = r.regenerated(m, t, seat, msg.Regenerate); err != nil {
			answer(nil, err)
			return
		}
	}
	if msg.ReplyTo != 0 && t.find(msg.ReplyTo) == nil {
		answer(nil, wire.Errorf(wire.CodeNotFound, "the message asked about is not in this room"))
		return
	}
	seat.seat.Ask(q, answer)
}

// regenerated returns how an answer came about that m wants anew.
func (r *Room) regenerated(m *Member, t *timeline, seat *Member, seq wire.Seq) (*wire.RunReceipt, error) {
	msg := t.find(seq)
	if msg == nil || msg.deleted || msg.user != seat.User {
		return nil, wire.Errorf(wire.CodeNotFound, "there is no such answer of this bot")
	}
	was := msg.open().body.Run
	switch {
	case was == nil:
		return nil, wire.Errorf(wire.CodeNotFound, "nobody has asked for this message")
	case was.By.User != m.User && r.roleOf(m) != wire.RoleModerator:
		return nil, wire.Errorf(wire.CodeForbidden, "only who asked, or a moderator, may have an answer given anew")
	}
	return was, nil
}
