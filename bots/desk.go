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
	refusal, tell := service.budget.ask(d.seat.bot, d.seat.hall.room, q.by.User)
	if refusal == nil {
		select {
		case d.admitted <- struct{}{}:
			service.running.Go(func() {
				defer func() { <-d.admitted }()
				d.serve(q, answer)
			})
			return
		default:
			refusal, tell = &wire.Error{
				Code: wire.CodeRateLimited, Text: d.seat.bot.Name + " has too many questions waiting; ask again in a moment", RetryAfter: 5 * time.Second,
			}, true
		}
	}
	switch {
	case answer != nil:
		answer(nil, refusal)
	case tell:
		service.running.Go(func() { d.refuse(q, refusal) })
	}
}

// refuse says in the room why a question is not answered. It leaves no message.
func (d *desk) refuse(q *question, refusal *wire.Error) {
	if u, err := d.start(q); err == nil {
		u.End(rooms.RunEnd{Status: wire.RunFailed, Err: refusal, Quiet: true})
	}
}

// serve answers a question when its turn has come.
func (d *desk) serve(q *question, answer rooms.Answer) {
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
