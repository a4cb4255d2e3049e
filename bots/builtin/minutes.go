package builtin

import (
	"slices"
	"strings"
	"time"

	"confab/bots/tool"
)

// A remark is one sentence of a person's message.
type remark struct {
	tool.Quote
	sentence string
	words    []string
	terms    []string
	question bool
}

// A talk is what people said to each other in a span of messages: no bots, and nothing that was said to one.
type talk struct {
	messages []tool.Quote
	remarks  []remark
	people   []string // names, by their first message
}

// talkOf reads messages. What was said to bots is left out, and so is the question that is being answered.
func (t *turn) talkOf(messages []tool.Quote) talk {
	var k talk
	bots := []string{t.Name, t.Persona}
	for _, m := range messages {
		if m.Bot && !slices.Contains(bots, m.Name) {
			bots = append(bots, m.Name)
		}
	}
	for _, m := range messages {
		if m.Bot || toBot(m.Text, bots) || t.isQuestion(m) {
			continue
		}
		k.messages = append(k.messages, m)
		if !slices.Contains(k.people, m.Name) {
			k.people = append(k.people, m.Name)
		}
		for _, s := range split(spoken(m.Text)) {
			k.remarks = append(k.remarks, remark{m, s, wordsOf(s), terms(s), strings.HasSuffix(s, "?") || strings.HasSuffix(s, "؟")})
		}
	}
	return k
}

// toBot reports whether a message calls a bot at its start, or mentions one.
func toBot(text string, bots []string) bool {
	text = strings.TrimSpace(text)
	called := calling().FindString(text)
	for _, name := range bots {
		if name == "" {
			continue
		}
		if rest, ok := cutName(text[len(called):], name); ok && (rest == "" || strings.ContainsAny(rest[:1], ",:?!") || called != "" || text[0] == '@') {
			return true
		}
		if i := strings.Index(strings.ToLower(text), "@"+strings.ToLower(name)); i >= 0 {
			return true
		}
	}
	return false
}

// isQuestion reports whether a message is the question itself.
func (t *turn) isQuestion(m tool.Quote) bool {
	return t.Seq != 0 && m.Seq == t.Seq || t.Seq == 0 && t.text != "" && m.Name == t.Asker && t.clean(m.Text) == t.text
}

var (
	declared = lazy(`(?i)^(?:decision|beschluss|entscheidung|décision|decisión|القرار|قرار)\s*[:：]\s*\S`)
	decision = lazy(`(?i)\b(?:we|we've|we have|it's|it is|has been|have been|was|were|team|everybody|everyone|all)\s+(?:now |finally |just |all |both )?(?:have |has )?(?:decided|agreed|settled|approved|chosen)\b|` +
		`\b(?:we|we'll|we will|let's|lets)\s+(?:will |then )?(?:go|ship|use|keep|make it|meet|postpone|move|drop|cancel|adopt|choose|pick|stick|launch|freeze|switch)\b|` +
		`^(?:agreed|approved|decided|settled)\s*[:,–-]\s*\S|` +
		`\bfinal decision\b|\bwir (?:haben (?:uns )?)?.{0,40}\b(?:beschlossen|entschieden|geeinigt)\b|\bon a décidé|\bnous avons décidé|\bhemos decidido\b|\bdecidimos\b|قررنا|اتفقنا`)
	noDecision = lazy(`(?i)\b(?:not|never|haven't|hasn't|didn't|don't|can't|cannot|should|could|maybe|perhaps|might|if|before|until|unless|nobody|nothing) (?:we |been |yet |have |to )*(?:decided?|agreed?|settled?|ship|go|use|meet|move|postpone)\b|\b(?:haven't|have not|hasn't|not yet|nothing (?:is|was|has been)|nicht|pas encore|todavía no)\b|\bto be decided\b|\b(?:if|unless|wenn|falls|si)\b|\b(?:should|could|might|would|can) we\b`)
	prefixed   = lazy(`(?i)^(?:action(?: items?)?|todo|to-do|task|ai|aufgabe|tâche|tarea|مهمة)\s*[:：]\s*(.+)`)
	own        = lazy(`(?i)^(?:(?:ok(?:ay)?|yes|sure|fine|right|and|so|then|alright|great|well|no problem|done)[,.!]*\s+)*(?:I'll|I’ll|I will|I am going to|I'm going to|I’m going to|I can take|I take|I'll take|ich werde|ich kümmere mich|je vais|voy a|سوف|سأ)\s*(.+)`)
	noAction   = lazy(`(?i)^(?:be (?:back|there|late|right|away|out|gone|quick|honest|happy|ok|fine|offline)|see|say|have to go|never|not |think|wait|join|leave|try to be|know|get (?:a|some|back|going)|miss|check in later|guess|admit|just say|go (?:now|first|get))`)
	request    = lazy(`(?i)^[,:]?\s*(?:(?:can|could|would|will) you(?: please)?|please)\s+(.+)`)
	assigned   = lazy(`(?i)^\s+(?:will|is going to|has to|to|should|takes over|takes care of|is responsible for|owns|wird|übernimmt|va|se encarga de)\s+(.+)`)
	due        = lazy(`(?i)\b(?:(?:by|until|till|before|due|on|bis|avant|antes del?)\s+((?:next |this )?(?:monday|tuesday|wednesday|thursday|friday|saturday|sunday)(?: (?:morning|noon|afternoon|evening|night))?|tomorrow(?: (?:morning|noon|afternoon|evening))?|today|tonight|noon|midnight|eod|(?:the )?end of (?:the )?(?:day|week|month|year)|next (?:week|month)|montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonntag|morgen|lundi|mardi|mercredi|jeudi|vendredi|demain|lunes|martes|miércoles|jueves|viernes|mañana|\d{1,2}(?::\d\d)?\s?(?:am|pm|o'clock)|\d{1,2}:\d\d|\d{4}-\d\d-\d\d|\d{1,2}\.\d{1,2}\.(?:\d{2,4})?|(?:the )?\d{1,2}(?:st|nd|rd|th)?(?: of)? (?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]* \d{1,2}(?:st|nd|rd|th)?|the \d{1,2}(?:st|nd|rd|th))|(tomorrow|tonight|next (?:week|month)))\b`)
)

// decisive are the words of which a decision has one: most sentences have none, and need no closer look.
var decisive = onceSet(`decided agreed settled approved chosen decision go ship use keep make meet postpone move drop cancel adopt choose pick stick launch
 freeze switch beschlossen entschieden geeinigt décidé decidido decidimos قررنا اتفقنا`)

// An action is something that somebody shall do.
type action struct {
	remark
	owner string
	what  string
	due   string // in words; empty = none was said
}

// decisions returns the sentences that say what was decided.
func (k talk) decisions() []remark {
	var found []remark
	for _, r := range k.remarks {
		if r.decides() {
			found = append(found, r)
		}
	}
	return found
}

// decides reports whether a sentence says what was decided: as such, or as people say it.
func (r remark) decides() bool {
	return declared().MatchString(r.sentence) ||
		!r.question && slices.ContainsFunc(r.words, func(w string) bool { return decisive()[w] }) && len(strings.Fields(r.sentence)) >= 2 && decision().MatchString(r.sentence) && !noDecision().MatchString(r.sentence)
}

// actions returns who shall do what.
func (k talk) actions() []action {
	var found []action
	for _, r := range k.remarks {
		if a, ok := k.action(r); ok {
			found = append(found, a)
		}
	}
	return found
}

func (k talk) action(r remark) (action, bool) {
	if m := prefixed().FindStringSubmatch(r.sentence); m != nil {
		owner, what := k.assignee(m[1])
		if owner == "" {
			owner, what = k.leading(m[1])
		}
		return k.newAction(r, owner, what)
	}
	if m := own().FindStringSubmatch(r.sentence); m != nil {
		if r.question || noAction().MatchString(m[1]) || len(strings.Fields(m[1])) < 2 {
			return action{}, false
		}
		return k.newAction(r, r.Name, m[1])
	}
	if owner, what := k.assignee(r.sentence); owner != "" {
		return k.newAction(r, owner, what)
	}
	return action{}, false
}

// assignee reads "Ben will send the slides", "Ben, can you send the slides?", "@Ben please send the slides".
func (k talk) assignee(sentence string) (owner, what string) {
	for _, name := range k.people {
		for _, form := range []string{name, firstName(name)} {
			rest, ok := cutName(sentence, form)
			if !ok {
				continue
			}
			if m := request().FindStringSubmatch(rest); m != nil {
				return name, m[1]
			}
			if m := assigned().FindStringSubmatch(rest); m != nil && !noAction().MatchString(m[1]) && !strings.HasSuffix(sentence, "?") {
				return name, m[1]
			}
			rest = strings.TrimLeft(rest, ": -–")
			if rest != "" && strings.HasPrefix(sentence[len(sentence)-len(rest)-2:], ": ") && !strings.HasSuffix(rest, "?") && due().MatchString(rest) {
				return name, rest // "Ben: slides by Friday"
			}
		}
	}
	return "", ""
}

// leading reads "Ben writes the notes", where it is known that this is an action.
func (k talk) leading(sentence string) (owner, what string) {
	for _, name := range k.people {
		for _, form := range []string{name, firstName(name)} {
			if rest, ok := cutName(sentence, form); ok {
				return name, strings.TrimLeft(rest, " ,:–-")
			}
		}
	}
	return "", sentence
}

func firstName(name string) string {
	first, _, _ := strings.Cut(strings.TrimSpace(name), " ")
	return first
}

func (k talk) newAction(r remark, owner, what string) (action, bool) {
	a := action{remark: r, owner: owner, what: strings.TrimRight(what, " .!?…")}
	if m := due().FindStringSubmatch(a.what); m != nil {
		a.due = m[1] + m[2]
		if at, ok := dayNamed(a.due, r.Time); ok {
			a.due += " (" + at.Format("2 Jan") + ")"
		}
	}
	return a, len(strings.Fields(a.what)) >= 2
}

// dayNamed is the next day of a name after a time.
func dayNamed(name string, from time.Time) (time.Time, bool) {
	name = strings.ToLower(strings.TrimPrefix(strings.TrimPrefix(strings.ToLower(name), "this "), "next "))
	if strings.HasPrefix(name, "tomorrow") {
		return from.AddDate(0, 0, 1), true
	}
	for ahead := 1; ahead <= 7; ahead++ {
		at := from.AddDate(0, 0, ahead)
		if day, _, _ := strings.Cut(name, " "); strings.EqualFold(at.Weekday().String(), day) {
			return at, true
		}
	}
	return time.Time{}, false
}

const (
	answerWithin = 6                // messages of others after a question, among which an answer is looked for
	answerTime   = 15 * time.Minute // after which nobody answers any more without saying to what
	promptly     = 2 * time.Minute  // what another says next in this time is taken for the answer
)

var reply = lazy(`(?i)^(?:yes|no|yeah|yep|nope|ok|okay|sure|agreed|right|correct|exactly|i (?:think|guess|will|can|do|did|have)|i'll|maybe|not yet|none|ja|nein|oui|non|sí|نعم|لا)\b`)

// open begins a question that yes or no does not answer.
var open = lazy(`(?i)^(?:(?:and|so|but|ok|okay|then|also)[, ]+)*(?:who|whom|whose|what|which|where|when|why|how|wer|was|wann|warum|wie|welche|qui|quoi|quand|comment|quién|qué|cuándo|cómo)\b`)

// openQuestions returns the questions that nobody has answered, as far as can be seen: by a reply, promptly, by a word
// like yes or no, or by something said of the same.
func (k talk) openQuestions(actions []action) []remark {
	var found []remark
	for i, r := range k.remarks {
		isAction := slices.ContainsFunc(actions, func(a action) bool { return a.Seq == r.Seq && a.sentence == r.sentence })
		if r.question && !isAction && len(strings.Fields(r.sentence)) >= 3 && !k.answered(r, k.remarks[i+1:]) {
			found = append(found, r)
		}
	}
	return found
}

func (k talk) answered(q remark, later []remark) bool {
	wants := open().MatchString(q.sentence) // more than yes or no
	near, last := 0, uint64(0)
	for _, r := range later {
		if r.Name == q.Name {
			continue
		}
		if r.To == q.Seq {
			return true
		}
		if r.Seq != last {
			near, last = near+1, r.Seq
		}
		if near > answerWithin || r.Time.Sub(q.Time) > answerTime || r.To != 0 || r.question {
			continue
		}
		if near == 1 && r.Time.Sub(q.Time) < promptly && len(strings.Fields(r.sentence)) >= 3 {
			return true
		}
		if !wants && near <= 2 && reply().MatchString(r.sentence) || slices.ContainsFunc(r.terms, func(w string) bool { return slices.Contains(q.terms, w) }) {
			return true
		}
	}
	return false
}

// A topic is what several messages are about.
type topic struct {
	words string
	count int // messages
	first tool.Quote
}

// topics returns the pairs of words and the words that most messages share, the most first.
func (k talk) topics(limit int) []topic {
	found := map[string]*topic{}
	shown := map[string]string{} // by stems, as it was written first
	for _, m := range k.messages {
		for key, words := range phrases(spoken(m.Text)) {
			if found[key] == nil {
				found[key] = &topic{first: m}
				shown[key] = words
			}
			found[key].count++
		}
	}
	var all []topic
	for key, p := range found {
		if p.count >= 2 {
			p.words = shown[key]
			all = append(all, *p)
		}
	}
	slices.SortFunc(all, func(a, b topic) int {
		// A pair of words says more than each of them.
		if d := weight(b) - weight(a); d != 0 {
			return d
		}
		if a.first.Seq != b.first.Seq {
			return int(a.first.Seq) - int(b.first.Seq)
		}
		return strings.Compare(a.words, b.words)
	})
	return distinct(all, limit)
}

func weight(p topic) int { return p.count * (1 + 2*strings.Count(p.words, " ")) }

// distinct leaves out topics whose words another has.
func distinct(all []topic, limit int) []topic {
	var kept []topic
	for _, p := range all {
		words := terms(p.words)
		covered := slices.ContainsFunc(kept, func(k topic) bool {
			return slices.ContainsFunc(terms(k.words), func(w string) bool { return slices.Contains(words, w) })
		})
		if len(kept) < limit && !covered {
			kept = append(kept, p)
		}
	}
	return kept
}

// phrases returns the words of a text that say something, and the pairs of those that follow each other, by their stems.
func phrases(text string) map[string]string {
	all := map[string]string{}
	before, beforeStem := "", ""
	for _, w := range wordsOf(text) {
		if stopWords()[w] || len([]rune(w)) < 3 || atoi(w) > 0 {
			before, beforeStem = "", ""
			continue
		}
		s := stem(w)
		if len([]rune(w)) > 3 {
			all[s] = w
		}
		if before != "" && beforeStem != s {
			all[beforeStem+" "+s] = before + " " + w
		}
		before, beforeStem = w, s
	}
	return all
}
