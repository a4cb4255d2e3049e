package openai

import (
	"encoding/json"
	"net/http"
	"testing"

	"confab/bots/provider"
	"confab/bots/provider/endpoint"
	"confab/bots/provider/providertest"
)

func responsesOver(transport http.RoundTripper) provider.Model {
	return NewResponses(Options{Endpoint: endpoint.Options{Provider: "p", URL: "http://p.test/v1", Transport: transport}, Model: "m"})
}

// typed is a stream of events whose type also stands before the data, as OpenAI sends them.
func typed(list ...[2]string) string {
	stream := ""
	for _, e := range list {
		stream += "event: " + e[0] + "\n" + events(`{"type":"`+e[0]+`",`+e[1]+`}`)
	}
	return stream
}

var (
	created   = [2]string{"response.created", `"response":{"id":"r","model":"m-1","status":"in_progress","usage":null}`}
	completed = [2]string{"response.completed", `"response":{"id":"r","model":"m-1","status":"completed","error":null,"incomplete_details":null,` +
		`"output":[{"type":"message","content":[{"type":"output_text","text":"all of it again"}]}],` +
		`"usage":{"input_tokens":20,"input_tokens_details":{"cached_tokens":16},"output_tokens":5,"output_tokens_details":{"reasoning_tokens":2},"total_tokens":25}}`}
)

func text(s string) [2]string {
	return [2]string{"response.output_text.delta", `"item_id":"i","output_index":0,"content_index":0,"delta":"` + s + `"`}
}

func TestResponses(t *testing.T) {
	used := provider.Usage{Input: 20, Cached: 16, Output: 5}
	tests := map[string]struct {
		stream string
		want   answer
	}{
		"text": {
			typed(created, [2]string{"response.in_progress", `"response":{}`}, [2]string{"response.output_item.added", `"output_index":0,"item":{"type":"message","content":[]}`},
				text("Für "), text(`日本 \ud83d`), text(`\ude00`),
				[2]string{"response.output_text.done", `"text":"Für 日本 😀"`}, completed),
			answer{Said: "Für 日本 😀", Turn: provider.Turn{Stop: provider.Stopped, Model: "m-1", Usage: used}},
		},
		"the type in the data alone": {
			events(`{"type":"response.output_text.delta","delta":"a"}`, `{"type":"response.completed","response":{}}`),
			answer{Said: "a", Turn: provider.Turn{Stop: provider.Stopped}},
		},
		"the type before the data alone": {
			"event: response.output_text.delta\n" + events(`{"delta":"a"}`) + "event: response.completed\n" + events(`{"response":{}}`),
			answer{Said: "a", Turn: provider.Turn{Stop: provider.Stopped}},
		},
		"thoughts": {
			typed(created, [2]string{"response.reasoning_summary_part.added", `"summary_index":0`}, [2]string{"response.reasoning_summary_text.delta", `"delta":"one"`},
				[2]string{"response.reasoning_summary_part.added", `"summary_index":1`}, [2]string{"response.reasoning_summary_text.delta", `"delta":"two"`},
				[2]string{"response.reasoning_text.delta", `"delta":"!"`}, text("a"), completed),
			answer{Said: "a", Thinking: "one\n\ntwo!", Turn: provider.Turn{Stop: provider.Stopped, Model: "m-1", Usage: used}},
		},
		"calls side by side": {
			typed(created,
				[2]string{"response.output_item.added", `"output_index":1,"item":{"type":"function_call","id":"i1","call_id":"c1","name":"add","arguments":""}`},
				[2]string{"response.output_item.added", `"output_index":2,"item":{"type":"function_call","id":"i2","call_id":"c2","name":"clock","arguments":""}`},
				[2]string{"response.function_call_arguments.delta", `"output_index":1,"item_id":"i1","delta":"{\"a\""`},
				[2]string{"response.function_call_arguments.delta", `"output_index":2,"item_id":"i2","delta":"{}"`},
				[2]string{"response.function_call_arguments.delta", `"output_index":1,"item_id":"i1","delta":":1}"`},
				[2]string{"response.function_call_arguments.done", `"output_index":1,"arguments":"{\"a\":1}"`},
				[2]string{"response.output_item.done", `"output_index":1,"item":{"type":"function_call","id":"i1","call_id":"c1","name":"add","arguments":"{\"a\":1}"}`},
				completed),
			answer{Turn: provider.Turn{Stop: provider.Tools, Model: "m-1", Usage: used, Calls: []provider.Call{call("c1", "add", `{"a":1}`), call("c2", "clock", "{}")}}},
		},
		"a call in one piece": {
			typed([2]string{"response.output_item.done", `"output_index":0,"item":{"type":"function_call","call_id":"c1","name":"add","arguments":"{\"a\":1}"}`}, completed),
			answer{Turn: provider.Turn{Stop: provider.Tools, Model: "m-1", Usage: used, Calls: []provider.Call{call("c1", "add", `{"a":1}`)}}},
		},
		"length": {
			typed(text("a"), [2]string{"response.incomplete", `"response":{"model":"m-1","incomplete_details":{"reason":"max_output_tokens"},"usage":{"input_tokens":1,"output_tokens":2}}`}),
			answer{Said: "a", Turn: provider.Turn{Stop: provider.Length, Model: "m-1", Usage: provider.Usage{Input: 1, Output: 2}}},
		},
		"filtered": {
			typed(text("a"), [2]string{"response.incomplete", `"response":{"incomplete_details":{"reason":"content_filter"}}`}),
			answer{Said: "a", Turn: provider.Turn{Stop: provider.Refused}},
		},
		"refused": {
			typed([2]string{"response.refusal.delta", `"delta":"I can't."`}, completed),
			answer{Said: "I can't.", Turn: provider.Turn{Stop: provider.Refused, Model: "m-1", Usage: used}},
		},
		"failed": {
			typed(created, text("a"), [2]string{"response.failed", `"response":{"status":"failed","error":{"code":"rate_limit_exceeded","message":"…"}}`}),
			answer{Said: "a", Turn: provider.Turn{Model: "m-1"}, Code: provider.RateLimited},
		},
		"failed without a word": {
			typed([2]string{"response.failed", `"response":{"error":null}`}), answer{Code: provider.Unavailable},
		},
		"error":             {typed([2]string{"error", `"code":"context_length_exceeded","message":"…","param":"input"`}), answer{Code: provider.ContextTooLong}},
		"error, nested":     {typed([2]string{"error", `"error":{"type":"invalid_request_error","code":"invalid_prompt"}`}), answer{Code: provider.BadRequest}},
		"end of the stream": {typed(created, text("a")), answer{Said: "a", Turn: provider.Turn{Model: "m-1"}, Code: provider.Broken}},
		"done before it":    {typed(created, text("a")) + events("[DONE]"), answer{Said: "a", Turn: provider.Turn{Model: "m-1"}, Code: provider.Broken}},
		"no JSON":           {events("nonsense"), answer{Code: provider.Broken}},
		"types never heard of": {
			typed([2]string{"response.quantum.delta", `"delta":"q"`}, text("a"), completed),
			answer{Said: "a", Turn: provider.Turn{Stop: provider.Stopped, Model: "m-1", Usage: used}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { providertest.EachWay(t, test.stream, responsesOver, test.want) })
	}
}

func TestResponsesRequest(t *testing.T) {
	path, body := providertest.Requested(t, func(transport http.RoundTripper) provider.Model {
		return NewResponses(Options{
			Endpoint: endpoint.Options{Provider: "p", URL: "http://p.test/v1/", Transport: transport}, Model: "m", Reasoning: "low",
		})
	}, question, typed(completed))
	if path != "/v1/responses" {
		t.Error(path)
	}
	providertest.SameJSON(t, body, `{
		"model": "m", "stream": true, "store": false, "max_output_tokens": 100, "instructions": "Be brief.",
		"reasoning": {"effort": "low", "summary": "auto"}, "include": ["reasoning.encrypted_content"],
		"input": [
			{"type": "message", "role": "user", "content": "Ann: What is 1+1?"},
			{"type": "message", "role": "assistant", "content": "Let me see."},
			{"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{\"a\":1}"},
			{"type": "function_call", "call_id": "c2", "name": "clock", "arguments": "{}"},
			{"type": "function_call_output", "call_id": "c1", "output": "2"},
			{"type": "function_call_output", "call_id": "c2", "output": "The tool failed: no clock"},
			{"type": "function_call", "call_id": "c3", "name": "add", "arguments": "{\"a\":2}"},
			{"type": "function_call_output", "call_id": "c3", "output": "3"},
			{"type": "message", "role": "user", "content": "Well?"}],
		"tools": [
			{"type": "function", "name": "add", "description": "Adds.", "strict": false, "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}},
			{"type": "function", "name": "clock", "strict": false, "parameters": {"type": "object", "properties": {}}}]}`)
}

// A thought that is encrypted goes back as it came, in its place among the calls; one that is not, and another
// provider's, do not.
func TestResponsesThoughts(t *testing.T) {
	const one, two = `{"id":"rs_1","type":"reasoning","summary":[],"encrypted_content":"gAAA","status":null}`, `{"type":"reasoning","encrypted_content":"gAAB","more":{"a":1}}`
	done := func(index, item string) [2]string {
		return [2]string{"response.output_item.done", `"output_index":` + index + `,"item":` + item}
	}
	stream := typed(created,
		[2]string{"response.output_item.added", `"output_index":0,"item":{"id":"rs_1","type":"reasoning","summary":[],"encrypted_content":"gA"}`},
		done("0", one), done("1", `{"type":"reasoning","id":"rs_x","summary":[]}`),
		done("2", `{"type":"function_call","call_id":"c1","name":"add","arguments":"{}"}`), done("3", two),
		done("4", `{"type":"function_call","call_id":"c2","name":"add","arguments":"{}"}`), completed)
	calls := []provider.Call{call("c1", "add", "{}"), call("c2", "add", "{}")}
	thoughts := []provider.Thought{{By: "p", Data: json.RawMessage(one)}, {By: "p", Before: 1, Data: json.RawMessage(two)}}
	providertest.EachWay(t, stream, responsesOver, answer{Turn: provider.Turn{
		Stop: provider.Tools, Model: "m-1", Usage: provider.Usage{Input: 20, Cached: 16, Output: 5}, Calls: calls, Thoughts: thoughts,
	}})
	others := []provider.Thought{{By: "another", Data: json.RawMessage(one)}}
	_, body := providertest.Requested(t, responsesOver, provider.Request{Messages: []provider.Message{
		{Role: provider.User, Text: "?"},
		{Role: provider.Assistant, Text: "Let me see.", Thoughts: thoughts, Calls: calls},
		{Role: provider.ToolRole, Results: []provider.Result{{Call: "c1", Output: "2"}, {Call: "c2", Output: "3"}}},
		{Role: provider.Assistant, Thoughts: others, Calls: calls[:1]},
		{Role: provider.Assistant, Thoughts: thoughts, Calls: calls[:1]},
	}}, typed(completed))
	providertest.SameJSON(t, body, `{"model": "m", "stream": true, "store": false, "input": [
		{"type": "message", "role": "user", "content": "?"},
		`+one+`, {"type": "message", "role": "assistant", "content": "Let me see."},
		{"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"}, `+two+`,
		{"type": "function_call", "call_id": "c2", "name": "add", "arguments": "{}"},
		{"type": "function_call_output", "call_id": "c1", "output": "2"}, {"type": "function_call_output", "call_id": "c2", "output": "3"},
		{"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"},
		`+one+`, {"type": "function_call", "call_id": "c1", "name": "add", "arguments": "{}"}]}`)
}

func FuzzResponses(f *testing.F) {
	f.Add([]byte(typed(created, text("a"), completed)))
	f.Add([]byte(typed([2]string{"response.output_item.done", `"output_index":0,"item":{"type":"function_call","call_id":"c1","name":"add","arguments":"{}"}`}, completed)))
	f.Add([]byte(typed([2]string{"response.failed", `"response":{"error":{"code":"x"}}`})))
	f.Fuzz(func(t *testing.T, stream []byte) {
		providertest.Check(t, stream, responsesOver)
	})
}
