package bots

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"confab/bots/address"
	"confab/bots/hearing"
	"confab/rooms"
	"confab/signaling/wire"
)

const (
	maxHeard   = 1024 // what a hall has not looked at yet; what is more is dropped
	maxAuthors = 4096 // messages of whom it is known who wrote them
	maxTalks   = 256  // timelines that are remembered for follow-ups
)

// A hall is what the bots of one room have in common: it hears what is said, and decides who is meant.
type hall struct {
	// Set by newHall, then constant.
	service *Service
	room    wire.RoomID
	ctx     context.Context
	cancel  context.CancelFunc
	wake    chan struct{} // of one, never closed

	mu      sync.Mutex
	seats   []*seat                                 // guarded by mu; the first hears for all
	queue   []heard                                 // guarded by mu
	lost    bool                                    // some were dropped; guarded by mu
	desks   map[*seat]*desk                         // guarded by mu
	there   map[wire.ParticipantID]wire.Participant // guarded by mu
	reads   map[wire.UserID]wire.Seq                // guarded by mu
	people  *address.Room                           // nil = has changed; guarded by mu
	ear     *hearing.Ear                            // nil = no seat hears; guarded by mu
	noticed time.Time                               // when all who were there know of it; guarded by mu
	spoken  []spokenLine                            // what was said in the call lately, oldest first; guarded by mu
	aloud   []aloud                                 // what bots say into the call, oldest first; guarded by mu

	// Owned by run.
	talks   map[wire.ThreadID]*talk
	authors map[seqIn]wire.UserID
	order   []seqIn // of authors, oldest first
}

// heard is something that a seat was told.
type heard struct {
	by        *seat
	line      []byte // a frame's line
	question  *rooms.Question
	answer    rooms.Answer
	utterance *hearing.Utterance
}

// A talk is what is remembered of one timeline.
type talk struct {
	conversation address.Conversation
	used         time.Time
}

// A seqIn names a message.
type seqIn struct {
	thread wire.ThreadID
	seq    wire.Seq
}

func newHall(s *Service, room wire.RoomID) *hall {
	h := &hall{
		service: s, room: room, wake: make(chan struct{}, 1), desks: make(map[*seat]*desk),
		there: make(map[wire.ParticipantID]wire.Participant), reads: make(map[wire.UserID]wire.Seq),
		talks: make(map[wire.ThreadID]*talk), authors: make(map[seqIn]wire.UserID),
	}
	h.ctx, h.cancel = context.WithCancel(s.ctx)
	return h
}

// stop ends the hall. What waits for an answer gets one.
func (h *hall) stop() { h.cancel() }

func (h *hall) take(s *seat) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seats = append(h.seats, s)
	h.desks[s] = newDesk(s)
	h.people = nil
}

// giveUp takes a seat out and reports whether it was the last one.
func (h *hall) giveUp(s *seat) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seats = slices.DeleteFunc(h.seats, func(x *seat) bool { return x == s })
	delete(h.desks, s)
	return len(h.seats) == 0
}

// leads reports whether s hears for all.
func (h *hall) leads(s *seat) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.seats) > 0 && h.seats[0] == s
}

// hear takes in what a seat was told. It never blocks.
func (h *hall) hear(x heard) {
	h.mu.Lock()
	full := len(h.queue) >= maxHeard || h.ctx.Err() != nil
	if full {
		h.lost = true
	} else {
		h.queue = append(h.queue, x)
	}
	h.mu.Unlock()
	if full {
		if x.answer != nil {
			x.answer(nil, &wire.Error{Code: wire.CodeRateLimited, Text: "the bots of this room cannot keep up; try again in a moment", RetryAfter: time.Second})
		}
		return
	}
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// run looks at what was heard until the hall is stopped.
func (h *hall) run() {
	defer h.cancel()
	for {
		select {
		case <-h.wake:
		case <-h.ctx.Done():
			h.refuseRest()
			return
		}
		h.mu.Lock()
		all, lost := h.queue, h.lost
		h.queue, h.lost = nil, false
		h.mu.Unlock()
		for _, x := range all {
			h.consider(x)
		}
		if lost {
			h.service.logger.Warn("bots cannot keep up with a room; some messages were not looked at", "room", string(h.room))
		}
	}
}

func (h *hall) refuseRest() {
	h.mu.Lock()
	rest := h.queue
	h.queue = nil
	h.mu.Unlock()
	for _, x := range rest {
		if x.answer != nil {
			x.answer(nil, wire.Errorf(wire.CodeCancelled, "the bot was put out"))
		}
	}
}

// consider takes in one thing that was heard.
func (h *hall) consider(x heard) {
	if x.question != nil {
		h.asked(x)
		return
	}
	if x.utterance != nil {
		h.overheard(*x.utterance)
		return
	}
	var e wire.Envelope
	if err := json.Unmarshal(x.line, &e); err != nil {
		h.service.logger.Error("a frame of a room that cannot be read", "room", string(h.room), "error", err)
		return
	}
	switch e.Type {
	case wire.KindJoined:
		h.joined(e.Data)
	case wire.KindPresence:
		var p wire.Presence
		if json.Unmarshal(e.Data, &p) == nil {
			h.presence(p)
		}
	case wire.KindMediaState:
		var m wire.MediaState
		if json.Unmarshal(e.Data, &m) == nil {
			h.mediaState(e.From, m)
		}
	case wire.KindRead:
		var r wire.Read
		if json.Unmarshal(e.Data, &r) == nil && e.Thread == "" {
			h.read(e.From, r.Seq)
		}
	case wire.KindChat:
		h.chat(x.by, e)
	case wire.KindEdit, wire.KindDelete, wire.KindClear:
		h.service.cache.forget(h.room, e.Thread)
		if e.Type == wire.KindClear && e.Thread == "" {
			h.forgetSpoken()
		}
	default:
	}
}

func (h *hall) joined(data json.RawMessage) {
	var j wire.Joined
	if err := json.Unmarshal(data, &j); err != nil {
		h.service.logger.Error("a joined that cannot be read", "room", string(h.room), "error", err)
		return
	}
	h.mu.Lock()
	clear(h.there)
	for _, p := range j.Participants {
		h.there[p.ID] = p
	}
	for user, seq := range j.Reads {
		h.reads[user] = seq
	}
	h.people = nil
	h.mu.Unlock()
	for _, e := range j.History {
		if e.Author != nil {
			h.remember("", e.Seq, e.Author.User)
		}
	}
}

func (h *hall) presence(p wire.Presence) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p.Event == wire.PresenceLeft {
		delete(h.there, p.Participant.ID)
		h.service.profile.forget(p.Participant.ID)
	} else {
		h.there[p.Participant.ID] = p.Participant
	}
	h.people = nil
}

func (h *hall) read(from wire.ParticipantID, seq wire.Seq) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p, ok := h.there[from]; ok {
		h.reads[p.User] = max(h.reads[p.User], seq)
	}
}

// remember keeps who wrote a message, so that replies to it are known as such.
func (h *hall) remember(thread wire.ThreadID, seq wire.Seq, user wire.UserID) {
	at := seqIn{thread, seq}
	if _, known := h.authors[at]; known {
		return
	}
	if len(h.order) >= maxAuthors {
		delete(h.authors, h.order[0])
		h.order = h.order[1:]
	}
	h.authors[at] = user
	h.order = append(h.order, at)
}

// chat decides who answers a message, and lets them.
func (h *hall) chat(by *seat, e wire.Envelope) {
	var body wire.ChatRecord
	if e.Author == nil || json.Unmarshal(e.Data, &body) != nil || body.Deleted {
		return
	}
	h.remember(e.Thread, e.Seq, e.Author.User)
	m := address.Message{
		At: time.UnixMilli(e.TS), User: string(e.Author.User), Text: body.Text, Mentions: make([]string, 0, len(body.Mentions)),
	}
	for _, user := range body.Mentions {
		m.Mentions = append(m.Mentions, string(user))
	}
	if body.ReplyTo != 0 && (body.Run == nil) {
		m.ReplyTo = string(h.authors[seqIn{e.Thread, body.ReplyTo}])
	}
	hops := 0
	if body.Run != nil {
		m.Asker, m.Hops = string(body.Run.By.User), body.Run.Hops+1
		hops = m.Hops
	} else if e.Author.Kind == wire.Bot {
		m.Hops, hops = 1, 1
	}
	if private(e.Thread) {
		m.Private = string(by.bot.ID)
	}
	decision := h.talk(e.Thread).conversation.Decide(h.addressable(e.Author), m)
	for _, a := range decision.Answers {
		s := h.seatOf(wire.BotID(a.Bot))
		if s == nil {
			continue // a bot that lives elsewhere hears for itself
		}
		h.desk(s).ask(&question{
			run: rooms.NewRunID(), by: *e.Author, participant: e.From, thread: e.Thread, seq: e.Seq, text: body.Text,
			follows: a.Reason == address.FollowUp || body.ReplyTo != 0, hops: hops, lastRead: h.lastRead(e.Author.User, e.Thread),
		}, nil)
	}
}

// private reports whether a timeline is a person's with one bot.
func private(thread wire.ThreadID) bool { return strings.HasPrefix(string(thread), "dm-") }

// asked hands a question that stands in no message to its bot.
func (h *hall) asked(x heard) {
	q := &question{
		run: rooms.NewRunID(), by: x.question.By.Author, participant: x.question.By.Participant, request: x.question.Request,
		thread: x.question.Thread, text: x.question.Prompt, prompt: x.question.Prompt, about: x.question.ReplyTo,
		regenerate: x.question.Regenerate, follows: x.question.ReplyTo != 0 || x.question.Spoken, lastRead: x.question.By.Read,
		spoken: x.question.Spoken,
	}
	if q.spoken {
		x.answer = nil // nobody waits for one; why it is not answered is told in the room, as of a message
	}
	if was := x.question.Was; was != nil {
		q.was = was
		q.hops = was.Hops
		if q.text == "" {
			q.text, q.prompt = was.Prompt, was.Prompt
		}
	}
	d := h.desk(x.by)
	if d == nil && x.answer == nil {
		return
	}
	if d == nil {
		x.answer(nil, wire.Errorf(wire.CodeCancelled, "the bot was put out"))
		return
	}
	d.ask(q, x.answer)
}

func (h *hall) lastRead(user wire.UserID, thread wire.ThreadID) wire.Seq {
	h.mu.Lock()
	defer h.mu.Unlock()
	if thread != "" {
		return 0
	}
	return h.reads[user]
}

func (h *hall) desk(s *seat) *desk {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.desks[s]
}

func (h *hall) seatOf(bot wire.BotID) *seat {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := slices.IndexFunc(h.seats, func(s *seat) bool { return s.bot.ID == bot })
	if i < 0 {
		return nil
	}
	return h.seats[i]
}

// talk returns what is remembered of a timeline.
func (h *hall) talk(thread wire.ThreadID) *talk {
	t := h.talks[thread]
	if t == nil {
		if len(h.talks) >= maxTalks {
			h.dropOldestTalk()
		}
		t = &talk{}
		h.talks[thread] = t
	}
	t.used = time.Now()
	return t
}

func (h *hall) dropOldestTalk() {
	var oldest wire.ThreadID
	for thread, t := range h.talks {
		if o := h.talks[oldest]; o == nil || t.used.Before(o.used) {
			oldest = thread
		}
	}
	delete(h.talks, oldest)
}

// addressable is who can be addressed now. A bot that lives elsewhere counts as a bot, so that two never talk to each
// other without end.
func (h *hall) addressable(author *wire.Author) *address.Room {
	h.mu.Lock()
	defer h.mu.Unlock()
	foreign := author.Kind == wire.Bot && wire.BotOf(author.User) == ""
	if h.people != nil && !foreign {
		return h.people
	}
	var bots []address.Bot
	var people []address.Person
	for _, s := range h.seats {
		ways, _ := s.bot.ways() // checked by New
		bots = append(bots, address.Bot{ID: string(s.bot.ID), User: string(s.bot.info.User), Name: s.bot.Name, Aliases: s.bot.Aliases, Ways: ways})
	}
	for _, p := range h.there {
		switch {
		case wire.BotOf(p.User) != "":
		case p.Kind == wire.Bot:
			bots = append(bots, address.Bot{ID: "elsewhere:" + string(p.User), User: string(p.User), Name: p.Name})
		default:
			people = append(people, address.Person{User: string(p.User), Name: p.Name})
		}
	}
	if foreign && !slices.ContainsFunc(bots, func(b address.Bot) bool { return b.User == string(author.User) }) {
		bots = append(bots, address.Bot{ID: "elsewhere:" + string(author.User), User: string(author.User), Name: author.Name})
	}
	room := address.NewRoom(bots, people)
	if !foreign {
		h.people = room
	}
	return room
}
