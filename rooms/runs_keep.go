package rooms

import (
	"slices"
	"time"

	"confab/signaling/wire"
)

// orphanRetry is how long runs wait whose thread could not be opened.
const orphanRetry = 2 * time.Second

// An openRun is a run that goes on, in the room's document: what a killed server leaves of it.
type openRun struct {
	Start  wire.AgentStarted `json:"start"`
	Thread wire.ThreadID     `json:"thread,omitempty"`
	Hops   int               `json:"hops,omitempty"`
	Began  int64             `json:"began"` // Unix time in milliseconds
	First  int64             `json:"first,omitempty"`
	Text   string            `json:"text,omitempty"`
}

func (r *Room) openRuns() []openRun {
	if len(r.runs)+len(r.orphans) == 0 {
		return nil
	}
	all := make([]openRun, 0, len(r.runs)+len(r.orphans))
	all = append(all, r.orphans...)
	for _, u := range r.runs {
		o := openRun{Start: u.AgentStarted, Thread: u.Thread, Hops: u.Hops, Began: u.began.UnixMilli(), Text: string(u.text)}
		if !u.first.IsZero() {
			o.First = u.first.UnixMilli()
		}
		all = append(all, o)
	}
	return all
}

// endOrphans ends the runs that the last process has left, after the room is loaded: as failed, with what is kept of
// their text.
func (r *Room) endOrphans() {
	orphans := r.doc.Runs
	r.doc.Runs = nil
	for _, o := range orphans {
		if o.Thread == "" {
			r.endOrphan(r.main, o)
		} else {
			r.orphans = append(r.orphans, o)
		}
	}
	r.endThreadOrphans()
}

// endThreadOrphans ends those that were left in threads. One whose thread cannot be opened is tried again as long as
// the room is open, and when it is next loaded: it stands in the document until it has its end.
func (r *Room) endThreadOrphans() {
	for _, o := range slices.Clone(r.orphans) {
		t := r.threadTable().all[o.Thread]
		if t == nil { // it is no longer listed, and a private one must not come back as everybody's
			r.forgetOrphan(o)
			continue
		}
		r.withLog(t, func(line *timeline, err error) {
			if err != nil {
				r.retryOrphans()
				return
			}
			if r.forgetOrphan(o) { // not the second of two tries that have waited for the same thread
				r.endOrphan(line, o)
			}
		})
	}
}

// retryOrphans looks at the orphans again after a while, once for all of them.
func (r *Room) retryOrphans() {
	if r.retry != nil {
		return
	}
	r.retry = r.after(orphanRetry, func() {
		r.retry = nil
		r.endThreadOrphans()
	})
}

// forgetOrphan reports whether o was still to be ended.
func (r *Room) forgetOrphan(o openRun) bool {
	before := len(r.orphans)
	r.orphans = slices.DeleteFunc(r.orphans, func(x openRun) bool { return x.Start.Run == o.Start.Run })
	return len(r.orphans) < before
}

// orphanMember is the bot of an orphan: at its place, or as it would be there.
func (r *Room) orphanMember(bot wire.BotID) *Member {
	if by := r.seatOf(bot); by != nil {
		return by
	}
	info := r.botInfo(bot)
	if info == nil {
		info = &wire.BotInfo{Bot: bot, User: wire.BotUser(bot), Name: string(bot)}
	}
	return r.botMember(*info)
}

// endOrphan ends one, in its timeline.
func (r *Room) endOrphan(line *timeline, o openRun) {
	by := r.orphanMember(o.Start.Bot)
	if _, stored := line.keys.find(hashKey(keyOf(r.id, by.User, wire.RequestID(o.Start.Run)))); stored {
		return
	}
	u := r.newRun(by, line.thread, RunStart{AgentStarted: o.Start, Thread: o.Thread, Hops: o.Hops}, time.UnixMilli(o.Began))
	u.told, u.text, u.length, u.streaming = true, []byte(o.Text), utf16Length(o.Text), o.Text != ""
	if o.First != 0 {
		u.first = time.UnixMilli(o.First)
	}
	r.runs = append(r.runs, u)
	r.endRun(u, RunEnd{
		Status: wire.RunFailed, Err: wire.Errorf(wire.CodeUnavailable, "the server stopped in the middle of this answer; ask again"),
	})
}

// dropRuns lets go of the runs as the room ends: the next start of it ends them.
func (r *Room) dropRuns() {
	for _, u := range r.runs {
		u.cancel(errRegistryClosed)
		if u.waiting != nil {
			u.waiting.timer.Stop()
		}
	}
}

// keepSoon saves what is written of answers and what they have used, and what comes until then.
func (r *Room) keepSoon() {
	if !r.keeping {
		r.keeping = true
		r.keep = r.after(checkpointEvery, r.keepRuns)
	}
}

// keepRuns saves what is written of answers, and what they have used.
func (r *Room) keepRuns() {
	r.keeping = false
	if len(r.runs) > 0 || r.unkept {
		r.save(nil)
	}
}

// keepLast saves all that was said of answers, and which of them have ended, and then calls done: one that has ended
// without a message, and whose end is not saved, would have a second end by the next process.
func (r *Room) keepLast(done func()) {
	if !r.answering() && !r.unkept && !r.saves.busy && !r.saves.dirty {
		done()
		return
	}
	for _, u := range slices.Clone(r.runs) {
		u.flush()
	}
	r.save(func(error) { done() })
}
