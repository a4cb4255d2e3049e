package agui

import (
	"encoding/json"
	"strings"
	"testing"

	"confab/signaling/wire"
)

var (
	echo  = wire.Author{User: "bot:echo", Name: "Echo", Kind: wire.Bot}
	start = wire.AgentStarted{Run: "run-1", Bot: "echo", By: wire.Author{User: "ada", Name: "Ada", Kind: wire.Human}}
)

// told is what a client reads: one event a line, without what stands around it.
func told(events []Event) string {
	var out strings.Builder
	for _, e := range events {
		line := strings.TrimSuffix(strings.TrimPrefix(string(appendEvent(nil, e)), "data: "), "\n\n")
		out.WriteString(line + "\n")
	}
	return out.String()
}

func want(t *testing.T, got []Event, lines ...string) {
	t.Helper()
	if text := told(got); strings.TrimSuffix(text, "\n") != strings.Join(lines, "\n") {
		t.Errorf("told\n%s\nwant\n%s", text, strings.Join(lines, "\n"))
	}
}

const begun = `{"type":"RUN_STARTED","threadId":"lab","runId":"r","protocolVersion":"1.0",` +
	`"metadata":{"confab":{"room":"lab","bot":"echo","run":"run-1","by":{"user":"ada","name":"Ada","kind":"human"}}}}`

func TestBegin(t *testing.T) {
	for _, c := range []struct {
		name string
		so   wire.RunState
		want []string
	}{
		{"at once", wire.RunState{Start: start}, []string{begun}},
		{"in a thread", wire.RunState{Start: start, Thread: "m7"}, []string{
			strings.NewReplacer(`"threadId":"lab"`, `"threadId":"m7"`, `"room":"lab"`, `"room":"lab","thread":"m7"`).Replace(begun),
		}},
		{"queued", wire.RunState{Start: start, Phase: wire.PhaseQueued}, []string{begun, `{"type":"STEP_STARTED","stepName":"queued"}`}},
		{"thinking", wire.RunState{Start: start, Thinking: "hm"}, []string{
			begun,
			`{"type":"REASONING_START","messageId":"run-1.thinking-1"}`,
			`{"type":"REASONING_MESSAGE_START","messageId":"run-1.thinking-1","role":"reasoning"}`,
			`{"type":"REASONING_MESSAGE_CONTENT","messageId":"run-1.thinking-1","delta":"hm"}`,
		}},
		{
			"waiting, after a tool and some text",
			wire.RunState{
				Start: start, Thinking: "hm", Message: "run-1", Text: "so far", Phase: wire.PhaseApproval,
				Tools:   []wire.ToolExecuting{{Run: "run-1", Call: "c1", Tool: "who_said", Input: json.RawMessage(`{"a":1}`)}},
				Done:    []wire.ToolCompleted{{Run: "run-1", Call: "c1", Tool: "who_said", OK: true, Output: "Ada"}},
				Waiting: &wire.ToolApproval{Run: "run-1", Call: "c2", Tool: "poll", Input: json.RawMessage(`{}`), Digest: "d", State: wire.ApprovalAsked},
			},
			[]string{
				begun,
				`{"type":"REASONING_START","messageId":"run-1.thinking-1"}`,
				`{"type":"REASONING_MESSAGE_START","messageId":"run-1.thinking-1","role":"reasoning"}`,
				`{"type":"REASONING_MESSAGE_CONTENT","messageId":"run-1.thinking-1","delta":"hm"}`,
				`{"type":"REASONING_MESSAGE_END","messageId":"run-1.thinking-1"}`,
				`{"type":"REASONING_END","messageId":"run-1.thinking-1"}`,
				`{"type":"TOOL_CALL_START","toolCallId":"run-1.c1","toolCallName":"who_said"}`,
				`{"type":"TOOL_CALL_ARGS","toolCallId":"run-1.c1","delta":"{\"a\":1}"}`,
				`{"type":"TOOL_CALL_END","toolCallId":"run-1.c1"}`,
				`{"type":"TOOL_CALL_RESULT","messageId":"run-1.c1.result","toolCallId":"run-1.c1","content":"Ada","role":"tool"}`,
				`{"type":"TEXT_MESSAGE_START","messageId":"run-1","role":"assistant","name":"Echo"}`,
				`{"type":"TEXT_MESSAGE_CONTENT","messageId":"run-1","delta":"so far"}`,
				`{"type":"CUSTOM","name":"confab.tool-approval","value":{"run":"run-1","call":"c2","tool":"poll","input":{},"digest":"d","state":"asked"}}`,
				`{"type":"STEP_STARTED","stepName":"approval"}`,
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, _ := State{RunID: "r", Room: "lab"}.Begin(echo, c.so)
			want(t, got, c.want...)
		})
	}
}

// Each case is a run from its beginning, which is left out, and what is said of it.
func TestTell(t *testing.T) {
	for _, c := range []struct {
		name   string
		events []wire.ServerMessage
		want   []string
	}{
		{
			"phases, told again and again",
			[]wire.ServerMessage{
				wire.AgentThinking{Phase: wire.PhaseContext}, wire.AgentThinking{Phase: wire.PhaseContext}, wire.AgentThinking{Phase: wire.PhaseModel},
			},
			[]string{
				`{"type":"STEP_STARTED","stepName":"context"}`, `{"type":"STEP_FINISHED","stepName":"context"}`,
				`{"type":"STEP_STARTED","stepName":"model"}`,
			},
		},
		{
			"thoughts, in two spans",
			[]wire.ServerMessage{
				wire.AgentThinking{Text: "a", Phase: wire.PhaseModel}, wire.AgentThinking{Phase: wire.PhaseModel}, wire.AgentThinking{Text: "b"},
				wire.StreamStart{Message: "run-1"}, wire.AgentThinking{Text: "c"},
			},
			[]string{
				`{"type":"STEP_STARTED","stepName":"model"}`,
				`{"type":"REASONING_START","messageId":"run-1.thinking-1"}`,
				`{"type":"REASONING_MESSAGE_START","messageId":"run-1.thinking-1","role":"reasoning"}`,
				`{"type":"REASONING_MESSAGE_CONTENT","messageId":"run-1.thinking-1","delta":"a"}`,
				`{"type":"REASONING_MESSAGE_CONTENT","messageId":"run-1.thinking-1","delta":"b"}`,
				`{"type":"REASONING_MESSAGE_END","messageId":"run-1.thinking-1"}`,
				`{"type":"REASONING_END","messageId":"run-1.thinking-1"}`,
				`{"type":"STEP_FINISHED","stepName":"model"}`,
				`{"type":"TEXT_MESSAGE_START","messageId":"run-1","role":"assistant","name":"Echo"}`,
				`{"type":"REASONING_START","messageId":"run-1.thinking-2"}`,
				`{"type":"REASONING_MESSAGE_START","messageId":"run-1.thinking-2","role":"reasoning"}`,
				`{"type":"REASONING_MESSAGE_CONTENT","messageId":"run-1.thinking-2","delta":"c"}`,
			},
		},
		{
			"a tool that failed",
			[]wire.ServerMessage{
				wire.ToolExecuting{Call: "c1", Tool: "poll", Input: json.RawMessage(`{}`)},
				wire.ToolCompleted{Call: "c1", Tool: "poll", Error: "nobody allowed it"},
			},
			[]string{
				`{"type":"TOOL_CALL_START","toolCallId":"run-1.c1","toolCallName":"poll"}`,
				`{"type":"TOOL_CALL_ARGS","toolCallId":"run-1.c1","delta":"{}"}`,
				`{"type":"TOOL_CALL_END","toolCallId":"run-1.c1"}`,
				`{"type":"TOOL_CALL_RESULT","messageId":"run-1.c1.result","toolCallId":"run-1.c1","content":"nobody allowed it","role":"tool"}`,
			},
		},
		{
			"an approval",
			[]wire.ServerMessage{
				wire.ToolApproval{Call: "c1", Tool: "poll", Input: json.RawMessage(`{}`), Digest: "d", State: wire.ApprovalAsked},
				wire.ToolApproval{Call: "c1", Tool: "poll", Input: json.RawMessage(`{}`), Digest: "d", State: wire.ApprovalGranted, By: "ada"},
			},
			[]string{
				`{"type":"CUSTOM","name":"confab.tool-approval","value":{"run":"","call":"c1","tool":"poll","input":{},"digest":"d","state":"asked"}}`,
				`{"type":"STEP_STARTED","stepName":"approval"}`,
				`{"type":"CUSTOM","name":"confab.tool-approval","value":{"run":"","call":"c1","tool":"poll","input":{},"digest":"d","state":"granted","by":"ada"}}`,
				`{"type":"STEP_FINISHED","stepName":"approval"}`,
			},
		},
		{
			"text, cut short",
			[]wire.ServerMessage{
				wire.StreamStart{Message: "run-1"}, wire.StreamChunk{Message: "run-1", Text: "a \"b\"\n"}, wire.StreamChunk{Message: "run-1", Offset: 6, Text: "🎈"},
				wire.StreamEnd{Message: "run-1", Length: 8, Reason: wire.StreamLength},
			},
			[]string{
				`{"type":"TEXT_MESSAGE_START","messageId":"run-1","role":"assistant","name":"Echo"}`,
				`{"type":"TEXT_MESSAGE_CONTENT","messageId":"run-1","delta":"a \"b\"\n"}`,
				`{"type":"TEXT_MESSAGE_CONTENT","messageId":"run-1","delta":"🎈"}`,
				`{"type":"TEXT_MESSAGE_END","messageId":"run-1","metadata":{"confab":{"reason":"length"}}}`,
			},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, s := State{RunID: "r", Room: "lab"}.Begin(echo, wire.RunState{Start: start})
			var all []Event
			for _, body := range c.events {
				var events []Event
				events, s = s.Tell(body)
				all = append(all, events...)
			}
			want(t, all, c.want...)
		})
	}
}

func TestComplete(t *testing.T) {
	receipt := &wire.RunReceipt{Run: "run-1", Bot: "echo", Status: wire.RunCompleted, By: start.By, Model: "m", MS: 7}
	const (
		receiptLine = `{"type":"CUSTOM","name":"confab.receipt","value":{"run":"run-1","bot":"echo","status":"completed",` +
			`"by":{"user":"ada","name":"Ada","kind":"human"},"model":"m","ms":7,"firstTokenMs":0,"message":9}}`
		close1 = `{"type":"REASONING_MESSAGE_END","messageId":"run-1.thinking-1"}`
		close2 = `{"type":"REASONING_END","messageId":"run-1.thinking-1"}`
		close3 = `{"type":"TEXT_MESSAGE_END","messageId":"run-1"}`
		close4 = `{"type":"STEP_FINISHED","stepName":"model"}`
	)
	// Everything is open: a run that ends in the middle leaves nothing so.
	_, open := State{RunID: "r", Room: "lab"}.Begin(echo, wire.RunState{Start: start, Message: "run-1", Text: "a", Phase: wire.PhaseModel})
	_, open = open.Tell(wire.AgentThinking{Text: "hm"})
	usage := &wire.Usage{Input: 5, Cached: 2, Output: 3}
	for _, c := range []struct {
		name string
		end  wire.AgentCompleted
		want []string
	}{
		{"completed", wire.AgentCompleted{Status: wire.RunCompleted, Usage: usage, Message: 9}, []string{close1, close2, close3, close4, receiptLine,
			`{"type":"RUN_FINISHED","threadId":"lab","runId":"r","outcome":{"type":"success"},` +
				`"usage":[{"model":"m","inputTokens":5,"outputTokens":3,"totalTokens":8,"cachedInputTokens":2}]}`}},
		{"cancelled", wire.AgentCompleted{Status: wire.RunCancelled, Message: 9}, []string{close1, close2, close3, close4, receiptLine,
			`{"type":"RUN_FINISHED","threadId":"lab","runId":"r","outcome":{"type":"cancelled"}}`}},
		{"failed", wire.AgentCompleted{Status: wire.RunFailed, Error: wire.Errorf(wire.CodeBotFailed, "no").Body(), Message: 9},
			[]string{close1, close2, close3, close4, receiptLine, `{"type":"RUN_ERROR","message":"no","code":"bot-failed"}`}},
		{"failed without a word", wire.AgentCompleted{Status: wire.RunFailed, Message: 9},
			[]string{close1, close2, close3, close4, receiptLine, `{"type":"RUN_ERROR","message":"the bot could not answer","code":"internal"}`}},
	} {
		t.Run(c.name, func(t *testing.T) { want(t, open.Complete(c.end, receipt), c.want...) })
	}
	t.Run("lost", func(t *testing.T) {
		want(t, open.Lose(errClosed), close1, close2, close3, close4,
			`{"type":"RUN_ERROR","message":"the server is going down; the answer stays in the room","code":"unavailable"}`)
	})
}
