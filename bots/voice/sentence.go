package voice

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	minSentence = 12  // bytes; what is shorter is spoken with what follows, unless the line ends
	maxSentence = 600 // bytes; what is longer is cut at a pause
)

// What is said in the place of what cannot be listened to.
const (
	codeNote  = "There is code in the chat."
	tableNote = "There is a table in the chat."
)

// A sentence is what is spoken in one breath.
type sentence struct {
	text       string // as it is spoken
	begin, end int    // where it stands in the answer, in UTF-16 code units
}

// A splitter cuts an answer in Markdown into sentences while it comes.
type splitter struct {
	rest  string // not cut yet
	at    int    // where rest begins, in UTF-16 code units
	over  bool   // nothing follows
	mid   bool   // rest is not the beginning of a line
	fence string // of the block of code that rest is in; empty = none
	table bool   // the line before was of a table
}

// write takes the next piece and returns the sentences that are whole.
func (s *splitter) write(text string) []sentence {
	s.rest += text
	return s.cut()
}

// end returns what is left.
func (s *splitter) end() []sentence {
	s.over = true
	return s.cut()
}

func (s *splitter) cut() (all []sentence) {
	for s.rest != "" {
		begin := s.at
		text, ok := s.next()
		if !ok {
			return all
		}
		if text = plain(text); text != "" {
			all = append(all, sentence{text: text, begin: begin, end: s.at})
		}
	}
	return all
}

// next takes the next sentence, or a line that is none, which is empty then. False: more must come first.
func (s *splitter) next() (text string, ok bool) {
	line, whole := s.line()
	switch {
	case s.fence != "":
		return "", s.takeLine(line, whole, func() {
			if strings.HasPrefix(strings.TrimSpace(line), s.fence) {
				s.fence = ""
			}
		})
	case s.mid:
		return s.sentence(line, whole)
	case !whole && undecided(line):
		return "", false
	}
	start := strings.TrimLeft(line, " \t")
	switch {
	case strings.HasPrefix(start, "```") || strings.HasPrefix(start, "~~~"):
		if !s.takeLine(line, whole, func() { s.fence = start[:3] }) {
			return "", false
		}
		return codeNote, true
	case strings.HasPrefix(start, "|"):
		before := s.table
		if !s.takeLine(line, whole, func() { s.table = true }) {
			return "", false
		}
		if before {
			return "", true
		}
		return tableNote, true
	}
	s.table = false
	s.take(len(blockMarks.FindString(line)))
	s.mid = true
	return "", true
}

// line returns the line that rest begins with, and whether all of it has come.
func (s *splitter) line() (line string, whole bool) {
	if i := strings.IndexByte(s.rest, '\n'); i >= 0 {
		return s.rest[:i+1], true
	}
	return s.rest, s.over
}

// takeLine takes a whole line.
func (s *splitter) takeLine(line string, whole bool, then func()) bool {
	if whole {
		then()
		s.take(len(line))
	}
	return whole
}

// take moves behind the next n bytes.
func (s *splitter) take(n int) {
	s.at += utf16Length(s.rest[:n])
	s.mid = n > 0 && s.rest[n-1] != '\n'
	s.rest = s.rest[n:]
}

// blockMarks are what a line may begin with (CommonMark 0.31 sections 4.2, 5.1, 5.2): headings, quotes, lists, tasks.
var blockMarks = regexp.MustCompile(`^[ \t]*(?:(?:#{1,6}|>|[-*+]|\d{1,3}[.)])[ \t]+(?:\[[ xX]\][ \t]+)?)*`)

// undecided reports whether what comes may yet change what a line is.
func undecided(line string) bool {
	rest := line[len(blockMarks.FindString(line)):]
	return strings.Trim(rest, "#>-*+0123456789.)[xX] \t`~") == ""
}

// sentence takes the next sentence of a line.
func (s *splitter) sentence(line string, whole bool) (string, bool) {
	n := sentenceEnd(line)
	switch {
	case n > 0 && n <= maxSentence:
	case len(line) > maxSentence:
		n = pause(line[:maxSentence])
	case whole:
		n = len(line)
	default:
		return "", false
	}
	text := line[:n]
	s.take(n)
	return text, true
}

// ending is the end of a sentence, with the space behind it.
var ending = regexp.MustCompile("[.!?…]+[\"'”’»)\\]*_`]*\\s+|[。！？]+[」』”）]*")

// sentenceEnd returns how long the first sentence of text is, 0 when its end is not there.
func sentenceEnd(text string) int {
	for _, at := range ending.FindAllStringIndex(text, -1) {
		before := text[:at[0]]
		if at[1] >= minSentence && !abbreviates(before, text[at[0]:at[1]]) && !opensLink(text[:at[1]]) {
			return at[1]
		}
	}
	return 0
}

// abbreviations are words that a full stop does not end a sentence after.
var abbreviations = map[string]bool{
	"dr": true, "mr": true, "mrs": true, "ms": true, "prof": true, "st": true, "vs": true, "etc": true, "approx": true,
	"no": true, "fig": true, "ca": true, "bzw": true, "nr": true, "usw": true, "vgl": true, "str": true,
}

// abbreviates reports whether a full stop belongs to the word before it: to a letter, a number, or e.g. "e.g".
func abbreviates(before, mark string) bool {
	if !strings.HasPrefix(mark, ".") || strings.HasPrefix(mark, "..") {
		return false
	}
	word := before[strings.LastIndexFunc(before, func(r rune) bool { return unicode.IsSpace(r) || strings.ContainsRune("([\"'*_", r) })+1:]
	if utf8.RuneCountInString(word) == 1 || strings.Contains(word, ".") && utf8.RuneCountInString(word) <= 5 {
		return true
	}
	return abbreviations[strings.ToLower(word)] || word != "" && strings.Trim(word, "0123456789") == ""
}

// opensLink reports whether text ends within a link.
func opensLink(text string) bool {
	if strings.Count(text, "[") > strings.Count(text, "]") {
		return true
	}
	i := strings.LastIndex(text, "](")
	return i >= 0 && !strings.Contains(text[i:], ")")
}

// pause is where a text that is too long is cut.
func pause(text string) int {
	for _, marks := range []string{";:", ",", " \t"} {
		if i := strings.LastIndexAny(text, marks); i > len(text)/2 {
			return i + 1
		}
	}
	n := len(text)
	for !utf8.RuneStart(text[n-1]) {
		n--
	}
	return n - 1
}

// What Markdown writes and nobody says (CommonMark 0.31 section 6). Citations of messages name a time and a person; they
// are for those who read.
var (
	citation = regexp.MustCompile(`\s*\(?\[[^\]]*\]\(#m\d+\)\)?`)
	link     = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)
	address  = regexp.MustCompile(`<?https?://([^\s/<>?#]+)[^\s<>)]*>?`)
	tag      = regexp.MustCompile(`</?[a-zA-Z][^<>]*>`)
	emphasis = regexp.MustCompile("\\*+|~~|`+|\\b_+|_+\\b")
	escaped  = regexp.MustCompile("\\\\[!-/:-@\\[-`{-~]")
)

// private is where characters that are written with a backslash stand while marks are taken out.
const private = '\uE000'

// plain is what is said of a piece of Markdown; empty when that is nothing.
func plain(text string) string {
	text = escaped.ReplaceAllStringFunc(text, func(pair string) string { return string(private + rune(pair[1])) })
	text = citation.ReplaceAllString(text, "")
	text = link.ReplaceAllString(text, "$1")
	text = address.ReplaceAllString(text, "$1")
	text = tag.ReplaceAllString(text, "")
	text = emphasis.ReplaceAllString(text, "")
	text = strings.Map(func(r rune) rune {
		if r >= private && r < private+utf8.RuneSelf {
			return r - private
		}
		return r
	}, text)
	text = strings.Join(strings.Fields(text), " ")
	if !strings.ContainsFunc(text, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }) {
		return ""
	}
	return text
}

// utf16Length counts the UTF-16 code units of text.
func utf16Length(text string) int {
	n := 0
	for _, c := range text {
		n++
		if c > 0xffff {
			n++
		}
	}
	return n
}
