package wire

import (
	"bytes"
	"unicode/utf8"
)

// This file reads the envelopes that clients really send, and the plainest chat messages, in one pass, a few times
// faster than encoding/json.
//
// It is a fast path and nothing more: it accepts a subset of JSON on which it yields exactly what encoding/json
// would, and says "don't know" to everything else, which then goes the slow way. So it can be wrong only by
// accepting too much, and FuzzScanEnvelope and FuzzScanChat look for that. Left to the slow way: escapes and bytes outside
// ASCII in names and ids, names in another case, repeated names, fields that only the server sets, null, data
// that is nested deeper than scanDepth, and everything that is malformed.

// scanDepth is how deep the data of an envelope may nest. Bodies of this protocol nest three deep.
const scanDepth = 16

// kinds finds a Kind for its name without allocating.
var kinds = func() map[string]Kind {
	m := make(map[string]Kind, len(Catalog))
	for _, entry := range Catalog {
		m[string(entry.Kind)] = entry.Kind
	}
	return m
}()

// A scanner stands before the byte i of s. Its methods report false for what is left to the slow way.
type scanner struct {
	s []byte
	i int
}

// scanEnvelope reads line into e and reports whether it did. If not, e is as far as it came.
func scanEnvelope(line []byte, e *Envelope) bool {
	p := scanner{s: line}
	p.space()
	if !p.byte('{') {
		return false
	}
	for first := true; ; first = false {
		p.space()
		if p.byte('}') {
			p.space()
			return p.i == len(p.s)
		}
		if !first && !p.byte(',') {
			return false
		}
		p.space()
		if !p.envelopeField(e) {
			return false
		}
	}
}

// envelopeField reads one name and its value.
func (p *scanner) envelopeField(e *Envelope) bool {
	name, ok := p.plain()
	if !ok || !p.colon() {
		return false
	}
	if string(name) == "data" {
		start := p.i
		if e.Data != nil || start >= len(p.s) || p.s[start] != '{' || !p.value(scanDepth) {
			return false
		}
		e.Data = p.s[start:p.i:p.i]
		return true
	}
	value, ok := p.plain()
	if !ok {
		return false
	}
	switch string(name) {
	case "type":
		return setOnce(&e.Type, kinds[string(value)])
	case "id":
		return setOnce(&e.ID, RequestID(value))
	case "room":
		return setOnce(&e.Room, RoomID(value))
	case "thread":
		return setOnce(&e.Thread, ThreadID(value))
	case "to":
		return setOnce(&e.To, ParticipantID(value))
	default:
		return false
	}
}

// scanChat reads the body of a chat message that has a text without escapes and nothing else, which is what nearly all
// are, and reports whether it did. If not, c is untouched.
func scanChat(data []byte, c *Chat) bool {
	p := scanner{s: data}
	p.space()
	if !p.byte('{') {
		return false
	}
	p.space()
	if name, ok := p.plain(); !ok || string(name) != "text" || !p.colon() {
		return false
	}
	start := p.i + 1
	if !p.text() {
		return false
	}
	text := data[start : p.i-1]
	p.space()
	if !p.byte('}') {
		return false
	}
	p.space()
	// encoding/json would put U+FFFD for what is not UTF-8.
	if p.i != len(data) || bytes.IndexByte(text, '\\') >= 0 || !utf8.Valid(text) {
		return false
	}
	c.Text = string(text)
	return true
}

// setOnce reports false for a repeated name, and for a type that is not in the catalog.
func setOnce[T ~string](field *T, value T) bool {
	if *field != "" {
		return false
	}
	*field = value
	return value != ""
}

func (p *scanner) space() {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\r', '\n': // RFC 8259 section 2
			p.i++
		default:
			return
		}
	}
}

func (p *scanner) byte(c byte) bool {
	if p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *scanner) colon() bool {
	p.space()
	ok := p.byte(':')
	p.space()
	return ok
}

// plain reads a string of ASCII without escapes. The slice aliases the line.
func (p *scanner) plain() ([]byte, bool) {
	start := p.i + 1
	if !p.text() {
		return nil, false
	}
	s := p.s[start : p.i-1]
	for _, c := range s {
		if c >= 0x80 || c == '\\' {
			return nil, false
		}
	}
	return s, true
}

// The methods below pass over a value and report whether it is well formed (RFC 8259). Like encoding/json they
// take any byte from 0x20 on in a string: whether it is UTF-8 is seen when the body is read.

func (p *scanner) value(depth int) bool {
	if p.i >= len(p.s) || depth == 0 {
		return false
	}
	switch p.s[p.i] {
	case '{':
		return p.list(true, '}', depth)
	case '[':
		return p.list(false, ']', depth)
	case '"':
		return p.text()
	case 't':
		return p.literal("true")
	case 'f':
		return p.literal("false")
	case 'n':
		return p.literal("null")
	default:
		return p.number()
	}
}

// list passes over the members of an object (named) or the elements of an array, up to end.
func (p *scanner) list(named bool, end byte, depth int) bool {
	p.i++ // the opening bracket
	for first := true; ; first = false {
		p.space()
		if p.byte(end) {
			return true
		}
		if !first && !p.byte(',') {
			return false
		}
		p.space()
		if named && (!p.text() || !p.colon()) || !p.value(depth-1) {
			return false
		}
	}
}

func (p *scanner) text() bool {
	if !p.byte('"') {
		return false
	}
	for p.i < len(p.s) {
		c := p.s[p.i]
		p.i++
		switch {
		case c == '"':
			return true
		case c < 0x20:
			return false
		case c == '\\' && !p.escape():
			return false
		}
	}
	return false
}

// escape reads what follows a backslash.
func (p *scanner) escape() bool {
	if p.i >= len(p.s) {
		return false
	}
	p.i++
	switch p.s[p.i-1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		for range 4 {
			if p.i >= len(p.s) || bytes.IndexByte([]byte("0123456789abcdefABCDEF"), p.s[p.i]) < 0 {
				return false
			}
			p.i++
		}
		return true
	default:
		return false
	}
}

func (p *scanner) literal(word string) bool {
	if !bytes.HasPrefix(p.s[p.i:], []byte(word)) {
		return false
	}
	p.i += len(word)
	return true
}

func (p *scanner) number() bool {
	p.byte('-')
	if !p.byte('0') && !p.digits() || p.byte('.') && !p.digits() {
		return false
	}
	if !p.byte('e') && !p.byte('E') {
		return true
	}
	if !p.byte('+') {
		p.byte('-')
	}
	return p.digits()
}

// digits reads one digit or more.
func (p *scanner) digits() bool {
	start := p.i
	for p.i < len(p.s) && '0' <= p.s[p.i] && p.s[p.i] <= '9' {
		p.i++
	}
	return p.i > start
}
