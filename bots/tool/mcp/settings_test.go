package mcp

import (
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

func TestSettings(t *testing.T) {
	var got map[string]Settings
	d := yaml.NewDecoder(strings.NewReader(`
files:
  command: mcp-files
  args: [--read-only, /srv/docs]
  env: [FILES_TOKEN]
  tools: [read, list]
  write: []
  timeout: 10s
web:
  url: https://mcp.example.org/mcp
  headersEnv: {Authorization: MCP_AUTHORIZATION}
`))
	d.KnownFields(true)
	if err := d.Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := map[string]Settings{
		"files": {Command: "mcp-files", Args: []string{"--read-only", "/srv/docs"}, Env: []string{"FILES_TOKEN"}, Tools: []string{"read", "list"}, Write: []string{}, Timeout: 10 * time.Second},
		"web":   {URL: "https://mcp.example.org/mcp", HeadersEnv: map[string]string{"Authorization": "MCP_AUTHORIZATION"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if err := errors.Join(Check(got), Check(nil)); err != nil {
		t.Error(err)
	}
}

// TestCheck breaks one setting at a time, and reads what is said of it.
func TestCheck(t *testing.T) {
	program := func(change func(*Settings)) Settings {
		s := Settings{Command: "x"}
		change(&s)
		return s
	}
	tests := map[string]struct {
		name string // empty = s
		s    Settings
		want string
	}{
		"name":         {name: "My server", s: Settings{Command: "x"}, want: "mcp: My server: a server cannot be called that; take up to 20 of a to z, 0 to 9 and -"},
		"nothing":      {want: "mcp: s: command: it is missing; name a program, or a server with url"},
		"both":         {s: Settings{Command: "x", URL: "http://x"}, want: "mcp: s: url: command is set too; leave one of them out"},
		"no url":       {s: Settings{URL: "mcp.example.org"}, want: "mcp: s: url: it is no http or https URL; write one such as https://mcp.example.org/mcp"},
		"password":     {s: Settings{URL: "http://u:secret@x"}, want: "mcp: s: url: it holds a user or a password, which end up in logs; leave them out and set headersEnv"},
		"args of none": {s: Settings{URL: "http://x", Args: []string{"a"}}, want: "mcp: s: args: only a command has args and env; leave them out"},
		"headers":      {s: program(func(s *Settings) { s.HeadersEnv = map[string]string{"A": "B"} }), want: "mcp: s: headersEnv: only a url has headers; leave it out, or set env"},
		"reserved":     {s: Settings{URL: "http://x", HeadersEnv: map[string]string{"mcp-session-id": "B"}}, want: `mcp: s: headersEnv: "mcp-session-id" is no header that can be set`},
		"no header":    {s: Settings{URL: "http://x", HeadersEnv: map[string]string{"a b": "B"}}, want: `mcp: s: headersEnv: "a b" is no header that can be set`},
		"a value":      {s: Settings{URL: "http://x", HeadersEnv: map[string]string{"A": "Bearer secret"}}, want: "mcp: s: headersEnv: A: it is no name of an environment variable; put the header's value into one, and write that name here"},
		"env value":    {s: program(func(s *Settings) { s.Env = []string{"TOKEN=secret"} }), want: "mcp: s: env: one of the list is no name of an environment variable; list names alone, their values come from this server's environment"},
		"write":        {s: program(func(s *Settings) { s.Tools, s.Write = []string{"a"}, []string{"b"} }), want: `mcp: s: write: "b" is not among tools, which are all that may be used`},
		"long list":    {s: program(func(s *Settings) { s.Tools = make([]string, maxList+1) }), want: "mcp: s: tools: it is too long; 64 entries and 4096 bytes are the most"},
		"long entry":   {s: program(func(s *Settings) { s.Args = []string{strings.Repeat("x", maxText+1)} }), want: "mcp: s: args: it is too long; 64 entries and 4096 bytes are the most"},
		"timeout":      {s: program(func(s *Settings) { s.Timeout = time.Hour }), want: "mcp: s: timeout: 1h0m0s is not within 100ms and 10m0s"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if test.name == "" {
				test.name = "s"
			}
			if err := Check(map[string]Settings{test.name: test.s}); err == nil || err.Error() != test.want || strings.Contains(test.want, "secret") {
				t.Errorf("%v\nwant %s", err, test.want)
			}
		})
	}
	many := map[string]Settings{}
	for i := range MaxServers + 1 {
		many[fmt.Sprint("s", i)] = Settings{Command: "x"}
	}
	if err := Check(many); err == nil || err.Error() != "mcp: 33 servers are more than 32" {
		t.Error(err)
	}
}

// TestSecrets: what is not in the environment is told all at once, by name where that cannot be the secret.
func TestSecrets(t *testing.T) {
	_, err := Open(map[string]Settings{
		"a": {Command: "x", Env: []string{"ONE", "maybe_secret"}},
		"b": {URL: "http://x", HeadersEnv: map[string]string{"A": "BROKEN"}},
	}, Options{Logger: slog.New(slog.DiscardHandler), Getenv: func(name string) (string, bool) { return "a secret\nX: y", name == "BROKEN" }})
	want := "mcp: a: env: the environment variable ONE is not set\nmcp: a: env: an environment variable that it names is not set\n" +
		"mcp: b: headersEnv: the value for A has line breaks or other control characters in it"
	if err == nil || err.Error() != want {
		t.Errorf("%v\nwant %s", err, want)
	}
}

// TestUniqueName: names of tools are such that models take them, and each has its own.
func TestUniqueName(t *testing.T) {
	taken := map[string]bool{}
	seen := map[string]string{}
	for _, name := range []string{"read", "read_file", "read.file", "read file", "read/file", "READ", "für", "fur", "日本", "本日",
		strings.Repeat("x", 43), strings.Repeat("x", 42), strings.Repeat("x", 200), strings.Repeat("x", 201), "_", ""} {
		got := uniqueName("a-server-of-20-bytes", name, taken)
		if len(got) > maxToolName || strings.ContainsFunc(got, func(r rune) bool {
			return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
		}) || seen[got] != "" || !strings.HasPrefix(got, "a-server-of-20-bytes__") {
			t.Errorf("%q became %q, as %q did", name, got, seen[got])
		}
		seen[got] = name + "!"
	}
	if got := uniqueName("s", "read_file", map[string]bool{}); got != "s__read_file" {
		t.Errorf("%s", got)
	}
}

func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"für 日本 👩‍🔬\n\tx":                "für 日本 👩‍🔬\n\tx",
		"a\x00\x1b[31mb\x7f\u0085c":      "a[31mbc",
		"a\u200b\u200e\u202e\u2066b":     "ab",
		"a\U000e0041\U000e007fb":         "ab",
		"a\ufeff\u00ad\u2060\ue000b":     "ab",
		"a\u115f\u3164\ufff9\U000e0100b": "ab", // fillers and variation selectors
		"a\xff\xed\xa0\x80b":             "ab",
	} {
		if got := clean(in); got != want {
			t.Errorf("%q became %q; want %q", in, got, want)
		}
	}
}

// FuzzDescribe: whatever a server says, what is shown is bounded UTF-8 without what hides in it.
func FuzzDescribe(f *testing.F) {
	f.Add("Adds.\x00\u200b\u202e Ignore\U000e0041", "read/file")
	f.Add(strings.Repeat("ü", 2000), "\xff")
	f.Fuzz(func(t *testing.T, text, name string) {
		for _, shown := range []string{describe("s", text), uniqueName("s", name, map[string]bool{})} {
			if !utf8.ValidString(shown) || len(shown) > maxDescription+64 || clean(shown) != shown {
				t.Errorf("%q", shown)
			}
		}
	})
}
