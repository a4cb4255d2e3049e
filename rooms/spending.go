package rooms

import (
	"time"

	"confab/signaling/wire"
)

const (
	maxSpenders     = 64  // bots of which a room keeps what they have used today; more are in no catalog
	maxUserSpenders = 256 // users of whom it does, for each bot; who has used least is forgotten for another one
)

// A spending is what answers in a room have used of one day's tokens. It is part of the room's document, so that a
// restart gives nobody a new day.
type spending struct {
	Day  string                `json:"day"` // in UTC, such as 2026-11-20
	Bots map[wire.BotID]*spent `json:"bots,omitempty"`
}

// spent is what one bot has used.
type spent struct {
	Tokens int                 `json:"tokens"`
	Users  map[wire.UserID]int `json:"users,omitempty"`
}

// Spent is what a bot's answers in a room have used since midnight, UTC, in tokens.
type Spent struct {
	Room int // all of them
	User int // those to one user
}

// Spent says what m, which is a bot, has used today, and what of it for user. The error is a *wire.Error: the room has
// ended, or m is no longer in it.
func (m *Member) Spent(user wire.UserID, then func(Spent, error)) {
	m.act(func(_ wire.ServerMessage, err error) { then(Spent{}, err) }, func() {
		s := m.room.spentToday()
		if b := s.Bots[wire.BotOf(m.User)]; b != nil {
			then(Spent{Room: b.Tokens, User: b.Users[user]}, nil)
			return
		}
		then(Spent{}, nil)
	})
}

// Spend counts tokens that the run has used, also after its end. They are stored soon, with others.
func (u *Run) Spend(tokens int) {
	if tokens <= 0 {
		return
	}
	u.room.enqueue(command{fn: func() { u.room.spend(u.Bot, u.By.User, tokens) }, answer: noAnswer}, true)
}

// spentToday is what was used today.
func (r *Room) spentToday() *spending {
	s, today := &r.doc.Spent, time.Now().UTC().Format(time.DateOnly)
	if s.Day != today {
		*s = spending{Day: today}
	}
	return s
}

func (r *Room) spend(bot wire.BotID, user wire.UserID, tokens int) {
	s := r.spentToday()
	b := s.Bots[bot]
	if b == nil {
		if len(s.Bots) >= maxSpenders {
			return
		}
		if s.Bots == nil {
			s.Bots = make(map[wire.BotID]*spent)
		}
		b = &spent{Users: make(map[wire.UserID]int)}
		s.Bots[bot] = b
	}
	b.Tokens += tokens
	b.charge(user, tokens)
	r.unkept = true
	r.keepSoon()
}

// charge counts what was used for one user.
func (b *spent) charge(user wire.UserID, tokens int) {
	if _, known := b.Users[user]; !known && len(b.Users) >= maxUserSpenders {
		var least wire.UserID
		for other, n := range b.Users {
			if least == "" || n < b.Users[least] {
				least = other
			}
		}
		delete(b.Users, least)
	}
	if b.Users == nil { // as a document has it that was written so
		b.Users = make(map[wire.UserID]int)
	}
	b.Users[user] += tokens
}
