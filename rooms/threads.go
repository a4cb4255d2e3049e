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

// forgetBare takes a thread out of the table of which nothing is to be remembered.
func (r *Room) forgetBare(t *thread) {
	if !t.kept && t.log == nil && t.births == nil {
		delete(r.threads.all, t.name)
	}
}

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

// shutThreads lets go of everything.
func (r *Room) shutThreads() {
	if r.threads == nil {
		return
	}
	for _, t := range r.threads.all {
		if t.log != nil && t.log.stop != nil {
			t.log.stop()
		}
		if t.log != nil && t.log.batch.timer != nil {
			t.log.batch.timer.Stop()
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
