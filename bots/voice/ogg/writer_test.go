package ogg

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os/exec"
	"slices"
	"testing"
	"time"
)

// pagesOf takes a stream apart: its pages' flags and granule positions, and the bytes of each.
func pagesOf(t testing.TB, b []byte) (flags []byte, granules []uint64, serials []uint32) {
	t.Helper()
	for number := uint32(0); len(b) > 0; number++ {
		size := headerSize + int(b[26])
		for _, n := range b[headerSize:size] {
			size += int(n)
		}
		if got := binary.LittleEndian.Uint32(b[18:]); got != number {
			t.Fatalf("page %d has number %d", number, got)
		}
		flags = append(flags, b[5])
		granules = append(granules, binary.LittleEndian.Uint64(b[6:]))
		serials = append(serials, binary.LittleEndian.Uint32(b[14:]))
		b = b[size:]
	}
	return flags, granules, serials
}

// TestWriter writes what an encoder wrote anew, with holes, and reads it back.
func TestWriter(t *testing.T) {
	packets, _, _ := all(bytes.NewReader(tone(t)))
	var out bytes.Buffer
	w := NewWriter(&out, 42, 80*time.Millisecond)
	var want [][]byte
	for i, p := range packets {
		if i == 50 {
			if err := w.Gap(405*time.Millisecond + time.Microsecond); err != nil {
				t.Fatal(err)
			}
			toc := packets[49][0]
			for range 20 {
				want = append(want, []byte{toc&^0x18 | 3<<3}) // CELT, 20 ms
			}
			want = append(want, []byte{toc&^0x18 | 1<<3}) // 5 ms
		}
		if err := w.Write(p); err != nil {
			t.Fatal(err)
		}
		want = append(want, p)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, length, err := all(bytes.NewReader(out.Bytes()))
	if !errors.Is(err, io.EOF) || !slices.EqualFunc(got, want, bytes.Equal) || length != (3020+405)*time.Millisecond {
		t.Errorf("%d packets of %d, %v, then %v", len(got), len(want), length, err)
	}
	flags, granules, serials := pagesOf(t, out.Bytes())
	if want := []byte{first, 0, 0, 0, 0, last}; !bytes.Equal(flags, want) {
		t.Errorf("the pages have flags %v, not %v", flags, want)
	}
	if want := []uint64{0, 0, 48000, 96000 - 15*48, 144000 - 15*48 - 20*48 + 20*48, 3425 * 48}; !slices.Equal(granules, want) {
		t.Errorf("the pages end at %v, not %v", granules, want)
	}
	if slices.ContainsFunc(serials, func(s uint32) bool { return s != 42 }) {
		t.Errorf("serial numbers %v", serials)
	}
	if head := out.Bytes()[headerSize+1:]; binary.LittleEndian.Uint16(head[10:]) != 3840 || head[9] != 1 {
		t.Errorf("the head is %q", head[:19])
	}
	probe(t, out.Bytes(), (3425-80)*time.Millisecond)
}

// probe has another program decode the stream, where it is installed.
func probe(t *testing.T, stream []byte, want time.Duration) {
	t.Helper()
	if _, err := exec.LookPath("ffmpeg"); err != nil {
		t.Log("ffmpeg is not installed: nobody else has read the stream")
		return
	}
	var problems bytes.Buffer
	cmd := exec.Command("ffmpeg", "-v", "warning", "-i", "-", "-ar", "8000", "-ac", "1", "-f", "s16le", "-")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stream), &problems
	sound, err := cmd.Output()
	if err != nil || problems.Len() > 0 {
		t.Errorf("ffmpeg: %v: %s", err, problems.String())
	}
	length := time.Duration(len(sound)/2) * time.Second / 8000
	if length < want-20*time.Millisecond || length > want+20*time.Millisecond {
		t.Errorf("ffmpeg hears %v, not %v", length, want)
	}
}

// TestConcealing goes by the table of RFC 6716 section 3.1: what fills a gap has the mode and bandwidth of what was before.
func TestConcealing(t *testing.T) {
	for _, test := range []struct {
		config byte
		gap    time.Duration
		want   []byte
	}{
		{1, 50 * time.Millisecond, []byte{1, 1, 0}}, {3, 17500 * time.Microsecond, []byte{0, 17, 16}}, {9, 15 * time.Millisecond, []byte{8, 21}},
		{6, 2500 * time.Microsecond, []byte{20}}, {12, 35 * time.Millisecond, []byte{13, 12, 25}}, {15, 7500 * time.Microsecond, []byte{29, 28}},
		{31, 45 * time.Millisecond, []byte{31, 31, 29}}, {18, 12500 * time.Microsecond, []byte{18, 16}}, {20, 2 * time.Millisecond, nil},
	} {
		for _, stereo := range []byte{0, 4} {
			var out bytes.Buffer
			w := NewWriter(&out, 1, 0)
			for _, err := range []error{w.Write([]byte{test.config<<3 | stereo, 1, 2}), w.Gap(test.gap), w.Close()} {
				if err != nil {
					t.Fatal(err)
				}
			}
			got, length, _ := all(&out)
			var want [][]byte
			for _, c := range test.want {
				want = append(want, []byte{c<<3 | stereo})
			}
			if !slices.EqualFunc(got[1:], want, bytes.Equal) {
				t.Errorf("config %d, a gap of %v: %x, not %x", test.config, test.gap, got[1:], want)
			}
			if filled := length - Duration([]byte{test.config << 3}); filled > test.gap || test.gap-filled > 2*time.Millisecond {
				t.Errorf("config %d: a gap of %v is filled with %v", test.config, test.gap, filled)
			}
		}
	}
}

// TestWriterErrors: what is no packet is refused, and a failure of what is written to stays.
func TestWriterErrors(t *testing.T) {
	w := NewWriter(io.Discard, 1, 0)
	for _, packet := range [][]byte{nil, {3}, {3, 0}, make([]byte, MaxPacket+1)} {
		if err := w.Write(packet); !errors.Is(err, ErrFormat) {
			t.Errorf("%d bytes: %v", len(packet), err)
		}
	}
	in, out := io.Pipe()
	_ = in.Close()
	w = NewWriter(out, 1, 0)
	if err := w.Write([]byte{0x78}); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
	if err := w.Close(); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("%v", err)
	}
}

// FuzzWriter writes packets and gaps, and reads them back: none is lost, and the positions are those of their lengths.
func FuzzWriter(f *testing.F) {
	f.Add([]byte("\x03\x78\x01\x02\x00\x28\x02\x78\x01"))
	f.Add(append([]byte{255}, bytes.Repeat([]byte{0x7b, 2}, 200)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		var out bytes.Buffer
		w := NewWriter(&out, uint32(len(b)), time.Duration(len(b)%80)*time.Millisecond)
		var want [][]byte
		var total time.Duration
		for len(b) > 1 { // each byte says how long what follows is; 0 is a gap
			n := int(b[0])
			b = b[1:]
			if n == 0 {
				gap := time.Duration(b[0]) * 2500 * time.Microsecond
				if err := w.Gap(gap); err != nil {
					t.Fatal(err)
				}
				total += gap
				continue
			}
			packet := bytes.Repeat(b[:min(n, len(b))], 1+n%5)
			b = b[min(n, len(b)):]
			if err := w.Write(packet); (err != nil) != (Duration(packet) == 0) {
				t.Fatalf("%x: %v", packet, err)
			} else if err == nil {
				want = append(want, packet)
				total += Duration(packet)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		got, length, err := all(bytes.NewReader(out.Bytes()))
		if !errors.Is(err, io.EOF) || length != total {
			t.Fatalf("%v of %v, then %v", length, total, err)
		}
		if got = slices.DeleteFunc(got, func(p []byte) bool { return len(p) == 1 }); !slices.EqualFunc(got,
			slices.DeleteFunc(want, func(p []byte) bool { return len(p) == 1 }), bytes.Equal) {
			t.Fatal("other packets came back than were written")
		}
		_, granules, _ := pagesOf(t, out.Bytes())
		if end := granules[len(granules)-1]; end != samples(total) {
			t.Fatalf("the stream ends at %d, not %d", end, samples(total))
		}
	})
}
