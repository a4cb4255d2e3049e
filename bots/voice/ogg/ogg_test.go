package ogg

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/iotest"
	"time"
)

func tone(t testing.TB) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "testdata", "tone.ogg"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// all reads a stream to its end.
func all(in io.Reader) (packets [][]byte, length time.Duration, err error) {
	for r := NewReader(in); ; {
		packet, one, err := r.Next()
		if err != nil {
			return packets, length, err
		}
		packets = append(packets, slices.Clone(packet))
		length += one
	}
}

// page writes one page of a stream.
func page(flags byte, serial, number uint32, table []byte, content []byte) []byte {
	b := append([]byte("OggS\x00"), flags)
	b = append(b, make([]byte, 8)...)
	b = binary.LittleEndian.AppendUint32(b, serial)
	b = binary.LittleEndian.AppendUint32(b, number)
	b = append(b, 0, 0, 0, 0, byte(len(table)))
	b = append(append(b, table...), content...)
	binary.LittleEndian.PutUint32(b[22:], checksum(0, b))
	return b
}

var (
	head = append([]byte("OpusHead\x01\x01"), make([]byte, 9)...)
	tags = []byte("OpusTags\x00\x00\x00\x00\x00\x00\x00\x00")
)

func headers() []byte {
	return append(page(first, 7, 0, []byte{byte(len(head))}, head), page(0, 7, 1, []byte{byte(len(tags))}, tags)...)
}

// TestFile reads what an encoder wrote: 3 s and what it needs to start (RFC 7845 section 4.2), in packets of 20 ms,
// however the bytes come.
func TestFile(t *testing.T) {
	whole, length, err := all(bytes.NewReader(tone(t)))
	if !errors.Is(err, io.EOF) || len(whole) != 151 || length != 3020*time.Millisecond {
		t.Errorf("%d packets of %v, then %v", len(whole), length, err)
	}
	slowly, _, err := all(iotest.OneByteReader(bytes.NewReader(tone(t))))
	if !errors.Is(err, io.EOF) || !slices.EqualFunc(whole, slowly, bytes.Equal) {
		t.Errorf("byte by byte: %d packets, then %v", len(slowly), err)
	}
}

func TestPages(t *testing.T) {
	long := bytes.Repeat([]byte{0x78}, 600) // config 15, one frame of 20 ms
	short := []byte{0x78, 1, 2}
	lacing := []byte{255, 255, 90}
	tests := map[string]struct {
		stream [][]byte
		want   [][]byte
		err    error
	}{
		"two on a page":           {[][]byte{headers(), page(0, 7, 2, []byte{3, 3}, append(short, short...))}, [][]byte{short, short}, io.EOF},
		"one on two":              {[][]byte{headers(), page(0, 7, 2, lacing[:1], long[:255]), page(continued, 7, 3, lacing[1:], long[255:])}, [][]byte{long}, io.EOF},
		"one on three, and one":   {[][]byte{headers(), page(0, 7, 2, lacing[:1], long[:255]), page(continued, 7, 3, lacing[1:2], long[255:510]), page(continued, 7, 4, []byte{90, 3}, append(slices.Clone(long[510:]), short...))}, [][]byte{long, short}, io.EOF},
		"the end is lost":         {[][]byte{headers(), page(0, 7, 2, lacing[:1], long[:255]), page(0, 7, 4, []byte{3}, short)}, [][]byte{short}, io.EOF},
		"the beginning is lost":   {[][]byte{headers(), page(continued, 7, 3, []byte{255}, long[:255]), page(continued, 7, 4, []byte{90, 3}, append(slices.Clone(long[:90]), short...))}, [][]byte{short}, io.EOF},
		"another stream between":  {[][]byte{headers(), page(0, 8, 0, []byte{3}, []byte("abc")), page(0, 7, 2, []byte{3}, short)}, [][]byte{short}, io.EOF},
		"a packet of nothing":     {[][]byte{headers(), page(0, 7, 2, []byte{0, 3}, short)}, [][]byte{short}, io.EOF},
		"cut in a page":           {[][]byte{headers(), page(0, 7, 2, []byte{3}, short)[:29]}, nil, io.ErrUnexpectedEOF},
		"cut in a packet":         {[][]byte{headers(), page(0, 7, 2, lacing[:1], long[:255])}, nil, io.ErrUnexpectedEOF},
		"nothing":                 {nil, nil, io.EOF},
		"a page of HTML":          {[][]byte{[]byte("<!doctype html><html><head><title>502</title>")}, nil, ErrFormat},
		"another codec":           {[][]byte{page(first, 7, 0, []byte{30}, append([]byte("\x01vorbis"), make([]byte, 23)...))}, nil, ErrFormat},
		"no tags":                 {[][]byte{headers()[:27+1+len(head)], page(0, 7, 1, []byte{3}, short)}, nil, ErrFormat},
		"an unknown major number": {[][]byte{page(first, 7, 0, []byte{byte(len(head))}, append([]byte("OpusHead\x10"), make([]byte, 10)...))}, nil, ErrFormat},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, _, err := all(bytes.NewReader(bytes.Join(test.stream, nil)))
			if !errors.Is(err, test.err) || !slices.EqualFunc(got, test.want, bytes.Equal) {
				t.Errorf("%d packets, then %v", len(got), err)
			}
		})
	}
}

func TestDamagedPage(t *testing.T) {
	b := tone(t)
	b[len(b)/2] ^= 1
	if _, _, err := all(bytes.NewReader(b)); !errors.Is(err, ErrFormat) {
		t.Errorf("%v", err)
	}
}

// A packet that never ends is refused before it fills the memory.
func TestEndlessPacket(t *testing.T) {
	table := bytes.Repeat([]byte{255}, maxSegments)
	content := make([]byte, 255*maxSegments)
	pages := [][]byte{headers(), page(0, 7, 2, table, content)}
	for i := range uint32(4) {
		pages = append(pages, page(continued, 7, 3+i, table, content))
	}
	if _, _, err := all(bytes.NewReader(bytes.Join(pages, nil))); !errors.Is(err, errSize) {
		t.Errorf("%v", err)
	}
}

// TestDuration goes by the table of RFC 6716 section 3.1.
func TestDuration(t *testing.T) {
	for _, test := range []struct {
		packet []byte
		want   time.Duration
	}{
		{nil, 0}, {[]byte{0 << 3}, 10 * time.Millisecond}, {[]byte{3 << 3}, 60 * time.Millisecond}, {[]byte{11 << 3}, 60 * time.Millisecond},
		{[]byte{12 << 3}, 10 * time.Millisecond}, {[]byte{15 << 3}, 20 * time.Millisecond}, {[]byte{16 << 3}, 2500 * time.Microsecond},
		{[]byte{31 << 3}, 20 * time.Millisecond}, {[]byte{31<<3 | 1}, 40 * time.Millisecond}, {[]byte{31<<3 | 2}, 40 * time.Millisecond},
		{[]byte{31<<3 | 3, 3}, 60 * time.Millisecond}, {[]byte{31<<3 | 3}, 0}, {[]byte{31<<3 | 3, 0}, 0}, {[]byte{31<<3 | 3, 7}, 0},
	} {
		if got := Duration(test.packet); got != test.want {
			t.Errorf("%x: %v, not %v", test.packet, got, test.want)
		}
	}
}

func FuzzReader(f *testing.F) {
	f.Add(tone(f))
	f.Add(headers())
	f.Fuzz(func(t *testing.T, b []byte) {
		packets, length, err := all(bytes.NewReader(b))
		if err == nil {
			t.Fatal("no end")
		}
		size := 0
		for _, p := range packets {
			size += len(p)
		}
		if size > len(b) || length > time.Duration(len(packets))*120*time.Millisecond {
			t.Errorf("%d bytes and %v out of %d", size, length, len(b))
		}
	})
}
