// Package anthropic asks models over Anthropic's messages API, which some other servers speak too.
//
// # Model
//
// A Model writes a turn as the API has it; a decoder reads its events; package endpoint does what lies between.
// Thoughts are told when they come, and not asked for: the API wants them back, signed, with the results of tools.
//
// # Concurrency
//
// Models may be used by any number of goroutines; they start none.
package anthropic

import (
	"context"
	"encoding/json"
	"strings"

	"confab/bots/provider"
	"confab/bots/provider/endpoint"
)

// BaseURL is Anthropic's own.
const BaseURL = "https://api.anthropic.com"

// DefaultMaxTokens bounds an answer where nothing else does: the API wants a bound, and every model takes this one.
const DefaultMaxTokens = 4096

// version of the API that requests are written in.
const version = "2023-06-01"

// Options say which model is asked, and where.
type Options struct {
	Endpoint  endpoint.Options // URL is the base, with /v1 or without; empty = BaseURL. KeyHeader and Header are set here.
	Model     string
	MaxTokens int // of an answer, where the request sets no smaller one; 0 = DefaultMaxTokens
}

// Messages is a Model by the messages API.
type Messages struct {
	endpoint *endpoint.Endpoint
	opts     Options
}

// New returns a Model that asks POST /v1/messages.
func New(opts Options) *Messages {
	base := opts.Endpoint.URL
	if base == "" {
		base = BaseURL
	}
	opts.Endpoint.URL = strings.TrimSuffix(strings.TrimRight(base, "/"), "/v1") + "/v1/messages"
	opts.Endpoint.KeyHeader = "X-Api-Key"
	opts.Endpoint.Header = map[string]string{"Anthropic-Version": version}
	if opts.MaxTokens <= 0 {
		opts.MaxTokens = DefaultMaxTokens
	}
	return &Messages{endpoint: endpoint.New(opts.Endpoint), opts: opts}
}

// Answer implements provider.Model.
func (m *Messages) Answer(ctx context.Context, r provider.Request, emit func(provider.Part)) (provider.Turn, error) {
	return m.endpoint.Stream(ctx, m.request(r), &decoder{}, emit)
}

// The request.
type (
	request struct {
		Model     string    `json:"model"`
		MaxTokens int       `json:"max_tokens"`
		System    string    `json:"system,omitempty"`
		Messages  []message `json:"messages"`
		Tools     []tool    `json:"tools,omitempty"`
		Stream    bool      `json:"stream"`
	}
	message struct {
		Role    string  `json:"role"`
		Content []block `json:"content"`
	}
	// A block is text, a tool_use or a tool_result.
	block struct {
		Type   string          `json:"type"`
		Text   string          `json:"text,omitempty"`
		ID     string          `json:"id,omitempty"`
		Name   string          `json:"name,omitempty"`
		Input  json.RawMessage `json:"input,omitempty"`
		Use    string          `json:"tool_use_id,omitempty"`
		Result string          `json:"content,omitempty"`
		Failed bool            `json:"is_error,omitempty"`
	}
	tool struct {
		Name        string          `json:"name"`
		Description string          `json:"description,omitempty"`
		Schema      json.RawMessage `json:"input_schema"`
	}
)

// noInput is the schema of a tool that takes nothing.
var noInput = json.RawMessage(`{"type":"object","properties":{}}`)

func (m *Messages) request(r provider.Request) request {
	req := request{Model: m.opts.Model, MaxTokens: m.opts.MaxTokens, System: r.System, Messages: messages(r.Messages), Stream: true}
	if r.MaxTokens > 0 {
		req.MaxTokens = min(req.MaxTokens, r.MaxTokens)
	}
	for _, t := range r.Tools {
		if len(t.Schema) == 0 {
			t.Schema = noInput
		}
		req.Tools = append(req.Tools, tool{t.Name, t.Description, t.Schema})
	}
	return req
}

// messages writes a conversation as the API wants it: a user's message first, the two roles in turns, and no empty text.
func messages(list []provider.Message) []message {
	out := []message{}
	for _, m := range list {
		role := "user"
		if m.Role == provider.Assistant {
			role = "assistant"
		}
		content := blocks(m)
		switch n := len(out); {
		case len(content) == 0:
		case n == 0 && role == "assistant": // what came before it is forgotten
			out = append(out, message{"user", []block{{Type: "text", Text: "…"}}}, message{role, content})
		case n > 0 && out[n-1].Role == role:
			out[n-1].Content = append(out[n-1].Content, content...)
		default:
			out = append(out, message{role, content})
		}
	}
	return out
}

// blocks writes a message. Results stand before text, as the API wants them.
func blocks(m provider.Message) []block {
	var list []block
	for _, r := range m.Results {
		list = append(list, block{Type: "tool_result", Use: r.Call, Result: r.Output, Failed: r.Failed})
	}
	if strings.TrimSpace(m.Text) != "" {
		list = append(list, block{Type: "text", Text: m.Text})
	}
	for _, c := range m.Calls {
		if len(c.Input) == 0 {
			c.Input = json.RawMessage("{}")
		}
		list = append(list, block{Type: "tool_use", ID: c.ID, Name: c.Name, Input: c.Input})
	}
	return list
}
