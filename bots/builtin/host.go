package builtin

import (
	"fmt"
	"strings"
	"time"

	"confab/bots/tool"
)

func host() skill {
	return skill{
		name: Host,
		can:  "help with this app, a poll (“poll: pizza or pasta?”), its result, a timer (“timer 5 minutes tea”), dice, a random pick, the order of a stand-up, speaking time, who is here, an agenda (“agenda: a, b, c”), or a look at your connection.",
		intents: []intent{
			on(`\b(?:result|results|outcome|votes?|count)\b.{0,20}\b(?:poll|vote)\b|\bpoll(?:'s)? (?:result|results|standing|so far|status)|\bhow (?:is|did|goes) the (?:poll|vote)|\bwho won the (?:poll|vote)|\bcount the votes`, pollResult),
			on(`\b(?:close|end|stop|finish|cancel) (?:the |this |that )?(?:poll|vote|voting)\b`, say("A poll stays open: ask me for its result whenever you want to count.")),
			on(`\b(?:poll|vote|survey|umfrage|abstimmung|sondage|encuesta|تصويت)\b[\s:,–-]*(?:(?:on|about|for|whether|über|sur|sobre) )?(.*)$|(?:^|\s)تصويت[\s:]*(.*)$`, newPoll),
			on(`\b(?:stop|cancel|end|pause|delete|clear) (?:the |my |that |all )?(?:timers?|countdown|reminders?|alarm)\b`, say("A timer that runs cannot be stopped: it says one line when it is over, and that is all.")),
			on(`\btimer\b|\bremind (?:me|us|everyone|everybody)\b|\bcountdown\b|\balarm\b|\bwake (?:me|us)\b|\berinnere? (?:mich|uns)\b|\brappelle|\brecu[eé]rda|مؤقت|ذكرني`, timer),
			on(`\b(?:flip|toss) (?:a |the )?coins?\b|\bheads or tails\b|\bcoin (?:flip|toss)\b|\bmünze\b|\bpile ou face\b|\bcara o cruz\b`, coin),
			on(`\b(\d{1,6})?\s?[dw](\d{1,9})\s*(?:([+-])\s*(\d{1,6}))?\b`, dice),
			on(`\b(?:roll|throw|würf\w*|lance|tira)\b(?:.*?\b(\d{1,3}|two|three|four|five|six)\b)?|\bdice\b|\ba die\b|\bwürfel\b|\bdés?\b|\bdados?\b|نرد`, rollPlain),
			on(`\brandom number\b(?:.*?\b(-?\d{1,6})\D+?(\d{1,6}))?`, randomNumber),
			on(`\bstand-?ups?\b|\b(?:speaking |random )?order\b|\bround\b|\bshuffle\b|\breihenfolge\b|\bordre\b|\borden\b`, order),
			on(`\b(?:split|divide|groups?|teams?|pairs?|breakout)\b`, groups),
			on(`\b(?:pick|choose|select|draw|decide between|wähle?|choisis|elige|اختر)\b(.*)$|\bwho (?:goes|is|starts|should (?:go|start|speak|talk)|speaks|talks)(?: (?:first|next))+|\bwho(?:se|'s) turn\b`, pick),
			on(`\bspeaking time\b|\btalk(?:ing)? time\b|\bhow (?:long|much) (?:did|has|have|was|is) .*\b(?:sp(?:eak|oken|oke)|talk)|\bwho (?:talks|talked|speaks|spoke|has spoken|has talked) (?:the )?(?:most|least|how)|\bredezeit\b|\btemps de parole\b`, speakingTime),
			on(`\bhands?\b.*\b(?:raised|up|queue)\b|\braised (?:a |their |his |her )?hands?\b|\bwho(?:se)? hand\b|\bqueue\b|\bwho wants to (?:speak|talk|say)`, hands),
			on(`\b(?:connection|lag|laggy|lagging|latency|ping|packet loss|network|bandwidth|choppy|stutter\w*|freez\w*|frozen|verbindung|connexion|conexión)\b|\b(?:bad|poor|robotic|no) (?:sound|audio|video|picture|quality)\b|\bcan(?:'t|not) (?:hear|see)\b|الاتصال`, connection),
			on(`\bwho(?:'s| is| are| else is)?(?: all)? (?:here|there|present|in (?:the|this) (?:room|call|meeting)|online|around)\b|\bhow many (?:people|of us|participants|are (?:we|here))\b|\bparticipants?\b|\bwer ist (?:da|hier)\b|\bqui est (?:là|ici)\b|\bquién está|من هنا`, whoIsHere),
			on(`\bagenda\b[\s:–-]*(?:for )?(.*)$|\btagesordnung\b[\s:–-]*(.*)$|\bordre du jour\b[\s:–-]*(.*)$`, agenda),
			on(`\b(?:what(?:'s| is)? (?:the )?time|what time is it|time is it|wie spät|wie viel uhr|quelle heure|qué hora)\b.*?(?:\s(?:in|à|en)\s+(?:the )?(.+))?$`, timeAt),
			on(`^(?:please )?(?:can you |could you )?(?:mute|unmute|kick|ban|lock|unlock|record|invite|share|remove|promote)\b`, cannot),
			on(`\bhow (?:do|can|could|to|does|should) (?:i |we |you |one )?(.+)$|\bwhere (?:is|are|can i find) (?:the )?(.+)$|\bcan (?:i|we) (.+)$|\bshortcuts?\b|\bkeyboard\b`, howTo),
		},
	}
}

// plainText is the question with its quotation marks, but without the mark at its end.
func plainText(text string) string { return strings.TrimRight(strings.TrimSpace(text), " .!") }

func pollResult(t *turn, _ []string) (string, error) {
	poll, err := use[tool.Poll](t, tool.PollResult, nil)
	if err != nil {
		return "", err
	}
	lines := []string{fmt.Sprintf("**%s** · [the poll](#m%d) · %s", tool.Plain(poll.Question, 300), poll.Seq, counted(poll.Voters, "voter"))}
	best := 0
	for _, o := range poll.Options {
		best = max(best, o.Votes)
	}
	for _, o := range poll.Options {
		line := fmt.Sprintf("- %s %s: %d", o.Emoji, tool.Plain(o.Text, 100), o.Votes)
		if o.Votes == best && best > 0 {
			line += " ←"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n"), nil
}

var (
	yesNoQuestion = lazy(`(?i)^(?:do|does|did|is|are|was|were|can|could|shall|should|will|would|may|have|has|ist|sind|soll|sollen|haben|est-ce)\b`)
	optionSplit   = lazy(`(?i)\s*(?:[,;|/،]|\s(?:or|oder|ou|أو|vs\.?|versus)\s|\s[ou]\s)\s*(?:(?:or|oder|ou|أو)\s+)?`)
	quotedParts   = lazy(`["“„]([^"“”„]+)["”“]`)
)

// pollOf reads a question and options: "where do we eat? pizza, pasta or sushi", "pizza or pasta?", `"q" "a" "b"`.
func pollOf(text string) (question string, options []string) {
	if parts := quotedParts().FindAllStringSubmatch(text, -1); len(parts) >= 3 {
		for _, p := range parts[1:] {
			options = append(options, p[1])
		}
		return parts[0][1], options
	}
	text = plainText(text)
	if end := questionEnd().FindStringIndex(text); end != nil {
		question, text = strings.TrimSpace(text[:end[1]]), strings.TrimSpace(text[end[1]:])
		question = strings.TrimSuffix(question, ":")
		if text == "" {
			text = strings.TrimRight(question, "?؟")
			if options = optionsOf(text); len(options) < 2 && yesNoQuestion().MatchString(question) {
				options = []string{"Yes", "No"}
			}
			return question, options
		}
	}
	if options = optionsOf(text); question == "" {
		question = text + "?"
	}
	return question, options
}

// questionEnd is where a question ends; the colon of a time is none.
var questionEnd = lazy(`[?؟]|:(?:\s|$)`)

// optionLead is what may stand before the first option: "lunch at 12, 12:30 or 13".
var optionLead = lazy(`(?i)^(?:.*\b(?:prefer|want|eat|choose|take|use|between|have|order|go for|like|at|on|in)\b[:\s]+)?(?:the |either )?(.+)$`)

func optionsOf(text string) []string {
	parts := optionSplit().Split(text, -1)
	var options []string
	for i, p := range parts {
		if m := optionLead().FindStringSubmatch(p); i == 0 && len(parts) > 1 && m != nil {
			p = m[1]
		}
		p = strings.Trim(plainText(p), "\"“”„ ")
		if p != "" && len(options) < 10 {
			options = append(options, p)
		}
	}
	return options
}

var whether = lazy(`(?i)^(?:asking |that asks )?(?:us |them |everyone |everybody )?(?:if|whether)\s+(.+)$`)

func newPoll(t *turn, m []string) (string, error) {
	question, options := pollOf(first(m))
	if m := whether().FindStringSubmatch(plainText(first(m))); m != nil && len(options) < 2 {
		question, options = upperFirst(strings.TrimRight(m[1], "?"))+"?", []string{"Yes", "No"}
	}
	seen := map[string]bool{}
	for _, o := range options {
		if seen[o] || len([]rune(o)) > 100 {
			options = nil
			break
		}
		seen[o] = true
	}
	if len(options) < 2 || question == "" || len([]rune(question)) > 300 {
		return "A poll needs a question and two to ten different options: `poll: where do we eat? pizza, pasta or sushi`.", nil
	}
	poll, err := use[tool.Poll](t, tool.CreatePoll, map[string]any{"question": question, "options": options})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("The poll is [here](#m%d). Tap a number below it to vote; ask me for the result when you want it.", poll.Seq), nil
}

var (
	length  = lazy(`(?i)(\d{1,5}(?:[.,]\d{1,2})?|an?|half an?|one|two|three|four|five|ten|fifteen|twenty|thirty|sixty|ninety)[\s-]*(s(?:ec(?:ond)?s?)?|m(?:in(?:ute)?s?)?|h(?:(?:ou)?rs?)?|sekunden?|minuten?|stunden?|heures?|secondes?|minutos?|segundos?|horas?|دقائق|دقيقة|ثانية|ساعة)(?:$|[\s,.;:!?])`)
	atClock = lazy(`(?i)\bat (\d{1,2})(?:[:.](\d\d))?\s*(am|pm)?\b`)
	noise   = lazy(`(?i)^(?:(?:please|can you|could you|set|start|make|give|me|us|everyone|everybody|a|an|the|timer|countdown|alarm|remind|wake|of|for|in|to|that|about|tomorrow|up|called|named|again|und|daran|um|dass|mich|uns|erinnere?)\b[\s,:;–-]*|[\s,:;.!?–-]+)`)
	bare    = lazy(`(?i)\btimer\s+(\d{1,4})\b(?:\s+[^dwmy\s]|\s*$)`)
	numbers = map[string]float64{"a": 1, "an": 1, "half a": 0.5, "half an": 0.5, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "ten": 10,
		"fifteen": 15, "twenty": 20, "thirty": 30, "sixty": 60, "ninety": 90}
)

// timerOf reads how long, and what for.
func timerOf(text string, now time.Time) (time.Duration, string) {
	total, rest := time.Duration(0), text
	for _, m := range length().FindAllStringSubmatch(text+" ", 3) {
		n, known := numbers[strings.ToLower(m[1])]
		if !known {
			if _, err := fmt.Sscanf(strings.Replace(m[1], ",", ".", 1), "%g", &n); err != nil {
				continue
			}
		}
		total += time.Duration(n * float64(unitOf(m[2])))
		rest = strings.Replace(rest, strings.TrimRight(m[0], " ,.;:!?"), " ", 1)
	}
	if m := bare().FindStringSubmatch(text); total == 0 && m != nil {
		total, rest = time.Duration(atoi(m[1]))*time.Minute, strings.Replace(text, "timer "+m[1], " ", 1)
	}
	if m := atClock().FindStringSubmatch(text); total == 0 && m != nil {
		if at, ok := clockTime(now, m[1], m[2], m[3]); ok {
			if !at.After(now) {
				at = at.AddDate(0, 0, 1)
			}
			if day := strings.Contains(strings.ToLower(text), "tomorrow"); day && at.YearDay() == now.YearDay() {
				at = at.AddDate(0, 0, 1)
			}
			total, rest = at.Sub(now), strings.Replace(text, m[0], " ", 1)
		}
	}
	rest = strings.Join(strings.Fields(rest), " ")
	for {
		shorter := noise().ReplaceAllString(rest, "")
		if shorter == rest {
			break
		}
		rest = shorter
	}
	rest = strings.TrimRight(rest, " .!?,")
	for _, tail := range []string{" timer", " for", " please", " in", " a", " to"} {
		rest = strings.TrimSuffix(rest, tail)
	}
	if len([]rune(rest)) > 200 {
		rest = string([]rune(rest)[:200])
	}
	return total.Round(time.Second), rest
}

func unitOf(name string) time.Duration {
	switch name = strings.ToLower(name); {
	case strings.HasPrefix(name, "sec"), strings.HasPrefix(name, "sek"), strings.HasPrefix(name, "seg"), name == "s", name == "ثانية":
		return time.Second
	case strings.HasPrefix(name, "h"), strings.HasPrefix(name, "stunde"), name == "ساعة":
		return time.Hour
	}
	return time.Minute
}

func timer(t *turn, _ []string) (string, error) {
	d, note := timerOf(t.text, t.Now)
	if d < 5*time.Second || d > 24*time.Hour {
		return "A timer runs from 5 seconds to 24 hours: `timer 5 minutes tea`, or `remind me at 15:00 to call Ben`.", nil
	}
	in := map[string]any{"seconds": int(d / time.Second)}
	if note != "" {
		in["note"] = note
	}
	set, err := use[tool.Timer](t, tool.StartTimer, in)
	if err != nil {
		return "", err
	}
	text := "The timer runs for " + tool.Duration(time.Duration(set.Seconds)*time.Second) + ", until " + set.Ends.In(t.Now.Location()).Format("15:04:05")
	if set.Note != "" {
		text += ": " + tool.Plain(set.Note, 0)
	}
	return text + ".", nil
}

func coin(t *turn, _ []string) (string, error) {
	d, err := use[tool.Dice](t, tool.RollDice, map[string]any{"sides": 2})
	if err != nil {
		return "", err
	}
	if d.Sum == 1 {
		return "Heads.", nil
	}
	return "Tails.", nil
}

func dice(t *turn, m []string) (string, error) {
	plus := atoi(m[4])
	if m[3] == "-" {
		plus = -plus
	}
	n := 1
	if m[1] != "" {
		n = atoi(m[1])
	}
	return t.roll(n, atoi(m[2]), plus)
}

func (t *turn) roll(n, sides, plus int) (string, error) {
	if n < 1 || n > 100 || sides < 2 || sides > 1_000_000 {
		return "I roll 1 to 100 dice with 2 to 1,000,000 sides each: `roll 2d6+1`.", nil
	}
	in := map[string]any{"dice": n, "sides": sides}
	if plus != 0 {
		in["plus"] = plus
	}
	d, err := use[tool.Dice](t, tool.RollDice, in)
	if err != nil {
		return "", err
	}
	if len(d.Rolls) == 1 && d.Plus == 0 {
		return fmt.Sprintf("🎲 **%d** (one of 1 to %d)", d.Sum, d.Sides), nil
	}
	var rolls []string
	for _, r := range d.Rolls {
		rolls = append(rolls, fmt.Sprint(r))
	}
	text := strings.Join(rolls, " + ")
	if d.Plus != 0 {
		text += strings.NewReplacer("+", " + ", "-", " - ").Replace(fmt.Sprintf("%+d", d.Plus))
	}
	return fmt.Sprintf("🎲 %s = **%d**", text, d.Sum), nil
}

func rollPlain(t *turn, m []string) (string, error) {
	n := 1
	switch {
	case m[1] != "" && atoi(m[1]) > 0:
		n = atoi(m[1])
	case m[1] != "":
		n = int(numbers[strings.ToLower(m[1])])
	}
	return t.roll(n, 6, 0)
}

func randomNumber(t *turn, m []string) (string, error) {
	from, to := 1, 100
	if m[2] != "" {
		from, to = atoi(m[1]), atoi(m[2])
	}
	if to <= from {
		return "From the smaller to the larger number, please: `random number between 1 and 10`.", nil
	}
	in := map[string]any{"sides": to - from + 1}
	if from != 1 {
		in["plus"] = from - 1
	}
	d, err := use[tool.Dice](t, tool.RollDice, in)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("**%d** (of %d to %d)", d.Sum, from, to), nil
}

func order(t *turn, _ []string) (string, error) {
	picked, err := use[tool.Picked](t, tool.PickRandom, map[string]any{"all": true})
	if err != nil {
		return "", err
	}
	lines := []string{"In this order:"}
	for i, name := range picked.Picked {
		lines = append(lines, fmt.Sprintf("%d. %s", i+1, tool.Plain(name, 60)))
	}
	return strings.Join(lines, "\n"), nil
}

var pickFrom = lazy(`(?i)^\s*(?:(?:at )?random(?:ly)?\s+)?(?:(?:one|someone|somebody|anyone|a person|a winner|me one)\s*)?(?:(?:of|from|between|among|out of|one of)\b|:)?\s*(?:(?:us|the (?:room|people|participants|group|team|following))\b)?:?\s*(.*)$`)

func pick(t *turn, m []string) (string, error) {
	in := map[string]any{}
	if n := howManyPicked().FindStringSubmatch(t.text); n != nil {
		in["count"] = max(atoi(n[1]), int(numbers[strings.ToLower(n[1])]))
	} else if parts := pickFrom().FindStringSubmatch(m[1]); parts != nil {
		list := strings.ReplaceAll(plainText(strings.TrimRight(parts[1], "?")), " and ", ", ")
		if options := optionsOf(list); len(options) >= 2 {
			in["from"] = options
		}
	}
	picked, err := use[tool.Picked](t, tool.PickRandom, in)
	if err != nil {
		return "", err
	}
	var names []string
	for _, name := range picked.Picked {
		names = append(names, "**"+tool.Plain(name, 100)+"**")
	}
	return fmt.Sprintf("%s (of %d)", listed(names), picked.Of), nil
}

var howManyGroups = lazy(`(?i)\b(\d{1,2}|two|three|four|five|six|ten)\s+(?:\p{L}+\s+)?(?:groups?|teams?)\b`)

// groups deals the people out, one after the other.
func groups(t *turn, m []string) (string, error) {
	n := 2
	if many := howManyGroups().FindStringSubmatch(t.text); many != nil {
		n = max(atoi(many[1]), int(numbers[strings.ToLower(many[1])]))
	}
	picked, err := use[tool.Picked](t, tool.PickRandom, map[string]any{"all": true})
	if err != nil {
		return "", err
	}
	if strings.Contains(strings.ToLower(m[0]), "pair") {
		n = max(1, len(picked.Picked)/2)
	}
	if n < 1 || n > len(picked.Picked) {
		return fmt.Sprintf("%s cannot be made of %d people.", upperFirst(counted(n, "group")), len(picked.Picked)), nil
	}
	lists := make([][]string, n)
	for i, name := range picked.Picked {
		lists[i%n] = append(lists[i%n], tool.Plain(name, 60))
	}
	var lines []string
	for i, names := range lists {
		lines = append(lines, fmt.Sprintf("%d. %s", i+1, listed(names)))
	}
	return strings.Join(lines, "\n"), nil
}

var howManyPicked = lazy(`(?i)\b(\d{1,3}|two|three|four|five|six|ten)\s+(?:people|persons?|of us|names?|winners?|volunteers?|participants?)\b`)

// cannot says how a person does what no bot may.
func cannot(t *turn, m []string) (string, error) {
	text, err := howTo(t, m)
	return "I cannot do that for you. " + text, err
}

func speakingTime(t *turn, _ []string) (string, error) {
	shares, err := use[tool.Shares](t, tool.SpeakingTime, nil)
	if err != nil {
		return "", err
	}
	if !shares.Known || len(shares.Shares) == 0 {
		return "No call is going on here of which I know who speaks.", nil
	}
	lines := []string{"**Speaking time** in this call"}
	for _, s := range shares.Shares {
		lines = append(lines, fmt.Sprintf("- %s: %s (%d %%)", tool.Plain(s.Name, 60), tool.Duration(time.Duration(s.Seconds)*time.Second), s.Percent))
	}
	return strings.Join(lines, "\n"), nil
}

func whoIsHere(t *turn, _ []string) (string, error) {
	list, err := use[tool.Participants](t, tool.ListParticipants, nil)
	if err != nil {
		return "", err
	}
	var people, bots []string
	for _, p := range list.Participants {
		name := tool.Plain(p.Name, 60)
		var on []string
		for _, f := range []struct {
			on   bool
			word string
		}{{p.Moderator, "moderator"}, {p.You, "you"}, {p.Microphone, "microphone on"}, {p.Camera, "camera on"}, {p.Screen, "shares a screen"}, {p.Hand, "hand raised"}} {
			if f.on {
				on = append(on, f.word)
			}
		}
		if p.Bot {
			bots = append(bots, name)
			continue
		}
		line := "- " + name
		if len(on) > 0 {
			line += " (" + strings.Join(on, ", ") + ")"
		}
		people = append(people, line+", since "+t.clock(p.Joined))
	}
	noun := counted(len(people), "person")
	if len(people) != 1 {
		noun = fmt.Sprintf("%d people", len(people))
	}
	text := noun + " here:\n" + strings.Join(people, "\n")
	if len(bots) > 0 {
		text += "\n\nAnd " + counted(len(bots), "bot") + ": " + listed(bots) + "."
	}
	return text, nil
}

func hands(t *turn, _ []string) (string, error) {
	list, err := use[tool.Participants](t, tool.ListParticipants, nil)
	if err != nil {
		return "", err
	}
	var up []string
	for _, p := range list.Participants {
		if p.Hand {
			up = append(up, tool.Plain(p.Name, 60))
		}
	}
	if len(up) == 0 {
		return "Nobody has a hand raised.", nil
	}
	return "Raised hands: " + listed(up) + ".", nil
}

var (
	whoseLink = lazy(`(?i)\b(\p{L}+)(?:'s|’s) (?:connection|network|lag|ping|audio|sound|video|picture)\b|\b(?:connection|ping|network) of (\p{L}+)\b`)
	advice    = map[string]string{
		"packets are lost":       "Move closer to the Wi-Fi or use a cable; whatever else sends or loads much on that network takes from the call.",
		"the way to the server":  "That is the way through the network, often a VPN or a mobile link; without it, it is usually shorter.",
		"packets arrive up to":   "Uneven arrival mostly comes from a busy Wi-Fi; a cable or another band helps.",
		"there is room for only": "Turning the own camera off, or stopping other downloads, leaves more for the rest; pictures are made smaller by themselves.",
	}
)

func connection(t *turn, _ []string) (string, error) {
	in := map[string]any{}
	if m := whoseLink().FindStringSubmatch(t.text); m != nil {
		in["participant"] = first(m)
	}
	h, err := use[tool.Health](t, tool.ConnectionCheck, in)
	if err != nil {
		return "", err
	}
	name := tool.Plain(h.Name, 60)
	if !h.Known {
		return "I can see no media of " + name + " on this server: either the call has not begun, or it goes from browser to browser. Press **I** in the call for what the browser measures.", nil
	}
	text := fmt.Sprintf("The connection of %s is **%s**: %d ms there and back, %.1f %% of packets lost", name, h.Verdict, h.RoundTripMS, h.LossPercent)
	if h.KBitrate > 0 {
		text += fmt.Sprintf(", room for %d kbit/s", h.KBitrate)
	}
	text += "."
	for _, p := range h.Problems {
		text += "\n- " + upperFirst(tool.Plain(p, 200)) + "." + adviceFor(p)
	}
	if len(h.Problems) == 0 {
		text += " If something is still wrong, it is more likely the device: its microphone, camera or speaker can be tried in the settings."
	}
	return text, nil
}

func adviceFor(problem string) string {
	for part, text := range advice {
		if text != "" && strings.Contains(problem, part) {
			return " " + text
		}
	}
	return ""
}

func upperFirst(text string) string {
	if text == "" {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

var agendaLength = lazy(`(?i)[\s(]*\b(\d{1,3})\s*(?:min(?:ute)?s?|m)\b\)?`)

// agenda lays out items, with times when each says how long it takes.
func agenda(t *turn, m []string) (string, error) {
	items := optionsOf(strings.ReplaceAll(first(m), "\n", ";"))
	if len(items) < 2 {
		return "Tell me its items, with minutes if you like: `agenda: numbers 10 min, release 15 min, questions`.", nil
	}
	lines := []string{"**Agenda**"}
	at, timed := t.Now, true
	for i, item := range items {
		text := item
		line := ""
		if found := agendaLength().FindStringSubmatch(item); found != nil {
			text = strings.TrimSpace(strings.Replace(item, found[0], " ", 1))
			line = fmt.Sprintf(" · %s", counted(atoi(found[1]), "minute"))
			if timed {
				line = fmt.Sprintf(" · %s to %s", at.Format("15:04"), at.Add(time.Duration(atoi(found[1]))*time.Minute).Format("15:04"))
			}
			at = at.Add(time.Duration(atoi(found[1])) * time.Minute)
		} else {
			if timed && i > 0 && at != t.Now {
				line = " · from " + at.Format("15:04")
			}
			timed = false
		}
		lines = append(lines, fmt.Sprintf("%d. %s%s", i+1, tool.Plain(text, 100), line))
	}
	return strings.Join(lines, "\n"), nil
}

// topicsOfHelp are what the app can do, by words of the question.
var topicsOfHelp = []struct{ words, text string }{
	{"mute unmute microphone mic", "The microphone button is in the bar below; **M** does the same, and **Ctrl+D** while you type. Hold the space bar to talk while muted."},
	{"camera video picture", "The camera button is in the bar below; **V** does the same, and **Ctrl+E** while you type."},
	{"share screen sharing present presentation window", "Use the screen button in the bar below, or **S**. Several people can share at once."},
	{"hand raise", "Use the hand button, or **H**. Who has raised a hand stands at the top of the list of people."},
	{"record recording", "A moderator starts a recording from the menu **More**; everybody sees that it runs, also who joins later."},
	{"invite link guest qr", "**Invite** at the top shows the link to this room, and its QR code."},
	{"kick ban lock remove moderator promote moderate", "Moderators find this beside each name in the list of people: mute, make moderator, remove. The room can be locked there, too."},
	{"reply quote react reaction emoji edit delete message", "The menu of a message has reply, reactions, edit and delete."},
	{"bold italic code format markdown list", "Messages are Markdown: `**bold**`, `*italic*`, `` `code` ``, lists, tables and code blocks."},
	{"mention", "Write @ and a name. Bots are asked the same way, or by their name at the start of a sentence."},
	{"shortcut shortcuts key keys keyboard", "**?** shows them all: M microphone, V camera, S screen, H hand, C chat, P people, O small window, I statistics."},
	{"statistics stats numbers quality", "**I** shows what the browser measures in this call, and what limits each picture."},
	{"small window picture-in-picture pip", "**O** puts the call into a small window above the others."},
	{"device devices speaker headphones headset settings language theme dark", "The settings, in the menu **More**, have devices, appearance and language."},
	{"bot bots assistant assistants", "Whoever may, switches bots on and off in the list of people. A bot answers when it is mentioned, called by its name at the start of a sentence, replied to, or asked on right after an answer."},
	{"leave exit quit end", "The red button leaves the call; a moderator can also end it for all."},
}

func howTo(t *turn, _ []string) (string, error) {
	asked := map[string]bool{}
	for _, w := range wordsOf(t.text) {
		asked[w] = true
	}
	best, text := 0, ""
	for _, topic := range topicsOfHelp {
		n := 0
		for _, w := range strings.Fields(topic.words) {
			if asked[w] {
				n++
			}
		}
		if n > best {
			best, text = n, topic.text
		}
	}
	if best == 0 {
		return "", errNotThis
	}
	return text, nil
}
