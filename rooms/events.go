package rooms

import (
	"time"

	"confab/signaling/wire"
)

// An EventKind is what happened in a room.
type EventKind string

// The kinds of events.
const (
	RoomStarted       EventKind = "room.started"       // the first participant came
	RoomEnded         EventKind = "room.ended"         // the last one is gone, or a moderator has ended the meeting
	ParticipantJoined EventKind = "participant.joined" // not: came back after a lost connection
	ParticipantLeft   EventKind = "participant.left"
	MessageCreated    EventKind = "message.created" // in the main timeline or a thread that all may see
	RecordingStarted  EventKind = "recording.started"
	RecordingEnded    EventKind = "recording.ended"
)

// EventKinds lists all of them.
var EventKinds = []EventKind{
	RoomStarted, RoomEnded, ParticipantJoined, ParticipantLeft, MessageCreated, RecordingStarted, RecordingEnded,
}

// An Event is something that happened in a room, for who is not in it. Bots of the server come and go with their rooms
// and are no participants here.
type Event struct {
	Kind        EventKind
	Room        wire.RoomID
	Time        time.Time
	Participant *wire.Participant // of ParticipantJoined and ParticipantLeft
	Reason      string            // of ParticipantLeft, as of presence; of RecordingEnded a wire.RecordingEnd
	Message     *Message          // of MessageCreated
	By          wire.UserID       // who has started the recording, of RecordingStarted
}

// A Message is a chat message as it was stored.
type Message struct {
	Seq     wire.Seq
	Thread  wire.ThreadID // empty = the main timeline
	Author  wire.Author
	ReplyTo wire.Seq
	Text    string
}

// happened tells of an event, if somebody wants to know.
func (r *Room) happened(e Event) {
	if tell := r.registry.opts.Events; tell != nil {
		e.Room = r.id
		if e.Time.IsZero() {
			e.Time = now()
		}
		tell(e)
	}
}

// eventful reports whether m is somebody whose coming and going is told.
func (r *Room) eventful(m *Member) bool { return r.registry.opts.Events != nil && m.seat == nil }

// meetingBegun tells that somebody is in the room, unless the meeting goes on that was under way before a restart.
func (r *Room) meetingBegun() {
	if r.registry.opts.Events == nil || r.doc.Began != 0 {
		return
	}
	r.doc.Began = now().UnixMilli()
	r.save(nil)
	r.happened(Event{Kind: RoomStarted})
}

// meetingOver tells that the meeting has ended, if one had begun. The caller saves the document.
func (r *Room) meetingOver() {
	if r.doc.Began != 0 {
		r.doc.Began = 0
		r.happened(Event{Kind: RoomEnded})
	}
}

// messageStored tells of a record that somebody here has written, if it is a message that all may see.
func (r *Room) messageStored(c *content, rec Record, t *thread) {
	if c.chat == nil || r.registry.opts.Events == nil || t != nil && t.with != nil {
		return
	}
	msg := &Message{Seq: rec.Seq, Thread: c.head.Thread, ReplyTo: c.chat.ReplyTo, Text: c.chat.Text}
	if c.head.Author != nil {
		msg.Author = *c.head.Author
	}
	r.happened(Event{Kind: MessageCreated, Time: rec.Time, Message: msg})
}
