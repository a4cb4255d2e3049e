package tool

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Plain writes what somebody said, or is called, so that Markdown shows it as it stands, on one line: no formatting, no
// link, no mention, no entity, no new line by which it could pass for something else; at most limit characters, with an
// ellipsis where it was cut; 0 = no limit.
func Plain(text string, limit int) string {
	words := oneLine(text)
	if limit > 0 && utf8.RuneCountInString(words) > limit {
		words = strings.TrimRight(string([]rune(words)[:limit]), " ") + "…"
	}
	var out strings.Builder
	out.Grow(len(words) + 8)
	for i, r := range words {
		if escaped(words, i, r) {
			out.WriteByte('\\')
		}
		out.WriteRune(r)
	}
	return out.String()
}

// Said is the reverse of Plain, as far as it can be: the text without its backslashes.
func Said(plain string) string {
	var out strings.Builder
	for i := 0; i < len(plain); i++ {
		if plain[i] == '\\' && i+1 < len(plain) && isPunctuation(plain[i+1]) {
			i++
		}
		out.WriteByte(plain[i])
	}
	return out.String()
}

// oneLine joins words by single spaces and leaves out what cannot be seen: control characters, and those that turn the
// direction of what follows (UAX #9), by which a text could be read in another order than it was written.
func oneLine(text string) string {
	visible := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r) || r == '\u2028' || r == '\u2029':
			return ' '
		case unicode.IsControl(r), r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069,
			r == 0x200B, r == 0x2060, r == 0xFEFF, r == utf8.RuneError, r >= 0xE0000 && r <= 0xE007F:
			return -1
		}
		return r
	}, text)
	return strings.Join(strings.Fields(visible), " ")
}

// escaped reports whether a character means something in Markdown (CommonMark 0.31.2, and GFM's autolinks) where it is.
func escaped(text string, i int, r rune) bool {
	switch r {
	case '\\', '`', '*', '_', '[', ']', '<', '>', '~', '|', '@', '&', '#':
		return true
	case '!':
		return strings.HasPrefix(text[i:], "![")
	case ':':
		return strings.HasPrefix(text[i:], "://") || endsFold(text[:i], "mailto")
	case '.':
		return endsFold(text[:i], "www") || isNumber(text[:i])
	case ')':
		return isNumber(text[:i])
	case '-', '+', '=':
		return i == 0
	}
	return false
}

func endsFold(text, end string) bool {
	return len(text) >= len(end) && strings.EqualFold(text[len(text)-len(end):], end)
}

// isNumber reports whether a text is what the number of a list's item may be.
func isNumber(text string) bool {
	return text != "" && len(text) <= 9 && strings.Trim(text, "0123456789") == ""
}

func isPunctuation(c byte) bool {
	return c > ' ' && c < utf8.RuneSelf && !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z')
}
