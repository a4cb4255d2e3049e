package address

import (
	"slices"
	"strings"
	"testing"
	"time"
)

var noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// TestPairBudget lets two bots mention each other once a second: 20 messages are answered, then none for a minute.
func TestPairBudget(t *testing.T) {
	var c Conversation
	for i := range 200 {
		from, to := "bot:scribe", "librarian"
		if i%2 == 1 {
			from, to = "bot:librarian", "scribe"
		}
		// A text of its own each time: repeating itself is another rule.
		text := "@" + to + " " + strings.Repeat(string(rune('a'+i%26)), 3+i) + strings.Repeat(string(rune('a'+i%7)), 40)
		d := c.Decide(room, Message{At: noon.Add(time.Duration(i) * time.Second), User: from, Text: text, Hops: 1})
		talks := i%80 < PairBudget // 20 s of talk, then a minute from the message that was too much
		switch {
		case i >= 80: // only the first round is at a time that is easily said
		case talks && len(d.Answers) != 1:
			t.Errorf("message %d is not answered: %s", i, d.Silence)
		case !talks && d.Silence != CoolDown:
			t.Errorf("message %d: %+v", i, d)
		}
	}
	later := c.Decide(room, Message{At: noon.Add(time.Hour), User: "bot:scribe", Text: "@librarian an hour has gone by", Hops: 1})
	if len(later.Answers) != 1 {
		t.Errorf("an hour later: %+v", later)
	}
}

// TestBotsOfOtherPairs: what two bots have used up leaves the others alone.
func TestBotsOfOtherPairs(t *testing.T) {
	var c Conversation
	for range PairBudget + 1 {
		c.mayTalk("bot:a", "bot:b", noon)
	}
	if c.mayTalk("bot:b", "bot:a", noon.Add(time.Second)) {
		t.Error("the pair may talk on in the other direction")
	}
	if !c.mayTalk("bot:a", "bot:c", noon.Add(time.Second)) {
		t.Error("another pair may not talk")
	}
	for i := range 2 * maxPairs {
		c.mayTalk("bot:a", strings.Repeat("x", i+1), noon)
	}
	if len(c.pairs) > maxPairs {
		t.Errorf("%d pairs are kept", len(c.pairs))
	}
}

func TestSimilarity(t *testing.T) {
	var o outputs
	said := []struct {
		text    string
		repeats bool
	}{
		{"We ship on Friday, and Ben writes the notes for the release.", false},
		{"We ship on Friday, and Ben writes the notes for the release!", true},
		{"WE SHIP on Friday, and Ben writes the nótes for the release.", true},
		{"The budget is forty thousand for the first half of the year.", false},
		{"Nobody said anything about that in this room, as far as I see.", false},
		{"The timer runs until five minutes past twelve; I will tell you.", false},
		{"We ship on Friday, and Ben writes the notes for the release.", false}, // the fourth before
		{"", false},
		{"", true},
	}
	for _, s := range said {
		if got := o.add(s.text); got != s.repeats {
			t.Errorf("%q repeats: %v", s.text, got)
		}
	}
}

func TestWays(t *testing.T) {
	shy := NewRoom([]Bot{{ID: "scribe", User: "bot:scribe", Name: "Scribe", Ways: ByMention}}, nil)
	for text, want := range map[string]Reason{"@scribe hello": "", "Scribe, hello?": NotAllowed, "hello?": NotAddressed} {
		var c Conversation
		if d := c.Decide(shy, Message{At: noon, User: "ana", Text: text}); d.Silence != want {
			t.Errorf("%q: %+v", text, d)
		}
	}
	var c Conversation
	if d := c.Decide(shy, Message{At: noon, User: "ana", Text: "hello", Private: "scribe"}); len(d.Answers) != 1 {
		t.Errorf("in private: %+v", d)
	}
}

// TestMaskedMention: a list of mentions that a client made of text in code counts for nothing; one of a text that does
// not name the bot at all does.
func TestMaskedMention(t *testing.T) {
	for text, want := range map[string]int{"`@scribe`": 0, "> @scribe\nyes": 0, "`@scribe` @scribe": 1, "see above": 1} {
		var c Conversation
		d := c.Decide(room, Message{At: noon, User: "ana", Text: text, Mentions: []string{"bot:scribe", "bot:scribe"}})
		if len(d.Answers) != want {
			t.Errorf("%q: %+v", text, d)
		}
	}
}

func TestMask(t *testing.T) {
	const o = string(object)
	cases := map[string]string{
		"a `b` c":            "a " + o + " c",
		"a `` b ` c `` d":    "a " + o + " d",
		"a ` b":              "a ` b",
		"`a\nb`":             o,
		"`a\n\nb`":           "`a\n\nb`",
		"[a](b) c":           o + " c",
		"[[a](b)":            "[" + o,
		"](x)":               "](x)",
		"see http://x/y?z w": "see " + o + " w",
		"://x":               "://x",
		"<a@b> c":            o + " c",
		"1 < 2 > 1":          "1 < 2 > 1",
		`say "x" now`:        "say " + o + " now",
		`"all of it"`:        `all of it"`,
		`5" and 6"`:          `5" and 6"`,
		"\\`a` b":            "\\`a` b",
	}
	for text, want := range cases {
		if got := strings.TrimRight(mask(text), "\n"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// hostile texts are of the kinds that a careless parser takes quadratic time for.
func hostile(length int) map[string]string {
	texts := map[string]string{}
	for _, part := range []string{"`", "``a", "[", "](", "[a](", "<", "“", `"a`, "a://", "Scribe, ", ", Scribe", "@scribe ", "@", "hey ", "thanks ",
		"ok, ", "> ", "a@", ".", "?", "́", "\u200b", "    a\n", "\n", "Ana: x\n", "يا ", "かく", "@かく", "Scribe and ", "- "} {
		texts[part] = strings.Repeat(part, length/len(part))
	}
	return texts
}

// TestLinear compares texts of 16 and 64 KiB: four times the length may not take sixteen times the time.
func TestLinear(t *testing.T) {
	decide := func(text string) time.Duration {
		best := time.Hour
		for range 3 {
			var c Conversation
			begin := time.Now()
			c.Decide(room, Message{At: noon, User: "ana", Text: text, Mentions: []string{"bot:scribe"}})
			best = min(best, time.Since(begin))
		}
		return best
	}
	small, large := hostile(16<<10), hostile(64<<10)
	for part := range small {
		a, b := decide(small[part]), decide(large[part])
		if b > 10*a && b > 500*time.Millisecond { // half a second: whatever else the machine does
			t.Errorf("%q: %v, and %v for four times the length", part, a, b)
		}
	}
}

func FuzzDecide(f *testing.F) {
	for _, text := range hostile(64) {
		f.Add(text)
	}
	for _, text := range []string{"hey Scribe, what's up?", "```\n@scribe\n```\nLibrarian and Host: hi", "\xff@scribe", "> a\n@Team Helper x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var c Conversation
		d := c.Decide(room, Message{At: noon, User: "ana", Text: text})
		if (len(d.Answers) == 0) != (d.Silence != "") {
			t.Errorf("%+v", d)
		}
		// Nothing within a fence may address anybody, whatever it is.
		if fenced := "~~~~~~~~\n" + strings.ReplaceAll(text, "~", "-") + "\n~~~~~~~~"; len(c.Decide(room, Message{At: noon, User: "ben", Text: fenced}).Answers) > 0 {
			t.Errorf("%q addresses somebody", fenced)
		}
		// A mention on a line of its own is one whatever stands in the quote before it.
		quoted := "> " + strings.ReplaceAll(text, "\n", "\n> ") + "\n@scribe hello"
		d = c.Decide(room, Message{At: noon, User: "jose", Text: quoted})
		if !slices.Contains(d.Answers, Answer{"scribe", Mention}) {
			t.Errorf("%q: %+v", quoted, d)
		}
	})
}

func BenchmarkDecide(b *testing.B) {
	var c Conversation
	m := Message{At: noon, User: "ana", Text: "I think that we should look at the plan again; Ben, did you see https://example.org/plan and what `make` says?"}
	b.ReportAllocs()
	for b.Loop() {
		c.Decide(room, m)
	}
}
