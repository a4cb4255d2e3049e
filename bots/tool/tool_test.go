package tool_test

import (
	"encoding/json"
	"errors"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"confab/bots/tool"
	"confab/bots/tool/tooltest"
)

var noon = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

func newRoom() *tooltest.Room {
	ana := tool.Participant{ID: "p1", User: "ana", Name: "Ana", Moderator: true, Joined: noon, Microphone: true}
	r := &tooltest.Room{
		Title: "Team", By: ana, BotName: "Host", BotUser: "bot:host", Read: 3,
		People: []tool.Participant{
			ana,
			{ID: "p2", User: "ben", Name: "Ben Carter", Joined: noon, Hand: true},
			{ID: "p3", User: "bot:host", Name: "Host", Bot: true, Joined: noon},
		},
		Spoken: map[string]time.Duration{"ana": 30 * time.Second, "ben": 90 * time.Second},
		Links: map[string]tool.Connection{
			"p1": {RoundTrip: 40 * time.Millisecond, Loss: 0.004, Bitrate: 3_000_000},
			"p2": {RoundTrip: 900 * time.Millisecond, Loss: 0.05, Bitrate: 100_000},
		},
	}
	for i, m := range []tool.Message{
		{User: "ana", Name: "Ana", Text: "Who brings pineapples?"},
		{User: "ben", Name: "Ben Carter", Text: "I bring one pineapple"},
		{User: "carl", Name: "Carl", Text: "No pineapple for me"},
		{User: "ben", Name: "Ben Carter", Text: "We ship on Friday"},
		{User: "bot:host", Name: "Host", Bot: true, Text: "pineapple is a fruit"},
	} {
		m.Time = noon.Add(time.Duration(i) * time.Minute)
		r.Add(m)
	}
	return r
}

func do(t *testing.T, r tool.Room, name, input string) (string, []uint64, error) {
	t.Helper()
	i := slices.IndexFunc(tool.ForRoom(), func(x tool.Tool) bool { return x.Spec().Name == name })
	if i < 0 {
		t.Fatalf("no tool %s", name)
	}
	out, err := tool.ForRoom()[i].Do(t.Context(), tool.Call{ID: "call-1", Input: json.RawMessage(input), Room: r, Seed: 7})
	return out.Text, out.Sources, err
}

// TestTools does each tool once or more on the same room.
func TestTools(t *testing.T) {
	cases := []struct {
		name, input string
		want        string // a regular expression that the output matches
		sources     []uint64
		err         error
	}{
		{tool.SearchMessages, `{"query":"pineapple"}`, `^\{"messages":\[\{"seq":1,.*"seq":5,`, []uint64{1, 2, 3, 5}, nil},
		{tool.SearchMessages, `{"query":"pineapple","limit":2}`, `"seq":3.*"seq":5.*"leftOut":true`, []uint64{3, 5}, nil},
		{tool.SearchMessages, `{"query":"pineapple","from":"ben"}`, `I bring one pineapple`, []uint64{2}, nil},
		{tool.SearchMessages, `{"query":"pineapple","from":"Carl"}`, `No pineapple`, []uint64{3}, nil},
		{tool.SearchMessages, `{"query":"pineapple","since":"2026-01-05T12:02:00Z"}`, `"seq":3`, []uint64{3, 5}, nil},
		{tool.SearchMessages, `{"query":"mango"}`, `^\{"messages":\[\]\}$`, nil, nil},
		{tool.SearchMessages, `{"query":"pineapple","from":"Zed"}`, ``, nil, tool.ErrNobody},
		{tool.SearchMessages, `{"query":"x","since":"yesterday"}`, ``, nil, tool.ErrInput},
		{tool.SearchMessages, `{"query":"x","since":"2026-13-45T12:02:00Z"}`, ``, nil, tool.ErrInput},
		{tool.SearchMessages, `{}`, ``, nil, tool.ErrInput},
		{tool.SearchMessages, `{"query":"x","room":"other"}`, ``, nil, tool.ErrInput},
		{tool.SearchMessages, `["x"]`, ``, nil, tool.ErrInput},
		{tool.SearchMessages, `null`, ``, nil, tool.ErrInput},
		{tool.SearchMessages, `{"query":"x","limit":51}`, ``, nil, tool.ErrInput},
		{tool.SearchMessages, `{"query":"x","limit":1.5}`, ``, nil, tool.ErrInput},
		{tool.ReadMessages, ``, `"seq":1,.*"seq":5,`, []uint64{1, 2, 3, 4, 5}, nil},
		{tool.ReadMessages, `{"after":4.0}`, `"text":"pineapple is a fruit"`, []uint64{5}, nil},
		{tool.ReadMessages, `{"unread":true}`, `"lastRead":3`, []uint64{4, 5}, nil},
		{tool.ReadMessages, `{"limit":1}`, `"seq":5.*"leftOut":true`, []uint64{5}, nil},
		{tool.ReadMessages, `{"from":"Ben"}`, `We ship`, []uint64{2, 4}, nil},
		{tool.ReadMessages, `{"minutes":0}`, ``, nil, tool.ErrInput},
		{tool.WhoSaid, `{"words":"pineapple"}`, `"name":"Ana","count":1.*"name":"Ben Carter".*"name":"Carl"`, []uint64{1, 2, 3}, nil},
		{tool.WhoSaid, `{"words":"mango"}`, `^\{"people":\[\]\}$`, nil, nil},
		{tool.ListParticipants, `{}`, `"name":"Ana","moderator":true,"asker":true,.*"microphone":true.*"name":"Ben Carter".*"hand":true.*"bot":true`, nil, nil},
		{tool.ListParticipants, `{"all":true}`, ``, nil, tool.ErrInput},
		{tool.RollDice, `{"dice":3,"plus":-1}`, `^\{"rolls":\[[1-6],[1-6],[1-6]\],"sides":6,"plus":-1,"sum":-?\d+\}$`, nil, nil},
		{tool.RollDice, `{"sides":1}`, ``, nil, tool.ErrInput},
		{tool.PickRandom, `{}`, `^\{"picked":\["(Ana|Ben Carter)"\],"of":2\}$`, nil, nil},
		{tool.PickRandom, `{"all":true}`, `("Ana","Ben Carter"|"Ben Carter","Ana")\],"of":2`, nil, nil},
		{tool.PickRandom, `{"from":["a","b","c"],"count":3}`, `"of":3`, nil, nil},
		{tool.PickRandom, `{"count":3}`, ``, nil, tool.ErrTooFew},
		{tool.PickRandom, `{"from":[]}`, ``, nil, tool.ErrInput},
		{tool.StartTimer, `{"seconds":4}`, ``, nil, tool.ErrInput},
		{tool.CreatePoll, `{"question":"x","options":["a"]}`, ``, nil, tool.ErrInput},
		{tool.CreatePoll, `{"question":"x","options":["a","a"]}`, ``, nil, tool.ErrInput},
		{tool.CreatePoll, `{"question":"x","options":["a","  "]}`, ``, nil, tool.ErrInput},
		{tool.PollResult, `{}`, ``, nil, tool.ErrNoPoll},
		{tool.PollResult, `{"seq":2}`, ``, nil, tool.ErrNoPoll},
		{tool.SpeakingTime, `{}`, `"known":true,"speakers":\[\{"name":"Ben Carter","seconds":90,"percent":75\},\{"name":"Ana","seconds":30,"percent":25\}\]`, nil, nil},
		{tool.ConnectionCheck, `{}`, `"name":"Ana","known":true,"verdict":"good",.*"problems":\[\]`, nil, nil},
		{tool.ConnectionCheck, `{"participant":"ben"}`, `"verdict":"poor".*900 ms.*5.0 % of.*100 kbit`, nil, nil},
		{tool.ConnectionCheck, `{"participant":"host"}`, `"known":false`, nil, nil},
		{tool.ConnectionCheck, `{"participant":"Zed"}`, ``, nil, tool.ErrNobody},
	}
	for _, c := range cases {
		t.Run(c.name+c.input, func(t *testing.T) {
			text, sources, err := do(t, newRoom(), c.name, c.input)
			if !errors.Is(err, c.err) {
				t.Fatalf("error %v, want %v", err, c.err)
			}
			if !regexp.MustCompile(c.want).MatchString(text) {
				t.Errorf("%s does not match %s", text, c.want)
			}
			if !slices.Equal(sources, c.sources) {
				t.Errorf("sources %v, want %v", sources, c.sources)
			}
		})
	}
}

// TestSpecs: what models are told is complete, and no room tool needs approval.
func TestSpecs(t *testing.T) {
	named := regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)
	seen := map[string]bool{}
	for _, x := range tool.ForRoom() {
		s := x.Spec()
		if !named.MatchString(s.Name) || seen[s.Name] || s.Description == "" || s.Title == "" || s.Writes || s.Timeout == 0 {
			t.Errorf("%+v", s)
		}
		seen[s.Name] = true
		var schema struct {
			Type   string
			Closed *bool `json:"additionalProperties"`
		}
		if err := json.Unmarshal(s.Schema, &schema); err != nil || schema.Type != "object" || schema.Closed == nil || *schema.Closed {
			t.Errorf("%s: %v %s", s.Name, err, s.Schema)
		}
	}
	if len(seen) < 11 {
		t.Errorf("%d tools", len(seen))
	}
}

// TestErrors: what the room refuses is said.
func TestErrors(t *testing.T) {
	refused := errors.New("refused")
	for name, input := range map[string]string{
		tool.SearchMessages: `{"query":"x"}`, tool.ReadMessages: ``, tool.WhoSaid: `{"words":"x"}`, tool.StartTimer: `{"seconds":60}`,
		tool.CreatePoll: `{"question":"x","options":["a","b"]}`, tool.PollResult: ``,
	} {
		r := newRoom()
		r.Err = refused
		if _, _, err := do(t, r, name, input); !errors.Is(err, refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPoll(t *testing.T) {
	r := newRoom()
	text, sources, err := do(t, r, tool.CreatePoll, `{"question":"Where do we *eat*, @scribe?","options":["[Pizza](http://x.example)","Pasta\n- 3️⃣ forged"]}`)
	if err != nil || len(sources) != 1 {
		t.Fatal(text, sources, err)
	}
	seq := sources[0]
	said := r.Said()
	poll := said[len(said)-1]
	want := "**Poll:** Where do we \\*eat\\*, \\@scribe?\n\n- 1️⃣ \\[Pizza\\](http\\://x.example)\n- 2️⃣ Pasta - 3️⃣ forged"
	if poll.Text != want {
		t.Errorf("%q, want %q", poll.Text, want)
	}
	// Somebody else's poll, and one that only looks like the bot's, count for nothing.
	r.Add(tool.Message{User: "ben", Name: "Host", Text: "**Poll:** forged?\n\n- 1️⃣ a\n- 2️⃣ b"},
		tool.Message{User: "bot:other", Name: "Other", Bot: true, Text: "**Poll:** other?\n\n- 1️⃣ a\n- 2️⃣ b"})
	r.Vote("ana", seq, "1️⃣")
	r.Vote("ben", seq, "1️⃣")
	r.Vote("ben", seq, "2️⃣")
	r.Vote("ben", seq, "👍")
	text, sources, err = do(t, r, tool.PollResult, `{}`)
	if err != nil || !slices.Equal(sources, []uint64{seq}) {
		t.Fatal(text, sources, err)
	}
	var got tool.Poll
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	options := []tool.Option{{Emoji: "1️⃣", Text: "[Pizza](http://x.example)", Votes: 2}, {Emoji: "2️⃣", Text: "Pasta - 3️⃣ forged", Votes: 1}}
	if got.Question != "Where do we *eat*, @scribe?" || got.Voters != 2 || !slices.Equal(got.Options, options) {
		t.Errorf("%+v", got)
	}
}

func TestTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom()
		if _, _, err := do(t, r, tool.StartTimer, `{"seconds":3900,"note":"tea @scribe\nBen: ok"}`); err != nil {
			t.Fatal(err)
		}
		want := tooltest.Reminder{At: time.Now().Add(65 * time.Minute), Text: `⏰ Ana, the 1 hour 5 minutes are over: tea \@scribe Ben: ok.`}
		if got := r.Reminders(); len(got) != 1 || !got[0].At.Equal(want.At) || got[0].Text != want.Text {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}

// TestChance: the same call of the same run gives the same, another call something else.
func TestChance(t *testing.T) {
	i := slices.IndexFunc(tool.ForRoom(), func(x tool.Tool) bool { return x.Spec().Name == tool.RollDice })
	roll := func(seed uint64, id string) string {
		out, err := tool.ForRoom()[i].Do(t.Context(), tool.Call{ID: id, Seed: seed, Input: json.RawMessage(`{"dice":20}`), Room: newRoom()})
		if err != nil {
			t.Fatal(err)
		}
		return out.Text
	}
	if first, again := roll(1, "a"), roll(1, "a"); first != again || first == roll(2, "a") || first == roll(1, "b") {
		t.Error("chance does not follow the seed and the call")
	}
}

// TestBounds: a room full of long messages gives an output that fits, of the newest.
func TestBounds(t *testing.T) {
	r := newRoom()
	for range 300 {
		r.Add(tool.Message{User: "ana", Name: "Ana", Time: noon, Text: strings.Repeat("é<", 2500)})
	}
	for input, bound := range map[string]int{`{"limit":256}`: 64 << 10, `{}`: 16 << 10} {
		text, _, err := do(t, r, tool.ReadMessages, input)
		var got tool.Messages
		if err = errors.Join(err, json.Unmarshal([]byte(text), &got)); err != nil {
			t.Fatal(err)
		}
		if len(text) > bound || len(text) < bound/2 || !got.LeftOut || got.Messages[len(got.Messages)-1].Seq != 305 {
			t.Errorf("%d bytes, %d messages", len(text), len(got.Messages))
		}
		for _, m := range got.Messages {
			if utf8.RuneCountInString(m.Text) > 601 {
				t.Fatalf("a text of %d characters", utf8.RuneCountInString(m.Text))
			}
		}
	}
}

func TestPlain(t *testing.T) {
	for text, want := range map[string]string{
		"a *b* [c](d)":           `a \*b\* \[c\](d)`,
		"x\n- Ben: I resign":     "x - Ben: I resign",
		"1. first":               `1\. first`,
		"- list":                 `\- list`,
		"see https://x.example":  `see https\://x.example`,
		"WWW.x.example":          `WWW\.x.example`,
		"a@b.example":            `a\@b.example`,
		"&#64;scribe":            `\&\#64;scribe`,
		"a \u202eb\u2066 \u200b": "a b",
		"at 12:04 (3.5 m)":       "at 12:04 (3.5 m)",
		"3.5":                    `3\.5`,
		"![x](y)":                `\!\[x\](y)`,
		"a\\*b":                  `a\\\*b`,
	} {
		if got := tool.Plain(text, 0); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got := tool.Plain("ééééé", 3); got != "ééé…" {
		t.Errorf("%q", got)
	}
}

// FuzzPlain: without what is escaped nothing is left that Markdown reads as more than text, and it can be read back.
func FuzzPlain(f *testing.F) {
	f.Add("a *b* [c](d)\n> e `f` @g <h> &i; ~~j~~ https://k www.l mailto:m")
	pair := regexp.MustCompile(`\\[!-/:-@\[-` + "`" + `{-~]`)
	active := regexp.MustCompile("[\\\\`*_\\[\\]<>~|@&#\n\r]|://|(?i)www\\.|^[-+=]|^[0-9]{1,9}[.)]|(?i)mailto:")
	f.Fuzz(func(t *testing.T, text string) {
		plain := tool.Plain(text, 0)
		if left := active.FindString(pair.ReplaceAllString(plain, "\u00a0")); left != "" {
			t.Errorf("%q leaves %q active", plain, left)
		}
		if again := tool.Plain(tool.Said(plain), 0); again != plain {
			t.Errorf("%q, read and written again: %q", plain, again)
		}
	})
}
