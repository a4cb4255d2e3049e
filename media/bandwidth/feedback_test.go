package bandwidth

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
)

// A receiver numbers arrivals as a browser does; it is pion's.
type receiver struct{ recorder *twcc.Recorder }

func newReceiver() *receiver { return &receiver{twcc.NewRecorder(1)} }

func (r *receiver) arrived(seq uint16, at time.Duration) {
	r.recorder.Record(2, seq, at.Microseconds())
}

// take returns the bodies of the feedback packets since the last call.
func (r *receiver) take() (bodies [][]byte) {
	for _, p := range r.recorder.BuildFeedbackPacket() {
		b, err := p.Marshal()
		if err != nil {
			panic(err)
		}
		bodies = append(bodies, b[4:])
	}
	return bodies
}

func reports(t *testing.T, body []byte) (f Feedback, list []Report) {
	t.Helper()
	f, err := ParseFeedback(body)
	if err != nil {
		t.Fatal(err)
	}
	for r, ok := f.Next(); ok; r, ok = f.Next() {
		list = append(list, r)
	}
	return f, list
}

func TestFeedback(t *testing.T) {
	base := 1000 * 64 * time.Millisecond
	for _, c := range []struct {
		name    string
		arrived map[uint16]time.Duration // since base
		order   []uint16
	}{
		{"one", map[uint16]time.Duration{7: time.Millisecond}, []uint16{7}},
		{"in order", map[uint16]time.Duration{7: 0, 8: time.Millisecond, 9: 2 * time.Millisecond}, []uint16{7, 8, 9}},
		{"with a hole", map[uint16]time.Duration{7: 0, 9: 5 * time.Millisecond}, []uint16{7, 9}},
		{"with a wide hole", map[uint16]time.Duration{7: 0, 300: 5 * time.Millisecond}, []uint16{7, 300}},
		{"overtaken", map[uint16]time.Duration{7: 9 * time.Millisecond, 8: time.Millisecond}, []uint16{8, 7}},
		{"late", map[uint16]time.Duration{7: 0, 8: 500 * time.Millisecond}, []uint16{7, 8}},
		{"around the end", map[uint16]time.Duration{65535: 0, 0: 250 * time.Microsecond}, []uint16{65535, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newReceiver()
			for _, seq := range c.order {
				r.arrived(seq, base+c.arrived[seq])
			}
			bodies := r.take()
			if len(bodies) != 1 {
				t.Fatalf("%d packets", len(bodies))
			}
			f, list := reports(t, bodies[0])
			came := 0
			for _, report := range list {
				at, want := c.arrived[report.Seq]
				if report.Received != want || want && report.At+time.Duration(f.Reference)*referenceTick != base+at {
					t.Errorf("%+v, want %v at %v", report, want, at)
				}
				if want {
					came++
				}
			}
			if came != len(c.arrived) || f.Count != len(list) {
				t.Errorf("%d of %d came, %d reported", came, len(c.arrived), len(list))
			}
		})
	}
}

// A chunk of each form, and a reference before the clock's zero.
func TestFeedbackBytes(t *testing.T) {
	body := []byte{
		0, 0, 0, 1, 0, 0, 0, 2, // SSRCs
		0, 10, 0, 25, // 25 packets from 10
		0xff, 0xff, 0xfe, 9, // -2 x 64 ms, feedback 9
		0x00, 0x03, // 3 lost
		0x20, 0x02, // 2 with a small delta
		0xb0, 0x01, // one bit each: 1 1 0000 0000 0001
		0xd9, 0x00, // two bits each: 1 2 1 0 ...
		4, 8, // of the run
		1, 1, 1, // of the bits
		2, 0xff, 0xfc, 3, // of the pairs; the second is -1 ms
		0, 0, 0, // padding
	}
	f, list := reports(t, body)
	if f.Base != 10 || f.Count != 25 || f.Reference != -2 || f.Number != 9 || len(list) != 25 {
		t.Fatalf("%+v, %d reports", f, len(list))
	}
	want := map[uint16]time.Duration{13: 4, 14: 12, 15: 13, 16: 14, 28: 15, 29: 17, 30: 13, 31: 16}
	for _, r := range list {
		at, came := want[r.Seq]
		if r.Received != came || came && r.At != at*deltaTick {
			t.Errorf("%+v, want %v at %v", r, came, at*deltaTick)
		}
	}
}

func TestFeedbackRefused(t *testing.T) {
	head := func(count uint16, rest ...byte) []byte {
		b := make([]byte, 16, 16+len(rest))
		binary.BigEndian.PutUint16(b[10:], count)
		return append(b, rest...)
	}
	for name, body := range map[string][]byte{
		"empty":                  nil,
		"shorter than its head":  make([]byte, 15),
		"about no packet":        head(0, 0x20, 1, 1, 0),
		"without chunks":         head(1),
		"with too few chunks":    head(3, 0x20, 2, 1, 1),
		"with too few deltas":    head(3, 0x20, 3, 1, 1),
		"with half a delta":      head(1, 0x40, 1, 1),
		"with empty runs":        head(1, 0, 0, 0, 0, 0, 0),
		"about too many packets": head(maxReported+1, 0x1f, 0xff, 0x1f, 0xff),
	} {
		if _, err := ParseFeedback(body); !errors.Is(err, ErrFeedback) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFeedbackAllocates(t *testing.T) {
	r := newReceiver()
	for seq := range uint16(200) {
		r.arrived(seq, time.Duration(seq)*time.Millisecond)
	}
	body := r.take()[0]
	if n := testing.AllocsPerRun(100, func() {
		f, _ := ParseFeedback(body)
		for _, ok := f.Next(); ok; _, ok = f.Next() {
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzFeedback holds the parser against pion's: what both take means the same.
func FuzzFeedback(f *testing.F) {
	r := newReceiver()
	for _, seq := range []uint16{1, 2, 3, 9, 8, 40, 41, 65535, 0} {
		r.arrived(seq, time.Duration(seq)*3*time.Millisecond)
	}
	for _, body := range r.take() {
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := ParseFeedback(body)
		if err != nil {
			return
		}
		var want rtcp.TransportLayerCC
		head := []byte{0x8f, 205, 0, 0}
		binary.BigEndian.PutUint16(head[2:], uint16(len(body)/4))
		oracle := len(body)%4 == 0 && len(body) < 1<<16 && want.Unmarshal(bytes.Join([][]byte{head, body}, nil)) == nil
		deltas, n := want.RecvDeltas, 0
		var at time.Duration
		for report, ok := got.Next(); ok; report, ok = got.Next() {
			if report.Seq != got.Base+uint16(n) {
				t.Fatalf("packet %d is %d", n, report.Seq)
			}
			n++
			if !report.Received || !oracle {
				continue
			}
			if len(deltas) == 0 {
				t.Fatalf("%+v: one more than pion finds", report)
			}
			at += time.Duration(deltas[0].Delta) * time.Microsecond
			deltas = deltas[1:]
			if at != report.At {
				t.Fatalf("%+v, want %v", report, at)
			}
		}
		if n != got.Count || n > maxReported {
			t.Fatalf("%d reports of %d", n, got.Count)
		}
	})
}
