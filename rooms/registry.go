package rooms

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"confab/signaling/wire"
)

// Options of a Registry. The zero value works.
type Options struct {
	// History is the window: how many messages a joining client gets. 0 = wire.DefaultHistory.
	History int
	// Capacity is how many participants a room can hold; 0 = 5,000. RoomCapacity is how many one holds that has no
	// setting of its own; 0 = Capacity.
	Capacity     int
	RoomCapacity int
	// ICE returns the STUN and TURN servers that a participant may use; nil = none. It is called for each join and
	// must not block.
	ICE func(wire.ParticipantID) wire.ICEServers
	// SFU carries the media of rooms that have more than MeshMax participants, a shared screen, a participant that is
	// no browser, or somebody who cannot be reached directly; nil = every call goes from browser to browser.
	SFU     SFU
	MeshMax int // 0 = the SFU is always used, if there is one
	// BackToMesh is how long a room that no longer needs the SFU stays with it, so that people who come and go, or
	// shares that follow one another, do not make it change to and fro; 0 = 10 s.
	BackToMesh time.Duration
	// Recorder records rooms, whose media then goes through the SFU; nil, or no SFU, = that cannot be done.
	Recorder Recorder
	// Bots answer in rooms; nil = there are none.
	Bots Bots
	// Owners say which process runs a room; nil = this one runs every room.
	Owners Owners
	// Durability is what acknowledgements say of how a record is stored ("file", "fsync"); empty = nothing.
	Durability string
	// Events is told of what happens in rooms, Audit of what is done to others there, each room's in order; nil = nobody
	// is. They are called by who is at work in the room, and must not block.
	Events func(Event)
	Audit  func(Act)
	Logger *slog.Logger // nil = slog.Default
}

const (
	defaultCapacity   = 5000
	defaultBackToMesh = 10 * time.Second
	// A room without members is kept this long, so that people who come and go don't make the log be read anew.
	idleRoom = 30 * time.Second
	// After a start, people who were in a room before it need this long to come back. Until then an empty room
	// keeps its lock and its moderators.
	returnWindow = time.Minute
)

var errRegistryClosed = errors.New("rooms: registry closed")

// A Registry owns the rooms of this process.
type Registry struct {
	// Set by New, then constant.
	log     Log
	opts    Options
	logger  *slog.Logger
	started time.Time
	ctx     context.Context
	cancel  context.CancelCauseFunc
	running sync.WaitGroup // rooms and their background work

	noBots func() []byte // the bots of a room that has let none in, as JSON

	mu     sync.Mutex
	rooms  map[wire.RoomID]*Room // guarded by mu
	closed bool                  // guarded by mu
}

// NewRegistry makes an empty registry on log. Close it before the log.
func NewRegistry(log Log, opts Options) *Registry {
	if opts.History <= 0 {
		opts.History = wire.DefaultHistory
	}
	if opts.Capacity <= 0 {
		opts.Capacity = defaultCapacity
	}
	if opts.RoomCapacity <= 0 {
		opts.RoomCapacity = opts.Capacity
	}
	if opts.BackToMesh <= 0 {
		opts.BackToMesh = defaultBackToMesh
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.ICE == nil {
		opts.ICE = func(wire.ParticipantID) wire.ICEServers { return wire.ICEServers{ICEServers: []wire.ICEServer{}} }
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	return &Registry{
		noBots: sync.OnceValue(func() []byte { return mustJSON(opts.Bots.Catalog()) }),
		log:    log, opts: opts, logger: opts.Logger, started: time.Now(),
		ctx: ctx, cancel: cancel, rooms: make(map[wire.RoomID]*Room),
	}
}

// Close ends every room and waits for them, until ctx ends. Nobody is told that members left: they come back to
// the next process.
func (g *Registry) Close(ctx context.Context) error {
	g.mu.Lock()
	g.closed = true
	all := slices.Collect(maps.Values(g.rooms))
	g.mu.Unlock()
	keepAll(ctx, all)
	g.cancel(errRegistryClosed)
	for _, r := range all {
		r.post(noAnswer, func() { r.over = true })
	}
	done := make(chan struct{})
	go func() {
		g.running.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// keepAll saves what is written of answers, until ctx ends: the next process ends them.
func keepAll(ctx context.Context, all []*Room) {
	kept := make(chan struct{}, len(all))
	for _, r := range all {
		done := func() { kept <- struct{}{} }
		r.post(func(wire.ServerMessage, error) { done() }, func() { r.keepLast(done) })
	}
	for range all {
		select {
		case <-kept:
		case <-ctx.Done():
			return
		}
	}
}

// Stats counts what the registry holds now.
type Stats struct {
	Rooms   int // rooms in memory
	Members int // participants of all of them, reconnecting ones too
}

// Stats returns the counts of this moment.
func (g *Registry) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := Stats{Rooms: len(g.rooms)}
	for _, r := range g.rooms {
		s.Members += r.refs
	}
	return s
}

// Join asks a room to let a session in, starting the room when it is not in memory. It returns at once; commands
// on the Member queue behind the join.
//
// On success the room calls out.SendJoined with the frame that answers reqID, then answer(nil, nil). Else
// answer gets a *wire.Error (forbidden: banned; room-locked, room-full, unavailable), and later commands on the
// Member are answered not-joined. A join that knocks at a locked room waits for its answer, up to wire.KnockTimeout:
// answer(nil, nil) also when out was sent a wire.Removed with reqID, timeout when nobody came, cancelled when the
// session is gone, conflict when it has asked again. A participant that is in the room already is taken over: its old Outlet hears
// nothing more.
func (g *Registry) Join(id Identity, room wire.RoomID, reqID wire.RequestID, join wire.Join, out Outlet, answer Answer) *Member {
	m := &Member{Identity: id, room: nil, out: out}
	r := g.hold(room)
	if r == nil {
		answer(nil, errGoingDown())
		m.room = &Room{id: room, registry: g, phase: roomEnded}
		return m
	}
	m.room = r
	dropped := func(body wire.ServerMessage, err error) { // the room ended before it came to this
		g.release(r)
		answer(body, err)
	}
	r.post(dropped, func() { r.join(m, reqID, join, answer) })
	return m
}

func errGoingDown() *wire.Error {
	return wire.Errorf(wire.CodeUnavailable, "the server is going down; try again in a moment")
}

// hold returns the room with one more reference, starting it when needed; nil when the registry is closed.
func (g *Registry) hold(id wire.RoomID) *Room {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		return nil
	}
	r := g.rooms[id]
	if r == nil {
		r = newRoom(g, id)
		g.rooms[id] = r
		g.running.Add(1) // until ended
		g.running.Go(func() { r.open(g.ctx) })
	}
	r.refs++
	return r
}

// ended takes a room out that is no more.
func (g *Registry) ended(r *Room) {
	g.mu.Lock()
	g.letGo(r)
	g.mu.Unlock()
	g.running.Done()
}

// letGo takes a room out, and leaves it to other processes. mu is held, so that it is not taken up again before.
func (g *Registry) letGo(r *Room) {
	if g.rooms[r.id] != r {
		return
	}
	delete(g.rooms, r.id)
	if g.opts.Owners != nil && !g.closed { // at the end of the process all rooms are left together
		g.opts.Owners.Release(r.id)
	}
}

// retain adds a reference to a room that is being loaded or at work.
func (g *Registry) retain(r *Room) {
	g.mu.Lock()
	r.refs++
	g.mu.Unlock()
}

// release gives one reference back. Called by who is at work in the room.
func (g *Registry) release(r *Room) {
	g.mu.Lock()
	r.refs--
	g.mu.Unlock()
}

// forget takes r out of the registry if nobody holds it, and reports whether it did. After that r gets no
// command any more.
func (g *Registry) forget(r *Room) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.refs > 0 {
		return false
	}
	g.letGo(r)
	return true
}

// Abandon ends every room because other processes may run it now. Nobody is told that members left: their sessions are
// sent to look for the room anew (Mover).
func (g *Registry) Abandon() {
	g.mu.Lock()
	all := slices.Collect(maps.Values(g.rooms))
	g.mu.Unlock()
	for _, r := range all {
		r.post(noAnswer, r.abandon)
	}
}

// remove takes a room out that is no longer this process's: who comes now is not given to it.
func (g *Registry) remove(r *Room) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.rooms[r.id] == r {
		delete(g.rooms, r.id)
	}
}
