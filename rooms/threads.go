package rooms

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"confab/signaling/wire"
)

const (
	// Threads of one room whose log is in memory. Beyond it one that nobody follows makes place; when there is none,
	// opening another is answered unavailable.
	maxOpenThreads = 256
	// A thread that nobody follows is kept in memory for so long after it was last asked for.
	idleThread  = 30 * time.Second
	sweepThread = 10 * time.Second
	// Requests that wait while a thread is read from the log, or its name is written down.
	maxThreadWaiting = 256
	// Of a thread's first frame, which a client may ask for 32 times.
	maxThreadBytes = 256 << 10

	privatePrefix = "dm-"
)

// A threadTable is what a room knows of its threads. A room that has none has no table.
type threadTable struct {
	all    map[wire.ThreadID]*thread
	opened int    // threads whose log is in memory, or on its way there
	epoch  string // that the positions in all belong to

	sweep    *time.Timer // runs while a thread is open
	sweeping bool
	news     summaryNews
}

// A thread is what a room knows of one of its threads: always what its summary says, and the log itself while somebody
// needs it. It is in the room's table as long as it is kept or open.
type thread struct {
	// Set by newThread, then constant.
	name wire.ThreadID
	root wire.Seq      // the message of the main timeline that it hangs on; 0 = none
	with []wire.UserID // who may see it, of a private one; nil = everybody

	messages int           // that are not deleted
	last     wire.ThreadAt // the newest message, deleted or not
	counted  wire.Seq      // records up to here are in messages and last; 0 = they must be counted anew
	marks    map[wire.UserID]readMark

	kept   bool              // it is in the room's list, and in its document
	births []func(err error) // wait until the document is stored, which is so before the first message is; nil = none do
	log    *threadLog        // nil = cold
}

// A readMark is how far somebody has read a thread.
type readMark struct {
	seq      wire.Seq
	messages int // of the thread that were read by then
}

// A threadLog is the log of a thread in memory. It is the Feed of one opening: what an earlier one says late is of no
// interest.
type threadLog struct {
	// Set by openLog, then constant.
	room *Room
	of   *thread

	line      *timeline                // nil while it is read
	early     []*feedEvent             // what was heard before line was there
	waiting   []func(*timeline, error) // requests that wait for line
	stop      func()
	followers []*Member // in the order they subscribed
	erasing   eraseQueue
	used      time.Time
}

// Record implements Feed.
func (l *threadLog) Record(rec Record) { l.room.hear(&feedEvent{record: rec, of: l}) }

// Reset implements Feed.
func (l *threadLog) Reset(tail Tail) { l.room.hear(&feedEvent{reset: &tail, of: l}) }

// Wake implements Feed.
func (l *threadLog) Wake() { l.room.Wake() }

// visible reports whether m may know of t.
func (t *thread) visible(m *Member) bool { return t.with == nil || slices.Contains(t.with, m.User) }

// threadTable returns the room's table, made when it has none.
func (r *Room) threadTable() *threadTable {
	if r.threads == nil {
		r.threads = &threadTable{all: make(map[wire.ThreadID]*thread), epoch: r.main.epoch}
		r.threads.sweep = r.newTimer(r.sweepThreads)
		r.threads.news.init(r)
	}
	return r.threads
}

// threadOf finds the thread that a request names, or makes it: a thread has no more of a beginning than its first
// message. Whoever may not see one is told that it is not there.
func (r *Room) threadOf(m *Member, name wire.ThreadID) (*thread, error) {
	table := r.threadTable()
	if t := table.all[name]; t != nil {
		if !t.visible(m) {
			return nil, errNoThread()
		}
		return t, nil
	}
	if strings.HasPrefix(string(name), privatePrefix) {
		return nil, errNoThread() // it is made by asking for the one whom it is with
	}
	root := rootOf(name)
	if root != 0 {
		if msg := r.main.find(root); msg == nil || msg.deleted {
			return nil, wire.Errorf(wire.CodeNotFound, "there is no such message in this room that a thread could hang on")
		}
	}
	return r.newThread(name, root, nil), nil
}

// privateThread finds or makes the thread between m and another, one of whom is a bot.
func (r *Room) privateThread(m *Member, with wire.UserID) (*thread, error) {
	name := privateName(m.User, with)
	if t := r.threadTable().all[name]; t != nil {
		return t, nil // its name says that it is m's
	}
	i := slices.IndexFunc(r.order, func(other *Member) bool {
		return other.User == with && (other.Kind == wire.Bot) != (m.Kind == wire.Bot)
	})
	if i < 0 {
		return nil, wire.Errorf(wire.CodeNotFound, "there is no such bot in this room")
	}
	pair := []wire.UserID{m.User, with}
	slices.Sort(pair)
	return r.newThread(name, 0, pair), nil
}

func (r *Room) newThread(name wire.ThreadID, root wire.Seq, with []wire.UserID) *thread {
	t := &thread{name: name, root: root, with: with}
	r.threadTable().all[name] = t
	return t
}

// rootOf reads the message off the name of a thread that hangs on one, m<seq>; 0 for any other name.
func rootOf(name wire.ThreadID) wire.Seq {
	digits, ok := strings.CutPrefix(string(name), "m")
	if !ok || digits == "" || digits[0] == '0' {
		return 0
	}
	seq, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return 0
	}
	return wire.Seq(seq)
}

// rootName is the name of the thread that hangs on a message.
func rootName(seq wire.Seq) wire.ThreadID {
	return wire.ThreadID("m" + strconv.FormatUint(uint64(seq), 10))
}

// privateName names the thread between two users. Nobody chooses it, so nobody can take it first; and it says nothing
// of who they are.
func privateName(a, b wire.UserID) wire.ThreadID {
	if a > b {
		a, b = b, a
	}
	sum := sha256.Sum256([]byte(strconv.Itoa(len(a)) + ":" + string(a) + string(b)))
	return wire.ThreadID(privatePrefix + hex.EncodeToString(sum[:16]))
}

// inThread does fn with the timeline of the thread that a request names, which may be the first in it. It is read from
// the log when it is cold.
func (r *Room) inThread(m *Member, name wire.ThreadID, answer Answer, fn func(*timeline)) {
	t, err := r.threadOf(m, name)
	if err != nil {
		answer(nil, err)
		return
	}
	r.whenOpen(t, m, answer, fn)
}

// inKnownThread is inThread for what needs a thread that is there.
func (r *Room) inKnownThread(m *Member, name wire.ThreadID, answer Answer, fn func(*timeline)) {
	t := r.knownThread(m, name)
	if t == nil {
		answer(nil, errNoThread())
		return
	}
	r.whenOpen(t, m, answer, fn)
}

// whenOpen does fn for m as soon as the log of t is in memory. Requests that wait for it are done in order.
func (r *Room) whenOpen(t *thread, m *Member, answer Answer, fn func(*timeline)) {
	r.withLog(t, func(line *timeline, err error) {
		switch {
		case err != nil:
			answer(nil, err)
		case m.state != memberOnline:
			answer(nil, errNotOnline())
		default:
			fn(line)
		}
	})
}

func errNotOnline() error { return wire.Errorf(wire.CodeNotJoined, "join the room first") }

// withLog does fn with the timeline of t, now or when it is read.
func (r *Room) withLog(t *thread, fn func(*timeline, error)) {
	switch {
	case t.log == nil && !r.placeForThread():
		r.forgetBare(t)
		fn(nil, &wire.Error{Code: wire.CodeUnavailable, Text: "too many threads of this room are being read; try again", RetryAfter: sweepThread})
		return
	case t.log == nil:
		r.openLog(t)
	case len(t.log.waiting) >= maxThreadWaiting:
		fn(nil, wire.Errorf(wire.CodeUnavailable, "the thread is being opened; try again"))
		return
	}
	t.log.used = now()
	if t.log.line == nil {
		t.log.waiting = append(t.log.waiting, fn)
		return
	}
	fn(t.log.line, nil)
}

// placeForThread reports whether one more log may be in memory, after letting go of one where that is needed.
func (r *Room) placeForThread() bool {
	if r.threads.opened < maxOpenThreads {
		return true
	}
	var oldest *thread
	for _, t := range r.threads.all {
		if t.log != nil && r.unneeded(t) && (oldest == nil || t.log.used.Before(oldest.log.used)) {
			oldest = t
		}
	}
	if oldest == nil {
		return false
	}
	r.closeLog(oldest)
	return true
}

// openLog begins to read and follow the log of t, beside the room.
func (r *Room) openLog(t *thread) {
	log := &threadLog{room: r, of: t}
	t.log = log
	r.threads.opened++
	if !r.threads.sweeping {
		r.threads.sweeping = true
		r.threads.sweep.Reset(sweepThread)
	}
	r.registry.running.Go(func() {
		tail, stop, err := r.registry.log.Open(r.registry.ctx, Timeline{Room: r.id, Thread: t.name}, log)
		over := func(wire.ServerMessage, error) {
			if err == nil {
				stop()
			}
		}
		r.post(over, func() { r.openedLog(log, tail, stop, err) })
	})
}

// openedLog takes in what was read, and does what has waited for it.
func (r *Room) openedLog(log *threadLog, tail Tail, stop func(), err error) {
	t, waiting := log.of, log.waiting
	log.waiting = nil
	if err != nil {
		r.logger.Warn("cannot open a thread", "thread", string(t.name), "error", err)
		t.log = nil
		r.threads.opened--
		r.forgetBare(t)
		err = &wire.Error{Code: wire.CodeUnavailable, Text: "the thread cannot be opened now; try again", Err: err}
		for _, fn := range waiting {
			fn(nil, err)
		}
		return
	}
	log.stop, log.used = stop, now()
	r.loadThread(log, tail)
	early := log.early
	log.early = nil
	for _, ev := range early {
		r.onThreadFeed(ev)
	}
	for _, fn := range waiting {
		fn(log.line, nil)
	}
}

// loadThread takes a tail in as the thread's timeline.
func (r *Room) loadThread(log *threadLog, tail Tail) {
	log.line = newTimeline(r.registry.opts.History)
	log.line.thread = log.of
	log.line.load(tail)
	r.recount(log.of)
	r.eraseLeftovers(log.line)
}

// onThreadFeed takes in what the log says of a thread.
func (r *Room) onThreadFeed(ev *feedEvent) {
	log := ev.of
	switch {
	case log.of.log != log:
		return // of an opening that is over
	case log.line == nil:
		log.early = append(log.early, ev)
	case ev.reset != nil:
		r.logger.Warn("the log of a thread lost continuity; who follows it starts from a new window",
			"thread", string(log.of.name), "epoch", ev.reset.Epoch)
		log.of.counted = 0
		r.loadThread(log, *ev.reset)
		for _, m := range log.followers {
			m.out.SendJoined(r.threadFrame(log.line, "", nil))
		}
	default:
		r.onThreadRecord(log, ev.record)
	}
}

// onThreadRecord takes in a thread's next record and tells who follows it.
func (r *Room) onThreadRecord(log *threadLog, rec Record) {
	line, t := log.line, log.of
	if rec.Seq <= line.last {
		return
	}
	p := r.pending[rec.ID]
	var c *content
	if p != nil && p.thread == t {
		delete(r.pending, rec.ID)
		c = p.content
	} else {
		p = nil
		var err error
		if c, err = parseContent(rec.Payload); err != nil {
			r.logger.Warn("skipped a record that cannot be read", "thread", string(t.name), "seq", uint64(rec.Seq), "error", err)
			return
		}
	}
	removes := c.remove != nil && line.alive(c.remove.Message)
	frame := line.apply(rec, c)
	r.countRecord(t, rec, c, removes)
	if t.with == nil {
		r.recordChat(frame)
	}
	r.tellThread(t, frame, "", nil)
	if p != nil && !p.settled {
		ack := wire.Ack{Seq: rec.Seq}
		r.settle(p, p.answers[:1], ack, nil) // after the message: a bot says that it is done when it has this
		ack.Duplicate = true
		r.settle(p, p.answers[1:], ack, nil)
	}
	r.eraseLeftovers(line)
}

// tellThread sends a frame to who follows a thread, but for except, and to the bots that may see it: those hear every
// thread, for they cannot know in which one they are spoken to next. With a key the frame is state, as of Outlet.Send.
func (r *Room) tellThread(t *thread, frame []byte, key string, except *Member) {
	var followers []*Member
	if t.log != nil {
		followers = t.log.followers
	}
	for _, m := range followers {
		if m != except {
			m.out.Send(frame, key)
		}
	}
	for _, m := range r.hearers {
		if m != except && m.state == memberOnline && t.visible(m) && !slices.Contains(followers, m) {
			m.out.Send(frame, key)
		}
	}
}

// subscribe makes m a follower of a thread: the thread's window or what m has missed is the first that it hears of it,
// and what comes then follows without a hole.
func (r *Room) subscribe(m *Member, id wire.RequestID, name wire.ThreadID, msg wire.SubscribeThread, answer Answer) {
	t, err := r.threadToFollow(m, name, msg.Private)
	if err != nil {
		answer(nil, err)
		return
	}
	r.whenOpen(t, m, answer, func(line *timeline) {
		if !slices.Contains(t.log.followers, m) {
			if len(m.following) >= wire.MaxThreadsFollowed {
				answer(nil, wire.Errorf(wire.CodeConflict, "a participant follows at most %d threads; leave one first", wire.MaxThreadsFollowed))
				return
			}
			t.log.followers = append(t.log.followers, m)
			m.following = append(m.following, t)
		}
		m.out.SendJoined(r.threadFrame(line, id, msg.Since))
		answer(nil, nil)
	})
}

func (r *Room) threadToFollow(m *Member, name wire.ThreadID, private wire.UserID) (*thread, error) {
	switch {
	case private == "" && name == "":
		return nil, wire.Errorf(wire.CodeBadMessage, "subscribe-thread needs a thread, or private")
	case private == "":
		return r.threadOf(m, name)
	case name != "" && name != privateName(m.User, private):
		return nil, wire.Errorf(wire.CodeBadMessage, "this is not the name of that private thread; leave thread out")
	default:
		return r.privateThread(m, private)
	}
}

// threadFrame is the first frame of a thread.
func (r *Room) threadFrame(line *timeline, id wire.RequestID, since *wire.Cursor) []byte {
	messages, recovered := line.since(since, maxThreadBytes)
	more := false
	if !recovered {
		messages, more = line.page(len(line.messages), line.window, maxThreadBytes)
	}
	data := append(newFrame(len(messages)+256), `{"messages":`...)
	data = append(data, messages...)
	data = strconv.AppendBool(append(data, `,"recovered":`...), recovered)
	data = strconv.AppendBool(append(data, `,"more":`...), more)
	data = r.appendRuns(append(data, `,"runs":`...), line.thread)
	data = append(append(append(data, `,"epoch":"`...), line.epoch...), '"')
	if marks := line.thread.marks; len(marks) > 0 {
		reads := make(map[wire.UserID]wire.Seq, len(marks))
		for user, m := range marks {
			reads[user] = m.seq
		}
		data = append(append(data, `,"reads":`...), mustJSON(reads)...)
	}
	data = append(data, '}')
	head := wire.Envelope{ID: id, Room: r.id, Thread: line.thread.name, Seq: line.last}
	frame := wire.AppendEnvelope(newFrame(len(data)+256), head, wire.KindThreadHistory, data)
	Recycle(data)
	return frame
}

// unsubscribe ends what subscribe began.
func (r *Room) unsubscribe(m *Member, name wire.ThreadID, answer Answer) {
	i := slices.IndexFunc(m.following, func(t *thread) bool { return t.name == name })
	if i < 0 {
		answer(wire.Ack{Duplicate: true}, nil)
		return
	}
	r.unfollow(m, m.following[i])
	m.following = slices.Delete(m.following, i, i+1)
	answer(wire.Ack{}, nil)
}

// unfollowAll takes m out of every thread: it leaves, or joins again and then subscribes again.
func (r *Room) unfollowAll(m *Member) {
	for _, t := range m.following {
		r.unfollow(m, t)
	}
	m.following = nil
}

func (r *Room) unfollow(m *Member, t *thread) {
	t.log.followers = slices.DeleteFunc(t.log.followers, func(other *Member) bool { return other == m })
	t.log.used = now()
}

// sweepThreads lets go of the logs that nobody has needed for a while.
func (r *Room) sweepThreads() {
	r.threads.sweeping = false
	for _, t := range r.threads.all {
		if t.log != nil && r.unneeded(t) && time.Since(t.log.used) >= idleThread {
			r.closeLog(t)
		}
	}
	if r.threads.opened > 0 {
		r.threads.sweeping = true
		r.threads.sweep.Reset(sweepThread)
	}
}

// unneeded reports whether the log of t, which is open, could be let go of.
func (r *Room) unneeded(t *thread) bool {
	log := t.log
	if log.line == nil || len(log.followers) > 0 || log.erasing.due() || t.births != nil {
		return false
	}
	for _, p := range r.pending {
		if p.thread == t {
			return false
		}
	}
	return !slices.ContainsFunc(r.runs, func(u *Run) bool { return u.thread == t })
}

// closeLog lets go of a log that is unneeded.
func (r *Room) closeLog(t *thread) {
	t.log.stop()
	t.log = nil
	r.threads.opened--
	r.forgetBare(t)
}

// forgetBare takes a thread out of the table of which nothing is to be remembered.
func (r *Room) forgetBare(t *thread) {
	if !t.kept && t.log == nil && t.births == nil {
		delete(r.threads.all, t.name)
	}
}

// shutThreads lets go of everything.
func (r *Room) shutThreads() {
	if r.threads == nil {
		return
	}
	for _, t := range r.threads.all {
		if t.log != nil && t.log.stop != nil {
			t.log.stop()
		}
	}
	r.threads.sweep.Stop()
	r.threads.news.stop()
}

// threadsQuiet reports whether no thread has anything under way.
func (r *Room) threadsQuiet() bool {
	if r.threads == nil {
		return true
	}
	for _, t := range r.threads.all {
		if t.births != nil || t.log != nil && (t.log.line == nil || t.log.erasing.due()) {
			return false
		}
	}
	return r.threads.news.quiet()
}
