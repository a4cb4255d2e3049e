package address

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// fold returns text as names and words are compared: compatibility forms decomposed (UAX #15, NFKD), lower case,
// without accents, vowel signs of Arabic and Hebrew, and elongation. Marks that make another letter of one, as in the
// scripts of India, stay.
func fold(text string) string {
	var out strings.Builder
	out.Grow(len(text))
	for _, r := range norm.NFKD.String(text) {
		switch {
		case foldedAway(r):
		case r == 'ß' || r == 'ẞ':
			out.WriteString("ss")
		case r == '’' || r == 'ʼ' || r == '‘':
			out.WriteByte('\'')
		case r == 'ى': // alef maksura, which many type for yeh
			out.WriteRune('ي')
		case r == 'ة':
			out.WriteRune('ه')
		default:
			out.WriteRune(unicode.ToLower(r))
		}
	}
	return out.String()
}

func foldedAway(r rune) bool {
	return r >= 0x0300 && r <= 0x036F || // accents
		r >= 0x0591 && r <= 0x05C7 && unicode.Is(unicode.Mn, r) || // Hebrew points
		r >= 0x064B && r <= 0x065F || r == 0x0670 || r == 0x0640 || // Arabic vowel signs, hamza above, elongation
		invisible(r)
}

// visible returns valid UTF-8 without what cannot be seen, so that a zero-width character neither hides a mention nor
// makes the end of an e-mail address one.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if invisible(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(text, "\uFFFD"))
}

func invisible(r rune) bool {
	switch {
	case r == 0x034F || r == 0x115F || r == 0x1160 || r == 0x3164 || r == 0xFFA0: // joiner of graphemes, Hangul fillers
		return true
	case r >= 0xFE00 && r <= 0xFE0F || r >= 0xE0100 && r <= 0xE01EF: // variation selectors
		return true
	default:
		return unicode.Is(unicode.Cf, r)
	}
}
