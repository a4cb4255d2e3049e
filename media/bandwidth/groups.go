package bandwidth

import "time"

// Grouping of packets (draft-ietf-rmcat-gcc-02 section 5.2; the limits are those of libwebrtc).
const (
	groupSpan      = 5 * time.Millisecond   // packets sent within it are one group
	burstGap       = 5 * time.Millisecond   // packets that come closer than this and faster than sent were held up together
	burstSpan      = 100 * time.Millisecond // as long as such a burst may be
	maxReorderings = 3                      // groups in a row that seem to come before the one before: the clock has jumped
)

// A group is packets that were sent together, or held up together and released at once. Only delay between groups
// tells of a queue: within one the network sends as it likes.
type group struct {
	firstSent, lastSent  time.Duration
	firstCame, completed time.Duration
	packets              int
}

// A grouper turns packets into groups.
type grouper struct {
	current, before group
	reordered       int
}

// add takes a packet. When it is the first of a new group, add returns how much later than the group before it the
// last one was sent, and came.
func (g *grouper) add(sent, came time.Duration) (sentDelta, cameDelta time.Duration, ok bool) {
	c := &g.current
	switch {
	case c.packets == 0:
		*c = group{firstSent: sent, lastSent: sent, firstCame: came, completed: came}
	case sent < c.firstSent:
		return 0, 0, false // overtaken: it says nothing about the order in the queue
	case g.begins(sent, came):
		sentDelta, cameDelta, ok = g.complete()
		*c = group{firstSent: sent, lastSent: sent, firstCame: came, completed: came}
	default:
		c.lastSent, c.completed = max(c.lastSent, sent), max(c.completed, came)
	}
	c.packets++
	return sentDelta, cameDelta, ok
}

// complete compares the current group with the one before it.
func (g *grouper) complete() (sentDelta, cameDelta time.Duration, ok bool) {
	c, b := g.current, g.before
	g.before = c
	if b.packets == 0 {
		return 0, 0, false
	}
	sentDelta, cameDelta = c.lastSent-b.lastSent, c.completed-b.completed
	if cameDelta >= 0 {
		g.reordered = 0
		return sentDelta, cameDelta, true
	}
	if g.reordered++; g.reordered >= maxReorderings {
		*g = grouper{}
	} else {
		g.before = b
	}
	return 0, 0, false
}

// begins reports whether a packet is the first of a new group.
func (g *grouper) begins(sent, came time.Duration) bool {
	c := &g.current
	if sent == c.lastSent {
		return false
	}
	gap, span := came-c.completed, came-c.firstCame
	if gap < sent-c.lastSent && gap <= burstGap && span > -burstSpan && span < burstSpan {
		return false
	}
	return sent-c.firstSent > groupSpan
}
