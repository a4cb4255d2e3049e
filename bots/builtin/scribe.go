package builtin

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"confab/bots/tool"
)

func scribe() skill {
	return skill{
		name: Scribe,
		can:  "minutes, decisions, action items, open questions, topics, a summary (“of the last hour”, “since 10:05”), or what you missed.",
		intents: []intent{
			on(`\bminutes\b|\bprotocol\b|\bprotokoll\b|\bmeeting notes\b|\bprocès-verbal\b|\bacta\b|محضر`, minutes),
			//nolint:misspell // some of it is not English
			on(`\bdecisions?\b|\b(?:what|which|anything|was haben wir|qu'est-ce qu'on a|qué)\b.{0,30}\b(?:decide|decided|agree|agreed|settled|beschlossen|entschieden|décidé|decidimos|decidido)\b|\bbeschlüsse?\b|\bdécisions\b|\bdecisiones\b|القرارات`, decisions),
			on(`\baction (?:items?|points?)\b|\bto-?dos?\b|\btasks?\b|\bnext steps\b|\bwho (?:does|is doing|will do|has to do|owns) what\b|\bwhat (?:do|should|must) i (?:have to |need to )?do\b|\bmy (?:tasks|actions)\b|\baufgaben\b|\btâches\b|\btareas\b|المهام`, actionItems),
			on(`\bopen (?:questions?|points?|issues?)\b|\bunanswered\b|\bwhat(?:'s| is) (?:still )?open\b|\boffene(?:n)? (?:fragen|punkte)\b|\bquestions (?:en suspens|ouvertes)\b|\bpreguntas abiertas\b|الأسئلة المفتوحة`, openQuestions),
			on(`\bmiss(?:ed)?\b|\bcatch me up\b|\bcatch up\b|\bfill me in\b|\bwhat happened\b|\bwhat(?:'s| is) new\b|\bwhat did (?:you|they|everyone|everybody|the others) (?:talk|discuss)\b|\bwas habe ich verpasst\b|\bmanqué|\braté|\bme perdí|فاتني`, missed),
			on(`\btopics?\b|\bwhat (?:did|do|are|have|were) (?:we|they|you|people) (?:all )?(?:talk|discuss|been talking|talking|discussing)|\bwhat(?:'s| is| was) (?:this|it|the (?:talk|meeting|call|chat)) (?:all )?about\b|\bthemen\b|\bsujets\b|\btemas\b|المواضيع`, topics),
			on(`\bsumm?ar(?:y|ies|i[sz]e|i[sz]ing)\b|\brecap\b|\btl;?dr\b|\bsum (?:it |this |that )?up\b|\bwrap (?:it |this )?up\b|\bin short\b|\bsummary\b|\bzusammenfass|\bfasse?\b.*\bzusammen\b|\brésum|\bresum|ملخص|لخص|تلخيص`, summary),
			on(`^(?:please )?(?:note|write (?:this|that|it)? ?down|remember|record|put (?:this|that)|notier|merk|note[rz]?|apunta|سجل)\b`, noted),
		},
	}
}

// span reads the messages that a question is about.
func (t *turn) span(otherwise period) (talk, period, *tool.Messages, error) {
	p := periodOf(t.text, t.Now)
	if p.label == "" {
		p = otherwise
	}
	found, err := use[tool.Messages](t, tool.ReadMessages, p.input())
	if err != nil {
		return talk{}, p, nil, err
	}
	if found.LeftOut {
		p.label = "in the newest messages"
	}
	return t.talkOf(found.Messages), p, &found, nil
}

// silent is what there is to say about a span in which nobody said anything.
func silent(p period) string {
	if p.label == "" {
		return "Nobody has said anything here yet."
	}
	return "Nobody has said anything " + p.label + "."
}

var someMinutes = lazy(`(?i)\b(?:\d+|few|couple of|ten|fifteen|twenty|thirty|forty|five|two|three) minutes\b`)

func minutes(t *turn, m []string) (string, error) {
	if strings.EqualFold(m[0], "minutes") && !strings.Contains(strings.ToLower(someMinutes().ReplaceAllString(t.text, "")), "minutes") {
		return "", errNotThis // a time
	}
	k, p, _, err := t.span(period{})
	if err != nil {
		return "", err
	}
	if len(k.messages) == 0 {
		return silent(p), nil
	}
	actions := k.actions()
	parts := []string{t.heading("Minutes", k)}
	parts = append(parts, t.section("Topics", t.topicLines(k.topics(5)), "")...)
	parts = append(parts, t.section("Decisions", t.quoteLines(k.decisions()), "none that I could recognise")...)
	parts = append(parts, t.section("Action items", t.actionLines(actions), "none that I could recognise")...)
	parts = append(parts, t.section("Open questions", t.quoteLines(k.openQuestions(actions)), "none")...)
	return strings.Join(parts, "\n"), nil
}

// heading says when, by whom and how much was said.
func (t *turn) heading(title string, k talk) string {
	first, last := k.messages[0], k.messages[len(k.messages)-1]
	var names []string
	for _, n := range k.people[:min(len(k.people), 8)] {
		names = append(names, tool.Plain(n, 40))
	}
	if more := len(k.people) - len(names); more > 0 {
		names = append(names, counted(more, "other"))
	}
	return fmt.Sprintf("**%s** · %s to %s · %s · %s", title, t.clock(first.Time), t.clock(last.Time), listed(names), counted(len(k.messages), "message"))
}

// maxLines is how many lines a section has at most: the newest.
const maxLines = 20

// section writes lines below a title; without lines, what there is to say of that, or nothing.
func (t *turn) section(title string, lines []string, none string) []string {
	if len(lines) == 0 && none == "" {
		return nil
	}
	out := []string{"", "**" + title + "**"}
	if len(lines) == 0 {
		return append(out, "- "+none)
	}
	if more := len(lines) - maxLines; more > 0 {
		lines = lines[more:]
		out = append(out, fmt.Sprintf("- (%d older ones are left out)", more))
	}
	for _, l := range lines {
		out = append(out, "- "+l)
	}
	return out
}

func (t *turn) quoteLines(remarks []remark) []string {
	var lines []string
	for _, r := range remarks {
		lines = append(lines, t.cite(r.Quote)+": "+tool.Plain(r.sentence, maxQuoted))
	}
	return lines
}

func (t *turn) actionLines(actions []action) []string {
	var lines []string
	for _, a := range actions {
		owner := "somebody"
		if a.owner != "" {
			owner = tool.Plain(a.owner, 40)
		}
		line := "**" + owner + "**: " + tool.Plain(a.what, maxQuoted)
		if a.due != "" {
			line += " · due " + tool.Plain(a.due, 60)
		}
		lines = append(lines, line+" · "+t.cite(a.Quote))
	}
	return lines
}

func (t *turn) topicLines(topics []topic) []string {
	var lines []string
	for _, p := range topics {
		lines = append(lines, fmt.Sprintf("%s (%s), first at %s", tool.Plain(p.words, 60), counted(p.count, "message"), t.cite(p.first)))
	}
	return lines
}

func decisions(t *turn, _ []string) (string, error) {
	return t.sectionOnly("Decisions", "I found no decision", func(k talk) []string { return t.quoteLines(k.decisions()) })
}

func openQuestions(t *turn, _ []string) (string, error) {
	return t.sectionOnly("Open questions", "I found no question that nobody has answered", func(k talk) []string { return t.quoteLines(k.openQuestions(k.actions())) })
}

func topics(t *turn, _ []string) (string, error) {
	return t.sectionOnly("Topics", "I found no topic that came up more than once", func(k talk) []string { return t.topicLines(k.topics(7)) })
}

var mine = lazy(`(?i)\b(?:my|mine|for me|do i|should i|must i)\b`)

func actionItems(t *turn, _ []string) (string, error) {
	return t.sectionOnly("Action items", "I found no action item", func(k talk) []string {
		actions := k.actions()
		if mine().MatchString(t.text) {
			actions = slices.DeleteFunc(actions, func(a action) bool { return a.owner != t.Asker })
		}
		return t.actionLines(actions)
	})
}

// sectionOnly answers with one section.
func (t *turn) sectionOnly(title, none string, lines func(talk) []string) (string, error) {
	k, p, _, err := t.span(period{})
	if err != nil {
		return "", err
	}
	if len(k.messages) == 0 {
		return silent(p), nil
	}
	found := lines(k)
	when := ""
	if p.label != "" {
		when = " " + p.label
	}
	if len(found) == 0 {
		return fmt.Sprintf("%s in %s%s.", none, counted(len(k.messages), "message"), when), nil
	}
	return strings.Join(t.section(title+when, found, "")[1:], "\n"), nil
}

var pointsWanted = lazy(`(?i)\b(\d{1,2}|one|two|three|four|five|ten)\s+(?:lines?|points?|bullets?|bullet points?|sentences?)\b`)

// length is how many lines a summary of so many remarks has.
func (t *turn) length(remarks int) int {
	if m := pointsWanted().FindStringSubmatch(t.text); m != nil {
		t.points = max(atoi(m[1]), map[string]int{"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "ten": 10}[strings.ToLower(m[1])])
	}
	n := min(max(remarks/8, 3), 7)
	switch {
	case t.points > 0:
		return min(t.points, maxLines)
	case t.size < 0:
		return max(1, n/2)
	case t.size > 0:
		return 2 * n
	}
	return n
}

func (t *turn) summaryLines(k talk) []string {
	bonus := func(r remark) float64 {
		switch _, isAction := k.action(r); {
		case r.question:
			return 0.6
		case declared().MatchString(r.sentence):
			return 3
		case isAction, r.decides():
			return 1.5
		}
		return 1
	}
	return t.quoteLines(rank(k.remarks, t.length(len(k.remarks)), bonus))
}

func summary(t *turn, _ []string) (string, error) {
	k, p, _, err := t.span(period{})
	if err != nil {
		return "", err
	}
	if len(k.messages) == 0 {
		return silent(p), nil
	}
	lines := t.summaryLines(k)
	if len(lines) == 0 {
		lines = t.quoteLines(k.remarks[max(0, len(k.remarks)-3):])
	}
	return t.heading("Summary", k) + "\n\nIn their own words:\n- " + strings.Join(lines, "\n- "), nil
}

func missed(t *turn, _ []string) (string, error) {
	k, p, found, err := t.span(period{unread: true, label: "since you last read"})
	if err != nil {
		return "", err
	}
	note := ""
	if p.unread && found.LastRead == 0 {
		note = "I do not know up to where you have read, so this is about all that I can see here.\n"
	}
	if len(k.messages) == 0 {
		if !p.unread || found.LastRead == 0 {
			return note + silent(p), nil
		}
		// Whoever looks at the chat has read it, and still asks.
		if k, note, err = t.lastHour(); err != nil || len(k.messages) == 0 {
			return "You have missed nothing: nobody has said anything since you last read.", err
		}
	}
	actions := k.actions()
	lines := t.summaryLines(k)
	if len(lines) == 0 {
		lines = t.quoteLines(k.remarks[max(0, len(k.remarks)-3):])
	}
	parts := []string{note + t.heading("What you missed", k), "", "- " + strings.Join(lines, "\n- ")}
	parts = append(parts, t.section("Decisions", t.quoteLines(k.decisions()), "")...)
	forYou := slices.DeleteFunc(slices.Clone(actions), func(a action) bool { return a.owner != t.Asker })
	parts = append(parts, t.section("For you", t.actionLines(forYou), "")...)
	parts = append(parts, t.section("Open questions", t.quoteLines(k.openQuestions(actions)), "")...)
	return strings.Join(parts, "\n"), nil
}

// lastHour is what there is to tell to somebody who has read everything.
func (t *turn) lastHour() (talk, string, error) {
	found, err := use[tool.Messages](t, tool.ReadMessages, period{since: t.Now.Add(-time.Hour)}.input())
	return t.talkOf(found.Messages), "You have read everything. This is the last hour in short.\n", err
}

func noted(t *turn, _ []string) (string, error) {
	return "It stands in this room's messages, which is where I take minutes from. Begin a line with “Decision:” or “Action: Ben …” and it will be in them for certain.", nil
}
