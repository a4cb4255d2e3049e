package rooms_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"confab/rooms"
	"confab/signaling/wire"
)

// puppets are bots whose answers the test gives.
type puppets struct {
	mu    sync.Mutex
	seats map[wire.RoomID]map[wire.BotID]*puppet
}

func newPuppets() *puppets { return &puppets{seats: map[wire.RoomID]map[wire.BotID]*puppet{}} }

func (p *puppets) Catalog() []wire.BotInfo {
	return []wire.BotInfo{
		{Bot: "echo", User: wire.BotUser("echo"), Name: "Echo", Engine: "built-in", Tools: []wire.BotTool{}, Speaks: true, Hears: true},
		{Bot: "parrot", User: wire.BotUser("parrot"), Name: "Parrot", Engine: "built-in", Tools: []wire.BotTool{}},
	}
}

func (p *puppets) Seat(bot wire.BotID, place *rooms.Member) rooms.Seat {
	s := &puppet{place: place, bot: bot}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.seats[place.Room()] == nil {
		p.seats[place.Room()] = map[wire.BotID]*puppet{}
	}
	p.seats[place.Room()][bot] = s
	return s
}

func (p *puppets) at(t *testing.T, room wire.RoomID, bot wire.BotID) *puppet {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.seats[room][bot]
	if s == nil {
		t.Fatalf("%s has no seat in %s", bot, room)
	}
	return s
}

type puppet struct {
	place *rooms.Member
	bot   wire.BotID

	mu      sync.Mutex
	heard   []string // chats
	removed bool
	voice   bool
	hearing bool
	asked   []rooms.Question
}

func (s *puppet) Send(frame []byte, _ string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wire.Lines(frame, func(line []byte) bool {
		var e wire.Envelope
		if json.Unmarshal(line, &e) == nil && e.Type == wire.KindChat {
			s.heard = append(s.heard, string(e.Data))
		}
		return true
	})
}
func (s *puppet) SendJoined([]byte) {}
func (s *puppet) Removed(wire.RoomID, wire.RemovedReason) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.removed = true
}

func (s *puppet) Ask(q rooms.Question, answer rooms.Answer) {
	s.mu.Lock()
	s.asked = append(s.asked, q)
	s.mu.Unlock()
	answer(wire.Ack{Run: wire.RunID("asked-" + string(q.By.User) + "-" + q.Prompt)}, nil)
}

func (s *puppet) SetVoice(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.voice = on
}

func (s *puppet) SetHearing(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hearing = on
}

// answer begins a run for somebody.
func (s *puppet) answer(t *testing.T, user wire.UserID) *rooms.Run {
	t.Helper()
	u, err := s.tryAnswer(t, user)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func (s *puppet) tryAnswer(t *testing.T, user wire.UserID) (*rooms.Run, error) {
	t.Helper()
	type started struct {
		u   *rooms.Run
		err error
	}
	c := make(chan started, 1)
	s.place.StartRun(rooms.RunStart{AgentStarted: wire.AgentStarted{
		Run: rooms.NewRunID(), Bot: s.bot, Request: "r-1", ReplyTo: 0, By: wire.Author{User: user, Name: string(user), Kind: wire.Human},
	}}, func(u *rooms.Run, err error) { c <- started{u, err} })
	select {
	case got := <-c:
		return got.u, got.err
	case <-time.After(patience):
		t.Fatal("the run did not start")
		return nil, nil
	}
}

// withBot opens a room with Ada, who moderates, Grace, and Echo.
func withBot(t *testing.T) (*house, *puppets, *guest, *guest) {
	t.Helper()
	bots := newPuppets()
	h := newHouse(t, rooms.Options{Bots: bots})
	ada, grace := h.enter(moderator("p1", "ada"), "lab", nil), h.enter(person("p2", "grace"), "lab", nil)
	toggle(t, ada, "echo", true)
	return h, bots, ada, grace
}

func toggle(t *testing.T, g *guest, bot wire.BotID, enabled bool) {
	t.Helper()
	if r := ask(t, func(a rooms.Answer) { g.ToggleBot(wire.BotToggle{Bot: bot, Enabled: enabled}, a) }); r.err != nil {
		t.Fatal(r.err)
	}
}

// runFrames are the bodies of what was told of a run, each as its kind and the part that the test looks at.
func (g *guest) grammar(run wire.RunID) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	var all []string
	for _, e := range g.frames {
		var b struct {
			Run    json.RawMessage `json:"run"`
			Text   string          `json:"text"`
			Offset int             `json:"offset"`
			Length int             `json:"length"`
			Reason string          `json:"reason"`
			Status string          `json:"status"`
			State  string          `json:"state"`
			Phase  string          `json:"phase"`
		}
		_ = json.Unmarshal(e.Data, &b)
		if !strings.Contains(string(b.Run), string(run)) {
			continue
		}
		s := string(e.Type)
		switch e.Type {
		case wire.KindStreamChunk:
			s += fmt.Sprintf(" %d %s", b.Offset, b.Text)
		case wire.KindStreamEnd:
			s += fmt.Sprintf(" %d %s", b.Length, b.Reason)
		case wire.KindAgentCompleted:
			s += " " + b.Status
		case wire.KindChat:
			s += " " + b.Text
		case wire.KindToolApproval:
			s += " " + b.State
		case wire.KindAgentThinking:
			s += " " + b.Phase + b.Text
		}
		all = append(all, s)
	}
	return all
}

func wantGrammar(t *testing.T, g *guest, run wire.RunID, want ...string) {
	t.Helper()
	g.until("the end of the run", func() bool {
		for _, e := range g.frames {
			if e.Type == wire.KindAgentCompleted && strings.Contains(string(e.Data), string(run)) {
				return true
			}
		}
		return false
	})
	if have := g.grammar(run); strings.Join(have, "\n") != strings.Join(want, "\n") {
		t.Errorf("have\n%s\nwant\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}

func TestToggleBot(t *testing.T) {
	folder, bots := t.TempDir(), newPuppets()
	h, stop := openHouse(t, folder, rooms.Options{Bots: bots})
	ada := h.enter(moderator("p1", "ada"), "lab", nil)
	viewer := person("p2", "vera")
	viewer.Role, viewer.Grants = wire.RoleViewer, wire.RoleGrants(wire.RoleViewer)
	vera := h.enter(viewer, "lab", nil)
	for name, tt := range map[string]struct {
		by   *guest
		msg  wire.BotToggle
		code wire.ErrorCode
	}{
		"a viewer":  {vera, wire.BotToggle{Bot: "echo", Enabled: true}, wire.CodeForbidden},
		"no bot":    {ada, wire.BotToggle{Bot: "nobody", Enabled: true}, wire.CodeNotFound},
		"off twice": {ada, wire.BotToggle{Bot: "echo"}, ""},
	} {
		if r := ask(t, func(a rooms.Answer) { tt.by.ToggleBot(tt.msg, a) }); r.code() != tt.code {
			t.Errorf("%s: %v", name, r.err)
		}
	}
	toggle(t, ada, "echo", true)
	toggle(t, ada, "parrot", true)
	toggle(t, ada, "parrot", false)
	p := body[wire.Presence](t, vera.next(wire.KindPresence, 1))
	if p.Event != wire.PresenceJoined || p.Participant.User != "bot:echo" || p.Participant.Kind != wire.Bot {
		t.Errorf("presence %+v", p)
	}
	if p := body[wire.Presence](t, vera.next(wire.KindPresence, 3)); p.Event != wire.PresenceLeft || p.Participant.User != "bot:parrot" {
		t.Errorf("presence %+v", p)
	}
	stop()

	h, stop = openHouse(t, folder, rooms.Options{Bots: bots})
	defer stop()
	ada = h.enter(moderator("p1", "ada"), "lab", nil)
	joined := body[wire.Joined](t, ada.next(wire.KindJoined, 1))
	if len(joined.Bots) != 2 || !joined.Bots[0].Enabled || joined.Bots[1].Enabled {
		t.Errorf("bots after a restart: %+v", joined.Bots)
	}
	if len(joined.Participants) != 2 || joined.Participants[0].User != "bot:echo" {
		t.Errorf("participants after a restart: %+v", joined.Participants)
	}
	if r := ask(t, func(a rooms.Answer) {
		ada.Moderate(wire.Moderate{Action: wire.ActionPromote, Participant: "bot-echo"}, a)
	}); r.code() != wire.CodeForbidden {
		t.Errorf("promoting a bot: %v", r.err)
	}
	if r := ask(t, func(a rooms.Answer) { ada.Moderate(wire.Moderate{Action: wire.ActionKick, Participant: "bot-echo"}, a) }); r.err != nil {
		t.Error(r.err)
	}
	if s := bots.at(t, "lab", "echo"); !s.removed {
		t.Error("a bot that was kicked does not know")
	}
}

func TestRun(t *testing.T) {
	h, bots, ada, grace := withBot(t)
	u := bots.at(t, "lab", "echo").answer(t, "grace")
	u.Phase(wire.PhaseContext)
	u.ToolExecuting(wire.ToolExecuting{Call: "c1", Tool: "look", Title: "Looks", Input: json.RawMessage(`{"at":"me"}`)})
	u.ToolCompleted(wire.ToolCompleted{Call: "c1", Tool: "look", OK: true, MS: 5, Output: "seen"})
	u.Write("Hi 👋 ")
	ada.next(wire.KindStreamChunk, 1)
	late := h.enter(person("p3", "late"), "lab", nil)
	state := body[wire.Joined](t, late.next(wire.KindJoined, 1)).Runs
	if len(state) != 1 || state[0].Text != "Hi 👋 " || state[0].Start.Run != u.Run || state[0].Message != wire.RequestID(u.Run) ||
		len(state[0].Tools) != 1 || len(state[0].Done) != 1 {
		t.Fatalf("runs for who joins in the middle: %+v", state)
	}
	u.Write("there")
	u.End(rooms.RunEnd{Status: wire.RunCompleted, Model: "built-in", Sources: []wire.Seq{7}})
	u.Write("too late")
	u.End(rooms.RunEnd{Status: wire.RunFailed})
	tail := []string{"stream-chunk 6 there", "stream-end 11 stop", "chat Hi 👋 there", "agent-completed completed"}
	for _, g := range []*guest{ada, grace} {
		wantGrammar(t, g, u.Run, append([]string{
			"agent-started", "agent-thinking context", "tool-executing", "tool-completed", "stream-start", "stream-chunk 0 Hi 👋 ",
		}, tail...)...)
	}
	wantGrammar(t, late, u.Run, tail...)
	chat := late.next(wire.KindChat, 1)
	run := body[wire.ChatRecord](t, chat).Run
	if chat.ID != wire.RequestID(u.Run) || chat.Author.User != "bot:echo" || chat.Author.Kind != wire.Bot || run == nil ||
		run.Status != wire.RunCompleted || run.By.User != "grace" || len(run.Tools) != 1 || run.Tools[0] != (wire.ToolUse{Tool: "look", Title: "Looks", OK: true, MS: 5, Input: `{"at":"me"}`, Output: "seen"}) || run.FirstTokenMS == 0 {
		t.Errorf("the answer is %+v with %+v", chat, run)
	}
	if done := body[wire.AgentCompleted](t, late.next(wire.KindAgentCompleted, 1)); done.Message != chat.Seq {
		t.Errorf("completed with message %d, the chat is %d", done.Message, chat.Seq)
	}
	if u.Context().Err() == nil {
		t.Error("the run's context did not end")
	}
	if state := body[wire.Joined](t, h.enter(person("p4", "later"), "lab", nil).next(wire.KindJoined, 1)); len(state.Runs) != 0 {
		t.Errorf("runs after the end: %+v", state.Runs)
	}
}

// TestRunEnds: a person stops an answer, the bot is put out, the meeting ends.
func TestRunEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		end    func(t *testing.T, u *rooms.Run, ada, grace *guest)
		text   string
		status string
	}{
		"its asker": {func(t *testing.T, u *rooms.Run, _, grace *guest) {
			if r := ask(t, func(a rooms.Answer) { grace.CancelRun(wire.AICancel{Request: "r-1"}, a) }); r.err != nil {
				t.Error(r.err)
			}
		}, "half", "cancelled"},
		"a moderator": {func(t *testing.T, u *rooms.Run, ada, _ *guest) {
			if r := ask(t, func(a rooms.Answer) { ada.CancelRun(wire.AICancel{Run: u.Run}, a) }); r.err != nil {
				t.Error(r.err)
			}
		}, "half", "cancelled"},
		"put out": {func(t *testing.T, _ *rooms.Run, ada, _ *guest) { toggle(t, ada, "echo", false) }, "half", "cancelled"},
		"before a word": {func(t *testing.T, u *rooms.Run, _, grace *guest) {
			if r := ask(t, func(a rooms.Answer) { grace.CancelRun(wire.AICancel{Run: u.Run}, a) }); r.err != nil {
				t.Error(r.err)
			}
		}, "", "cancelled"},
		"failed": {func(_ *testing.T, u *rooms.Run, _, _ *guest) {
			u.End(rooms.RunEnd{Status: wire.RunFailed, Err: wire.Errorf(wire.CodeBotFailed, "no model")})
		}, "half", "failed"},
	} {
		t.Run(name, func(t *testing.T) {
			_, bots, ada, grace := withBot(t)
			u := bots.at(t, "lab", "echo").answer(t, "grace")
			want := []string{"agent-started"}
			if tt.text != "" {
				u.Write(tt.text)
				ada.next(wire.KindStreamChunk, 1)
				want = append(want, "stream-start", "stream-chunk 0 half", "stream-end 4 "+tt.status, "chat half")
			}
			tt.end(t, u, ada, grace)
			wantGrammar(t, grace, u.Run, append(want, "agent-completed "+tt.status)...)
			if u.Context().Err() == nil {
				t.Error("the run's context did not end")
			}
		})
	}
}

func TestCancelOfOthers(t *testing.T) {
	h, bots, _, grace := withBot(t)
	u := bots.at(t, "lab", "echo").answer(t, "ada")
	if r := ask(t, func(a rooms.Answer) { grace.CancelRun(wire.AICancel{Run: u.Run}, a) }); r.code() != wire.CodeForbidden {
		t.Errorf("cancelling another's answer: %v", r.err)
	}
	if r := ask(t, func(a rooms.Answer) { grace.CancelRun(wire.AICancel{Run: "run-none"}, a) }); r.code() != wire.CodeNotFound {
		t.Errorf("cancelling nothing: %v", r.err)
	}
	for _, msg := range []wire.AIRequest{{Bot: "parrot", Prompt: "a"}, {Bot: "none", Prompt: "a"}, {Bot: "echo", Regenerate: 99}, {Bot: "echo", ReplyTo: 99}} {
		if r := ask(t, func(a rooms.Answer) { grace.Ask("q", "", msg, a) }); r.code() != wire.CodeNotFound {
			t.Errorf("asking %+v: %v", msg, r.err)
		}
	}
	r := ask(t, func(a rooms.Answer) { grace.Ask("q", "", wire.AIRequest{Bot: "echo", Prompt: "hello"}, a) })
	if ack, ok := r.body.(wire.Ack); !ok || ack.Run != "asked-grace-hello" {
		t.Errorf("asking: %v, %v", r.body, r.err)
	}
	u.Write("mine")
	u.End(rooms.RunEnd{Status: wire.RunCompleted})
	done := body[wire.AgentCompleted](t, grace.next(wire.KindAgentCompleted, 1))
	if r := ask(t, func(a rooms.Answer) { grace.Ask("q2", "", wire.AIRequest{Bot: "echo", Regenerate: done.Message}, a) }); r.code() != wire.CodeForbidden {
		t.Errorf("another's answer anew: %v", r.err)
	}
	ada := h.enter(moderator("p9", "ada"), "lab", nil)
	if r := ask(t, func(a rooms.Answer) { ada.Ask("q3", "", wire.AIRequest{Bot: "echo", Regenerate: done.Message}, a) }); r.err != nil {
		t.Errorf("the own answer anew: %v", r.err)
	}
}

func TestApproval(t *testing.T) {
	_, bots, ada, grace := withBot(t)
	u := bots.at(t, "lab", "echo").answer(t, "grace")
	word := make(chan bool, 1)
	go func() {
		word <- u.Approve(wire.ToolApproval{Call: "c1", Tool: "file", Input: json.RawMessage(`{"a":1}`), Digest: "d1"})
	}()
	grace.next(wire.KindToolApproval, 1)
	for name, tt := range map[string]struct {
		by   *guest
		msg  wire.ToolDecision
		code wire.ErrorCode
	}{
		"other arguments": {grace, wire.ToolDecision{Run: u.Run, Call: "c1", Digest: "d2", Approve: true}, wire.CodeConflict},
		"another call":    {grace, wire.ToolDecision{Run: u.Run, Call: "c2", Digest: "d1", Approve: true}, wire.CodeNotFound},
		"another run":     {grace, wire.ToolDecision{Run: "run-x", Call: "c1", Digest: "d1", Approve: true}, wire.CodeNotFound},
	} {
		if r := ask(t, func(a rooms.Answer) { tt.by.DecideTool(tt.msg, a) }); r.code() != tt.code {
			t.Errorf("%s: %v", name, r.err)
		}
	}
	if r := ask(t, func(a rooms.Answer) {
		ada.DecideTool(wire.ToolDecision{Run: u.Run, Call: "c1", Digest: "d1", Approve: true}, a)
	}); r.err != nil {
		t.Error(r.err)
	}
	if !<-word {
		t.Error("what was granted is not")
	}
	go func() {
		word <- u.Approve(wire.ToolApproval{Call: "c2", Tool: "file", Input: json.RawMessage(`{}`), Digest: "d2"})
	}()
	grace.next(wire.KindToolApproval, 3)
	if r := ask(t, func(a rooms.Answer) { grace.CancelRun(wire.AICancel{Run: u.Run}, a) }); r.err != nil {
		t.Error(r.err)
	}
	if <-word {
		t.Error("a tool of a run that is over was granted")
	}
	wantGrammar(t, ada, u.Run, "agent-started", "tool-approval asked", "tool-approval granted", "tool-approval asked",
		"tool-approval expired", "agent-completed cancelled")
}

func TestRunBounds(t *testing.T) {
	_, bots, ada, _ := withBot(t)
	echo := bots.at(t, "lab", "echo")
	u := echo.answer(t, "ada")
	if !u.Write(strings.Repeat("é", wire.MaxTextBytes/2-1)) || u.Write("xé") || u.Write("more") {
		t.Error("the bound of an answer is elsewhere")
	}
	u.End(rooms.RunEnd{Status: wire.RunCompleted, Reason: wire.StreamLength})
	ada.next(wire.KindAgentCompleted, 1)
	if text := body[wire.ChatRecord](t, ada.next(wire.KindChat, 1)).Text; len(text) > wire.MaxTextBytes || !strings.HasSuffix(text, "éx") {
		t.Errorf("the answer has %d bytes and ends with %q", len(text), text[len(text)-4:])
	}
	for range 64 {
		echo.answer(t, "ada")
	}
	if _, err := echo.tryAnswer(t, "ada"); wire.AsError(err) == nil || wire.AsError(err).Code != wire.CodeRateLimited {
		t.Errorf("one more than the room takes: %v", err)
	}
}

// TestReceiptBounds: the log keeps a little of what tools were given and said, and of the first of them only.
func TestReceiptBounds(t *testing.T) {
	_, bots, ada, _ := withBot(t)
	u := bots.at(t, "lab", "echo").answer(t, "ada")
	for i := range 9 {
		call, long := fmt.Sprint("c", i), strings.Repeat("é", 501)
		u.ToolExecuting(wire.ToolExecuting{Call: call, Tool: "look", Title: "Looks", Input: json.RawMessage(`"` + long + `"`)})
		u.ToolCompleted(wire.ToolCompleted{Call: call, Tool: "look", Output: long, Error: long})
	}
	u.Write("done")
	u.End(rooms.RunEnd{Status: wire.RunCompleted})
	uses := body[wire.ChatRecord](t, ada.next(wire.KindChat, 1)).Run.Tools
	want := wire.ToolUse{Tool: "look", Title: "Looks", Input: `"` + strings.Repeat("é", 499), Output: strings.Repeat("é", 500), Error: strings.Repeat("é", 500)}
	if len(uses) != 9 || uses[0] != want || uses[7] != want || uses[8] != (wire.ToolUse{Tool: "look", Title: "Looks"}) {
		t.Errorf("%+v", uses)
	}
}

// TestOrphans: the process ends in the middle of answers; the next one ends them, once.
func TestOrphans(t *testing.T) {
	folder, bots := t.TempDir(), newPuppets()
	h, stop := openHouse(t, folder, rooms.Options{Bots: bots})
	ada := h.enter(moderator("p1", "ada"), "lab", nil)
	toggle(t, ada, "echo", true)
	echo := bots.at(t, "lab", "echo")
	wordless, half := echo.answer(t, "ada"), echo.answer(t, "ada")
	half.Write("We decided")
	ada.next(wire.KindStreamChunk, 1)
	stop()
	if half.Context().Err() == nil {
		t.Error("the run goes on after its process")
	}
	for range 2 {
		h, stop = openHouse(t, folder, rooms.Options{Bots: bots})
		ada = h.enter(moderator("p1", "ada"), "lab", nil)
		ada.until("both answers", func() bool {
			var joined wire.Joined
			texts := map[wire.RequestID]wire.ChatRecord{}
			for _, e := range ada.frames {
				switch e.Type {
				case wire.KindJoined:
					joined = body[wire.Joined](t, e)
					for _, c := range joined.History {
						texts[c.ID] = body[wire.ChatRecord](t, c)
					}
				case wire.KindChat:
					if _, twice := texts[e.ID]; twice {
						t.Errorf("%s came twice", e.ID)
					}
					texts[e.ID] = body[wire.ChatRecord](t, e)
				}
			}
			if len(texts) != 2 {
				return false
			}
			for id, want := range map[wire.RequestID]string{wire.RequestID(wordless.Run): "", wire.RequestID(half.Run): "We decided"} {
				if c := texts[id]; c.Text != want || c.Run == nil || c.Run.Status != wire.RunFailed || c.Run.Error == nil {
					t.Errorf("%s is %+v", id, c)
				}
			}
			return true
		})
		stop()
	}
}
