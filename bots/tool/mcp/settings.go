package mcp

import (
	"errors"
	"fmt"
	"net/textproto"
	"net/url"
	"regexp"
	"sort"
	"strings"
	"time"
)

// Settings are those of one MCP server, as they stand in the file of bots under its name: a command to run, or a URL.
type Settings struct {
	Command string   `yaml:"command"` // a program that speaks MCP by its standard input and output
	Args    []string `yaml:"args"`
	// Env names the environment variables of this server's own that the command gets, besides PATH, HOME, LANG and a few
	// like them. Their values are secret: they stand in no file of settings and in no log.
	Env []string `yaml:"env"`

	URL string `yaml:"url"` // a server that speaks MCP by streamable HTTP
	// HeadersEnv says which headers a URL gets, and which environment variable holds the whole of each value.
	HeadersEnv map[string]string `yaml:"headersEnv"`

	// Tools are those that may be used; empty = all.
	Tools []string `yaml:"tools"`
	// Write are those that change something. Without the key that is every tool whose server does not say that it only
	// reads; an empty list says that none does.
	Write   []string      `yaml:"write"`
	Timeout time.Duration `yaml:"timeout"` // of a call, and of starting; 0 = DefaultTimeout
}

// The bounds of settings.
const (
	MaxServers     = 32
	DefaultTimeout = 30 * time.Second

	minTimeout = 100 * time.Millisecond
	maxTimeout = 10 * time.Minute
	maxList    = 64 // entries of any list
	maxText    = 4 << 10
)

var (
	// validName is what servers are called: with what separates them, their names leave room for those of tools.
	validName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,19}$`)
	// variable is what an environment variable can be called (POSIX, section 8.1).
	variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	// header is what a header can be called (RFC 9110 section 5.1).
	header = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$")
)

// reserved are headers that are not for settings: they belong to HTTP or to MCP itself.
var reserved = map[string]bool{
	"Accept": true, "Content-Type": true, "Content-Length": true, "Host": true, "Connection": true, "Transfer-Encoding": true,
	"Mcp-Session-Id": true, "Mcp-Protocol-Version": true, "Last-Event-Id": true,
}

// A SettingError is a setting with a bad value: which, what is wrong with it, and what to write instead.
type SettingError struct {
	Server string
	Field  string // as in the file; empty = the server's name
	Text   string
}

// Error implements error.
func (e *SettingError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("mcp: %s: %s", e.Server, e.Text)
	}
	return fmt.Sprintf("mcp: %s: %s: %s", e.Server, e.Field, e.Text)
}

// Check looks at the settings of all servers. The error joins all that is wrong, a *SettingError each, in the order of
// the names; nothing in it is secret.
func Check(servers map[string]Settings) error {
	var problems []error
	if len(servers) > MaxServers {
		problems = append(problems, fmt.Errorf("mcp: %d servers are more than %d", len(servers), MaxServers))
	}
	for _, name := range names(servers) {
		s := servers[name]
		s.check(name, func(field, format string, args ...any) {
			problems = append(problems, &SettingError{Server: name, Field: field, Text: fmt.Sprintf(format, args...)})
		})
	}
	return errors.Join(problems...)
}

func names(servers map[string]Settings) []string {
	list := make([]string, 0, len(servers))
	for name := range servers {
		list = append(list, name)
	}
	sort.Strings(list)
	return list
}

func (s *Settings) check(name string, bad func(field, format string, args ...any)) {
	if !validName.MatchString(name) {
		bad("", "a server cannot be called that; take up to 20 of a to z, 0 to 9 and -")
	}
	switch {
	case s.Command == "" && s.URL == "":
		bad("command", "it is missing; name a program, or a server with url")
	case s.Command != "" && s.URL != "":
		bad("url", "command is set too; leave one of them out")
	case s.Command != "":
		s.checkCommand(bad)
	default:
		s.checkURL(bad)
	}
	s.checkLists(bad)
	if s.Timeout != 0 && (s.Timeout < minTimeout || s.Timeout > maxTimeout) {
		bad("timeout", "%v is not within %v and %v", s.Timeout, minTimeout, maxTimeout)
	}
}

func (s *Settings) checkCommand(bad func(field, format string, args ...any)) {
	if len(s.HeadersEnv) > 0 {
		bad("headersEnv", "only a url has headers; leave it out, or set env")
	}
	for _, name := range s.Env { // they may be values by mistake: they are not repeated
		if !variable.MatchString(name) {
			bad("env", "one of the list is no name of an environment variable; list names alone, their values come from this server's environment")
		}
	}
}

func (s *Settings) checkURL(bad func(field, format string, args ...any)) {
	u, err := url.Parse(s.URL)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		bad("url", "it is no http or https URL; write one such as https://mcp.example.org/mcp")
	case u.User != nil:
		bad("url", "it holds a user or a password, which end up in logs; leave them out and set headersEnv")
	}
	if len(s.Args) > 0 || len(s.Env) > 0 {
		bad("args", "only a command has args and env; leave them out")
	}
	for name, from := range s.HeadersEnv {
		if !header.MatchString(name) || reserved[textproto.CanonicalMIMEHeaderKey(name)] {
			bad("headersEnv", "%q is no header that can be set", name)
		}
		if !variable.MatchString(from) {
			bad("headersEnv", "%s: it is no name of an environment variable; put the header's value into one, and write that name here", name)
		}
	}
}

func (s *Settings) checkLists(bad func(field, format string, args ...any)) {
	for _, list := range []struct {
		field string
		of    []string
	}{{"args", s.Args}, {"env", s.Env}, {"tools", s.Tools}, {"write", s.Write}} {
		if len(list.of) > maxList || len(strings.Join(list.of, "")) > maxText {
			bad(list.field, "it is too long; %d entries and %d bytes are the most", maxList, maxText)
		}
	}
	for _, name := range s.Write {
		if len(s.Tools) > 0 && !contains(s.Tools, name) {
			bad("write", "%q is not among tools, which are all that may be used", name)
		}
	}
	if len(s.HeadersEnv) > maxList {
		bad("headersEnv", "it is too long; %d entries are the most", maxList)
	}
}

func contains(list []string, name string) bool {
	for _, entry := range list {
		if entry == name {
			return true
		}
	}
	return false
}

func (s *Settings) timeout() time.Duration {
	if s.Timeout <= 0 {
		return DefaultTimeout
	}
	return s.Timeout
}
