// Package mcp gives bots the tools of MCP servers (Model Context Protocol): programs that are run here and spoken to by
// their standard input and output, and servers elsewhere that speak streamable HTTP. The protocol is
// modelcontextprotocol/go-sdk's; this is the only package that imports it.
//
// # Model
//
// Settings name the servers. A server is started when its tools are asked for the first time, and again, after a time
// that doubles, when it ended. Each of its tools is a tool.Tool called server__tool.
//
// # Trust
//
// What a server says is data: descriptions are given as its own words, outputs are text for the model, and neither is an
// instruction. A tool writes, so that a person must approve it, unless its server says that it only reads, or the
// settings decide. A Fingerprint tells whether a tool is still the one that was approved; one that changed since it was
// listed is not called. Nothing that a server asks of its client is there: it can read no files, ask no person and use
// no model. A program gets none of this server's environment but what is named; a URL is not followed elsewhere.
//
// # Bounds
//
// Messages, lists, schemas, descriptions and outputs have bounds, see the constants; a server that breaks that of a
// message is ended. A call takes at most its timeout, and a server that leaves two in a row unanswered is ended.
// Processes end with Close, and with them all that they started: they are killed as a group.
//
// # Concurrency
//
// Everything may be called from any number of goroutines. Each session has a goroutine that waits for its end, beside
// those of the SDK; Close waits for all of them.
package mcp

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"sync"

	"confab/bots/tool"
)

// Options say what servers are run with. Zero values are the defaults.
type Options struct {
	Getenv func(name string) (string, bool) // looks up environment variables; nil = os.LookupEnv
	Logger *slog.Logger                     // nil = slog.Default()
}

// Servers are the configured MCP servers.
type Servers struct {
	// Set by Open, then constant.
	names    []string
	byName   map[string]*server
	log      *slog.Logger
	lifetime context.Context // ends with Close
	end      context.CancelCauseFunc

	running sync.WaitGroup // what waits for sessions
}

// ErrClosed says that the Servers were closed.
var ErrClosed = errors.New("MCP servers are closed")

// passed are the environment variables that every program gets.
var passed = []string{"PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR", "SHELL", "SystemRoot", "PATHEXT", "TEMP", "APPDATA"}

// Open reads the secrets of the settings. It starts no server. Who opens Servers closes them.
//
// Errors: those of Check, and a *SettingError for each environment variable that is not set.
func Open(settings map[string]Settings, opts Options) (*Servers, error) {
	if err := Check(settings); err != nil {
		return nil, err
	}
	if opts.Getenv == nil {
		opts.Getenv = os.LookupEnv
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	all := &Servers{names: names(settings), byName: map[string]*server{}, log: opts.Logger}
	all.lifetime, all.end = context.WithCancelCause(context.Background())
	var problems []error
	for _, name := range all.names {
		s := &server{
			name: name, settings: settings[name], log: opts.Logger, owner: all, headers: map[string]string{},
			calls: make(chan struct{}, maxCalls), turn: make(chan struct{}, 1),
		}
		problems = append(problems, s.readSecrets(opts.Getenv))
		all.byName[name] = s
	}
	if err := errors.Join(problems...); err != nil {
		all.end(ErrClosed)
		return nil, err
	}
	return all, nil
}

// readSecrets takes what the settings name from the environment.
func (s *server) readSecrets(getenv func(string) (string, bool)) error {
	var problems []error
	read := func(field, from string) string {
		value, set := getenv(from)
		if !set {
			text := "an environment variable that it names is not set"
			if from == strings.ToUpper(from) { // else it may be the secret itself
				text = "the environment variable " + from + " is not set"
			}
			problems = append(problems, &SettingError{Server: s.name, Field: field, Text: text})
		}
		s.secrets = append(s.secrets, value)
		return value
	}
	for _, from := range s.settings.Env {
		s.env = append(s.env, from+"="+read("env", from))
	}
	for name, from := range s.settings.HeadersEnv {
		value := read("headersEnv", from)
		if strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			problems = append(problems, &SettingError{Server: s.name, Field: "headersEnv", Text: "the value for " + name + " has line breaks or other control characters in it"})
		}
		s.headers[name] = value
	}
	for _, name := range passed {
		if value, set := getenv(name); set && !contains(s.settings.Env, name) {
			s.env = append(s.env, name+"="+value)
		}
	}
	return errors.Join(problems...)
}

// Names returns the servers' names, sorted.
func (all *Servers) Names() []string { return append([]string{}, all.names...) }

// Tools returns the tools of the servers named, which it starts where they do not run; without names, of all. Those of
// servers that cannot be asked are left out, and the error, which then stands beside the others' tools, joins why.
//
// Tools of the same server have different names; so have those of different ones, whose names begin with the server's.
func (all *Servers) Tools(ctx context.Context, names ...string) ([]tool.Tool, error) {
	if len(names) == 0 {
		names = all.names
	}
	type answer struct {
		tools []*Tool
		err   error
	}
	answers := make([]answer, len(names))
	var asking sync.WaitGroup
	for i, name := range names {
		s := all.byName[name]
		if s == nil {
			answers[i].err = &SettingError{Server: name, Text: "there is no such server"}
			continue
		}
		asking.Go(func() {
			if _, answers[i].tools, answers[i].err = s.list(ctx); answers[i].err != nil {
				answers[i].err = &ServerError{Server: name, Err: answers[i].err}
			}
		})
	}
	asking.Wait()
	var tools []tool.Tool
	var problems []error
	for _, a := range answers {
		problems = append(problems, a.err)
		for _, t := range a.tools {
			tools = append(tools, t)
		}
	}
	return tools, errors.Join(problems...)
}

// A ServerError is why a server's tools are not to be had. Its text names nothing secret.
type ServerError struct {
	Server string
	Err    error
}

// Error implements error.
func (e *ServerError) Error() string { return "MCP server " + e.Server + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ServerError) Unwrap() error { return e.Err }

// Close ends all servers and what they started, and waits for that. Calls that go on fail with ErrClosed.
func (all *Servers) Close() {
	all.end(ErrClosed)
	for _, name := range all.names {
		s := all.byName[name]
		s.turn <- struct{}{} // nobody starts it now, nor later: the lifetime has ended
		s.mu.Lock()
		old := s.session
		s.mu.Unlock()
		s.failed(old)
		<-s.turn
	}
	all.running.Wait()
}
