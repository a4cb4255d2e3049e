package rooms

import "confab/signaling/wire"

// A Saying is what a bot has heard a person say in the call.
type Saying struct {
	Participant wire.ParticipantID
	Text        string
	Bots        []wire.BotID // whom it asks
}

// Hear tells everyone what this bot has heard a person say, and has it answered by the bots that it asks, as if the person
// had asked in the main timeline. Only bots that hear are asked, and only by who may write. Nothing happens when this
// bot does not hear, or the person has left.
func (m *Member) Hear(said Saying) {
	m.act(noAnswer, func() { m.room.hearSaying(m, said) })
}

func (r *Room) hearSaying(m *Member, said Saying) {
	person := r.members[said.Participant]
	if !m.hears || person == nil || person.Kind != wire.Human {
		return
	}
	frame := wire.Encode(wire.Envelope{Room: r.id, From: person.Participant},
		wire.Caption{Participant: person.Participant, Text: said.Text, Final: true})
	r.broadcastState(frame, "caption/"+string(r.id)+"/"+string(person.Participant), nil)
	if r.mayWrite(person) != nil {
		return
	}
	for _, bot := range said.Bots {
		if seat := r.seatOf(bot); seat != nil && seat.hears {
			seat.seat.Ask(Question{
				By:     Asker{Author: *person.author(), Participant: person.Participant, Read: r.readIn(r.main, person.User)},
				Prompt: said.Text, Spoken: true,
			}, noAnswer)
		}
	}
}

// mayGiveEar reports why m may not let a bot hear, or keep it from hearing; nil = m may.
func (r *Room) mayGiveEar(m *Member, info *wire.BotInfo) error {
	switch {
	case !info.Hears || r.registry.opts.SFU == nil:
		return wire.Errorf(wire.CodeNotFound, "this server has no ear for this bot")
	case r.roleOf(m) != wire.RoleModerator:
		return wire.Errorf(wire.CodeForbidden, "only a moderator may say whether a bot hears")
	}
	return nil
}

// setHearing lets a bot hear, or not, and tells everyone.
func (r *Room) setHearing(seat *Member, on bool) {
	seat.hears = on
	seat.seat.SetHearing(on)
	r.logger.Info("a bot hears the call", "bot", string(wire.BotOf(seat.User)), "on", on)
	r.sayHearing()
	r.updateMode()
}

// stopHearing is setHearing of a bot that is put out.
func (r *Room) stopHearing(seat *Member) {
	if seat.hears {
		r.setHearing(seat, false)
	}
}

func (r *Room) sayHearing() {
	hearing := r.hearing()
	r.broadcastState(wire.Encode(wire.Envelope{Room: r.id}, wire.RoomInfo{Hearing: &hearing}), "hearing/"+string(r.id), nil)
}

// hearing are the bots that hear the call, never nil.
func (r *Room) hearing() []wire.BotID {
	hearing := []wire.BotID{}
	for _, m := range r.order {
		if m.hears {
			hearing = append(hearing, wire.BotOf(m.User))
		}
	}
	return hearing
}

// appendHearing appends the bots that hear in JSON.
func (r *Room) appendHearing(out []byte) []byte {
	out = append(out, '[')
	for i, bot := range r.hearing() {
		if i > 0 {
			out = append(out, ',')
		}
		out = wire.AppendString(out, string(bot))
	}
	return append(out, ']')
}
