package endpoint

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// A Raw is the text of a JSON string, bytes that are no UTF-8 and lone surrogates kept (the latter as three bytes each,
// as in WTF-8), where encoding/json puts U+FFFD. Servers that cut text into pieces by bytes or by UTF-16 units cut
// characters apart; the two halves make one again when the pieces are joined.
type Raw string

// UnmarshalJSON takes a string or null, which is empty.
func (r *Raw) UnmarshalJSON(literal []byte) error {
	if string(literal) == "null" {
		return nil
	}
	if len(literal) < 2 || literal[0] != '"' {
		return fmt.Errorf("a %q where a string is wanted", literal[:min(1, len(literal))])
	}
	*r = Raw(unquote(literal[1 : len(literal)-1]))
	return nil
}

var escapes = map[byte]byte{'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// unquote resolves the escapes of a JSON string that the scanner has taken (RFC 8259 section 7).
func unquote(in []byte) []byte {
	out := make([]byte, 0, len(in))
	for i := 0; i < len(in); i++ {
		if in[i] != '\\' || i+1 == len(in) {
			out = append(out, in[i])
			continue
		}
		i++
		if in[i] != 'u' || i+4 >= len(in) {
			if c, known := escapes[in[i]]; known {
				out = append(out, c)
			} else { // " \ /
				out = append(out, in[i])
			}
			continue
		}
		unit, _ := strconv.ParseUint(string(in[i+1:i+5]), 16, 16) // the scanner has looked
		i += 4
		out = appendUnit(out, rune(unit))
	}
	return out
}

// appendUnit adds a UTF-16 unit, which makes one character with a high surrogate just before it.
func appendUnit(out []byte, unit rune) []byte {
	if !utf16.IsSurrogate(unit) {
		return utf8.AppendRune(out, unit)
	}
	if high, ok := lastSurrogate(out); ok {
		if whole := utf16.DecodeRune(high, unit); whole != utf8.RuneError {
			return utf8.AppendRune(out[:len(out)-3], whole)
		}
	}
	return append(out, byte(0xe0|unit>>12), byte(0x80|unit>>6&0x3f), byte(0x80|unit&0x3f))
}

// lastSurrogate returns the high surrogate at the end of text.
func lastSurrogate[T string | []byte](text T) (rune, bool) {
	n := len(text)
	if n < 3 || text[n-3] != 0xed || text[n-2] < 0xa0 || text[n-2] > 0xaf || text[n-1]&0xc0 != 0x80 {
		return 0, false
	}
	return 0xd000 | rune(text[n-2]&0x3f)<<6 | rune(text[n-1]&0x3f), true
}

// A joiner makes UTF-8 of pieces of text, and holds back a character at the end that is not whole yet. The zero value
// is ready to use.
type joiner struct{ held string }

// join returns what can be said now.
func (j *joiner) join(piece Raw) string {
	text := string(piece)
	if j.held != "" {
		text = j.mend(text)
	}
	end := len(text) - unfinished(text)
	text, j.held = text[:end], text[end:]
	return valid(text)
}

// mend puts the held half of a surrogate pair and the other one at the beginning of text together.
func (j *joiner) mend(text string) string {
	high, ok := lastSurrogate(j.held)
	if ok && len(text) >= 3 && text[0] == 0xed && text[1] >= 0xb0 && text[1] <= 0xbf {
		low := 0xd000 | rune(text[1]&0x3f)<<6 | rune(text[2]&0x3f)
		if whole := utf16.DecodeRune(high, low); whole != utf8.RuneError {
			return string(whole) + text[3:]
		}
	}
	return j.held + text
}

// rest returns what is held back, of which nothing can come any more.
func (j *joiner) rest() string {
	text := valid(j.held)
	j.held = ""
	return text
}

// A Text is put together from pieces. The zero value is ready to use.
type Text struct {
	joiner joiner
	text   strings.Builder
}

// Add adds a piece.
func (t *Text) Add(piece Raw) { t.text.WriteString(t.joiner.join(piece)) }

// Len is how many bytes it has.
func (t *Text) Len() int { return t.text.Len() }

// Whole returns it, when no more comes.
func (t *Text) Whole() string { return t.text.String() + t.joiner.rest() }

// unfinished is how many bytes at the end of text may be the beginning of a character.
func unfinished(text string) int {
	if _, ok := lastSurrogate(text); ok {
		return 3
	}
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		tail := text[len(text)-n:]
		if utf8.RuneStart(tail[0]) {
			if utf8.FullRuneInString(tail) {
				return 0
			}
			return n
		}
	}
	return 0
}

// valid replaces each surrogate and each run of bytes that are no UTF-8 by U+FFFD.
func valid(text string) string { return strings.ToValidUTF8(text, "\ufffd") }

// cut shortens text to at most n bytes, at the end of a character.
func cut(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:max(n, 0)]
}

// An Object is the text of a JSON object that stands in a string, or as the object itself, as some compatible servers
// have it.
type Object Raw

// UnmarshalJSON takes a string, an object, or null, which is empty.
func (o *Object) UnmarshalJSON(literal []byte) error {
	if len(literal) > 0 && literal[0] == '{' {
		*o = Object(literal)
		return nil
	}
	return (*Raw)(o).UnmarshalJSON(literal)
}

var _ json.Unmarshaler = (*Object)(nil)
