package catalog

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"gopkg.in/yaml.v3"

	"confab/bots/provider"
	"confab/bots/provider/providertest"
	"confab/bots/provider/resilient"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const secret = "sk-0123456789-very-secret"

// good are settings as a file has them.
const good = `
cloud:
  api: openai-responses
  model: gpt-5
  keyEnv: OPENAI_API_KEY
  reasoning: low
  fallback: [claude, local]
claude:
  api: anthropic
  model: claude-sonnet-4-5
  keyFile: /run/secrets/anthropic
  maxTokens: 2000
local:
  api: openai
  url: http://localhost:11434/v1
  model: llama3.2
  tokensField: max_tokens
  timeouts: {connect: 2s, first: 2m, stall: 30s}
`

func read(t *testing.T, text string) map[string]Settings {
	t.Helper()
	var providers map[string]Settings
	d := yaml.NewDecoder(strings.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&providers); err != nil {
		t.Fatal(err)
	}
	return providers
}

func TestSettings(t *testing.T) {
	got := read(t, good)
	want := map[string]Settings{
		"cloud":  {API: OpenAIResponses, Model: "gpt-5", KeyEnv: "OPENAI_API_KEY", Reasoning: "low", Fallback: []string{"claude", "local"}},
		"claude": {API: Anthropic, Model: "claude-sonnet-4-5", KeyFile: "/run/secrets/anthropic", MaxTokens: 2000},
		"local": {API: OpenAI, URL: "http://localhost:11434/v1", Model: "llama3.2", TokensField: "max_tokens",
			Timeouts: Timeouts{Connect: 2 * time.Second, First: 2 * time.Minute, Stall: 30 * time.Second}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if err := Check(got); err != nil {
		t.Error(err)
	}
	if err := Check(nil); err != nil {
		t.Errorf("nothing: %v", err)
	}
}

// TestCheck breaks one setting at a time, and reads what is said of it.
func TestCheck(t *testing.T) {
	tests := map[string]struct {
		name   string // empty = local
		change func(s *Settings)
		want   string // the whole error; empty = none
	}{
		"nothing":            {want: ""},
		"name":               {name: "My Model", want: "providers: My Model: a provider cannot be called that; take up to 32 of a to z, 0 to 9, . _ -, and not built-in"},
		"name taken":         {name: "built-in", want: "providers: built-in: a provider cannot be called that; take up to 32 of a to z, 0 to 9, . _ -, and not built-in"},
		"no api":             {change: func(s *Settings) { s.API = "" }, want: "api: it is missing; write openai, openai-responses or anthropic"},
		"api":                {change: func(s *Settings) { s.API = "ollama" }, want: `api: "ollama" is not known; write openai (also for Ollama, vLLM, llama.cpp), openai-responses or anthropic`},
		"no model":           {change: func(s *Settings) { s.Model = "" }, want: "model: name one as the provider does, in up to 128 bytes"},
		"url":                {change: func(s *Settings) { s.URL = "localhost:11434" }, want: "url: it is no http or https URL; write the base of the API, such as http://localhost:11434/v1"},
		"no URL at all":      {change: func(s *Settings) { s.URL = "http://%zz" }, want: "url: it is no http or https URL; write the base of the API, such as http://localhost:11434/v1"},
		"a password":         {change: func(s *Settings) { s.URL = "https://u:" + secret + "@p.test/" }, want: "url: it holds a user or a password, which end up in logs; leave them out and set keyEnv or keyFile"},
		"a fragment":         {change: func(s *Settings) { s.URL = "https://p.test/#v1" }, want: "url: leave out what stands behind #"},
		"two keys":           {change: func(s *Settings) { s.KeyEnv, s.KeyFile = "K", "f" }, want: "keyFile: keyEnv is set too; leave one of them out"},
		"a key":              {change: func(s *Settings) { s.KeyEnv = secret }, want: "keyEnv: it is no name of an environment variable; put the key into one, such as OPENAI_API_KEY, and write that name here"},
		"no key":             {change: func(s *Settings) { s.URL = "" }, want: "keyEnv: api.openai.com needs a key; name the environment variable that holds it, or its file with keyFile"},
		"no key, claude":     {change: func(s *Settings) { s.URL, s.API = "", Anthropic }, want: "keyEnv: api.anthropic.com needs a key; name the environment variable that holds it, or its file with keyFile"},
		"tokens":             {change: func(s *Settings) { s.MaxTokens = -1 }, want: "maxTokens: -1 is not within 0 and 1048576"},
		"field":              {change: func(s *Settings) { s.TokensField = "tokens" }, want: `tokensField: "tokens" is not known; write max_tokens or max_completion_tokens, or leave it out`},
		"field of none":      {change: func(s *Settings) { s.TokensField, s.API = "max_tokens", OpenAIResponses }, want: "tokensField: only api openai has it; leave it out"},
		"effort":             {change: func(s *Settings) { s.Reasoning = "very much!" }, want: "reasoning: it is no effort; write one such as low, medium or high"},
		"tokens of thoughts": {change: func(s *Settings) { s.ThinkingTokens = 2048 }, want: "thinkingTokens: only api anthropic has it; write reasoning: low, medium or high"},
		"few thoughts":       {change: func(s *Settings) { s.ThinkingTokens, s.API = 100, Anthropic }, want: "thinkingTokens: 100 is not within 1024 and 1048576"},
		"thoughts twice":     {change: func(s *Settings) { s.ThinkingTokens, s.Reasoning, s.API = 2048, "low", Anthropic }, want: "thinkingTokens: reasoning is set too, and a model takes one of them; leave the other one out"},
		"connect":            {change: func(s *Settings) { s.Timeouts.Connect = 2 * time.Minute }, want: "timeouts.connect: 2m0s is not within 100ms and 1m0s"},
		"first":              {change: func(s *Settings) { s.Timeouts.First = time.Millisecond }, want: "timeouts.first: 1ms is not within 100ms and 10m0s"},
		"stall":              {change: func(s *Settings) { s.Timeouts.Stall = -time.Second }, want: "timeouts.stall: -1s is not within 100ms and 10m0s"},
		"fallback":           {change: func(s *Settings) { s.Fallback = []string{"clod"} }, want: `fallback: there is no provider "clod"; the others are cloud`},
		"itself":             {change: func(s *Settings) { s.Fallback = []string{"local"} }, want: "fallback: it names the provider itself; leave that out"},
		"twice":              {change: func(s *Settings) { s.Fallback = []string{"cloud", "cloud"} }, want: `fallback: "cloud" stands there twice`},
		"the last":           {change: func(s *Settings) { s.Fallback = []string{"built-in"} }, want: "fallback: built-in is the last one always; leave it out"},
		"too many":           {change: func(s *Settings) { s.Fallback = strings.Split(strings.Repeat("cloud ", 9), " ")[:9] }, want: "*"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := Settings{API: OpenAI, URL: "http://localhost/v1", Model: "m"}
			if test.name == "" {
				test.name = "local"
			}
			if test.change != nil {
				test.change(&s)
			}
			err := Check(map[string]Settings{test.name: s, "cloud": {API: OpenAI, Model: "m", KeyEnv: "K"}})
			got := ""
			if err != nil {
				got = strings.TrimPrefix(err.Error(), "providers: local: ")
				if _, ok := errors.AsType[*SettingError](err); !ok {
					t.Errorf("%T", err)
				}
			}
			if test.want != "*" && got != test.want || test.want == "*" && !strings.Contains(got, "9 are more than 8") {
				t.Errorf("%s\nwant %s", got, test.want)
			}
		})
	}
}

// TestCheckTellsAll: one run shows all that is wrong, in order.
func TestCheckTellsAll(t *testing.T) {
	err := Check(map[string]Settings{"b": {}, "a": {API: "x", Model: "m", URL: "http://p"}})
	want := []string{"providers: a: api", "providers: b: api", "providers: b: model", "providers: b: keyEnv"}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(want) {
		t.Fatal(err)
	}
	for i, line := range lines {
		if !strings.HasPrefix(line, want[i]) {
			t.Errorf("%s; want %s", line, want[i])
		}
	}
	many := map[string]Settings{}
	for i := range MaxProviders + 1 {
		many[fmt.Sprint("p", i)] = Settings{API: OpenAI, Model: "m", URL: "http://p"}
	}
	if err := Check(many); err == nil || err.Error() != "providers: 33 are more than 32" {
		t.Error(err)
	}
}

// TestKeys: where keys come from, and what is said when they do not.
func TestKeys(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	env := func(name string) (string, bool) {
		value, ok := map[string]string{"GOOD": " " + secret + "\n", "EMPTY": " ", "BAD": "Für", "LONG": strings.Repeat("x", maxKey+1), "TWO": secret + "\nX: y"}[name]
		return value, ok
	}
	tests := map[string]struct {
		s     Settings
		key   string
		err   string
		warns string
	}{
		"none":            {s: Settings{}},
		"environment":     {s: Settings{KeyEnv: "GOOD"}, key: secret},
		"file":            {s: Settings{KeyFile: file("good", secret+"\r\n", 0o600)}, key: secret},
		"file for all":    {s: Settings{KeyFile: file("open", secret, 0o644)}, key: secret, warns: "chmod 600"},
		"in the clear":    {s: Settings{KeyEnv: "GOOD", URL: "http://p.example.org/v1"}, key: secret, warns: "write https"},
		"at home":         {s: Settings{KeyEnv: "GOOD", URL: "http://192.168.1.7:8000/v1"}, key: secret},
		"not set":         {s: Settings{KeyEnv: "MISSING"}, err: "providers: p: keyEnv: the environment variable MISSING is not set; set it to the key"},
		"maybe the key":   {s: Settings{KeyEnv: "AIzaSy0123secret"}, err: "providers: p: keyEnv: the environment variable that it names is not set; set it to the key"},
		"empty":           {s: Settings{KeyEnv: "EMPTY"}, err: "*"},
		"not ASCII":       {s: Settings{KeyEnv: "BAD"}, err: "*"},
		"too long":        {s: Settings{KeyEnv: "LONG"}, err: "*"},
		"more lines":      {s: Settings{KeyEnv: "TWO"}, err: "*"},
		"no such file":    {s: Settings{KeyFile: filepath.Join(dir, "none")}, err: "providers: p: keyFile: open " + filepath.Join(dir, "none") + ": no such file or directory; write the key into that file"},
		"a folder":        {s: Settings{KeyFile: dir}, err: "providers: p: keyFile: read " + dir + ": is a directory; write the key into that file"},
		"a file too long": {s: Settings{KeyFile: file("long", strings.Repeat("x", 1<<20), 0o600)}, err: "*"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			got := make(chan string, 1)
			opts := Options{Getenv: env, Logger: slog.New(slog.NewTextHandler(&log, nil)), Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				select {
				case got <- strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "):
				default: // another attempt, which the wait before it may have left time for
				}
				return nil, errors.New("no network")
			})}
			s := test.s
			s.API, s.Model = OpenAI, "m"
			if s.URL == "" {
				s.URL = "http://localhost/v1"
			}
			c, err := Open(map[string]Settings{"p": s}, opts)
			if test.err != "" {
				if err == nil || test.err != "*" && err.Error() != test.err || test.err == "*" && !strings.HasSuffix(err.Error(), "printable ASCII in it") {
					t.Errorf("%v; want %s", err, test.err)
				}
				if strings.Contains(fmt.Sprint(err), "secret") {
					t.Errorf("the error says %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if warned := log.String(); (warned != "") != (test.warns != "") || !strings.Contains(warned, test.warns) {
				t.Errorf("logged %s", warned)
			}
			m, _ := c.Model("p")
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond) // the first of three attempts is enough
			defer cancel()
			providertestAnswer(ctx, m)
			if key := <-got; key != test.key {
				t.Errorf("sent %q; want %q", key, test.key)
			}
		})
	}
}

func providertestAnswer(ctx context.Context, m provider.Model) {
	m.Answer(ctx, provider.Request{}, func(provider.Part) {})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	select { // only the first one
	case <-r.Context().Done():
		return nil, r.Context().Err()
	default:
		return f(r)
	}
}

// last is what answers when nothing else does.
type last struct{}

func (last) Answer(_ context.Context, _ provider.Request, emit func(provider.Part)) (provider.Turn, error) {
	emit(provider.Part{Text: "built in"})
	return provider.Turn{Stop: provider.Stopped, Model: BuiltIn}, nil
}

// TestModels: each provider is asked at its own address in its own way, and its fallbacks after it.
func TestModels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string
		var mu sync.Mutex
		transport := providertest.Transport(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			var body struct {
				Model     string
				MaxTokens int `json:"max_tokens"`
			}
			json.NewDecoder(r.Body).Decode(&body)
			mu.Lock()
			asked = append(asked, fmt.Sprint(r.Host, r.URL.Path, " ", body.Model, " ", body.MaxTokens, " ", r.Header.Get("X-Api-Key")+r.Header.Get("Authorization")))
			mu.Unlock()
			providertest.Status(403, `{}`)(w, r)
		}))
		settings := map[string]Settings{
			"cloud":  {API: OpenAIResponses, URL: "http://one.test/v1", Model: "m1", KeyEnv: "A", Fallback: []string{"claude", "local"}},
			"claude": {API: Anthropic, URL: "http://two.test", Model: "m2", KeyEnv: "B", MaxTokens: 20},
			"local":  {API: OpenAI, URL: "http://three.test/v1", Model: "m3", MaxTokens: 30},
		}
		var log bytes.Buffer
		c, err := Open(settings, Options{
			Last: last{}, Transport: transport, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Getenv: func(name string) (string, bool) { return "key-" + name, true },
		})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		ask := func(name string) providertest.Answer {
			m, ok := c.Model(name)
			if !ok {
				t.Fatalf("no %s", name)
			}
			return providertest.Ask(t.Context(), t, m, provider.Request{})
		}
		if a := ask("cloud"); a.Said != "built in" || !a.Turn.Degraded {
			t.Errorf("%+v", a)
		}
		if a := ask("local"); a.Said != "built in" || !a.Turn.Degraded {
			t.Errorf("%+v", a)
		}
		if a := ask(""); a.Said != "built in" || a.Turn.Degraded {
			t.Errorf("%+v", a)
		}
		want := []string{
			"one.test/v1/responses m1 0 Bearer key-A", "two.test/v1/messages m2 20 key-B", "three.test/v1/chat/completions m3 30 ",
			"three.test/v1/chat/completions m3 30 ",
		}
		if !reflect.DeepEqual(asked, want) {
			t.Errorf("asked %q; want %q", asked, want)
		}
		if _, ok := c.Model("nobody"); ok || !reflect.DeepEqual(c.Names(), []string{"claude", "cloud", "local"}) {
			t.Errorf("%v", c.Names())
		}
	})
}

// TestSharedBreaker: a provider has one breaker, whoever comes to it.
func TestSharedBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := map[string]int{}
		var mu sync.Mutex
		transport := providertest.Transport(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			asked[r.Host]++
			mu.Unlock()
			providertest.Status(500, ``)(w, r)
		}))
		c, err := Open(map[string]Settings{
			"a": {API: OpenAI, URL: "http://a.test", Model: "m", Fallback: []string{"b"}},
			"b": {API: OpenAI, URL: "http://b.test", Model: "m"},
		}, Options{Last: last{}, Transport: transport, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"b", "b", "a"} {
			m, _ := c.Model(name)
			if a := providertest.Ask(t.Context(), t, m, provider.Request{}); a.Said != "built in" {
				t.Errorf("%+v", a)
			}
		}
		if asked["b.test"] != resilient.DefaultFailures || asked["a.test"] != resilient.DefaultAttempts {
			t.Errorf("asked %v", asked)
		}
	})
}

// A leakMeter keeps all that it is told, as text.
type leakMeter struct{ text strings.Builder }

func (m *leakMeter) Asked(a resilient.Attempt)      { fmt.Fprintf(&m.text, "%+v\n", a) }
func (m *leakMeter) Breaker(name string, open bool) { fmt.Fprintln(&m.text, name, open) }

// TestNoKeyLeaks has servers repeat the key in every place of an error that they have. Neither what is logged, nor what
// is told, nor any error, nor what is emitted holds it.
func TestNoKeyLeaks(t *testing.T) {
	body := `{"error":{"message":"` + secret + `","type":"` + secret + `","code":"` + secret + `","param":"` + secret + `"}}`
	event := func(data string) string { return "event: " + secret + "\n" + providertest.Events(data) }
	answers := map[string]http.HandlerFunc{
		"redirect":    providertest.Status(302, secret, "Location", "http://p.test/"+secret),
		"malformed":   providertest.Status(200, secret),
		"no event":    providertest.Stream(secret + "\n\n"),
		"no JSON":     providertest.Stream(event(secret)),
		"other JSON":  providertest.Stream(event(`{"choices":"` + secret + `","type":{"` + secret + `":1}}`)),
		"an error":    providertest.Stream(event(body)),
		"typed error": providertest.Stream(event(`{"type":"error",` + body[1:])),
		"failed":      providertest.Stream(event(`{"type":"response.failed","response":` + body + `}`)),
		"a wrong call": providertest.Stream(event(`{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"`+secret+`"}}]},"finish_reason":"tool_calls"}]}`) +
			event("[DONE]")),
		"cut":   providertest.Stream("data: "+secret, providertest.Cut{}),
		"stall": providertest.Stream("data: "+secret, time.Hour),
	}
	for _, status := range []int{400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 503, 529} {
		answers[fmt.Sprint("status ", status)] = providertest.Status(status, body, "Retry-After", secret, "X-Request-Id", secret, "Www-Authenticate", secret)
	}
	for _, api := range []API{OpenAI, OpenAIResponses, Anthropic} {
		for name, answer := range answers {
			t.Run(string(api)+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var log bytes.Buffer
					told := &leakMeter{}
					c, err := Open(map[string]Settings{"p": {API: api, URL: "http://p.test/", Model: "m", KeyEnv: "K"}}, Options{
						Getenv:    func(string) (string, bool) { return secret, true },
						Transport: providertest.Transport(t, answer), Meter: told,
						Logger: slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
					})
					if err != nil {
						t.Fatal(err)
					}
					m, _ := c.Model("p")
					turn, err := m.Answer(t.Context(), provider.Request{}, func(p provider.Part) { t.Errorf("said %+v", p) })
					if err == nil {
						t.Fatalf("no error: %+v", turn)
					}
					everything := fmt.Sprintf("%v %+v %#v %+v %+v", err, err, err, turn, c) + told.text.String() + log.String()
					for e := err; e != nil; e = errors.Unwrap(e) {
						everything += fmt.Sprintf("%v %+v %#v", e, e, e)
					}
					if strings.Contains(everything, secret) || !strings.Contains(everything, "p") {
						t.Errorf("the key is in %s", everything)
					}
				})
			})
		}
	}
}

// TestTransportOfItsOwn closes what it opened.
func TestTransportOfItsOwn(t *testing.T) {
	c, err := Open(map[string]Settings{"p": {API: OpenAI, URL: "http://127.0.0.1:1/v1", Model: "m"}}, Options{Last: last{}, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	m, _ := c.Model("p")
	if a := providertest.Ask(t.Context(), t, m, provider.Request{}); a.Said != "built in" || !a.Turn.Degraded {
		t.Errorf("%+v", a)
	}
	c.Close()
}
