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

// payload is what the log stores: the envelope without seq, prev and ts.
func (c *content) payload() []byte {
	var body any
	switch {
	case c.chat != nil:
		body = c.chat
	case c.edit != nil:
		body = c.edit
	case c.remove != nil:
		body = c.remove
	case c.reaction != nil:
		body = c.reaction
	default:
		body = wire.Clear{}
	}
	data := mustJSON(body)
	return wire.AppendEnvelope(make([]byte, 0, len(data)+256), c.head, c.head.Type, data)
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
