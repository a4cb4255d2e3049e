package rooms_test

import (
	"slices"
	"testing"

	"confab/rooms"
	"confab/signaling/wire"
)

// hearing waits for the n-th thing that a guest is told of who hears.
func (g *guest) hearing(t *testing.T, n int) []wire.BotID {
	t.Helper()
	seen := 0
	for i := 1; ; i++ {
		if told := body[wire.RoomInfo](t, g.next(wire.KindRoom, i)).Hearing; told != nil {
			if seen++; seen == n {
				return *told
			}
		}
	}
}

func (s *puppet) hears() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hearing
}

func (s *puppet) questions() []rooms.Question {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// TestBotHears: a moderator lets a bot hear; everyone is told, and sees what is said; who calls it by its name asks it.
func TestBotHears(t *testing.T) {
	bots := newPuppets()
	h := newHouse(t, rooms.Options{SFU: &notebook{}, MeshMax: 4, BackToMesh: 1, Bots: bots})
	boss := h.enter(moderator("b1", "boss"), "call", nil)
	ada := h.enter(person("a1", "ada"), "call", nil)
	mute := person("m1", "mia")
	mute.Grants.Chat = false
	mia := h.enter(mute, "call", nil)
	for _, bot := range []wire.BotID{"echo", "parrot"} {
		if r := ask(t, func(a rooms.Answer) { boss.ToggleBot(wire.BotToggle{Bot: bot, Enabled: true}, a) }); r.err != nil {
			t.Fatal(r.err)
		}
	}
	hear := func(g *guest, bot wire.BotID, on bool) reply {
		t.Helper()
		return ask(t, func(a rooms.Answer) { g.SetBotVoice(wire.BotVoice{Bot: bot, Hear: &on}, a) })
	}
	if r := hear(ada, "echo", true); r.code() != wire.CodeForbidden {
		t.Errorf("a member lets it hear: %v", r.err)
	}
	if r := hear(boss, "parrot", true); r.code() != wire.CodeNotFound {
		t.Errorf("a bot without ears: %v", r.err)
	}
	echo := bots.at(t, "call", "echo")
	echo.place.Hear(rooms.Saying{Participant: ada.Participant, Text: "too early", Bots: []wire.BotID{"echo"}})
	if r := hear(boss, "echo", true); r.err != nil || !echo.hears() || echo.speaks() {
		t.Fatalf("it does not hear: %v", r.err)
	}
	if got := ada.hearing(t, 1); !slices.Equal(got, []wire.BotID{"echo"}) {
		t.Errorf("ada is told that %v hear", got)
	}
	if got := ada.mode(t, 1); got.Mode != wire.SFU || got.Reason != "a bot hears" {
		t.Errorf("mode %+v", got)
	}
	if r := hear(boss, "echo", true); r.err != nil || !r.body.(wire.Ack).Duplicate {
		t.Errorf("again: %+v", r)
	}
	late := h.enter(person("l1", "linus"), "call", nil)
	joined := body[wire.Joined](t, late.next(wire.KindJoined, 1))
	if joined.Room.Hearing == nil || !slices.Equal(*joined.Room.Hearing, []wire.BotID{"echo"}) || joined.Media.Mode != wire.SFU {
		t.Errorf("who comes later is told %+v", joined.Room)
	}

	echo.place.Hear(rooms.Saying{Participant: ada.Participant, Text: "Echo, are you there?", Bots: []wire.BotID{"echo", "parrot", "ghost"}})
	echo.place.Hear(rooms.Saying{Participant: mia.Participant, Text: "Echo, and me?", Bots: []wire.BotID{"echo"}})
	echo.place.Hear(rooms.Saying{Participant: "nobody", Text: "Echo?", Bots: []wire.BotID{"echo"}})
	echo.place.Hear(rooms.Saying{Participant: "bot-parrot", Text: "Echo?", Bots: []wire.BotID{"echo"}})
	echo.place.Hear(rooms.Saying{Participant: ada.Participant, Text: "Good."})
	for n, want := range []wire.Caption{
		{Participant: ada.Participant, Text: "Echo, are you there?", Final: true}, {Participant: mia.Participant, Text: "Echo, and me?", Final: true},
		{Participant: ada.Participant, Text: "Good.", Final: true},
	} {
		e := late.next(wire.KindCaption, n+1)
		if got := body[wire.Caption](t, e); got != want || e.From != want.Participant {
			t.Errorf("caption %d of %s: %+v", n+1, e.From, got)
		}
	}
	asked := echo.questions()
	if len(asked) != 1 || asked[0].By.User != "ada" || asked[0].Prompt != "Echo, are you there?" || !asked[0].Spoken || asked[0].Thread != "" {
		t.Errorf("it is asked %+v", asked)
	}
	if got := bots.at(t, "call", "parrot").questions(); len(got) != 0 {
		t.Errorf("a bot that does not hear is asked %+v", got)
	}

	if r := hear(ada, "echo", false); r.code() != wire.CodeForbidden {
		t.Errorf("a member keeps it from hearing: %v", r.err)
	}
	if r := hear(boss, "echo", false); r.err != nil || echo.hears() || len(ada.hearing(t, 2)) != 0 {
		t.Errorf("off: %v", r.err)
	}
	if got := ada.mode(t, 2); got.Mode != wire.Mesh {
		t.Errorf("mode %+v", got)
	}
}

// TestHearingEnds: with the bot, and with the meeting.
func TestHearingEnds(t *testing.T) {
	bots := newPuppets()
	h := newHouse(t, rooms.Options{SFU: &notebook{}, MeshMax: 4, BackToMesh: 1, Bots: bots})
	boss := h.enter(moderator("b1", "boss"), "call", nil)
	toggle := func(on bool) {
		t.Helper()
		if r := ask(t, func(a rooms.Answer) { boss.ToggleBot(wire.BotToggle{Bot: "echo", Enabled: on}, a) }); r.err != nil {
			t.Fatal(r.err)
		}
	}
	on := true
	hear := func() *puppet {
		t.Helper()
		if r := ask(t, func(a rooms.Answer) { boss.SetBotVoice(wire.BotVoice{Bot: "echo", Speak: &on, Hear: &on}, a) }); r.err != nil {
			t.Fatal(r.err)
		}
		echo := bots.at(t, "call", "echo")
		if !echo.hears() || !echo.speaks() {
			t.Fatal("it was given both, and has not")
		}
		return echo
	}
	toggle(true)
	echo := hear()
	toggle(false)
	if echo.hears() || len(boss.hearing(t, 2)) != 0 {
		t.Error("it was put out, and hears on")
	}
	toggle(true)
	echo = hear()
	ask(t, boss.Leave)
	if echo.hears() {
		t.Error("it hears an empty room")
	}
	next := h.enter(moderator("n1", "nora"), "call", nil)
	joined := body[wire.Joined](t, next.next(wire.KindJoined, 1))
	if joined.Room.Hearing == nil || len(*joined.Room.Hearing) != 0 || joined.Media.Mode != wire.Mesh {
		t.Errorf("the next meeting: %+v", joined.Room)
	}
}
