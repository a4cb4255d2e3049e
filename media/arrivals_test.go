package media

import (
	"maps"
	"slices"
	"testing"

	"confab/media/bandwidth"

	"github.com/pion/rtcp"
)

// An event is a packet that comes, or the moment when feedback is sent.
type event struct {
	number uint16
	at     int64 // ticks
	send   bool
}

// came lists packets that come one step apart.
func came(first uint16, count int, from, step int64) []event {
	var list []event
	for i := range count {
		list = append(list, event{number: first + uint16(i), at: from + int64(i)*step})
	}
	return list
}

func TestArrivals(t *testing.T) {
	for name, test := range map[string]struct {
		events  []event
		missing []uint16
		packets int // feedbacks
	}{
		"one":                  {events: came(7, 1, 1000, 0), packets: 1},
		"in order":             {events: came(7, 100, 1000, 3), packets: 1},
		"numbers begin anew":   {events: came(65530, 20, 1000, 3), packets: 1},
		"far apart":            {events: came(7, 30, 1000, 300), packets: 1},
		"a long pause":         {events: slices.Concat(came(7, 3, 1000, 1), came(10, 3, 50_000, 1)), packets: 2},
		"more than fit":        {events: came(7, 500, 1000, 2), packets: 2},
		"a hole":               {events: slices.Concat(came(7, 20, 1000, 1), came(30, 20, 1100, 1)), missing: []uint16{27, 28, 29}, packets: 1},
		"a hole in between":    {events: slices.Concat(came(7, 2, 1000, 1), []event{{send: true}}, came(11, 1, 1100, 1)), missing: []uint16{9, 10}, packets: 2},
		"a wide hole":          {events: slices.Concat(came(7, 1, 1000, 1), came(57, 1, 1100, 1)), missing: numbers(8, 49), packets: 1},
		"overtaken":            {events: []event{{number: 7, at: 1000}, {number: 9, at: 1001}, {number: 8, at: 1009}, {number: 10, at: 1010}}, packets: 1},
		"overtaken, too late":  {events: []event{{number: 7, at: 1000}, {number: 9, at: 1001}, {send: true}, {number: 8, at: 1009}}, packets: 2},
		"before the first one": {events: []event{{number: 7, at: 1000}, {number: 6, at: 1001}}, packets: 1},
		"twice":                {events: []event{{number: 7, at: 1000}, {number: 8, at: 1001}, {number: 7, at: 1300}}, packets: 1},
		"every third one large": {events: slices.Concat(came(7, 2, 1000, 1), came(9, 1, 2000, 1), came(10, 2, 2001, 1), came(12, 1, 3000, 1),
			came(13, 2, 3001, 1), came(15, 1, 4000, 1)), packets: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var a arrivals
			a.init(1)
			var sent compound
			want := map[uint16]int64{}
			for _, e := range append(test.events, event{send: true}) {
				if e.send {
					a.take(&sent)
					continue
				}
				a.note(e.number, e.at)
				if _, had := want[e.number]; !had {
					want[e.number] = e.at
				}
			}
			if len(sent.packets) != test.packets {
				t.Errorf("%d packets, want %d", len(sent.packets), test.packets)
			}
			var more compound
			if a.take(&more); len(more.packets) > 0 {
				t.Errorf("%d packets more", len(more.packets))
			}
			got, missing := reported(t, sent.packets)
			if !maps.Equal(got, want) {
				t.Errorf("reported %v, want %v", got, want)
			}
			if !slices.Equal(missing, test.missing) {
				t.Errorf("missing %v, want %v", missing, test.missing)
			}
		})
	}
}

func numbers(first uint16, count int) (list []uint16) {
	for i := range count {
		list = append(list, first+uint16(i))
	}
	return list
}

// reported reads feedback in two ways, by pion and by package bandwidth. It returns when packets came, by number, and
// the numbers of those that are only ever missing.
func reported(t *testing.T, sent []rtcp.Packet) (came map[uint16]int64, missing []uint16) {
	t.Helper()
	came = map[uint16]int64{}
	absent := map[uint16]bool{}
	for i, p := range sent {
		raw, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		var theirs rtcp.TransportLayerCC
		if err := theirs.Unmarshal(raw); err != nil {
			t.Fatalf("pion cannot read %x: %v", raw, err)
		}
		_, _, body, _, ok := nextRTCP(raw)
		if !ok {
			t.Fatalf("cut short: %x", raw)
		}
		f, err := bandwidth.ParseFeedback(body)
		if err != nil {
			t.Fatal(err)
		}
		if theirs.FbPktCount != uint8(i) || f.Base != theirs.BaseSequenceNumber || f.Count != int(theirs.PacketStatusCount) || theirs.SenderSSRC != 1 {
			t.Errorf("header %+v", theirs)
		}
		at := int64(theirs.ReferenceTime) * ticksOfBase
		deltas := theirs.RecvDeltas
		for r, ok := f.Next(); ok; r, ok = f.Next() {
			if !r.Received {
				absent[r.Seq] = true
				continue
			}
			at += deltas[0].Delta / arrivalTick.Microseconds()
			deltas = deltas[1:]
			if ours := int64(f.Reference)*ticksOfBase + int64(r.At/arrivalTick); ours != at {
				t.Errorf("packet %d came at %d, pion says %d", r.Seq, ours, at)
			}
			came[r.Seq] = at
		}
		if len(deltas) > 0 {
			t.Errorf("%d deltas too many", len(deltas))
		}
	}
	for number := range absent {
		if _, ok := came[number]; !ok {
			missing = append(missing, number)
		}
	}
	slices.Sort(missing)
	return came, missing
}

// A sender that jumps about makes no feedback that cannot be read.
func FuzzArrivals(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 2, 1, 0, 9, 255})
	f.Add([]byte{255, 255, 3, 0, 0, 3, 1, 0, 250})
	f.Fuzz(func(t *testing.T, steps []byte) {
		var a arrivals
		a.init(1)
		var sent compound
		at := int64(0)
		for ; len(steps) >= 3; steps = steps[3:] {
			at += int64(steps[2]) * int64(steps[2]) // up to 16 s
			a.note(uint16(steps[0])<<8|uint16(steps[1]), at)
			if steps[2]&7 == 7 {
				a.take(&sent)
			}
		}
		a.take(&sent)
		reported(t, sent.packets)
	})
}
