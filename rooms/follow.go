package rooms

import (
	"slices"
	"sync"

	"confab/signaling/wire"
)

// maxFollowers bounds those who follow the answers of one room without being in it.
const maxFollowers = 256

// A RunOutlet is where a room puts what a Follower must see. Its methods never block and are called one after another;
// after RunCompleted or RunLost nothing more comes. What they are given is shared, and must not be changed.
type RunOutlet interface {
	// RunBegun is the first call: the run as it is now, in one piece. by is the bot.
	RunBegun(by wire.Author, so wire.RunState)
	// RunEvent is what happens next: anything that AgentStarted and AgentCompleted enclose.
	RunEvent(wire.ServerMessage)
	// RunCompleted is the end of the run, with what its chat message says of how it came about.
	RunCompleted(wire.AgentCompleted, *wire.RunReceipt)
	// RunLost says that no more will be heard of a run that has not ended: the follower was put out, or the room closed.
	RunLost(*wire.Error)
}

// A Follower is the hold of somebody who follows one answer of a bot and is seen by nobody. It has no part in the
// answer: that goes on when the follower leaves.
type Follower struct {
	// Set by Follow or Consult, then constant.
	place   *Member // not among the room's: whom the room's rules are asked about
	out     RunOutlet
	room    *Room          // nil = there is none
	request wire.RequestID // of the question that it has put; empty = none
	answer  Answer
	settled sync.Once // answer was called

	run *Run // nil until it has begun; owned by who is at work in the room
}

// Follow asks a room for a hold on a run that goes on. It returns at once, and Leave must be called whatever the answer
// is. On success out is told, and answer gets an Ack. Errors: not-found (no such run in a room of this process that
// this person may see), forbidden and room-locked as for who joins, rate-limited (too many follow already).
func (g *Registry) Follow(id Identity, room wire.RoomID, run wire.RunID, out RunOutlet, answer Answer) *Follower {
	f := newFollower(id, out, answer)
	g.mu.Lock()
	if f.room = g.rooms[room]; f.room != nil {
		f.room.refs++
	}
	g.mu.Unlock()
	if f.room == nil {
		f.settle(nil, errNoRun())
		return f
	}
	f.enter(func(r *Room) { r.follow(f, run) })
	return f
}

// A Consultation is a question to a bot by somebody who is not in the room.
type Consultation struct {
	Bot    wire.BotID
	Thread wire.ThreadID // empty = the main timeline
	Prompt string
}

// Consult asks a bot of a room, which is started when it is not in memory, and follows its answer from the first word.
// It returns at once, and Leave must be called whatever the answer is. On success out is told, and answer gets
// an Ack with the run. Errors: those of Follow but the first, those of Member.Ask, unavailable.
func (g *Registry) Consult(id Identity, room wire.RoomID, c Consultation, out RunOutlet, answer Answer) *Follower {
	f := newFollower(id, out, answer)
	f.request = newServerID()
	if f.room = g.hold(room); f.room == nil {
		f.settle(nil, errGoingDown())
		return f
	}
	f.enter(func(r *Room) { r.consult(f, c) })
	return f
}

func newFollower(id Identity, out RunOutlet, answer Answer) *Follower {
	id.Participant = "" // it is none
	return &Follower{place: &Member{Identity: id, out: nowhere{}}, out: out, answer: answer}
}

func errNoRun() error {
	return wire.Errorf(wire.CodeNotFound, "there is no such answer under way")
}

// settle gives the answer, once.
func (f *Follower) settle(body wire.ServerMessage, err error) {
	f.settled.Do(func() { f.answer(body, err) })
}

// enter has the room do fn with f among its followers. f holds a reference to the room, which is given back when f is
// let go of.
func (f *Follower) enter(fn func(*Room)) {
	r := f.room
	f.place.room = r
	over := func(_ wire.ServerMessage, err error) { // the room ended before it came to this
		r.registry.release(r)
		f.settle(nil, err)
	}
	r.post(over, func() {
		if r.followers == nil {
			r.followers = map[*Follower]bool{}
		}
		r.followers[f] = true
		if err := r.mayFollow(f); err != nil {
			f.settle(nil, err)
			return
		}
		f.place.state = memberOnline
		fn(r)
	})
}

// Leave gives the hold back. It may be called more than once, and at any time.
func (f *Follower) Leave() {
	if f.room != nil {
		f.room.post(noAnswer, func() { f.room.letGo(f) })
	}
}

// mayFollow reports why f must stay outside, nil when it may look in.
func (r *Room) mayFollow(f *Follower) error {
	if r.loadErr != nil {
		return &wire.Error{Code: wire.CodeUnavailable, Text: "the room cannot be opened now; try again", Err: r.loadErr}
	}
	if len(r.followers) > maxFollowers {
		return wire.Errorf(wire.CodeRateLimited, "too many follow the answers of this room; try again in a moment")
	}
	r.newMeeting()
	return r.mayEnter(f.place)
}

func (r *Room) follow(f *Follower, run wire.RunID) {
	u := r.runBy(func(u *Run) bool { return u.Run == run })
	if u == nil || u.thread != nil && !u.thread.visible(f.place) {
		f.settle(nil, errNoRun())
		return
	}
	r.attach(f, u)
}

// consult puts the question of f. Its run finds f by the request, before the bot hears that it has begun.
func (r *Room) consult(f *Follower, c Consultation) {
	answer := func(_ wire.ServerMessage, err error) {
		if err == nil { // and yet it was not attached
			err = wire.Errorf(wire.CodeInternal, "the bot has not begun to answer")
		}
		f.settle(nil, err)
	}
	msg := wire.AIRequest{Bot: c.Bot, Prompt: c.Prompt}
	if c.Thread == "" {
		r.ask(f.place, r.main, f.request, msg, answer)
		return
	}
	r.inThread(f.place, c.Thread, answer, func(t *timeline) { r.ask(f.place, t, f.request, msg, answer) })
}

// attachAsker lets who has asked for u by Consult follow it. It has just begun.
func (r *Room) attachAsker(u *Run) {
	for f := range r.followers {
		if f.run == nil && f.request != "" && f.request == u.Request {
			r.attach(f, u)
			return
		}
	}
}

func (r *Room) attach(f *Follower, u *Run) {
	f.run = u
	u.followers = append(u.followers, f)
	so := u.state()
	if so.Waiting != nil { // it changes when somebody decides
		waiting := *so.Waiting
		so.Waiting = &waiting
	}
	f.out.RunBegun(*u.by.author(), so)
	f.settle(wire.Ack{Run: u.Run}, nil)
}

// letGo ends the hold of f, if it has not ended.
func (r *Room) letGo(f *Follower) {
	if !r.followers[f] {
		return
	}
	delete(r.followers, f)
	f.place.state = memberGone
	if u := f.run; u != nil {
		u.followers = slices.DeleteFunc(u.followers, func(other *Follower) bool { return other == f })
	}
	f.settle(nil, wire.Errorf(wire.CodeCancelled, "it was not waited for"))
	r.registry.release(r)
}

// completeFollowers tells the end of u to who follows it.
func (r *Room) completeFollowers(u *Run, end wire.AgentCompleted, receipt *wire.RunReceipt) {
	for _, f := range slices.Clone(u.followers) {
		f.out.RunCompleted(end, receipt)
		r.letGo(f)
	}
}

// loseFollowers puts out the followers that match.
func (r *Room) loseFollowers(problem *wire.Error, match func(*Follower) bool) {
	for f := range r.followers {
		if !match(f) {
			continue
		}
		f.settle(nil, problem)
		if f.run != nil {
			f.out.RunLost(problem)
		}
		r.letGo(f)
	}
}
