package rooms

import (
	"context"
	"log/slog"
	"time"

	"confab/signaling/wire"
)

const (
	// Commands and records that wait for a room; who brings one more waits too. Small: every room has one.
	inboxSize = 32
	// Commands that wait while the room is loaded.
	maxDeferred = 4096
)

// A Room is an actor: Run owns its state, others post commands.
type Room struct {
	// Set by newRoom, then constant.
	id       wire.RoomID
	registry *Registry
	logger   *slog.Logger
	inbox    chan command  // never closed
	done     chan struct{} // closed by Run as it returns

	// Guarded by registry.mu.
	refs int // members and joins under way

	// Owned by Run.
	members   map[wire.ParticipantID]*Member
	order     []*Member // members in the order they joined
	main      *timeline
	pending   map[string]*pendingAppend // by deduplication id
	doc       document
	call      call
	recording recording
	watches   map[*Watch]bool // nil = none yet
	saves     saveQueue
	erasing   eraseQueue
	reads     map[wire.UserID]wire.Seq
	batch     batch       // of logged messages, in a large room
	states    batch       // of presence and other state, in a room of some size
	overdue   *time.Timer // runs while something is pending
	idle      *time.Timer
	idling    bool // idle runs
	over      bool // Run returns
	loadErr   error
	stopFeed  func()
}

// A command is what Run does next: fn, for a member if by is set, or what the log's feed says.
type command struct {
	fn     func()
	by     *Member // must be online, else answer gets not-joined
	answer Answer
	feed   *feedEvent
}

// feedEvent is one call of Feed.
type feedEvent struct {
	record Record
	reset  *Tail
}

func newRoom(g *Registry, id wire.RoomID) *Room {
	r := &Room{
		id: id, registry: g, logger: g.logger.With("room", string(id)),
		inbox: make(chan command, inboxSize), done: make(chan struct{}),
		members: make(map[wire.ParticipantID]*Member),
		main:    newTimeline(g.opts.History),
		pending: make(map[string]*pendingAppend),
		reads:   make(map[wire.UserID]wire.Seq),
	}
	r.batch.timer = r.newTimer(r.flushBatch)
	r.states.timer = r.newTimer(r.flushStates)
	r.overdue = r.newTimer(r.settleOverdue)
	r.idle = r.newTimer(r.goIfIdle)
	r.call = call{mode: wire.Mesh, calm: r.newTimer(r.calmedDown)}
	return r
}

// newTimer returns a stopped timer that posts fn.
func (r *Room) newTimer(fn func()) *time.Timer {
	t := r.after(time.Hour, fn)
	t.Stop()
	return t
}

// post hands fn to Run. When the room has ended, answer says so instead.
func (r *Room) post(answer Answer, fn func()) { r.enqueue(command{fn: fn, answer: answer}) }

func (r *Room) enqueue(c command) {
	select {
	case <-r.done:
		c.answer(nil, errRoomOver())
		return
	default:
	}
	select {
	case r.inbox <- c:
		return
	default:
	}
	select {
	case r.inbox <- c:
	case <-r.done:
		c.answer(nil, errRoomOver())
	}
}

func errRoomOver() error {
	return wire.Errorf(wire.CodeNotJoined, "the room is not open; join it again")
}

// Record implements Feed.
func (r *Room) Record(rec Record) {
	r.enqueue(command{feed: &feedEvent{record: rec}, answer: noAnswer})
}

// Reset implements Feed.
func (r *Room) Reset(tail Tail) { r.enqueue(command{feed: &feedEvent{reset: &tail}, answer: noAnswer}) }

// Run serves the room until it has been empty for a while or ctx ends.
func (r *Room) Run(ctx context.Context) {
	defer close(r.done)
	defer r.stopTimers()
	defer context.AfterFunc(ctx, func() { r.post(noAnswer, func() { r.over = true }) })()
	deferred, ok := r.load(ctx)
	if !ok {
		return
	}
	defer func() {
		if r.stopFeed != nil {
			r.stopFeed()
		}
	}()
	for _, c := range deferred {
		r.do(c)
	}
	for !r.over {
		r.armIdle()
		r.do(<-r.inbox)
	}
}

func (r *Room) do(c command) {
	switch {
	case c.feed != nil:
		r.onFeed(c.feed)
	case c.by != nil && c.by.state != memberOnline:
		c.answer(nil, wire.Errorf(wire.CodeNotJoined, "join the room first"))
	default:
		c.fn()
	}
}

// goIfIdle ends the room when nobody needs it any more.
func (r *Room) goIfIdle() {
	r.idling = false // armed again, if it is still empty
	r.over = len(r.members) == 0 && r.quiet() && r.registry.forget(r)
}

// quiet reports whether nothing is under way that needs the room.
func (r *Room) quiet() bool {
	return len(r.inbox) == 0 && len(r.pending) == 0 && !r.saves.busy && !r.erasing.busy &&
		!r.recording.starting && r.recording.active == nil
}

// armIdle starts or stops the idle timer when the room has become empty or is no longer; a room that could not
// be loaded goes at once, so that the next join tries anew.
func (r *Room) armIdle() {
	empty := len(r.members) == 0
	if empty == r.idling {
		return
	}
	r.idling = empty
	switch {
	case !empty:
		r.idle.Stop()
	case r.loadErr != nil:
		r.idle.Reset(0)
	default:
		r.idle.Reset(idleRoom)
	}
}

func (r *Room) stopTimers() {
	r.idle.Stop()
	r.overdue.Stop()
	r.batch.timer.Stop()
	r.states.timer.Stop()
	r.call.calm.Stop()
	for _, m := range r.members {
		stopTimer(&m.lost)
		stopTimer(&m.typing)
	}
}

// loaded is what load's goroutine brings.
type loaded struct {
	tail Tail
	stop func()
	doc  []byte
	err  error
}

// load reads the timeline and the room's document. What comes meanwhile is returned, to be done afterwards: records,
// for the feed may begin before Open has returned, and commands. It reports false when ctx ended.
func (r *Room) load(ctx context.Context) (deferred []command, ok bool) {
	result := make(chan loaded, 1)
	r.registry.running.Go(func() {
		var l loaded
		if l.doc, l.err = r.registry.log.LoadState(ctx, r.id); l.err == nil {
			l.tail, l.stop, l.err = r.registry.log.Open(ctx, Timeline{Room: r.id}, r)
		}
		result <- l
	})
	for {
		select {
		case c := <-r.inbox:
			if c.feed == nil && len(deferred) >= maxDeferred {
				c.answer(nil, wire.Errorf(wire.CodeUnavailable, "the room is being opened; try again"))
				continue
			}
			deferred = append(deferred, c)
		case l := <-result:
			r.loadErr = l.err
			if l.err != nil {
				if ctx.Err() == nil {
					r.logger.Error("cannot open the room", "error", l.err)
				}
				return deferred, ctx.Err() == nil
			}
			r.stopFeed = l.stop
			r.openDocument(l.doc)
			r.main.load(l.tail)
			r.eraseLeftovers()
			return deferred, true
		}
	}
}

// onFeed takes in what the log says.
func (r *Room) onFeed(ev *feedEvent) {
	if ev.reset != nil {
		r.logger.Warn("the log lost continuity; every member starts from a new window", "epoch", ev.reset.Epoch)
		r.flushBatch()
		r.main = newTimeline(r.registry.opts.History)
		r.main.load(*ev.reset)
		r.eraseLeftovers()
		for _, m := range r.order {
			if m.state == memberOnline {
				m.out.SendJoined(r.joinedFrame(m, "", nil))
			}
		}
		return
	}
	r.onRecord(ev.record)
}

// background runs fn beside the room, under the registry's lifetime, and posts what it returns.
func (r *Room) background(fn func(ctx context.Context) func()) {
	r.registry.running.Go(func() {
		then := fn(r.registry.ctx)
		r.post(noAnswer, then)
	})
}

func stopTimer(t **time.Timer) {
	if *t != nil {
		(*t).Stop()
		*t = nil
	}
}

// after posts fn once d has passed, unless the returned timer is stopped.
func (r *Room) after(d time.Duration, fn func()) *time.Timer {
	return time.AfterFunc(d, func() { r.post(noAnswer, fn) })
}
