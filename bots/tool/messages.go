package tool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The names of the tools that read.
const (
	SearchMessages   = "search_messages"
	ReadMessages     = "read_messages"
	WhoSaid          = "who_said"
	ListParticipants = "list_participants"
)

// The bounds of what they return.
const (
	maxText     = 600      // characters of one message
	maxSome     = 16 << 10 // bytes of all as JSON when up to someOf are asked for; the oldest are left out
	maxAll      = 64 << 10 // and when more are
	someOf      = 100
	allMessages = 256 // the most that a Room gives at once
)

// ErrNobody says that nobody goes by a name here.
var ErrNobody = errors.New("nobody of that name is known in this room")

// A Quote is a message as tools show it: Seq is what an answer cites it by.
type Quote struct {
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	Name string    `json:"name"`
	Bot  bool      `json:"bot,omitempty"`
	Text string    `json:"text"`
	To   uint64    `json:"replyTo,omitempty"`
}

// Messages is the output of search_messages and read_messages.
type Messages struct {
	Messages []Quote `json:"messages"` // oldest first
	// LeftOut says that there are older ones that fit, too.
	LeftOut bool `json:"leftOut,omitempty"`
	// LastRead is up to where the asker had read, when that was asked for; 0 = unknown.
	LastRead uint64 `json:"lastRead,omitempty"`
}

// Speakers is the output of who_said.
type Speakers struct {
	People []Speaker `json:"people"` // who said it first comes first
}

// A Speaker is somebody who said something.
type Speaker struct {
	Name     string  `json:"name"`
	Count    int     `json:"count"`
	Messages []Quote `json:"messages"` // oldest first, at most 10
}

type searchInput struct {
	Query string    `json:"query"`
	From  string    `json:"from"`
	Since time.Time `json:"since"`
	Limit count     `json:"limit"`
}

func searchMessages() Tool {
	return define(SearchMessages, "Search the messages", `Finds messages of this room that contain all words of the query, in any form of them.
Returns the newest that match, oldest first, each with its seq, by which an answer cites it.`, `{
		"type": "object", "additionalProperties": false, "required": ["query"],
		"properties": {
			"query": {"type": "string", "minLength": 1, "maxLength": 200, "description": "words that all occur"},
			"from": {"type": "string", "minLength": 1, "maxLength": 100, "description": "only what this person said: a name"},
			"since": {"type": "string", "pattern": "^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?(Z|[+-]\\d\\d:\\d\\d)$", "description": "only what was said at this time or later: RFC 3339"},
			"limit": {"type": "integer", "minimum": 1, "maximum": 50, "description": "10 unless given"}
		}
	}`, func(ctx context.Context, call Call, in searchInput) (any, []uint64, error) {
		q := Query{Text: in.Query, Since: in.Since, Limit: cmp.Or(int(in.Limit), 10)}
		return find(ctx, call.Room, q, in.From)
	})
}

type readInput struct {
	After   count     `json:"after"`
	Since   time.Time `json:"since"`
	Minutes count     `json:"minutes"`
	Unread  bool      `json:"unread"`
	From    string    `json:"from"`
	Limit   count     `json:"limit"`
}

func readMessages() Tool {
	return define(ReadMessages, "Read the messages", `Returns what was said in this room, oldest first: after a message, since a time,
in the last minutes, or since the asker last read; the newest of them when nothing is given, and when there are too many.`, `{
		"type": "object", "additionalProperties": false,
		"properties": {
			"after": {"type": "integer", "minimum": 0, "maximum": 9007199254740991, "description": "a message's seq: only newer ones"},
			"since": {"type": "string", "pattern": "^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\d(\\.\\d+)?(Z|[+-]\\d\\d:\\d\\d)$", "description": "a time, RFC 3339: only what was said then or later"},
			"minutes": {"type": "integer", "minimum": 1, "maximum": 10080, "description": "only what was said in the last so many minutes"},
			"unread": {"type": "boolean", "description": "only what the asker had not read before asking"},
			"from": {"type": "string", "minLength": 1, "maxLength": 100, "description": "only what this person said: a name"},
			"limit": {"type": "integer", "minimum": 1, "maximum": 256, "description": "the newest so many; 100 unless given"}
		}
	}`, read)
}

func read(ctx context.Context, call Call, in readInput) (any, []uint64, error) {
	q := Query{After: uint64(in.After), Since: in.Since, Limit: cmp.Or(int(in.Limit), 100)}
	if in.Minutes > 0 {
		if t := time.Now().Add(-time.Duration(in.Minutes) * time.Minute); t.After(q.Since) {
			q.Since = t
		}
	}
	lastRead := uint64(0)
	if in.Unread {
		lastRead = call.Room.LastRead()
		q.After = max(q.After, lastRead)
	}
	found, sources, err := find(ctx, call.Room, q, in.From)
	if err != nil {
		return nil, nil, err
	}
	found.LastRead = lastRead
	return found, sources, nil
}

// find asks the room, for one more than wanted in order to know whether there are more.
func find(ctx context.Context, room Room, q Query, from string) (*Messages, []uint64, error) {
	if from != "" {
		user, err := userOf(ctx, room, from)
		if err != nil {
			return nil, nil, err
		}
		q.User = user
	}
	limit := q.Limit
	q.Limit = min(limit+1, allMessages)
	messages, err := room.Messages(ctx, q)
	if err != nil {
		return nil, nil, fmt.Errorf("read the messages: %w", err)
	}
	found := &Messages{Messages: quotes(messages)}
	if more := len(found.Messages) - limit; more > 0 {
		found.Messages, found.LeftOut = found.Messages[more:], true
	}
	bound := maxSome
	if limit > someOf {
		bound = maxAll
	}
	if fit := fitting(found.Messages, bound); fit > 0 {
		found.Messages, found.LeftOut = found.Messages[fit:], true
	}
	return found, seqs(found.Messages), nil
}

// quotes never returns nil: an empty list is not null.
func quotes(messages []Message) []Quote {
	all := make([]Quote, 0, len(messages))
	for _, m := range messages {
		all = append(all, Quote{m.Seq, m.Time, m.Name, m.Bot, cut(m.Text, maxText), m.ReplyTo})
	}
	return all
}

// fitting returns how many of the oldest must go so that the rest fits into a bound.
func fitting(all []Quote, bound int) int {
	size := len(`{"messages":[],"leftOut":true,"lastRead":9007199254740991}`)
	for i := len(all) - 1; i >= 0; i-- {
		text, err := write(all[i])
		if size += len(text) + 1; err != nil || size > bound {
			return i + 1
		}
	}
	return 0
}

func seqs(all []Quote) []uint64 {
	var list []uint64
	for _, q := range all {
		list = append(list, q.Seq)
	}
	return list
}

func cut(text string, limit int) string {
	if utf8.RuneCountInString(text) <= limit {
		return text
	}
	return string([]rune(text)[:limit]) + "…"
}

type whoSaidInput struct {
	Words string `json:"words"`
}

func whoSaid() Tool {
	return define(WhoSaid, "Find who said it", `Says which people said all of these words, in any form of them: each with how often, and the messages.
Who said it first comes first. What bots said does not count.`, `{
		"type": "object", "additionalProperties": false, "required": ["words"],
		"properties": {"words": {"type": "string", "minLength": 1, "maxLength": 200}}
	}`, func(ctx context.Context, call Call, in whoSaidInput) (any, []uint64, error) {
		messages, err := call.Room.Messages(ctx, Query{Text: in.Words})
		if err != nil {
			return nil, nil, fmt.Errorf("read the messages: %w", err)
		}
		found := bySpeaker(messages)
		var sources []uint64
		for _, p := range found.People {
			sources = append(sources, seqs(p.Messages)...)
		}
		return found, sources, nil
	})
}

const quotesOfSpeaker = 10

func bySpeaker(messages []Message) *Speakers {
	found := &Speakers{People: []Speaker{}}
	at, size := map[string]int{}, 0
	for _, m := range messages {
		if m.Bot || size > maxAll {
			continue
		}
		i, known := at[m.User]
		if !known {
			i = len(found.People)
			at[m.User] = i
			found.People = append(found.People, Speaker{})
		}
		p := &found.People[i]
		p.Name = m.Name
		p.Count++
		if quote := quotes([]Message{m}); len(p.Messages) == 0 || len(p.Messages) < quotesOfSpeaker && size < maxAll/2 {
			p.Messages = append(p.Messages, quote...)
			size += 2 * len(quote[0].Text)
		}
	}
	return found
}

// Participants is the output of list_participants.
type Participants struct {
	Participants []Present `json:"participants"`
}

// A Present is somebody who is there.
type Present struct {
	Name       string    `json:"name"`
	Bot        bool      `json:"bot,omitempty"`
	Moderator  bool      `json:"moderator,omitempty"`
	You        bool      `json:"asker,omitempty"`
	Joined     time.Time `json:"joined"`
	Microphone bool      `json:"microphone,omitempty"`
	Camera     bool      `json:"camera,omitempty"`
	Screen     bool      `json:"screen,omitempty"`
	Hand       bool      `json:"hand,omitempty"`
}

// maxParticipants bounds the list; the count of a larger room is not told by it.
const maxParticipants = 200

func listParticipants() Tool {
	return define(ListParticipants, "List the participants", `Says who is in the room now, bots too, since when, and what they have switched on.`,
		`{"type": "object", "additionalProperties": false}`,
		func(_ context.Context, call Call, _ struct{}) (any, []uint64, error) {
			list := Participants{Participants: []Present{}}
			asker := call.Room.Asker().ID
			for _, p := range call.Room.Participants() {
				if len(list.Participants) == maxParticipants {
					break
				}
				list.Participants = append(list.Participants, Present{cut(p.Name, 100), p.Bot, p.Moderator, p.ID == asker, p.Joined, p.Microphone, p.Camera, p.Screen, p.Hand})
			}
			return list, nil, nil
		})
}

// userOf finds who goes by a name: of those who are there, else of those who said something lately. The whole name goes
// before its first word.
func userOf(ctx context.Context, room Room, name string) (string, error) {
	var users, names []string
	for _, p := range room.Participants() {
		users, names = append(users, p.User), append(names, p.Name)
	}
	if i := match(names, name); i >= 0 {
		return users[i], nil
	}
	messages, err := room.Messages(ctx, Query{})
	if err != nil {
		return "", fmt.Errorf("read the messages: %w", err)
	}
	users, names = nil, nil
	for _, m := range slices.Backward(messages) {
		users, names = append(users, m.User), append(names, m.Name)
	}
	if i := match(names, name); i >= 0 {
		return users[i], nil
	}
	return "", fmt.Errorf("%w: %s", ErrNobody, cut(oneLine(name), 60))
}

// match returns the index of the name that is meant; -1 = none.
func match(names []string, wanted string) int {
	wanted = strings.TrimPrefix(strings.TrimSpace(wanted), "@")
	if i := slices.IndexFunc(names, func(n string) bool { return strings.EqualFold(strings.TrimSpace(n), wanted) }); i >= 0 {
		return i
	}
	return slices.IndexFunc(names, func(n string) bool {
		first, _, _ := strings.Cut(strings.TrimSpace(n), " ")
		return strings.EqualFold(first, wanted)
	})
}
