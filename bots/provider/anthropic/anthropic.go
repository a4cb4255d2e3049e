// Package anthropic asks models over Anthropic's messages API, which some other servers speak too.
//
// # Model
//
// A Model writes a turn as the API has it; a decoder reads its events; package endpoint does what lies between.
// Thoughts are told when they come. With the results of tools the API wants them back, signed as they were; where they
// are not at hand, because another provider gave the turn before, the model is asked to go on without thinking.
//
// # Concurrency
//
// Models may be used by any number of goroutines; they start none.
package anthropic

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"confab/bots/provider"
	"confab/bots/provider/endpoint"
)

// BaseURL is Anthropic's own.
const BaseURL = "https://api.anthropic.com"

// DefaultMaxTokens bounds an answer where nothing else does: the API wants a bound, and every model takes this one.
const DefaultMaxTokens = 4096

// ThinkingMaxTokens is the same for a model that chooses itself how much it thinks, which counts.
const ThinkingMaxTokens = 16384

// MinThinkingTokens is the least that the API takes.
const MinThinkingTokens = 1024

// version of the API that requests are written in.
const version = "2023-06-01"

// Options say which model is asked, and where.
type Options struct {
	Endpoint  endpoint.Options // URL is the base, with /v1 or without; empty = BaseURL. KeyHeader and Header are set here.
	Model     string
	MaxTokens int // of an answer, where the request sets no smaller one; 0 = DefaultMaxTokens, with Effort ThinkingMaxTokens
	// A model thinks before it answers with either of the two; which one it takes depends on the model.
	Effort         string // of a model that chooses itself how much it thinks: low, medium, high ...
	ThinkingTokens int    // that it may think beside MaxTokens, at least MinThinkingTokens
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
	switch {
	case opts.MaxTokens > 0:
	case opts.Effort != "":
		opts.MaxTokens = ThinkingMaxTokens
	default:
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
		Thinking  *thinking `json:"thinking,omitempty"`
		Output    *output   `json:"output_config,omitempty"`
		Stream    bool      `json:"stream"`
	}
	thinking struct {
		Type   string `json:"type"` // enabled, which has a budget, or adaptive
		Budget int    `json:"budget_tokens,omitempty"`
	}
	output struct {
		Effort string `json:"effort"`
	}
	message struct {
		Role    string `json:"role"`
		Content []any  `json:"content"` // blocks, and thoughts as they came
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
	req := request{Model: m.opts.Model, MaxTokens: m.opts.MaxTokens, System: r.System, Messages: m.messages(r.Messages), Stream: true}
	if r.MaxTokens > 0 {
		req.MaxTokens = min(req.MaxTokens, r.MaxTokens)
	}
	if m.mayThink(r.Messages) {
		m.think(&req)
	}
	for _, t := range r.Tools {
		if len(t.Schema) == 0 {
			t.Schema = noInput
		}
		req.Tools = append(req.Tools, tool{t.Name, t.Description, t.Schema})
	}
	return req
}

// mayThink reports whether the API lets the model think: every turn that wanted tools must begin with its thoughts.
func (m *Messages) mayThink(list []provider.Message) bool {
	return !slices.ContainsFunc(list, func(msg provider.Message) bool {
		return len(msg.Calls) > 0 && m.endpoint.Own(msg) == nil
	})
}

func (m *Messages) think(req *request) {
	switch {
	case m.opts.Effort != "":
		req.Thinking, req.Output = &thinking{Type: "adaptive"}, &output{m.opts.Effort}
	case m.opts.ThinkingTokens > 0:
		req.Thinking = &thinking{Type: "enabled", Budget: m.opts.ThinkingTokens}
		req.MaxTokens += m.opts.ThinkingTokens
	}
}

// messages writes a conversation as the API wants it: a user's message first, the two roles in turns, and no empty text.
func (m *Messages) messages(list []provider.Message) []message {
	out := []message{}
	for _, msg := range list {
		role := "user"
		if msg.Role == provider.Assistant {
			role = "assistant"
		}
		content := m.blocks(msg)
		switch n := len(out); {
		case len(content) == 0:
		case n == 0 && role == "assistant": // what came before it is forgotten
			out = append(out, message{"user", []any{block{Type: "text", Text: "…"}}}, message{role, content})
		case n > 0 && out[n-1].Role == role:
			out[n-1].Content = append(out[n-1].Content, content...)
		default:
			out = append(out, message{role, content})
		}
	}
	return out
}

// blocks writes a message. Results stand before text, and thoughts before what followed them, as the API wants them.
func (m *Messages) blocks(msg provider.Message) []any {
	var list []any
	for _, r := range msg.Results {
		list = append(list, block{Type: "tool_result", Use: r.Call, Result: r.Output, Failed: r.Failed})
	}
	thoughts := m.endpoint.Own(msg)
	next := func(call int) {
		for ; len(thoughts) > 0 && thoughts[0].Before <= call; thoughts = thoughts[1:] {
			list = append(list, thoughts[0].Data)
		}
	}
	if len(msg.Calls) > 0 {
		next(0)
	}
	if strings.TrimSpace(msg.Text) != "" {
		list = append(list, block{Type: "text", Text: msg.Text})
	}
	for i, c := range msg.Calls {
		next(i)
		if len(c.Input) == 0 {
			c.Input = json.RawMessage("{}")
		}
		list = append(list, block{Type: "tool_use", ID: c.ID, Name: c.Name, Input: c.Input})
	}
	return list
}
