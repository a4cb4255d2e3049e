package tool

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// The names of the tools for polls.
const (
	CreatePoll = "create_poll"
	PollResult = "poll_result"
)

// ErrNoPoll says that there is no poll of the bot's where one was looked for.
var ErrNoPoll = errors.New("there is no such poll here")

// pollHead begins the message that is a poll.
const pollHead = "**Poll:** "

// keycaps are the emoji that people tap to vote.
var keycaps = []string{"1️⃣", "2️⃣", "3️⃣", "4️⃣", "5️⃣", "6️⃣", "7️⃣", "8️⃣", "9️⃣", "🔟"}

// Poll is the output of create_poll and poll_result.
type Poll struct {
	Seq      uint64   `json:"seq"` // of the message
	Question string   `json:"question"`
	Options  []Option `json:"options"`
	Voters   int      `json:"voters"` // who voted for at least one
}

// An Option is one that can be voted for.
type Option struct {
	Emoji string `json:"emoji"`
	Text  string `json:"text"`
	Votes int    `json:"votes"` // without the bot's own
}

type pollInput struct {
	Question string   `json:"question"`
	Options  []string `json:"options"`
}

func createPoll() Tool {
	return define(CreatePoll, "Start a poll", `Posts a poll in the room. People vote by tapping the number of an option below it; several are possible.`, `{
		"type": "object", "additionalProperties": false, "required": ["question", "options"],
		"properties": {
			"question": {"type": "string", "minLength": 1, "maxLength": 300},
			"options": {"type": "array", "minItems": 2, "maxItems": 10, "uniqueItems": true, "items": {"type": "string", "minLength": 1, "maxLength": 100}}
		}
	}`, openPoll)
}

func openPoll(ctx context.Context, call Call, in pollInput) (any, []uint64, error) {
	poll := Poll{Question: oneLine(in.Question)}
	lines := []string{pollHead + Plain(in.Question, 0), ""}
	for i, text := range in.Options {
		if oneLine(text) == "" {
			return nil, nil, fmt.Errorf("%w: option %d is empty", ErrInput, i+1)
		}
		poll.Options = append(poll.Options, Option{Emoji: keycaps[i], Text: oneLine(text)})
		lines = append(lines, "- "+keycaps[i]+" "+Plain(text, 0))
	}
	if poll.Question == "" {
		return nil, nil, fmt.Errorf("%w: the question is empty", ErrInput)
	}
	seq, err := call.Room.Say(ctx, strings.Join(lines, "\n"))
	if err != nil {
		return nil, nil, fmt.Errorf("post the poll: %w", err)
	}
	for _, o := range poll.Options {
		if err := call.Room.React(ctx, seq, o.Emoji); err != nil {
			return nil, nil, fmt.Errorf("open the poll for votes: %w", err)
		}
	}
	poll.Seq = seq
	return poll, []uint64{seq}, nil
}

type resultInput struct {
	Seq count `json:"seq"`
}

func pollResult() Tool {
	return define(PollResult, "Count a poll", `Counts the votes of a poll of this bot's: of the newest one unless its seq is given.`, `{
		"type": "object", "additionalProperties": false,
		"properties": {"seq": {"type": "integer", "minimum": 1, "maximum": 9007199254740991, "description": "of the poll's message"}}
	}`, func(ctx context.Context, call Call, in resultInput) (any, []uint64, error) {
		q := Query{}
		if in.Seq > 0 {
			q = Query{After: uint64(in.Seq) - 1, Before: uint64(in.Seq) + 1}
		}
		messages, err := call.Room.Messages(ctx, q)
		if err != nil {
			return nil, nil, fmt.Errorf("read the messages: %w", err)
		}
		for i := len(messages) - 1; i >= 0; i-- {
			if poll, ok := readPoll(messages[i], call.Room.Bot()); ok {
				return poll, []uint64{poll.Seq}, nil
			}
		}
		return nil, nil, ErrNoPoll
	})
}

// readPoll reads a poll out of its message. Only the bot's own messages are polls: people may write what they like.
func readPoll(m Message, bot string) (Poll, bool) {
	question, ok := strings.CutPrefix(m.Text, pollHead)
	if !m.Bot || m.Name != bot || !ok {
		return Poll{}, false
	}
	question, list, _ := strings.Cut(question, "\n")
	poll := Poll{Seq: m.Seq, Question: Said(question)}
	voters := map[string]bool{}
	for line := range strings.Lines(list) {
		emoji, text, found := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "- "), " ")
		if !found {
			continue
		}
		o := Option{Emoji: emoji, Text: Said(text)}
		for _, user := range m.Reactions[emoji] {
			if user != m.User {
				o.Votes++
				voters[user] = true
			}
		}
		poll.Options = append(poll.Options, o)
	}
	poll.Voters = len(voters)
	return poll, len(poll.Options) >= 2
}
