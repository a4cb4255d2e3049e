package address

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// object stands for what was masked: something is there, but it addresses nobody.
const object = '\uFFFC'

// mask replaces code, quotes and links by object. It reads Markdown as CommonMark 0.31.2 has it (4.4 indented and 4.5
// fenced code, 5.1 quotes, 6.1 code spans, 6.3 links), but for one thing: a line after a quote is not part of it, since
// that is where people write what they have to say. It takes time linear in the text's length.
func mask(text string) string {
	m := masker{paragraph: make([]string, 0, 4)}
	for line := range strings.SplitSeq(text, "\n") {
		m.line(strings.TrimSuffix(line, "\r"))
	}
	m.flush()
	return m.out.String()
}

// A masker reads line by line. A paragraph is kept until it ends, since code spans may go over its lines.
type masker struct {
	out       strings.Builder
	paragraph []string
	fence     string // that is open; empty = none
	indented  bool   // the last line was indented code
}

func (m *masker) line(line string) {
	trimmed := strings.TrimLeft(line, " \t")
	switch {
	case m.fence != "":
		if closesFence(trimmed, m.fence) {
			m.fence = ""
		}
	case opensFence(trimmed) != "":
		m.fence = opensFence(trimmed)
		m.block()
	case trimmed == "":
		m.flush()
		m.out.WriteByte('\n')
		return // blank lines may stand within indented code
	case trimmed[0] == '>':
		m.block()
	case len(m.paragraph) == 0 && (strings.HasPrefix(line, "    ") || strings.HasPrefix(line[:len(line)-len(trimmed)], "\t")):
		m.block()
		m.indented = true
		return
	default:
		m.paragraph = append(m.paragraph, line)
	}
	m.indented = false
}

// block ends the paragraph and masks a block.
func (m *masker) block() {
	m.flush()
	if m.indented {
		return // it goes on
	}
	m.out.WriteRune(object)
	m.out.WriteByte('\n')
}

func (m *masker) flush() {
	if len(m.paragraph) == 0 {
		return
	}
	m.out.WriteString(maskInline(strings.Join(m.paragraph, "\n")))
	m.out.WriteByte('\n')
	m.paragraph = m.paragraph[:0]
}

// opensFence returns the fence that a line opens, also within a list; empty = none.
func opensFence(line string) string {
	line = strings.TrimLeft(line, "-+*0123456789.) \t")
	for _, c := range []string{"`", "~"} {
		rest := strings.TrimLeft(line, c)
		if run := len(line) - len(rest); run >= 3 && (c == "~" || !strings.Contains(rest, "`")) {
			return line[:run]
		}
	}
	return ""
}

func closesFence(line, fence string) bool {
	rest := strings.TrimLeft(line, fence[:1])
	return len(line)-len(rest) >= len(fence) && strings.TrimSpace(rest) == ""
}

// closers are the ends of quotations by their beginnings.
var closers = map[rune]string{'"': `"`, '“': `”"`, '„': `“”"`, '«': `»`, '»': `«`, '「': `」`, '『': `』`, '‹': `›`}

// inline masks within one paragraph.
type inline struct {
	text     string
	at       int // of what comes next
	out      []byte
	brackets []int          // where out has '[' that may begin a link
	ends     []int          // for the backticks at a place: where the code span that they open ends; 0 = nowhere
	missing  map[string]int // for a set of closing marks: there is none before this place
	noParen  bool           // no ')' comes any more
}

func maskInline(text string) string {
	p := inline{text: text, out: make([]byte, 0, len(text)), missing: map[string]int{}}
	if strings.Contains(text, "`") {
		p.ends = spans(text)
	}
	for p.at < len(text) {
		p.next()
	}
	return string(p.out)
}

// spans finds the code spans (CommonMark 6.1): a run of backticks ends at the next run of its length.
func spans(text string) []int {
	ends := make([]int, len(text))
	after := map[int]int{} // by length of a run: where the next such run ends
	for i := len(text); i > 0; {
		if text[i-1] != '`' {
			i--
			continue
		}
		end := i
		for i > 0 && text[i-1] == '`' {
			i--
		}
		ends[i] = after[end-i]
		after[end-i] = end
	}
	return ends
}

func (p *inline) next() {
	r, size := utf8.DecodeRuneInString(p.text[p.at:])
	rest := p.text[p.at:]
	switch {
	case strings.HasPrefix(rest, `\@`): // written so in order not to be a mention
		p.mask(len(p.out), p.at+2)
	case r == '\\' && len(rest) > 1 && rest[1] < utf8.RuneSelf:
		p.copy(2)
	case r == '`':
		p.backticks()
	case r == '<':
		p.angle()
	case r == '[':
		p.brackets = append(p.brackets, len(p.out))
		p.copy(1)
	case strings.HasPrefix(rest, "](") && len(p.brackets) > 0:
		p.link()
	case strings.HasPrefix(rest, "://"):
		p.url()
	case p.atWordStart() && (hasPrefixFold(rest, "www.") || hasPrefixFold(rest, "mailto:")):
		p.skipWord()
	case closers[r] != "" && p.atQuoteStart():
		p.quotation(r, size)
	default:
		p.copy(size)
	}
}

func (p *inline) copy(n int) {
	p.out = append(p.out, p.text[p.at:p.at+n]...)
	p.at += n
}

// mask says that what out has from begin on, and the text up to end, is masked.
func (p *inline) mask(begin, end int) {
	p.out = utf8.AppendRune(p.out[:begin], object)
	p.at = end
	for n := len(p.brackets); n > 0 && p.brackets[n-1] >= begin; n = len(p.brackets) {
		p.brackets = p.brackets[:n-1]
	}
}

func (p *inline) backticks() {
	if end := p.ends[p.at]; end > 0 {
		p.mask(len(p.out), end)
		return
	}
	for p.at < len(p.text) && p.text[p.at] == '`' {
		p.copy(1)
	}
}

// angle masks <https://...> and <name@host> (CommonMark 6.5), and tags.
func (p *inline) angle() {
	end := strings.IndexAny(p.text[p.at+1:], "<> \t\n")
	if end <= 0 || p.text[p.at+1+end] != '>' {
		p.copy(1)
		return
	}
	p.mask(len(p.out), p.at+end+2)
}

func (p *inline) link() {
	begin := p.brackets[len(p.brackets)-1]
	p.brackets = p.brackets[:len(p.brackets)-1]
	if p.noParen {
		p.copy(2)
		return
	}
	end := strings.IndexByte(p.text[p.at:], ')')
	if end < 0 {
		p.noParen = true
		p.copy(2)
		return
	}
	p.mask(begin, p.at+end+1)
}

// url masks scheme://... up to the next space.
func (p *inline) url() {
	begin := len(p.out)
	for begin > 0 && isSchemeByte(p.out[begin-1]) {
		begin--
	}
	if begin == len(p.out) {
		p.copy(3)
		return
	}
	p.out = p.out[:begin]
	p.skipWord()
}

func (p *inline) skipWord() {
	end := strings.IndexAny(p.text[p.at:], " \t\n")
	if end < 0 {
		end = len(p.text) - p.at
	}
	p.mask(len(p.out), p.at+end)
}

func isSchemeByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.'
}

func (p *inline) atWordStart() bool {
	r, _ := utf8.DecodeLastRune(p.out)
	return len(p.out) == 0 || !unicode.IsLetter(r) && !unicode.IsDigit(r)
}

func (p *inline) atQuoteStart() bool {
	r, _ := utf8.DecodeLastRune(p.out)
	return len(p.out) == 0 || unicode.IsSpace(r) || strings.ContainsRune("([-–—:,", r)
}

// quotation masks what stands in quotation marks on one line. A text that is one quotation as a whole is not masked.
func (p *inline) quotation(mark rune, size int) {
	closing := closers[mark]
	if p.at < p.missing[closing] {
		p.copy(size)
		return
	}
	rest := p.text[p.at+size:]
	end := strings.IndexAny(rest, closing+"\n")
	if end < 0 || rest[end] == '\n' {
		if end < 0 {
			end = len(rest)
		}
		p.missing[closing] = p.at + size + end
		p.copy(size)
		return
	}
	_, last := utf8.DecodeRuneInString(rest[end:])
	if strings.TrimSpace(p.text[:p.at]) == "" && strings.TrimSpace(rest[end+last:]) == "" {
		p.at += size
		return
	}
	p.mask(len(p.out), p.at+size+end+last)
}

func hasPrefixFold(text, prefix string) bool {
	return len(text) >= len(prefix) && strings.EqualFold(text[:len(prefix)], prefix)
}
