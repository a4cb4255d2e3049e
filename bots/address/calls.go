package address

import (
	"slices"
	"strings"
)

func isWord(tokens []token, i int, set map[string]bool) bool {
	return i >= 0 && i < len(tokens) && tokens[i].word && !tokens[i].mention && set[tokens[i].text]
}

func isMark(tokens []token, i int, marks string) bool {
	return i >= 0 && i < len(tokens) && !tokens[i].word && strings.Contains(marks, tokens[i].text)
}

func isCrowd(t token) bool { return t.word && crowds[t.text] }

// vocatives returns whom a sentence calls, in order.
func (s speech) vocatives(line sentence) []name {
	if called := s.callAtStart(line); len(called) > 0 {
		return called
	}
	for i := range line.tokens {
		n, length := s.names.find(line.tokens[i:])
		if length > 0 && s.callsWithin(line, i, length) {
			return []name{n}
		}
	}
	return nil
}

// An opening is what stands before the names at the start of a sentence.
type opening struct {
	at       int  // of the first token after it
	words    int  // how many there are
	greeting bool // a greeting stands right before
	courtesy bool
}

func open(tokens []token) opening {
	var o opening
	for o.at < len(tokens) {
		switch {
		case !tokens[o.at].word:
			o.at++ // a list's dash, a bracket, a comma after "ok"
		case isWord(tokens, o.at, greetings):
			o = opening{o.at + 1, o.words + 1, true, o.courtesy}
		case isWord(tokens, o.at, courtesies) || o.courtesy && isWord(tokens, o.at, padding):
			o = opening{o.at + 1, o.words + 1, false, true}
		case isWord(tokens, o.at, openers) || o.greeting && isCrowd(tokens[o.at]):
			o = opening{o.at + 1, o.words + 1, false, o.courtesy}
		default:
			return o
		}
	}
	return o
}

// callAtStart reads "[hey] Scribe[, Librarian and Host][,] what did I miss?".
func (s speech) callAtStart(line sentence) []name {
	tokens := line.tokens
	o := s.opening(tokens)
	var called []name
	at := o.at
	for {
		n, length := s.names.find(tokens[at:])
		if length == 0 {
			return nil
		}
		called = append(called, n)
		at += length
		next := at
		for next < at+2 && (isMark(tokens, next, ",،、&") || isWord(tokens, next, ands)) {
			next++
		}
		if _, more := s.names.find(tokens[min(next, len(tokens)):]); next == at || more == 0 {
			break
		}
		at = next
	}
	if !calls(line, o, at) {
		return nil
	}
	return called
}

var ands = words("and und et y و or oder")

// opening returns what stands before the first name, which may itself be a word of openings.
func (s speech) opening(tokens []token) opening {
	o := open(tokens)
	for at := range min(o.at, len(tokens)) {
		if _, length := s.names.find(tokens[at:]); length > 0 {
			return open(tokens[:at])
		}
	}
	return o
}

// calls reports whether the names that end before at are called, by what stands around them.
func calls(line sentence, o opening, at int) bool {
	rest := sentence{tokens: line.tokens[at:], question: line.question}
	switch {
	case len(rest.tokens) == 0:
		hesitates := line.question && !isWord(line.tokens, 0, ands) // "um, Scribe?", but not "and Scribe?"
		return !o.courtesy && (o.words == 0 || o.greeting || hesitates)
	case isMark(rest.tokens, 0, ",،、:"):
		comma := rest.tokens[0].text != ":"
		rest.tokens = rest.tokens[1:]
		if o.courtesy {
			return asks(rest)
		}
		if comma {
			return !apposition(rest)
		}
		return len(rest.tokens) > 1 || asks(rest) // "host: localhost" is no call
	case isMark(rest.tokens, 0, "-–—"):
		rest.tokens = rest.tokens[1:]
		return asks(rest) && !apposition(rest)
	case isMark(rest.tokens, 0, ")]"):
		return false
	case asks(rest) && begunPlainly(rest.tokens):
		return true
	default:
		return o.greeting && !isWord(rest.tokens, 0, abouts)
	}
}

// begunPlainly reports whether a question or wish begins by a word that says so: without a comma after the name, a
// question mark alone may be about it ("Scribe down?").
func begunPlainly(tokens []token) bool {
	for _, set := range []map[string]bool{questions, imperatives, auxiliaries, requests, openers, articles} {
		if isWord(tokens, 0, set) {
			return true
		}
	}
	return false
}

// apposition reads "[Scribe,] our bot, was wrong".
func apposition(rest sentence) bool {
	if !isWord(rest.tokens, 0, articles) || rest.question {
		return false
	}
	for i := range rest.tokens {
		if isMark(rest.tokens, i, ",،-–—") && isWord(rest.tokens, i+1, abouts) {
			return true
		}
	}
	return false
}

// asks reports whether what follows a name, or stands alone, is a question or a wish.
func asks(rest sentence) bool {
	tokens := rest.tokens
	for len(tokens) > 0 && (!tokens[0].word || isWord(tokens, 0, openers) && !isWord(tokens, 0, imperatives) && !isWord(tokens, 0, questions)) {
		tokens = tokens[1:]
	}
	switch {
	case len(tokens) == 0:
		return false
	case isWord(tokens, 0, requests):
		return true
	case isWord(tokens, 0, auxiliaries) && isWord(tokens, 1, seconds):
		return rest.question || !isWord(tokens, 0, abouts) || isWord(tokens, 1, speakers)
	case tokens[0].text == "was" && len(tokens) > 1: // English, or the German question word
		return rest.question && isWord(tokens, 1, auxiliaries)
	case isWord(tokens, 0, imperatives):
		return !isWord(tokens, 1, copulas) && !(isWord(tokens, 0, abouts) && !rest.question)
	case isWord(tokens, 0, questions):
		return !isWord(tokens, 0, abouts) || rest.question
	default:
		return rest.question && !isWord(tokens, 0, abouts)
	}
}

// callsWithin reports whether the name at a place that is not the start of a sentence is called: "what did I miss,
// Scribe?", "when you have time, Scribe, list the decisions", and after a particle of calling.
func (s speech) callsWithin(line sentence, at, length int) bool {
	tokens := line.tokens
	if isWord(tokens, at-1, vocatives) {
		return at+length < len(tokens) || !s.courteous(line)
	}
	if at < 2 || !isMark(tokens, at-1, ",،、") || s.nameEnds(tokens, at-1) {
		return false
	}
	before := sentence{tokens: tokens[:at-1], question: line.question}
	if after := at + length; after < len(tokens) {
		return isMark(tokens, after, ",،、:") && !s.nameBegins(tokens, after+1) &&
			asks(sentence{tokens: tokens[after+1:], question: line.question})
	}
	return (asks(before) || line.question) && !s.courteous(before) && !s.nameBegins(tokens, open(tokens).at)
}

// nameEnds reports whether a name ends right before a place.
func (s speech) nameEnds(tokens []token, at int) bool {
	for begin := max(0, at-s.names.longest); begin < at; begin++ {
		if _, length := s.names.find(tokens[begin:at]); length > 0 && begin+length == at {
			return true
		}
	}
	return false
}

func (s speech) nameBegins(tokens []token, at int) bool {
	if at >= len(tokens) {
		return false
	}
	_, length := s.names.find(tokens[at:])
	return length > 0
}

// courteous reports whether a sentence is only thanks, praise or a farewell, to whomever.
func (s speech) courteous(line sentence) bool {
	courtesy := false
	for at := 0; at < len(line.tokens); {
		if _, length := s.names.find(line.tokens[at:]); length > 0 {
			at += length
			continue
		}
		switch {
		case isWord(line.tokens, at, courtesies):
			courtesy = true
		case line.tokens[at].word && !isWord(line.tokens, at, padding) && !isWord(line.tokens, at, openers) &&
			!isWord(line.tokens, at, vocatives):
			return false
		}
		at++
	}
	return courtesy
}

// courtesy reports whether a message is nothing but that.
func (s speech) courtesy() bool {
	return !slices.ContainsFunc(s.sentences, func(line sentence) bool { return !s.courteous(line) })
}
