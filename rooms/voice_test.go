package rooms_test

import (
	"testing"

	"confab/rooms"
	"confab/signaling/wire"
)

// speaking waits for the n-th thing that a guest is told of a bot's microphone.
func (g *guest) speaking(t *testing.T, n int) bool {
	t.Helper()
	e := g.next(wire.KindMediaState, n)
	if e.From != "bot-echo" {
		t.Errorf("media-state of %s", e.From)
	}
	return body[wire.MediaState](t, e).Microphone
}

func TestBotVoice(t *testing.T) {
	bots := newPuppets()
	h := newHouse(t, rooms.Options{SFU: &notebook{}, MeshMax: 4, BackToMesh: 1, Bots: bots})
	boss := h.enter(moderator("b1", "boss"), "call", nil)
	ada := h.enter(person("a1", "ada"), "call", nil)
	viewer := person("v1", "vera")
	viewer.Grants = wire.RoleGrants(wire.RoleViewer)
	vera := h.enter(viewer, "call", nil)
	voice := func(g *guest, bot wire.BotID, speak bool) reply {
		t.Helper()
		return ask(t, func(a rooms.Answer) { g.SetBotVoice(wire.BotVoice{Bot: bot, Speak: &speak}, a) })
	}
	moderate := func(action wire.Action, source wire.Source) reply {
		t.Helper()
		return ask(t, func(a rooms.Answer) {
			boss.Moderate(wire.Moderate{Action: action, Participant: "bot-echo", Source: source}, a)
		})
	}
	if r := voice(ada, "echo", true); r.code() != wire.CodeNotFound {
		t.Errorf("a bot that is not in the room: %v", r.err)
	}
	for _, bot := range []wire.BotID{"echo", "parrot"} {
		if r := ask(t, func(a rooms.Answer) { boss.ToggleBot(wire.BotToggle{Bot: bot, Enabled: true}, a) }); r.err != nil {
			t.Fatal(r.err)
		}
	}
	for name, c := range map[string]struct {
		by   *guest
		bot  wire.BotID
		code wire.ErrorCode
	}{
		"who may not":           {vera, "echo", wire.CodeForbidden},
		"no such bot":           {ada, "ghost", wire.CodeNotFound},
		"a bot without a voice": {ada, "parrot", wire.CodeNotFound},
	} {
		if r := voice(c.by, c.bot, true); r.code() != c.code {
			t.Errorf("%s: %v", name, r.err)
		}
	}
	if r := moderate(wire.ActionMute, ""); r.err != nil || !r.body.(wire.Ack).Duplicate {
		t.Errorf("muting a bot that is silent: %+v", r)
	}

	echo := bots.at(t, "call", "echo")
	if r := voice(ada, "echo", true); r.err != nil || !vera.speaking(t, 1) || !echo.speaks() {
		t.Fatalf("it has no voice: %v", r.err)
	}
	if got := vera.mode(t, 1); got.Mode != wire.SFU || got.Reason != "a bot speaks" {
		t.Errorf("mode %+v", got)
	}
	late := h.enter(person("l1", "linus"), "call", nil)
	for _, p := range body[wire.Joined](t, late.next(wire.KindJoined, 1)).Participants {
		if p.ID == "bot-echo" && !p.Media.Microphone {
			t.Error("who comes later is not told that it speaks")
		}
	}
	if r := voice(boss, "echo", true); r.err != nil || !r.body.(wire.Ack).Duplicate {
		t.Errorf("again: %+v", r)
	}
	echo.place.Speaking(wire.AgentSpeaking{Run: "run-1", State: wire.SpeakingStarted})
	echo.place.Caption(wire.Caption{Participant: "bot-echo", Text: "Hello."})
	if e := vera.next(wire.KindAgentSpeaking, 1); e.From != "bot-echo" || body[wire.AgentSpeaking](t, e).State != wire.SpeakingStarted {
		t.Errorf("agent-speaking %+v", e)
	}
	if e := vera.next(wire.KindCaption, 1); body[wire.Caption](t, e).Text != "Hello." {
		t.Errorf("caption %+v", e)
	}

	if r := moderate(wire.ActionMute, wire.Camera); r.code() != wire.CodeForbidden {
		t.Errorf("its camera: %v", r.err)
	}
	if r := moderate(wire.ActionMute, ""); r.err != nil || vera.speaking(t, 2) || echo.speaks() {
		t.Errorf("mute: %v", r.err)
	}
	if got := vera.mode(t, 2); got.Mode != wire.Mesh {
		t.Errorf("mode %+v", got)
	}
	if r := voice(ada, "echo", true); r.code() != wire.CodeForbidden {
		t.Errorf("a member unmutes what a moderator has muted: %v", r.err)
	}
	if r := moderate(wire.ActionUnmute, ""); r.err != nil || !vera.speaking(t, 3) || !echo.speaks() {
		t.Errorf("unmute: %v", r.err)
	}
	if r := moderate(wire.ActionPromote, ""); r.code() != wire.CodeForbidden {
		t.Errorf("promote: %v", r.err)
	}

	// Everybody leaves: the next ones have not agreed to it.
	for _, g := range []*guest{boss, ada, vera, late} {
		ask(t, g.Leave)
	}
	if echo.speaks() {
		t.Error("it speaks to nobody")
	}
	next := h.enter(person("n1", "nora"), "call", nil)
	joined := body[wire.Joined](t, next.next(wire.KindJoined, 1))
	if joined.Media.Mode != wire.Mesh {
		t.Errorf("the next meeting: %+v", joined.Media)
	}
	again := bots.at(t, "call", "echo")
	if r := voice(next, "echo", true); r.err != nil || !again.speaks() {
		t.Fatalf("in the next meeting: %v", r.err)
	}
	if r := ask(t, func(a rooms.Answer) { next.ToggleBot(wire.BotToggle{Bot: "echo"}, a) }); r.err != nil {
		t.Fatal(r.err)
	}
	if got := next.mode(t, 2); got.Mode != wire.Mesh {
		t.Errorf("it was put out: %+v", got)
	}
}

func (s *puppet) speaks() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.voice
}
