// Package tooltest has a room in memory for tests of tools and of what uses them. It imports no other package of this
// module but bots/tool, and is for tests alone.
package tooltest

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"confab/bots/tool"
)

// A Room is a tool.Room of what was put into it. Its fields are set before it is used.
type Room struct {
	Title     string
	InThread  string
	By        tool.Participant // the asker
	BotName   string
	BotUser   string
	People    []tool.Participant
	Read      uint64
	Spoken    map[string]time.Duration
	Links     map[string]tool.Connection // by participant
	Err       error                      // of Messages, Say, React and Later
	Clock     func() time.Time           // of what is said; nil = time.Now
	mu        sync.Mutex
	said      []tool.Message
	reminders []Reminder
}

// A Reminder is what Later was called with.
type Reminder struct {
	At   time.Time
	Text string
}

var _ tool.Room = (*Room)(nil)

// Add appends messages. One without a seq gets the next.
func (r *Room) Add(messages ...tool.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range messages {
		m.Seq = cmp.Or(m.Seq, r.last()+1)
		r.said = append(r.said, m)
	}
}

// Vote puts a user's emoji on a message.
func (r *Room) Vote(user string, seq uint64, emoji string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.said {
		if m := &r.said[i]; m.Seq == seq {
			m.Reactions = maps.Clone(m.Reactions)
			if m.Reactions == nil {
				m.Reactions = map[string][]string{}
			}
			m.Reactions[emoji] = append(slices.Clone(m.Reactions[emoji]), user)
		}
	}
}

// Said returns all messages.
func (r *Room) Said() []tool.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.said)
}

// Reminders returns what is due later.
func (r *Room) Reminders() []Reminder {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.reminders)
}

func (r *Room) last() uint64 {
	if len(r.said) == 0 {
		return 0
	}
	return r.said[len(r.said)-1].Seq
}

// Name implements tool.Room, as do the methods below.
func (r *Room) Name() string { return r.Title }

// Thread is the timeline.
func (r *Room) Thread() string { return r.InThread }

// Asker is who asks.
func (r *Room) Asker() tool.Participant { return r.By }

// Bot is the bot's name.
func (r *Room) Bot() string { return r.BotName }

// Participants is who is there.
func (r *Room) Participants() []tool.Participant { return slices.Clone(r.People) }

// LastRead is how far the asker has read.
func (r *Room) LastRead() uint64 { return r.Read }

// Speaking is how long who spoke.
func (r *Room) Speaking() map[string]time.Duration { return maps.Clone(r.Spoken) }

// Connection is how well a participant is connected.
func (r *Room) Connection(participant string) (tool.Connection, bool) {
	c, ok := r.Links[participant]
	return c, ok
}

// Messages chooses by reading all.
func (r *Room) Messages(ctx context.Context, q tool.Query) ([]tool.Message, error) {
	if r.Err != nil {
		return nil, r.Err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []tool.Message
	for _, m := range r.said {
		if matches(m, q) {
			found = append(found, m)
		}
	}
	limit := min(cmp.Or(q.Limit, 256), 256)
	return found[max(0, len(found)-limit):], ctx.Err()
}

func matches(m tool.Message, q tool.Query) bool {
	if m.Seq <= q.After || q.Before > 0 && m.Seq >= q.Before || m.Time.Before(q.Since) || q.User != "" && m.User != q.User {
		return false
	}
	words := stems(m.Text)
	for _, wanted := range stems(q.Text) {
		if !slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, wanted) }) {
			return false
		}
	}
	return true
}

// stems are the words of a text without the commonest endings of English ones.
func stems(text string) []string {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for i, w := range words {
		for _, ending := range []string{"ing", "ies", "ied", "es", "ed", "s", "e", "y"} {
			if stem, ok := strings.CutSuffix(w, ending); ok && len(stem) > 3 {
				words[i] = stem
				break
			}
		}
	}
	return words
}

// Say appends a message of the bot's.
func (r *Room) Say(ctx context.Context, text string) (uint64, error) {
	if r.Err != nil {
		return 0, r.Err
	}
	now := time.Now
	if r.Clock != nil {
		now = r.Clock
	}
	r.Add(tool.Message{Time: now(), User: r.BotUser, Name: r.BotName, Bot: true, Text: text})
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last(), ctx.Err()
}

// React puts the bot's emoji on a message.
func (r *Room) React(_ context.Context, seq uint64, emoji string) error {
	if r.Err != nil {
		return r.Err
	}
	if !slices.ContainsFunc(r.Said(), func(m tool.Message) bool { return m.Seq == seq }) {
		return fmt.Errorf("no message %d", seq)
	}
	r.Vote(r.BotUser, seq, emoji)
	return nil
}

// Later keeps a reminder.
func (r *Room) Later(at time.Time, text string) error {
	if r.Err != nil {
		return r.Err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reminders = append(r.reminders, Reminder{at, text})
	return nil
}
