package rooms

import (
	"slices"
	"time"

	"confab/signaling/wire"
)

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
	batch     batch // of what is told to who follows it, when they are many
	used      time.Time
}

// Record implements Feed.
func (l *threadLog) Record(rec Record) { l.room.hear(&feedEvent{record: rec, of: l}) }

// Reset implements Feed.
func (l *threadLog) Reset(tail Tail) { l.room.hear(&feedEvent{reset: &tail, of: l}) }

// Wake implements Feed.
func (l *threadLog) Wake() { l.room.Wake() }

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
		r.flushThread(log.of)
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
	if p != nil {
		r.messageStored(c, rec, t)
	}
	if p != nil && !p.settled {
		ack := wire.Ack{Seq: rec.Seq}
		r.settle(p, p.answers[:1], ack, nil) // after the message: a bot says that it is done when it has this
		ack.Duplicate = true
		r.settle(p, p.answers[1:], ack, nil)
	}
	r.eraseLeftovers(line)
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
	r.flushThread(t)
	t.log.stop()
	t.log = nil
	r.threads.opened--
	r.forgetBare(t)
}
