// Package ogg reads Opus packets out of an Ogg stream as it comes, and puts them into one (RFC 3533, RFC 7845).
//
// Nothing is decoded. What a stream may hold is bounded: a packet has at most 61,440 bytes, of which Opus itself needs
// far less. The package imports the standard library only, and starts no goroutine.
package ogg

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Errors of Reader.Next.
var (
	ErrFormat = errors.New("ogg: not an Ogg stream of Opus")
	errCRC    = fmt.Errorf("%w: a page is damaged", ErrFormat)
	errSize   = fmt.Errorf("%w: a packet of more than %d bytes", ErrFormat, MaxPacket)
)

const (
	// MaxPacket bounds one packet, in bytes (RFC 7845 section 6 lets a reader refuse larger ones).
	MaxPacket = 61440

	headerSize  = 27 // RFC 3533 section 6
	maxSegments = 255
	continued   = 1 // flag of a page
)

// A Reader takes the packets out of one stream. It is for one goroutine.
type Reader struct {
	in      *bufio.Reader
	headers int // packets that are none of sound, seen so far
	serial  uint32
	opened  bool

	segments []byte // of the page, not read yet
	partial  bool   // the packet goes on in the next page
	skip     bool   // what goes on is the rest of a packet that began before the stream
	packet   []byte
	page     [headerSize]byte
	table    [maxSegments]byte
	body     bytes.Reader
	content  []byte
}

// NewReader reads from in.
func NewReader(in io.Reader) *Reader { return &Reader{in: bufio.NewReaderSize(in, 8<<10)} }

// Next returns the next packet of sound and how long it is; the slice is good until the next call. At the end the error is
// io.EOF. Others: io.ErrUnexpectedEOF for a stream that is cut, ErrFormat, and those of what is read from.
func (r *Reader) Next() (packet []byte, length time.Duration, err error) {
	for {
		packet, err := r.next()
		if err != nil {
			return nil, 0, err
		}
		switch r.headers {
		case 0: // RFC 7845 section 5.1
			if !bytes.HasPrefix(packet, []byte("OpusHead")) || len(packet) < 19 || packet[8]>>4 != 0 {
				return nil, 0, ErrFormat
			}
			r.headers++
			continue
		case 1: // RFC 7845 section 5.2
			if !bytes.HasPrefix(packet, []byte("OpusTags")) {
				return nil, 0, ErrFormat
			}
			r.headers++
			continue
		}
		if length = Duration(packet); length == 0 {
			continue // it is no packet of Opus, and nothing can be done with it
		}
		return packet, length, nil
	}
}

// next returns the next packet of any kind.
func (r *Reader) next() ([]byte, error) {
	r.packet, r.partial = r.packet[:0], false
	for {
		for len(r.segments) > 0 {
			n := int(r.segments[0])
			r.segments = r.segments[1:]
			if len(r.packet)+n > MaxPacket {
				return nil, errSize
			}
			at := len(r.packet)
			r.packet = append(r.packet, make([]byte, n)...)
			if _, err := io.ReadFull(&r.body, r.packet[at:]); err != nil {
				return nil, ErrFormat // cannot be: the page was read whole
			}
			if n < 255 {
				if !r.skip {
					return r.packet, nil
				}
				r.packet, r.skip = r.packet[:0], false
			}
		}
		r.partial = len(r.packet) > 0
		if err := r.readPage(); err != nil {
			if errors.Is(err, io.EOF) && r.partial {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// readPage reads one page of the stream, and passes over those of others.
func (r *Reader) readPage() error {
	for {
		if _, err := io.ReadFull(r.in, r.page[:]); err != nil {
			return err
		}
		if string(r.page[:4]) != "OggS" || r.page[4] != 0 {
			return ErrFormat
		}
		table := r.table[:r.page[26]]
		if err := readAll(r.in, table); err != nil {
			return err
		}
		size := 0
		for _, n := range table {
			size += int(n)
		}
		r.content = append(r.content[:0], make([]byte, size)...)
		if err := readAll(r.in, r.content); err != nil {
			return err
		}
		if !r.intact(table) {
			return errCRC
		}
		serial := binary.LittleEndian.Uint32(r.page[14:])
		if !r.opened {
			r.opened, r.serial = true, serial
		}
		if serial != r.serial {
			continue
		}
		goesOn := r.page[5]&continued != 0
		if !goesOn { // what was begun stays without its end
			r.packet, r.skip = r.packet[:0], false
		} else if !r.partial { // and this without its beginning
			r.skip = true
		}
		r.segments = table
		r.body.Reset(r.content)
		return nil
	}
}

// readAll is io.ReadFull where something must come.
func readAll(in io.Reader, b []byte) error {
	_, err := io.ReadFull(in, b)
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// intact compares the page with its checksum, which is reckoned over the page with zeros in its place.
func (r *Reader) intact(table []byte) bool {
	want := binary.LittleEndian.Uint32(r.page[22:])
	clear(r.page[22:26])
	return checksum(checksum(checksum(0, r.page[:]), table), r.content) == want
}

// polynomials of RFC 3533 section 6, field 7: not reflected, and nothing is inverted, so that hash/crc32 has no use.
var polynomials = func() (table [256]uint32) {
	for i := range table {
		c := uint32(i) << 24
		for range 8 {
			if c&0x80000000 != 0 {
				c = c<<1 ^ 0x04c11db7
			} else {
				c <<= 1
			}
		}
		table[i] = c
	}
	return table
}()

func checksum(crc uint32, b []byte) uint32 {
	for _, x := range b {
		crc = crc<<8 ^ polynomials[byte(crc>>24)^x]
	}
	return crc
}

// Duration is how long an Opus packet is, 0 for what is none (RFC 6716 sections 3.1 and 3.2).
func Duration(packet []byte) time.Duration {
	if len(packet) == 0 {
		return 0
	}
	toc := packet[0]
	var frame time.Duration
	switch config := toc >> 3; {
	case config < 12: // SILK
		frame = []time.Duration{10, 20, 40, 60}[config%4] * time.Millisecond
	case config < 16: // hybrid
		frame = []time.Duration{10, 20}[config%2] * time.Millisecond
	default: // CELT
		frame = 2500 * time.Microsecond << (config % 4)
	}
	frames := 1
	switch toc & 3 {
	case 1, 2:
		frames = 2
	case 3:
		if len(packet) < 2 {
			return 0
		}
		frames = int(packet[1] & 0x3f)
	}
	if length := time.Duration(frames) * frame; length <= 120*time.Millisecond {
		return length
	}
	return 0
}
