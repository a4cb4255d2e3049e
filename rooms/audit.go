package rooms

import (
	"net/netip"
	"time"

	"confab/signaling/wire"
)

// What is done to others beside what wire.Moderate names.
const (
	ActBotToggle  wire.Action = "bot-toggle"  // lets a bot in, or puts it out
	ActBotVoice   wire.Action = "bot-voice"   // gives a bot a voice, or takes it
	ActBotHearing wire.Action = "bot-hearing" // lets a bot hear the call, or not
	ActClear      wire.Action = "clear"       // erases a timeline
	ActEdit       wire.Action = "edit"        // changes somebody else's message
	ActDelete     wire.Action = "delete"      // deletes somebody else's message
)

// An Act is something that a participant did to others or to the room, or was refused.
type Act struct {
	Time        time.Time
	Room        wire.RoomID
	User        wire.UserID // who did it
	Participant wire.ParticipantID
	Address     netip.Prefix // zero = unknown
	Action      wire.Action
	Target      wire.ParticipantID // to whom; empty = to the room, or to a message
	TargetUser  wire.UserID        // whose user, or whose message; whose ban
	Source      wire.Source        // of mute and unmute
	Bot         wire.BotID         // of ActBotToggle, ActBotVoice and ActBotHearing
	On          bool               // of them: in, with a voice, or with an ear
	Thread      wire.ThreadID      // of ActClear, ActEdit and ActDelete
	Message     wire.Seq           // of ActEdit and ActDelete
	Refused     wire.ErrorCode     // why it was refused; empty = done
}

// audited returns an answer that tells of an act before it is given. What an operator does is told by the operator.
func (r *Room) audited(m *Member, act Act, answer Answer) Answer {
	tell := r.registry.opts.Audit
	if tell == nil || m.absent {
		return answer
	}
	act.Room, act.User, act.Participant, act.Address = r.id, m.User, m.Participant, m.Address
	return func(body wire.ServerMessage, err error) {
		act.Time = now()
		if err != nil {
			act.Refused = wire.AsError(err).Code
		}
		tell(act)
		answer(body, err)
	}
}

// moderation is the act of a request to moderate. It is made before the target may be gone.
func (r *Room) moderation(msg wire.Moderate) Act {
	act := Act{Action: msg.Action, Target: msg.Participant, TargetUser: msg.User, Source: msg.Source}
	if target := r.members[msg.Participant]; target != nil {
		act.TargetUser = target.User
	} else if k := r.knockOf(msg.Participant); k != nil {
		act.TargetUser = k.m.User
	}
	return act
}

// auditedChange is audited for a change of a message, which is nobody's business when it is m's own.
func (r *Room) auditedChange(m *Member, t *timeline, action wire.Action, seq wire.Seq, answer Answer) Answer {
	msg := t.find(seq)
	if msg == nil || msg.user == m.User {
		return answer
	}
	return r.audited(m, Act{Action: action, Thread: t.name(), Message: seq, TargetUser: msg.user}, answer)
}
