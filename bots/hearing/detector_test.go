package hearing

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"confab/bots/voice/ogg"
)

// A mouth makes packets of 20 ms, each with its number in it.
type mouth struct {
	ssrc uint32
	n    uint32
	rest uint32 // ticks that are not sent, so far
}

const frame = 20 * time.Millisecond

// say makes a packet that is so loud.
func (m *mouth) say(level int) Packet {
	p := Packet{SSRC: m.ssrc, Seq: uint16(m.n - 20), TS: m.n*960 + m.rest - 9600, Level: level} // both wrap around early
	p.Opus = binary.BigEndian.AppendUint32([]byte{0x78}, m.n)
	m.n++
	return p
}

// pause lets time go by without packets (DTX).
func (m *mouth) pause(d time.Duration) { m.rest += uint32(d * 48 / time.Millisecond) }

// of is what a segment consists of, by number, and its concealments.
func of(t *testing.T, c *segment) (numbers []int, concealed int, length time.Duration) {
	t.Helper()
	sound, err := c.encode()
	if err != nil {
		t.Fatal(err)
	}
	r := ogg.NewReader(bytes.NewReader(sound))
	for {
		packet, one, err := r.Next()
		if errors.Is(err, io.EOF) {
			return numbers, concealed, length
		}
		if err != nil {
			t.Fatal(err)
		}
		if length += one; len(packet) == 1 {
			concealed++
			continue
		}
		numbers = append(numbers, int(binary.BigEndian.Uint32(packet[1:])))
	}
}

// span is from a number up to another.
func span(from, to int) (all []int) {
	for i := from; i <= to; i++ {
		all = append(all, i)
	}
	return all
}

const loud, soft, still = 30, 50, 127

// TestDetector: what is said, in packets of 20 ms, and which of them each segment has.
func TestDetector(t *testing.T) {
	type run struct {
		level, packets int
	}
	for name, test := range map[string]struct {
		said []run
		want [][]int // first and last packet
	}{
		"silence":                  {[]run{{still, 200}}, nil},
		"a word":                   {[]run{{still, 50}, {loud, 20}, {still, 40}}, [][]int{{35, 84}}},
		"at once":                  {[]run{{loud, 20}, {still, 40}}, [][]int{{0, 34}}},
		"two clicks":               {[]run{{still, 20}, {loud, 2}, {still, 1}, {loud, 2}, {still, 40}}, nil},
		"a knock":                  {[]run{{still, 20}, {loud, 14}, {still, 40}}, [][]int{{5, 48}}}, // not long enough: see heard
		"a murmur":                 {[]run{{still, 20}, {soft, 100}, {still, 40}}, nil},
		"it becomes quieter":       {[]run{{still, 20}, {loud, 5}, {soft, 20}, {still, 40}}, [][]int{{5, 59}}},
		"a pause for breath":       {[]run{{still, 20}, {loud, 20}, {still, 34}, {loud, 20}, {still, 40}}, [][]int{{5, 108}}},
		"two sentences":            {[]run{{still, 20}, {loud, 20}, {still, 36}, {loud, 20}, {still, 40}}, [][]int{{5, 54}, {61, 110}}},
		"nobody says how loud":     {[]run{{-1, 200}}, nil},
		"a level that is not told": {[]run{{still, 20}, {loud, 10}, {-1, 1}, {loud, 10}, {still, 40}}, [][]int{{5, 55}}},
	} {
		t.Run(name, func(t *testing.T) {
			var d detector
			m := &mouth{ssrc: 7}
			var got [][]int
			take := func(c *segment) {
				if c == nil {
					return
				}
				numbers, concealed, _ := of(t, c)
				if !slices.Equal(numbers, span(numbers[0], numbers[len(numbers)-1])) || concealed > 0 {
					t.Errorf("holes in %v, %d of them filled", numbers, concealed)
				}
				if ready := c.begins - c.sounds[0].at; ready < 0 || ready > 100*millisecond {
					t.Errorf("%v are skipped", ready.duration())
				}
				got = append(got, []int{numbers[0], numbers[len(numbers)-1]})
				if (name == "a knock") != (c.heard < shortest) {
					t.Errorf("heard for %v", c.heard.duration())
				}
			}
			for _, r := range test.said {
				for range r.packets {
					take(d.take(m.say(r.level)))
				}
			}
			if !slices.EqualFunc(got, test.want, slices.Equal) {
				t.Errorf("%v, not %v", got, test.want)
			}
			if take(d.end()); len(got) > len(test.want) {
				t.Errorf("there is more: %v", got)
			}
		})
	}
}

// TestLongSpeech: a speech goes on from one segment to the next without a gap, and each is 15 s long at most.
func TestLongSpeech(t *testing.T) {
	var d detector
	m := &mouth{}
	var all []*segment
	for i := range 2000 + 40 { // 40 s
		level := loud
		if i >= 2000 {
			level = still
		}
		if c := d.take(m.say(level)); c != nil {
			all = append(all, c)
		}
	}
	if len(all) != 3 {
		t.Fatalf("%d segments", len(all))
	}
	next := 0
	for i, c := range all {
		numbers, _, length := of(t, c)
		overlaps := next - numbers[0]
		if (i == 0) != (overlaps == 0) || i > 0 && overlaps != 4 || !slices.Equal(numbers, span(numbers[0], numbers[len(numbers)-1])) {
			t.Errorf("segment %d has %d to %d, after %d", i, numbers[0], numbers[len(numbers)-1], next)
		}
		if skipped := (c.begins - c.sounds[0].at).duration(); skipped != time.Duration(overlaps)*frame {
			t.Errorf("segment %d: %v are skipped of %d packets", i, skipped, overlaps)
		}
		if length > 15*time.Second || i < 2 && length < 15*time.Second-frame {
			t.Errorf("segment %d is %v long", i, length)
		}
		next = numbers[len(numbers)-1] + 1
	}
	if next != 2000+15 {
		t.Errorf("it ends with packet %d", next-1)
	}
}

// TestRest: what goes on after a cut only with silence is no speech.
func TestRest(t *testing.T) {
	var d detector
	m := &mouth{}
	var all []*segment
	for i := range 900 {
		level := loud
		if i >= 745 {
			level = still
		}
		if c := d.take(m.say(level)); c != nil {
			all = append(all, c)
		}
	}
	if len(all) != 2 || all[1].heard != 0 {
		t.Errorf("%d segments", len(all))
	}
}

// TestBytes: a segment has so many bytes at most.
func TestBytes(t *testing.T) {
	var d detector
	m := &mouth{}
	for range 10_000 {
		p := m.say(loud)
		p.Opus = append(p.Opus, make([]byte, 1200)...)
		c := d.take(p)
		if c == nil {
			continue
		}
		sum := 0
		for _, s := range c.sounds {
			sum += len(s.opus)
		}
		if sum != c.bytes || sum > maxSegment || sum < maxSegment-2000 {
			t.Fatalf("%d bytes, of which %d are counted", sum, c.bytes)
		}
	}
}

// TestGaps: what a sender leaves out is filled, and a pause without packets ends a segment as silence does.
func TestGaps(t *testing.T) {
	var d detector
	m := &mouth{}
	for range 20 {
		d.take(m.say(loud))
	}
	m.pause(400 * time.Millisecond)
	for range 20 {
		if c := d.take(m.say(loud)); c != nil {
			t.Fatal("a short pause ends it")
		}
	}
	m.pause(time.Minute)
	c := d.take(m.say(loud))
	if c == nil {
		t.Fatal("a long one does not")
	}
	numbers, concealed, length := of(t, c)
	if !slices.Equal(numbers, span(0, 39)) || concealed != 20 || length != 1200*time.Millisecond {
		t.Errorf("%v with %d filled, %v", numbers, concealed, length)
	}
}

// TestDisorder: packets that come late, or twice, stand in their place once; a sender that begins anew is another one.
func TestDisorder(t *testing.T) {
	var d detector
	m := &mouth{ssrc: 1}
	for range 20 {
		d.take(m.say(still))
	}
	packets := make([]Packet, 0, 200)
	for range 200 {
		packets = append(packets, m.say(loud))
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := 0; i+4 < len(packets); i += 4 {
		rng.Shuffle(4, func(a, b int) { packets[i+a], packets[i+b] = packets[i+b], packets[i+a] })
	}
	d.take(packets[0])
	if d.take(packets[0]); d.take(packets[0]) != nil || d.current != nil {
		t.Error("one packet, three times, begins it")
	}
	for _, p := range packets[1:] {
		if c := d.take(p); c != nil {
			t.Fatal("disorder ends it")
		}
		d.take(p)
	}
	again := &mouth{ssrc: 2}
	c := d.take(again.say(loud))
	if c == nil {
		t.Fatal("another source does not end it")
	}
	if numbers, concealed, _ := of(t, c); numbers[0] > 8 || !slices.Equal(numbers, span(numbers[0], 219)) || concealed != 0 {
		t.Errorf("%v", numbers)
	}
	for range 50 {
		d.take(again.say(loud))
	}
	if c := d.take((&mouth{ssrc: 2, rest: 1 << 30}).say(loud)); c == nil {
		t.Error("a source whose time jumps does not end it")
	}
}

// FuzzDetector: whatever comes, segments are bounded, in order, and can be written.
func FuzzDetector(f *testing.F) {
	f.Add([]byte{0, 1, 3, 192, 30, 2, 0x78, 1, 0, 1, 3, 192, 30, 2, 0x78, 1, 0, 1, 3, 192, 30, 2, 0x78, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var d detector
		var seq uint16
		var ts uint32
		check := func(c *segment) {
			if c == nil {
				return
			}
			for i := 1; i < len(c.sounds); i++ {
				if c.sounds[i].seq <= c.sounds[i-1].seq {
					t.Fatal("out of order")
				}
			}
			if sound, err := c.encode(); err != nil || len(sound) > 4*maxSegment {
				t.Fatalf("%d bytes, %v", len(sound), err)
			}
		}
		for len(b) >= 6 {
			seq += uint16(int8(b[1]))
			ts += uint32(int32(int8(b[2]))<<8 | int32(b[3]))
			n := min(int(b[5]), len(b)-6)
			check(d.take(Packet{SSRC: uint32(b[0] >> 6), Seq: seq, TS: ts, Level: int(int8(b[4])), Opus: b[6 : 6+n]}))
			b = b[6+n:]
		}
		check(d.end())
	})
}
