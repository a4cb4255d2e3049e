package rooms_test

import (
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"confab/rooms"
	"confab/signaling/wire"
)

// told collects what a registry tells.
type told[T any] struct {
	mu  sync.Mutex
	all []T // guarded by mu
}

func (l *told[T]) add(v T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, v)
}

func (l *told[T]) take() []T {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all
	l.all = nil
	return all
}

// check fails the test when an operator's request has failed.
func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func code(err error) wire.ErrorCode {
	if err == nil {
		return ""
	}
	return wire.AsError(err).Code
}

func TestOperator(t *testing.T) {
	h := newHouse(t, rooms.Options{})
	o, ctx := h.Operator(), t.Context()
	if _, err := o.Overview(ctx, "r"); code(err) != wire.CodeNotFound {
		t.Errorf("a room that never was: %v", err)
	}
	title, yes := "Planning", true
	view, err := o.Configure(ctx, "r", rooms.Setup{Title: &title, Locked: &yes})
	if check(t, err); view.Title != title || !view.Locked {
		t.Errorf("configured: %+v", view)
	}
	if _, refused := h.try(person("p1", "ann"), "r", nil); refused.code() != wire.CodeRoomLocked {
		t.Errorf("a room that an operator has locked: %v", refused.err)
	}
	boss := moderator("p2", "bea")
	bea := h.enter(boss, "r", nil)
	joined := body[wire.Joined](t, bea.next(wire.KindJoined, 1))
	if joined.Room == nil || joined.Room.Title == nil || *joined.Room.Title != title {
		t.Errorf("joined says %+v", joined.Room)
	}
	ask(t, bea.Leave)
	if view, err = o.Overview(ctx, "r"); err != nil || !view.Locked || len(view.Participants) != 0 {
		t.Errorf("after the meeting: %+v, %v", view, err)
	}
	bea = h.enter(boss, "r", nil)
	ask(t, func(answer rooms.Answer) { bea.Moderate(wire.Moderate{Action: wire.ActionUnlock}, answer) })
	ann := h.enter(person("p1", "ann"), "r", nil)

	as := wire.Author{User: "crm", Name: "CRM", Kind: wire.Bot}
	said, err := o.Say(ctx, "r", "", as, "order-7", wire.Chat{Text: "order 7 is here"})
	check(t, err)
	if again, err := o.Say(ctx, "r", "", as, "order-7", wire.Chat{Text: "order 7 is here"}); err != nil || again.Seq != said.Seq || !again.Duplicate {
		t.Errorf("a repeat: %+v, %v", again, err)
	}
	heard := ann.next(wire.KindChat, 1)
	if heard.Seq != said.Seq || heard.Author == nil || *heard.Author != as || ann.count(wire.KindChat) != 1 {
		t.Errorf("heard %+v", heard)
	}
	if _, err := o.Say(ctx, "r", "plans", as, "t-1", wire.Chat{Text: "in a thread"}); err != nil {
		t.Error(err)
	}
	page, err := o.History(ctx, "r", "", wire.History{})
	check(t, err)
	if text, _ := json.Marshal(page); !strings.Contains(string(text), "order 7 is here") {
		t.Errorf("history: %s", text)
	}

	check(t, o.Moderate(ctx, "r", wire.Moderate{Action: wire.ActionKick, Participant: "p1"}))
	ann.until("kicked", func() bool { return ann.removed == wire.Kicked })
	if err := o.Moderate(ctx, "r", wire.Moderate{Action: wire.ActionKick, Participant: "p1"}); code(err) != wire.CodeNotFound {
		t.Errorf("kicked twice: %v", err)
	}
	all, more, err := o.Overviews(ctx, "", 10)
	if err != nil || more || len(all) != 1 || len(all[0].Participants) != 1 || all[0].Participants[0].User != "bea" {
		t.Errorf("rooms: %+v, %t, %v", all, more, err)
	}

	check(t, o.End(ctx, "r", true))
	bea.until("ended", func() bool { return bea.removed == wire.Ended })
	page, err = o.History(ctx, "r", "", wire.History{})
	check(t, err)
	if text, _ := json.Marshal(page); strings.Contains(string(text), "order 7") {
		t.Errorf("history after the end: %s", text)
	}
	if view, err := o.Overview(ctx, "r"); err != nil || view.Title != "" || view.Locked {
		t.Errorf("erased: %+v, %v", view, err)
	}
	ann = h.enter(person("p1", "ann"), "r", nil)
	joined = body[wire.Joined](t, ann.next(wire.KindJoined, 1))
	if len(joined.History) != 0 || slices.ContainsFunc(joined.Threads, func(s wire.ThreadSummary) bool { return s.Messages > 0 }) {
		t.Errorf("who comes later finds %+v, %+v", joined.History, joined.Threads)
	}
	ask(t, ann.Leave)
}

func TestEvents(t *testing.T) {
	events := &told[rooms.Event]{}
	h := newHouse(t, rooms.Options{Events: events.add})
	kindsOf := func() string {
		var b strings.Builder
		for _, e := range events.take() {
			b.WriteString(string(e.Kind) + " ")
			if e.Room != "r" || e.Time.IsZero() {
				t.Errorf("%+v", e)
			}
			if e.Participant != nil {
				b.WriteString(string(e.Participant.User) + " ")
			}
			if e.Message != nil {
				b.WriteString(string(e.Message.Thread) + "/" + e.Message.Text + " ")
			}
			if e.Reason != "" {
				b.WriteString(e.Reason + " ")
			}
		}
		return strings.TrimSpace(b.String())
	}
	want := func(want string) {
		t.Helper()
		if got := kindsOf(); got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	ann := h.enter(person("p1", "ann"), "r", nil)
	want("room.started participant.joined ann")
	ben := h.enter(person("p2", "ben"), "r", nil)
	ann.say("c1", "hello")
	ask(t, func(a rooms.Answer) { ann.Chat("c1", "", wire.Chat{Text: "hello"}, a) }) // a repeat tells nothing
	ask(t, func(a rooms.Answer) { ann.Chat("c2", "plans", wire.Chat{Text: "there"}, a) }).seq(t)
	ben.next(wire.KindChat, 1)
	want("participant.joined ben message.created /hello message.created plans/there")
	ben.Disconnect()
	ben = h.enter(person("p2", "ben"), "r", nil)
	want("") // nobody saw it leave
	ask(t, ann.Leave)
	ask(t, ben.Leave)
	want("participant.left ann left participant.left ben left room.ended")
}

func TestMeetingGoesOnOverARestart(t *testing.T) {
	events, folder := &told[rooms.Event]{}, t.TempDir()
	h, closeHouse := openHouse(t, folder, rooms.Options{Events: events.add})
	ann := h.enter(person("p1", "ann"), "r", nil)
	ask(t, func(a rooms.Answer) { ann.Chat("c", "t", wire.Chat{Text: "x"}, a) }) // stored after the document that is under way
	closeHouse()
	events.take()
	h, closeHouse = openHouse(t, folder, rooms.Options{Events: events.add})
	defer closeHouse()
	ann = h.enter(person("p1", "ann"), "r", nil)
	ask(t, ann.Leave)
	var kinds []rooms.EventKind
	for _, e := range events.take() {
		kinds = append(kinds, e.Kind)
	}
	if want := []rooms.EventKind{rooms.ParticipantJoined, rooms.ParticipantLeft, rooms.RoomEnded}; !slices.Equal(kinds, want) {
		t.Errorf("told %v, want %v", kinds, want)
	}
}

func TestAudit(t *testing.T) {
	acts := &told[rooms.Act]{}
	h := newHouse(t, rooms.Options{Audit: acts.add})
	boss := moderator("p1", "ann")
	boss.Address = netip.MustParsePrefix("192.0.2.7/32")
	ann := h.enter(boss, "r", nil)
	ben := h.enter(person("p2", "ben"), "r", nil)
	moderate := func(m *guest, msg wire.Moderate) {
		ask(t, func(a rooms.Answer) { m.Moderate(msg, a) })
	}
	own := ann.say("c1", "secret words")
	other := ben.say("c2", "secret words")
	moderate(ben, wire.Moderate{Action: wire.ActionKick, Participant: "p1"})
	moderate(ann, wire.Moderate{Action: wire.ActionPromote, Participant: "p2"})
	moderate(ann, wire.Moderate{Action: wire.ActionLock})
	ask(t, func(a rooms.Answer) { ann.ToggleBot(wire.BotToggle{Bot: "none", Enabled: true}, a) })
	ask(t, func(a rooms.Answer) { ann.Delete("d1", "", wire.Delete{Message: own}, a) }) // her own: nobody's business
	ask(t, func(a rooms.Answer) { ann.Delete("d2", "", wire.Delete{Message: other}, a) })
	moderate(ann, wire.Moderate{Action: wire.ActionBan, Participant: "p2"})
	check(t, h.Operator().Moderate(t.Context(), "r", wire.Moderate{Action: wire.ActionEnd})) // told by who operates
	type line struct {
		user    wire.UserID
		action  wire.Action
		target  wire.UserID
		refused wire.ErrorCode
	}
	var got []line
	for _, act := range acts.take() {
		got = append(got, line{act.User, act.Action, act.TargetUser, act.Refused})
		if act.Room != "r" || act.Time.IsZero() || act.Participant == "" || act.User == "ann" && act.Address != boss.Address {
			t.Errorf("%+v", act)
		}
	}
	want := []line{
		{"ben", wire.ActionKick, "ann", wire.CodeForbidden}, {"ann", wire.ActionPromote, "ben", ""}, {"ann", wire.ActionLock, "", ""},
		{"ann", rooms.ActBotToggle, "", wire.CodeNotFound}, {"ann", rooms.ActDelete, "ben", ""}, {"ann", wire.ActionBan, "ben", ""},
	}
	if !slices.Equal(got, want) {
		t.Errorf("told %v\nwant %v", got, want)
	}
}
