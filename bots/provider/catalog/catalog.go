package catalog

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"confab/bots/provider"
	"confab/bots/provider/anthropic"
	"confab/bots/provider/endpoint"
	"confab/bots/provider/openai"
	"confab/bots/provider/resilient"
)

// maxKey bounds a key, in bytes.
const maxKey = 4 << 10

// Options say what Models are made with.
type Options struct {
	// Last answers when no provider can, and must not fail; nil = nothing does.
	Last provider.Model
	// Getenv looks up environment variables; nil = os.LookupEnv.
	Getenv func(name string) (string, bool)
	// Transport carries all requests; nil = one with sensible limits.
	Transport http.RoundTripper
	Meter     resilient.Meter // nil = none
	Logger    *slog.Logger    // nil = slog.Default()
}

// A Catalog is the configured providers.
type Catalog struct {
	names  []string
	models map[string]provider.Model
	last   provider.Model
	idle   func() // closes connections that nobody uses
}

// Open makes the Models of settings that Check has passed, and reads their keys. It opens no connection.
//
// Errors: those of Check, and a *SettingError for each key that cannot be read.
func Open(providers map[string]Settings, opts Options) (*Catalog, error) {
	if err := Check(providers); err != nil {
		return nil, err
	}
	opts.setDefaults()
	c := &Catalog{names: names(providers), models: map[string]provider.Model{}, last: opts.Last, idle: func() {}}
	if t, ok := opts.Transport.(interface{ CloseIdleConnections() }); ok {
		c.idle = t.CloseIdleConnections
	}
	asked := map[string]*resilient.Provider{}
	var problems []error
	for _, name := range c.names {
		p, err := open(name, providers[name], opts)
		if err != nil {
			problems = append(problems, err)
		}
		asked[name] = p
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	for _, name := range c.names {
		order := []*resilient.Provider{asked[name]}
		for _, next := range providers[name].Fallback {
			order = append(order, asked[next])
		}
		c.models[name] = resilient.NewChain(order, opts.Last)
	}
	return c, nil
}

func (o *Options) setDefaults() {
	if o.Getenv == nil {
		o.Getenv = os.LookupEnv
	}
	if o.Transport == nil {
		o.Transport = endpoint.NewTransport()
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

// Model returns the Model of a provider with its fallbacks. The empty name and BuiltIn are the last Model.
// False when there is none of that name.
func (c *Catalog) Model(name string) (provider.Model, bool) {
	if name == "" || name == BuiltIn {
		return c.last, c.last != nil
	}
	m, ok := c.models[name]
	return m, ok
}

// Names returns the providers' names, sorted.
func (c *Catalog) Names() []string { return append([]string{}, c.names...) }

// Close closes the connections that are open and not in use.
func (c *Catalog) Close() { c.idle() }

func open(name string, s Settings, opts Options) (*resilient.Provider, error) {
	at, err := s.at(name, opts)
	if err != nil {
		return nil, err
	}
	return resilient.NewProvider(resilient.Options{
		Name: name, Model: s.model(at), First: at.Times.First, Meter: opts.Meter, Logger: opts.Logger,
	}), nil
}

// At returns where and with which key a provider is asked for other things than turns, whose settings Check has passed.
// URL is the base of the API. The error is that of the key.
func At(name string, s Settings, opts Options) (endpoint.Options, error) {
	opts.setDefaults()
	if s.URL == "" {
		s.URL = openai.BaseURL
	}
	return s.at(name, opts)
}

func (s *Settings) at(name string, opts Options) (endpoint.Options, error) {
	key, err := s.key(name, opts)
	if err != nil {
		return endpoint.Options{}, err
	}
	if !key.IsZero() && strings.HasPrefix(s.URL, "http:") && !isPrivate(s.URL) {
		opts.Logger.Warn("a provider's key goes over the network in the clear: write https in its url", "provider", name)
	}
	times := endpoint.Times{Connect: s.Timeouts.Connect, First: s.Timeouts.First, Stall: s.Timeouts.Stall}
	return endpoint.Options{Provider: name, URL: s.URL, Key: key, Times: times, Transport: opts.Transport}, nil
}

func (s *Settings) model(at endpoint.Options) provider.Model {
	switch s.API {
	case Anthropic:
		return anthropic.New(anthropic.Options{
			Endpoint: at, Model: s.Model, MaxTokens: s.MaxTokens, Effort: s.Reasoning, ThinkingTokens: s.ThinkingTokens,
		})
	case OpenAIResponses:
		return openai.NewResponses(openai.Options{Endpoint: at, Model: s.Model, MaxTokens: s.MaxTokens, Reasoning: s.Reasoning})
	default:
		return openai.NewChat(openai.Options{
			Endpoint: at, Model: s.Model, MaxTokens: s.MaxTokens, Reasoning: s.Reasoning, TokensField: s.TokensField,
		})
	}
}

// key reads the provider's key. Errors: *SettingError.
func (s *Settings) key(name string, opts Options) (provider.Key, error) {
	field, text := "keyEnv", ""
	switch {
	case s.KeyEnv != "":
		value, set := opts.Getenv(s.KeyEnv)
		if !set {
			return provider.Key{}, &SettingError{name, field, variableName(s.KeyEnv) + " is not set; set it to the key"}
		}
		text = value
	case s.KeyFile != "":
		field = "keyFile"
		value, err := readKey(s.KeyFile, name, opts.Logger)
		if err != nil {
			return provider.Key{}, &SettingError{name, field, fmt.Sprintf("%v; write the key into that file", err)}
		}
		text = value
	default:
		return provider.Key{}, nil
	}
	text = strings.TrimSpace(text)
	if text == "" || len(text) > maxKey || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return provider.Key{}, &SettingError{name, field, "what is found there is no key: it is empty, too long, or has other than printable ASCII in it"}
	}
	return provider.NewKey(text), nil
}

// variableName names an environment variable in an error, unless somebody may have written the key in its place.
func variableName(name string) string {
	if name != strings.ToUpper(name) {
		return "the environment variable that it names"
	}
	return "the environment variable " + name
}

func readKey(path, name string, log *slog.Logger) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o077 != 0 {
		log.Warn("others on this machine can read a provider's key: chmod 600 "+path, "provider", name, "mode", info.Mode().Perm().String())
	}
	text, err := io.ReadAll(io.LimitReader(file, maxKey+64))
	return string(text), err
}
