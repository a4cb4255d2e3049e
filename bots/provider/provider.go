// Package provider is what answers for a bot: one turn of a conversation in, a stream of text and the tool calls that
// the model wants out. Each model API has a package of its own below this one; bots/builtin answers without a model.
//
// # Model
//
// A run of a bot is a loop of turns: the bot's instructions, the conversation and the tools go to a Model, whose Turn
// either ends the answer or wants tools, whose results go into the next turn. A Model keeps nothing between turns: what a
// provider wants to have again of its thoughts goes with the calls (Thought).
//
// # Concurrency
//
// Models may be used by any number of goroutines. A turn runs on its caller's goroutine, which alone calls emit.
//
// The package knows no room: it imports the standard library and what speaks to servers.
package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// A Model answers one turn at a time.
type Model interface {
	// Answer runs one turn. It calls emit for each piece in order, before it returns. When it fails, what was emitted
	// stands, and the Turn says what is known of it (its usage, its model). Errors: *Error, or ctx's cause.
	Answer(ctx context.Context, r Request, emit func(Part)) (Turn, error)
}

// A Request is one turn.
type Request struct {
	System    string    // the bot's instructions
	Messages  []Message // oldest first; the last is a user's, or brings results
	Tools     []Tool    // what the model may call; none = it must answer with text
	MaxTokens int       // of the answer; 0 = the model's own bound
	// Question says things for engines that need no prompt: a language model does not get it.
	Question Question
}

// A Question is what an engine without a model needs to know of a question beside its text.
type Question struct {
	Seq     uint64    // the message that asks; 0 = none does
	About   uint64    // the message that is asked about; 0 = none
	Persona string    // the bot's id
	Skills  []string  // of the built-in engine that the bot has
	Name    string    // the bot's name
	Asker   string    // the name of who asks
	User    string    // the user of who asks
	Now     time.Time // when it was asked, in the asker's zone where that is known
	Seed    uint64    // for choices by chance: the same question of the same run gets the same answer
	Text    string    // the question as it was asked, when the last user's message has more than it; empty = it has not
}

// Role is who speaks.
type Role string

// The roles.
const (
	User      Role = "user"
	Assistant Role = "assistant"
	ToolRole  Role = "tool"
)

// A Message is one of a conversation: text of a user or of the bot, the bot's calls, or their results.
type Message struct {
	Role     Role
	Text     string
	Thoughts []Thought // of an Assistant, with its Calls: the Turn's
	Calls    []Call    // of an Assistant
	Results  []Result  // of ToolRole: one for each call of the message before
}

// A Thought is what a model wants back of its thoughts with the results of the tools that it wanted: signed or
// encrypted, so that nobody but its provider can read or change it. It is given back as it came.
type Thought struct {
	By     string // the provider; another one does not take it
	Before int    // it came before Calls[Before]
	Data   json.RawMessage
}

// A Tool is what a model may call.
type Tool struct {
	Name        string // 1 to 64 of A-Z a-z 0-9 - _
	Description string
	Schema      json.RawMessage // JSON Schema of the input: an object
}

// A Call is a model's wish to use a tool.
type Call struct {
	ID    string
	Name  string
	Input json.RawMessage // an object, complete
}

// A Result answers a Call.
type Result struct {
	Call   string // the call's ID
	Name   string // the tool's
	Output string // JSON or text; of a failed call what went wrong
	Failed bool
}

// A Part is a piece of a turn as it comes. One of its fields is set.
type Part struct {
	Text     string // of the answer
	Thinking string // of what the model tells of its thoughts
}

// Stop is why a turn ended.
type Stop string

// The ends of a turn.
const (
	Stopped Stop = "stop"    // the answer is whole
	Length  Stop = "length"  // MaxTokens were reached
	Tools   Stop = "tools"   // Calls want results
	Refused Stop = "refused" // the provider's own rules
)

// Usage counts tokens. Zero where the provider does not say.
type Usage struct {
	Input  int // of which Cached were not read anew
	Cached int
	Output int
}

// Add returns the sum.
func (u Usage) Add(v Usage) Usage {
	return Usage{Input: u.Input + v.Input, Cached: u.Cached + v.Cached, Output: u.Output + v.Output}
}

// A Turn is what a Model said, but for the text, which was emitted.
type Turn struct {
	Stop     Stop
	Calls    []Call    // with Stop Tools
	Thoughts []Thought // with Stop Tools: what goes back with the Calls
	Usage    Usage
	Model    string // what answered, as its provider names it; "built-in" without a model
	// Degraded says that another than the wished model answered, because that one could not.
	Degraded bool
}

// Code is why a turn failed.
type Code string

// The codes.
const (
	Timeout        Code = "timeout"          // it did not connect, or no first piece came in time
	Stalled        Code = "stalled"          // pieces stopped coming
	RateLimited    Code = "rate-limited"     // the provider wants fewer requests
	Unauthorized   Code = "unauthorized"     // the key is not good: nothing but another key helps
	BadRequest     Code = "bad-request"      // the provider does not take what was sent: a wrong model, for instance
	ContextTooLong Code = "context-too-long" // the conversation is larger than the model's window
	Unavailable    Code = "unavailable"      // no connection, or an error of the provider's
	Broken         Code = "broken"           // the stream was cut or could not be read
	CircuitOpen    Code = "circuit-open"     // it failed too often lately, and was not asked
)

// An Error is why a turn failed. Its text names no key and nothing of the conversation.
type Error struct {
	Code       Code
	Provider   string        // which of the configured ones
	Status     int           // of HTTP; 0 = none came
	RetryAfter time.Duration // what the provider asks for; 0 = nothing
	Err        error
}

// Error implements error.
func (e *Error) Error() string {
	text := "provider " + e.Provider + ": " + string(e.Code)
	if e.Status != 0 {
		text += fmt.Sprintf(" (status %d)", e.Status)
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Retryable reports whether the same request may succeed a little later.
func (e *Error) Retryable() bool {
	switch e.Code {
	case Timeout, Stalled, RateLimited, Unavailable, Broken:
		return true
	default:
		return false
	}
}
