package builtin

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"

	"confab/bots/tool"
)

const maxQuoted = 280 // characters of a quoted sentence

func isWordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '_' }

func atoi(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}

// cite links to a message: [12:04 Ana](#m3), with the day when it was not today.
func (t *turn) cite(q tool.Quote) string {
	return fmt.Sprintf("[%s %s](#m%d)", t.clock(q.Time), tool.Plain(q.Name, 40), q.Seq)
}

// clock writes a time as the asker's clock shows it.
func (t *turn) clock(at time.Time) string {
	local := at.In(t.Now.Location())
	switch {
	case local.Year() != t.Now.Year():
		return local.Format("2 Jan 2006 15:04")
	case local.YearDay() != t.Now.YearDay():
		return local.Format("2 Jan 15:04")
	}
	return local.Format("15:04")
}

// counted writes a number of things: "1 message", "3 messages".
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return strconv.Itoa(n) + " " + thing + "s"
}

// listed joins names: "Ana, Ben and Chloé".
func listed(names []string) string {
	switch n := len(names); n {
	case 0:
		return "nobody"
	case 1:
		return names[0]
	default:
		return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
	}
}

// spoken returns what somebody says in a message: without code blocks and quoted lines.
func spoken(text string) string {
	var kept []string
	fence := ""
	for line := range strings.SplitSeq(text, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case fence != "":
			if strings.HasPrefix(trimmed, fence) {
				fence = ""
			}
		case strings.HasPrefix(trimmed, "```"):
			fence = "```"
		case strings.HasPrefix(trimmed, "~~~"):
			fence = "~~~"
		case strings.HasPrefix(trimmed, ">"):
		default:
			kept = append(kept, strings.TrimLeft(trimmed, "-*•#+ "))
		}
	}
	return strings.Join(kept, "\n")
}

// split cuts what is said into sentences with their ends.
func split(text string) []string {
	var all []string
	add := func(s string) {
		if s = strings.TrimSpace(s); s != "" {
			all = append(all, s)
		}
	}
	begin := 0
	runes := []rune(text)
	for i, r := range runes {
		last := i+1 == len(runes) || unicode.IsSpace(runes[i+1])
		if r == '\n' || r == '。' || strings.ContainsRune(".!?…؟", r) && last && !abbreviation(string(runes[begin:i])) {
			add(string(runes[begin : i+1]))
			begin = i + 1
		}
	}
	add(string(runes[begin:]))
	return all
}

func abbreviation(before string) bool {
	for _, short := range []string{"e.g", "i.e", "z.B", "z. B", "bzw", "ca", "Dr", "Mr", "Mrs", "Ms", "vs", "approx"} {
		if strings.HasSuffix(before, short) && (len(before) == len(short) || before[len(before)-len(short)-1] == ' ') {
			return true
		}
	}
	return false
}

// terms are the stems of a text's words that say something.
func terms(text string) []string {
	var all []string
	for _, w := range wordsOf(text) {
		if !stopWords()[w] && len([]rune(w)) > 1 {
			all = append(all, stem(w))
		}
	}
	return all
}

var links = lazy(`\[([^\[\]\n]*)\]\([^()\s]*\)|\w+://\S+`)

// wordsOf returns the words of a text in lower case, without the addresses of links.
func wordsOf(text string) []string {
	if strings.Contains(text, "](") || strings.Contains(text, "://") {
		text = links().ReplaceAllString(text, "$1")
	}
	return strings.FieldsFunc(strings.ToLower(strings.ReplaceAll(text, "’", "'")), func(r rune) bool { return !isWordRune(r) && r != '\'' && r != '-' })
}

// stem takes the commonest endings off a word, so that "decided" and "decides" are one.
func stem(word string) string {
	word = strings.TrimSuffix(strings.Trim(word, "'-"), "'s")
	for _, ending := range []string{"ations", "ation", "ings", "ing", "ies", "ied", "ers", "est", "ed", "es", "en", "er", "ly", "s", "e", "y"} {
		if rest, ok := strings.CutSuffix(word, ending); ok && len([]rune(rest)) >= 3 {
			return rest
		}
	}
	return word
}

var stopWords = onceSet(`a about above after again all also am an and any anybody anyone anything are aren't as at be because been before being
 below between both but by can can't cannot come could couldn't did didn't do does doesn't doing don't done down each else even ever every
 everybody everyone everything few for from further get gets getting give go goes going gone good got had has have haven't having he he's her here
 hers him his how i i'd i'll i'm i've if in into is isn't it it's its just know let let's like look lot made make many may maybe me mean might more
 most much must my need needs never no nobody none nor not nothing now of off oh ok okay on once one only or other our ours out over own please
 put quite really right said same say says see she should shouldn't since so some somebody someone something soon still such sure take tell than
 thank thanks that that's the their theirs them then there there's these they they're thing things think this those though through to today
 together tomorrow too under until up us use very want wants was wasn't way we we'll we're we've well were weren't what what's when where which
 while who who's whom whose why will with won't would wouldn't yeah yes yesterday yet you you'll you're you've your yours
 next week weeks day days time times mentioned mention talk talked talking discuss discussed message messages room chat anyone's anybody's
 aber als auch auf aus bei bin bis bitte da dann das dass dein dem den der des die dir doch du durch ein eine einem einen einer es euch für gibt
 haben habe hat hatte hier ich ihr ihre im in ist ja kann kein keine können man mein mich mir mit nach nein nicht noch nur ob oder ohne schon sehr
 sein sich sie sind so soll über um und uns unser vom von vor war was wenn wer werden wie wir wird wo zu zum zur
 ai au aux avec avez avons c'est ce ces cette dans de des donc du elle elles en est et être eu il ils j'ai je la le les leur lui ma mais me mes mon
 ne nos notre nous on ont ou où par pas plus pour qu'il que qui sa sans se ses si son sont sur ta te tes toi ton tu un une vos votre vous
 al algo como con cuando del desde donde el ella ellos ese eso esta está estaba este esto fue ha hay la las le les lo los más me mi muy nada no nos
 o para pero por que qué quien se ser si sin sobre son su sus también te tiene todo tu una uno ya yo
 في من على إلى عن أن هذا هذه ما لا هو هي كان التي الذي مع كل أو ثم لكن نعم أنا نحن أنت هل قد لم لن إن كما بعد قبل عند هناك`)

func onceSet(list string) func() map[string]bool {
	return sync.OnceValue(func() map[string]bool { return setOf(list) })
}

func setOf(list string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(list) {
		set[w] = true
	}
	return set
}
