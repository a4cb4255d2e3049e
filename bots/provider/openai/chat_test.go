package openai

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"confab/bots/provider"
	"confab/bots/provider/endpoint"
	"confab/bots/provider/providertest"
	"confab/bots/provider/sse"
)

var events = providertest.Events

type answer = providertest.Answer

// question is a conversation with everything in it.
var question = provider.Request{
	System: "Be brief.",
	Messages: []provider.Message{
		{Role: provider.User, Text: "Ann: What is 1+1?"},
		{Role: provider.Assistant, Text: "Let me see.", Calls: []provider.Call{
			{ID: "c1", Name: "add", Input: json.RawMessage(`{"a":1}`)}, {ID: "c2", Name: "clock", Input: json.RawMessage(`{}`)},
		}},
		{Role: provider.ToolRole, Results: []provider.Result{
			{Call: "c1", Name: "add", Output: "2"}, {Call: "c2", Name: "clock", Output: "no clock", Failed: true},
		}},
		{Role: provider.Assistant, Calls: []provider.Call{{ID: "c3", Name: "add", Input: json.RawMessage(`{"a":2}`)}}},
		{Role: provider.ToolRole, Results: []provider.Result{{Call: "c3", Name: "add", Output: "3"}}},
		{Role: provider.User, Text: "Well?"},
	},
	Tools: []provider.Tool{
		{Name: "add", Description: "Adds.", Schema: json.RawMessage(`{"type":"object","properties":{"a":{"type":"integer"}}}`)},
		{Name: "clock"},
	},
	MaxTokens: 100,
}

func chatOver(transport http.RoundTripper) provider.Model {
	return NewChat(Options{Endpoint: endpoint.Options{Provider: "p", URL: "http://p.test/v1", Transport: transport}, Model: "m"})
}

// delta is a chunk with a delta, and the reason of the end if there is one.
func delta(content, finish string) string {
	reason := "null"
	if finish != "" {
		reason = `"` + finish + `"`
	}
	return `{"id":"x","object":"chat.completion.chunk","created":1,"model":"m-1","choices":[{"index":0,"delta":` + content +
		`,"logprobs":null,"finish_reason":` + reason + `}],"usage":null}`
}

const chatUsage = `{"model":"m-1","choices":[],"usage":{"prompt_tokens":20,"completion_tokens":5,"total_tokens":25,"prompt_tokens_details":{"cached_tokens":16}}}`

func call(id, name, input string) provider.Call {
	return provider.Call{ID: id, Name: name, Input: json.RawMessage(input)}
}

func TestChat(t *testing.T) {
	used := provider.Usage{Input: 20, Cached: 16, Output: 5}
	tests := map[string]struct {
		stream string
		want   answer
	}{
		"text": {
			events(delta(`{"role":"assistant","content":"","refusal":null}`, ""), delta(`{"content":"Für "}`, ""), delta(`{"content":"日本 👩‍🔬"}`, ""), delta(`{}`, "stop"), chatUsage, "[DONE]"),
			answer{Said: "Für 日本 👩‍🔬", Turn: provider.Turn{Stop: provider.Stopped, Model: "m-1", Usage: used}},
		},
		"no mark of the end": {
			events(delta(`{"content":"a"}`, "stop")),
			answer{Said: "a", Turn: provider.Turn{Stop: provider.Stopped, Model: "m-1"}},
		},
		"usage beside the end": {
			events(delta(`{"content":"a"}`, ""), `{"model":"m-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":16}}}`, "[DONE]"),
			answer{Said: "a", Turn: provider.Turn{Stop: provider.Stopped, Model: "m-1", Usage: used}},
		},
		"a character cut apart": {
			events(delta(`{"content":"\ud83d"}`, ""), delta(`{"content":"\ude00"}`, "stop"), "[DONE]"),
			answer{Said: "😀", Turn: provider.Turn{Stop: provider.Stopped, Model: "m-1"}},
		},
		"other ends of lines": {
			strings.ReplaceAll(": processing\n\n"+events(delta(`{"content":"a"}`, "stop"), "[DONE]"), "\n", "\r\n"),
			answer{Said: "a", Turn: provider.Turn{Stop: provider.Stopped, Model: "m-1"}},
		},
		"thoughts": {
			events(delta(`{"reasoning_content":"hm"}`, ""), delta(`{"reasoning":"m"}`, ""), delta(`{"reasoning_content":".","reasoning":"."}`, ""), delta(`{"content":"a","reasoning_content":null}`, "stop"), "[DONE]"),
			answer{Said: "a", Thinking: "hmm.", Turn: provider.Turn{Stop: provider.Stopped, Model: "m-1"}},
		},
		"calls side by side": {
			events(
				delta(`{"content":null,"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"add","arguments":""}}]}`, ""),
				delta(`{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\":"}}]}`, ""),
				delta(`{"tool_calls":[{"index":1,"id":"c2","type":"function","function":{"name":"clock","arguments":""}}]}`, ""),
				delta(`{"tool_calls":[{"index":0,"function":{"arguments":"\"\ud83d"}},{"index":1,"function":{"arguments":"{}"}}]}`, ""),
				delta(`{"tool_calls":[{"index":0,"function":{"arguments":"\ude00\"}"}}]}`, ""),
				delta(`{}`, "tool_calls"), chatUsage, "[DONE]"),
			answer{Turn: provider.Turn{Stop: provider.Tools, Model: "m-1", Usage: used, Calls: []provider.Call{call("c1", "add", `{"a":"😀"}`), call("c2", "clock", "{}")}}},
		},
		"calls without an index": {
			events(
				delta(`{"tool_calls":[{"id":"c1","function":{"name":"add","arguments":"{\"a\":1}"}}]}`, ""),
				delta(`{"tool_calls":[{"id":"c2","function":{"name":"add","arguments":"{\"a\":"}}]}`, ""),
				delta(`{"tool_calls":[{"function":{"arguments":"2}"}}]}`, ""), delta(`{}`, "stop"), "[DONE]"),
			answer{Turn: provider.Turn{Stop: provider.Tools, Model: "m-1", Calls: []provider.Call{call("c1", "add", `{"a":1}`), call("c2", "add", `{"a":2}`)}}},
		},
		"calls all of index 0": {
			events(
				delta(`{"tool_calls":[{"index":0,"id":"c1","function":{"name":"add","arguments":"{}"}},{"index":0,"id":"c2","function":{"name":"clock","arguments":"{}"}}]}`, ""),
				delta(`{"tool_calls":[{"index":0,"id":"c3","function":{"name":"add","arguments":"{}"}}]}`, "tool_calls"), "[DONE]"),
			answer{Turn: provider.Turn{Stop: provider.Tools, Model: "m-1", Calls: []provider.Call{call("c1", "add", "{}"), call("c2", "clock", "{}"), call("c3", "add", "{}")}}},
		},
		"an ID with each piece, arguments as an object": {
			events(
				delta(`{"tool_calls":[{"index":0,"id":"c1","function":{"name":"add","arguments":{"a": 1}}}]}`, ""),
				delta(`{"tool_calls":[{"index":1,"id":"c2","function":{"name":"add","arguments":"{"}}]}`, ""),
				delta(`{"tool_calls":[{"index":1,"id":"c2","function":{"arguments":"}"}}]}`, "tool_calls"), "[DONE]"),
			answer{Turn: provider.Turn{Stop: provider.Tools, Model: "m-1", Calls: []provider.Call{call("c1", "add", `{"a": 1}`), call("c2", "add", "{}")}}},
		},
		"text and a call": {
			events(delta(`{"content":"Let me see."}`, ""), delta(`{"tool_calls":[{"index":0,"id":"c1","function":{"name":"add","arguments":"{}"}}]}`, ""), delta(`{}`, "tool_calls"), "[DONE]"),
			answer{Said: "Let me see.", Turn: provider.Turn{Stop: provider.Tools, Model: "m-1", Calls: []provider.Call{call("c1", "add", "{}")}}},
		},
		"length": {
			events(delta(`{"content":"a"}`, ""), delta(`{"tool_calls":[{"index":0,"id":"c1","function":{"name":"add","arguments":"{\"a"}}]}`, ""), delta(`{}`, "length"), "[DONE]"),
			answer{Said: "a", Turn: provider.Turn{Stop: provider.Length, Model: "m-1"}},
		},
		"refused": {
			events(delta(`{"refusal":"I can't."}`, ""), delta(`{}`, "stop"), "[DONE]"),
			answer{Said: "I can't.", Turn: provider.Turn{Stop: provider.Refused, Model: "m-1"}},
		},
		"filtered": {
			events(delta(`{"content":"a"}`, ""), delta(`{}`, "content_filter"), "[DONE]"),
			answer{Said: "a", Turn: provider.Turn{Stop: provider.Refused, Model: "m-1"}},
		},
		"another choice": {
			events(`{"choices":[{"index":1,"delta":{"content":"b"},"finish_reason":"stop"}]}`, delta(`{"content":"a"}`, "stop"), "[DONE]"),
			answer{Said: "a", Turn: provider.Turn{Stop: provider.Stopped, Model: "m-1"}},
		},
		"done before the end": {
			events(delta(`{"content":"a"}`, ""), "[DONE]"),
			answer{Said: "a", Turn: provider.Turn{Model: "m-1"}, Code: provider.Broken},
		},
		"an error in mid-answer": {
			events(delta(`{"content":"a"}`, ""), `{"error":{"message":"The server had an error","type":"server_error","param":null,"code":null}}`),
			answer{Said: "a", Turn: provider.Turn{Model: "m-1"}, Code: provider.Unavailable},
		},
		"an error as an event": {
			events(delta(`{"content":"a"}`, "")) + "event: error\n" + events(`{"error":{"type":"rate_limit_exceeded"}}`),
			answer{Said: "a", Turn: provider.Turn{Model: "m-1"}, Code: provider.RateLimited},
		},
		"arguments that are no JSON": {
			events(delta(`{"tool_calls":[{"index":0,"id":"c1","function":{"name":"add","arguments":"{a:1}"}}]}`, "tool_calls"), "[DONE]"),
			answer{Turn: provider.Turn{Stop: provider.Tools, Model: "m-1"}, Code: provider.Broken},
		},
		"no JSON":    {events(delta(`{"content":"a"}`, ""), `{"choices":[`), answer{Said: "a", Turn: provider.Turn{Model: "m-1"}, Code: provider.Broken}},
		"other JSON": {events(`{"choices":"none"}`), answer{Code: provider.Broken}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { providertest.EachWay(t, test.stream, chatOver, test.want) })
	}
}

func TestChatRequest(t *testing.T) {
	path, body := providertest.Requested(t, chatOver, question, events(delta(`{}`, "stop"), "[DONE]"))
	if path != "/v1/chat/completions" {
		t.Error(path)
	}
	providertest.SameJSON(t, body, `{
		"model": "m", "stream": true, "stream_options": {"include_usage": true}, "max_tokens": 100,
		"messages": [
			{"role": "system", "content": "Be brief."},
			{"role": "user", "content": "Ann: What is 1+1?"},
			{"role": "assistant", "content": "Let me see.", "tool_calls": [
				{"id": "c1", "type": "function", "function": {"name": "add", "arguments": "{\"a\":1}"}},
				{"id": "c2", "type": "function", "function": {"name": "clock", "arguments": "{}"}}]},
			{"role": "tool", "tool_call_id": "c1", "content": "2"},
			{"role": "tool", "tool_call_id": "c2", "content": "The tool failed: no clock"},
			{"role": "assistant", "content": null, "tool_calls": [
				{"id": "c3", "type": "function", "function": {"name": "add", "arguments": "{\"a\":2}"}}]},
			{"role": "tool", "tool_call_id": "c3", "content": "3"},
			{"role": "user", "content": "Well?"}],
		"tools": [
			{"type": "function", "function": {"name": "add", "description": "Adds.", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}},
			{"type": "function", "function": {"name": "clock", "parameters": {"type": "object", "properties": {}}}}]}`)
}

// TestTokens: which field bounds an answer, and by how much.
func TestTokens(t *testing.T) {
	tests := map[string]struct {
		url      string
		field    TokensField
		own, req int
		old, new int // max_tokens, max_completion_tokens
		path     string
	}{
		"OpenAI":         {"", AutoTokens, 0, 50, 0, 50, "https://api.openai.com/v1/chat/completions"},
		"OpenAI by name": {"https://eu.api.openai.com/v1/", AutoTokens, 0, 50, 0, 50, "https://eu.api.openai.com/v1/chat/completions"},
		"Azure":          {"https://x.openai.azure.com/openai/v1?api-version=2", AutoTokens, 0, 50, 0, 50, "https://x.openai.azure.com/openai/v1/chat/completions?api-version=2"},
		"Ollama":         {"http://localhost:11434/v1", AutoTokens, 0, 50, 50, 0, "http://localhost:11434/v1/chat/completions"},
		"set old":        {"", MaxTokens, 0, 50, 50, 0, "https://api.openai.com/v1/chat/completions"},
		"set new":        {"http://vllm/v1", MaxCompletionTokens, 0, 50, 0, 50, "http://vllm/v1/chat/completions"},
		"no bound":       {"", AutoTokens, 0, 0, 0, 0, "https://api.openai.com/v1/chat/completions"},
		"own bound":      {"", AutoTokens, 70, 0, 0, 70, "https://api.openai.com/v1/chat/completions"},
		"smaller asked":  {"", AutoTokens, 70, 50, 0, 50, "https://api.openai.com/v1/chat/completions"},
		"larger asked":   {"", AutoTokens, 70, 90, 0, 70, "https://api.openai.com/v1/chat/completions"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			m := NewChat(Options{Endpoint: endpoint.Options{URL: test.url}, MaxTokens: test.own, TokensField: test.field})
			req := m.request(provider.Request{MaxTokens: test.req})
			if req.MaxTokens != test.old || req.MaxCompletionTokens != test.new || m.opts.Endpoint.URL != test.path {
				t.Errorf("%d, %d at %s", req.MaxTokens, req.MaxCompletionTokens, m.opts.Endpoint.URL)
			}
		})
	}
}

func FuzzChat(f *testing.F) {
	f.Add([]byte(events(delta(`{"content":"Für "}`, ""), delta(`{}`, "stop"), chatUsage, "[DONE]")))
	f.Add([]byte(events(delta(`{"tool_calls":[{"index":0,"id":"c","function":{"name":"add","arguments":"{}"}}]}`, "tool_calls"), "[DONE]")))
	f.Add([]byte(events(`{"error":{"code":429}}`)))
	f.Fuzz(func(t *testing.T, stream []byte) {
		providertest.Check(t, stream, chatOver)
	})
}

// TestEventKeepsNothing: an event's bytes are the reader's, and change after it.
func TestEventKeepsNothing(t *testing.T) {
	data := []byte(delta(`{"tool_calls":[{"index":0,"id":"c1","function":{"name":"add","arguments":{"a":1}}}]}`, "tool_calls"))
	c := endpoint.NewCollector(func(provider.Part) {})
	if err := (&chatDecoder{}).Event(c, sse.Event{Data: data}); err != nil {
		t.Fatal(err)
	}
	call, err := c.Call(0)
	clear(data)
	if err != nil || call.ID != "c1" || call.Name != "add" || !call.HasArguments() {
		t.Errorf("%+v, %v", call, err)
	}
}
