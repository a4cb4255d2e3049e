package media

import (
	"testing"
)

// vp8 is a packet whose descriptor has a picture id of 15 bits and TL0PICIDX.
func vp8Packet(seq uint64, ts uint32, pid uint16, tl0 uint8) *packet {
	return &packet{seq: seq, ts: ts, payload: []byte{0x90, 0xc0, 0x80 | byte(pid>>8), byte(pid), tl0, 0x01, 0xaa}}
}

type sent struct {
	seq uint16
	ts  uint32
	pid uint16
	tl0 uint8
}

// A step is one packet of a source, perhaps after a cut.
type step struct {
	cut     bool
	elapsed uint32
	seq     uint64
	ts      uint32
	pid     uint16
	tl0     uint8
	want    sent
	dropped bool
}

func TestRewrite(t *testing.T) {
	for name, steps := range map[string][]step{
		"one source keeps its timestamps and picture ids": {
			{cut: true, seq: 65536 + 10, ts: 100, pid: 7, tl0: 3, want: sent{101, 100, 7, 3}},
			{seq: 65536 + 11, ts: 100, pid: 7, tl0: 3, want: sent{102, 100, 7, 3}},
			{seq: 65536 + 12, ts: 3100, pid: 8, tl0: 4, want: sent{103, 3100, 8, 4}},
		},
		"the source's numbers wrap": {
			{cut: true, seq: 65536 + 65534, ts: 1<<32 - 1, pid: 0x7fff, tl0: 255, want: sent{101, 1<<32 - 1, 0x7fff, 255}},
			{seq: 65536 + 65535, ts: 2999, pid: 0, tl0: 0, want: sent{102, 2999, 0, 0}},
			{seq: 65536 + 65536, ts: 5999, pid: 1, tl0: 1, want: sent{103, 5999, 1, 1}},
		},
		"a hole stays a hole, and what fills it falls into place": {
			{cut: true, seq: 70000, ts: 10, pid: 1, want: sent{101, 10, 1, 0}},
			{seq: 70003, ts: 40, pid: 4, want: sent{104, 40, 4, 0}},
			{seq: 70001, ts: 20, pid: 2, want: sent{102, 20, 2, 0}},
			{seq: 70004, ts: 50, pid: 5, want: sent{105, 50, 5, 0}},
			{seq: 70002, ts: 30, pid: 3, want: sent{103, 30, 3, 0}},
		},
		"another source goes on where the first one ended": {
			{cut: true, seq: 70000, ts: 1000, pid: 500, tl0: 50, want: sent{101, 1000, 500, 50}},
			{seq: 70001, ts: 4000, pid: 501, tl0: 51, want: sent{102, 4000, 501, 51}},
			{cut: true, elapsed: 9000, seq: 1 << 40, ts: 77, pid: 3, tl0: 200, want: sent{103, 13000, 502, 52}},
			{seq: 1<<40 + 1, ts: 3077, pid: 4, tl0: 201, want: sent{104, 16000, 503, 53}},
		},
		"a pause leaves no hole, and what comes late from before it is not sent": {
			{cut: true, seq: 70000, ts: 1000, pid: 1, want: sent{101, 1000, 1, 0}},
			{cut: true, elapsed: 0, seq: 70100, ts: 90000, pid: 60, want: sent{102, 1001, 2, 1}},
			{seq: 70099, ts: 87000, pid: 59, dropped: true},
			{seq: 70101, ts: 93000, pid: 61, want: sent{103, 4001, 3, 1}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := rewriter{outSeq: 100}
			for i, s := range steps {
				p := vp8Packet(s.seq, s.ts, s.pid, s.tl0)
				v, ok := parseVP8(p.payload)
				if !ok {
					t.Fatal("no descriptor")
				}
				if s.cut {
					w.cut(p, v, s.elapsed)
				}
				seq, ts, ok := w.rewrite(p, v)
				if ok == s.dropped {
					t.Fatalf("step %d: sent %v", i, ok)
				}
				if !ok {
					continue
				}
				v, _ = parseVP8(p.payload)
				if got := (sent{seq, ts, v.pid, v.tl0}); got != s.want {
					t.Errorf("step %d: %+v, want %+v", i, got, s.want)
				}
			}
		})
	}
}

// What was sent is found again by the number it was sent as, also across the wrap, and nothing else is.
func TestRewriteSource(t *testing.T) {
	w := rewriter{outSeq: 65530}
	if _, ok := w.source(65530); ok {
		t.Error("found before anything was sent")
	}
	first := vp8Packet(70000, 0, 0, 0)
	w.cut(first, vp8Descriptor{}, 0)
	for i := range uint64(20) {
		w.rewrite(&packet{seq: 70000 + i}, vp8Descriptor{})
	}
	for i := range uint64(20) {
		if got, ok := w.source(uint16(65531 + i)); !ok || got != 70000+i {
			t.Errorf("%d: %d %v", i, got, ok)
		}
	}
	for _, seq := range []uint16{65530, 15, 30000} {
		if got, ok := w.source(seq); ok {
			t.Errorf("%d is said to be %d", seq, got)
		}
	}
}

// A resend is what was sent the first time.
func TestRewriteAgain(t *testing.T) {
	w := rewriter{outSeq: 9}
	w.cut(vp8Packet(70000, 0, 0, 0), vp8Descriptor{}, 0)
	w.rewrite(vp8Packet(70000, 0, 0, 0), vp8Descriptor{})
	w.cut(vp8Packet(80000, 500, 40, 9), vp8Descriptor{pid: 40, tl0: 9}, 10)
	type out struct {
		seq uint16
		ts  uint32
		pid uint16
	}
	var first []out
	for range 2 {
		var list []out
		for i := range uint64(5) {
			p := vp8Packet(80000+i, 500+uint32(i), 40+uint16(i), 9)
			v, _ := parseVP8(p.payload)
			seq, ts, _ := w.rewrite(p, v)
			v, _ = parseVP8(p.payload)
			list = append(list, out{seq, ts, v.pid})
		}
		if first == nil {
			first = list
		}
		for i := range list {
			if list[i] != first[i] {
				t.Errorf("%d: %+v, then %+v", i, first[i], list[i])
			}
		}
	}
}
