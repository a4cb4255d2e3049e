package bots

import (
	"bytes"
	"sync"

	"confab/bots/voice"
	"confab/rooms"
	"confab/signaling/wire"
)

// A seat is one bot in one room. The first seat of a hall hears for all of them; each hears its private conversations.
type seat struct {
	hall  *hall
	bot   *bot
	place *rooms.Member

	mu      sync.Mutex
	speaker *voice.Speaker // nil = it has no voice; guarded by mu

	hears bool // guarded by hall.mu
}

// Send implements rooms.Outlet.
func (s *seat) Send(frame []byte, _ string) {
	leads := s.hall.leads(s)
	wire.Lines(frame, func(line []byte) bool {
		if hears(line, leads) {
			s.hall.hear(heard{line: bytes.Clone(line), by: s})
		}
		return true
	})
}

// The beginnings of the frames that matter to bots. Frames of rooms begin with their type.
var matters = [][]byte{
	[]byte(`{"type":"chat"`), []byte(`{"type":"edit"`), []byte(`{"type":"delete"`), []byte(`{"type":"clear"`),
	[]byte(`{"type":"presence"`), []byte(`{"type":"media-state"`), []byte(`{"type":"read"`),
}

func hears(line []byte, leads bool) bool {
	for _, prefix := range matters {
		if bytes.HasPrefix(line, prefix) {
			return leads || bytes.Contains(line[:min(len(line), 256)], []byte(`"thread":"dm-`)) // which comes to one bot alone
		}
	}
	return false
}

// SendJoined implements rooms.Outlet.
func (s *seat) SendJoined(frame []byte) {
	if s.hall.leads(s) {
		s.hall.hear(heard{line: bytes.Clone(frame), by: s})
	}
	rooms.Recycle(frame)
}

// Removed implements rooms.Outlet.
func (s *seat) Removed(wire.RoomID, wire.RemovedReason) {
	s.SetVoice(false)
	s.SetHearing(false)
	s.hall.service.left(s)
}

// SetVoice implements rooms.Seat.
func (s *seat) SetVoice(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.speaker.Close()
	s.speaker = nil
	service := s.hall.service
	if !on || service.opts.Voice == nil {
		return
	}
	speaker, err := service.opts.Voice.Open(s.place.Room(), s.place.Participant, s.bot.Voice, s.tell)
	if err != nil {
		service.logger.Error("a bot cannot speak", "room", string(s.place.Room()), "bot", string(s.bot.ID), "error", err)
		return
	}
	s.speaker = speaker
}

// SetHearing implements rooms.Seat.
func (s *seat) SetHearing(on bool) { s.hall.setHearing(s, on) }

// voice is what the bot speaks with; nil = nothing.
func (s *seat) voice() *voice.Speaker {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.speaker
}

// tell tells the room what its voice has to say of itself.
func (s *seat) tell(msg wire.ServerMessage) {
	switch msg := msg.(type) {
	case wire.AgentSpeaking:
		s.place.Speaking(msg)
	case wire.Caption:
		if !msg.Final {
			s.hall.saysAloud(msg.Text)
		}
		s.place.Caption(msg)
	}
}

// Ask implements rooms.Seat.
func (s *seat) Ask(q rooms.Question, answer rooms.Answer) {
	s.hall.hear(heard{by: s, question: &q, answer: answer})
}
