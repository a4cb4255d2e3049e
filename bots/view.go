package bots

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"confab/bots/tool"
	"confab/rooms"
	"confab/signaling/wire"
)

// A view is a room as one question's tools see it: what the asker may see. It implements tool.Room.
type view struct {
	seat *seat
	q    *question
	ctx  context.Context // of the run
}

var _ tool.Room = (*view)(nil)

func newView(ctx context.Context, s *seat, q *question) *view { return &view{s, q, ctx} }

// Name implements tool.Room.
func (v *view) Name() string { return string(v.seat.hall.room) }

// Thread implements tool.Room.
func (v *view) Thread() string { return string(v.q.thread) }

// Bot implements tool.Room.
func (v *view) Bot() string { return v.seat.bot.Name }

// LastRead implements tool.Room.
func (v *view) LastRead() uint64 { return uint64(v.q.lastRead) }

// Asker implements tool.Room.
func (v *view) Asker() tool.Participant {
	v.seat.hall.mu.Lock()
	defer v.seat.hall.mu.Unlock()
	if p, ok := v.seat.hall.there[v.q.participant]; ok {
		return participant(p)
	}
	return tool.Participant{ID: string(v.q.participant), User: string(v.q.by.User), Name: v.q.by.Name, Bot: v.q.by.Kind == wire.Bot}
}

// role is what the asker may do; a viewer's where they have left.
func (v *view) role() wire.Role {
	v.seat.hall.mu.Lock()
	defer v.seat.hall.mu.Unlock()
	if p, ok := v.seat.hall.there[v.q.participant]; ok {
		return p.Role
	}
	return wire.RoleViewer
}

// Participants implements tool.Room.
func (v *view) Participants() []tool.Participant {
	v.seat.hall.mu.Lock()
	defer v.seat.hall.mu.Unlock()
	all := make([]tool.Participant, 0, len(v.seat.hall.there))
	for _, p := range v.seat.hall.there {
		all = append(all, participant(p))
	}
	slices.SortFunc(all, func(x, y tool.Participant) int {
		if c := x.Joined.Compare(y.Joined); c != 0 {
			return c
		}
		return strings.Compare(x.ID, y.ID)
	})
	return all
}

func participant(p wire.Participant) tool.Participant {
	return tool.Participant{
		ID: string(p.ID), User: string(p.User), Name: p.Name, Bot: p.Kind == wire.Bot, Moderator: p.Role == wire.RoleModerator,
		Joined: time.UnixMilli(p.JoinedAt), Microphone: p.Media.Microphone, Camera: p.Media.Camera, Screen: p.Media.Screen, Hand: p.Media.Hand,
	}
}

// read returns the window of the timeline that the question was asked in, oldest first.
func (v *view) read(ctx context.Context) ([]tool.Message, error) {
	body, err := await(ctx, func(answer rooms.Answer) {
		v.seat.place.History(v.q.thread, wire.History{Limit: wire.MaxHistoryPage}, answer)
	})
	if err != nil {
		return nil, fmt.Errorf("the conversation cannot be read: %w", err)
	}
	page, err := pageOf(body)
	if err != nil {
		return nil, fmt.Errorf("the conversation cannot be read: %w", err)
	}
	all := make([]tool.Message, 0, len(page.Messages))
	for _, e := range page.Messages {
		var c wire.ChatRecord
		if e.Author == nil || json.Unmarshal(e.Data, &c) != nil || c.Deleted || c.Text == "" {
			continue
		}
		m := tool.Message{
			Seq: uint64(e.Seq), Time: time.UnixMilli(e.TS), User: string(e.Author.User), Name: e.Author.Name,
			Bot: e.Author.Kind == wire.Bot, Text: c.Text, ReplyTo: uint64(c.ReplyTo),
		}
		for emoji, users := range c.Reactions {
			if m.Reactions == nil {
				m.Reactions = make(map[string][]string, len(c.Reactions))
			}
			for _, user := range users {
				m.Reactions[emoji] = append(m.Reactions[emoji], string(user))
			}
		}
		all = append(all, m)
	}
	return all, nil
}

// Messages implements tool.Room.
func (v *view) Messages(ctx context.Context, q tool.Query) ([]tool.Message, error) {
	all, err := v.read(ctx)
	if err != nil {
		return nil, err
	}
	return choose(all, q), nil
}

// Speaking implements tool.Room. The server hears nobody where calls go from browser to browser.
func (v *view) Speaking() map[string]time.Duration {
	h := v.seat.hall
	if h.service.opts.Spoken == nil {
		return nil
	}
	spoken := h.service.opts.Spoken(h.room)
	if spoken == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	users := make(map[string]time.Duration, len(spoken))
	for id, d := range spoken {
		if p, ok := h.there[id]; ok {
			users[string(p.User)] += d
		}
	}
	return users
}

// Connection implements tool.Room.
func (v *view) Connection(participant string) (tool.Connection, bool) {
	h := v.seat.hall
	if h.service.opts.Connection == nil {
		return tool.Connection{}, false
	}
	return h.service.opts.Connection(h.room, wire.ParticipantID(participant))
}

// Say implements tool.Room.
func (v *view) Say(ctx context.Context, text string) (uint64, error) {
	body, err := await(ctx, func(answer rooms.Answer) {
		v.seat.place.Chat("", v.q.thread, wire.Chat{Text: cut(text, wire.MaxTextBytes)}, answer)
	})
	if err != nil {
		return 0, err
	}
	ack, _ := body.(wire.Ack)
	return uint64(ack.Seq), nil
}

// React implements tool.Room.
func (v *view) React(ctx context.Context, seq uint64, emoji string) error {
	_, err := await(ctx, func(answer rooms.Answer) {
		v.seat.place.React("", v.q.thread, wire.Reaction{Message: wire.Seq(seq), Emoji: emoji, On: true}, answer)
	})
	return err
}

// Later implements tool.Room.
func (v *view) Later(at time.Time, text string) error {
	_, err := await(v.ctx, func(answer rooms.Answer) {
		v.seat.place.SayLater(v.q.thread, at, wire.Chat{Text: cut(text, wire.MaxTextBytes)}, answer)
	})
	return err
}
