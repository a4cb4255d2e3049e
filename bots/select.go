package bots

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"confab/bots/tool"
)

// choose returns the newest messages that a query matches, oldest first.
func choose(all []tool.Message, q tool.Query) []tool.Message {
	limit := q.Limit
	if limit <= 0 || limit > maxChosen {
		limit = maxChosen
	}
	wanted := words(q.Text)
	var found []tool.Message
	for _, m := range all {
		if m.Seq <= q.After || q.Before != 0 && m.Seq >= q.Before || !q.Since.IsZero() && m.Time.Before(q.Since) ||
			q.User != "" && m.User != q.User || !hasAll(words(m.Text), wanted) {
			continue
		}
		found = append(found, m)
	}
	return found[max(0, len(found)-limit):]
}

const maxChosen = 256

// words are the words of a text without case and accents.
func words(text string) []string {
	text = strings.Map(func(c rune) rune {
		switch {
		case unicode.Is(unicode.Mn, c):
			return -1
		case unicode.IsLetter(c), unicode.IsDigit(c):
			return unicode.ToLower(c)
		default:
			return ' '
		}
	}, norm.NFKD.String(text))
	return strings.Fields(text)
}

func hasAll(have, wanted []string) bool {
	for _, w := range wanted {
		found := false
		for _, h := range have {
			if found = alike(h, w); found {
				break
			}
		}
		if !found {
			return false
		}
	}
	return true
}

// alike reports whether two words are forms of one: of most languages they begin alike and differ in their ends.
func alike(a, b string) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	return a == b || len(a) >= 4 && len(b)-len(a) <= 3 && strings.HasPrefix(b, a[:len(a)-1])
}
