package rooms_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"confab/rooms"
	"confab/signaling/wire"
)

// A reader follows a run, and keeps what it is told.
type reader struct {
	*rooms.Follower
	t *testing.T

	mu      sync.Mutex
	changed chan struct{} // closed, and made anew, with each call
	by      wire.Author
	so      *wire.RunState
	events  []wire.ServerMessage
	end     *wire.AgentCompleted
	receipt *wire.RunReceipt
	lost    *wire.Error
}

func newReader(t *testing.T) *reader { return &reader{t: t, changed: make(chan struct{})} }

func (r *reader) tell(fn func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.end != nil || r.lost != nil {
		r.t.Error("told after the last word")
	}
	fn()
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *reader) RunBegun(by wire.Author, so wire.RunState) {
	r.tell(func() {
		if r.so != nil {
			r.t.Error("begun twice")
		}
		r.by, r.so = by, &so
	})
}

func (r *reader) RunEvent(body wire.ServerMessage) {
	r.tell(func() {
		if r.so == nil {
			r.t.Errorf("%T before the beginning", body)
		}
		r.events = append(r.events, body)
	})
}

func (r *reader) RunCompleted(end wire.AgentCompleted, receipt *wire.RunReceipt) {
	r.tell(func() { r.end, r.receipt = &end, receipt })
}

func (r *reader) RunLost(problem *wire.Error) { r.tell(func() { r.lost = problem }) }

// until waits for what must come.
func (r *reader) until(what string, ok func() bool) {
	r.t.Helper()
	late := time.After(patience)
	for {
		r.mu.Lock()
		done, changed := ok(), r.changed
		r.mu.Unlock()
		if done {
			return
		}
		select {
		case <-changed:
		case <-late:
			r.t.Fatalf("%s: not in time; so far %+v, %+v", what, r.so, r.events)
		}
	}
}

// text is what was written, from the beginning.
func (r *reader) text() string {
	text := r.so.Text
	for _, body := range r.events {
		if chunk, ok := body.(wire.StreamChunk); ok {
			text += chunk.Text
		}
	}
	return text
}

// follow asks for a hold on a run.
func (h *house) follow(id rooms.Identity, room wire.RoomID, run wire.RunID) (*reader, error) {
	h.t.Helper()
	r, answered := newReader(h.t), make(chan error, 1)
	r.Follower = h.Follow(id, room, run, r, func(_ wire.ServerMessage, err error) { answered <- err })
	h.t.Cleanup(r.Leave)
	return r, <-answered
}

func (h *house) consult(id rooms.Identity, room wire.RoomID, c rooms.Consultation) (*reader, wire.RunID, error) {
	h.t.Helper()
	type given struct {
		body wire.ServerMessage
		err  error
	}
	r, answered := newReader(h.t), make(chan given, 1)
	r.Follower = h.Consult(id, room, c, r, func(body wire.ServerMessage, err error) { answered <- given{body, err} })
	h.t.Cleanup(r.Leave)
	select {
	case got := <-answered:
		ack, _ := got.body.(wire.Ack)
		return r, ack.Run, got.err
	case <-time.After(patience):
		h.t.Fatal("no answer")
		return nil, "", nil
	}
}

// Who follows a run from its middle gets what there is, then what comes, then its end, and nobody sees them.
func TestFollow(t *testing.T) {
	h, bots, ada, _ := withBot(t)
	u := bots.at(t, "lab", "echo").answer(t, "ada")
	u.Think("hm")
	u.Write("one ")
	first, err := h.follow(person("", "vera"), "lab", u.Run)
	if err != nil {
		t.Fatal(err)
	}
	first.until("the beginning", func() bool { return first.so != nil && first.text() == "one " })
	u.Write("two")
	second, err := h.follow(person("", "vera"), "lab", u.Run)
	if err != nil {
		t.Fatal(err)
	}
	second.Leave()
	second.Leave()
	u.End(rooms.RunEnd{Status: wire.RunCompleted, Model: "m"})
	first.until("the end", func() bool { return first.end != nil })
	if first.by.Name != "Echo" || first.text() != "one two" || first.end.Status != wire.RunCompleted || first.end.Message == 0 || first.receipt.Model != "m" {
		t.Errorf("by %+v: %q, %+v, %+v", first.by, first.text(), first.end, first.receipt)
	}
	kinds := make([]wire.Kind, 0, len(first.events))
	for _, body := range first.events {
		kinds = append(kinds, body.Kind())
	}
	if slices.Contains(kinds, wire.KindAgentCompleted) || kinds[len(kinds)-1] != wire.KindStreamEnd {
		t.Errorf("it was told %q", kinds)
	}
	if n := ada.count(wire.KindPresence); n != 2 { // grace, echo
		t.Errorf("ada saw %d changes of presence", n)
	}
	if _, err := h.follow(person("", "vera"), "lab", u.Run); err == nil {
		t.Error("a run that is over can be followed")
	}
}

// A follower hears nothing more when it is put out, and the answer goes on.
func TestFollowerIsPutOut(t *testing.T) {
	h, bots, ada, _ := withBot(t)
	h.enter(person("v1", "vera"), "lab", nil)
	u := bots.at(t, "lab", "echo").answer(t, "ada")
	vera, err := h.follow(person("", "vera"), "lab", u.Run)
	if err != nil {
		t.Fatal(err)
	}
	ask(t, func(a rooms.Answer) { ada.Moderate(wire.Moderate{Action: wire.ActionBan, Participant: "v1"}, a) })
	vera.until("the word that it is out", func() bool { return vera.lost != nil && vera.lost.Code == wire.CodeForbidden })
	_, err = h.follow(person("", "vera"), "lab", u.Run)
	wantCode(t, err, wire.CodeForbidden)
	ask(t, func(a rooms.Answer) { ada.Moderate(wire.Moderate{Action: wire.ActionLock}, a) })
	_, err = h.follow(person("", "linus"), "lab", u.Run)
	wantCode(t, err, wire.CodeRoomLocked)
	_, err = h.follow(person("", "ada"), "elsewhere", u.Run)
	wantCode(t, err, wire.CodeNotFound)
	if u.Context().Err() != nil {
		t.Error("the answer ended with who followed it")
	}
	u.End(rooms.RunEnd{Status: wire.RunCompleted, Quiet: true})
}

// The answers of a private thread are for its two alone.
func TestFollowPrivateThread(t *testing.T) {
	h, bots, ada, _ := withBot(t)
	thread := ada.follow("", wire.SubscribeThread{Private: wire.BotUser("echo")}).Thread
	seat := bots.at(t, "lab", "echo")
	begun := make(chan *rooms.Run, 1)
	seat.place.StartRun(rooms.RunStart{
		AgentStarted: wire.AgentStarted{Run: rooms.NewRunID(), Bot: "echo", By: wire.Author{User: "ada"}}, Thread: thread,
	}, func(u *rooms.Run, err error) {
		if err != nil {
			t.Error(err)
		}
		begun <- u
	})
	u := <-begun
	_, err := h.follow(moderator("", "grace"), "lab", u.Run)
	wantCode(t, err, wire.CodeNotFound)
	own, err := h.follow(person("", "ada"), "lab", u.Run)
	if err != nil {
		t.Fatal(err)
	}
	u.End(rooms.RunEnd{Status: wire.RunFailed, Err: wire.Errorf(wire.CodeBotFailed, "no"), Quiet: true})
	own.until("the end", func() bool { return own.end != nil && own.end.Status == wire.RunFailed })
}

// A respondent is a bot that answers each question with its words, at once.
type respondent struct{ *puppets }

func (p respondent) Seat(bot wire.BotID, place *rooms.Member) rooms.Seat {
	return eager{p.puppets.Seat(bot, place).(*puppet)}
}

type eager struct{ *puppet }

func (s eager) Ask(q rooms.Question, answer rooms.Answer) {
	if q.Prompt == "no" {
		answer(nil, wire.Errorf(wire.CodeRateLimited, "enough"))
		return
	}
	if q.Prompt == "never" {
		answer(wire.Ack{Run: "none"}, nil)
		return
	}
	s.place.StartRun(rooms.RunStart{AgentStarted: wire.AgentStarted{
		Run: rooms.NewRunID(), Bot: s.bot, Request: q.Request, By: q.By.Author, Prompt: q.Prompt,
	}, Thread: q.Thread}, func(u *rooms.Run, err error) {
		if err == nil {
			u.Write("you said " + q.Prompt)
			u.End(rooms.RunEnd{Status: wire.RunCompleted})
		}
		answer(wire.Ack{}, err)
	})
}

// Who is not in the room asks a bot, and misses nothing of an answer that is there at once.
func TestConsult(t *testing.T) {
	h := newHouse(t, rooms.Options{Bots: respondent{newPuppets()}})
	ada := h.enter(moderator("p1", "ada"), "lab", nil)
	toggle(t, ada, "echo", true)
	vera := person("", "vera")
	for _, thread := range []wire.ThreadID{"", "9b2f-new"} {
		r, run, err := h.consult(vera, "lab", rooms.Consultation{Bot: "echo", Thread: thread, Prompt: "hello"})
		if err != nil {
			t.Fatal(err)
		}
		r.until("the end", func() bool { return r.end != nil })
		if r.so.Start.Run != run || r.so.Thread != thread || r.so.Start.By.User != "vera" || r.text() != "you said hello" || r.end.Message == 0 {
			t.Errorf("in %q: run %q, %+v, %q, %+v", thread, run, r.so, r.text(), r.end)
		}
	}
	if n := ada.count(wire.KindPresence); n != 1 { // echo
		t.Errorf("ada saw %d changes of presence", n)
	}
	mute := vera
	mute.Grants.Chat = false
	for _, c := range []struct {
		id   rooms.Identity
		ask  rooms.Consultation
		want wire.ErrorCode
	}{
		{vera, rooms.Consultation{Bot: "echo", Prompt: "no"}, wire.CodeRateLimited},
		{vera, rooms.Consultation{Bot: "echo", Prompt: "never"}, wire.CodeInternal},
		{vera, rooms.Consultation{Bot: "parrot", Prompt: "hello"}, wire.CodeNotFound},
		{vera, rooms.Consultation{Bot: "echo", Prompt: "hello", Thread: "dm-of-others"}, wire.CodeNotFound},
		{mute, rooms.Consultation{Bot: "echo", Prompt: "hello"}, wire.CodeForbidden},
	} {
		_, _, err := h.consult(c.id, "lab", c.ask)
		wantCode(t, err, c.want)
	}
}

// A room that nobody is in answers too, and is not let go of before.
func TestConsultEmptyRoom(t *testing.T) {
	h := newHouse(t, rooms.Options{Bots: respondent{newPuppets()}})
	ada := h.enter(moderator("p1", "ada"), "lab", nil)
	toggle(t, ada, "echo", true)
	ask(t, ada.Leave)
	r, _, err := h.consult(person("", "vera"), "lab", rooms.Consultation{Bot: "echo", Prompt: "hello"})
	if err != nil {
		t.Fatal(err)
	}
	r.until("the end", func() bool { return r.end != nil })
	for range 300 { // each gives back its place
		r, _, err = h.consult(person("", "vera"), "lab", rooms.Consultation{Bot: "parrot", Prompt: "hello"})
		wantCode(t, err, wire.CodeNotFound)
		r.Leave()
	}
	_, _, err = h.consult(person("", "vera"), "lab", rooms.Consultation{Bot: "parrot", Prompt: "hello"})
	wantCode(t, err, wire.CodeNotFound)
	if n := h.Stats().Members; n != 1 {
		t.Errorf("%d hold the room; want the last one alone", n)
	}
}
