package catalog

import (
	"bufio"
	"encoding/json"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"confab/bots/provider"
	"confab/bots/provider/providertest"
)

// aimock starts the mock server of CopilotKit, which is not ours and speaks all APIs, and returns its address. It
// fails where tests must run, and skips elsewhere. AIMOCK_DIR names the package when it is not with the web app's.
func aimock(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("AIMOCK_DIR")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "web", "node_modules", "@copilotkit", "aimock")
	}
	cli := filepath.Join(dir, "dist", "cli.js")
	missing := ""
	if _, err := os.Stat(cli); err != nil {
		missing = "@copilotkit/aimock is missing; task setup installs it"
	} else if _, err := exec.LookPath("node"); err != nil {
		missing = "node is missing; task setup installs it"
	}
	switch {
	case missing == "":
	case os.Getenv("CI") != "":
		t.Fatal(missing)
	default:
		t.Skip(missing)
	}
	cmd := exec.Command("node", cli, "--port", "0", "--fixtures", filepath.Join("testdata", "aimock.json"), "--chunk-size", "3", "--validate-on-load")
	cmd.Env = append(os.Environ(), "AIMOCK_API_KEYS="+secret)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, url, found := strings.Cut(lines.Text(), "listening on "); found {
			return url
		}
	}
	t.Fatal("aimock did not start")
	return ""
}

// TestAimock runs whole turns of each API against it.
func TestAimock(t *testing.T) {
	url := aimock(t)
	call := func(id, city string) provider.Call {
		return provider.Call{ID: id, Name: "weather", Input: json.RawMessage(`{"city":"` + city + `"}`)}
	}
	tools := []provider.Tool{{Name: "weather", Description: "Says what the weather is.", Schema: json.RawMessage(`{"type":"object","properties":{"city":{"type":"string"}}}`)}}
	asked := func(text string) []provider.Message { return []provider.Message{{Role: provider.User, Text: text}} }
	looked := append(asked("weather"),
		provider.Message{Role: provider.Assistant, Text: "Let me look.", Calls: []provider.Call{call("call_a", "Köln"), call("call_b", "Łódź")}},
		provider.Message{Role: provider.ToolRole, Results: []provider.Result{{Call: "call_a", Name: "weather", Output: "sun"}, {Call: "call_b", Name: "weather", Output: "rain"}}})
	tests := map[string]struct {
		r    provider.Request
		want providertest.Answer // without the model
		key  string              // empty = the right one
		in   Timeouts            // zero values are long ones
	}{
		"text":           {r: provider.Request{System: "Be brief.", Messages: asked("hello")}, want: providertest.Answer{Said: "Für 日本 👩‍🔬 and 😀😀😀, hello!", Turn: provider.Turn{Stop: provider.Stopped, Usage: provider.Usage{Input: 20, Output: 9}}}},
		"thoughts":       {r: provider.Request{Messages: asked("think")}, want: providertest.Answer{Said: "Forty-two.", Thinking: "Six times seven.", Turn: provider.Turn{Stop: provider.Stopped}}},
		"calls":          {r: provider.Request{Messages: asked("weather"), Tools: tools}, want: providertest.Answer{Said: "Let me look.", Turn: provider.Turn{Stop: provider.Tools, Calls: []provider.Call{call("call_a", "Köln"), call("call_b", "Łódź")}}}},
		"results":        {r: provider.Request{Messages: looked, Tools: tools}, want: providertest.Answer{Said: "It rains.", Turn: provider.Turn{Stop: provider.Stopped}}},
		"slow":           {r: provider.Request{Messages: asked("slow")}, want: providertest.Answer{Said: "slowly but surely", Turn: provider.Turn{Stop: provider.Stopped}}},
		"wrong key":      {r: provider.Request{Messages: asked("hello")}, key: "sk-another", want: providertest.Answer{Code: provider.Unauthorized}},
		"429":            {r: provider.Request{Messages: asked("rate limit")}, want: providertest.Answer{Code: provider.RateLimited}},
		"500":            {r: provider.Request{Messages: asked("out of order")}, want: providertest.Answer{Code: provider.Unavailable}},
		"500, chaos":     {r: provider.Request{Messages: asked("drop")}, want: providertest.Answer{Code: provider.Unavailable}},
		"too long":       {r: provider.Request{Messages: asked("too long")}, want: providertest.Answer{Code: provider.ContextTooLong}},
		"malformed":      {r: provider.Request{Messages: asked("malformed")}, want: providertest.Answer{Code: provider.Broken}},
		"disconnect":     {r: provider.Request{Messages: asked("disconnect")}, want: providertest.Answer{Code: provider.Unavailable}},
		"cut":            {r: provider.Request{Messages: asked("truncate")}, want: providertest.Answer{Said: "*", Code: provider.Broken}},
		"no first piece": {r: provider.Request{Messages: asked("late")}, in: Timeouts{First: time.Second}, want: providertest.Answer{Code: provider.Timeout}},
		"stall":          {r: provider.Request{Messages: asked("stall")}, in: Timeouts{Stall: 500 * time.Millisecond}, want: providertest.Answer{Said: "*", Code: provider.Stalled}},
	}
	for _, api := range []API{OpenAI, OpenAIResponses, Anthropic} {
		for name, test := range tests {
			t.Run(string(api)+"/"+name, func(t *testing.T) {
				t.Parallel()
				key := secret
				if test.key != "" {
					key = test.key
				}
				transport := &http.Transport{}
				defer transport.CloseIdleConnections()
				m := aimockModel(t, Settings{API: api, Timeouts: test.in}, url, key, transport)
				got := providertest.Ask(t.Context(), t, m, test.r)
				if got.Code == "" && got.Turn.Model != "some-model" {
					t.Errorf("answered by %q", got.Turn.Model)
				}
				if name != "text" { // which alone has a usage that is known
					got.Turn.Usage = provider.Usage{}
				}
				if test.want.Said == "*" && got.Said != "" {
					test.want.Said = got.Said
				}
				got.Turn.Model = ""
				providertest.Compare(t, got, test.want)
			})
		}
	}
}

// strictly has aimock refuse what the real servers do.
type strictly struct{ http.RoundTripper }

func (s strictly) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("X-AIMock-Strict", "true")
	return s.RoundTripper.RoundTrip(r)
}

// TestAimockThinks has models think and use a tool: their thoughts must go back with its result. aimock sees to it where
// Anthropic does; what is given back to OpenAI is in the tests of package openai.
func TestAimockThinks(t *testing.T) {
	url := aimock(t)
	for name, test := range map[string]struct {
		settings Settings
		thoughts int
		needed   bool
	}{
		"openai-responses": {Settings{API: OpenAIResponses, Model: "gpt-5", Reasoning: "low"}, 1, false},
		"anthropic":        {Settings{API: Anthropic, Model: "claude-sonnet-4-5", ThinkingTokens: 2048}, 2, true},
	} {
		t.Run(name, func(t *testing.T) {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			m := aimockModel(t, test.settings, url, secret, strictly{transport})
			r := provider.Request{
				Messages: []provider.Message{{Role: provider.User, Text: "ponder"}},
				Tools:    []provider.Tool{{Name: "weather", Description: "Says what the weather is."}},
			}
			first := providertest.Ask(t.Context(), t, m, r)
			if first.Thinking != "Hm." || len(first.Turn.Calls) != 1 || len(first.Turn.Thoughts) != test.thoughts {
				t.Fatalf("the first turn: %+v", first)
			}
			r.Messages = append(r.Messages,
				provider.Message{Role: provider.Assistant, Text: first.Said, Thoughts: first.Turn.Thoughts, Calls: first.Turn.Calls},
				provider.Message{Role: provider.ToolRole, Results: []provider.Result{{Call: "call_a", Name: "weather", Output: "rain"}}})
			if second := providertest.Ask(t.Context(), t, m, r); second.Said != "It rains." || second.Thinking != "So be it." {
				t.Errorf("the second turn: %+v", second)
			}
			if !test.needed {
				return
			}
			for i := range r.Messages[1].Thoughts {
				r.Messages[1].Thoughts[i].Data = json.RawMessage(`{"type":"thinking","thinking":"Hm."}`)
			}
			if forged := providertest.Ask(t.Context(), t, m, r); forged.Code != provider.BadRequest {
				t.Errorf("thoughts that are not the model's own: %+v", forged)
			}
		})
	}
}

func aimockModel(t *testing.T, s Settings, url, key string, transport http.RoundTripper) provider.Model {
	t.Helper()
	if s.API != Anthropic {
		url += "/v1"
	}
	if s.Model == "" {
		s.Model = "some-model"
	}
	s.URL, s.KeyEnv = url, "K"
	c, err := Open(map[string]Settings{"p": s}, Options{
		Getenv: func(string) (string, bool) { return key, true }, Transport: transport, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	m, _ := c.Model("p")
	return m
}
