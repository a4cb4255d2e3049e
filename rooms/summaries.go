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
	// Read marks of all threads of a room together; the one that is furthest back goes.
	maxMarks = 2000
)

// A storedThread is what a room's document says of a thread. No text stands in it: what is deleted in the log would
// live on here. The name says which message it hangs on.
type storedThread struct {
	Name     wire.ThreadID              `json:"name"`
	With     []wire.UserID              `json:"with,omitempty"`
	Messages int                        `json:"messages,omitempty"`
	Last     wire.ThreadAt              `json:"last"`
	Counted  wire.Seq                   `json:"counted,omitempty"`
	Marks    map[wire.UserID]storedMark `json:"marks,omitempty"`
}

// A storedMark is a readMark: seq, and the count of messages.
type storedMark [2]uint64

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

// list puts t into the room's list, in the place of another one when it is full: of one without messages, else of the
// one that has been silent longest. It reports false when there is no place.
func (r *Room) list(t *thread) bool {
	kept := 0
	var out *thread
	for _, other := range r.threads.all {
		if !other.kept {
			continue
		}
		kept++
		if other.births == nil && (out == nil || other.silentBefore(out)) {
			out = other
		}
	}
	if kept >= wire.MaxThreads {
		if out == nil {
			return false
		}
		out.kept, out.marks = false, nil
		r.summaryChanged(out)
		r.forgetBare(out)
	}
	t.kept = true
	return true
}

// silentBefore orders threads by which of them is missed least.
func (t *thread) silentBefore(other *thread) bool {
	if (t.messages == 0) != (other.messages == 0) {
		return t.messages == 0
	}
	return t.last.Seq < other.last.Seq
}

// whenKept does fn once t is in the list and the room's document, in storage, says so: a thread that only its log knew
// of would be lost with the process. Those who wait are done in order.
func (r *Room) whenKept(t *thread, fn func(error)) {
	switch {
	case len(t.births) >= maxThreadWaiting, len(t.births) == 0 && !t.kept && !r.list(t):
		fn(wire.Errorf(wire.CodeUnavailable, "too many threads are being made; try again"))
		return
	}
	if t.births = append(t.births, fn); len(t.births) > 1 {
		return
	}
	r.save(func(err error) {
		waiting := t.births
		t.births = nil
		if err != nil {
			t.kept = false
			err = &wire.Error{Code: wire.CodeUnavailable, Text: "not stored yet; send it again with the same id", Err: err}
		}
		for _, fn := range waiting {
			fn(err)
		}
	})
}

// setThreadRead moves a person's mark in a thread forward and tells who follows it, and the person's other clients.
func (r *Room) setThreadRead(m *Member, name wire.ThreadID, msg wire.Read, answer Answer) {
	t := r.knownThread(m, name)
	if t == nil {
		answer(nil, errNoThread())
		return
	}
	if msg.Seq > t.counted {
		answer(nil, wire.Errorf(wire.CodeNotFound, "there is no message at this seq yet"))
		return
	}
	answer(wire.Ack{}, nil)
	if msg.Seq <= t.marks[m.User].seq {
		return
	}
	r.mark(t, m.User, readMark{msg.Seq, t.readBy(msg.Seq, t.marks[m.User].messages)})
	r.saveSummaries()
	frame := wire.Encode(wire.Envelope{Room: r.id, Thread: t.name, From: m.Participant}, msg)
	key := "read/" + string(r.id) + "~" + string(t.name) + "/" + string(m.Participant)
	r.tellThread(t, frame, key, m)
	for _, other := range r.order {
		if other != m && other.User == m.User && other.state == memberOnline && !slices.Contains(other.following, t) {
			other.out.Send(frame, key)
		}
	}
}

// readIn is how far somebody has read a timeline.
func (r *Room) readIn(t *timeline, user wire.UserID) wire.Seq {
	if t.thread == nil {
		return r.reads[user]
	}
	return t.thread.marks[user].seq
}

// knownThread finds a thread that m may see and that has a log; nil when there is none.
func (r *Room) knownThread(m *Member, name wire.ThreadID) *thread {
	if r.threads == nil {
		return nil
	}
	t := r.threads.all[name]
	if t == nil || !t.visible(m) {
		return nil
	}
	return t
}

// readBy counts the messages of t up to seq. Where that cannot be told, because the log is not in memory, the answer is
// what was known before.
func (t *thread) readBy(seq wire.Seq, before int) int {
	if seq >= t.last.Seq {
		return t.messages
	}
	if t.log == nil || t.log.line == nil {
		return before
	}
	later := 0
	for _, m := range slices.Backward(t.log.line.messages) {
		if m.seq <= seq {
			break
		}
		if !m.deleted {
			later++
		}
	}
	return max(t.messages-later, before)
}

// mark notes how far somebody has read.
func (r *Room) mark(t *thread, user wire.UserID, mark readMark) {
	if t.marks == nil {
		t.marks = make(map[wire.UserID]readMark)
	}
	if _, known := t.marks[user]; !known {
		r.placeForMark()
	}
	t.marks[user] = mark
}

// placeForMark drops the mark that is furthest back when there are too many.
func (r *Room) placeForMark() {
	marks := 0
	var in *thread
	var of wire.UserID
	for _, t := range r.threads.all {
		marks += len(t.marks)
		for user, m := range t.marks {
			if in == nil || m.seq < in.marks[of].seq {
				in, of = t, user
			}
		}
	}
	if marks >= maxMarks {
		delete(in.marks, of)
	}
}

// storedThreads is what the document says of the room's threads.
func (r *Room) storedThreads() []storedThread {
	if r.threads == nil {
		return nil
	}
	var all []storedThread
	for _, t := range r.threads.all {
		if !t.kept {
			continue
		}
		s := storedThread{Name: t.name, With: t.with, Messages: t.messages, Last: t.last, Counted: t.counted}
		if t.log != nil && t.log.erasing.due() {
			s.Counted = 0 // so that who reads this opens the log, and erases what is left to be erased
		}
		for user, m := range t.marks {
			if s.Marks == nil {
				s.Marks = make(map[wire.UserID]storedMark, len(t.marks))
			}
			s.Marks[user] = storedMark{uint64(m.seq), uint64(m.messages)}
		}
		all = append(all, s)
	}
	return all
}

// openThreads takes the document's threads in.
func (r *Room) openThreads(stored []storedThread, epoch string) {
	if len(stored) == 0 {
		return
	}
	table := r.threadTable()
	table.epoch = epoch
	for _, s := range stored {
		t := r.newThread(s.Name, rootOf(s.Name), s.With)
		t.kept, t.messages, t.last, t.counted = true, s.Messages, s.Last, s.Counted
		for user, m := range s.Marks {
			if t.marks == nil {
				t.marks = make(map[wire.UserID]readMark, len(s.Marks))
			}
			t.marks[user] = readMark{wire.Seq(m[0]), int(m[1])}
		}
	}
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
