package builtin

import (
	"confab/bots/tool"
)

// Digest returns the n sentences of messages that say most of what all say, as messages of their own in the order in
// which they were said: what a model is told of a part of the conversation that is too long for it.
func Digest(messages []tool.Message, n int) []tool.Message {
	var remarks []remark
	at := make(map[uint64]tool.Message, len(messages))
	for _, m := range messages {
		at[m.Seq] = m
		remarks = append(remarks, remarksOf(tool.Quote{Seq: m.Seq, Time: m.Time, Name: m.Name, Text: m.Text})...)
	}
	best := rank(remarks, n, func(r remark) float64 {
		switch {
		case r.question:
			return 0.6
		case r.decides():
			return 1.5
		}
		return 1
	})
	lines := make([]tool.Message, 0, len(best))
	for _, r := range best {
		m := at[r.Seq]
		m.Text = r.sentence
		lines = append(lines, m)
	}
	return lines
}
