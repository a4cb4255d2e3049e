// Package tool is what bots can do in a room: look at what was said and at who is there, ask people, keep time; and,
// through MCP servers, whatever else the operator gives them.
//
// # Model
//
// A Tool says what it is by its Spec, and does one Call at a time for one asker, through the Room as that asker may
// see it. Nothing that a tool returns is trusted: it is data for the model, never instructions.
//
// ForRoom returns the tools of this package, which look at the room or do what somebody asked the bot for: a poll, a
// timer. What they put into the room is said by the bot itself, in the timeline that it was asked in, with nothing of
// the asker's formatting in it; they change nothing that was there before. So none of them Writes in the sense of
// Spec.Writes, and none needs approval. What they say of messages is cut to bounds that fit a prompt.
//
// # Concurrency
//
// Tools may be called from any number of goroutines. A call ends when its context does.
package tool

import (
	"context"
	"encoding/json"
	"time"

	"confab/bots/provider"
)

// A Tool is something that a bot can do.
type Tool interface {
	Spec() Spec
	// Do runs one call whose input fits the schema. The output is JSON or text for the model, bounded by the caller.
	// Errors are told to the model and shown to people: they name no secret.
	Do(ctx context.Context, call Call) (Output, error)
}

// A Spec says what a tool is.
type Spec struct {
	provider.Tool
	Title string // for people
	// Writes says that the tool changes something outside the answer: a person must approve each call of it, with its
	// exact arguments, unless its persona is trusted with it.
	Writes bool
	Server string // the MCP server it comes from; empty = this server's own
	// Timeout is how long a call may take; 0 = 30 s.
	Timeout time.Duration
}

// A Call is one use of a tool.
type Call struct {
	ID    string
	Input json.RawMessage
	Room  Room
	// Seed is the question's (provider.Question.Seed): what is left to chance comes out the same when a run is repeated.
	Seed uint64
}

// An Output is what a tool found.
type Output struct {
	Text    string   // JSON or text, for the model
	Sources []uint64 // messages of the conversation's timeline that it rests on, by seq: shown as citations
}

// A Room is what a tool may see and do of one room, on behalf of one asker: nothing that the asker could not.
type Room interface {
	Name() string
	// Thread is the timeline that the question was asked in; empty = the main one.
	Thread() string
	Asker() Participant
	Bot() string // the name of the bot that acts

	// Messages returns what was said, oldest first: of the newest, at most q.Limit that match. Deleted ones are left out.
	Messages(ctx context.Context, q Query) ([]Message, error)
	// Participants returns who is there now, bots too.
	Participants() []Participant
	// LastRead is how far the asker had read before asking; 0 = unknown.
	LastRead() uint64
	// Speaking returns how long each user has spoken in the call that is going on; nil when nothing is known.
	Speaking() map[string]time.Duration
	// Connection returns the quality of a participant's connection as the server sees it; false when nothing is known.
	Connection(participant string) (Connection, bool)

	// Say lets the bot say something in the conversation's timeline, and returns the message's seq.
	Say(ctx context.Context, text string) (uint64, error)
	// React puts an emoji of the bot's on a message.
	React(ctx context.Context, seq uint64, emoji string) error
	// Later calls back once at the time given, also after a restart of the server: the bot then says text.
	Later(at time.Time, text string) error
}

// A Query chooses messages. The zero value matches all.
type Query struct {
	After  uint64    // only those with a larger seq
	Before uint64    // only those with a smaller seq; 0 = no bound
	Since  time.Time // only those not older
	User   string    // only this user's
	Text   string    // only those with all its words, in any form of them
	Limit  int       // 0 = 256, the most
}

// A Message is one that was said.
type Message struct {
	Seq       uint64
	Time      time.Time
	User      string
	Name      string
	Bot       bool // a bot said it
	Text      string
	ReplyTo   uint64
	Reactions map[string][]string // users by emoji
}

// A Participant is somebody in the room.
type Participant struct {
	ID        string
	User      string
	Name      string
	Bot       bool
	Moderator bool
	Joined    time.Time
	// What is on.
	Microphone, Camera, Screen, Hand bool
}

// Connection is how well a participant's media comes through, as the server sees it.
type Connection struct {
	RoundTrip time.Duration
	Loss      float64 // 0 to 1, of what the participant gets
	Bitrate   int     // bits a second that it could take
}
