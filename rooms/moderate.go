package rooms

import (
	"slices"

	"confab/signaling/wire"
)

// moderate does what a moderator asks. The acknowledgement comes when the effect is stored, where it must outlive
// the process.
func (r *Room) moderate(m *Member, msg wire.Moderate, answer Answer) {
	answer = r.audited(m, r.moderation(msg), answer)
	if r.roleOf(m) != wire.RoleModerator {
		answer(nil, wire.Errorf(wire.CodeForbidden, "only a moderator may do this"))
		return
	}
	switch msg.Action {
	case wire.ActionLock, wire.ActionUnlock:
		r.setLocked(msg.Action == wire.ActionLock, answer)
		return
	case wire.ActionEnd:
		r.end(answer)
		return
	case wire.ActionRecord, wire.ActionStopRecording:
		r.record(m, msg.Action == wire.ActionRecord, answer)
		return
	case wire.ActionUnban:
		r.unban(msg.User, answer)
		return
	case wire.ActionCapacity:
		r.setCapacity(m, msg.Capacity, answer)
		return
	case wire.ActionAdmit, wire.ActionDeny:
		r.answerDoor(msg, answer)
		return
	default: // what acts on a participant
	}
	target := r.members[msg.Participant]
	if k := r.knockOf(msg.Participant); k != nil && msg.Action == wire.ActionBan {
		target = k.m
	}
	if target == nil {
		answer(nil, wire.Errorf(wire.CodeNotFound, "there is no such participant in this room"))
		return
	}
	if target.seat != nil {
		r.moderateBot(target, msg, answer)
		return
	}
	switch msg.Action {
	case wire.ActionMute:
		r.mute(target, msg.Source, answer)
	case wire.ActionUnmute:
		r.unmute(target, msg.Source, answer)
	case wire.ActionKick:
		r.kick(target, wire.Kicked, answer)
	case wire.ActionBan:
		r.kick(target, wire.Banned, answer)
	case wire.ActionPromote:
		r.setRole(target, stepUp(r.roleOf(target)), answer)
	case wire.ActionDemote:
		r.setRole(target, stepDown(r.roleOf(target)), answer)
	default:
		answer(nil, wire.Errorf(wire.CodeBadMessage, "no such action"))
	}
}

// moderateBot does what can be done to a bot: its voice is muted, or it is put out. It may be let in again.
func (r *Room) moderateBot(target *Member, msg wire.Moderate, answer Answer) {
	switch msg.Action {
	case wire.ActionMute, wire.ActionUnmute:
		r.muteBot(target, msg.Action == wire.ActionMute, msg.Source, answer)
	case wire.ActionKick, wire.ActionBan:
		r.removeBot(wire.BotOf(target.User), string(wire.Kicked))
		r.saveThenAck(answer)
	default:
		answer(nil, wire.Errorf(wire.CodeForbidden, "a bot has no role; it can be muted and put out"))
	}
}

// mute turns a source of the target off. A person's client follows, and the person may turn it on again. An encoder
// follows no word, and comes back by itself when it is cut off: what its user sends by encoders stays off until a
// moderator unmutes it or the meeting ends.
func (r *Room) mute(target *Member, source wire.Source, answer Answer) {
	if target.Kind != wire.Ingress {
		r.changeMedia(target, without(target.media, source))
		answer(wire.Ack{}, nil)
		return
	}
	user, source := target.User, muteOf(source)
	muted, some := r.doc.Muted[user]
	switch {
	case slices.Contains(muted, source):
		answer(wire.Ack{Duplicate: true}, nil)
		return
	case !some && len(r.doc.Muted) >= maxMuted:
		answer(nil, wire.Errorf(wire.CodeConflict, "the encoders of %d people are muted; put this one out", maxMuted))
		return
	}
	r.doc.Muted[user] = append(muted, source)
	for _, m := range r.encodersOf(user) {
		r.changeMedia(m, without(m.media, source))
		r.grantsChanged(m)
	}
	r.saveThenAck(answer)
}

// unmute undoes mute, of an encoder. What it sends is on again when its session says so.
func (r *Room) unmute(target *Member, source wire.Source, answer Answer) {
	user, source := target.User, muteOf(source)
	muted := r.doc.Muted[user]
	switch {
	case target.Kind != wire.Ingress:
		answer(nil, wire.Errorf(wire.CodeForbidden, "nobody but they themselves can turn it on"))
		return
	case !slices.Contains(muted, source):
		answer(wire.Ack{Duplicate: true}, nil)
		return
	case len(muted) == 1:
		delete(r.doc.Muted, user)
	default:
		r.doc.Muted[user] = slices.DeleteFunc(muted, func(s wire.Source) bool { return s == source })
	}
	for _, m := range r.encodersOf(user) {
		r.grantsChanged(m)
	}
	r.saveThenAck(answer)
}

func (r *Room) encodersOf(user wire.UserID) []*Member {
	return slices.DeleteFunc(slices.Clone(r.order), func(m *Member) bool { return m.User != user || m.Kind != wire.Ingress })
}

// muteOf is what is muted with a source: the sound of a screen goes with it, and none is the microphone.
func muteOf(source wire.Source) wire.Source {
	switch source {
	case wire.Camera, wire.Screen:
		return source
	case wire.ScreenAudio:
		return wire.Screen
	default:
		return wire.Microphone
	}
}

func without(media wire.Media, source wire.Source) wire.Media {
	switch muteOf(source) {
	case wire.Camera:
		media.Camera = false
	case wire.Screen:
		media.Screen = false
	default:
		media.Microphone = false
	}
	return media
}

// kick puts every session of the target's person out. Banned ones cannot come back.
func (r *Room) kick(target *Member, why wire.RemovedReason, answer Answer) {
	user := target.User
	for _, m := range slices.Clone(r.order) {
		if m.User == user {
			r.putOut(m, why, "")
		}
	}
	r.sendAway(user, why)
	r.unwatchIf(func(w *Watch) bool { return w.User == user })
	r.loseFollowers(wire.Errorf(wire.CodeForbidden, "a moderator has put you out of this room"), func(f *Follower) bool {
		return f.place.User == user
	})
	r.doc.Admitted = slices.DeleteFunc(r.doc.Admitted, func(u wire.UserID) bool { return u == user })
	if why == wire.Banned {
		r.ban(target)
	}
	r.saveThenAck(answer)
}

// putOut tells a member that it is removed, and the others that it left.
func (r *Room) putOut(m *Member, why wire.RemovedReason, text string) {
	if m.state == memberOnline {
		m.out.Send(wire.Encode(wire.Envelope{Room: r.id}, wire.Removed{Reason: why, Text: text}), "")
	}
	r.drop(m, string(why))
	m.out.Removed(r.id, why)
}

// end puts everyone out. The history stays.
func (r *Room) end(answer Answer) {
	for _, m := range slices.Clone(r.order) {
		if m.seat != nil { // it stays with the room
			r.endRunsOf(m)
			continue
		}
		r.putOut(m, wire.Ended, "")
	}
	r.sendAllAway(wire.Ended)
	r.occupied()
	r.endMeeting()
	r.saveThenAck(answer)
}

func (r *Room) setLocked(locked bool, answer Answer) {
	if r.doc.Locked == locked {
		answer(wire.Ack{Duplicate: true}, nil)
		return
	}
	r.doc.StaysLocked = r.doc.StaysLocked && locked
	r.lock(locked)
	r.saveThenAck(answer)
}

// lock locks or unlocks the room. Who is inside may come back. The caller saves the document.
func (r *Room) lock(locked bool) {
	if r.doc.Locked == locked {
		return
	}
	r.doc.Locked, r.doc.Admitted = locked, nil
	if locked {
		for _, m := range r.order {
			if !slices.Contains(r.doc.Admitted, m.User) {
				r.doc.Admitted = append(r.doc.Admitted, m.User)
			}
		}
	}
	r.broadcastState(wire.Encode(wire.Envelope{Room: r.id}, wire.RoomInfo{Locked: &locked}), "room/"+string(r.id), nil)
	r.openDoor()
}

// setRole gives a person a role for this meeting.
func (r *Room) setRole(target *Member, role wire.Role, answer Answer) {
	if r.roleOf(target) == role {
		answer(wire.Ack{Duplicate: true}, nil)
		return
	}
	if r.roleOf(target) == wire.RoleModerator && !r.otherModerator(target.User) {
		answer(nil, wire.Errorf(wire.CodeConflict, "the room needs a moderator; promote somebody else first"))
		return
	}
	r.doc.Roles[target.User] = role
	for _, m := range r.order {
		if m.User == target.User {
			r.grantsChanged(m)
			r.announce(m, wire.PresenceUpdated, "")
			r.tellDoorTo(m)
		}
	}
	r.saveThenAck(answer)
}

func (r *Room) otherModerator(than wire.UserID) bool {
	return slices.ContainsFunc(r.order, func(m *Member) bool {
		return m.User != than && r.roleOf(m) == wire.RoleModerator
	})
}

func (r *Room) saveThenAck(answer Answer) {
	r.save(func(err error) {
		if err != nil {
			answer(nil, &wire.Error{Code: wire.CodeUnavailable, Text: "done, but not stored yet; try again", Err: err})
			return
		}
		answer(wire.Ack{}, nil)
	})
}

func stepUp(role wire.Role) wire.Role {
	if role == wire.RoleViewer {
		return wire.RoleMember
	}
	return wire.RoleModerator
}

func stepDown(role wire.Role) wire.Role {
	if role == wire.RoleModerator {
		return wire.RoleMember
	}
	return wire.RoleViewer
}
