package anthropic

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"confab/bots/provider"
	"confab/bots/provider/endpoint"
	"confab/bots/provider/providertest"
)

type answer = providertest.Answer

func over(transport http.RoundTripper) provider.Model {
	return New(Options{
		Endpoint: endpoint.Options{Provider: "p", URL: "http://p.test", Key: provider.NewKey("k"), Transport: transport},
		Model:    "m",
	})
}

// stream is one of events with their types before the data, as Anthropic sends them.
func stream(list ...string) string {
	var b strings.Builder
	for _, data := range list {
		var e struct{ Type string }
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			panic(data)
		}
		b.WriteString("event: " + e.Type + "\n" + providertest.Events(data))
	}
	return b.String()
}

const (
	start = `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"m-1","stop_reason":null,` +
		`"usage":{"input_tokens":10,"cache_creation_input_tokens":3,"cache_read_input_tokens":7,"output_tokens":1}}}`
	ping     = `{"type":"ping"}`
	textOpen = `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`
	end      = `{"type":"message_stop"}`
)

func textDelta(text string) string {
	return `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"` + text + `"}}`
}

func close(index string) string { return `{"type":"content_block_stop","index":` + index + `}` }

func use(index, id, name, input string) string {
	return `{"type":"content_block_start","index":` + index + `,"content_block":{"type":"tool_use","id":"` + id + `","name":"` + name + `","input":` + input + `}}`
}

func partial(index, text string) string {
	quoted, _ := json.Marshal(text) // of a string never fails
	return `{"type":"content_block_delta","index":` + index + `,"delta":{"type":"input_json_delta","partial_json":` + string(quoted) + `}}`
}

func reason(stop string) string {
	return `{"type":"message_delta","delta":{"stop_reason":"` + stop + `","stop_sequence":null},"usage":{"output_tokens":15}}`
}

func call(id, name, input string) provider.Call {
	return provider.Call{ID: id, Name: name, Input: json.RawMessage(input)}
}

func TestMessages(t *testing.T) {
	used := provider.Usage{Input: 20, Cached: 7, Output: 15}
	begun := provider.Usage{Input: 20, Cached: 7, Output: 1}
	tests := map[string]struct {
		stream string
		want   answer
	}{
		"text": {
			stream(start, textOpen, ping, textDelta("Für "), textDelta(`日本 \ud83d`), textDelta(`\ude00`), close("0"), reason("end_turn"), end),
			answer{Said: "Für 日本 😀", Turn: provider.Turn{Stop: provider.Stopped, Model: "m-1", Usage: used}},
		},
		"no types before the data": {
			providertest.Events(start, textOpen, textDelta("a"), reason("stop_sequence"), end),
			answer{Said: "a", Turn: provider.Turn{Stop: provider.Stopped, Model: "m-1", Usage: used}},
		},
		"no mark of the end": {
			stream(start, textOpen, textDelta("a"), reason("end_turn")),
			answer{Said: "a", Turn: provider.Turn{Stop: provider.Stopped, Model: "m-1", Usage: used}},
		},
		"thoughts": {
			stream(start, `{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":""}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"h"}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"m"}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}`, close("0"),
				`{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"eA=="}}`, close("1"),
				textDelta("a"), reason("end_turn"), end),
			answer{Said: "a", Thinking: "hm", Turn: provider.Turn{Stop: provider.Stopped, Model: "m-1", Usage: used}},
		},
		"calls side by side": {
			stream(start, textOpen, textDelta("Let me see."), close("0"),
				use("1", "t1", "add", "{}"), partial("1", ""), partial("1", `{"a": "f`), partial("1", `ür"`),
				use("2", "t2", "clock", "{}"), partial("1", "}"), close("1"), close("2"), reason("tool_use"), end),
			answer{Said: "Let me see.", Turn: provider.Turn{Stop: provider.Tools, Model: "m-1", Usage: used,
				Calls: []provider.Call{call("t1", "add", `{"a": "für"}`), call("t2", "clock", "{}")}}},
		},
		"a call in one piece": {
			stream(start, use("0", "t1", "add", `{"a":1}`), reason("tool_use"), end),
			answer{Turn: provider.Turn{Stop: provider.Tools, Model: "m-1", Usage: used, Calls: []provider.Call{call("t1", "add", `{"a":1}`)}}},
		},
		"length": {
			stream(start, textDelta("a"), use("1", "t1", "add", "{}"), partial("1", `{"a`), reason("max_tokens"), end),
			answer{Said: "a", Turn: provider.Turn{Stop: provider.Length, Model: "m-1", Usage: used}},
		},
		"the window's end": {
			stream(start, textDelta("a"), reason("model_context_window_exceeded"), end),
			answer{Said: "a", Turn: provider.Turn{Stop: provider.Length, Model: "m-1", Usage: used}},
		},
		"refused": {
			stream(start, textDelta("a"), reason("refusal"), end),
			answer{Said: "a", Turn: provider.Turn{Stop: provider.Refused, Model: "m-1", Usage: used}},
		},
		"all of the usage at the end": {
			stream(textDelta("a"), `{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":10,"cache_creation_input_tokens":3,"cache_read_input_tokens":7,"output_tokens":15}}`, end),
			answer{Said: "a", Turn: provider.Turn{Stop: provider.Stopped, Usage: used}},
		},
		"overloaded in mid-answer": {
			stream(start, textDelta("a"), `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`),
			answer{Said: "a", Turn: provider.Turn{Model: "m-1", Usage: begun}, Code: provider.Unavailable},
		},
		"an error without a word": {
			stream(start, `{"type":"error"}`), answer{Turn: provider.Turn{Model: "m-1", Usage: begun}, Code: provider.Unavailable},
		},
		"rate in mid-answer": {
			stream(start, `{"type":"error","error":{"type":"rate_limit_error"}}`),
			answer{Turn: provider.Turn{Model: "m-1", Usage: begun}, Code: provider.RateLimited},
		},
		"end of the stream": {
			stream(start, textDelta("a")), answer{Said: "a", Turn: provider.Turn{Model: "m-1", Usage: begun}, Code: provider.Broken},
		},
		"arguments that are no JSON": {
			stream(start, use("0", "t1", "add", "{}"), partial("0", `{"a":`), reason("tool_use"), end),
			answer{Turn: provider.Turn{Stop: provider.Tools, Model: "m-1", Usage: used}, Code: provider.Broken},
		},
		"no JSON": {providertest.Events("nonsense"), answer{Code: provider.Broken}},
		"types never heard of": {
			stream(start, `{"type":"quantum","delta":{"type":"text_delta","text":"q"}}`, `{"type":"content_block_delta","index":0,"delta":{"type":"citations_delta"}}`,
				textDelta("a"), reason("end_turn"), end),
			answer{Said: "a", Turn: provider.Turn{Stop: provider.Stopped, Model: "m-1", Usage: used}},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) { providertest.EachWay(t, test.stream, over, test.want) })
	}
}

func TestRequest(t *testing.T) {
	url, body := providertest.Requested(t, over, provider.Request{
		System: "Be brief.",
		Messages: []provider.Message{
			{Role: provider.Assistant, Text: "Hello."},
			{Role: provider.User, Text: "Ann: What is 1+1?"},
			{Role: provider.User, Text: "Bob: And 2+2?"},
			{Role: provider.User, Text: " \n"},
			{Role: provider.Assistant, Text: "Let me see.", Calls: []provider.Call{call("t1", "add", `{"a":1}`), {ID: "t2", Name: "clock"}}},
			{Role: provider.ToolRole, Results: []provider.Result{{Call: "t1", Output: "2"}, {Call: "t2", Output: "no clock", Failed: true}}},
			{Role: provider.User, Text: "Ann: Well?"},
		},
		Tools: []provider.Tool{{Name: "add", Description: "Adds.", Schema: json.RawMessage(`{"type":"object"}`)}, {Name: "clock"}},
	}, stream(start, reason("end_turn"), end))
	if url != "/v1/messages" {
		t.Error(url)
	}
	providertest.SameJSON(t, body, `{
		"model": "m", "max_tokens": 4096, "stream": true, "system": "Be brief.",
		"messages": [
			{"role": "user", "content": [{"type": "text", "text": "…"}]},
			{"role": "assistant", "content": [{"type": "text", "text": "Hello."}]},
			{"role": "user", "content": [{"type": "text", "text": "Ann: What is 1+1?"}, {"type": "text", "text": "Bob: And 2+2?"}]},
			{"role": "assistant", "content": [{"type": "text", "text": "Let me see."},
				{"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1}}, {"type": "tool_use", "id": "t2", "name": "clock", "input": {}}]},
			{"role": "user", "content": [
				{"type": "tool_result", "tool_use_id": "t1", "content": "2"},
				{"type": "tool_result", "tool_use_id": "t2", "content": "no clock", "is_error": true},
				{"type": "text", "text": "Ann: Well?"}]}],
		"tools": [
			{"name": "add", "description": "Adds.", "input_schema": {"type": "object"}},
			{"name": "clock", "input_schema": {"type": "object", "properties": {}}}]}`)
}

const (
	thinkOpen = `{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`
	redacted  = `{"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"eA=="}}`
)

func thoughtDelta(text string) string {
	return `{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"` + text + `"}}`
}

func signed(text string) string {
	return `{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"` + text + `"}}`
}

// ownThoughts are those of a turn, as the API wants them back.
var ownThoughts = []provider.Thought{
	{By: "p", Data: json.RawMessage(`{"signature":"c2ln+/=","thinking":"Für 😀","type":"thinking"}`)},
	{By: "p", Data: json.RawMessage(`{"data":"eA==","type":"redacted_thinking"}`)},
}

// TestThoughts: those of a turn that wants tools are kept as they came, and only whole and signed ones.
func TestThoughts(t *testing.T) {
	used := provider.Usage{Input: 20, Cached: 7, Output: 15}
	calls := []provider.Call{call("t1", "add", "{}")}
	huge := strings.Repeat("a", endpoint.MaxThoughts)
	for name, test := range map[string]struct {
		stream string
		want   answer
	}{
		"with calls": {
			stream(start, thinkOpen, thoughtDelta(`Für \ud83d`), thoughtDelta(`\ude00`), signed("c2ln"), signed("+/="), close("0"), redacted, close("1"),
				use("2", "t1", "add", "{}"), close("2"), reason("tool_use"), end),
			answer{Thinking: "Für 😀", Turn: provider.Turn{Stop: provider.Tools, Model: "m-1", Usage: used, Calls: calls, Thoughts: ownThoughts}},
		},
		"without": {
			stream(start, thinkOpen, thoughtDelta("h"), signed("c2ln"), close("0"), textDelta("a"), reason("end_turn"), end),
			answer{Said: "a", Thinking: "h", Turn: provider.Turn{Stop: provider.Stopped, Model: "m-1", Usage: used}},
		},
		"not signed": {
			stream(start, thinkOpen, thoughtDelta("h"), close("0"), use("2", "t1", "add", "{}"), close("2"), reason("tool_use"), end),
			answer{Thinking: "h", Turn: provider.Turn{Stop: provider.Tools, Model: "m-1", Usage: used, Calls: calls}},
		},
		"too long": {
			stream(start, redacted, close("1"), thinkOpen, thoughtDelta(huge), signed("c2ln"), close("0"), redacted, close("1"),
				use("2", "t1", "add", "{}"), close("2"), reason("tool_use"), end),
			answer{Thinking: huge, Turn: provider.Turn{Stop: provider.Tools, Model: "m-1", Usage: used, Calls: calls}},
		},
		"a broken call": {
			stream(start, redacted, close("1"), use("2", "t1", "add", "{}"), partial("2", "{"), close("2"), reason("tool_use"), end),
			answer{Turn: provider.Turn{Stop: provider.Tools, Model: "m-1", Usage: used}, Code: provider.Broken},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "too long" { // byte by byte it would take its time
				synctest.Test(t, func(t *testing.T) {
					providertest.Compare(t, providertest.Ask(t.Context(), t, over(providertest.Transport(t, providertest.Stream(test.stream))), provider.Request{}), test.want)
				})
				return
			}
			providertest.EachWay(t, test.stream, over, test.want)
		})
	}
}

// TestThinkingRequest: how a model is asked to think, that its thoughts go back with the calls, and that it is not asked
// where they are not at hand.
func TestThinkingRequest(t *testing.T) {
	base := endpoint.Options{Provider: "p", URL: "http://p.test"}
	calls := []provider.Call{call("t1", "add", "{}")}
	turn := func(thoughts []provider.Thought) []provider.Message {
		return []provider.Message{
			{Role: provider.User, Text: "?"}, {Role: provider.Assistant, Text: "Hm.", Thoughts: thoughts, Calls: calls},
			{Role: provider.ToolRole, Results: []provider.Result{{Call: "t1", Output: "2"}}},
		}
	}
	const asked = `{"role": "user", "content": [{"type": "text", "text": "?"}]}`
	const called = `{"type": "text", "text": "Hm."}, {"type": "tool_use", "id": "t1", "name": "add", "input": {}}]},
		{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "2"}]}`
	for name, test := range map[string]struct {
		opts     Options
		messages []provider.Message
		fields   string
		thoughts string
	}{
		"a budget": {
			Options{ThinkingTokens: 2048}, turn(ownThoughts), `"max_tokens": 6144, "thinking": {"type": "enabled", "budget_tokens": 2048}`,
			`{"type":"thinking","thinking":"Für 😀","signature":"c2ln+/="}, {"type":"redacted_thinking","data":"eA=="},`,
		},
		"an effort": {
			Options{Effort: "high"}, turn(ownThoughts), `"max_tokens": 16384, "thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}`,
			`{"type":"thinking","thinking":"Für 😀","signature":"c2ln+/="}, {"type":"redacted_thinking","data":"eA=="},`,
		},
		"another's thoughts": {Options{ThinkingTokens: 2048}, turn([]provider.Thought{{By: "q", Data: json.RawMessage(`{}`)}}), `"max_tokens": 4096`, ""},
		"no thoughts":        {Options{Effort: "low", MaxTokens: 100}, turn(nil), `"max_tokens": 100`, ""},
		"not asked to think": {Options{}, turn(nil), `"max_tokens": 4096`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			model := func(transport http.RoundTripper) provider.Model {
				test.opts.Endpoint, test.opts.Model = base, "m"
				test.opts.Endpoint.Transport = transport
				return New(test.opts)
			}
			_, body := providertest.Requested(t, model, provider.Request{Messages: test.messages}, stream(start, reason("end_turn"), end))
			providertest.SameJSON(t, body, `{"model": "m", "stream": true, `+test.fields+`, "messages": [`+asked+`,
				{"role": "assistant", "content": [`+test.thoughts+called+`]}`)
		})
	}
}

// TestOptions: where a base URL leads, what is sent along, and how many tokens an answer may have.
func TestOptions(t *testing.T) {
	for base, want := range map[string]string{
		"":                        "https://api.anthropic.com/v1/messages",
		"http://p.test":           "http://p.test/v1/messages",
		"http://p.test/v1/":       "http://p.test/v1/messages",
		"http://p.test/anthropic": "http://p.test/anthropic/v1/messages",
	} {
		if got := New(Options{Endpoint: endpoint.Options{URL: base}}).opts.Endpoint; got.URL != want ||
			got.KeyHeader != "X-Api-Key" || got.Header["Anthropic-Version"] != "2023-06-01" {
			t.Errorf("%+v", got)
		}
	}
	for _, test := range []struct{ own, asked, want int }{
		{0, 0, DefaultMaxTokens}, {100, 0, 100}, {0, 50, 50}, {100, 50, 50}, {100, 200, 100},
	} {
		if got := New(Options{MaxTokens: test.own}).request(provider.Request{MaxTokens: test.asked}).MaxTokens; got != test.want {
			t.Errorf("own %d, asked for %d: %d", test.own, test.asked, got)
		}
	}
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte(stream(start, textOpen, ping, textDelta("a"), close("0"), reason("end_turn"), end)))
	f.Add([]byte(stream(start, use("0", "t1", "add", "{}"), partial("0", `{"a":1}`), reason("tool_use"), end)))
	f.Add([]byte(stream(`{"type":"error","error":{"type":"overloaded_error"}}`)))
	f.Fuzz(func(t *testing.T, stream []byte) { providertest.Check(t, stream, over) })
}
