package rooms_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"confab/rooms"
	"confab/signaling/wire"
)

func botPerson(id, user string) rooms.Identity {
	p := person(id, user)
	p.Kind = wire.Bot
	return p
}

// reply says something in a thread.
func (g *guest) reply(thread wire.ThreadID, id wire.RequestID, text string) wire.Seq {
	g.t.Helper()
	return g.stored(id, func(a rooms.Answer) { g.Chat(id, thread, wire.Chat{Text: text}, a) })
}

// follow subscribes and returns the first frame of the thread.
func (g *guest) follow(thread wire.ThreadID, msg wire.SubscribeThread) wire.Envelope {
	g.t.Helper()
	n := g.count(wire.KindThreadHistory)
	if r := ask(g.t, func(a rooms.Answer) { g.SubscribeThread("s1", thread, msg, a) }); r.err != nil {
		g.t.Fatalf("subscribe to %q: %v", thread, r.err)
	}
	return g.next(wire.KindThreadHistory, n+1)
}

// inThread returns the logged messages that the guest got of a thread, once there are n.
func (g *guest) inThread(thread wire.ThreadID, n int) []wire.Envelope {
	g.t.Helper()
	var found []wire.Envelope
	g.until(fmt.Sprintf("%d messages in %q", n, thread), func() bool {
		found = nil
		for _, e := range g.frames {
			if e.Thread == thread && e.Seq != 0 && e.Author != nil {
				found = append(found, e)
			}
		}
		return len(found) >= n
	})
	return found
}

// summary waits until the guest was last told of a thread what ok wants.
func (g *guest) summary(thread wire.ThreadID, ok func(wire.ThreadSummary) bool) wire.ThreadSummary {
	g.t.Helper()
	var last wire.ThreadSummary
	g.until("the summary of "+string(thread), func() bool {
		found := false
		for _, e := range g.frames {
			if e.Type != wire.KindRoom {
				continue
			}
			for _, s := range body[wire.RoomInfo](g.t, e).Threads {
				if s.Thread == thread {
					last, found = s, true
				}
			}
		}
		return found && ok(last)
	})
	return last
}

func mustMarshal(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func on(seq wire.Seq) wire.ThreadID { return wire.ThreadID(fmt.Sprintf("m%d", seq)) }

func TestThreadReachesItsFollowers(t *testing.T) {
	h := newHouse(t, rooms.Options{})
	ann, bob, cas := h.enter(person("a1", "ann"), "r1", nil), h.enter(person("b1", "bob"), "r1", nil), h.enter(person("c1", "cas"), "r1", nil)
	root := ann.say("m1", "  Shall we\nmeet at "+strings.Repeat("noon, ", 20))
	thread := on(root)
	first := body[wire.ThreadHistory](t, bob.follow(thread, wire.SubscribeThread{}))
	if len(first.Messages) != 0 || first.Recovered || first.More || first.Epoch == "" {
		t.Errorf("a thread without messages begins with %+v", first)
	}
	one := ann.reply(thread, "t1", "one") // who does not follow may write
	main := ann.say("m2", "meanwhile")
	two := bob.reply(thread, "t2", "two")
	got := bob.inThread(thread, 2)
	if got[0].Seq != one || got[0].Prev != 0 || got[1].Seq != two || got[1].Prev != one || got[0].Author.User != "ann" {
		t.Errorf("bob got %+v", got)
	}
	if e := cas.next(wire.KindChat, 2); e.Seq != main || e.Prev != root {
		t.Errorf("the main timeline went on with %+v", e)
	}
	s := cas.summary(thread, func(s wire.ThreadSummary) bool { return s.Messages == 2 })
	if s.Last.Seq != two || s.Last.TS == 0 || s.Last.User != "bob" || !strings.HasPrefix(s.Title, "Shall we meet at noon,") || len(s.Title) != wire.MaxThreadTitle {
		t.Errorf("the summary is %+v", s)
	}
	late := body[wire.Joined](t, h.enter(person("d1", "dan"), "r1", nil).next(wire.KindJoined, 1))
	s.Unread = 2
	if len(late.Threads) != 1 || fmt.Sprint(late.Threads[0]) != fmt.Sprint(s) || len(late.History) != 2 {
		t.Errorf("a newcomer is told of %+v", late.Threads)
	}
	window := body[wire.ThreadHistory](t, cas.follow(thread, wire.SubscribeThread{}))
	if len(window.Messages) != 2 || window.Messages[1].Seq != two {
		t.Errorf("who follows later begins with %+v", window)
	}
	if ask(t, func(a rooms.Answer) { cas.UnsubscribeThread(thread, a) }).err != nil {
		t.Error("unsubscribe failed")
	}
	three := ann.reply(thread, "t3", "three")
	bob.inThread(thread, 3)
	cas.summary(thread, func(s wire.ThreadSummary) bool { return s.Last.Seq == three })
	if n := len(cas.inThread(thread, 0)); n != 0 {
		t.Errorf("after it has unsubscribed cas got %d messages", n)
	}
	if n := len(ann.inThread(thread, 0)); n != 0 {
		t.Errorf("ann does not follow the thread and got %d messages of it", n)
	}
}

func TestThreadResume(t *testing.T) {
	h := newHouse(t, rooms.Options{History: 4})
	ann, bob := h.enter(person("a1", "ann"), "r1", nil), h.enter(person("b1", "bob"), "r1", nil)
	thread := wire.ThreadID("planning")
	epoch := body[wire.ThreadHistory](t, bob.follow(thread, wire.SubscribeThread{})).Epoch
	seen := ann.reply(thread, "t0", "0")
	bob.inThread(thread, 1)
	bob.Disconnect()
	for i := 1; i <= 3; i++ {
		ann.reply(thread, wire.RequestID(fmt.Sprint("t", i)), fmt.Sprint(i))
	}
	again := h.enter(person("b1", "bob"), "r1", nil)
	frame := again.follow(thread, wire.SubscribeThread{Since: &wire.Cursor{Seq: seen, Epoch: epoch}})
	got := body[wire.ThreadHistory](t, frame)
	if !got.Recovered || len(got.Messages) != 3 || got.Messages[0].Prev != seen || frame.Seq != got.Messages[2].Seq {
		t.Errorf("resumed with %+v", got)
	}
	if n := len(bob.inThread(thread, 0)); n != 1 {
		t.Errorf("the lost connection got %d messages", n)
	}
	other := body[wire.ThreadHistory](t, again.follow(thread, wire.SubscribeThread{Since: &wire.Cursor{Seq: seen, Epoch: "another"}}))
	if other.Recovered || len(other.Messages) != 4 {
		t.Errorf("with a cursor of another epoch: %+v", other)
	}
	for i := range 20 { // more than the log keeps
		again.reply(thread, wire.RequestID(fmt.Sprint("u", i)), "x")
	}
	far := body[wire.ThreadHistory](t, again.follow(thread, wire.SubscribeThread{Since: &wire.Cursor{Seq: seen, Epoch: epoch}}))
	if far.Recovered || len(far.Messages) != 4 || !far.More {
		t.Errorf("with a cursor that is not reached back to: recovered=%v, %d messages, more=%v", far.Recovered, len(far.Messages), far.More)
	}
	if s := again.summary(thread, func(s wire.ThreadSummary) bool { return s.Messages == 24 }); s.Title != "" {
		t.Errorf("a thread that hangs on nothing has the title %q", s.Title)
	}
}

// A request is known by its user and id in the whole room: in another thread it is a repeat.
func TestThreadRepeat(t *testing.T) {
	h := newHouse(t, rooms.Options{})
	ann, bob := h.enter(person("a1", "ann"), "r1", nil), h.enter(person("b1", "bob"), "r1", nil)
	elsewhere := h.enter(person("a1", "ann"), "r2", nil)
	first := ann.reply("one", "t1", "once")
	for _, thread := range []wire.ThreadID{"one", "two", ""} {
		r := ask(t, func(a rooms.Answer) { ann.Chat("t1", thread, wire.Chat{Text: "again"}, a) })
		if ack, ok := r.body.(wire.Ack); !ok || !ack.Duplicate || ack.Seq != first {
			t.Errorf("repeated in %q: %+v, %v", thread, r.body, r.err)
		}
	}
	if seq := bob.reply("one", "t1", "another's"); seq == first {
		t.Error("one user's id suppressed another's message")
	}
	elsewhere.reply("one", "t1", "in another room")
	if window := body[wire.ThreadHistory](t, elsewhere.follow("one", wire.SubscribeThread{})); len(window.Messages) != 1 {
		t.Errorf("an id suppressed a message in another room: %+v", window)
	}
	window := body[wire.ThreadHistory](t, bob.follow("one", wire.SubscribeThread{}))
	if len(window.Messages) != 2 {
		t.Errorf("the thread has %d messages, want 2", len(window.Messages))
	}
	if empty := body[wire.ThreadHistory](t, bob.follow("two", wire.SubscribeThread{})); len(empty.Messages) != 0 {
		t.Errorf("the other thread has %+v", empty.Messages)
	}
}

func TestThreadRequests(t *testing.T) {
	h := newHouse(t, rooms.Options{})
	ann, bob := h.enter(person("a1", "ann"), "r1", nil), h.enter(person("b1", "bob"), "r1", nil)
	mod := h.enter(moderator("m1", "mia"), "r1", nil)
	gone := ann.say("g1", "soon gone")
	ann.stored("g2", func(a rooms.Answer) { ann.Delete("g2", "", wire.Delete{Message: gone}, a) })
	root := ann.say("m1", "root")
	thread := on(root)
	seq := ann.reply(thread, "t1", "first words")
	bob.follow(thread, wire.SubscribeThread{})
	tests := []struct {
		name    string
		request func(rooms.Answer)
		code    wire.ErrorCode
	}{
		{"on no message", func(a rooms.Answer) { ann.Chat("x1", on(root+999), wire.Chat{Text: "x"}, a) }, wire.CodeNotFound},
		{"on a deleted message", func(a rooms.Answer) { ann.Chat("x2", on(gone), wire.Chat{Text: "x"}, a) }, wire.CodeNotFound},
		{"a private one by name", func(a rooms.Answer) { ann.Chat("x3", "dm-1", wire.Chat{Text: "x"}, a) }, wire.CodeNotFound},
		{"subscribe without a name", func(a rooms.Answer) { ann.SubscribeThread("x4", "", wire.SubscribeThread{}, a) }, wire.CodeBadMessage},
		{"private with a person", func(a rooms.Answer) {
			ann.SubscribeThread("x5", "", wire.SubscribeThread{Private: "bob"}, a)
		}, wire.CodeNotFound},
		{"edit another's", func(a rooms.Answer) { bob.Edit("e1", thread, wire.Edit{Message: seq, Text: "x"}, a) }, wire.CodeForbidden},
		{"edit from another timeline", func(a rooms.Answer) { ann.Edit("e2", "", wire.Edit{Message: seq, Text: "x"}, a) }, wire.CodeNotFound},
		{"edit own", func(a rooms.Answer) { ann.Edit("e3", thread, wire.Edit{Message: seq, Text: "better"}, a) }, ""},
		{"react", func(a rooms.Answer) {
			bob.React("e4", thread, wire.Reaction{Message: seq, Emoji: "👍", On: true}, a)
		}, ""},
		{"reply to what is elsewhere", func(a rooms.Answer) { bob.Chat("e5", thread, wire.Chat{Text: "x", ReplyTo: seq + 999}, a) }, wire.CodeNotFound},
		{"clear by a member", func(a rooms.Answer) { ann.Clear("e6", thread, wire.Clear{}, a) }, wire.CodeForbidden},
		{"history of what nobody has written in", func(a rooms.Answer) { ann.History("none", wire.History{}, a) }, wire.CodeNotFound},
		{"read what is not there", func(a rooms.Answer) { bob.Read(thread, wire.Read{Seq: seq + 999}, a) }, wire.CodeNotFound},
		{"read in no thread", func(a rooms.Answer) { bob.Read("none", wire.Read{Seq: 1}, a) }, wire.CodeNotFound},
		{"type in no thread", func(a rooms.Answer) { bob.Typing("none", wire.Typing{Typing: true}, a) }, wire.CodeNotFound},
		{"leave what was not followed", func(a rooms.Answer) { bob.UnsubscribeThread("none", a) }, ""},
	}
	for _, tt := range tests {
		if r := ask(t, tt.request); r.code() != tt.code {
			t.Errorf("%s: %v, want code %q", tt.name, r.err, tt.code)
		}
	}
	bob.inThread(thread, 2) // the edit and the reaction
	page := ask(t, func(a rooms.Answer) { mod.History(thread, wire.History{}, a) })
	text := string(mustMarshal(t, page.body))
	if !strings.Contains(text, `"better"`) || !strings.Contains(text, "👍") || strings.Contains(text, "root") || !strings.Contains(text, `"more":false`) {
		t.Errorf("a page of the thread: %s", text)
	}
	late := h.enter(person("c1", "cas"), "r1", nil)
	mod.stored("c1", func(a rooms.Answer) { mod.Clear("c1", thread, wire.Clear{}, a) })
	bob.next(wire.KindClear, 1)
	late.summary(thread, func(s wire.ThreadSummary) bool { return s.Messages == 0 })
	if got := body[wire.ThreadHistory](t, late.follow(thread, wire.SubscribeThread{})); len(got.Messages) != 0 {
		t.Errorf("after the clear there is %+v", got)
	}
	if n := len(body[wire.Joined](t, h.enter(person("d1", "dan"), "r1", nil).next(wire.KindJoined, 1)).Threads); n != 0 {
		t.Errorf("a cleared thread is listed")
	}
}

func TestThreadState(t *testing.T) {
	h := newHouse(t, rooms.Options{})
	ann, bob, cas := h.enter(person("a1", "ann"), "r1", nil), h.enter(person("b1", "bob"), "r1", nil), h.enter(person("c1", "cas"), "r1", nil)
	bob2 := h.enter(person("b2", "bob"), "r1", nil)
	one, two := ann.reply("talk", "t1", "one"), ann.reply("talk", "t2", "two")
	for _, g := range []*guest{ann, bob} {
		g.follow("talk", wire.SubscribeThread{})
	}
	ask(t, func(a rooms.Answer) { bob.Typing("talk", wire.Typing{Typing: true}, a) })
	if e := ann.next(wire.KindTyping, 1); e.Thread != "talk" || e.From != "b1" {
		t.Errorf("typing came as %+v", e)
	}
	ask(t, func(a rooms.Answer) { bob.Typing("", wire.Typing{Typing: true}, a) }) // no longer in the thread
	if e := ann.next(wire.KindTyping, 2); e.Thread != "talk" || body[wire.Typing](t, e).Typing {
		t.Errorf("typing elsewhere ended it with %+v", e)
	}
	if e := cas.next(wire.KindTyping, 1); e.Thread != "" {
		t.Errorf("cas, who does not follow the thread, saw %+v", e)
	}
	unread := func() int {
		joined := body[wire.Joined](t, h.enter(person("b3", "bob"), "r1", nil).next(wire.KindJoined, 1))
		if len(joined.Threads) != 1 {
			t.Fatalf("threads: %+v", joined.Threads)
		}
		return joined.Threads[0].Unread
	}
	if n := unread(); n != 2 {
		t.Errorf("%d unread, want 2", n)
	}
	ask(t, func(a rooms.Answer) { bob.Read("talk", wire.Read{Seq: one}, a) })
	for _, g := range []*guest{ann, bob2} { // a follower, and the reader's own other client
		if e := g.next(wire.KindRead, 1); e.Thread != "talk" || e.From != "b1" || body[wire.Read](t, e).Seq != one {
			t.Errorf("read came as %+v", e)
		}
	}
	if n := unread(); n != 1 {
		t.Errorf("%d unread, want 1", n)
	}
	ask(t, func(a rooms.Answer) { bob.Read("talk", wire.Read{Seq: two}, a) })
	if n := unread(); n != 0 {
		t.Errorf("%d unread, want none", n)
	}
	if reads := body[wire.ThreadHistory](t, bob2.follow("talk", wire.SubscribeThread{})).Reads; reads["bob"] != two || reads["ann"] != two {
		t.Errorf("who follows it is told that %v have read", reads)
	}
	if cas.count(wire.KindRead) != 0 {
		t.Error("cas, who does not follow the thread, was told who has read it")
	}
}

func TestPrivateThread(t *testing.T) {
	folder := t.TempDir()
	h, closeHouse := openHouse(t, folder, rooms.Options{})
	ann, eve := h.enter(person("a1", "ann"), "r1", nil), h.enter(moderator("e1", "eve"), "r1", nil)
	bot, other := h.enter(botPerson("x1", "bot:scribe"), "r1", nil), h.enter(botPerson("y1", "bot:host"), "r1", nil)
	first := ann.follow("", wire.SubscribeThread{Private: "bot:scribe"})
	thread := first.Thread
	if !strings.HasPrefix(string(thread), "dm-") || !wire.ValidName(string(thread)) || strings.Contains(string(thread), "scribe") {
		t.Fatalf("the private thread is named %q", thread)
	}
	seq := ann.reply(thread, "t1", "between us")
	if got := bot.inThread(thread, 1); got[0].Seq != seq { // it hears it without having subscribed
		t.Errorf("the bot got %+v", got)
	}
	answer := bot.reply(thread, "t2", "quite so")
	if got := ann.inThread(thread, 2); got[1].Seq != answer || got[1].Author.Kind != wire.Bot {
		t.Errorf("ann got %+v", got)
	}
	s := ann.summary(thread, func(s wire.ThreadSummary) bool { return s.Messages == 2 })
	if !slices.Equal(s.With, []wire.UserID{"ann", "bot:scribe"}) {
		t.Errorf("the summary is %+v", s)
	}
	refused := func(who string, g *guest) {
		t.Helper()
		for name, request := range map[string]func(rooms.Answer){
			"subscribe": func(a rooms.Answer) { g.SubscribeThread("s", thread, wire.SubscribeThread{}, a) },
			"chat":      func(a rooms.Answer) { g.Chat("", thread, wire.Chat{Text: "x"}, a) },
			"edit":      func(a rooms.Answer) { g.Edit("", thread, wire.Edit{Message: seq, Text: "x"}, a) },
			"delete":    func(a rooms.Answer) { g.Delete("", thread, wire.Delete{Message: seq}, a) },
			"react":     func(a rooms.Answer) { g.React("", thread, wire.Reaction{Message: seq, Emoji: "x", On: true}, a) },
			"clear":     func(a rooms.Answer) { g.Clear("", thread, wire.Clear{}, a) },
			"history":   func(a rooms.Answer) { g.History(thread, wire.History{}, a) },
			"read":      func(a rooms.Answer) { g.Read(thread, wire.Read{Seq: seq}, a) },
			"typing":    func(a rooms.Answer) { g.Typing(thread, wire.Typing{Typing: true}, a) },
		} {
			if r := ask(t, request); r.code() != wire.CodeNotFound {
				t.Errorf("%s of %s: %v, want not-found", name, who, r.err)
			}
		}
	}
	refused("a moderator", eve)
	refused("another bot", other)
	if r := ask(t, func(a rooms.Answer) { ann.SubscribeThread("s", "dm-0", wire.SubscribeThread{Private: "bot:scribe"}, a) }); r.code() != wire.CodeBadMessage {
		t.Errorf("under another name: %v", r.err)
	}
	mine := bot.follow("", wire.SubscribeThread{Private: "ann"}) // the bot may begin, too
	if mine.Thread != thread || len(body[wire.ThreadHistory](t, mine).Messages) != 2 {
		t.Errorf("the bot's thread with ann is %+v", mine)
	}
	closeHouse()
	for _, g := range []*guest{eve, other} {
		if n := len(g.inThread(thread, 0)); n != 0 {
			t.Errorf("%s got %d messages of it", g.User, n)
		}
		g.until("nothing of it", func() bool {
			return !slices.ContainsFunc(g.frames, func(e wire.Envelope) bool {
				return strings.Contains(string(e.Data), string(thread))
			})
		})
	}

	h, closeHouse = openHouse(t, folder, rooms.Options{})
	defer closeHouse()
	eve = h.enter(moderator("e1", "eve"), "r1", nil)
	refused("a moderator after a restart", eve)
	if n := len(body[wire.Joined](t, eve.next(wire.KindJoined, 1)).Threads); n != 0 {
		t.Errorf("eve is told of %d threads", n)
	}
	ann = h.enter(person("a1", "ann"), "r1", nil)
	if got := body[wire.ThreadHistory](t, ann.follow(thread, wire.SubscribeThread{})); len(got.Messages) != 2 {
		t.Errorf("after the restart ann has %+v", got)
	}
	ann.stored("c1", func(a rooms.Answer) { ann.Clear("c1", thread, wire.Clear{}, a) }) // it is hers to clear
	until(t, "the cleared text is gone from storage", func() bool { return !stored(t, folder, "between us") })
}

// What a process had not written down of its threads is counted from the log by the next one; what was deleted in one
// is gone.
func TestThreadsSurviveRestart(t *testing.T) {
	folder := t.TempDir()
	h, closeHouse := openHouse(t, folder, rooms.Options{})
	ann := h.enter(person("a1", "ann"), "r1", nil)
	root := ann.say("m1", "the-root-of-it")
	thread := on(root)
	epoch := body[wire.ThreadHistory](t, ann.follow(thread, wire.SubscribeThread{})).Epoch
	seen := ann.reply(thread, "t1", "one")
	gone := ann.reply(thread, "t2", "words-that-must-vanish")
	ann.reply(thread, "t3", "three")
	ann.reply("other", "t4", "four")
	ann.stored("t5", func(a rooms.Answer) { ann.Delete("t5", thread, wire.Delete{Message: gone}, a) })
	until(t, "the deleted text is gone from storage", func() bool { return !stored(t, folder, "words-that-must-vanish") })
	closeHouse()

	h, closeHouse = openHouse(t, folder, rooms.Options{})
	ann = h.enter(person("a1", "ann"), "r1", nil)
	s := ann.summary(thread, func(s wire.ThreadSummary) bool { return s.Messages == 2 })
	if s.Title != "the-root-of-it" {
		t.Errorf("the summary is %+v", s)
	}
	ann.summary("other", func(s wire.ThreadSummary) bool { return s.Messages == 1 })
	got := body[wire.ThreadHistory](t, ann.follow(thread, wire.SubscribeThread{Since: &wire.Cursor{Seq: seen, Epoch: epoch}}))
	if !got.Recovered || len(got.Messages) != 3 { // the blanked message, three, and the delete
		t.Errorf("resumed over the restart with %+v", got)
	}
	ann.stored("d1", func(a rooms.Answer) { ann.Delete("d1", "", wire.Delete{Message: root}, a) })
	ann.summary(thread, func(s wire.ThreadSummary) bool { return s.Title == "" && s.Messages == 2 })
	until(t, "nothing of the root is left", func() bool { return !stored(t, folder, "the-root-of-it") })
	ask(t, func(a rooms.Answer) { ann.Leave(a) }) // the last one out has the counts written down
	until(t, "the counts are stored", func() bool { return stored(t, folder, `"name":"other","messages":1`) })
	closeHouse()

	h, closeHouse = openHouse(t, folder, rooms.Options{})
	defer closeHouse()
	threads := body[wire.Joined](t, h.enter(person("a1", "ann"), "r1", nil).next(wire.KindJoined, 1)).Threads
	if len(threads) != 2 || threads[0].Thread != "other" || threads[1].Messages != 2 || threads[1].Unread != 0 {
		t.Errorf("threads: %+v", threads)
	}
}

func TestThreadBounds(t *testing.T) {
	h := newHouse(t, rooms.Options{})
	ann := h.enter(person("a1", "ann"), "r1", nil)
	for i := range wire.MaxThreadsFollowed {
		ann.follow(wire.ThreadID(fmt.Sprint("t-", i)), wire.SubscribeThread{})
	}
	if r := ask(t, func(a rooms.Answer) { ann.SubscribeThread("s", "more", wire.SubscribeThread{}, a) }); r.code() != wire.CodeConflict {
		t.Errorf("one thread too many: %v", r.err)
	}
	ann.follow("t-0", wire.SubscribeThread{}) // again is not one more
	if n := ann.OpenThreads(); n != wire.MaxThreadsFollowed {
		t.Errorf("%d threads are in memory, want those that are followed", n)
	}
	ann.reply("t-0", "m1", "x")
	if r := ask(t, func(a rooms.Answer) { ann.UnsubscribeThread("t-0", a) }); r.err != nil {
		t.Error(r.err)
	}
	again := h.enter(person("a1", "ann"), "r1", nil) // joins anew, and follows nothing
	if n := again.OpenThreads(); n != 0 {
		t.Errorf("%d threads are in memory, and nobody follows any", n)
	}
	if got := body[wire.ThreadHistory](t, again.follow("t-0", wire.SubscribeThread{})); len(got.Messages) != 1 {
		t.Errorf("a thread that was cold begins with %+v", got)
	}
}

// Messages that many write at once into threads that do not exist yet are stored in order, and nothing is lost.
func TestThreadsBornAtOnce(t *testing.T) {
	h := newHouse(t, rooms.Options{})
	watcher := h.enter(person("w1", "wim"), "r1", nil)
	const writers, threads, each = 4, 3, 5
	answers := make(chan error, writers*threads*each)
	for i := range threads {
		watcher.follow(wire.ThreadID(fmt.Sprint("t", i)), wire.SubscribeThread{})
	}
	for w := range writers {
		g := h.enter(person(fmt.Sprint("p", w), fmt.Sprint("u", w)), "r1", nil)
		for i := range threads * each {
			thread := wire.ThreadID(fmt.Sprint("t", i%threads))
			g.Chat(wire.RequestID(fmt.Sprintf("%d-%d", w, i)), thread, wire.Chat{Text: fmt.Sprintf("%d %02d", w, i)}, func(_ wire.ServerMessage, err error) { answers <- err })
		}
	}
	for range writers * threads * each {
		select {
		case err := <-answers:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Fatal("no answer")
		}
	}
	for i := range threads {
		got := watcher.inThread(wire.ThreadID(fmt.Sprint("t", i)), writers*each)
		last := map[wire.UserID]string{}
		prev := wire.Seq(0)
		for _, e := range got {
			text := body[wire.Chat](t, e).Text
			if text <= last[e.Author.User] || e.Prev != prev {
				t.Errorf("thread %d: %q after %q, prev %d after %d", i, text, last[e.Author.User], e.Prev, prev)
			}
			last[e.Author.User], prev = text, e.Seq
		}
	}
}

// A bot's answer in a private thread is heard by its person alone, by one who comes in the middle too; and what a process
// leaves of it is ended by the next one, in the thread.
func TestRunInThread(t *testing.T) {
	folder, bots := t.TempDir(), newPuppets()
	h, stop := openHouse(t, folder, rooms.Options{Bots: bots})
	ada, grace := h.enter(moderator("p1", "ada"), "lab", nil), h.enter(person("p2", "grace"), "lab", nil)
	toggle(t, ada, "echo", true)
	thread := grace.follow("", wire.SubscribeThread{Private: wire.BotUser("echo")}).Thread
	echo := bots.at(t, "lab", "echo")
	start := func() *rooms.Run {
		runs := make(chan *rooms.Run, 1)
		echo.place.StartRun(rooms.RunStart{Thread: thread, AgentStarted: wire.AgentStarted{
			Run: rooms.NewRunID(), Bot: "echo", By: wire.Author{User: "grace", Name: "Grace", Kind: wire.Human},
		}}, func(u *rooms.Run, err error) {
			if err != nil {
				t.Error(err)
			}
			runs <- u
		})
		return <-runs
	}
	u := start()
	u.Write("Between ")
	grace.next(wire.KindStreamChunk, 1)
	again := h.enter(person("p3", "grace"), "lab", nil)
	if runs := body[wire.Joined](t, again.next(wire.KindJoined, 1)).Runs; len(runs) != 0 {
		t.Errorf("joined speaks of %+v", runs)
	}
	if runs := body[wire.ThreadHistory](t, again.follow(thread, wire.SubscribeThread{})).Runs; len(runs) != 1 || runs[0].Text != "Between " || runs[0].Thread != thread {
		t.Errorf("the thread's first frame speaks of %+v", runs)
	}
	if r := ask(t, func(a rooms.Answer) { ada.CancelRun(wire.AICancel{Run: u.Run}, a) }); r.code() != wire.CodeForbidden {
		t.Errorf("a moderator who may not see the thread: %v", r.err)
	}
	u.Write("us")
	u.End(rooms.RunEnd{Status: wire.RunCompleted})
	wantGrammar(t, grace, u.Run, "agent-started", "stream-start", "stream-chunk 0 Between ", "stream-chunk 8 us", "stream-end 10 stop",
		"chat Between us", "agent-completed completed")
	wantGrammar(t, again, u.Run, "stream-chunk 8 us", "stream-end 10 stop", "chat Between us", "agent-completed completed")
	answer := grace.inThread(thread, 1)[0]
	for name, tt := range map[string]struct {
		by   *guest
		in   wire.ThreadID
		msg  wire.AIRequest
		code wire.ErrorCode
	}{
		"in its thread":    {grace, thread, wire.AIRequest{Bot: "echo", Regenerate: answer.Seq}, ""},
		"in the room":      {grace, "", wire.AIRequest{Bot: "echo", Regenerate: answer.Seq}, wire.CodeNotFound},
		"by another":       {ada, thread, wire.AIRequest{Bot: "echo", Regenerate: answer.Seq}, wire.CodeNotFound},
		"about what is in": {grace, thread, wire.AIRequest{Bot: "echo", Prompt: "why?", ReplyTo: answer.Seq}, ""},
	} {
		if r := ask(t, func(a rooms.Answer) { tt.by.Ask("q", tt.in, tt.msg, a) }); r.code() != tt.code {
			t.Errorf("asking %s: %v", name, r.err)
		}
	}
	if n := len(ada.grammar(u.Run)); n != 0 {
		t.Errorf("ada was told of %d things of it", n)
	}
	half := start()
	half.Write("We decided")
	grace.next(wire.KindStreamChunk, 3)
	stop()

	h, stop = openHouse(t, folder, rooms.Options{Bots: bots})
	defer stop()
	grace = h.enter(person("p2", "grace"), "lab", nil)
	grace.summary(thread, func(s wire.ThreadSummary) bool { return s.Messages == 2 })
	got := body[wire.ThreadHistory](t, grace.follow(thread, wire.SubscribeThread{})).Messages
	last := body[wire.ChatRecord](t, got[len(got)-1])
	if len(got) != 2 || last.Text != "We decided" || last.Run == nil || last.Run.Status != wire.RunFailed {
		t.Errorf("after the restart: %+v", got)
	}
}
