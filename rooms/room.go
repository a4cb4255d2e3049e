package rooms

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"time"

	"confab/signaling/wire"
)

const (
	// Commands and records that wait for a room that is at work; who brings one more waits too.
	maxQueue = 32
	// Commands that wait while the room is loaded.
	maxDeferred = 4096
	// What a caller does for others before a goroutine goes on: nobody is held by a busy room for long.
	maxFavour = 32
)

// A Room is an actor without a goroutine: what others post is done in order, one command at a time, by one of those
// who post. Whoever finds the room at rest is at work until nothing is left to do, or for maxFavour commands; what
// comes meanwhile is queued for it. A goroutine that sleeps and wakes for each command would be a twentieth of what a
// message costs in a small room, and 1 KiB of memory for each of ten people.
type Room struct {
	// Set by newRoom, then constant.
	id       wire.RoomID
	registry *Registry
	logger   *slog.Logger

	// Guarded by registry.mu.
	refs int // members and joins under way

	mu sync.Mutex
	// Guarded by mu.
	phase   roomPhase
	queue   []command
	taken   int       // commands before it are taken
	space   sync.Cond // on mu: a command was taken, or the room has ended
	waiting int       // of those who wait for space

	// Owned by who is at work.
	members   map[wire.ParticipantID]*Member
	order     []*Member // members in the order they joined
	hearers   []*Member // those of order that are bots: they hear every thread
	main      *timeline
	threads   *threadTable              // nil = none yet
	pending   map[string]*pendingAppend // by deduplication id
	doc       document
	call      call
	door      *door // nil = nobody has needed one
	recording recording
	seats     int         // members that are bots of this server
	bots      []byte      // the bots it may have, as JSON; nil = has changed
	runs      []*Run      // in the order they began
	later     *time.Timer // until the next promise of a bot
	keep      *time.Timer
	keepList  *time.Timer        // runs until the list of members is saved
	keeping   bool               // keep runs
	unkept    bool               // something was spent since the document was last saved
	orphans   []openRun          // of the last process, in threads that could not be opened yet
	retry     *time.Timer        // until orphans are looked at again
	watches   map[*Watch]bool    // nil = none yet
	followers map[*Follower]bool // nil = none yet
	saves     saveQueue
	erasing   eraseQueue
	reads     map[wire.UserID]wire.Seq
	batch     batch       // of logged messages, in a large room
	states    batch       // of presence and other state, in a room of some size
	overdue   *time.Timer // runs while something is pending, and until the next look after that
	looking   bool        // overdue runs
	idle      *time.Timer
	idling    bool // idle runs
	over      bool // the room ends after this command
	loadErr   error
	abandoned bool // another process may run it
	stopFeed  func()
}

// roomPhase is where a room stands.
type roomPhase uint8

const (
	roomLoading roomPhase = iota // commands wait until it is loaded
	roomResting                  // nobody is at work
	roomWorking
	roomEnded
)

// A command is what the room does next: fn, for a member if by is set, or what the log's feed says.
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
	of     *threadLog // nil = the main timeline
}

func newRoom(g *Registry, id wire.RoomID) *Room {
	r := &Room{
		id: id, registry: g, logger: g.logger.With("room", string(id)),
		members: make(map[wire.ParticipantID]*Member),
		main:    newTimeline(g.opts.History),
		pending: make(map[string]*pendingAppend),
		reads:   make(map[wire.UserID]wire.Seq),
	}
	r.space.L = &r.mu
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

// post has fn done by another goroutine than the caller's, who may hold locks that fn needs. When the room has ended,
// answer says so instead.
func (r *Room) post(answer Answer, fn func()) { r.enqueue(command{fn: fn, answer: answer}, false) }

// enqueue takes c in. With here, the caller does the work if nobody else is at it; it must hold no lock.
func (r *Room) enqueue(c command, here bool) {
	r.mu.Lock()
	if !r.push(c) {
		return
	}
	if r.phase != roomResting {
		r.mu.Unlock()
		return
	}
	r.phase = roomWorking
	r.mu.Unlock()
	if here {
		r.work(maxFavour)
	} else {
		r.workBeside()
	}
}

// push queues c, when there is space. mu is held, and still is when it reports true; otherwise the command has been
// answered.
func (r *Room) push(c command) bool {
	for len(r.queue)-r.taken >= maxQueue && r.phase != roomLoading && r.phase != roomEnded {
		if r.phase == roomResting { // records came, and nobody was told yet
			r.phase = roomWorking
			r.workBeside()
		}
		r.waiting++
		r.space.Wait()
		r.waiting--
	}
	var refusal error
	switch {
	case r.phase == roomEnded:
		refusal = errRoomOver()
	case r.phase == roomLoading && c.feed == nil && len(r.queue) >= maxDeferred:
		refusal = wire.Errorf(wire.CodeUnavailable, "the room is being opened; try again")
	}
	if refusal != nil {
		r.mu.Unlock()
		c.answer(nil, refusal)
		return false
	}
	r.queue = append(r.queue, c)
	return true
}

// pop takes the next command. It reports false when there is none, and the room rests.
func (r *Room) pop() (command, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.taken == len(r.queue) {
		r.phase = roomResting
		return command{}, false
	}
	c := r.queue[r.taken]
	r.queue[r.taken] = command{}
	switch r.taken++; {
	case r.taken == len(r.queue):
		r.queue, r.taken = r.queue[:0], 0
		if cap(r.queue) > 2*maxQueue { // from when it was loaded
			r.queue = nil
		}
	case r.taken >= maxQueue && r.taken > len(r.queue)/2: // a busy room's may never be empty
		n := copy(r.queue, r.queue[r.taken:])
		clear(r.queue[n:])
		r.queue, r.taken = r.queue[:n], 0
	}
	if r.waiting > 0 {
		r.space.Signal()
	}
	return c, true
}

// work does what is queued, and leaves the rest to another goroutine after limit commands. The caller has made the
// phase roomWorking.
func (r *Room) work(limit int) {
	working := true
	defer func() {
		if working { // limit was reached; or a command has panicked, which is its caller's to survive
			r.workBeside()
		}
	}()
	for range limit {
		c, ok := r.pop()
		if !ok {
			working = false
			return
		}
		r.do(c)
		r.armIdle()
		if r.over {
			working = false
			r.shut()
			return
		}
	}
}

// workBeside goes on with the work on a goroutine that ends with it. The room holds a count in registry.running.
func (r *Room) workBeside() {
	r.registry.running.Go(func() { r.work(math.MaxInt) })
}

// shut lets go of everything. Commands that wait are answered.
func (r *Room) shut() {
	if r.stopFeed != nil {
		r.stopFeed()
	}
	r.shutThreads()
	r.stopTimers()
	r.dropRuns()
	r.shutDoor()
	r.loseFollowers(errGoingDown(), func(*Follower) bool { return true })
	r.unseatAll()
	r.mu.Lock()
	rest := r.queue[r.taken:]
	r.queue, r.taken, r.phase = nil, 0, roomEnded
	r.space.Broadcast()
	r.mu.Unlock()
	refusal := errRoomOver()
	if r.abandoned {
		refusal = errRoomMoved()
	}
	for _, c := range rest {
		c.answer(nil, refusal)
	}
	r.registry.ended(r)
}

func errRoomMoved() error {
	return wire.Errorf(wire.CodeUnavailable, "the room is moving to another node; try again")
}

func errRoomOver() error {
	return wire.Errorf(wire.CodeNotJoined, "the room is not open; join it again")
}

// Record implements Feed.
func (r *Room) Record(rec Record) { r.hear(&feedEvent{record: rec}) }

// Reset implements Feed.
func (r *Room) Reset(tail Tail) { r.hear(&feedEvent{reset: &tail}) }

// hear queues what the log says; Wake does it.
func (r *Room) hear(ev *feedEvent) {
	r.mu.Lock()
	if r.push(command{feed: ev, answer: noAnswer}) {
		r.mu.Unlock()
	}
}

// Wake implements Feed.
func (r *Room) Wake() {
	r.mu.Lock()
	rested := r.phase == roomResting && r.taken < len(r.queue)
	if rested {
		r.phase = roomWorking
	}
	r.mu.Unlock()
	if rested {
		r.work(maxFavour)
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
	if len(r.knocks()) > 0 {
		r.newMeeting() // nobody has come back to the one that was locked before a restart
	}
	r.over = r.empty() && r.quiet() && r.registry.forget(r)
}

// quiet reports whether nothing is under way that needs the room.
func (r *Room) quiet() bool {
	return !r.busy() && len(r.pending) == 0 && !r.answering() && !r.saves.busy && !r.erasing.busy && r.threadsQuiet() &&
		!r.recording.starting && r.recording.active == nil
}

// busy reports whether commands wait.
func (r *Room) busy() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.taken < len(r.queue)
}

// armIdle starts or stops the idle timer when the room has become empty or is no longer; a room that could not
// be loaded goes at once, so that the next join tries anew.
func (r *Room) armIdle() {
	empty := r.empty()
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
	stopTimer(&r.keep)
	stopTimer(&r.retry)
	stopTimer(&r.keepList)
	stopTimer(&r.later)
	r.batch.timer.Stop()
	r.states.timer.Stop()
	r.call.calm.Stop()
	for _, m := range r.members {
		stopTimer(&m.lost)
		stopTimer(&m.typing)
	}
}

// open loads the room, on a goroutine of its own, and does what was asked of it meanwhile: records too, for the feed
// may begin before Log.Open has returned. When ctx ends first, so does the room.
func (r *Room) open(ctx context.Context) {
	err := r.load(ctx)
	r.mu.Lock()
	r.phase = roomWorking
	r.mu.Unlock()
	if ctx.Err() != nil {
		r.shut()
		return
	}
	if r.loadErr = err; err != nil && !errors.Is(err, ErrOtherOwner) {
		r.logger.Error("cannot open the room", "error", err)
	}
	r.armIdle()
	if err == nil {
		r.checkThreads()
	}
	r.work(math.MaxInt)
}

// load reads the room's document and its timeline. Nothing else touches the room meanwhile.
func (r *Room) load(ctx context.Context) error {
	if owners := r.registry.opts.Owners; owners != nil {
		if err := owners.Hold(ctx, r.id); err != nil {
			return err
		}
	}
	doc, err := r.registry.log.LoadState(ctx, r.id)
	if err != nil {
		return err
	}
	tail, stop, err := r.registry.log.Open(ctx, Timeline{Room: r.id}, r)
	if err != nil {
		return err
	}
	r.stopFeed = stop
	r.openDocument(doc)
	r.main.load(tail)
	r.eraseLeftovers(r.main)
	r.seatAll()
	r.restoreMembers()
	r.endOrphans()
	r.armLater()
	return nil
}

// onFeed takes in what the log says.
func (r *Room) onFeed(ev *feedEvent) {
	if ev.of != nil {
		r.onThreadFeed(ev)
		return
	}
	if ev.reset != nil {
		r.logger.Warn("the log lost continuity; every member starts from a new window", "epoch", ev.reset.Epoch)
		r.flushBatch()
		r.main = newTimeline(r.registry.opts.History)
		r.main.load(*ev.reset)
		r.eraseLeftovers(r.main)
		r.checkThreads()
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
	return time.AfterFunc(d, func() { r.enqueue(command{fn: fn, answer: noAnswer}, true) })
}
