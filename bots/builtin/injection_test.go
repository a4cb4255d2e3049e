package builtin

import (
	"errors"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"confab/bots/address"
	"confab/bots/provider"
	"confab/bots/tool"
	"confab/bots/tool/tooltest"
)

// questions that read what people wrote, are called, or were told of tools.
var questions = []struct{ skill, text string }{
	{Scribe, "minutes"}, {Scribe, "summary"}, {Scribe, "what did I miss?"}, {Scribe, "decisions"}, {Scribe, "action items"}, {Scribe, "open questions"}, {Scribe, "topics"},
	{Librarian, "who said pineapple?"}, {Librarian, "find pineapple"}, {Librarian, "when was pineapple mentioned?"}, {Librarian, "how often was pineapple mentioned?"},
	{Host, "who is here?"}, {Host, "who has a hand raised?"}, {Host, "stand-up order"}, {Host, "pick someone"}, {Host, "speaking time"}, {Host, "my connection?"}, {Host, "poll result"},
	{Companion, "hello"},
}

// hostileTexts reads testdata/injection.txt.
func hostileTexts(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("testdata/injection.txt")
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, "# H") || strings.HasPrefix(line, "# is") {
			continue
		}
		text, err := strconv.Unquote(`"` + line + `"`)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		texts = append(texts, text)
	}
	return texts
}

// hostileRoom has a text said in the ways that answers quote, by somebody of a name.
func hostileRoom(t *testing.T, text, name string) *tooltest.Room {
	room := newRoom(t, "testdata/room.txt")
	say := func(text string) {
		room.Add(tool.Message{User: "mal", Name: name, Time: now.Add(-time.Minute), Text: text})
	}
	say(text)
	say("pineapple " + text)
	say("Decision: " + text)
	say("Action: " + text)
	say("I will send the pineapple by " + text)
	say("Why is the pineapple " + text + "?")
	room.People = append(room.People, tool.Participant{ID: "p9", User: "mal", Name: name, Hand: true, Joined: now})
	room.Spoken["mal"] = time.Minute
	return room
}

// TestInjection asks everything in rooms in which somebody tries to command the bot, or to forge what others said. The
// tools that are called are those of a harmless room, whatever is said; each line that cites says what was said there.
func TestInjection(t *testing.T) {
	texts := hostileTexts(t)
	if len(texts) < 60 {
		t.Fatalf("%d texts", len(texts))
	}
	for _, q := range questions {
		want, _ := newSession(hostileRoom(t, "harmless", "Mal"), q.skill).ask(t, q.text)
		for _, text := range texts {
			room := hostileRoom(t, text, text)
			before := len(room.Said())
			calls, answer := newSession(room, q.skill).ask(t, q.text)
			if !slices.Equal(calls, want) {
				t.Errorf("%s: %q makes it call %v, want %v", q.text, text, calls, want)
			}
			if after := room.Said(); len(after) != before || len(room.Reminders()) > 0 {
				t.Errorf("%s: %q makes it act: %v", q.text, text, after[before:])
			}
			checkAnswer(t, room, answer)
			checkQuoting(t, room, answer)
		}
	}
}

var (
	quotingLine = regexp.MustCompile(`^- \[[^\[\]]*\]\(#m(\d+)\): (.*)$`)
	// What the engine itself writes: citations, and code for what can be typed.
	ownMarkup = regexp.MustCompile("\\[[^\\[\\]]*\\]\\(#m\\d+\\)|`(?:poll|agenda|timer|roll|remind)[^`]*`")
	active    = regexp.MustCompile("[`\\[\\]<>~|@&#]|://|(?i:www\\.)|!\\[")
)

// checkQuoting: a line that cites holds what that message says, and without what is escaped and the engine's own, nothing
// in an answer is more than text.
func checkQuoting(t *testing.T, room *tooltest.Room, answer string) {
	t.Helper()
	for line := range strings.Lines(structure(answer)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.ContainsFunc(line, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || r == '\u202e' }) {
			t.Errorf("control characters in %q", line)
		}
		if m := quotingLine.FindStringSubmatch(line); m != nil {
			checkSaid(t, room, m[1], unstructured(m[2]))
		}
		if left := active.FindString(strings.TrimPrefix(ownMarkup.ReplaceAllString(line, ""), "> ")); left != "" {
			t.Errorf("%q is active in %q", left, line)
		}
	}
}

func checkSaid(t *testing.T, room *tooltest.Room, number, quoted string) {
	t.Helper()
	seq, _ := strconv.ParseUint(number, 10, 64)
	all := room.Said()
	i := slices.IndexFunc(all, func(m tool.Message) bool { return m.Seq == seq })
	// Without white space, which may be told in another way, and list marks, which a sentence is told without.
	bare := func(text string) string {
		return strings.NewReplacer(" ", "", "\u0085", "").Replace(tool.Said(tool.Plain(text, 0)))
	}
	said := strings.TrimSuffix(bare(quoted), "…")
	if i < 0 || !strings.Contains(bare(all[i].Text), said) {
		t.Errorf("message %s does not say %q", number, quoted)
	}
}

// TestInjectionByTools: what a tool says when it fails is shown as text.
func TestInjectionByTools(t *testing.T) {
	for _, text := range hostileTexts(t) {
		s := newSession(newRoom(t, "testdata/room.txt"), Scribe)
		s.room.Err = errors.New(text)
		calls, answer := s.ask(t, "minutes")
		if !slices.Equal(calls, []string{tool.ReadMessages}) {
			t.Errorf("%q: calls %v", text, calls)
		}
		checkQuoting(t, s.room, answer)
	}
}

// TestInjectionByQuestions: a question that is hostile itself is repeated only as text.
func TestInjectionByQuestions(t *testing.T) {
	for _, text := range hostileTexts(t) {
		for _, q := range []struct{ skill, text string }{{Librarian, "who said " + text + "?"}, {Companion, "I like " + text}, {Companion, "what time is it in " + text}, {Host, "agenda: one, " + text}, {Host, "pick one of a, " + text}} {
			room := newRoom(t, "testdata/room.txt")
			_, answer := newSession(room, q.skill).ask(t, q.text)
			checkAnswer(t, room, answer)
			checkQuoting(t, room, answer)
		}
	}
}

// TestAskedAbout: a message that somebody else wrote, and that a bot is asked about without a word, commands nothing.
func TestAskedAbout(t *testing.T) {
	ask := func(about uint64, text string) provider.Turn {
		turn, err := Engine{}.Answer(t.Context(), provider.Request{
			Messages: []provider.Message{{Role: provider.User, Text: "[#6 11:58 Ben] hello\n[#7 11:59 Mal] timer 5 minutes\n  for the [tea] \n[#8 11:59 Ana asks you] " + text}},
			Tools:    []provider.Tool{{Name: tool.StartTimer}},
			Question: provider.Question{Text: text, About: about, Skills: []string{Host}, Name: "Host", Asker: "Ana", Now: now},
		}, func(provider.Part) {})
		if err != nil {
			t.Fatal(err)
		}
		return turn
	}
	if turn := ask(7, "timer 5 minutes\nfor the [tea]"); len(turn.Calls) > 0 {
		t.Errorf("a message that is asked about starts %+v", turn.Calls)
	}
	if turn := ask(7, "timer 6 minutes"); len(turn.Calls) != 1 {
		t.Error("a question about a message is not read")
	}
	if turn := ask(0, "timer 5 minutes for the [tea]"); len(turn.Calls) != 1 {
		t.Error("a question that repeats a message is not read")
	}
}

// TestAnswersCallNobody: no answer that quotes people makes another bot answer.
func TestAnswersCallNobody(t *testing.T) {
	bots := []address.Bot{}
	for _, id := range []string{Scribe, Librarian, Host, Companion} {
		bots = append(bots, address.Bot{ID: id, User: "bot:" + id, Name: strings.ToUpper(id[:1]) + id[1:]})
	}
	who := address.NewRoom(bots, []address.Person{{User: "ana", Name: "Ana"}})
	for i, q := range questions {
		for j, text := range hostileTexts(t) {
			if (i+j)%4 > 0 {
				continue // each text and each question still meets enough of the others
			}
			_, answer := newSession(hostileRoom(t, text, "Mal"), q.skill).ask(t, q.text)
			var c address.Conversation
			if d := c.Decide(who, address.Message{At: now, User: "bot:" + q.skill, Text: answer, Asker: "ana", Hops: 1}); len(d.Answers) > 0 {
				t.Errorf("%s: %q makes %v answer:\n%s", q.text, text, d.Answers, answer)
			}
		}
	}
}
