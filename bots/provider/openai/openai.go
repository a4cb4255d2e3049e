// Package openai asks models over OpenAI's APIs: chat completions, which servers of other makers speak too (Ollama,
// vLLM, llama.cpp), and responses.
//
// # Model
//
// Each API has a Model that writes a turn as the API has it, and a decoder of its events; package endpoint does what
// lies between. Nothing is kept at the provider (store is false).
//
// # Concurrency
//
// Models may be used by any number of goroutines; they start none.
package openai

import (
	"context"
	"encoding/json"
	"net/url"
	"strings"

	"confab/bots/provider"
	"confab/bots/provider/endpoint"
)

// BaseURL is OpenAI's own.
const BaseURL = "https://api.openai.com/v1"

// TokensField is the field of chat completions that bounds an answer.
type TokensField string

// The fields.
const (
	// AutoTokens is MaxCompletionTokens at OpenAI and Azure, whose newer models take nothing else, and MaxTokens
	// elsewhere, which every other server knows.
	AutoTokens          TokensField = ""
	MaxTokens           TokensField = "max_tokens"
	MaxCompletionTokens TokensField = "max_completion_tokens"
)

// Options say which model is asked, and where.
type Options struct {
	Endpoint    endpoint.Options // URL is the base, which the path of the request is added to; empty = BaseURL
	Model       string
	MaxTokens   int         // of an answer, where the request sets no smaller one; 0 = the model's own bound
	TokensField TokensField // chat completions only
	Reasoning   string      // effort of models that reason (minimal, low, medium, high ...); empty = the model's own, not sent
}

// Chat is a Model by chat completions.
type Chat struct {
	endpoint *endpoint.Endpoint
	opts     Options
}

// Responses is a Model by the responses API.
type Responses struct {
	endpoint *endpoint.Endpoint
	opts     Options
}

// NewChat returns a Model that asks POST /chat/completions.
func NewChat(opts Options) *Chat {
	if opts.TokensField == AutoTokens {
		opts.TokensField = tokensField(opts.Endpoint.URL)
	}
	opts.Endpoint.URL = at(opts.Endpoint.URL, "/chat/completions")
	return &Chat{endpoint: endpoint.New(opts.Endpoint), opts: opts}
}

// NewResponses returns a Model that asks POST /responses.
func NewResponses(opts Options) *Responses {
	opts.Endpoint.URL = at(opts.Endpoint.URL, "/responses")
	return &Responses{endpoint: endpoint.New(opts.Endpoint), opts: opts}
}

// at adds a path to a base URL, before its query, which Azure has one in.
func at(base, path string) string {
	if base == "" {
		base = BaseURL
	}
	base, query, found := strings.Cut(base, "?")
	base = strings.TrimRight(base, "/") + path
	if found {
		base += "?" + query
	}
	return base
}

func tokensField(base string) TokensField {
	u, err := url.Parse(base)
	if err != nil {
		return MaxTokens
	}
	host := u.Hostname()
	for _, own := range []string{"", "api.openai.com"} {
		if host == own {
			return MaxCompletionTokens
		}
	}
	for _, domain := range []string{".openai.com", ".openai.azure.com", ".services.ai.azure.com"} {
		if strings.HasSuffix(host, domain) {
			return MaxCompletionTokens
		}
	}
	return MaxTokens
}

// Answer implements provider.Model.
func (m *Chat) Answer(ctx context.Context, r provider.Request, emit func(provider.Part)) (provider.Turn, error) {
	return m.endpoint.Stream(ctx, m.request(r), &chatDecoder{}, emit)
}

// Answer implements provider.Model.
func (m *Responses) Answer(ctx context.Context, r provider.Request, emit func(provider.Part)) (provider.Turn, error) {
	return m.endpoint.Stream(ctx, m.request(r), &responsesDecoder{}, emit)
}

// maxTokens is the smaller of the bounds that are set; 0 = none is.
func (o Options) maxTokens(r provider.Request) int {
	if r.MaxTokens > 0 && (o.MaxTokens == 0 || r.MaxTokens < o.MaxTokens) {
		return r.MaxTokens
	}
	return o.MaxTokens
}

// noInput is the schema of a tool that takes nothing.
var noInput = json.RawMessage(`{"type":"object","properties":{}}`)

func schema(t provider.Tool) json.RawMessage {
	if len(t.Schema) == 0 {
		return noInput
	}
	return t.Schema
}

// output is what a result says. The APIs have no field for a failed call.
func output(r provider.Result) string {
	if r.Failed {
		return "The tool failed: " + r.Output
	}
	return r.Output
}
