package address

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// A name is one by which a bot or a person goes, as words.
type name struct {
	words []string
	bot   int // index in Room.bots; -1 = a person
}

// isCue reports whether a name is a person's that is a cue word, too: Will and Can are named by mentions alone.
func (n name) isCue() bool {
	if n.bot >= 0 || len(n.words) > 1 {
		return false
	}
	return slices.ContainsFunc([]map[string]bool{auxiliaries, questions, imperatives, openers, greetings}, func(set map[string]bool) bool {
		return set[n.words[0]]
	})
}

// An index finds names by the words that they begin with.
type index struct {
	byFirst   map[string][]name
	spaceless []name // of one word, in a script without spaces: in mentions it may go on
	longest   int    // words of a name
}

func newIndex(bots []Bot, people []Person) index {
	x := index{byFirst: map[string][]name{}}
	for i, b := range bots {
		for _, text := range append([]string{b.Name, b.ID}, b.Aliases...) {
			x.add(text, i)
		}
	}
	for _, p := range people {
		x.add(p.Name, -1)
		if first, _, more := strings.Cut(strings.TrimSpace(p.Name), " "); more && utf8.RuneCountInString(first) > 2 {
			x.add(first, -1)
		}
	}
	return x
}

func (x *index) add(text string, bot int) {
	var words []string
	for _, s := range sentences(visible(text)) {
		for _, t := range s.tokens {
			if t.word {
				words = append(words, t.text)
			}
		}
	}
	if len(words) == 0 {
		return
	}
	n := name{words, bot}
	x.byFirst[words[0]] = append(x.byFirst[words[0]], n)
	x.longest = max(x.longest, len(words))
	if last, _ := utf8.DecodeLastRuneInString(words[0]); len(words) == 1 && spaceless(last) {
		x.spaceless = append(x.spaceless, n)
	}
}

// find returns the longest name that tokens begin with, and how many of them it takes; 0 = none. Bots go before people
// of the same name.
func (x *index) find(tokens []token) (found name, length int) {
	if len(tokens) == 0 || !tokens[0].word {
		return name{}, 0
	}
	first := tokens[0].text
	if tokens[0].mention {
		first = strings.TrimSuffix(first, "'s")
	}
	for _, n := range x.byFirst[first] {
		if len(n.words) > length && begins(n.words, tokens) && (tokens[0].mention || !n.isCue()) {
			found, length = n, len(n.words)
		}
	}
	if length > 0 || !tokens[0].mention {
		return found, length
	}
	for _, n := range x.spaceless {
		if strings.HasPrefix(first, n.words[0]) {
			return n, 1
		}
	}
	return name{}, 0
}

// begins reports whether tokens begin with words; the first is known to.
func begins(words []string, tokens []token) bool {
	if len(tokens) < len(words) {
		return false
	}
	for i := 1; i < len(words); i++ {
		if t := tokens[i]; !t.word || t.mention || t.text != words[i] {
			return false
		}
	}
	return true
}

// A speech is what a message says, masked, with the names in it.
type speech struct {
	names     *index
	sentences []sentence
	listed    []int // bots of the list of mentions that the text does not only name in code and quotes
	toPeople  bool  // it addresses a person
	crowd     bool  // it addresses everybody
	spoken    bool
}

// read parses a message.
func read(room *Room, m Message) speech {
	text := visible(m.Text)
	s := speech{names: &room.names, sentences: sentences(mask(text)), spoken: m.Spoken}
	if transcript(s) {
		s.sentences = nil
	}
	s.listed = s.list(room, m, text)
	s.toPeople = s.addressesPeople(room, m)
	s.crowd = slices.ContainsFunc(s.sentences, func(line sentence) bool { return slices.ContainsFunc(line.tokens, isCrowd) })
	return s
}

// transcript reports whether a text is a conversation that was pasted: lines that begin with different names and colons.
func transcript(s speech) bool {
	speakers := map[string]bool{}
	for _, line := range s.sentences {
		if !line.lineStart {
			continue
		}
		if n, length := s.names.find(line.tokens); length > 0 && isMark(line.tokens, length, ":") {
			speakers[strings.Join(n.words, " ")] = true
		}
	}
	return len(speakers) > 1
}

// list returns the bots in the list of mentions, but for those that the text mentions only where it addresses nobody.
func (s speech) list(room *Room, m Message, text string) []int {
	var bots []int
	for _, user := range m.Mentions {
		bot := room.byUser(user)
		if bot < 0 || slices.Contains(bots, bot) {
			continue
		}
		own := func(n name) bool { return n.bot == bot }
		if anywhere(s.names, sentences(text), own) && !anywhere(s.names, s.sentences, own) {
			continue
		}
		bots = append(bots, bot)
	}
	return bots
}

// anywhere reports whether sentences mention, by @ or not, a name that is wanted.
func anywhere(all *index, lines []sentence, wanted func(name) bool) bool {
	for _, line := range lines {
		for i := range line.tokens {
			if n, length := all.find(line.tokens[i:]); length > 0 && wanted(n) {
				return true
			}
		}
	}
	return false
}

// mentioned returns the bots that are explicitly mentioned, in order.
func (s speech) mentioned() []int {
	if s.spoken {
		return nil // an @ is a machine's
	}
	bots := slices.Clone(s.listed)
	for _, line := range s.sentences {
		for i, t := range line.tokens {
			if !t.mention {
				continue
			}
			if n, length := s.names.find(line.tokens[i:]); length > 0 && n.bot >= 0 && !slices.Contains(bots, n.bot) {
				bots = append(bots, n.bot)
			}
		}
	}
	return bots
}

// addressesPeople reports whether a message mentions a person, or calls one by name.
func (s speech) addressesPeople(room *Room, m Message) bool {
	for _, user := range m.Mentions {
		if room.byUser(user) < 0 {
			return true
		}
	}
	for _, line := range s.sentences {
		if slices.ContainsFunc(line.tokens, func(t token) bool { return t.mention }) {
			return true // of a bot, it would have been found before; of nobody, it is somebody who is not here
		}
		for _, n := range s.vocatives(line) {
			if n.bot < 0 {
				return true
			}
		}
	}
	return false
}

// called returns the bots that a sentence calls by name, in order.
func (s speech) called() []int {
	var bots []int
	for _, line := range s.sentences {
		names := s.vocatives
		if s.spoken {
			names = s.callAtStart
		}
		for _, n := range names(line) {
			if n.bot >= 0 && !slices.Contains(bots, n.bot) {
				bots = append(bots, n.bot)
			}
		}
	}
	return bots
}

// empty reports whether nothing is said but what is masked.
func (s speech) empty() bool {
	for _, line := range s.sentences {
		for _, t := range line.tokens {
			if t.word && t.text != string(object) {
				return false
			}
		}
	}
	return true
}
