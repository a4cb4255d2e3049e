package media

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"confab/signaling/wire"
)

// speak writes n packets of 20 ms when they are due.
func speak(m *Microphone, n uint32) {
	for i := range n {
		m.Write(testPayload(false, false, i), 20*time.Millisecond)
		time.Sleep(20 * time.Millisecond)
	}
}

// What a Microphone says comes to who is there and who comes later, without a hole in the numbers; a pause is one in the
// timestamps, and its end has the marker. The track goes with it, and the room that it alone has kept.
func TestMicrophone(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		m, err := l.server.OpenMicrophone("room", "bot")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.server.OpenMicrophone("room", "bot"); !errors.Is(err, ErrPublished) {
			t.Errorf("a second one: %v", err)
		}
		speak(m, 10) // nobody is there
		began := time.Now()
		ann, _, _ := l.start("ann", "10.0.0.2")
		for len(ann.got("bot", wire.Microphone)) == 0 && time.Since(began) < patience {
			speak(m, 1)
		}
		speak(m, 50)
		time.Sleep(time.Second)
		speak(m, 50)
		time.Sleep(time.Second)
		got := ann.got("bot", wire.Microphone)
		if len(got) <= 100 {
			t.Errorf("%d packets", len(got))
		}
		for i := 1; i < len(got); i++ {
			want, marker := uint32(960), false
			if i == len(got)-50 {
				want, marker = 960+48000, true
			}
			p, last := got[i], got[i-1]
			if p.SequenceNumber != last.SequenceNumber+1 || p.Timestamp-last.Timestamp != want || p.Marker != marker {
				t.Errorf("packet %d: number %d after %d, %d ticks later, marker %v", i, p.SequenceNumber, last.SequenceNumber, p.Timestamp-last.Timestamp, p.Marker)
			}
		}
		told := func(id uint8) bool { return slices.Equal(got[len(got)-1].GetExtension(id), []byte{insideLevel}) }
		if ids := got[len(got)-1].GetExtensionIDs(); !slices.ContainsFunc(ids, told) {
			t.Error("no packet tells how loud it is")
		}

		ann.close()
		ann.peer.Close()
		cem, _, _ := l.start("cem", "10.0.0.3")
		defer cem.close()
		speak(m, 100)
		if n := len(cem.got("bot", wire.Microphone)); n < 50 {
			t.Errorf("%d packets for who came later", n)
		}
		m.Close()
		m.Close()
		m.Write(testPayload(false, false, 0), 20*time.Millisecond)
		time.Sleep(time.Second)
		if _, there := cem.peerSection("bot"); there {
			t.Error("the track is still there")
		}
		cem.close()
		cem.peer.Close()
		l.server.mu.Lock()
		defer l.server.mu.Unlock()
		if len(l.server.rooms) != 0 {
			t.Errorf("%d rooms", len(l.server.rooms))
		}
	})
}

// peerSection finds what the SFU sends this client of somebody's microphone, once the client has agreed.
func (c *client) peerSection(of wire.ParticipantID) (*egress, bool) {
	for _, e := range *c.peer.sending.Load() {
		if f := e.want.Load(); f != nil && f.live && f.in.key.participant == of {
			return e, true
		}
	}
	return nil, false
}

// A person is heard from the third loud packet on, and not by two; what bots say counts for nothing.
func TestHeard(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		m, err := l.server.OpenMicrophone("room", "bot")
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		ann, mic, _ := l.start("ann", "10.0.0.2")
		defer ann.close()
		eventually(t, "the microphone of ann", func() bool { return len(m.room.microphones(nil)) == 2 })
		speak(m, 50)
		if since, last := m.Heard(); !since.IsZero() || !last.IsZero() {
			t.Errorf("silence was heard: %v to %v", since, last)
		}

		began := time.Now()
		mic.level.Store(40)
		for _, last := m.Heard(); last.IsZero(); _, last = m.Heard() {
			time.Sleep(time.Millisecond)
		}
		if after := time.Since(began); after < 40*time.Millisecond || after > 120*time.Millisecond {
			t.Errorf("heard after %v", after) // 3 packets and 20 ms of way
		}
		time.Sleep(time.Second)
		mic.level.Store(127)
		time.Sleep(100 * time.Millisecond)
		since, last := m.Heard()
		if length := last.Sub(since); length < 1000*time.Millisecond || length > 1120*time.Millisecond {
			t.Errorf("%v of speech", length)
		}
		synctest.Wait()
	})
}

// The arithmetic of speech, packet by packet.
func TestVoiceFollow(t *testing.T) {
	const loud, fair, quiet = 90, 75, 20
	for name, c := range map[string]struct {
		levels      []byte
		began, last int // which packet; -1 = none
	}{
		"silence":              {[]byte{quiet, fair, fair, fair, fair}, -1, -1},
		"a click":              {[]byte{loud, loud, quiet, loud, loud, quiet}, -1, -1},
		"speech":               {[]byte{quiet, loud, loud, loud, quiet}, 1, 3},
		"speech that fades":    {[]byte{loud, loud, loud, fair, fair, quiet}, 0, 4},
		"a pause of 180 ms":    {append(append([]byte{loud, loud, loud}, make([]byte, 8)...), loud, quiet), 0, 11},
		"a pause and a click":  {append(append([]byte{loud, loud, loud}, make([]byte, 12)...), loud, quiet), 0, 2},
		"a pause, then speech": {append(append([]byte{loud, loud, loud}, make([]byte, 12)...), loud, loud, loud), 15, 17},
	} {
		t.Run(name, func(t *testing.T) {
			var v voice
			start := time.Unix(1000, 0)
			at := func(packet int) time.Time {
				if packet < 0 {
					return time.Time{}
				}
				return start.Add(time.Duration(packet) * 20 * time.Millisecond)
			}
			for i, level := range c.levels {
				v.follow(level, at(i))
			}
			if !v.began.Equal(at(c.began)) || !v.loud.Equal(at(c.last)) {
				t.Errorf("from %v to %v, not %v to %v", v.began, v.loud, at(c.began), at(c.last))
			}
		})
	}
}
