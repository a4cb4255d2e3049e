// Package catalog makes Models of the providers in the settings.
//
// # Model
//
// Settings say what a provider is; Check looks at all of them together; Open reads the keys, each from an environment
// variable or a file and from nowhere else, and makes a Model for each provider: itself, then its fallbacks in order,
// then a last Model that needs no server. Providers share one pool of connections, and each has one circuit breaker
// whoever asks it.
//
// # Concurrency
//
// A Catalog does not change once it is open.
package catalog

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"sort"
	"strings"
	"time"

	"confab/bots/provider/anthropic"
	"confab/bots/provider/endpoint"
	"confab/bots/provider/openai"
)

// API is a way of asking models.
type API string

// The APIs.
const (
	OpenAI          API = "openai"           // chat completions, also of Ollama, vLLM, llama.cpp and others
	OpenAIResponses API = "openai-responses" // OpenAI's newer API
	Anthropic       API = "anthropic"        // messages
)

// Settings are those of one provider, as they stand in the file of bots under its name.
type Settings struct {
	API   API    `yaml:"api"`
	URL   string `yaml:"url"`   // base of the API, such as http://localhost:11434/v1; empty = the vendor's own
	Model string `yaml:"model"` // as the provider names it
	// The key: from an environment variable or a file. Servers of one's own may need none.
	KeyEnv  string `yaml:"keyEnv"`
	KeyFile string `yaml:"keyFile"`

	MaxTokens   int                `yaml:"maxTokens"`   // of an answer; 0 = the model's own bound, at Anthropic 4096
	TokensField openai.TokensField `yaml:"tokensField"` // api openai: max_tokens or max_completion_tokens; empty = by the url
	Reasoning   string             `yaml:"reasoning"`   // effort of models that reason: low, medium, high ...; empty = not sent
	// ThinkingTokens make a model of Anthropic's think that has no effort: how much, beside maxTokens; 0 = not sent.
	ThinkingTokens int      `yaml:"thinkingTokens"`
	Timeouts       Timeouts `yaml:"timeouts"`
	Fallback       []string `yaml:"fallback"` // names of providers that are asked when this one cannot answer, in order
}

// Timeouts are how long a provider may take. Zero values are the defaults of package endpoint.
type Timeouts struct {
	Connect time.Duration `yaml:"connect"` // until there is a connection
	First   time.Duration `yaml:"first"`   // until the first piece of the answer, with all that is asked again
	Stall   time.Duration `yaml:"stall"`   // from one piece to the next
}

// The bounds.
const (
	MaxProviders  = 32
	maxFallbacks  = 8
	maxModel      = 128
	maxMaxTokens  = 1 << 20
	minTimeout    = 100 * time.Millisecond
	maxTimeout    = 10 * time.Minute
	maxConnecting = endpoint.MaxConnect
)

// validName is how providers are called: they stand in logs, metrics and settings.
var validName = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,31}$`)

// variable is what an environment variable can be called (POSIX, section 8.1).
var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// BuiltIn is the name that no provider can have: it is what answers without one.
const BuiltIn = "built-in"

// A SettingError is a setting with a bad value: which, what is wrong with it, and what to write instead.
type SettingError struct {
	Provider string
	Field    string // as in the file; empty = the provider's name
	Text     string
}

// Error implements error.
func (e *SettingError) Error() string {
	if e.Field == "" {
		return fmt.Sprintf("providers: %s: %s", e.Provider, e.Text)
	}
	return fmt.Sprintf("providers: %s: %s: %s", e.Provider, e.Field, e.Text)
}

// Check looks at the settings of all providers. The error joins all that is wrong, a *SettingError each, in the order
// of the names; nothing in it is secret.
func Check(providers map[string]Settings) error {
	var problems []error
	if len(providers) > MaxProviders {
		problems = append(problems, fmt.Errorf("providers: %d are more than %d", len(providers), MaxProviders))
	}
	for _, name := range names(providers) {
		s := providers[name]
		bad := func(field, format string, args ...any) {
			problems = append(problems, &SettingError{Provider: name, Field: field, Text: fmt.Sprintf(format, args...)})
		}
		s.check(name, providers, bad)
	}
	return errors.Join(problems...)
}

func names(providers map[string]Settings) []string {
	list := make([]string, 0, len(providers))
	for name := range providers {
		list = append(list, name)
	}
	sort.Strings(list)
	return list
}

func (s *Settings) check(own string, all map[string]Settings, bad func(field, format string, args ...any)) {
	if !validName.MatchString(own) || own == BuiltIn {
		bad("", "a provider cannot be called that; take up to 32 of a to z, 0 to 9, . _ -, and not %s", BuiltIn)
	}
	switch s.API {
	case OpenAI, OpenAIResponses, Anthropic:
	case "":
		bad("api", "it is missing; write %s, %s or %s", OpenAI, OpenAIResponses, Anthropic)
	default:
		bad("api", "%q is not known; write %s (also for Ollama, vLLM, llama.cpp), %s or %s", s.API, OpenAI, OpenAIResponses, Anthropic)
	}
	if s.Model == "" || len(s.Model) > maxModel {
		bad("model", "name one as the provider does, in up to %d bytes", maxModel)
	}
	if err := checkURL(s.URL); err != nil {
		bad("url", "%v", err)
	}
	s.checkKey(bad)
	s.checkFor(bad)
	s.checkTimes(bad)
	s.checkFallback(own, all, bad)
}

func (s *Settings) checkKey(bad func(field, format string, args ...any)) {
	switch {
	case s.KeyEnv != "" && s.KeyFile != "":
		bad("keyFile", "keyEnv is set too; leave one of them out")
	case s.KeyEnv != "" && !variable.MatchString(s.KeyEnv): // it may be the key itself: it is not repeated
		bad("keyEnv", "it is no name of an environment variable; put the key into one, such as OPENAI_API_KEY, and write that name here")
	case s.KeyEnv == "" && s.KeyFile == "" && s.URL == "":
		bad("keyEnv", "%s needs a key; name the environment variable that holds it, or its file with keyFile", s.vendor())
	}
}

// vendor is the host that an empty url stands for.
func (s *Settings) vendor() string {
	base := openai.BaseURL
	if s.API == Anthropic {
		base = anthropic.BaseURL
	}
	u, err := url.Parse(base)
	if err != nil {
		panic(err) // a constant
	}
	return u.Host
}

// checkFor looks at what only some APIs have.
func (s *Settings) checkFor(bad func(field, format string, args ...any)) {
	if s.MaxTokens < 0 || s.MaxTokens > maxMaxTokens {
		bad("maxTokens", "%d is not within 0 and %d", s.MaxTokens, maxMaxTokens)
	}
	switch s.TokensField {
	case openai.AutoTokens:
	case openai.MaxTokens, openai.MaxCompletionTokens:
		if s.API != OpenAI {
			bad("tokensField", "only api %s has it; leave it out", OpenAI)
		}
	default:
		bad("tokensField", "%q is not known; write %s or %s, or leave it out", s.TokensField, openai.MaxTokens, openai.MaxCompletionTokens)
	}
	switch {
	case s.ThinkingTokens == 0:
	case s.API != Anthropic:
		bad("thinkingTokens", "only api %s has it; write reasoning: low, medium or high", Anthropic)
	case s.Reasoning != "":
		bad("thinkingTokens", "reasoning is set too, and a model takes one of them; leave the other one out")
	case s.ThinkingTokens < anthropic.MinThinkingTokens || s.ThinkingTokens > maxMaxTokens:
		bad("thinkingTokens", "%d is not within %d and %d", s.ThinkingTokens, anthropic.MinThinkingTokens, maxMaxTokens)
	}
	if s.Reasoning != "" && !validName.MatchString(s.Reasoning) {
		bad("reasoning", "it is no effort; write one such as low, medium or high")
	}
}

func (s *Settings) checkTimes(bad func(field, format string, args ...any)) {
	for _, t := range []struct {
		field string
		value time.Duration
		most  time.Duration
	}{
		{"timeouts.connect", s.Timeouts.Connect, maxConnecting},
		{"timeouts.first", s.Timeouts.First, maxTimeout},
		{"timeouts.stall", s.Timeouts.Stall, maxTimeout},
	} {
		if t.value != 0 && (t.value < minTimeout || t.value > t.most) {
			bad(t.field, "%v is not within %v and %v", t.value, minTimeout, t.most)
		}
	}
}

func (s *Settings) checkFallback(own string, all map[string]Settings, bad func(field, format string, args ...any)) {
	if len(s.Fallback) > maxFallbacks {
		bad("fallback", "%d are more than %d", len(s.Fallback), maxFallbacks)
	}
	for i, next := range s.Fallback {
		_, known := all[next]
		switch {
		case next == BuiltIn:
			bad("fallback", "%s is the last one always; leave it out", BuiltIn)
		case next == own:
			bad("fallback", "it names the provider itself; leave that out")
		case slices.Contains(s.Fallback[:i], next):
			bad("fallback", "%q stands there twice", next)
		case !known:
			bad("fallback", "there is no provider %q; the others are %s", next, others(own, all))
		}
	}
}

func others(own string, all map[string]Settings) string {
	list := slices.DeleteFunc(names(all), func(name string) bool { return name == own })
	if len(list) == 0 {
		return "none"
	}
	return strings.Join(list, ", ")
}

// checkURL takes the base of an API; empty is the vendor's own.
func checkURL(text string) error {
	if text == "" {
		return nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		return errors.New("it is no http or https URL; write the base of the API, such as http://localhost:11434/v1")
	case u.User != nil:
		return errors.New("it holds a user or a password, which end up in logs; leave them out and set keyEnv or keyFile")
	case u.Fragment != "":
		return errors.New("leave out what stands behind #")
	}
	return nil
}

// isPrivate reports whether a URL's host is of this machine or of a network of one's own, as far as its name tells.
func isPrivate(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	host := u.Hostname()
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast()
	}
	return !strings.Contains(host, ".") || strings.HasSuffix(host, ".local") || strings.HasSuffix(host, ".internal")
}
