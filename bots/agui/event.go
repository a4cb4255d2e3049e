package agui

import (
	"encoding/json"

	"confab/signaling/wire"
)

// ProtocolVersion is that of AG-UI.
const ProtocolVersion = "1.0"

// An Event is one of AG-UI's.
type Event interface {
	// Type is the event's type, as AG-UI names it.
	Type() string
}

// RunStarted begins a run: always the first event.
type RunStarted struct {
	ThreadID        string   `json:"threadId"`
	RunID           string   `json:"runId"`
	ProtocolVersion string   `json:"protocolVersion"`
	Metadata        Metadata `json:"metadata"`
}

// Metadata is what this server adds to an event.
type Metadata struct {
	Confab any `json:"confab"`
}

// Place says where in this server a run is.
type Place struct {
	Room   wire.RoomID   `json:"room"`
	Thread wire.ThreadID `json:"thread,omitempty"` // absent = the main timeline
	Bot    wire.BotID    `json:"bot"`
	Run    wire.RunID    `json:"run"`
	By     wire.Author   `json:"by"` // who asked
}

// RunFinished ends a run that did not fail.
type RunFinished struct {
	ThreadID string       `json:"threadId"`
	RunID    string       `json:"runId"`
	Outcome  Outcome      `json:"outcome"`
	Usage    []TokenUsage `json:"usage,omitempty"`
}

// Outcome is why a run ended.
type Outcome struct {
	Type string `json:"type"` // success or cancelled
}

// TokenUsage counts tokens of one model.
type TokenUsage struct {
	Model             string `json:"model,omitempty"`
	InputTokens       int    `json:"inputTokens"`
	OutputTokens      int    `json:"outputTokens"`
	TotalTokens       int    `json:"totalTokens"`
	CachedInputTokens int    `json:"cachedInputTokens,omitempty"` // of the input
}

// RunError ends a run that failed, or that can be followed no further.
type RunError struct {
	Message string         `json:"message"`
	Code    wire.ErrorCode `json:"code"`
	Usage   []TokenUsage   `json:"usage,omitempty"`
}

// StepStarted begins a phase.
type StepStarted struct {
	StepName wire.Phase `json:"stepName"`
}

// StepFinished ends one.
type StepFinished struct {
	StepName wire.Phase `json:"stepName"`
}

// ReasoningStart begins a span of thoughts.
type ReasoningStart struct {
	MessageID string `json:"messageId"`
}

// ReasoningMessageStart begins their message.
type ReasoningMessageStart struct {
	MessageID string `json:"messageId"`
	Role      string `json:"role"` // reasoning
}

// ReasoningMessageContent is a piece of it.
type ReasoningMessageContent struct {
	MessageID string `json:"messageId"`
	Delta     string `json:"delta"`
}

// ReasoningMessageEnd ends it.
type ReasoningMessageEnd struct {
	MessageID string `json:"messageId"`
}

// ReasoningEnd ends the span.
type ReasoningEnd struct {
	MessageID string `json:"messageId"`
}

// ToolCallStart begins the use of a tool.
type ToolCallStart struct {
	ToolCallID   string `json:"toolCallId"`
	ToolCallName string `json:"toolCallName"`
}

// ToolCallArgs are its arguments, in JSON.
type ToolCallArgs struct {
	ToolCallID string `json:"toolCallId"`
	Delta      string `json:"delta"`
}

// ToolCallEnd ends the arguments.
type ToolCallEnd struct {
	ToolCallID string `json:"toolCallId"`
}

// ToolCallResult is what the tool said, or why it could not be used.
type ToolCallResult struct {
	MessageID  string `json:"messageId"`
	ToolCallID string `json:"toolCallId"`
	Content    string `json:"content"`
	Role       string `json:"role"` // tool
}

// TextMessageStart begins the text of the answer.
type TextMessageStart struct {
	MessageID string `json:"messageId"` // the id of the chat message that it becomes
	Role      string `json:"role"`      // assistant
	Name      string `json:"name"`      // the bot's
}

// TextMessageContent is a piece of it.
type TextMessageContent struct {
	MessageID string `json:"messageId"`
	Delta     string `json:"delta"`
}

// TextMessageEnd ends it.
type TextMessageEnd struct {
	MessageID string    `json:"messageId"`
	Metadata  *Metadata `json:"metadata,omitempty"` // {reason}, when it ended before its time
}

// Custom is what AG-UI has no event for.
type Custom struct {
	Name  string `json:"name"`
	Value any    `json:"value"`
}

// The names of Custom events.
const (
	CustomApproval = "confab.tool-approval" // Value is a wire.ToolApproval
	CustomReceipt  = "confab.receipt"       // Value is a Receipt
)

// Receipt says how an answer came about.
type Receipt struct {
	wire.RunReceipt
	Message wire.Seq `json:"message,omitempty"` // the chat message; absent when nothing was written
}

// Type implements Event.
func (RunStarted) Type() string { return "RUN_STARTED" }

// Type implements Event.
func (RunFinished) Type() string { return "RUN_FINISHED" }

// Type implements Event.
func (RunError) Type() string { return "RUN_ERROR" }

// Type implements Event.
func (StepStarted) Type() string { return "STEP_STARTED" }

// Type implements Event.
func (StepFinished) Type() string { return "STEP_FINISHED" }

// Type implements Event.
func (ReasoningStart) Type() string { return "REASONING_START" }

// Type implements Event.
func (ReasoningMessageStart) Type() string { return "REASONING_MESSAGE_START" }

// Type implements Event.
func (ReasoningMessageContent) Type() string { return "REASONING_MESSAGE_CONTENT" }

// Type implements Event.
func (ReasoningMessageEnd) Type() string { return "REASONING_MESSAGE_END" }

// Type implements Event.
func (ReasoningEnd) Type() string { return "REASONING_END" }

// Type implements Event.
func (ToolCallStart) Type() string { return "TOOL_CALL_START" }

// Type implements Event.
func (ToolCallArgs) Type() string { return "TOOL_CALL_ARGS" }

// Type implements Event.
func (ToolCallEnd) Type() string { return "TOOL_CALL_END" }

// Type implements Event.
func (ToolCallResult) Type() string { return "TOOL_CALL_RESULT" }

// Type implements Event.
func (TextMessageStart) Type() string { return "TEXT_MESSAGE_START" }

// Type implements Event.
func (TextMessageContent) Type() string { return "TEXT_MESSAGE_CONTENT" }

// Type implements Event.
func (TextMessageEnd) Type() string { return "TEXT_MESSAGE_END" }

// Type implements Event.
func (Custom) Type() string { return "CUSTOM" }

// appendEvent appends e as one Server-Sent Event, whose data is a JSON object on one line.
func appendEvent(out []byte, e Event) []byte {
	body, err := json.Marshal(e)
	if err != nil {
		panic("agui: an event that cannot be encoded: " + err.Error()) // plain structs of ours; a tool's input was decoded before
	}
	out = append(out, `data: {"type":"`...)
	out = append(append(out, e.Type()...), '"', ',') // no event is without fields
	return append(append(out, body[1:]...), '\n', '\n')
}
