package media

import (
	"testing"

	"confab/signaling/wire"

	"github.com/pion/webrtc/v4"
)

// Each of three hears and sees both others, from a key frame on, with nothing missing, repeated or out of order.
func TestThreeParticipants(t *testing.T) {
	s := newTestServer(t, Limits{})
	ids := []wire.ParticipantID{"ann", "ben", "cem"}
	var clients []*client
	for _, id := range ids {
		c := join(t, s, "room", id, allGrants())
		c.publish(wire.Microphone, webrtc.MimeTypeOpus)
		c.publish(wire.Camera, webrtc.MimeTypeVP8)
		c.do(func() { c.offer(nil) })
		clients = append(clients, c)
	}
	const enough = 150
	for _, c := range clients {
		for _, from := range ids {
			if from == c.id {
				continue
			}
			for _, source := range []wire.Source{wire.Microphone, wire.Camera} {
				eventually(t, string(c.id)+" has "+string(source)+" of "+string(from), func() bool {
					return len(c.got(from, source)) >= enough
				})
				list := c.got(from, source)
				if err := checkUnbroken(list); err != nil {
					t.Errorf("%s, %s of %s: %v", c.id, source, from, err)
				}
				if source == wire.Camera && !codecVP8.startsKeyFrame(list[0].Payload) {
					t.Errorf("%s: the picture of %s does not begin with a key frame", c.id, from)
				}
			}
		}
		if len(c.got(c.id, wire.Camera)) > 0 {
			t.Errorf("%s sees itself", c.id)
		}
	}
}
