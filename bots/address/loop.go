package address

import (
	"slices"
	"time"
)

// What counts as repeating itself: so much of the trigrams of a text and of one of its author's last texts is shared.
const (
	similar     = 0.9
	lastOutputs = 3
	maxCompared = 2000 // characters of a text
)

// outputs are the last things that one bot said, by their trigrams.
type outputs struct {
	last []map[string]struct{}
}

// add reports whether text is nearly one of the last ones, and keeps it as the newest.
func (o *outputs) add(text string) bool {
	grams := trigrams(text)
	repeats := slices.ContainsFunc(o.last, func(other map[string]struct{}) bool { return similarity(grams, other) > similar })
	o.last = append(o.last, grams)
	o.last = o.last[max(0, len(o.last)-lastOutputs):]
	return repeats
}

// trigrams returns what three characters follow each other in a text, folded.
func trigrams(text string) map[string]struct{} {
	runes := []rune(fold(visible(text)))
	runes = append([]rune("  "), runes[:min(len(runes), maxCompared)]...)
	grams := make(map[string]struct{}, len(runes))
	for i := range max(0, len(runes)-2) {
		grams[string(runes[i:i+3])] = struct{}{}
	}
	return grams
}

// similarity is what two sets share of all that they have together, 0 to 1.
func similarity(a, b map[string]struct{}) float64 {
	shared := 0
	for gram := range a {
		if _, ok := b[gram]; ok {
			shared++
		}
	}
	if all := len(a) + len(b) - shared; all > 0 {
		return float64(shared) / float64(all)
	}
	return 1
}

// A pair is two bots that talk to each other.
type pair struct {
	a, b  string // users, a < b
	times []time.Time
	until time.Time // of the cool-down
}

// mayTalk reports whether a message between two bots may be answered, and counts it.
func (c *Conversation) mayTalk(from, to string, at time.Time) bool {
	p := c.pair(min(from, to), max(from, to))
	if at.Before(p.until) {
		return false
	}
	p.times = slices.DeleteFunc(p.times, func(t time.Time) bool { return at.Sub(t) >= PairWindow })
	if len(p.times) >= PairBudget {
		p.times, p.until = nil, at.Add(PairCoolDown)
		return false
	}
	p.times = append(p.times, at)
	return true
}

func (c *Conversation) pair(a, b string) *pair {
	i := slices.IndexFunc(c.pairs, func(p *pair) bool { return p.a == a && p.b == b })
	if i >= 0 {
		return c.pairs[i]
	}
	p := &pair{a: a, b: b}
	c.pairs = append(c.pairs, p)
	c.pairs = c.pairs[max(0, len(c.pairs)-maxPairs):]
	return p
}
