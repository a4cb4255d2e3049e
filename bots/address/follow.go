package address

import "slices"

// maxFollowUp is how many words a follow-up has at most: what is longer says by itself whom it is for.
const maxFollowUp = 25

// maxCue is how many words a follow-up has at most that is neither a question nor a wish: "shorter", "plus court".
const maxCue = 5

// followsUp reports whether a message reads like a follow-up on an answer. asked says that the answer ended by a
// question; others that another person has spoken since, so that only an unmistakable follow-up counts.
func (s speech) followsUp(asked, others bool) bool {
	if s.crowd || s.courtesy() || s.wordCount() > maxFollowUp || s.namesSomebody() {
		return false
	}
	if asked && s.wordCount() <= 3 && isWord(s.sentences[0].tokens, 0, yesNo) {
		return true
	}
	last := s.sentences[len(s.sentences)-1]
	cue := begunByCue(s.sentences[0].tokens)
	if others {
		return cue && last.question
	}
	please := isWord(last.tokens, len(last.tokens)-1, pleases)
	if last.question || (cue || please) && s.wordCount() <= maxCue {
		return true
	}
	return slices.ContainsFunc(s.sentences, asks)
}

// begunByCue reports whether a sentence begins, after words such as "ok", like something that goes on.
func begunByCue(tokens []token) bool {
	for i := range tokens {
		if isWord(tokens, i, follows) {
			return true
		}
		if tokens[i].word && !isWord(tokens, i, openers) {
			return false
		}
	}
	return false
}

// namesSomebody reports whether a person is named anywhere.
func (s speech) namesSomebody() bool {
	return anywhere(s.names, s.sentences, func(n name) bool { return n.bot < 0 })
}

func (s speech) wordCount() int {
	n := 0
	for _, line := range s.sentences {
		for _, t := range line.tokens {
			if t.word {
				n++
			}
		}
	}
	return n
}

// endsByQuestion reports whether the last sentence of a text is a question.
func endsByQuestion(text string) bool {
	lines := sentences(mask(visible(text)))
	return len(lines) > 0 && lines[len(lines)-1].question
}
