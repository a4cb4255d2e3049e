package rooms

import (
	"slices"
	"time"

	"confab/signaling/wire"
)

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
	if len(r.runs) == 0 {
		return nil
	}
	all := make([]openRun, 0, len(r.runs))
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
		by := r.seatOf(o.Start.Bot)
		if by == nil {
			info := r.botInfo(o.Start.Bot)
			if info == nil {
				info = &wire.BotInfo{Bot: o.Start.Bot, User: wire.BotUser(o.Start.Bot), Name: string(o.Start.Bot)}
			}
			by = r.botMember(*info)
		}
		if o.Thread == "" {
			r.endOrphan(by, r.main, o)
			continue
		}
		t := r.threadTable().all[o.Thread]
		if t == nil {
			continue // it is no longer listed, and a private one must not come back as everybody's
		}
		r.withLog(t, func(line *timeline, err error) {
			if err == nil {
				r.endOrphan(by, line, o)
			}
		})
	}
}

// endOrphan ends one, in its timeline.
func (r *Room) endOrphan(by *Member, line *timeline, o openRun) {
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

// keepRuns saves what is written of answers.
func (r *Room) keepRuns() {
	r.keeping = false
	if len(r.runs) > 0 {
		r.save(nil)
	}
}

// keepLast saves all that was said of answers, and then calls done.
func (r *Room) keepLast(done func()) {
	if !r.answering() {
		done()
		return
	}
	for _, u := range slices.Clone(r.runs) {
		u.flush()
	}
	r.save(func(error) { done() })
}
