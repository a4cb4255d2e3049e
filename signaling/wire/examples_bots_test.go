package wire

import "encoding/json"

const scribeHere = ParticipantID("p-bot-scribe")

var (
	scribe = BotInfo{
		Bot: "scribe", User: BotUser("scribe"), Name: "Scribe", Avatar: "📝", Description: "Writes minutes.",
		Engine: "gpt-example", Enabled: true, Tools: []BotTool{{Tool: "read_messages", Title: "Reads the chat", Writes: true}},
		Remote: true, Limits: BotLimits{RequestsPerMinute: 10, Concurrent: 2, TokensPerDay: 200000, UserTokensPerDay: 50000},
		Prompts: []string{"What did I miss?"}, Speaks: true, Hears: true,
	}
	readMessages = ToolExecuting{
		Run: "run-1", Call: "call-1", Tool: "read_messages", Title: "Reads the chat", Input: json.RawMessage(`{"limit":50}`),
	}
	haveRead = ToolCompleted{Run: "run-1", Call: "call-1", Tool: "read_messages", OK: true, Output: "[]", MS: 3}
	fileAway = ToolApproval{
		Run: "run-1", Call: "call-2", Tool: "tickets__create", Title: "Opens a ticket", Input: json.RawMessage(`{"title":"Minutes"}`),
		Digest: "5f2c9a", State: ApprovalGranted, By: "ada",
	}
	started = AgentStarted{
		Run: "run-1", Bot: "scribe", Request: requestID, ReplyTo: 4711, By: ada, Prompt: "What did we decide?", Regenerate: 4700,
	}
	running = RunState{
		Start: started, From: scribeHere, Thread: "release-2", Started: sentAt, Phase: PhaseModel,
		Thinking: "They ask for decisions.", Message: "run-1", Text: "We decided ", Tools: []ToolExecuting{readMessages},
		Done: []ToolCompleted{haveRead}, Waiting: &fileAway,
	}
	tired   = ErrorBody{Code: CodeBotFailed, Message: "the model stopped answering", Retryable: true, RetryAfterMS: 2000}
	usage   = Usage{Input: 1200, Cached: 800, Output: 90}
	receipt = RunReceipt{
		Run: "run-1", Bot: "scribe", Status: RunFailed, Error: &tired, By: ada, Request: requestID, Prompt: "What did we decide?",
		Model: "gpt-example", Degraded: true, Cached: true, Usage: &usage, MS: 2300, FirstTokenMS: 410,
		Tools: []ToolUse{{Tool: "read_messages", Title: "Reads the chat", OK: true, MS: 3, Input: `{"limit":50}`, Output: "[]"}}, Sources: []Seq{4709},
		Replaces: 4700, Hops: 1,
	}
)

// ofScribe is the envelope of what happens to an answer.
func ofScribe() Envelope { return Envelope{Room: "daily", From: scribeHere, TS: sentAt} }

var botExamples = map[string]pair{
	"bot-toggle.client.json": full(request(), BotToggle{Bot: "scribe", Enabled: true}).orJust(request(), BotToggle{Bot: "scribe"}),
	"ai-request.client.json": full(threadHead(request()), AIRequest{
		Bot: "scribe", Prompt: "What did we decide?", ReplyTo: 4711, Regenerate: 4700,
	}).orJust(request(), AIRequest{Bot: "scribe", Prompt: "What did I miss?"}),
	"ai-cancel.client.json": full(request(), AICancel{Run: "run-1", Request: requestID}).orJust(request(), AICancel{Run: "run-1"}),
	"tool-approval.client.json": full(request(), ToolDecision{Run: "run-1", Call: "call-2", Digest: "5f2c9a", Approve: true}).
		orJust(request(), ToolDecision{Run: "run-1", Call: "call-2", Digest: "5f2c9a"}),
	"tool-approval.server.json": full(ofScribe(), fileAway).orJust(ofScribe(), ToolApproval{
		Run: "run-1", Call: "call-2", Tool: "tickets__create", Input: json.RawMessage(`{}`), Digest: "5f2c9a", State: ApprovalAsked,
	}),
	"agent-started.server.json":  full(threadHead(ofScribe()), started).orJust(ofScribe(), AgentStarted{Run: "run-1", Bot: "scribe", By: ada}),
	"agent-thinking.server.json": full(ofScribe(), AgentThinking{Run: "run-1", Text: "They ask for decisions.", Phase: PhaseModel}).orJust(ofScribe(), AgentThinking{Run: "run-1"}),
	"tool-executing.server.json": full(ofScribe(), readMessages).orJust(ofScribe(), ToolExecuting{Run: "run-1", Call: "call-1", Tool: "roll", Input: json.RawMessage(`{}`)}),
	"tool-completed.server.json": full(ofScribe(), ToolCompleted{
		Run: "run-1", Call: "call-1", Tool: "read_messages", OK: true, Output: "[]", Error: "it took longer than 30 s", MS: 3,
	}).orJust(ofScribe(), ToolCompleted{Run: "run-1", Call: "call-1", Tool: "roll"}),
	"stream-start.server.json": full(ofScribe(), StreamStart{Run: "run-1", Message: "run-1"}),
	"stream-chunk.server.json": full(ofScribe(), StreamChunk{Run: "run-1", Message: "run-1", Offset: 11, Text: "to ship on Friday."}),
	"stream-end.server.json":   full(ofScribe(), StreamEnd{Run: "run-1", Message: "run-1", Length: 29, Reason: StreamStop}),
	"agent-completed.server.json": full(ofScribe(), AgentCompleted{
		Run: "run-1", Status: RunFailed, Error: &tired, Usage: &usage, MS: 2300, FirstTokenMS: 410, Cached: true, Message: 4720,
	}).orJust(ofScribe(), AgentCompleted{Run: "run-1", Status: RunCancelled}),
	"bot-voice.client.json":      full(request(), BotVoice{Bot: "scribe", Speak: ptr(true), Hear: ptr(false)}).orJust(request(), BotVoice{Bot: "scribe", Hear: ptr(true)}),
	"agent-speaking.server.json": full(ofScribe(), AgentSpeaking{Run: "run-1", State: SpeakingInterrupted, Spoken: 18}).orJust(ofScribe(), AgentSpeaking{Run: "run-1", State: SpeakingStarted}),
	"caption.server.json": full(ofScribe(), Caption{
		Participant: scribeHere, Text: "We ship on Friday.", Final: true, Run: "run-1", Offset: 18,
	}).orJust(ofScribe(), Caption{Participant: scribeHere, Text: "We ship on Friday."}),
}
