package bots

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"confab/bots/provider"
	"confab/bots/tool"
	"confab/signaling/wire"
)

func TestParseFile(t *testing.T) {
	good := `
providers:
  local: {api: openai, url: "http://localhost:1/v1", model: m}
mcp:
  tickets: {command: tickets-mcp}
bots:
  - {id: coach, name: Coach, description: Helps., provider: local, skills: [scribe], tools: [read_messages, tickets__*], trust: [tickets__*], ways: [mention], voice: nova}
speech: {url: "http://localhost:2/v1", model: tts, voice: ash, speed: 1.2}
hearing: {url: "http://localhost:3/v1", model: whisper, language: en, timeouts: {first: 5s}}
profiles: https://example.org/users/{user}
`
	f, err := ParseFile([]byte(good))
	if err != nil || len(f.Bots) != 1 || f.Bots[0].servers()[0] != "tickets" || !f.Bots[0].uses("tickets__open") || f.Bots[0].uses("other__open") {
		t.Errorf("%+v, %v", f, err)
	}
	if f, err := ParseFile(nil); err != nil || len(f.Bots) < 4 {
		t.Errorf("an empty file: %+v, %v", f, err)
	}
	for name, tt := range map[string]struct{ from, to, says string }{
		"not YAML":           {good, "bots: [", "yaml"},
		"a field made up":    {"profiles:", "profile:", "profile"},
		"no such provider":   {"provider: local", "provider: other", `no provider "other"`},
		"no such server":     {"tickets__*]", "tockets__*]", `no MCP server "tockets"`},
		"no id":              {"id: coach", "id: Coach!", "id is"},
		"no name":            {"name: Coach", "name: ''", "name is"},
		"no description":     {"description: Helps.", "description: ''", "description"},
		"nothing to say":     {"provider: local, skills: [scribe]", "skills: []", "neither a provider nor skills"},
		"trusts a stranger":  {"trust: [tickets__*]", "trust: [roll_dice]", "trust names"},
		"a way made up":      {"ways: [mention]", "ways: [shout]", "shout"},
		"a mute speech":      {"voice: ash, ", "", "speech: voice"},
		"a voice of nothing": {"speech: {", "# {", "nothing speaks"},
		"a long voice":       {"voice: nova", "voice: " + strings.Repeat("v", maxVoice+1), "voice: name one"},
		"speech too fast":    {"speed: 1.2", "speed: 12", "speech: speed"},
		"speech of nothing":  {"model: tts", "model: ''", "speech: model"},
		"hearing of nothing": {"model: whisper", "model: ''", "hearing: model"},
		"a tongue made up":   {"language: en", "language: English", "hearing: language"},
		"no time to hear":    {"first: 5s", "first: 1ms", "hearing: timeouts.first"},
		"a key in the open":  {"model: whisper", "model: whisper, keyEnv: sk-123", "hearing: keyEnv"},
		"profiles nowhere":   {"https://example.org/users/{user}", "users", "profiles"},
		"an API made up":     {"api: openai", "api: telepathy", "telepathy"},
		"a negative limit":   {"ways: [mention]", "limits: {concurrent: -1}", "negative"},
		"two of one name":    {"voice: nova}", "voice: nova}\n  - {id: other, name: coach, description: d, skills: [host]}", "names must differ"},
		"too many to manage": {"profiles:", strings.Repeat("#", 1<<10) + "\nprofiles:", ""},
	} {
		_, err := ParseFile([]byte(strings.Replace(good, tt.from, tt.to, 1)))
		if (tt.says == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewSaysWhatIsMissing(t *testing.T) {
	p := Persona{ID: "a", Name: "A", Description: "d", Provider: "gone"}
	if _, err := New(Options{Personas: []Persona{p}}); err == nil || !strings.Contains(err.Error(), `no provider "gone"`) {
		t.Error(err)
	}
	p.Provider, p.Skills, p.Tools = "", []string{"host"}, []string{"fly"}
	if _, err := New(Options{Personas: []Persona{p}}); err == nil || !strings.Contains(err.Error(), `no tool "fly"`) {
		t.Error(err)
	}
}

// farTools are the tools of servers: one that is there and one that is not.
type farTools struct{ look *liar }

func (f farTools) Tools(_ context.Context, servers ...string) ([]tool.Tool, error) {
	if len(servers) != 1 || servers[0] != "far" {
		return nil, errors.New("asked for others")
	}
	return []tool.Tool{named{f.look, "far__look"}, named{f.look, "far__hidden"}}, errors.New("one of them is away")
}

type named struct {
	*liar
	name string
}

func (n named) Spec() tool.Spec {
	s := n.liar.Spec()
	s.Name = n.name
	return s
}

// TestServers: the tools of servers are asked for with each answer, of which the persona gets its own.
func TestServers(t *testing.T) {
	s := &script{turns: []turn{
		{calls: []provider.Call{{ID: "c1", Name: "far__look", Input: []byte(`{}`)}, {ID: "c2", Name: "far__hidden", Input: []byte(`{}`)}}}, {pieces: []string{"seen"}},
	}}
	l := newLab(t, Options{
		Personas: []Persona{{ID: "echo", Name: "Echo", Description: "d", Provider: "main", Tools: []string{"far__look"}}},
		Models:   map[string]provider.Model{"main": s}, Servers: farTools{&liar{"a view"}},
	})
	ada := l.enter("p1", "ada", wire.RoleModerator)
	ada.toggle("echo", true)
	ada.say("c1", "@echo look")
	if done, chat := ada.answered(1); done.Status != wire.RunCompleted || chat.Text != "seen" || len(chat.Run.Tools) != 1 {
		t.Errorf("%+v, %+v", done, chat.Run)
	}
	last := s.request(1).Messages
	results := last[len(last)-1].Results
	if tools := s.request(0).Tools; len(tools) != 1 || results[0].Output != "a view" || !results[1].Failed {
		t.Errorf("%+v, %+v", tools, results)
	}
}

func TestProfilesAt(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.EscapedPath() {
		case "/users/a%2Fb":
			_, _ = w.Write([]byte("likes tea\xff"))
		case "/users/nobody":
			http.NotFound(w, r)
		default:
			http.Error(w, "secret trace", http.StatusInternalServerError)
		}
	}))
	defer s.Close()
	load := ProfilesAt(s.URL+"/users/{user}", s.Client())
	for user, want := range map[wire.UserID]string{"a/b": "likes tea", "nobody": ""} {
		if text, err := load(t.Context(), user); text != want || err != nil {
			t.Errorf("%s: %q, %v", user, text, err)
		}
	}
	if _, err := load(t.Context(), "else"); err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}
