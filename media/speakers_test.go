package media

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"confab/signaling/wire"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// The order of speakers: who speaks first, stays first unless another is louder for a while; a pause for breath and a
// short noise change nothing.
func TestSpeakers(t *testing.T) {
	type part struct {
		d      time.Duration
		levels map[wire.ParticipantID]float64
	}
	const loud, louder, quiet = 90, 105, 20
	for name, c := range map[string]struct {
		parts []part
		want  []string // each order, once
	}{
		"nobody": {[]part{{time.Second, map[wire.ParticipantID]float64{"a": quiet, "b": 79}}}, []string{""}},
		"one after the other": {[]part{
			{2 * time.Second, map[wire.ParticipantID]float64{"a": loud, "b": quiet}},
			{2 * time.Second, map[wire.ParticipantID]float64{"a": quiet, "b": loud}},
		}, []string{"a", "a b", "b a", "b"}},
		"a pause for breath": {[]part{
			{time.Second, map[wire.ParticipantID]float64{"a": loud}}, {500 * time.Millisecond, map[wire.ParticipantID]float64{"a": quiet}},
			{time.Second, map[wire.ParticipantID]float64{"a": loud}},
		}, []string{"a"}},
		"both, equally loud": {[]part{
			{time.Second, map[wire.ParticipantID]float64{"a": loud, "b": quiet}}, {time.Second, map[wire.ParticipantID]float64{"a": loud, "b": loud}},
			{time.Second, map[wire.ParticipantID]float64{"a": loud, "b": loud + 4}},
		}, []string{"a", "a b"}},
		"a louder one": {[]part{
			{time.Second, map[wire.ParticipantID]float64{"a": loud, "b": quiet}}, {2 * time.Second, map[wire.ParticipantID]float64{"a": loud, "b": louder}},
		}, []string{"a", "a b", "b a"}},
		"a cough": {[]part{
			{time.Second, map[wire.ParticipantID]float64{"a": loud}}, {200 * time.Millisecond, map[wire.ParticipantID]float64{"a": loud, "b": louder}},
			{time.Second, map[wire.ParticipantID]float64{"a": loud, "b": quiet}},
		}, []string{"a", "a b", "a"}},
		"one who leaves": {[]part{
			{time.Second, map[wire.ParticipantID]float64{"a": loud, "b": loud}}, {time.Second, map[wire.ParticipantID]float64{"b": loud}},
		}, []string{"a b", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			var s speakers
			now := time.Unix(1000, 0)
			var got []string
			for _, p := range c.parts {
				for d := time.Duration(0); d < p.d; d += controlTick {
					var levels []heard
					for _, id := range []wire.ParticipantID{"a", "b"} {
						if level, ok := p.levels[id]; ok {
							levels = append(levels, heard{id, level})
						}
					}
					now = now.Add(controlTick)
					order := ""
					for i, one := range s.update(now, levels) {
						if i > 0 {
							order += " "
						}
						order += string(one.Participant)
						if one.Level < 0 || one.Level > 1 {
							t.Errorf("level %v", one.Level)
						}
					}
					if len(got) == 0 || got[len(got)-1] != order {
						got = append(got, order)
					}
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// A client is told at once who speaks, and no more than four times a second.
func TestActiveSpeakers(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		ann, ben := l.join("ann", "10.0.0.2"), l.join("ben", "10.0.0.3")
		defer ann.close()
		defer ben.close()
		mic := ann.publish(wire.Microphone, webrtc.MimeTypeOpus)
		ann.do(func() { ann.offer(nil) })
		ben.publish(wire.Microphone, webrtc.MimeTypeOpus)
		ben.do(func() { ben.offer(nil) })
		time.Sleep(2 * time.Second)
		if got := told[wire.ActiveSpeakers](ben); len(got) != 0 {
			t.Errorf("nobody has spoken, and %v was told", got)
		}
		mic.level.Store(30)
		began := time.Now()
		time.Sleep(500 * time.Millisecond)
		got := told[wire.ActiveSpeakers](ben)
		if len(got) == 0 || len(got[0].Speakers) != 1 || got[0].Speakers[0].Participant != "ann" {
			t.Fatalf("ann speaks: %v", got)
		}
		for i := range 100 {
			mic.level.Store(uint32(10 + 20*(i%5)))
			time.Sleep(50 * time.Millisecond)
		}
		if n, most := len(told[wire.ActiveSpeakers](ben)), int(4*time.Since(began).Seconds())+1; n > most || n < 5 {
			t.Errorf("%d messages in %v", n, time.Since(began))
		}
		mic.level.Store(127)
		time.Sleep(2 * time.Second)
		got = told[wire.ActiveSpeakers](ben)
		if last := got[len(got)-1]; len(last.Speakers) != 0 {
			t.Errorf("silence: %v", last)
		}
		if n := len(told[wire.ActiveSpeakers](ann)); n == 0 {
			t.Error("ann herself was not told")
		}
	})
}

// levelPacket is a packet of sound with an audio level, in -dBov.
func levelPacket(t testing.TB, s *stream, n uint32, level byte) []byte {
	t.Helper()
	p := rtp.Packet{Header: rtp.Header{Version: 2, PayloadType: s.payloadType, SequenceNumber: uint16(n), Timestamp: 960 * n}, Payload: testPayload(false, false, n)}
	if err := p.SetExtension(s.extraID, []byte{level}); err != nil {
		t.Fatal(err)
	}
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// In a large room only the loudest microphones are forwarded, a new voice from its first fifth of a second on, and the
// numbers of each go on without a hole.
func TestLoudestMicrophones(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := newRoom("room")
		var list []*stream
		var sinks []*sink
		listener := &Peer{ctx: ctx, id: "listener", wake: make(chan struct{}, 1), due: make(chan struct{}, 1), changed: make(chan struct{}, 1)}
		var egresses []*egress
		for i := range loudestFrom + 2 {
			s := bareStream(webrtc.MimeTypeOpus)
			s.in.key = trackKey{wire.ParticipantID(fmt.Sprint(i)), wire.Microphone}
			w := &sink{}
			e := subscriber(ctx, t, s, w)
			e.peer = listener
			list, sinks, egresses = append(list, s), append(sinks, w), append(egresses, e)
			r.publish(s.in)
		}
		listener.sending.Store(&egresses)
		listener.connected.Store(true)
		r.peers["listener"] = listener
		n := uint32(0)
		talk := func(d time.Duration, voices ...int) (sent []int) {
			before := make([]int, len(sinks))
			for i, w := range sinks {
				before[i] = len(w.sent)
			}
			for end := time.Now().Add(d); time.Now().Before(end); n++ {
				for i, s := range list {
					level := byte(110)
					if at := slices.Index(voices, i); at >= 0 {
						level = byte(20 + at)
					}
					s.receive(levelPacket(t, s, n, level), time.Now())
				}
				r.listen(time.Now())
				for _, e := range egresses {
					e.pump(nil, time.Now())
				}
				time.Sleep(20 * time.Millisecond)
			}
			for i, w := range sinks {
				sent = append(sent, len(w.sent)-before[i])
			}
			return sent
		}
		talk(3*time.Second, 0, 1)
		for i, got := range talk(time.Second, 0, 1) {
			if want := i < 2; got > 0 != want && i >= loudestCount {
				t.Errorf("microphone %d: %d packets", i, got)
			}
		}
		got := talk(time.Second, 0, 11)
		if got[1] < 40 || got[11] < 40 {
			t.Errorf("who has just spoken has %d packets, who begins to has %d", got[1], got[11])
		}
		talk(3*time.Second, 11, 10, 9, 8, 7, 6, 5)
		got = talk(time.Second, 11, 10, 9, 8, 7, 6, 5)
		for i, want := range []int{0, 0, 0, 0, 0, 0, 0, 50, 50, 50, 50, 50} {
			if got[i] != want {
				t.Errorf("seven speak: microphone %d has %d packets, want %d", i, got[i], want)
			}
		}
		for i, w := range sinks {
			for j := 1; j < len(w.sent); j++ {
				if w.sent[j].SequenceNumber != w.sent[j-1].SequenceNumber+1 || int32(w.sent[j].Timestamp-w.sent[j-1].Timestamp) <= 0 {
					t.Fatalf("microphone %d, packet %d: %v after %v", i, j, w.sent[j].Header, w.sent[j-1].Header)
				}
			}
		}
		for _, s := range list[2:] {
			r.unpublish(s.in)
		}
		talk(time.Second)
		if list[0].in.silenced.Load() || list[1].in.silenced.Load() {
			t.Error("silenced in a small room")
		}
		cancel()
	})
}

// TestMeasure: time is counted to those who speak, at most as long as a pause would have been noticed.
func TestMeasure(t *testing.T) {
	var l listener
	now := time.Unix(100, 0)
	l.speakers.update(now, []heard{{"a", 100}, {"b", 60}})
	l.measure(50 * time.Millisecond)
	l.measure(time.Minute)
	l.speakers.update(now.Add(time.Second), []heard{{"a", 10}, {"b", 100}})
	l.measure(50 * time.Millisecond)
	if l.spoken["a"] != 50*time.Millisecond+voiceGone || l.spoken["b"] != 50*time.Millisecond {
		t.Errorf("measured %v", l.spoken)
	}
}
