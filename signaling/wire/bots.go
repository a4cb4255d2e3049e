package wire

import "encoding/json"

// Identifiers of bots.
type (
	// BotID names a bot of this server: 1 to 64 of a-z 0-9 - _.
	BotID string
	// RunID names one answer of a bot, as a RequestID. It is also the id of the chat message that the answer becomes.
	RunID string
)

// BotUser is the user of a bot of this server, who no token may speak for.
func BotUser(id BotID) UserID { return UserID(botUserPrefix + string(id)) }

// BotOf is the bot that a user is, empty for people and for bots that live elsewhere.
func BotOf(user UserID) BotID {
	if len(user) > len(botUserPrefix) && user[:len(botUserPrefix)] == botUserPrefix {
		return BotID(user[len(botUserPrefix):])
	}
	return ""
}

const botUserPrefix = "bot:"

// BotInfo is a bot that the room may have.
type BotInfo struct {
	Bot         BotID     `json:"bot"`
	User        UserID    `json:"user"` // as which it takes part, and is mentioned
	Name        string    `json:"name"`
	Avatar      string    `json:"avatar,omitempty"` // an emoji
	Description string    `json:"description"`      // what it does, in a sentence
	Engine      string    `json:"engine"`           // "built-in", or the model that answers
	Enabled     bool      `json:"enabled"`
	Tools       []BotTool `json:"tools"`             // what it can use
	Remote      bool      `json:"remote,omitempty"`  // what it is asked, and what that rests on, goes to a server elsewhere
	Limits      BotLimits `json:"limits"`            // of its answers
	Prompts     []string  `json:"prompts,omitempty"` // things to ask it, to begin with
	Speaks      bool      `json:"speaks,omitempty"`  // it can be given a voice, by bot-voice; what it says goes to a server that makes sound of it
	Hears       bool      `json:"hears,omitempty"`   // it can be let hear, by bot-voice; what people say goes to a server that writes it down
}

// BotTool is a tool of a bot.
type BotTool struct {
	Tool   string `json:"tool"`
	Title  string `json:"title"`
	Writes bool   `json:"writes,omitempty"` // a person approves each call
}

// BotLimits bound what one person may ask of a bot, and one room. 0 = no bound.
type BotLimits struct {
	RequestsPerMinute int `json:"requestsPerMinute,omitempty"` // by one user
	Concurrent        int `json:"concurrent,omitempty"`        // answers at a time in one room
	TokensPerDay      int `json:"tokensPerDay,omitempty"`      // of one room, in and out
	UserTokensPerDay  int `json:"userTokensPerDay,omitempty"`  // of one user in one room
}

// BotToggle lets a bot into the room, or puts it out.
type BotToggle struct {
	Bot     BotID `json:"bot"`
	Enabled bool  `json:"enabled"`
}

// BotVoice gives a bot of this room a voice or an ear in the call, or takes it away; what is absent stays as it is. With a
// voice its participant has a microphone and speaks its answers in the main timeline. With an ear what people say into
// their microphones goes to a server that writes it down: everyone gets captions, and who calls the bot by its name asks
// it. No bot has either unless somebody wants so, for an ear a moderator; all lose both with the meeting.
type BotVoice struct {
	Bot   BotID `json:"bot"`
	Speak *bool `json:"speak,omitempty"`
	Hear  *bool `json:"hear,omitempty"`
}

// AIRequest asks a bot; a mention in chat does the same. The answer is Ack with its run.
type AIRequest struct {
	Bot        BotID  `json:"bot"`
	Prompt     string `json:"prompt,omitempty"`     // may be absent with replyTo or regenerate
	ReplyTo    Seq    `json:"replyTo,omitempty"`    // the message that is asked about
	Regenerate Seq    `json:"regenerate,omitempty"` // an answer of the bot's, to be given anew
}

// AICancel ends a run; what was written stays. Its asker or a moderator may.
type AICancel struct {
	Run     RunID     `json:"run,omitempty"`
	Request RequestID `json:"request,omitempty"` // the id of the ai-request, where the run is not known yet
}

// ToolDecision lets a tool run, or not. The asker or a moderator may decide.
type ToolDecision struct {
	Run     RunID  `json:"run"`
	Call    string `json:"call"`
	Digest  string `json:"digest"` // of the approval asked for: what was shown is what runs
	Approve bool   `json:"approve"`
}

// AgentStarted begins a run.
type AgentStarted struct {
	Run        RunID     `json:"run"`
	Bot        BotID     `json:"bot"`
	Request    RequestID `json:"request,omitempty"`    // of the ai-request
	ReplyTo    Seq       `json:"replyTo,omitempty"`    // the message that it answers
	By         Author    `json:"by"`                   // who asked
	Prompt     string    `json:"prompt,omitempty"`     // of an ai-request: it stands in no message
	Regenerate Seq       `json:"regenerate,omitempty"` // the answer that this one takes the place of
}

// AgentThinking says that the bot is at work, at least every 2 s while it says nothing.
type AgentThinking struct {
	Run   RunID  `json:"run"`
	Text  string `json:"text,omitempty"`  // more of what it tells of its thoughts
	Phase Phase  `json:"phase,omitempty"` // what it is at
}

// Phase is what a run is at before it writes.
type Phase string

// The phases.
const (
	PhaseQueued   Phase = "queued"   // other answers come first
	PhaseContext  Phase = "context"  // it reads the conversation
	PhaseModel    Phase = "model"    // the model has been asked
	PhaseApproval Phase = "approval" // a tool waits for a person's word
)

// ToolExecuting says that a bot uses a tool.
type ToolExecuting struct {
	Run   RunID           `json:"run"`
	Call  string          `json:"call"`
	Tool  string          `json:"tool"`
	Title string          `json:"title,omitempty"`
	Input json.RawMessage `json:"input"`
}

// ToolCompleted says what became of it.
type ToolCompleted struct {
	Run    RunID  `json:"run"`
	Call   string `json:"call"`
	Tool   string `json:"tool"`
	OK     bool   `json:"ok"`
	Output string `json:"output,omitempty"` // its beginning; what tools say is nobody's word
	Error  string `json:"error,omitempty"`
	MS     int64  `json:"ms"`
}

// ToolApproval says that a tool that writes waits for a person's word, or what that was.
type ToolApproval struct {
	Run    RunID           `json:"run"`
	Call   string          `json:"call"`
	Tool   string          `json:"tool"`
	Title  string          `json:"title,omitempty"`
	Input  json.RawMessage `json:"input"`
	Digest string          `json:"digest"` // of the tool and its exact input
	State  ApprovalState   `json:"state"`
	By     UserID          `json:"by,omitempty"` // who decided
}

// ApprovalState is where an approval stands.
type ApprovalState string

// The states of approvals.
const (
	ApprovalAsked   ApprovalState = "asked"
	ApprovalGranted ApprovalState = "granted"
	ApprovalDenied  ApprovalState = "denied"
	ApprovalExpired ApprovalState = "expired"
)

// StreamStart begins the text of an answer.
type StreamStart struct {
	Run     RunID     `json:"run"`
	Message RequestID `json:"message"` // the id of the chat message that it becomes
}

// StreamChunk is a piece of it.
type StreamChunk struct {
	Run     RunID     `json:"run"`
	Message RequestID `json:"message"`
	Offset  int       `json:"offset"` // UTF-16 code units before this one
	Text    string    `json:"text"`
}

// StreamEnd ends it.
type StreamEnd struct {
	Run     RunID        `json:"run"`
	Message RequestID    `json:"message"`
	Length  int          `json:"length"` // UTF-16 code units of the whole
	Reason  StreamReason `json:"reason"`
}

// StreamReason is why a stream ended.
type StreamReason string

// The reasons.
const (
	StreamStop      StreamReason = "stop"
	StreamLength    StreamReason = "length" // as long as an answer may be
	StreamCancelled StreamReason = "cancelled"
	StreamFailed    StreamReason = "failed"
)

// RunStatus is how a run ended.
type RunStatus string

// The ends of a run.
const (
	RunCompleted RunStatus = "completed"
	RunCancelled RunStatus = "cancelled"
	RunFailed    RunStatus = "failed"
)

// AgentCompleted ends a run: exactly one for each that began. The answer is a logged chat before it.
type AgentCompleted struct {
	Run          RunID      `json:"run"`
	Status       RunStatus  `json:"status"`
	Error        *ErrorBody `json:"error,omitempty"` // of one that failed
	Usage        *Usage     `json:"usage,omitempty"`
	MS           int64      `json:"ms"`
	FirstTokenMS int64      `json:"firstTokenMs"`      // 0 = nothing was written
	Cached       bool       `json:"cached,omitempty"`  // an answer given before to the same question on the same ground
	Message      Seq        `json:"message,omitempty"` // the chat message; absent when nothing was written
}

// AgentSpeaking says that a bot speaks an answer into the call, and how far it got. It may speak on when its run is over.
type AgentSpeaking struct {
	Run    RunID         `json:"run"`
	State  SpeakingState `json:"state"`
	Spoken int           `json:"spoken"` // UTF-16 code units of the answer that were heard, in whole sentences
}

// SpeakingState is where a bot that speaks stands.
type SpeakingState string

// The states. Each started is followed by one of the others.
const (
	SpeakingStarted     SpeakingState = "started"
	SpeakingStopped     SpeakingState = "stopped"     // at the end, or because somebody ended it
	SpeakingInterrupted SpeakingState = "interrupted" // a person has begun to speak
)

// Caption is what a participant says: a bot while it is heard, a person once a bot that hears has it written down.
type Caption struct {
	Participant ParticipantID `json:"participant"`
	Text        string        `json:"text"`             // a sentence, without Markdown
	Final       bool          `json:"final"`            // it has been said; until then it is being said. What people say is final at once
	Run         RunID         `json:"run,omitempty"`    // of a bot's answer
	Offset      int           `json:"offset,omitempty"` // where the sentence begins in the answer, in UTF-16 code units
}

// Usage counts the tokens of a run.
type Usage struct {
	Input  int `json:"input"`
	Cached int `json:"cached,omitempty"` // of input: not read anew
	Output int `json:"output"`
}

// RunReceipt is what a chat message of a bot says of how it came about.
type RunReceipt struct {
	Run          RunID      `json:"run"`
	Bot          BotID      `json:"bot"`
	Status       RunStatus  `json:"status"`
	Error        *ErrorBody `json:"error,omitempty"`
	By           Author     `json:"by"` // who asked
	Request      RequestID  `json:"request,omitempty"`
	Prompt       string     `json:"prompt,omitempty"` // of an ai-request
	Model        string     `json:"model"`            // "built-in", or what answered
	Degraded     bool       `json:"degraded,omitempty"`
	Cached       bool       `json:"cached,omitempty"`
	Usage        *Usage     `json:"usage,omitempty"`
	MS           int64      `json:"ms"`
	FirstTokenMS int64      `json:"firstTokenMs"`
	Tools        []ToolUse  `json:"tools,omitempty"`
	Sources      []Seq      `json:"sources,omitempty"`  // messages that it rests on
	Replaces     Seq        `json:"replaces,omitempty"` // the answer that this one takes the place of
	Hops         int        `json:"hops,omitempty"`     // bots before this one in a chain of answers
}

// ToolUse is one use of a tool, in a receipt. What went in and what came out is there for the first 8 uses.
type ToolUse struct {
	Tool   string `json:"tool"`
	Title  string `json:"title,omitempty"`
	OK     bool   `json:"ok"`
	MS     int64  `json:"ms"`
	Input  string `json:"input,omitempty"`  // JSON, its first 500 characters
	Output string `json:"output,omitempty"` // the same of what it found; what tools say is nobody's word
	Error  string `json:"error,omitempty"`  // the same of what went wrong
}

// RunState is a run that goes on, for who joins in the middle: its events so far, in one piece.
type RunState struct {
	Start    AgentStarted    `json:"start"`
	From     ParticipantID   `json:"from"`
	Thread   ThreadID        `json:"thread,omitempty"`
	Started  int64           `json:"started"` // Unix time in milliseconds
	Phase    Phase           `json:"phase,omitempty"`
	Thinking string          `json:"thinking,omitempty"`
	Message  RequestID       `json:"message,omitempty"` // absent until the stream starts
	Text     string          `json:"text"`
	Tools    []ToolExecuting `json:"tools,omitempty"`
	Done     []ToolCompleted `json:"done,omitempty"`    // of tools
	Waiting  *ToolApproval   `json:"waiting,omitempty"` // for a person's word
}

// Kind implements ClientMessage.
func (BotToggle) Kind() Kind { return KindBotToggle }

// Kind implements ClientMessage.
func (BotVoice) Kind() Kind { return KindBotVoice }

// Kind implements ClientMessage.
func (AIRequest) Kind() Kind { return KindAIRequest }

// Kind implements ClientMessage.
func (AICancel) Kind() Kind { return KindAICancel }

// Kind implements ClientMessage.
func (ToolDecision) Kind() Kind { return KindToolApproval }

// Kind implements ServerMessage.
func (AgentStarted) Kind() Kind { return KindAgentStarted }

// Kind implements ServerMessage.
func (AgentThinking) Kind() Kind { return KindAgentThinking }

// Kind implements ServerMessage.
func (ToolExecuting) Kind() Kind { return KindToolExecuting }

// Kind implements ServerMessage.
func (ToolCompleted) Kind() Kind { return KindToolCompleted }

// Kind implements ServerMessage.
func (ToolApproval) Kind() Kind { return KindToolApproval }

// Kind implements ServerMessage.
func (StreamStart) Kind() Kind { return KindStreamStart }

// Kind implements ServerMessage.
func (StreamChunk) Kind() Kind { return KindStreamChunk }

// Kind implements ServerMessage.
func (StreamEnd) Kind() Kind { return KindStreamEnd }

// Kind implements ServerMessage.
func (AgentCompleted) Kind() Kind { return KindAgentCompleted }

// Kind implements ServerMessage.
func (AgentSpeaking) Kind() Kind { return KindAgentSpeaking }

// Kind implements ServerMessage.
func (Caption) Kind() Kind { return KindCaption }

func (AgentSpeaking) serverMessage()  {}
func (Caption) serverMessage()        {}
func (AgentStarted) serverMessage()   {}
func (AgentThinking) serverMessage()  {}
func (ToolExecuting) serverMessage()  {}
func (ToolCompleted) serverMessage()  {}
func (ToolApproval) serverMessage()   {}
func (StreamStart) serverMessage()    {}
func (StreamChunk) serverMessage()    {}
func (StreamEnd) serverMessage()      {}
func (AgentCompleted) serverMessage() {}

// Validate implements ClientMessage.
func (m BotToggle) Validate() error { return validBot(m.Bot) }

// Validate implements ClientMessage.
func (m BotVoice) Validate() error {
	if m.Speak == nil && m.Hear == nil {
		return Errorf(CodeBadMessage, "bot-voice needs speak or hear")
	}
	return validBot(m.Bot)
}

// Validate implements ClientMessage.
func (m AIRequest) Validate() error {
	if err := validBot(m.Bot); err != nil {
		return err
	}
	if m.Prompt != "" {
		return validText(m.Prompt)
	}
	if m.ReplyTo == 0 && m.Regenerate == 0 {
		return Errorf(CodeBadMessage, "ai-request needs a prompt, or the seq of a message in replyTo or regenerate")
	}
	return nil
}

// Validate implements ClientMessage.
func (m AICancel) Validate() error {
	switch {
	case m.Run == "" && m.Request == "":
		return Errorf(CodeBadMessage, "ai-cancel needs a run, or the id of an ai-request")
	case m.Run != "" && !ValidRequestID(string(m.Run)), m.Request != "" && !ValidRequestID(string(m.Request)):
		return Errorf(CodeBadMessage, "run and request are 1 to %d of A-Z a-z 0-9 - _ .", MaxNameLength)
	}
	return nil
}

// Validate implements ClientMessage.
func (m ToolDecision) Validate() error {
	if !ValidRequestID(string(m.Run)) || m.Call == "" || len(m.Call) > MaxCallBytes || m.Digest == "" || len(m.Digest) > MaxCallBytes {
		return Errorf(CodeBadMessage, "tool-approval needs the run, call and digest of an approval asked for")
	}
	return nil
}

func validBot(id BotID) error {
	if !ValidName(string(id)) {
		return Errorf(CodeBadMessage, "a bot is 1 to %d of a-z 0-9 - _", MaxNameLength)
	}
	return nil
}
