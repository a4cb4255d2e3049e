package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"confab/rooms"
	"confab/signaling/openapi"
	"confab/signaling/wire"
)

// Operation describes the requests that a Sender makes.
var Operation = openapi.Operation{
	Method: "POST", Path: "event", ID: "event", Tag: "webhooks",
	Summary: "Sent to each --webhook-url, signed as Standard Webhooks 1.0; tried again for a day until the answer is 2xx. 410 ends it.",
	Query: []openapi.Parameter{
		{Name: "webhook-id", In: "header", Summary: "The id of the event."}, {Name: "webhook-timestamp", In: "header", Summary: "When this attempt was made, Unix time in seconds."},
		{Name: "webhook-signature", In: "header", Summary: "v1, and the HMAC-SHA256 of id.timestamp.body in base64; one for each secret, with spaces between."},
	},
	Body: &openapi.Body{Type: Event{}}, Answers: []openapi.Answer{{Status: 204, Summary: "It was taken; so does any other 2xx say."}},
}

// An Event is the body of a request.
type Event struct {
	ID          string            `json:"id" doc:"The same in every attempt: a repeat is known by it."`
	Type        rooms.EventKind   `json:"type"`
	TS          int64             `json:"ts" doc:"When it happened, Unix time in milliseconds."`
	Room        wire.RoomID       `json:"room"`
	Participant *wire.Participant `json:"participant,omitempty" doc:"Of participant.joined and participant.left."`
	Reason      string            `json:"reason,omitempty" doc:"Of participant.left (left, lost, kicked, banned, ended) and recording.ended."`
	By          wire.UserID       `json:"by,omitempty" doc:"Who has started the recording, of recording.started."`
	Message     *Message          `json:"message,omitempty" doc:"Of message.created."`
}

// A Message is what was said.
type Message struct {
	Seq     wire.Seq      `json:"seq"`
	Thread  wire.ThreadID `json:"thread,omitempty"`
	Author  wire.Author   `json:"author"`
	ReplyTo wire.Seq      `json:"replyTo,omitempty"`
	Text    string        `json:"text,omitempty" doc:"Only where the server is set to send it."`
}

// eventOf makes the body of an event. The text of a message is in it only with text.
func eventOf(e rooms.Event, text bool) Event {
	out := Event{
		ID: "evt_" + uuid.NewString(), Type: e.Kind, TS: e.Time.UnixMilli(), Room: e.Room, Participant: e.Participant, Reason: e.Reason, By: e.By,
	}
	if m := e.Message; m != nil {
		out.Message = &Message{Seq: m.Seq, Thread: m.Thread, Author: m.Author, ReplyTo: m.ReplyTo}
		if text {
			out.Message.Text = m.Text
		}
	}
	return out
}

const (
	secretPrefix   = "whsec_"
	minSecretBytes = 24
	maxSecretBytes = 64
)

// ParseSecret reads a secret as Standard Webhooks writes them: whsec_ and 24 to 64 bytes in base64. The error does not
// repeat it.
func ParseSecret(text string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(text, secretPrefix)
	if !ok {
		return nil, errors.New("a secret begins with whsec_; make one with: echo whsec_$(openssl rand -base64 32)")
	}
	secret, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(secret) < minSecretBytes || len(secret) > maxSecretBytes {
		return nil, errors.New("behind whsec_ stand 24 to 64 bytes in base64; make a secret with: echo whsec_$(openssl rand -base64 32)")
	}
	return secret, nil
}

// sign returns the value of webhook-signature: one signature for each secret, so that secrets can be changed.
func sign(secrets [][]byte, id string, at time.Time, body []byte) string {
	var all []string
	for _, secret := range secrets {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		mac.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(all, " ")
}
