package openai

import (
	"encoding/json"

	"confab/bots/provider"
	"confab/bots/provider/endpoint"
	"confab/bots/provider/sse"
)

// The request of chat completions.
type (
	chatRequest struct {
		Model               string        `json:"model"`
		Messages            []chatMessage `json:"messages"`
		Tools               []chatTool    `json:"tools,omitempty"`
		MaxTokens           int           `json:"max_tokens,omitempty"`
		MaxCompletionTokens int           `json:"max_completion_tokens,omitempty"`
		ReasoningEffort     string        `json:"reasoning_effort,omitempty"`
		Stream              bool          `json:"stream"`
		StreamOptions       streamOptions `json:"stream_options"`
	}
	streamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	}
	chatMessage struct {
		Role    string     `json:"role"`
		Content *string    `json:"content"` // null beside calls without text
		Calls   []chatCall `json:"tool_calls,omitempty"`
		Call    string     `json:"tool_call_id,omitempty"`
	}
	chatCall struct {
		ID       string       `json:"id"`
		Type     string       `json:"type"`
		Function chatFunction `json:"function"`
	}
	chatFunction struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	}
	chatTool struct {
		Type     string       `json:"type"`
		Function functionTool `json:"function"`
	}
	functionTool struct {
		Name        string          `json:"name"`
		Description string          `json:"description,omitempty"`
		Parameters  json.RawMessage `json:"parameters"`
	}
)

func (m *Chat) request(r provider.Request) chatRequest {
	req := chatRequest{
		Model: m.opts.Model, Messages: chatMessages(r), ReasoningEffort: m.opts.Reasoning,
		Stream: true, StreamOptions: streamOptions{IncludeUsage: true},
	}
	if m.opts.TokensField == MaxCompletionTokens {
		req.MaxCompletionTokens = m.opts.maxTokens(r)
	} else {
		req.MaxTokens = m.opts.maxTokens(r)
	}
	for _, t := range r.Tools {
		req.Tools = append(req.Tools, chatTool{"function", functionTool{t.Name, t.Description, schema(t)}})
	}
	return req
}

func chatMessages(r provider.Request) []chatMessage {
	var list []chatMessage
	if r.System != "" {
		list = append(list, chatMessage{Role: "system", Content: &r.System})
	}
	for _, m := range r.Messages {
		switch m.Role {
		case provider.ToolRole:
			for _, result := range m.Results {
				text := output(result)
				list = append(list, chatMessage{Role: "tool", Content: &text, Call: result.Call})
			}
		case provider.Assistant:
			said := chatMessage{Role: "assistant"}
			if m.Text != "" || len(m.Calls) == 0 {
				said.Content = &m.Text
			}
			for _, c := range m.Calls {
				said.Calls = append(said.Calls, chatCall{c.ID, "function", chatFunction{c.Name, string(c.Input)}})
			}
			list = append(list, said)
		case provider.User:
			list = append(list, chatMessage{Role: "user", Content: &m.Text})
		}
	}
	return list
}

// A chatEvent is a chunk of chat completions, with what compatible servers call things.
type chatEvent struct {
	Model   string `json:"model"`
	Choices []struct {
		Index int `json:"index"`
		Delta struct {
			Content          endpoint.Raw   `json:"content"`
			Refusal          endpoint.Raw   `json:"refusal"`
			ReasoningContent endpoint.Raw   `json:"reasoning_content"` // DeepSeek, vLLM, llama.cpp
			Reasoning        endpoint.Raw   `json:"reasoning"`         // OpenRouter, Ollama
			ToolCalls        []chatCallPart `json:"tool_calls"`
		} `json:"delta"`
		FinishReason string `json:"finish_reason"`
	} `json:"choices"`
	Usage *struct {
		Input   int `json:"prompt_tokens"`
		Output  int `json:"completion_tokens"`
		Details struct {
			Cached int `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
	} `json:"usage"`
	Error *endpoint.Failure `json:"error"`
}

type chatCallPart struct {
	Index    *int   `json:"index"`
	ID       string `json:"id"`
	Function struct {
		Name      string          `json:"name"`
		Arguments endpoint.Object `json:"arguments"`
	} `json:"function"`
}

// A chatDecoder reads the chunks of one answer. The answer is whole when a finish_reason has come; [DONE] ends it.
type chatDecoder struct{ refused bool }

// Event implements endpoint.Decoder.
func (d *chatDecoder) Event(c *endpoint.Collector, event sse.Event) error {
	if string(event.Data) == "[DONE]" {
		if !c.Stopped() {
			return errNoEnd
		}
		c.End("")
		return nil
	}
	var e chatEvent
	if err := endpoint.Decode(event.Data, &e); err != nil {
		return err
	}
	if e.Error != nil {
		return e.Error
	}
	c.Model(e.Model)
	if u := e.Usage; u != nil {
		c.Usage(provider.Usage{Input: u.Input, Cached: u.Details.Cached, Output: u.Output})
	}
	for _, choice := range e.Choices {
		if choice.Index != 0 { // one was asked for
			continue
		}
		delta := choice.Delta
		c.Thinking(delta.ReasoningContent)
		if delta.ReasoningContent == "" { // some send both, with the same text
			c.Thinking(delta.Reasoning)
		}
		c.Text(delta.Content)
		c.Text(delta.Refusal)
		d.refused = d.refused || delta.Refusal != ""
		for _, part := range delta.ToolCalls {
			if err := addCallPart(c, part); err != nil {
				return err
			}
		}
		if stop := d.stop(choice.FinishReason); stop != "" {
			c.Stop(stop)
		}
	}
	return nil
}

// addCallPart adds to the call that the part belongs to. Its index says to which; some compatible servers send none or
// always 0, so that another ID begins another call.
func addCallPart(c *endpoint.Collector, part chatCallPart) error {
	key := max(c.LastKey(), 0)
	if part.Index != nil {
		key = *part.Index
	}
	call, err := c.Call(key)
	if err != nil {
		return err
	}
	if part.ID != "" && call.ID != "" && part.ID != call.ID {
		if last, err := c.Call(c.LastKey()); err == nil && last.ID == part.ID {
			call = last
		} else if call, err = c.Call(c.LastKey() + 1); err != nil {
			return err
		}
	}
	if part.ID != "" {
		call.ID = part.ID
	}
	if part.Function.Name != "" {
		call.Name = part.Function.Name
	}
	return c.Arguments(call, endpoint.Raw(part.Function.Arguments))
}

func (d *chatDecoder) stop(reason string) provider.Stop {
	switch {
	case reason == "":
		return ""
	case reason == "content_filter", d.refused:
		return provider.Refused
	case reason == "length":
		return provider.Length
	case reason == "tool_calls", reason == "function_call":
		return provider.Tools
	}
	return provider.Stopped
}
