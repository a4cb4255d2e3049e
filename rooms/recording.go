package rooms

import (
	"context"

	"confab/signaling/wire"
)

// A Recorder records rooms. It may be used from any goroutine.
type Recorder interface {
	// Record begins to record a room on behalf of a person. It may block as long as a disk does. The error is a
	// *wire.Error.
	Record(ctx context.Context, room wire.RoomID, by wire.UserID) (Recording, error)
}

// A Recording is one room while it is recorded: media, which the Recorder takes from the SFU, and what the room tells
// it. Its methods do not block.
type Recording interface {
	// Joined says that a participant is there, Left that it is gone. One that is reconnecting is not.
	Joined(who wire.ParticipantID, user wire.UserID, name string)
	Left(who wire.ParticipantID)
	// Chat brings a logged message as it goes to the participants. It must not be changed.
	Chat(frame []byte)
	// Stop ends the recording: nobody was left, or a moderator wanted it.
	Stop(empty bool)
	// Done is closed when the recording has ended, by Stop or by itself, and is stored. Ended says why, after it.
	Done() <-chan struct{}
	Ended() wire.RecordingEnd
}

// recording is what a room knows of its recording.
type recording struct {
	active   Recording // nil = none
	starting bool      // one is about to begin
	ending   bool      // Stop was called
	waiting  []Answer  // get theirs when it has ended
}

// record does what a moderator asks. The acknowledgement comes when the recording goes on, or is stored.
func (r *Room) record(m *Member, on bool, answer Answer) {
	recorder, rec := r.registry.opts.Recorder, &r.recording
	switch {
	case recorder == nil || r.registry.opts.SFU == nil:
		answer(nil, wire.Errorf(wire.CodeNotFound, "this server does not record"))
	case rec.ending && on || rec.starting:
		answer(nil, wire.Errorf(wire.CodeConflict, "the recording is about to begin or to end; try again in a moment"))
	case on == (rec.active != nil):
		answer(wire.Ack{Duplicate: true}, nil)
	case on:
		r.startRecording(recorder, m.User, answer)
	default:
		rec.waiting = append(rec.waiting, answer)
		r.stopRecording(false)
	}
}

func (r *Room) startRecording(recorder Recorder, by wire.UserID, answer Answer) {
	r.recording.starting = true
	r.background(func(ctx context.Context) func() {
		active, err := recorder.Record(ctx, r.id, by)
		return func() {
			r.recording.starting = false
			if err != nil {
				answer(nil, err)
				return
			}
			r.recordingStarted(active)
			r.happened(Event{Kind: RecordingStarted, By: by})
			answer(wire.Ack{}, nil)
		}
	})
}

// recordingStarted tells the recording who is there, and everyone that it goes on.
func (r *Room) recordingStarted(active Recording) {
	r.recording.active = active
	for _, m := range r.order {
		active.Joined(m.Participant, m.User, m.Name)
	}
	r.background(func(ctx context.Context) func() {
		select {
		case <-active.Done():
		case <-ctx.Done():
		}
		return r.recordingEnded
	})
	on := true
	r.sayRecording(wire.RoomInfo{Recording: &on})
	r.updateMode()
	if !r.hasPeople() {
		r.stopRecording(true)
	}
}

// stopRecording ends the recording, if there is one; recordingEnded follows.
func (r *Room) stopRecording(empty bool) {
	if rec := &r.recording; rec.active != nil && !rec.ending {
		rec.ending = true
		rec.active.Stop(empty)
	}
}

// recordingEnded tells everyone, and why: one that nobody has stopped ends at the limits of the server.
func (r *Room) recordingEnded() {
	waiting, off := r.recording.waiting, false
	said := wire.RoomInfo{Recording: &off}
	select {
	case <-r.recording.active.Done():
		said.RecordingEnded = r.recording.active.Ended()
	default: // the room ends first
	}
	r.happened(Event{Kind: RecordingEnded, Reason: string(said.RecordingEnded)})
	r.recording = recording{}
	r.sayRecording(said)
	r.updateMode()
	for _, answer := range waiting {
		answer(wire.Ack{}, nil)
	}
}

func (r *Room) sayRecording(info wire.RoomInfo) {
	frame := wire.Encode(wire.Envelope{Room: r.id}, info)
	r.broadcastState(frame, "recording/"+string(r.id), nil)
}

// recordChat brings a logged message to the recording, if there is one.
func (r *Room) recordChat(frame []byte) {
	if r.recording.active != nil {
		r.recording.active.Chat(frame)
	}
}

// hasPeople reports whether there is somebody to record.
func (r *Room) hasPeople() bool {
	for _, m := range r.order {
		if m.Kind == wire.Human || m.Kind == wire.Ingress {
			return true
		}
	}
	return false
}
