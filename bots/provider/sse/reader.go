// Package sse reads event streams as servers of models send them (HTML, section 9.2 "Server-sent events").
//
// It knows what such servers use: the type and the data of events. IDs, retry times and reconnecting are left out,
// because an answer that was cut cannot be gone on with.
package sse

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// The bounds. The last event of an answer may repeat all of it, with the instructions and the tools.
const (
	MaxLine  = 1 << 20 // bytes, without the line's end
	MaxEvent = 1 << 20 // bytes of data, with the line breaks between its lines
)

// ErrTooLong says that a line or an event is larger than its bound.
var ErrTooLong = errors.New("event stream: too long")

const bufferSize = 4 << 10

// An Event is one of a stream.
type Event struct {
	Type string // "message" where the stream names none
	Data []byte // good until the next call of Next
}

// A Reader reads events. It is for one goroutine.
type Reader struct {
	in      *bufio.Reader
	line    []byte
	data    []byte
	started bool // a byte order mark can no longer come
	afterCR bool // a line feed that comes now belongs to the line before
}

// NewReader returns a Reader of in.
func NewReader(in io.Reader) *Reader { return &Reader{in: bufio.NewReaderSize(in, bufferSize)} }

// Next returns the next event that has data. An event counts when the blank line behind it has come.
//
// Errors: io.EOF when the stream ended between events, io.ErrUnexpectedEOF when it ended within one, ErrTooLong,
// what the stream itself says.
func (r *Reader) Next() (Event, error) {
	event := Event{Type: "message"}
	r.data = r.data[:0]
	hasData, within := false, false
	for {
		line, err := r.readLine()
		switch {
		case errors.Is(err, io.EOF) && within:
			return Event{}, io.ErrUnexpectedEOF
		case err != nil:
			return Event{}, err
		case len(line) == 0 && hasData:
			event.Data = r.data
			return event, nil
		case len(line) == 0:
			event.Type, within = "message", false
			continue
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "": // a comment, which keeps connections alive
		case "event":
			event.Type, within = string(value), true
		case "data":
			if hasData {
				r.data = append(r.data, '\n')
			}
			r.data = append(r.data, value...)
			hasData, within = true, true
			if len(r.data) > MaxEvent {
				return Event{}, fmt.Errorf("%w: an event of more than %d bytes", ErrTooLong, MaxEvent)
			}
		}
	}
}

// readLine returns the next line without its end, good until the next call. Lines end with CR LF, LF or CR; a CR ends
// its line at once, before it is known whether a LF follows. What stands behind the last line's end is no line.
func (r *Reader) readLine() ([]byte, error) {
	r.line = r.line[:0]
	for {
		if _, err := r.in.Peek(1); err != nil {
			if errors.Is(err, io.EOF) && len(r.line) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		chunk, _ := r.in.Peek(r.in.Buffered()) // all of it is there
		if r.afterCR {
			r.afterCR = false
			if chunk[0] == '\n' {
				r.in.Discard(1) //nolint:errcheck // it is buffered
				continue
			}
		}
		end := bytes.IndexAny(chunk, "\r\n")
		ended := end >= 0
		if !ended {
			end = len(chunk)
		}
		r.line = append(r.line, chunk[:end]...)
		if len(r.line) > MaxLine {
			return nil, fmt.Errorf("%w: a line of more than %d bytes", ErrTooLong, MaxLine)
		}
		if !ended {
			r.in.Discard(end) //nolint:errcheck // it is buffered
			continue
		}
		r.afterCR = chunk[end] == '\r'
		r.in.Discard(end + 1) //nolint:errcheck // it is buffered
		if !r.started {
			r.started = true
			return bytes.TrimPrefix(r.line, []byte("\ufeff")), nil
		}
		return r.line, nil
	}
}
