package rooms

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"confab/signaling/wire"
)

const (
	// What changed of a thread's summary is told after so long, once: at most four times a second. In a large room it
	// takes longer, as other state does.
	summaryTick = 250 * time.Millisecond
	// Counts that only the log knows are written down after so long: what a killed process had not written is counted
	// from the log by the next one.
	summarySave = 10 * time.Second
)

// A summaryNews is what has changed of summaries and is to be told and written down.
type summaryNews struct {
	tell    *time.Timer
	telling bool // tell runs
	changed []*thread
	save    *time.Timer
	saving  bool      // save runs
	stale   []*thread // whose counts are older than their log, and wait to be counted anew
}

func (n *summaryNews) init(r *Room) {
	n.tell = r.newTimer(r.tellSummaries)
	n.save = r.newTimer(func() {
		n.saving = false
		r.save(nil)
	})
}

func (n *summaryNews) stop() {
	n.tell.Stop()
	n.save.Stop()
}

// quiet reports whether everybody knows, and it is written down.
func (n *summaryNews) quiet() bool { return !n.telling && !n.saving && len(n.stale) == 0 }

// countRecord brings the summary of t up to a record that was applied. removes says that it takes back a message which
// was there.
func (r *Room) countRecord(t *thread, rec Record, c *content, removes bool) {
	t.counted = rec.Seq
	switch {
	case c.chat != nil:
		t.messages++
		t.last = wire.ThreadAt{Seq: rec.Seq, TS: rec.Time.UnixMilli(), User: c.user()}
		if c.head.Author != nil && c.head.Author.Kind != wire.Bot {
			r.mark(t, c.user(), readMark{rec.Seq, t.messages}) // who writes has read
		}
	case removes && t.messages > 0:
		t.messages--
	case c.cleared:
		t.messages, t.last, t.marks = 0, wire.ThreadAt{}, nil
	default:
		return
	}
	r.summaryChanged(t)
}

// recount brings the summary of t up to its log, which was just read. A ring that holds all there ever was is the
// truth; of one that the log has cut off, only what came after the last count is counted, if there was one.
func (r *Room) recount(t *thread) {
	line := t.log.line
	before, last := t.messages, t.last
	if line.floor == 0 || t.counted == 0 {
		t.messages = 0
		for _, m := range line.messages {
			if !m.deleted {
				t.messages++
			}
		}
	} else {
		for _, e := range line.records {
			switch {
			case e.seq <= t.counted:
			case e.kind == wire.KindChat:
				t.messages++
			case e.kind == wire.KindDelete:
				t.messages--
			}
		}
		t.messages = max(t.messages, 0)
	}
	t.last = wire.ThreadAt{}
	if n := len(line.messages); n > 0 {
		newest := line.messages[n-1]
		t.last = wire.ThreadAt{Seq: newest.seq, TS: headOf(newest.frame()).TS, User: newest.user}
	}
	t.counted = line.last
	if t.messages != before || t.last != last {
		r.summaryChanged(t)
	}
}

// summaryChanged has everybody told soon, and the summary written down later.
func (r *Room) summaryChanged(t *thread) {
	n := &r.threads.news
	if !slices.Contains(n.changed, t) {
		n.changed = append(n.changed, t)
	}
	if !n.telling {
		n.telling = true
		n.tell.Reset(max(summaryTick, min(time.Duration(len(r.order))*statePerHead, 4*summaryTick)))
	}
	r.saveSummaries()
}

// saveSummaries has the document written within summarySave.
func (r *Room) saveSummaries() {
	if n := &r.threads.news; !n.saving {
		n.saving = true
		n.save.Reset(summarySave)
	}
}

// tellSummaries tells everybody what has changed of the threads that they may see.
func (r *Room) tellSummaries() {
	n := &r.threads.news
	n.telling = false
	changed := n.changed
	n.changed = nil
	for _, t := range changed {
		r.tellSummary(t)
	}
}

func (r *Room) tellSummary(t *thread) {
	summary := r.summaryOf(t)
	frame := wire.Encode(wire.Envelope{Room: r.id}, wire.RoomInfo{Threads: []wire.ThreadSummary{summary}})
	key := "thread/" + string(r.id) + "/" + string(t.name)
	if t.with == nil {
		r.broadcastState(frame, key, nil)
		return
	}
	for _, m := range r.order {
		if m.state == memberOnline && t.visible(m) {
			m.out.Send(frame, key)
		}
	}
}

// summaryOf is what everybody may know of t who may see it. One that is not listed has no messages.
func (r *Room) summaryOf(t *thread) wire.ThreadSummary {
	s := wire.ThreadSummary{Thread: t.name, With: t.with}
	if !t.kept {
		return s
	}
	s.Title, s.Messages, s.Last = r.titleOf(t), t.messages, t.last
	return s
}

// titleOf is the beginning of the message that t hangs on, for as long as that one is in memory and has not been
// deleted: nothing of its text is kept elsewhere.
func (r *Room) titleOf(t *thread) string {
	if t.root == 0 {
		return ""
	}
	m := r.main.find(t.root)
	if m == nil || m.deleted {
		return ""
	}
	words := strings.Join(strings.Fields(m.open().body.Text), " ")
	runes := 0
	for i := range words {
		if runes++; runes > wire.MaxThreadTitle {
			return words[:i]
		}
	}
	return words
}

// rootChanged tells of the thread that hangs on a message of the main timeline when its title has changed.
func (r *Room) rootChanged(c *content) {
	var root wire.Seq
	switch {
	case c.edit != nil:
		root = c.edit.Message
	case c.remove != nil:
		root = c.remove.Message
	case c.cleared:
		for _, t := range r.threads.all {
			if t.root != 0 && t.kept {
				r.summaryChanged(t)
			}
		}
		return
	default:
		return
	}
	if t := r.threads.all[rootName(root)]; t != nil && t.kept {
		r.summaryChanged(t)
	}
}

// summariesFor is what m gets in its joined: the threads with messages that it may see, the newest first.
func (r *Room) summariesFor(m *Member) []wire.ThreadSummary {
	all := []wire.ThreadSummary{}
	if r.threads == nil {
		return all
	}
	for _, t := range r.threads.all {
		if t.messages == 0 || !t.kept || !t.visible(m) {
			continue
		}
		s := r.summaryOf(t)
		s.Unread = max(0, t.messages-t.marks[m.User].messages)
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b wire.ThreadSummary) int { return compareSeq(b.Last.Seq, a.Last.Seq) })
	return all
}

// checkThreads asks the log which threads have records that their summaries do not count, beside the room, and has
// those counted. In another epoch than the document's nothing that was counted means anything.
func (r *Room) checkThreads() {
	if r.threads == nil || len(r.threads.all) == 0 {
		return
	}
	if r.threads.epoch != r.main.epoch {
		r.threads.epoch = r.main.epoch
		for _, t := range r.threads.all {
			t.counted, t.marks = 0, nil
		}
	}
	threads := slices.Collect(maps.Values(r.threads.all))
	at := make([]Timeline, len(threads))
	for i, t := range threads {
		at[i] = Timeline{Room: r.id, Thread: t.name}
	}
	r.background(func(ctx context.Context) func() {
		ctx, cancel := context.WithTimeout(ctx, saveTimeout)
		defer cancel()
		newest, err := r.registry.log.Newest(ctx, at...)
		return func() {
			if err != nil {
				r.logger.Warn("cannot compare the threads with the log; what is told of them may be behind", "error", err)
				return
			}
			for i, t := range threads {
				if t.log == nil && (newest[i] > t.counted || t.counted == 0) && r.threads.all[t.name] == t {
					r.threads.news.stale = append(r.threads.news.stale, t)
				}
			}
			r.recountNext()
		}
	})
}

// recountNext reads the log of the next thread whose summary is behind: to read it is to count it. One at a time.
func (r *Room) recountNext() {
	n := &r.threads.news
	for len(n.stale) > 0 {
		t := n.stale[0]
		n.stale = n.stale[1:]
		if t.log != nil || r.threads.all[t.name] != t {
			continue
		}
		r.withLog(t, func(*timeline, error) {
			if t.log != nil {
				t.log.used = time.Time{} // for nothing else: the next sweep lets go of it
			}
			r.recountNext()
		})
		return
	}
}
