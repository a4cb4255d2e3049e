package media

import (
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"weak"

	"confab/signaling/wire"

	"github.com/pion/webrtc/v4"
)

// TestNothingHoldsWhoHasLeft has people pass through a call in which one stays. Some leave in order, of others the
// connection just ends. Then nothing leads to their peers any more, with all that they have received.
func TestNothingHoldsWhoHasLeft(t *testing.T) {
	for _, one := range []struct {
		name string
		opts Options
	}{{"plane", Options{}}, {"pion", Options{PionOnly: true}}} {
		t.Run(one.name, func(t *testing.T) {
			one.opts.Listen, one.opts.Log = loopback, slog.New(slog.DiscardHandler)
			s, err := New(one.opts) // not newTestServer, which keeps each transport with its nonces
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			const lanes, each = 4, 8
			host := joinAndSend(t, s, "host")
			gone := make([]weak.Pointer[Peer], lanes*each)
			var passing sync.WaitGroup
			for lane := range lanes {
				passing.Go(func() {
					for i := lane * each; i < (lane+1)*each; i++ {
						gone[i] = pass(t, s, host, wire.ParticipantID(fmt.Sprintf("p-%d", i)), i%2 == 0)
					}
				})
			}
			passing.Wait()
			expectCollected(t, gone)
		})
	}
}

// joinAndSend is join with a microphone and a camera.
func joinAndSend(t *testing.T, s *Server, id wire.ParticipantID) *client {
	t.Helper()
	c := join(t, s, "room", id, allGrants())
	c.publish(wire.Microphone, webrtc.MimeTypeOpus)
	c.publish(wire.Camera, webrtc.MimeTypeVP8)
	c.do(func() { c.offer(nil) })
	return c
}

// pass has one come, see and be seen, and leave, or vanish. It returns the peer, which nothing of the test holds.
func pass(t *testing.T, s *Server, host *client, id wire.ParticipantID, vanish bool) weak.Pointer[Peer] {
	t.Helper()
	c := joinAndSend(t, s, id)
	eventually(t, "both see each other", func() bool {
		return len(c.got(host.id, wire.Camera)) > 10 && len(host.got(id, wire.Camera)) > 10
	})
	if vanish {
		if err := c.pc.GracefulClose(); err != nil {
			t.Error(err)
		}
		<-c.peer.Done()
	}
	c.close()
	peer := weak.Make(c.peer)
	c.peer = nil // cleanup keeps the client
	return peer
}

// expectCollected waits until the garbage collector has found that nothing holds any of them.
func expectCollected(t *testing.T, gone []weak.Pointer[Peer]) {
	t.Helper()
	eventually(t, "nothing holds who has left", func() bool {
		runtime.GC()
		for _, peer := range gone {
			if peer.Value() != nil {
				return false
			}
		}
		return true
	})
}
