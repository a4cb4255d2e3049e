package media

import (
	"testing"

	"confab/signaling/wire"
)

// What Stats says of a call of two is what happens in it.
func TestStats(t *testing.T) {
	s := newTestServer(t, Limits{})
	ann, _, _ := start(t, s, "ann")
	ben, _, _ := start(t, s, "ben")
	more(t, ann, "ben", wire.Camera, 30)
	more(t, ben, "ann", wire.Camera, 30)
	var found Stats
	defer func() {
		if t.Failed() {
			t.Logf("%+v", found)
		}
	}()
	eventually(t, "each is sent the picture of the other", func() bool {
		found = s.Stats()
		sent := 0
		for _, n := range found.Layers {
			sent += n
		}
		return sent == 2 && found.Bitrate > 0
	})
	if found.Rooms != 1 || found.Peers != 2 || found.Tracks[wire.Camera] != 2 || found.Tracks[wire.Microphone] != 2 || found.Tracks[wire.Screen] != 0 {
		t.Error("it is a call of two with camera and microphone")
	}
	if found.Paused != 0 || found.Lossy != 0 || found.Loss >= LossyShare {
		t.Error("nothing is paused or lost")
	}
	if s.plane != nil && (found.Plane.Sent < 60 || found.Plane.Received < 60) {
		t.Error("packets were forwarded that are not counted")
	}
	s.CloseRoom("room")
	if found = s.Stats(); found.Rooms != 0 || found.Peers != 0 {
		t.Error("the call is over")
	}
}
