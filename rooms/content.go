package rooms

import (
	"encoding/json"
	"fmt"

	"confab/signaling/wire"
)

// A content is what a record says: its envelope and one of the bodies.
type content struct {
	head     wire.Envelope // without data
	chat     *wire.ChatRecord
	edit     *wire.Edit
	remove   *deletion
	reaction *wire.Reaction
	cleared  bool
}

// A deletion is the stored body of delete. Was lets the message keep its place in the window after its own record
// has been erased.
type deletion struct {
	wire.Delete
	Was *remains `json:"was,omitempty"`
}

// remains is what may stay of a deleted message.
type remains struct {
	ID      wire.RequestID     `json:"id,omitempty"`
	Room    wire.RoomID        `json:"room,omitempty"`
	Thread  wire.ThreadID      `json:"thread,omitempty"`
	From    wire.ParticipantID `json:"from,omitempty"`
	Author  *wire.Author       `json:"author,omitempty"`
	ReplyTo wire.Seq           `json:"replyTo,omitempty"`
	TS      int64              `json:"ts,omitempty"`
}

// user is who wrote it.
func (c *content) user() wire.UserID {
	if c.head.Author == nil {
		return ""
	}
	return c.head.Author.User
}

// key is keyOf the request; id is what the log has it under, which is the same for what this version has written.
func (c *content) key(id string) string {
	if c.head.ID == "" {
		return ""
	}
	if id != "" {
		return id
	}
	return keyOf(c.head.Room, c.user(), c.head.ID)
}

// payload is what the log stores: the envelope without seq, prev and ts.
func (c *content) payload() []byte {
	var (
		short [512]byte
		data  []byte
	)
	switch {
	case c.chat != nil:
		data = appendChat(short[:0], c.chat)
	case c.edit != nil:
		data = mustJSON(c.edit)
	case c.remove != nil:
		data = mustJSON(c.remove)
	case c.reaction != nil:
		data = mustJSON(c.reaction)
	}
	return wire.AppendEnvelope(make([]byte, 0, len(data)+256), c.head, c.head.Type, data)
}

// appendChat appends a new chat message as JSON, by hand where it is plain text, as nearly all are.
func appendChat(dst []byte, c *wire.ChatRecord) []byte {
	if c.ReplyTo != 0 || len(c.Mentions) > 0 || c.Run != nil {
		return append(dst, mustJSON(c)...)
	}
	dst = append(dst, `{"text":`...)
	return append(wire.AppendString(dst, c.Text), '}')
}

// parseContent reads a payload back.
func parseContent(payload []byte) (*content, error) {
	c := &content{}
	if err := json.Unmarshal(payload, &c.head); err != nil {
		return nil, fmt.Errorf("rooms: record that is no envelope: %w", err)
	}
	data := c.head.Data
	c.head.Data = nil
	var body any
	switch c.head.Type {
	case wire.KindChat:
		c.chat = &wire.ChatRecord{}
		body = c.chat
	case wire.KindEdit:
		c.edit = &wire.Edit{}
		body = c.edit
	case wire.KindDelete:
		c.remove = &deletion{}
		body = c.remove
	case wire.KindReaction:
		c.reaction = &wire.Reaction{}
		body = c.reaction
	case wire.KindClear:
		c.cleared = true
		return c, nil
	default:
		return nil, fmt.Errorf("rooms: record of type %q", c.head.Type)
	}
	if err := json.Unmarshal(data, body); err != nil {
		return nil, fmt.Errorf("rooms: body of a %s record: %w", c.head.Type, err)
	}
	return c, nil
}
