package rooms

import (
	"cmp"
	"context"
	"slices"

	"confab/signaling/wire"
)

// maxOverviews bounds what one call of Overviews looks at, for each asks a room.
const maxOverviews = 200

// An Overview is what a room is now.
type Overview struct {
	Room         wire.RoomID        `json:"room"`
	Title        string             `json:"title"`
	Locked       bool               `json:"locked"`
	Capacity     int                `json:"capacity"` // participants that it holds, bots aside
	Mode         wire.Mode          `json:"mode"`
	Recording    bool               `json:"recording"`
	Participants []wire.Participant `json:"participants"` // in the order in which they came, bots too
	Bots         []wire.BotID       `json:"bots"`         // that are let in
	LastSeq      wire.Seq           `json:"lastSeq"`      // of the main timeline; 0 = nothing was said
}

// A Setup is what may be set of a room; what is nil stays as it is.
type Setup struct {
	Title    *string
	Locked   *bool
	Capacity *int // 0 = as the server has it
}

// An Operator acts in rooms for whoever runs the server: it is in none of them, and may do what a moderator may. What
// it does is done by the rooms, as what members do. Its methods wait for the room, which is started when it is not in
// memory, until ctx ends. Errors are *wire.Error: unavailable, timeout, and those named.
type Operator struct{ registry *Registry }

// Operator returns the operator of all rooms of this registry.
func (g *Registry) Operator() Operator { return Operator{g} }

// Overviews returns up to limit rooms of this process that are open, by name, those after a name, and whether there are
// more. A room that ends meanwhile is left out.
func (o Operator) Overviews(ctx context.Context, after wire.RoomID, limit int) (all []Overview, more bool, err error) {
	limit = max(1, min(limit, maxOverviews))
	names := o.registry.namesAfter(after)
	for _, name := range names[:min(limit, len(names))] {
		view, err := o.look(ctx, name)
		switch {
		case err == nil:
			all = append(all, view)
		case wire.AsError(err).Code != wire.CodeNotFound:
			return nil, false, err
		}
	}
	return all, len(names) > limit, nil
}

// namesAfter lists the rooms in memory whose names come after a name.
func (g *Registry) namesAfter(after wire.RoomID) []wire.RoomID {
	g.mu.Lock()
	defer g.mu.Unlock()
	names := make([]wire.RoomID, 0, len(g.rooms))
	for name := range g.rooms {
		if name > after {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// look is Overview for a room that is in memory; it does not start one.
func (o Operator) look(ctx context.Context, room wire.RoomID) (Overview, error) {
	r := o.registry.holdOpen(room)
	if r == nil {
		return Overview{}, errNoRoom()
	}
	return overviewOf(o.do(ctx, r, func(r *Room, answer Answer) { answer(overviewAnswer{Overview: r.overview()}, nil) }))
}

// Overview returns a room. Errors: not-found (nobody was ever in it).
func (o Operator) Overview(ctx context.Context, room wire.RoomID) (Overview, error) {
	return overviewOf(o.in(ctx, room, func(r *Room, answer Answer) {
		if !r.used() {
			answer(nil, errNoRoom())
			return
		}
		answer(overviewAnswer{Overview: r.overview()}, nil)
	}))
}

// Configure sets what is not nil, also of a room in which nobody has been yet, and returns the room. Errors: conflict (the
// server holds fewer participants); then nothing is set.
func (o Operator) Configure(ctx context.Context, room wire.RoomID, setup Setup) (Overview, error) {
	return overviewOf(o.in(ctx, room, func(r *Room, answer Answer) {
		r.configure(setup, func(_ wire.ServerMessage, err error) {
			if err != nil {
				answer(nil, err)
				return
			}
			answer(overviewAnswer{Overview: r.overview()}, nil)
		})
	}))
}

// End puts everyone out. With erase the room forgets what it keeps: messages and threads, in storage too, title, bans
// and bots. Errors: not-found.
func (o Operator) End(ctx context.Context, room wire.RoomID, erase bool) error {
	return o.act(ctx, room, func(r *Room, answer Answer) {
		switch {
		case !r.used():
			answer(nil, errNoRoom())
		case erase:
			r.end(func(_ wire.ServerMessage, err error) {
				if err != nil {
					answer(nil, err)
					return
				}
				r.eraseAll(answer)
			})
		default:
			r.end(answer)
		}
	})
}

// Moderate does what a moderator may, to a participant or to the room. Errors: not-found, forbidden, conflict.
func (o Operator) Moderate(ctx context.Context, room wire.RoomID, msg wire.Moderate) error {
	return o.act(ctx, room, func(r *Room, answer Answer) { r.moderate(r.operator(wire.Author{}), msg, answer) })
}

// ToggleBot lets a bot in, or puts it out. Errors: not-found, conflict.
func (o Operator) ToggleBot(ctx context.Context, room wire.RoomID, msg wire.BotToggle) error {
	return o.act(ctx, room, func(r *Room, answer Answer) { r.toggleBot(r.operator(wire.Author{}), msg, answer) })
}

// Bans returns who is banned, the newest first. Errors: not-found.
func (o Operator) Bans(ctx context.Context, room wire.RoomID) (wire.ServerMessage, error) {
	return o.in(ctx, room, func(r *Room, answer Answer) {
		if !r.used() {
			answer(nil, errNoRoom())
			return
		}
		r.bans(r.operator(wire.Author{}), answer)
	})
}

// History returns a page of a timeline, which no private thread is, as of Member.History.
func (o Operator) History(ctx context.Context, room wire.RoomID, thread wire.ThreadID, msg wire.History) (wire.ServerMessage, error) {
	return o.in(ctx, room, func(r *Room, answer Answer) {
		switch {
		case !r.used():
			answer(nil, errNoRoom())
		case thread == "":
			r.main.history(msg, answer)
		default:
			r.inKnownThread(r.operator(wire.Author{}), thread, answer, func(t *timeline) { t.history(msg, answer) })
		}
	})
}

// Say says something as somebody who is not in the room. It is stored like any message, and a repeat of id by the same
// user is as harmless. Errors: as of Member.Chat.
func (o Operator) Say(ctx context.Context, room wire.RoomID, thread wire.ThreadID, as wire.Author, id wire.RequestID, msg wire.Chat) (wire.Ack, error) {
	body, err := o.in(ctx, room, func(r *Room, answer Answer) {
		m := r.operator(as)
		if thread == "" {
			r.chat(m, r.main, id, msg, answer)
			return
		}
		r.inThread(m, thread, answer, func(t *timeline) { r.chat(m, t, id, msg, answer) })
	})
	ack, _ := body.(wire.Ack)
	return ack, err
}

// operator is who acts in the room without being in it.
func (r *Room) operator(as wire.Author) *Member {
	return &Member{
		Identity: Identity{
			User: as.User, Name: as.Name, Kind: cmp.Or(as.Kind, wire.Bot), Role: wire.RoleModerator, Grants: wire.RoleGrants(wire.RoleModerator),
		},
		room: r, out: nowhere{}, state: memberOnline, absent: true,
	}
}

// act is in for what answers with nothing.
func (o Operator) act(ctx context.Context, room wire.RoomID, fn func(*Room, Answer)) error {
	_, err := o.in(ctx, room, fn)
	return err
}

// in does fn in a room, which is started when it is not in memory.
func (o Operator) in(ctx context.Context, room wire.RoomID, fn func(*Room, Answer)) (wire.ServerMessage, error) {
	r := o.registry.hold(room)
	if r == nil {
		return nil, errGoingDown()
	}
	return o.do(ctx, r, fn)
}

// do has a room that is held do fn, and waits for the answer. The room is held until then, also when ctx ends first.
func (o Operator) do(ctx context.Context, r *Room, fn func(*Room, Answer)) (wire.ServerMessage, error) {
	type outcome struct {
		body wire.ServerMessage
		err  error
	}
	answered := make(chan outcome, 1)
	answer := func(body wire.ServerMessage, err error) {
		o.registry.release(r)
		answered <- outcome{body, err}
	}
	r.post(answer, func() {
		if r.loadErr != nil {
			answer(nil, &wire.Error{Code: wire.CodeUnavailable, Text: "the room cannot be opened now; try again", Err: r.loadErr})
			return
		}
		fn(r, answer)
	})
	select {
	case got := <-answered:
		return got.body, got.err
	case <-ctx.Done():
		return nil, &wire.Error{Code: wire.CodeTimeout, Text: "the room is busy; try again", Err: context.Cause(ctx)}
	}
}

// holdOpen is hold for a room that is in memory, nil when it is not.
func (g *Registry) holdOpen(id wire.RoomID) *Room {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := g.rooms[id]
	if r == nil || g.closed {
		return nil
	}
	r.refs++
	return r
}

func errNoRoom() error {
	return wire.Errorf(wire.CodeNotFound, "there is no such room: nobody was in it, and nothing is set of it")
}

// overviewAnswer carries an Overview through an Answer. It never reaches a client.
type overviewAnswer struct {
	wire.Ack
	Overview
}

func overviewOf(body wire.ServerMessage, err error) (Overview, error) {
	got, _ := body.(overviewAnswer)
	return got.Overview, err
}

// used reports whether there is anything to the room: people, messages or settings.
func (r *Room) used() bool {
	d := &r.doc
	return !r.empty() || r.main.last != 0 || d.Title != "" || d.Locked || len(d.Bans) > 0 || len(d.Bots) > 0 || d.Capacity > 0 || r.threads != nil
}

func (r *Room) overview() Overview {
	view := Overview{
		Room: r.id, Title: r.doc.Title, Locked: r.doc.Locked, Capacity: r.capacity(), Mode: r.call.mode, Recording: r.recording.active != nil,
		Participants: make([]wire.Participant, 0, len(r.order)), Bots: append([]wire.BotID{}, r.doc.Bots...), LastSeq: r.main.last,
	}
	for _, m := range r.order {
		view.Participants = append(view.Participants, m.participant())
	}
	return view
}

// configure sets what an operator wants. A lock that an operator has set stays when the meeting ends.
func (r *Room) configure(setup Setup, answer Answer) {
	if setup.Capacity != nil {
		capacity := *setup.Capacity
		setup.Capacity = nil
		r.setCapacity(r.operator(wire.Author{}), capacity, func(_ wire.ServerMessage, err error) {
			if err != nil {
				answer(nil, err)
				return
			}
			r.configure(setup, answer)
		})
		return
	}
	if setup.Title != nil && *setup.Title != r.doc.Title {
		r.doc.Title = *setup.Title
		r.broadcastState(wire.Encode(wire.Envelope{Room: r.id}, wire.RoomInfo{Title: setup.Title}), "title/"+string(r.id), nil)
	}
	if setup.Locked != nil {
		r.doc.StaysLocked = *setup.Locked
		r.lock(*setup.Locked)
	}
	r.saveThenAck(answer)
}

// eraseAll forgets what the room keeps, after everybody was put out. The answer comes when every timeline bears a clear,
// after which storage is overwritten as it is after every clear, also when the process ends first.
func (r *Room) eraseAll(answer Answer) {
	for _, bot := range slices.Clone(r.doc.Bots) {
		r.removeBot(bot, "left")
	}
	r.doc.Title, r.doc.StaysLocked, r.doc.Capacity, r.doc.Bans, r.doc.Later = "", false, 0, nil, nil
	r.armLater()
	clear(r.reads)
	timelines := []*thread{}
	if r.threads != nil {
		for _, t := range r.threads.all {
			t.marks = nil
			if t.kept && t.messages > 0 {
				timelines = append(timelines, t)
			}
		}
	}
	r.eraseThreads(timelines, answer)
}

// eraseThreads clears one thread after another, so that few of their logs are read at a time, and then the main timeline.
func (r *Room) eraseThreads(left []*thread, answer Answer) {
	if len(left) == 0 {
		r.eraseTimeline(r.main, answer, func() { r.saveThenAck(answer) })
		return
	}
	r.withLog(left[0], func(line *timeline, err error) {
		if err != nil {
			answer(nil, err)
			return
		}
		r.eraseTimeline(line, answer, func() { r.eraseThreads(left[1:], answer) })
	})
}

// eraseTimeline clears a timeline, if there is anything in it, and goes on with then; answer gets the error.
func (r *Room) eraseTimeline(t *timeline, answer Answer, then func()) {
	if len(t.messages) == 0 {
		then()
		return
	}
	by := r.operator(operatorAuthor)
	r.append(by, t, "", &content{head: r.head(by, t, wire.KindClear, ""), cleared: true}, func(_ wire.ServerMessage, err error) {
		if err != nil {
			answer(nil, err)
			return
		}
		then()
	})
}

// operatorAuthor is whom the log names for what an operator does in its own name.
var operatorAuthor = wire.Author{User: "operator", Name: "Operator", Kind: wire.Bot}
