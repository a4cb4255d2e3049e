package agui

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"confab/signaling/wire"
)

const (
	// A client sends its whole conversation with each question.
	maxInputBytes = 1 << 20
	maxIDBytes    = 256 // of a run, as the client calls it
)

// A RunAgentInput is a request to run an agent, as far as it matters here: the bot reads the conversation from the room,
// and has tools of its own.
type RunAgentInput struct {
	ThreadID string         `json:"threadId"`
	RunID    string         `json:"runId"`
	Messages []InputMessage `json:"messages"`
}

// InputMessage is one message of the conversation.
type InputMessage struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"` // a string, or parts
}

// readInput reads the body of a request. It takes no longer than patience.
//
// Errors: *wire.Error with CodeBadMessage or CodeTooLarge.
func readInput(w http.ResponseWriter, r *http.Request, patience time.Duration) (*RunAgentInput, error) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Now().Add(patience)) // where it cannot be set, there is none
	var in RunAgentInput
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxInputBytes))
	err := decoder.Decode(&in)
	if err == nil {
		_, err = decoder.Token() // to the end, so that the server notices when the client goes away
	}
	// The client says nothing more, for as long as the run takes.
	_ = control.SetReadDeadline(time.Time{})
	switch _, large := errors.AsType[*http.MaxBytesError](err); {
	case large:
		return nil, wire.Errorf(wire.CodeTooLarge, "the body is larger than %d bytes; leave older messages out", maxInputBytes)
	case !errors.Is(err, io.EOF):
		return nil, &wire.Error{Code: wire.CodeBadMessage, Text: "the body is no RunAgentInput of AG-UI", Err: err}
	case in.RunID == "" || len(in.RunID) > maxIDBytes:
		return nil, wire.Errorf(wire.CodeBadMessage, "runId is 1 to %d bytes", maxIDBytes)
	case !wire.ValidName(in.ThreadID):
		return nil, wire.Errorf(wire.CodeBadMessage, "threadId names a thread of the room: 1 to %d of a-z 0-9 - _; the room's own name is its main timeline", wire.MaxNameLength)
	}
	return &in, nil
}

// question is the text of the last message of the user.
//
// Errors: *wire.Error with CodeBadMessage: there is none.
func (in *RunAgentInput) question() (string, error) {
	for i := len(in.Messages) - 1; i >= 0; i-- {
		if m := in.Messages[i]; m.Role == "user" {
			if text := m.text(); text != "" {
				return text, nil
			}
			break
		}
	}
	return "", wire.Errorf(wire.CodeBadMessage, "the last message of role user is the question, and needs some text")
}

// text is what a message says in words. Parts that are something else are left out, as of any receiver that cannot use
// them.
func (m InputMessage) text() string {
	var text string
	if json.Unmarshal(m.Content, &text) == nil {
		return strings.TrimSpace(text)
	}
	var parts []struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	if json.Unmarshal(m.Content, &parts) != nil {
		return ""
	}
	var texts []string
	for _, p := range parts {
		if p.Type == "text" {
			texts = append(texts, p.Text)
		}
	}
	return strings.TrimSpace(strings.Join(texts, "\n"))
}
