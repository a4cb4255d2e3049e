package hearing

import (
	"bytes"
	"slices"
	"time"

	"confab/bots/voice/ogg"
)

// How speech is told from silence. The levels are those by which the SFU finds active speakers.
const (
	starts     = 45 // dB below the loudest (RFC 6464 section 3): what is as loud as this begins speech,
	goesOn     = 55 // and what is as loud as this is not yet its end
	startCount = 3  // packets in a row: a click is shorter

	leadIn   = 300 * millisecond // before the first loud packet: consonants are quiet
	silence  = 700 * millisecond // that ends a segment
	tail     = 300 * millisecond // of it that stays
	longest  = 15 * 1000 * millisecond
	shortest = 300 * millisecond // from the first loud packet to the end of the last: what is shorter is no word
	overlap  = 80 * millisecond  // of the segment before, where speech goes on (RFC 7845 section 4.2)

	maxSegment = 512 << 10 // bytes of packets: 15 s at 280 kb/s
	maxLead    = 256       // packets that are kept of silence
	maxLate    = 512       // packets by which one may be late; what seems later is of a sender that has begun anew
)

// A Packet is one packet of Opus.
type Packet struct {
	SSRC  uint32
	Seq   uint16
	TS    uint32
	Level int // how loud it says it is, 0 to 127, in dB below the loudest; -1 = it does not
	Opus  []byte
}

// ticks are times and lengths by the timestamps of Opus (RFC 7587 section 4.1).
type ticks int64

const millisecond ticks = 48

func (t ticks) duration() time.Duration {
	return time.Duration(t) * time.Millisecond / time.Duration(millisecond)
}

// A sound is a packet in its place: seq and at do not wrap around.
type sound struct {
	seq    int64
	at     ticks
	length ticks
	opus   []byte
}

func (s sound) end() ticks { return s.at + s.length }

// A segment is a piece of speech.
type segment struct {
	sounds []sound // by seq; never empty
	bytes  int
	begins ticks // what is said: before it there is silence, or the end of the segment before
	loud   ticks // where it is loud for the first time; of no meaning where heard is 0
	heard  ticks // from there to where it is loud for the last time
}

// A detector finds speech in what one person sends. It is arithmetic alone; its zero value has got nothing yet.
type detector struct {
	opened bool
	ssrc   uint32
	newest sound // by seq, without its packet

	quiet   []sound  // what a segment may begin with, by seq
	row     int      // loud packets in a row
	first   ticks    // of them
	current *segment // nil = nobody speaks
	last    ticks    // where current, or the one that it goes on from, is loud for the last time
}

// take takes a packet, which it copies, and returns the segment that has ended by it; nil = none has.
func (d *detector) take(p Packet) (ended *segment) {
	length := ticks(ogg.Duration(p.Opus) * time.Duration(millisecond) / time.Millisecond)
	if length == 0 {
		return nil
	}
	s := d.place(p, length)
	if anew := !d.opened || p.SSRC != d.ssrc || d.newest.seq-s.seq > maxLate || s.seq > d.newest.seq && s.at < d.newest.at; anew {
		ended = d.end()
		*d = detector{opened: true, ssrc: p.SSRC}
		s.seq, s.at = 1<<32|int64(p.Seq), 1<<32|ticks(p.TS) // room below, for what is late
	}
	if s.seq > d.newest.seq {
		d.newest = s
	}
	s.opus = slices.Clone(p.Opus)
	if d.current != nil && s.at-d.last >= silence {
		ended = d.end()
	}
	if d.current == nil {
		d.wait(s, p.Level)
		return ended
	}
	if s.end()-d.current.sounds[0].at > longest || d.current.bytes+len(s.opus) > maxSegment {
		ended, d.current = d.current, d.current.next()
	}
	d.current.add(s)
	if audible(p.Level, goesOn) {
		d.hear(s)
	}
	return ended
}

// place reckons where a packet belongs, beside the newest one.
func (d *detector) place(p Packet, length ticks) sound {
	return sound{
		seq:    d.newest.seq + int64(int16(p.Seq-uint16(d.newest.seq))),
		at:     d.newest.at + ticks(int32(p.TS-uint32(d.newest.at))),
		length: length,
	}
}

func audible(level, threshold int) bool { return level >= 0 && level <= threshold }

// wait takes a packet of silence, or one of those that end it.
func (d *detector) wait(s sound, level int) {
	before := len(d.quiet)
	if d.quiet = insert(d.quiet, s); len(d.quiet) == before {
		return // it counts once
	}
	switch {
	case !audible(level, starts):
		d.row = 0
	case d.row == 0:
		d.row, d.first = 1, s.at
	default:
		d.row++
	}
	from := s.at
	if d.row > 0 {
		from = d.first
	}
	old := 0
	for old < len(d.quiet) && (d.quiet[old].end() <= from-leadIn || len(d.quiet)-old > maxLead) {
		old++
	}
	d.quiet = slices.Delete(d.quiet, 0, old)
	if d.row < startCount {
		return
	}
	d.current = newSegment(d.quiet, max(d.quiet[0].at, d.first-leadIn+overlap))
	d.current.loud, d.current.heard = d.first, s.end()-d.first
	d.quiet, d.row, d.last = nil, 0, s.end()
}

// hear notes that the current segment is loud there.
func (d *detector) hear(s sound) {
	c := d.current
	if c.heard == 0 {
		c.loud = s.at
	}
	c.heard = max(c.heard, s.end()-c.loud)
	d.last = max(d.last, s.end())
}

// end ends the current segment, and returns it; nil = there is none. Most of the silence at its end is cut off, and may be
// the beginning of the next one.
func (d *detector) end() *segment {
	c := d.current
	d.current, d.row = nil, 0
	if c == nil {
		return nil
	}
	keep := len(c.sounds)
	for keep > 1 && c.sounds[keep-1].at >= d.last+tail {
		keep--
		c.bytes -= len(c.sounds[keep].opus)
	}
	d.quiet, c.sounds = slices.Clone(c.sounds[keep:]), c.sounds[:keep]
	return c
}

// next begins the segment that goes on after this one.
func (c *segment) next() *segment {
	end := c.sounds[len(c.sounds)-1].end()
	from := len(c.sounds) - 1
	for from > 0 && c.sounds[from-1].at >= end-overlap {
		from--
	}
	return newSegment(slices.Clone(c.sounds[from:]), end)
}

func newSegment(sounds []sound, begins ticks) *segment {
	c := &segment{sounds: sounds, begins: begins}
	for _, s := range sounds {
		c.bytes += len(s.opus)
	}
	return c
}

// add puts a packet into its place; what is too late for it is left out.
func (c *segment) add(s sound) {
	if s.seq < c.sounds[0].seq {
		return
	}
	before := len(c.sounds)
	if c.sounds = insert(c.sounds, s); len(c.sounds) > before {
		c.bytes += len(s.opus)
	}
}

// insert puts a packet into its place, unless it is there already.
func insert(sounds []sound, s sound) []sound {
	i := len(sounds)
	for i > 0 && sounds[i-1].seq > s.seq {
		i--
	}
	if i > 0 && sounds[i-1].seq == s.seq {
		return sounds
	}
	return slices.Insert(sounds, i, s)
}

// length is that of what is said.
func (c *segment) length() time.Duration {
	return (c.sounds[len(c.sounds)-1].end() - c.begins).duration()
}

// encode makes an Ogg stream of the segment (RFC 7845).
func (c *segment) encode() ([]byte, error) {
	var out bytes.Buffer
	out.Grow(c.bytes + c.bytes/32 + 1024) // lacing, and the heads of pages
	w := ogg.NewWriter(&out, uint32(c.sounds[0].seq), (c.begins - c.sounds[0].at).duration())
	at := c.sounds[0].at
	for _, s := range c.sounds {
		if s.at > at {
			if err := w.Gap((s.at - at).duration()); err != nil {
				return nil, err
			}
		}
		if err := w.Write(s.opus); err != nil {
			return nil, err
		}
		at = s.end()
	}
	err := w.Close()
	return out.Bytes(), err
}
