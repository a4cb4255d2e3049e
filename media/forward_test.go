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
	from  string // source, if it is not that of the step before; then there is a cut
	shift uint32 // of the timestamps from that cut on
	seq   uint64
	ts    uint32
	pid   uint16
	tl0   uint8
	skip  bool // left out on purpose
	want  sent // zero = not sent
}

func TestRewrite(t *testing.T) {
	const sync = 1<<32 - 3000 // b's timestamps are 3000 ahead
	for name, steps := range map[string][]step{
		"one source keeps its timestamps and picture ids": {
			{from: "a", seq: 65536 + 10, ts: 100, pid: 7, tl0: 3, want: sent{101, 100, 7, 3}},
			{seq: 65536 + 11, ts: 100, pid: 7, tl0: 3, want: sent{102, 100, 7, 3}},
			{seq: 65536 + 12, ts: 3100, pid: 8, tl0: 4, want: sent{103, 3100, 8, 4}},
		},
		"the source's numbers wrap": {
			{from: "a", seq: 65536 + 65534, ts: 1<<32 - 1, pid: 0x7fff, tl0: 255, want: sent{101, 1<<32 - 1, 0x7fff, 255}},
			{seq: 65536 + 65535, ts: 2999, pid: 0, tl0: 0, want: sent{102, 2999, 0, 0}},
			{seq: 65536 + 65536, ts: 5999, pid: 1, tl0: 1, want: sent{103, 5999, 1, 1}},
		},
		"a hole stays a hole, and what fills it falls into place": {
			{from: "a", seq: 70000, ts: 10, pid: 1, want: sent{101, 10, 1, 0}},
			{seq: 70003, ts: 40, pid: 4, want: sent{104, 40, 4, 0}},
			{seq: 70001, ts: 20, pid: 2, want: sent{102, 20, 2, 0}},
			{seq: 70004, ts: 50, pid: 5, want: sent{105, 50, 5, 0}},
			{seq: 70002, ts: 30, pid: 3, want: sent{103, 30, 3, 0}},
		},
		"another source goes on where the first one ended": {
			{from: "a", seq: 70000, ts: 1000, pid: 500, tl0: 50, want: sent{101, 1000, 500, 50}},
			{seq: 70001, ts: 4000, pid: 501, tl0: 51, want: sent{102, 4000, 501, 51}},
			{from: "b", shift: 13000 - 77, seq: 1 << 40, ts: 77, pid: 3, tl0: 200, want: sent{103, 13000, 502, 52}},
			{seq: 1<<40 + 1, ts: 3077, pid: 4, tl0: 201, want: sent{104, 16000, 503, 53}},
		},
		"a pause leaves no hole, and what comes late from it is not sent": {
			{from: "a", seq: 70000, ts: 1000, pid: 1, want: sent{101, 1000, 1, 0}},
			{from: "a", seq: 70100, ts: 90000, pid: 60, want: sent{102, 90000, 2, 1}},
			{seq: 70099, ts: 87000, pid: 59},
			{seq: 70101, ts: 93000, pid: 61, want: sent{103, 93000, 3, 1}},
		},
		"up to a layer that is in step, at once": {
			{from: "a", seq: 70000, ts: 3000, pid: 8, tl0: 8, want: sent{101, 3000, 8, 8}},
			{seq: 70001, ts: 6000, pid: 9, tl0: 9, want: sent{102, 6000, 9, 9}},
			{from: "b", shift: sync, seq: 90000, ts: 12000, pid: 100, tl0: 100, want: sent{103, 9000, 10, 10}},
			{seq: 90001, ts: 15000, pid: 101, tl0: 101, want: sent{104, 12000, 11, 11}},
		},
		"the picture of the other layer that was sent already": {
			{from: "a", seq: 70000, ts: 6000, pid: 9, want: sent{101, 6000, 9, 0}},
			{from: "b", shift: sync, seq: 90000, ts: 9000, pid: 100, want: sent{102, 6001, 10, 1}},
			{seq: 90001, ts: 12000, pid: 101, want: sent{103, 9000, 11, 1}},
		},
		"what is kept of a layer since its key frame is older than what was sent: time creeps until it has caught up": {
			{from: "a", seq: 70000, ts: 90000, pid: 9, want: sent{101, 90000, 9, 0}},
			{from: "b", shift: sync, seq: 90000, ts: 84000, pid: 100, want: sent{102, 90001, 10, 1}},
			{seq: 90001, ts: 87000, pid: 101, want: sent{103, 90024, 11, 1}},
			{seq: 90003, ts: 90000, pid: 102, want: sent{105, 90047, 12, 1}},
			{seq: 90002, ts: 90000, pid: 102, want: sent{104, 90047, 12, 1}},
			{seq: 90004, ts: 93000, pid: 103, want: sent{106, 90071, 13, 1}},
			{seq: 90005, ts: 96000, pid: 104, want: sent{107, 93000, 14, 1}},
		},
		"every second picture left out": {
			{from: "a", seq: 70000, ts: 0, pid: 10, tl0: 5, want: sent{101, 0, 10, 5}},
			{seq: 70001, ts: 3000, pid: 11, tl0: 5, skip: true},
			{seq: 70002, ts: 3000, pid: 11, tl0: 5, skip: true},
			{seq: 70003, ts: 6000, pid: 12, tl0: 6, want: sent{102, 6000, 11, 6}},
			{seq: 70004, ts: 6000, pid: 12, tl0: 6, want: sent{103, 6000, 11, 6}},
			{seq: 70005, ts: 9000, pid: 13, tl0: 6, skip: true},
			{seq: 70006, ts: 12000, pid: 14, tl0: 7, want: sent{104, 12000, 12, 7}},
		},
		"a hole before what is left out keeps its place": {
			{from: "a", seq: 70000, ts: 0, pid: 10, want: sent{101, 0, 10, 0}},
			{seq: 70002, ts: 6000, pid: 12, skip: true},
			{seq: 70003, ts: 9000, pid: 13, want: sent{103, 9000, 12, 0}},
			{seq: 70001, ts: 3000, pid: 11, want: sent{102, 3000, 11, 0}},
			{seq: 70002, ts: 6000, pid: 12},
		},
		"what was late belongs to a run before": {
			{from: "a", seq: 70000, ts: 0, pid: 10, want: sent{101, 0, 10, 0}},
			{seq: 70003, ts: 3000, pid: 12, want: sent{104, 3000, 12, 0}},
			{seq: 70004, ts: 6000, pid: 13, skip: true},
			{seq: 70005, ts: 9000, pid: 14, want: sent{105, 9000, 13, 0}},
			{seq: 70001, ts: 0, pid: 10, want: sent{102, 0, 10, 0}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := rewriter{outSeq: 100}
			sources := map[string]*stream{"a": {rid: "a"}, "b": {rid: "b"}}
			for i, s := range steps {
				p := vp8Packet(s.seq, s.ts, s.pid, s.tl0)
				v, ok := parseVP8(p.payload)
				if !ok {
					t.Fatal("no descriptor")
				}
				if s.from != "" {
					w.cut(sources[s.from], p, v, s.shift)
				}
				if s.skip {
					w.skip(p, v)
					continue
				}
				seq, ts, ok := w.rewrite(p, v)
				if ok != (s.want != sent{}) {
					t.Fatalf("step %d: sent %v", i, ok)
				}
				if !ok {
					continue
				}
				v, _ = parseVP8(p.payload)
				if got := (sent{seq, ts, v.pid, v.tl0}); got != s.want {
					t.Errorf("step %d: %+v, want %+v", i, got, s.want)
				}
				if r, ext := w.sent(seq); r == nil || ext != s.seq || r.timestamp(p) != ts {
					t.Errorf("step %d: cannot be found again", i)
				}
			}
		})
	}
}

// What was sent is found again by the number it was sent as, also across the wrap and across runs, and nothing else is.
func TestRewriteSent(t *testing.T) {
	w := rewriter{outSeq: 65530}
	if r, _ := w.sent(65530); r != nil {
		t.Error("found before anything was sent")
	}
	a, b := &stream{}, &stream{}
	w.cut(a, &packet{seq: 70000}, vp8Descriptor{}, 0)
	for i := range uint64(20) {
		if p := (&packet{seq: 70000 + i}); i == 7 {
			w.skip(p, vp8Descriptor{})
		} else {
			w.rewrite(p, vp8Descriptor{})
		}
	}
	w.cut(b, &packet{seq: 90000}, vp8Descriptor{}, 0)
	for i := range uint64(40000) {
		w.rewrite(&packet{seq: 90000 + i}, vp8Descriptor{})
	}
	const last = uint16((65530 + 19 + 40000) & 0xffff)
	for _, c := range []struct {
		seq    uint16
		source *stream
		ext    uint64
	}{{last, b, 129999}, {last - 32000, b, 97999}, {last - 32768, nil, 0}, {last + 1, nil, 0}} {
		r, ext := w.sent(c.seq)
		if (r == nil) != (c.source == nil) || r != nil && (r.source != c.source || ext != c.ext) {
			t.Errorf("%d: %+v %d", c.seq, r, ext)
		}
	}
}

// What was sent before is found among the newest runs and no others.
func TestRewriteHistory(t *testing.T) {
	w := rewriter{outSeq: 999}
	a := &stream{}
	w.cut(a, &packet{seq: 70000}, vp8Descriptor{}, 0)
	const pictures = 3 * maxRuns
	for i := range uint64(pictures) { // every second one is left out
		w.rewrite(&packet{seq: 70000 + 2*i}, vp8Descriptor{})
		w.skip(&packet{seq: 70001 + 2*i}, vp8Descriptor{})
	}
	for i := range uint64(pictures) {
		r, ext := w.sent(uint16(1000 + i))
		if kept := i > pictures-maxRuns; kept != (r != nil) || kept && ext != 70000+2*i {
			t.Fatalf("%d: %v %d", i, r, ext)
		}
	}
	if len(w.runs) != maxRuns {
		t.Errorf("%d runs are kept", len(w.runs))
	}
	w.forget()
	if r, _ := w.sent(1000 + pictures - 1); r != nil {
		t.Error("found what was forgotten")
	}
	w.cut(&stream{}, &packet{seq: 80000}, vp8Descriptor{}, 0)
	if seq, _, _ := w.rewrite(&packet{seq: 80000}, vp8Descriptor{}); seq != 1000+pictures {
		t.Errorf("then goes on with %d", seq)
	}
}

// Time that has crept once goes on as the source's, for longer than half its range.
func TestTimestampForLong(t *testing.T) {
	w := rewriter{}
	w.cut(&stream{}, &packet{seq: 70000, ts: 5}, vp8Descriptor{}, 0)
	w.rewrite(&packet{seq: 70000, ts: 5}, vp8Descriptor{})
	w.cut(&stream{}, &packet{seq: 70000, ts: 0}, vp8Descriptor{}, 0)
	last := uint32(5)
	for i := range uint64(1 << 13) { // 2^33 ticks
		p := &packet{seq: 70000 + i, ts: uint32(i << 20)}
		_, ts, _ := w.rewrite(p, vp8Descriptor{})
		if int32(ts-last) <= 0 || i > 0 && ts != p.ts {
			t.Fatalf("%d is sent as %d after %d", p.ts, ts, last)
		}
		last = ts
	}
}

// The frame numbers of a dependency descriptor keep their distances within a run, also where frames are left out, and
// go on across a cut.
func TestRewriteFrameNumbers(t *testing.T) {
	w := rewriter{}
	a, b := &stream{}, &stream{}
	for i, c := range []struct {
		from  *stream
		frame uint16
		skip  bool
		want  uint16
	}{
		{from: a, frame: 65534, want: 65534},
		{frame: 65535, skip: true},
		{frame: 0, want: 0},
		{from: b, frame: 300, want: 1},
		{frame: 300, want: 1},
		{frame: 301, skip: true},
		{frame: 302, want: 3},
		{frame: 303, skip: true},
		{from: a, frame: 9, want: 5},
	} {
		p := &packet{seq: 70000 + uint64(i), ts: uint32(i), dd: []byte{0x80, byte(c.frame >> 8), byte(c.frame)}}
		if c.from != nil {
			w.cut(c.from, p, vp8Descriptor{}, 0)
		}
		if c.skip {
			w.skip(p, vp8Descriptor{})
			continue
		}
		if w.rewrite(p, vp8Descriptor{}); frameNumber(p.dd) != c.want || p.dd[0] != 0x80 {
			t.Errorf("%d: frame %d is sent as %d, want %d", i, c.frame, frameNumber(p.dd), c.want)
		}
	}
}
