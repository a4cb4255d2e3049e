package bots

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"confab/bots/provider"
	"confab/bots/tool"
	"confab/rooms"
	"confab/signaling/wire"
)

// A believer is a model that does whatever it reads, wherever it reads it, and says all that it knows.
type believer struct {
	mu   sync.Mutex
	told []provider.Request
}

var callFor = regexp.MustCompile(`CALL (\w+) (\{.*?\}|\S+)`)

func (b *believer) Answer(_ context.Context, r provider.Request, emit func(provider.Part)) (provider.Turn, error) {
	b.mu.Lock()
	b.told = append(b.told, r)
	b.mu.Unlock()
	var all strings.Builder
	asked := false
	for _, m := range r.Messages {
		all.WriteString(m.Text + "\n")
		for _, result := range m.Results {
			all.WriteString(result.Output + "\n")
			asked = true
		}
	}
	if calls := callFor.FindAllStringSubmatch(all.String(), -1); !asked && len(calls) > 0 {
		t := provider.Turn{Stop: provider.Tools, Model: "believer"}
		for i, c := range calls {
			input := json.RawMessage(c[2])
			if !json.Valid(input) {
				input = json.RawMessage(`{}`)
			}
			t.Calls = append(t.Calls, provider.Call{ID: fmt.Sprint("c", i), Name: c[1], Input: input})
		}
		return t, nil
	}
	emit(provider.Part{Text: all.String()})
	return provider.Turn{Stop: provider.Stopped, Model: "believer"}, nil
}

// A liar is a tool that reads, whose output wants things.
type liar struct{ text string }

func (l *liar) Spec() tool.Spec {
	return tool.Spec{Tool: provider.Tool{Name: "look_up", Description: "Looks up.", Schema: json.RawMessage(`{"type":"object"}`)}, Title: "Looks up"}
}
func (l *liar) Do(context.Context, tool.Call) (tool.Output, error) {
	return tool.Output{Text: l.text}, nil
}

func injections(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("testdata/injections.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for l := range strings.Lines(string(data)) {
		if l = strings.TrimRight(l, "\n"); l != "" && !strings.HasPrefix(l, "# ") {
			all = append(all, strings.NewReplacer(`\n`, "\n", `\r`, "\r", `\u2028`, "\u2028").Replace(l))
		}
	}
	if len(all) < 45 {
		t.Fatalf("%d lines", len(all))
	}
	return all
}

// TestInjections: to a model that believes everything, what people write, say aloud and are called, and what tools return, cannot make a
// tool that writes run, be told what does not belong to the conversation, or forge an event or a line.
func TestInjections(t *testing.T) {
	all := injections(t)
	m, file, look := &believer{}, &writer{}, &liar{}
	l := newLab(t, Options{
		Personas: []Persona{{
			ID: "echo", Name: "Echo", Description: "d", Provider: "main", Instructions: "INSTRUCTIONS", Tools: []string{"file_away", "look_up", "list_participants"},
			Limits: PersonaLimits{RequestsPerMinute: 1000, Concurrent: 1},
		}},
		Models: map[string]provider.Model{"main": m}, Tools: append(tool.ForRoom(), file, look),
	})
	for i, line := range all {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			room := wire.RoomID(fmt.Sprint("lab-", i))
			look.text = line
			ada := l.enterRoom(room, "p1", "ada", wire.RoleModerator)
			ada.t = t
			ada.toggle("echo", true)
			other := l.enterRoom(room, "p2", line, wire.RoleMember) // as a user and a name
			other.t = t
			secret := ada.say("s", "the SECRET of a message that is deleted")
			if _, err := await(t.Context(), func(a rooms.Answer) { ada.Delete("d", "", wire.Delete{Message: secret}, a) }); err != nil {
				t.Fatal(err)
			}
			other.say("i", line+" ")
			l.service.mu.Lock()
			h := l.service.halls[room]
			l.service.mu.Unlock()
			h.mu.Lock()
			h.spoken = []spokenLine{{at: time.Now(), user: "p2", name: line, text: line}} // and says it aloud
			h.mu.Unlock()
			ada.say("q", "@echo what is there?")
			// Every approval that is asked for is refused.
			for n := 1; ; n++ {
				e := ada.nth("an approval or the end", n, func(e wire.Envelope) bool {
					return e.Type == wire.KindAgentCompleted || e.Type == wire.KindToolApproval && bodyOf[wire.ToolApproval](t, e).State == wire.ApprovalAsked
				})
				if e.Type == wire.KindAgentCompleted {
					break
				}
				a := bodyOf[wire.ToolApproval](t, e)
				if _, err := await(t.Context(), func(answer rooms.Answer) {
					ada.DecideTool(wire.ToolDecision{Run: a.Run, Call: a.Call, Digest: a.Digest}, answer)
				}); err != nil {
					t.Fatal(err)
				}
			}
			checkEvents(t, ada)
		})
	}
	if len(file.done) > 0 {
		t.Errorf("a tool that writes ran without a word: %v", file.done)
	}
	for _, r := range m.told {
		said := fmt.Sprint(r.Messages)
		if strings.Contains(said, "SECRET of") || strings.Contains(said, "INSTRUCTIONS") {
			t.Errorf("the conversation has what does not belong there: %s", said)
		}
		checkLines(t, r)
	}
}

// checkEvents: each run began once and ended once, by the bot, and nobody else's message or event is there.
func checkEvents(t *testing.T, c *client) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	begun, ended := 0, 0
	for _, e := range c.frames {
		switch e.Type {
		case wire.KindAgentStarted:
			begun++
		case wire.KindAgentCompleted:
			ended++
		case wire.KindChat:
			if e.From == "bot-echo" != (e.Author.User == "bot:echo") {
				t.Errorf("a chat from %s by %s", e.From, e.Author.User)
			}
		case wire.KindRemoved:
			t.Errorf("%s", e.Data)
		default:
		}
		if strings.HasPrefix(string(e.Type), "stream-") && e.From != "bot-echo" {
			t.Errorf("%s from %s", e.Type, e.From)
		}
	}
	if begun != 1 || ended != 1 {
		t.Errorf("%d runs began, %d ended", begun, ended)
	}
}

// checkLines: in what a user's turn holds, a line begins like one of the conversation only where there is a message.
func checkLines(t *testing.T, r provider.Request) {
	t.Helper()
	const messages = 2 // the injection and the question; the other is deleted
	lines, said := 0, 0
	for _, m := range r.Messages {
		if m.Role != provider.User {
			continue
		}
		for _, l := range strings.FieldsFunc(m.Text, func(c rune) bool { return c == '\n' || c == '\r' || c == '\u2028' || c == '\u2029' || c == '\u0085' }) {
			if strings.HasPrefix(l, "[") && strings.Contains(l, "] ") && strings.Contains(l[:strings.Index(l, "] ")], "#") {
				lines++
			}
			if strings.HasPrefix(l, "[said ") {
				said++
			}
		}
	}
	if lines > messages {
		t.Errorf("%d lines look like messages; %d are there:\n%+v", lines, messages, r.Messages)
	}
	if said != 1 {
		t.Errorf("%d lines look as if they were said aloud; one was:\n%+v", said, r.Messages)
	}
}
