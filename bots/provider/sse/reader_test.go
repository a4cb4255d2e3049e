package sse

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
)

// An event as tests compare it.
type event struct{ typ, data string }

func readAll(in io.Reader) (events []event, err error) {
	r := NewReader(in)
	for {
		e, err := r.Next()
		if err != nil {
			return events, err
		}
		events = append(events, event{e.Type, string(e.Data)})
	}
}

func TestNext(t *testing.T) {
	tests := map[string]struct {
		stream string
		want   []event
		err    error
	}{
		"nothing":              {"", nil, io.EOF},
		"one":                  {"data: a\n\n", []event{{"message", "a"}}, io.EOF},
		"type":                 {"event: ping\ndata: {}\n\ndata: b\n\n", []event{{"ping", "{}"}, {"message", "b"}}, io.EOF},
		"no space":             {"event:x\ndata:a\n\n", []event{{"x", "a"}}, io.EOF},
		"one space is cut":     {"data:  a \n\n", []event{{"message", " a "}}, io.EOF},
		"CR LF":                {"event: x\r\ndata: a\r\n\r\ndata: b\r\n\r\n", []event{{"x", "a"}, {"message", "b"}}, io.EOF},
		"CR":                   {"data: a\r\rdata: b\r\r", []event{{"message", "a"}, {"message", "b"}}, io.EOF},
		"ends mixed":           {"data: a\r\ndata: b\rdata: c\n\r\n", []event{{"message", "a\nb\nc"}}, io.EOF},
		"more lines":           {"data: a\ndata:\ndata: b\n\n", []event{{"message", "a\n\nb"}}, io.EOF},
		"empty data":           {"data\n\ndata:\n\n", []event{{"message", ""}, {"message", ""}}, io.EOF},
		"comments":             {": hello\n\n:\ndata: a\n: between\n\n", []event{{"message", "a"}}, io.EOF},
		"fields of no use":     {"id: 1\nretry: 5\nfoo\nfoo: bar\ndata: a\n\n", []event{{"message", "a"}}, io.EOF},
		"a type without data":  {"event: x\n\ndata: a\n\n", []event{{"message", "a"}}, io.EOF},
		"colons in data":       {"data: a: b\n\n", []event{{"message", "a: b"}}, io.EOF},
		"byte order mark":      {"\ufeffdata: a\n\n", []event{{"message", "a"}}, io.EOF},
		"a mark further on":    {"data: a\n\n\ufeffdata: b\n\n", []event{{"message", "a"}}, io.EOF},
		"UTF-8":                {"data: für 日本 👩‍🔬\n\n", []event{{"message", "für 日本 👩‍🔬"}}, io.EOF},
		"blank lines":          {"\n\n\r\n\rdata: a\n\n\n\n", []event{{"message", "a"}}, io.EOF},
		"cut in a line":        {"data: a\n\ndata: b", []event{{"message", "a"}}, io.ErrUnexpectedEOF},
		"cut before the blank": {"data: a\n\ndata: b\n", []event{{"message", "a"}}, io.ErrUnexpectedEOF},
		"cut in a comment":     {"data: a\n\n: b", []event{{"message", "a"}}, io.ErrUnexpectedEOF},
		"cut after a comment":  {"data: a\n\n: b\n", []event{{"message", "a"}}, io.EOF},
	}
	for name, test := range tests {
		readers := map[string]io.Reader{
			"whole":        strings.NewReader(test.stream),
			"bytewise":     iotest.OneByteReader(strings.NewReader(test.stream)),
			"data and err": iotest.DataErrReader(strings.NewReader(test.stream)),
		}
		for how, in := range readers {
			t.Run(name+"/"+how, func(t *testing.T) {
				got, err := readAll(in)
				if !reflect.DeepEqual(got, test.want) || !errors.Is(err, test.err) {
					t.Errorf("%q, %v; want %q, %v", got, err, test.want, test.err)
				}
			})
		}
	}
}

// TestCarriageReturnEndsAtOnce: who ends lines with CR alone need not send more for its event to be seen.
func TestCarriageReturnEndsAtOnce(t *testing.T) {
	in, out := io.Pipe()
	defer in.Close()
	go func() {
		io.WriteString(out, "data: a\r\r") // and then nothing
	}()
	if e, err := NewReader(in).Next(); err != nil || string(e.Data) != "a" {
		t.Errorf("%q, %v", e.Data, err)
	}
}

func TestBounds(t *testing.T) {
	full := strings.Repeat("x", MaxLine-len("data: "))
	tests := map[string]struct {
		stream string
		want   error
	}{
		"a line at the bound":  {"data: " + full + "\n\n", nil},
		"a line over it":       {"data: " + full + "y\n\n", ErrTooLong},
		"a line without end":   {strings.Repeat("x", 2*MaxLine), ErrTooLong},
		"an event over it":     {strings.Repeat("data: "+strings.Repeat("x", MaxEvent/4)+"\n", 4) + "\n", ErrTooLong},
		"many lines, no bytes": {strings.Repeat("data\n", MaxEvent+2) + "\n", ErrTooLong},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := NewReader(strings.NewReader(test.stream)).Next(); !errors.Is(err, test.want) {
				t.Errorf("%v; want %v", err, test.want)
			}
		})
	}
}

// TestError keeps what the stream itself says.
func TestError(t *testing.T) {
	broken := errors.New("reset")
	got, err := readAll(io.MultiReader(strings.NewReader("data: a\n\ndata: b"), iotest.ErrReader(broken)))
	if len(got) != 1 || !errors.Is(err, broken) {
		t.Errorf("%q, %v", got, err)
	}
}

// FuzzReader holds that how a stream is cut into reads changes nothing, and that no event breaks a bound.
func FuzzReader(f *testing.F) {
	f.Add([]byte("event: message_start\r\ndata: {\"a\":1}\r\n\r\n: ping\n\ndata:x\ndata\n\n"), uint8(3))
	f.Add([]byte("\ufeffdata: [DONE]\r\r"), uint8(1))
	f.Fuzz(func(t *testing.T, stream []byte, size uint8) {
		whole, wholeErr := readAll(bytes.NewReader(stream))
		cut, cutErr := readAll(&slow{stream, int(size) + 1})
		if !reflect.DeepEqual(whole, cut) || wholeErr.Error() != cutErr.Error() {
			t.Errorf("%q, %v; in reads of %d: %q, %v", whole, wholeErr, int(size)+1, cut, cutErr)
		}
		for _, e := range whole {
			if len(e.data) > MaxEvent || strings.ContainsRune(e.data, '\r') {
				t.Errorf("an event of %d bytes: %q", len(e.data), e.data)
			}
		}
	})
}

// A slow reader gives a few bytes at a time.
type slow struct {
	rest []byte
	size int
}

func (s *slow) Read(into []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(into, s.rest[:min(s.size, len(s.rest))])
	s.rest = s.rest[n:]
	return n, nil
}
