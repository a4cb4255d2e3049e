package rooms

import "confab/signaling/wire"

// SetBotVoice gives a bot of this room a voice or an ear in the call, or takes it away. Errors: forbidden, not-found (no such
// bot in this room, or none that can speak, or hear).
func (m *Member) SetBotVoice(msg wire.BotVoice, answer Answer) {
	m.act(answer, func() { m.room.setBotVoice(m, msg, answer) })
}

// Speaking tells everyone that this bot speaks an answer, and how far it got.
func (m *Member) Speaking(msg wire.AgentSpeaking) {
	m.act(noAnswer, func() {
		m.room.broadcast(wire.Encode(wire.Envelope{Room: m.room.id, From: m.Participant}, msg), nil)
	})
}

// Caption tells everyone what this bot says.
func (m *Member) Caption(msg wire.Caption) {
	m.act(noAnswer, func() { m.room.sendState(m, msg, "caption", nil) })
}

func (r *Room) setBotVoice(m *Member, msg wire.BotVoice, answer Answer) {
	if msg.Speak != nil {
		answer = r.audited(m, Act{Action: ActBotVoice, Bot: msg.Bot, On: *msg.Speak}, answer)
	}
	if msg.Hear != nil {
		answer = r.audited(m, Act{Action: ActBotHearing, Bot: msg.Bot, On: *msg.Hear}, answer)
	}
	seat, info := r.seatOf(msg.Bot), r.botInfo(msg.Bot)
	var err error
	switch {
	case !r.grantsOf(m).Bots:
		err = wire.Errorf(wire.CodeForbidden, "this token may not give bots a voice; ask a moderator")
	case info == nil:
		err = errNoBot(msg.Bot)
	case seat == nil:
		err = wire.Errorf(wire.CodeNotFound, "this bot is not in the room; let it in with bot-toggle")
	}
	if err == nil && msg.Speak != nil {
		err = r.mayGiveVoice(m, seat, info, *msg.Speak)
	}
	if err == nil && msg.Hear != nil {
		err = r.mayGiveEar(m, info)
	}
	if err != nil {
		answer(nil, err)
		return
	}
	changes := false
	if msg.Speak != nil && *msg.Speak != seat.media.Microphone {
		changes, seat.hushed = true, false
		r.setVoice(seat, *msg.Speak)
	}
	if msg.Hear != nil && *msg.Hear != seat.hears {
		changes = true
		r.setHearing(seat, *msg.Hear)
	}
	answer(wire.Ack{Duplicate: !changes}, nil)
}

// mayGiveVoice reports why m may not give a bot a voice, or take it; nil = m may.
func (r *Room) mayGiveVoice(m, seat *Member, info *wire.BotInfo, speak bool) error {
	switch {
	case !r.canSpeak(info):
		return errNoVoice()
	case speak && seat.hushed && r.roleOf(m) != wire.RoleModerator:
		return wire.Errorf(wire.CodeForbidden, "a moderator has muted this bot")
	}
	return nil
}

// canSpeak reports whether a bot could have a voice in this room.
func (r *Room) canSpeak(info *wire.BotInfo) bool {
	return info != nil && info.Speaks && r.registry.opts.SFU != nil
}

func errNoVoice() error {
	return wire.Errorf(wire.CodeNotFound, "this server has no voice for this bot")
}

// setVoice gives a bot its microphone, or takes it.
func (r *Room) setVoice(seat *Member, on bool) {
	seat.seat.SetVoice(on)
	media := seat.media
	media.Microphone = on
	r.changeMedia(seat, media)
}

// muteBot mutes a bot for all, and lets nobody but a moderator give it a voice again.
func (r *Room) muteBot(seat *Member, mute bool, source wire.Source, answer Answer) {
	switch {
	case muteOf(source) != wire.Microphone || !r.canSpeak(r.botInfo(wire.BotOf(seat.User))):
		answer(nil, wire.Errorf(wire.CodeForbidden, "this bot sends no such media"))
	case mute == seat.hushed, mute && !seat.media.Microphone:
		answer(wire.Ack{Duplicate: true}, nil)
	default:
		seat.hushed = mute
		r.setVoice(seat, !mute)
		answer(wire.Ack{}, nil)
	}
}

// dropVoices takes the bots' voices and ears, as the meeting ends: who comes to the next one has not agreed to them.
func (r *Room) dropVoices() {
	for _, m := range r.order {
		if m.seat != nil && m.media.Microphone {
			r.setVoice(m, false)
		}
		if m.hears {
			r.setHearing(m, false)
		}
		m.hushed = false
	}
}
