package bots

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"confab/rooms"
	"confab/signaling/wire"
)

const (
	maxAskers = 10_000 // users whose pace is remembered
	// Somebody who asks too much is told so at most this often, where nothing else would tell them.
	tellEvery = 10 * time.Second
)

// A budget bounds how fast people ask bots. What bots use in a day is kept by the rooms, over a restart too.
type budget struct {
	mu     sync.Mutex
	askers map[asker]*pace // guarded by mu
}

type asker struct {
	bot  wire.BotID
	user wire.UserID
}

// A pace is how fast one user asks one bot.
type pace struct {
	limiter *rate.Limiter
	used    time.Time
	told    time.Time
}

func newBudget() *budget { return &budget{askers: make(map[asker]*pace)} }

// ask takes one question, or says why not.
func (b *budget) ask(to *bot, user wire.UserID) *wire.Error {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	r := b.paceOf(to, user, now).limiter.ReserveN(now, 1)
	wait := r.DelayFrom(now)
	if wait <= 0 {
		return nil
	}
	r.CancelAt(now)
	return &wire.Error{
		Code: wire.CodeRateLimited, RetryAfter: wait,
		Text: "you ask " + to.Name + " more often than it may be asked; try again in " + wait.Round(time.Second).String(),
	}
}

// tells reports whether it is time to say in the room that somebody is not answered. Who asks must then say it.
func (b *budget) tells(to *bot, user wire.UserID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	p := b.paceOf(to, user, now)
	if now.Sub(p.told) < tellEvery {
		return false
	}
	p.told = now
	return true
}

// overspent says why a bot has no more to say today; nil = it has.
func overspent(b *bot, used rooms.Spent) *wire.Error {
	now := time.Now().UTC()
	midnight := now.Truncate(24 * time.Hour).Add(24 * time.Hour)
	switch l := b.Limits; {
	case l.TokensPerDay > 0 && used.Room >= l.TokensPerDay:
		return &wire.Error{
			Code: wire.CodeRateLimited, Text: b.Name + " has used up what it may say in this room today; it may again at 00:00 UTC",
			RetryAfter: midnight.Sub(now),
		}
	case l.UserTokensPerDay > 0 && used.User >= l.UserTokensPerDay:
		return &wire.Error{
			Code: wire.CodeRateLimited, Text: b.Name + " has used up what it may say to you in this room today; it may again at 00:00 UTC",
			RetryAfter: midnight.Sub(now),
		}
	default:
		return nil
	}
}

// counted reports whether anything bounds what the bot uses in a day.
func (l PersonaLimits) counted() bool { return l.TokensPerDay > 0 || l.UserTokensPerDay > 0 }

// paceOf returns the pace of a user. mu is held.
func (b *budget) paceOf(to *bot, user wire.UserID, now time.Time) *pace {
	who, perMinute := asker{to.ID, user}, to.Limits.RequestsPerMinute
	p := b.askers[who]
	if p == nil {
		if len(b.askers) >= maxAskers {
			b.forgetIdle(now)
		}
		p = &pace{limiter: rate.NewLimiter(rate.Limit(float64(perMinute)/60), perMinute)}
		b.askers[who] = p
	}
	p.used = now
	return p
}

// forgetIdle drops those whose pace says nothing any more, and any one when there are none.
func (b *budget) forgetIdle(now time.Time) {
	for who, p := range b.askers {
		if now.Sub(p.used) > time.Minute {
			delete(b.askers, who)
		}
	}
	for who := range b.askers {
		if len(b.askers) < maxAskers {
			return
		}
		delete(b.askers, who)
	}
}
