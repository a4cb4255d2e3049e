package bots

import (
	"context"
	"time"

	"confab/rooms"
	"confab/signaling/wire"
)

// A question is one that a bot shall answer.
type question struct {
	run         wire.RunID
	by          wire.Author
	participant wire.ParticipantID
	request     wire.RequestID // of an ai-request
	thread      wire.ThreadID
	seq         wire.Seq // the message that asks; 0 = none does
	text        string
	prompt      string   // of an ai-request
	about       wire.Seq // the message that is asked about
	regenerate  wire.Seq
	was         *wire.RunReceipt // of the answer that is given anew
	follows     bool             // it means something only after what was said before
	hops        int
	lastRead    wire.Seq
	spoken      bool // it was said aloud, and a machine has written it down
}

// A desk takes the questions to one bot in one room: so many are answered at a time, so many wait, in their order.
type desk struct {
	seat     *seat
	admitted chan struct{} // takes one for each question that is answered or waits
	slots    chan struct{} // takes one for each that is answered
}

func newDesk(s *seat) *desk {
	l := s.bot.Limits
	return &desk{seat: s, admitted: make(chan struct{}, l.Concurrent+l.Queue), slots: make(chan struct{}, l.Concurrent)}
}

// ask takes a question, or says why not: to answer when there is one, else in the room.
func (d *desk) ask(q *question, answer rooms.Answer) {
	service := d.seat.hall.service
	if refusal := service.budget.ask(d.seat.bot, q.by.User); refusal != nil {
		d.refuse(q, answer, refusal)
		return
	}
	select {
	case d.admitted <- struct{}{}:
		service.running.Go(func() {
			defer func() { <-d.admitted }()
			d.serve(q, answer)
		})
	default:
		d.refuse(q, answer, &wire.Error{
			Code: wire.CodeRateLimited, Text: d.seat.bot.Name + " has too many questions waiting; ask again in a moment", RetryAfter: 5 * time.Second,
		})
	}
}

// refuse says why a question is not answered: in the room, where no answer waits for it, by a run that leaves no
// message. There it is said now and then only, however often somebody asks.
func (d *desk) refuse(q *question, answer rooms.Answer, refusal *wire.Error) {
	service := d.seat.hall.service
	switch {
	case answer != nil:
		answer(nil, refusal)
	case service.budget.tells(d.seat.bot, q.by.User):
		service.running.Go(func() {
			if u, err := d.start(q); err == nil {
				u.End(rooms.RunEnd{Status: wire.RunFailed, Err: refusal, Quiet: true})
			}
		})
	}
}

// serve answers a question when its turn has come.
func (d *desk) serve(q *question, answer rooms.Answer) {
	if refusal := d.overspent(q); refusal != nil {
		d.refuse(q, answer, refusal)
		return
	}
	u, err := d.start(q)
	if answer != nil {
		answer(wire.Ack{Run: q.run}, err)
	}
	if err != nil {
		return
	}
	select {
	case d.slots <- struct{}{}:
	default:
		u.Phase(wire.PhaseQueued)
		select {
		case d.slots <- struct{}{}:
		case <-u.Context().Done():
			return // the room has ended it
		}
	}
	defer func() { <-d.slots }()
	newRunner(d.seat, q, u).run()
}

// overspent says why the bot has no more to say to who asks today; nil = it has, or that cannot be known.
func (d *desk) overspent(q *question) *wire.Error {
	if !d.seat.bot.Limits.counted() {
		return nil
	}
	used := make(chan *wire.Error, 1)
	d.seat.place.Spent(q.by.User, func(s rooms.Spent, err error) {
		if err != nil { // which the run will meet too, and tell
			s = rooms.Spent{}
		}
		used <- overspent(d.seat.bot, s)
	})
	select {
	case refusal := <-used:
		return refusal
	case <-d.seat.hall.ctx.Done():
		return nil
	}
}

// start begins the run in the room.
func (d *desk) start(q *question) (*rooms.Run, error) {
	type started struct {
		run *rooms.Run
		err error
	}
	done := make(chan started, 1)
	replyTo := q.seq
	if replyTo == 0 {
		replyTo = q.about
	}
	d.seat.place.StartRun(rooms.RunStart{
		AgentStarted: wire.AgentStarted{
			Run: q.run, Bot: d.seat.bot.ID, Request: q.request, ReplyTo: replyTo, By: q.by, Prompt: q.prompt, Regenerate: q.regenerate,
		},
		Thread: q.thread, Hops: q.hops,
	}, func(u *rooms.Run, err error) { done <- started{u, err} })
	select {
	case s := <-done:
		return s.run, s.err
	case <-d.seat.hall.ctx.Done():
		return nil, wire.Errorf(wire.CodeCancelled, "the bot was put out")
	}
}

// await runs a request of a member and waits for its answer.
func await(ctx context.Context, request func(rooms.Answer)) (wire.ServerMessage, error) {
	type given struct {
		body wire.ServerMessage
		err  error
	}
	done := make(chan given, 1)
	request(func(body wire.ServerMessage, err error) { done <- given{body, err} })
	select {
	case g := <-done:
		return g.body, g.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}
