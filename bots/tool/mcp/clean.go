package mcp

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean makes what a server says fit to be shown: UTF-8, without what changes how text looks or hides in it (control
// characters but tabs and line breaks, marks of direction, characters without width, tags), which people who approve
// a call do not see while a model reads it.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == utf8.RuneError, unicode.IsControl(r), unicode.Is(unicode.Cf, r) && r != zeroWidthJoiner, unicode.Is(unicode.Co, r):
			return -1
		case unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r), r >= 0xfff0 && r <= 0xfff8,
			unicode.Is(unicode.Variation_Selector, r) && r != emojiStyle && r != textStyle:
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, ""))
}

// What emoji are made of.
const (
	zeroWidthJoiner = '\u200d' // holds them together
	textStyle       = '\ufe0e'
	emojiStyle      = '\ufe0f'
)

// shorten cuts text to at most n bytes, at the end of a character.
func shorten(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// A scrubber takes what is secret out of texts.
type scrubber []string

// minSecret is how long a value must be to be taken out: shorter ones are words.
const minSecret = 6

func (s scrubber) scrub(text string) string {
	for _, secret := range s {
		if len(secret) >= minSecret {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	return text
}
