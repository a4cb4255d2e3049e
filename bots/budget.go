package bots

import (
	"sync"
	"time"

	"golang.org/x/time/rate"

	"confab/bots/provider"
	"confab/signaling/wire"
)

const (
	maxAskers   = 10_000 // users whose pace is remembered
	maxSpenders = 10_000 // rooms whose tokens are counted
	// Somebody who asks too much is told so at most this often, where nothing else would tell them.
	tellEvery = 10 * time.Second
)

// A budget bounds what people ask of bots.
type budget struct {
	mu     sync.Mutex
	askers map[asker]*pace // guarded by mu
	spent  map[spender]int // tokens of today; guarded by mu
	day    string          // today, in UTC; guarded by mu
}

type asker struct {
	bot  wire.BotID
	user wire.UserID
}

type spender struct {
	bot  wire.BotID
	room wire.RoomID
}

// A pace is how fast one user asks one bot.
type pace struct {
	limiter *rate.Limiter
	used    time.Time
	told    time.Time
}

func newBudget() *budget {
	return &budget{askers: make(map[asker]*pace), spent: make(map[spender]int)}
}

// ask takes one question, or says why not; tell = and it is time to say so in the room.
func (b *budget) ask(to *bot, room wire.RoomID, user wire.UserID) (refusal *wire.Error, tell bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.newDay(now)
	p := b.paceOf(asker{to.ID, user}, to.Limits.RequestsPerMinute, now)
	if limit := to.Limits.TokensPerDay; limit > 0 && b.spent[spender{to.ID, room}] >= limit {
		midnight := now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
		refusal = &wire.Error{
			Code: wire.CodeRateLimited, Text: to.Name + " has used up what it may say in this room today; it may again at 00:00 UTC",
			RetryAfter: midnight.Sub(now),
		}
	} else if r := p.limiter.ReserveN(now, 1); r.DelayFrom(now) > 0 {
		wait := r.DelayFrom(now)
		r.CancelAt(now)
		refusal = &wire.Error{
			Code: wire.CodeRateLimited, RetryAfter: wait,
			Text: "you ask " + to.Name + " more often than it may be asked; try again in " + wait.Round(time.Second).String(),
		}
	}
	if refusal != nil && now.Sub(p.told) >= tellEvery {
		p.told, tell = now, true
	}
	return refusal, tell
}

func (b *budget) newDay(now time.Time) {
	if today := now.UTC().Format(time.DateOnly); today != b.day {
		b.day = today
		clear(b.spent)
	}
}

func (b *budget) paceOf(who asker, perMinute int, now time.Time) *pace {
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

// spend counts what an answer has used.
func (b *budget) spend(by *bot, room wire.RoomID, usage provider.Usage) {
	if by.Limits.TokensPerDay == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.newDay(time.Now())
	who := spender{by.ID, room}
	if _, known := b.spent[who]; known || len(b.spent) < maxSpenders {
		b.spent[who] += usage.Input + usage.Output
	}
}
