package address

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// A token is a word, or a mark between words.
type token struct {
	text    string // folded
	word    bool
	mention bool // a word after an @ that begins it
}

// A sentence is what stands between two ends of sentences.
type sentence struct {
	tokens    []token
	question  bool // it ends by a question mark
	lineStart bool // it begins a line
}

// sentences splits what is said, which has been masked, into sentences of words. Emphasis and pictographs are left out.
func sentences(text string) []sentence {
	s := splitter{lineStart: true}
	runes := fold(text)
	for at := 0; at < len(runes); {
		at += s.next(runes[at:])
	}
	s.end()
	return s.done
}

type splitter struct {
	done      []sentence
	tokens    []token
	question  bool
	lineStart bool // no sentence has ended on this line
}

// next takes one token and returns its length.
func (s *splitter) next(text string) int {
	r, size := utf8.DecodeRuneInString(text)
	switch {
	case r == '\n':
		s.end()
		s.lineStart = true
	case strings.ContainsRune("?؟", r):
		s.question = true
		s.end()
	case strings.ContainsRune(".!…;؛。", r):
		s.end()
	case r == '@' && strings.HasPrefix(text[size:], "@"):
		n := len(text) - len(strings.TrimLeft(text, "@")) // @@name is no mention
		s.tokens = append(s.tokens, token{text: "@"})
		return n + wordLength(text[n:])
	case r == '@' && wordLength(text[size:]) > 0:
		n := wordLength(text[size:])
		s.tokens = append(s.tokens, token{text: strings.TrimRight(text[size:size+n], "_'"), word: true, mention: true})
		return size + n
	case wordLength(text) > 0:
		n := wordLength(text)
		if word := strings.Trim(text[:n], "_'"); word != "" {
			s.tokens = append(s.tokens, token{text: word, word: true})
		}
		return n
	case unicode.IsSpace(r), r == '*', unicode.IsSymbol(r), unicode.IsMark(r):
	default:
		s.tokens = append(s.tokens, token{text: string(r)})
	}
	return size
}

func (s *splitter) end() {
	if len(s.tokens) == 0 {
		if n := len(s.done); s.question && n > 0 && !s.lineStart {
			s.done[n-1].question = true // "really!?"
		}
	} else {
		s.done = append(s.done, sentence{s.tokens, s.question, s.lineStart})
		s.lineStart = false
	}
	s.tokens, s.question = nil, false
}

// wordLength returns how long the word is that text begins with; 0 = none. What is glued to letters by one of .@/-'&:
// belongs to the word, so that scribe.example, a@b and scribe-bot are no names; so does what comes after # $ / \.
func wordLength(text string) int {
	n := 0
	if text != "" && strings.IndexByte(`#$/\~%&=+`, text[0]) >= 0 {
		n = 1
	}
	letters := 0
	for n+letters < len(text) {
		r, size := utf8.DecodeRuneInString(text[n+letters:])
		if isLetter(r) {
			letters += size
			continue
		}
		if letters == 0 || !strings.ContainsRune(".@/-'&\\", r) {
			break
		}
		after, _ := utf8.DecodeRuneInString(text[n+letters+size:])
		if !isLetter(after) {
			break
		}
		letters += size
	}
	if letters == 0 {
		return 0
	}
	return n + letters
}

func isLetter(r rune) bool {
	return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' || r == object ||
		unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Mc, r))
}

// spaceless reports whether a rune's script is written without spaces between words.
func spaceless(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar)
}
