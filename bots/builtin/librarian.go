package builtin

import (
	"fmt"
	"slices"
	"strings"

	"confab/bots/tool"
)

func librarian() skill {
	return skill{
		name: Librarian,
		can:  "who said something, when it was said, how often, what somebody said about it, or to find or quote it.",
		intents: []intent{
			on(`\bhow (?:often|many times) (?:did|has|have|was|were|is) (.+?)[?.!]*$`, howOften),
			on(`\b(?:who|wer|qui|quién) (?:was it (?:that|who) |all |first |else |hat |a |ha )?(?:said|says|mentioned|talked about|spoke about|brought up|wrote|suggested|proposed|asked (?:about|for)|promised|wants?|wanted|posted|gesagt|erwähnt|dit|parlé de|dicho|dijo)\s+(?:that |it |something about |anything about |dass |que |von |über )?(.+?)[?.!]*$|(?:من قال|من ذكر)\s+(.+?)[?.!؟]*$`, whoSaid),
			on(`\b(?:wer|qui) (?:hat|a) (.+?) (?:gesagt|erwähnt|dit|mentionné)[?.!]*$`, whoSaid),
			on(`\bwhen (?:did|was|were|has|have) (.+?)[?.!]*$`, whenSaid),
			on(`\bwhat (?:did|does|has|do) (\S+(?: \p{Lu}\S+)?) (?:say|said|write|written|mention|think|suggest|propose|ask|want|promise)(?: (?:about|on|of|for|to) (.+?))?[?.!]*$`, whatSaid),
			on(`\bquote (\S+(?: \p{Lu}\S+)?)(?: (?:about|on|regarding) (.+?))?[?.!]*$`, whatSaid),
			on(`\b(?:anything|something|messages?|what is there|what do we have) (?:about|on|with|by|from|regarding) (.+?)[?.!]*$`, search),
			on(`^(?:please )?(?:can you |could you )?(?:find|search(?: for)?|look (?:up|for)|show(?: me)?|where(?:'s| is| was| are| were)|suche?(?: nach)?|finde|cherche|trouve|busca|encuentra|ابحث عن|ابحث) (?:me |the |us |all |messages (?:about|with) |something (?:about|on) |everything (?:about|on) )*(.+?)[?.!]*$`, search),
		},
	}
}

var (
	linksWanted = lazy(`(?i)^(?:(?:all|the|any|some) )*(?:links?|urls?)$`)
	inQuotes    = lazy(`["“„«]([^"“”„«»]+)["”“»]`)
	notWords    = lazy(`(?i)^(?:it|this|that|something|anything|so|he|she|they|we|i|you)$`)
	timeTail    = lazy(`(?i)\s+(?:from |of )?(?:in this (?:room|chat)|here|today|yesterday|so far|in the (?:last|past) .+|since .+|this week)$`)
)

// query makes of what was asked about the words that are looked for; empty = none.
func query(about string) string {
	if m := inQuotes().FindStringSubmatch(about); m != nil {
		return clip(strings.TrimSpace(m[1]))
	}
	about = timeTail().ReplaceAllString(strings.TrimSpace(about), "")
	if linksWanted().MatchString(about) {
		return "https"
	}
	var kept []string
	for _, w := range wordsOf(about) {
		if w = strings.Trim(w, "'-"); w != "" && !stopWords()[w] {
			kept = append(kept, strings.TrimSuffix(w, "'s"))
		}
	}
	if len(kept) == 0 && !notWords().MatchString(about) {
		return clip(about)
	}
	return clip(strings.Join(kept, " "))
}

// clip keeps to what the tools take.
func clip(text string) string {
	if runes := []rune(text); len(runes) > 200 {
		return string(runes[:200])
	}
	return text
}

// found leaves out what bots said and what was said to them, the question too.
func (t *turn) found(messages []tool.Quote) []tool.Quote { return t.talkOf(messages).messages }

func (t *turn) quoted(words string) string { return "“" + tool.Plain(words, 80) + "”" }

func (t *turn) nothing(words string) string {
	return "Not in this room: I found no message with " + t.quoted(words) + "."
}

// block quotes messages whole, each with its citation below.
func (t *turn) block(messages []tool.Quote) string {
	var parts []string
	for _, m := range messages {
		parts = append(parts, "> "+tool.Plain(m.Text, 2*maxQuoted)+"\n\n— "+t.cite(m))
	}
	return strings.Join(parts, "\n\n")
}

func first(m []string) string {
	for _, s := range m[1:] {
		if s != "" {
			return s
		}
	}
	return ""
}

// speakers asks who said words, without the question and what was said to bots.
func (t *turn) speakers(words string) ([]tool.Speaker, error) {
	found, err := use[tool.Speakers](t, tool.WhoSaid, map[string]any{"words": words})
	if err != nil {
		return nil, err
	}
	var people []tool.Speaker
	for _, p := range found.People {
		kept := t.found(p.Messages)
		if len(kept) > 0 {
			people = append(people, tool.Speaker{Name: p.Name, Count: p.Count - len(p.Messages) + len(kept), Messages: kept})
		}
	}
	slices.SortStableFunc(people, func(a, b tool.Speaker) int { return int(a.Messages[0].Seq) - int(b.Messages[0].Seq) })
	return people, nil
}

const maxQuotes = 5

func whoSaid(t *turn, m []string) (string, error) {
	words := query(first(m))
	if words == "" {
		return "Who said what? Tell me a word or two of it.", nil
	}
	people, err := t.speakers(words)
	if err != nil {
		return "", err
	}
	if len(people) == 0 {
		return t.near(words)
	}
	var names []string
	var quotes []tool.Quote
	for _, p := range people {
		name := tool.Plain(p.Name, 40)
		if p.Count > 1 {
			name += fmt.Sprintf(" (%d times)", p.Count)
		}
		names = append(names, name)
		if len(quotes) < maxQuotes {
			quotes = append(quotes, p.Messages[0])
		}
	}
	head := names[0] + " did."
	if len(names) > 1 {
		head = names[0] + " did first, then " + listed(names[1:]) + "."
	}
	return head + "\n\n" + t.block(quotes), nil
}

// near tries the longest word alone before it says that there is nothing.
func (t *turn) near(words string) (string, error) {
	all := strings.Fields(words)
	if len(all) < 2 {
		return t.nothing(words), nil
	}
	longest := slices.MaxFunc(all, func(a, b string) int { return len([]rune(a)) - len([]rune(b)) })
	found, err := use[tool.Messages](t, tool.SearchMessages, map[string]any{"query": longest, "limit": 20})
	if err != nil {
		return "", err
	}
	kept := t.found(found.Messages)
	if len(kept) == 0 {
		return t.nothing(words), nil
	}
	return t.nothing(words) + " This has " + t.quoted(longest) + ":\n\n" + t.block(kept[max(0, len(kept)-3):]), nil
}

var (
	saidBy  = lazy(`(?i)^(\S+(?: \p{Lu}\S+)?) (?:first |last )?(?:say|said|mention|mentioned|talk(?:ed)? about|discuss(?:ed)?|write|wrote|decide[d]?(?: on)?|agree[d]?(?: on)?|ask(?:ed)?(?: for| about)?|bring up|use[d]?|speak(?: of| about)?)\s+(?:that |it |about |on )?(.+)$`)
	passive = lazy(`(?i)^(.+?) (?:first |last )?(?:said|mentioned|discussed|decided|brought up|used|talked about|come up|been mentioned)$`)
	nobody  = lazy(`(?i)^(?:we|they|anyone|anybody|somebody|someone|people|you|everyone|the others?|it)$`)
)

// saying reads "Ana say that we ship" and "the budget mentioned": by whom, if by somebody, and what.
func (t *turn) saying(text string) (from, words string) {
	if m := saidBy().FindStringSubmatch(text); m != nil {
		from = m[1]
		switch {
		case strings.EqualFold(from, "i"):
			from = t.Asker
		case nobody().MatchString(from):
			from = ""
		}
		return from, query(m[2])
	}
	if m := passive().FindStringSubmatch(text); m != nil {
		return "", query(m[1])
	}
	return "", query(text)
}

// lookup searches, also for what one person said.
func (t *turn) lookup(words, from string) ([]tool.Quote, bool, error) {
	in := map[string]any{"query": words, "limit": 50}
	if from != "" {
		in["from"] = clipName(from)
	}
	if p := periodOf(t.text, t.Now); !p.since.IsZero() {
		in["since"] = p.input()["since"]
	}
	found, err := use[tool.Messages](t, tool.SearchMessages, in)
	return t.found(found.Messages), found.LeftOut, err
}

func clipName(name string) string {
	if runes := []rune(name); len(runes) > 100 {
		return string(runes[:100])
	}
	return name
}

func whenSaid(t *turn, m []string) (string, error) {
	from, words := t.saying(m[1])
	if words == "" {
		return "When was what said? Tell me a word or two of it.", nil
	}
	all, more, err := t.lookup(words, from)
	switch {
	case err != nil:
		return "", err
	case len(all) == 0:
		return t.near(words)
	case len(all) == 1:
		return "Once, at " + t.clock(all[0].Time) + ".\n\n" + t.block(all), nil
	}
	head := fmt.Sprintf("%d messages, from %s to %s.", len(all), t.clock(all[0].Time), t.clock(all[len(all)-1].Time))
	if more {
		head = fmt.Sprintf("The newest %d messages are from %s to %s; there are older ones.", len(all), t.clock(all[0].Time), t.clock(all[len(all)-1].Time))
	}
	return head + " The first and the last:\n\n" + t.block([]tool.Quote{all[0], all[len(all)-1]}), nil
}

func howOften(t *turn, m []string) (string, error) {
	from, words := t.saying(m[1])
	if words == "" {
		return "How often was what said? Tell me a word or two of it.", nil
	}
	people, err := t.speakers(words)
	if err != nil {
		return "", err
	}
	total := 0
	var parts []string
	for _, p := range people {
		if from != "" && !strings.EqualFold(p.Name, from) && !strings.EqualFold(firstName(p.Name), from) {
			continue
		}
		total += p.Count
		parts = append(parts, fmt.Sprintf("- %s: %d, first at %s", tool.Plain(p.Name, 40), p.Count, t.cite(p.Messages[0])))
	}
	if total == 0 {
		return t.nothing(words), nil
	}
	return fmt.Sprintf("%s in %s.\n%s", t.quoted(words), counted(total, "message"), strings.Join(parts, "\n")), nil
}

func whatSaid(t *turn, m []string) (string, error) {
	from, words := strings.TrimPrefix(m[1], "@"), query(m[2])
	if strings.EqualFold(from, "i") {
		from = t.Asker
	}
	if nobody().MatchString(from) {
		if words == "" {
			return "", errNotThis
		}
		return t.hits(words, "")
	}
	if words != "" {
		return t.hits(words, from)
	}
	in := map[string]any{"from": clipName(from), "limit": 20}
	if p := periodOf(t.text, t.Now); !p.since.IsZero() {
		in["since"] = p.input()["since"]
	}
	found, err := use[tool.Messages](t, tool.ReadMessages, in)
	if err != nil {
		return "", err
	}
	kept := t.found(found.Messages)
	if len(kept) == 0 {
		return "Not in this room: I found nothing that " + tool.Plain(from, 40) + " said.", nil
	}
	return "The newest of it:\n\n" + t.block(kept[max(0, len(kept)-maxQuotes):]), nil
}

func search(t *turn, m []string) (string, error) {
	words := query(first(m))
	if words == "" {
		return "What shall I look for? Tell me a word or two of it.", nil
	}
	return t.hits(words, "")
}

func (t *turn) hits(words, from string) (string, error) {
	all, _, err := t.lookup(words, from)
	if err != nil {
		return "", err
	}
	if len(all) == 0 {
		if from != "" {
			return "Not in this room: I found nothing that " + tool.Plain(from, 40) + " said with " + t.quoted(words) + ".", nil
		}
		return t.near(words)
	}
	head := counted(len(all), "message") + " with " + t.quoted(words)
	if len(all) > maxQuotes {
		head += fmt.Sprintf("; the newest %d", maxQuotes)
	}
	return head + ":\n\n" + t.block(all[max(0, len(all)-maxQuotes):]), nil
}
