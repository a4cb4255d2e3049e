package ogg

import (
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

const (
	first = 2 // flags of a page
	last  = 4

	rate    = 48000       // of the granule position, whatever is in the packets (RFC 7845 section 4)
	maxPage = time.Second // of sound on one page: more than that, players wait for (RFC 7845 section 6)
)

// A Writer puts Opus packets into one Ogg stream (RFC 7845). The packets stay as they are. It is for one goroutine.
type Writer struct {
	out     io.Writer
	serial  uint32
	preSkip time.Duration
	opened  bool
	err     error

	number  uint32        // of the next page
	granule uint64        // samples up to the end of the page, those that are skipped too
	on      time.Duration // of sound on the page
	toc     byte          // of the last packet
	table   []byte        // of the page that is not written yet
	content []byte
	page    []byte // scratch
}

// NewWriter writes to out the stream of this serial number. preSkip is how much sound at its beginning only makes the
// decoder ready, and is not heard (RFC 7845 section 4.2).
func NewWriter(out io.Writer, serial uint32, preSkip time.Duration) *Writer {
	return &Writer{out: out, serial: serial, preSkip: preSkip}
}

// Write adds a packet, which is as long as it says itself (Duration). Errors: ErrFormat for what is no packet of Opus, and
// those of what is written to, of any call before too.
func (w *Writer) Write(packet []byte) error {
	length := Duration(packet)
	if length == 0 || len(packet) > MaxPacket {
		return fmt.Errorf("%w: a packet of %d bytes", ErrFormat, len(packet))
	}
	w.open()
	if lacing := len(packet)/255 + 1; w.on+length > maxPage && w.on > 0 || len(w.table)+lacing > maxSegments {
		w.flush(0)
	}
	rest := len(packet)
	for ; rest >= 255; rest -= 255 {
		w.table = append(w.table, 255)
	}
	w.table = append(w.table, byte(rest))
	w.content = append(w.content, packet...)
	w.on += length
	w.granule += samples(length)
	w.toc = packet[0]
	return w.err
}

// Gap adds sound that was not sent, or got lost: packets that have a decoder make it up (RFC 7845 section 4.1), of the last
// one's kind. What is shorter than 2.5 ms is left out.
func (w *Writer) Gap(length time.Duration) error {
	for _, step := range concealing(w.toc) {
		for ; length >= step.length; length -= step.length {
			if err := w.Write([]byte{step.toc}); err != nil {
				return err
			}
		}
	}
	return w.err
}

// Close ends the stream. The errors are those of what is written to.
func (w *Writer) Close() error {
	w.open()
	w.flush(last)
	return w.err
}

// open writes the two headers, each on a page of its own.
func (w *Writer) open() {
	if w.opened {
		return
	}
	w.opened = true
	head := append([]byte("OpusHead"), 1, 1) // version, and one channel: a decoder makes it of two
	head = binary.LittleEndian.AppendUint16(head, uint16(samples(w.preSkip)))
	head = binary.LittleEndian.AppendUint32(head, rate)
	head = append(head, 0, 0, 0) // gain and mapping family
	const vendor = "confab"
	tags := binary.LittleEndian.AppendUint32([]byte("OpusTags"), uint32(len(vendor)))
	tags = binary.LittleEndian.AppendUint32(append(tags, vendor...), 0) // comments
	for i, header := range [][]byte{head, tags} {
		w.table, w.content = append(w.table, byte(len(header))), append(w.content, header...)
		w.flush(byte(first * (1 - i)))
	}
}

// flush writes the page (RFC 3533 section 6).
func (w *Writer) flush(flags byte) {
	b := append(w.page[:0], "OggS\x00"...)
	b = binary.LittleEndian.AppendUint64(append(b, flags), w.granule)
	b = binary.LittleEndian.AppendUint32(b, w.serial)
	b = binary.LittleEndian.AppendUint32(b, w.number)
	b = append(b, 0, 0, 0, 0, byte(len(w.table)))
	b = append(append(b, w.table...), w.content...)
	binary.LittleEndian.PutUint32(b[22:], checksum(0, b))
	if w.err == nil {
		_, w.err = w.out.Write(b)
	}
	w.page = b
	w.number++
	w.on, w.table, w.content = 0, w.table[:0], w.content[:0]
}

// samples is how many of them a length has.
func samples(length time.Duration) uint64 { return uint64(length * rate / time.Second) }

// A concealment is a packet without sound: a table of contents alone (RFC 6716 section 3.2.2, with a frame of 0 bytes).
type concealment struct {
	toc    byte
	length time.Duration
}

// concealing returns the packets that fill a gap after one of toc, longest first: of its mode, bandwidth and channels; and,
// for what is too short for the mode, of CELT (RFC 7845 section 4.1.1).
func concealing(toc byte) []concealment {
	config := toc >> 3
	var configs []byte
	switch short := []byte{17, 16}; { // 5 and 2.5 ms
	case config < 12: // SILK; CELT has no medium band, wide is the next
		if config >= 4 {
			short = []byte{21, 20}
		}
		base := config &^ 3
		configs = append([]byte{base + 1, base}, short...)
	case config < 16: // hybrid, of super-wide band or full
		base := config &^ 1
		short = []byte{25 + 2*(base-12), 24 + 2*(base-12)}
		configs = append([]byte{base + 1, base}, short...)
	default: // CELT
		base := config &^ 3
		configs = []byte{base + 3, base + 2, base + 1, base}
	}
	packets := make([]concealment, len(configs))
	for i, c := range configs {
		packets[i].toc = c<<3 | toc&4
		packets[i].length = Duration([]byte{packets[i].toc})
	}
	return packets
}
