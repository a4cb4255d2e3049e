package media

import (
	"bytes"
	"testing"
	"time"
)

func put(r *ring, seq uint16) (uint64, bool) {
	ext, ok := r.extend(seq)
	if !ok {
		return 0, false
	}
	return ext, r.slot(ext) != nil
}

func TestRingOrder(t *testing.T) {
	r := newRing(8)
	for i, c := range []struct {
		seq  uint16
		want uint64
		ok   bool
	}{
		{65534, 65536 + 65534, true},
		{0, 65536 + 65536, true},
		{65535, 65536 + 65535, true}, // overtaken
		{0, 65536 + 65536, false},    // a repeat
		{1, 65536 + 65537, true},
		{65000, 0, false}, // far too old
	} {
		got, ok := put(r, c.seq)
		if ok != c.ok || ok && got != c.want {
			t.Errorf("%d: number %d: %d %v, want %d %v", i, c.seq, got, ok, c.want, c.ok)
		}
	}
	for i, want := range []uint64{65536 + 65534, 65536 + 65536, 65536 + 65535, 65536 + 65537} {
		if p := r.arrived(uint64(i)); p == nil || p.seq != want || p.arrival != uint64(i) {
			t.Errorf("arrival %d: %+v, want %d", i, p, want)
		}
	}
	if r.arrived(4) != nil {
		t.Error("a packet that has not come")
	}
}

// The ring forgets the oldest; a jump beyond its size leaves nothing of what was.
func TestRingForgets(t *testing.T) {
	r := newRing(8)
	for seq := range uint16(20) {
		put(r, seq)
	}
	if r.get(65536+11) != nil || r.get(65536+12) == nil {
		t.Error("does not hold the newest 8")
	}
	if r.arrived(11) != nil || r.arrived(12) == nil {
		t.Error("does not know the newest 8 arrivals")
	}
	put(r, 500)
	if r.get(65536+19) == nil || r.get(65536+500) == nil || r.newest != 65536+500 {
		t.Error("a jump")
	}
}

// A sender that begins anew is believed with its second packet (RFC 3550 appendix A.1).
func TestRingRestart(t *testing.T) {
	r := newRing(8)
	put(r, 40000)
	if _, ok := put(r, 20000); ok {
		t.Error("one old packet was believed")
	}
	ext, ok := put(r, 20001)
	if !ok || uint16(ext) != 20001 || ext <= 65536+40000 {
		t.Errorf("after a second one: %d %v", ext, ok)
	}
	if next, ok := put(r, 20002); !ok || next != ext+1 {
		t.Errorf("then %d %v", next, ok)
	}
}

func TestRingKeyFrame(t *testing.T) {
	r := newRing(64)
	if _, ok := r.keyFrame(10); ok {
		t.Error("a key frame in an empty ring")
	}
	for seq := range uint16(5) {
		put(r, seq)
		r.get(65536 + uint64(seq)).ts = 9
	}
	if !r.markKey(65536+1, 9, time.Time{}) || r.markKey(65536+3, 9, time.Time{}) || !r.markKey(65536, 9, time.Time{}) {
		t.Error("the parts of one picture are not one key frame")
	}
	if key, ok := r.keyFrame(5); !ok || key != 65536 {
		t.Errorf("%d %v", key, ok)
	}
	if _, ok := r.keyFrame(4); ok {
		t.Error("more than the limit would be sent")
	}
	put(r, 100)
	if _, ok := r.keyFrame(1000); ok && r.get(65536) == nil {
		t.Error("the key frame is gone")
	}
}

func TestMissing(t *testing.T) {
	var m missing
	now := time.Unix(1000, 0)
	if !m.hole(10, 13, now) || len(m.take(now)) != 3 {
		t.Error("a hole is asked for at once")
	}
	m.came(11)
	asked := 1
	for wait := nackInterval; asked <= maxNACKs; wait *= 2 {
		if early := m.take(now.Add(wait - 1)); len(early) != 0 {
			t.Errorf("asked again too soon: %v", early)
		}
		now = now.Add(wait)
		due := m.take(now)
		if len(due) == 0 {
			break
		}
		asked++
		if len(due) != 2 || due[0] != 10 || due[1] != 12 {
			t.Errorf("asked for %v", due)
		}
	}
	if asked != maxNACKs || len(m.list) != 0 {
		t.Errorf("asked %d times, %d left", asked, len(m.list))
	}
	if m.hole(0, maxMissing+1, now) || len(m.list) != 0 {
		t.Error("a hole that is too wide")
	}
	if !m.hole(0, maxMissing, now) || m.hole(maxMissing, maxMissing+1, now) || len(m.list) != 0 {
		t.Error("too many holes together")
	}
}

func TestResendLimit(t *testing.T) {
	var l resendLimit
	now := time.Unix(1000, 0)
	if l.allow(1, now) {
		t.Error("a resend before anything was sent")
	}
	for range 1000 {
		l.earn()
	}
	for i := range maxResends + 2 {
		if got := l.allow(7, now); got != (i < maxResends) {
			t.Errorf("request %d: %v", i, got)
		}
		if now = now.Add(nackInterval - 1); l.allow(7, now) {
			t.Errorf("request %d again too soon", i)
		}
		now = now.Add(1)
	}
	allowed := 0
	for seq := range uint16(2 * resendBurst) {
		if l.allow(100+seq, now) {
			allowed++
		}
	}
	if allowed != resendBurst-maxResends {
		t.Errorf("%d resends at once", allowed)
	}
}

// TestRingKeepsWhatItTakes fills a ring several times over with packets of audio, whose sizes differ.
func TestRingKeepsWhatItTakes(t *testing.T) {
	r := newRing(audioSlots)
	packet := func(seq uint64) []byte { return bytes.Repeat([]byte{byte(seq)}, int(40+seq%300)) }
	for seq := uint64(1 << 16); seq < 1<<16+4*audioSlots; seq++ {
		slot := r.slot(seq)
		slot.payload, slot.extra = r.put(slot.payload, packet(seq)), r.put(slot.extra, []byte{byte(seq + 1)})
		if seq%50 != 0 {
			continue
		}
		for back := range min(seq-1<<16+1, audioSlots) {
			if p := r.get(seq - back); !bytes.Equal(p.payload, packet(p.seq)) || !bytes.Equal(p.extra, []byte{byte(p.seq + 1)}) {
				t.Fatalf("after %d, packet %d is %x, %x", seq, p.seq, p.payload, p.extra)
			}
		}
	}
}

// TestRingAllocatesSeldom: a ring that fills is no reason to allocate with each packet.
func TestRingAllocatesSeldom(t *testing.T) {
	payload, level := make([]byte, 80), make([]byte, 1)
	allocs := testing.AllocsPerRun(10, func() {
		r := newRing(audioSlots)
		for seq := range uint64(audioSlots) {
			slot := r.slot(1<<16 + seq)
			slot.payload, slot.extra = r.put(slot.payload, payload), r.put(slot.extra, level)
		}
	})
	if allocs > audioSlots/16 {
		t.Errorf("%v allocations for %d packets", allocs, audioSlots)
	}
}
