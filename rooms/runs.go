package rooms

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"confab/signaling/wire"
)

const (
	// maxRuns bounds the answers under way in one room, those that are queued too.
	maxRuns = 64
	// Pieces of an answer are gathered this long, from the one before, so that one goes out at once and a quick model
	// does not cost a frame for each token.
	mergeFor = 30 * time.Millisecond
	// What is written of answers is kept at least this often, so that a killed server has lost no more.
	checkpointEvery = 500 * time.Millisecond
	// A person has this long to decide about a tool.
	approvalPatience = 2 * time.Minute

	maxThinking   = 16 << 10 // bytes that are kept of a run's thoughts
	maxToolOutput = 2 << 10  // bytes of a tool's output that people are shown
	maxRunTools   = 32       // uses of tools that are kept of a run
	maxShownUses  = 8        // of them of which the log keeps what went in and came out
	maxShownChars = 500      // of either
)

var (
	errRunOver = errors.New("rooms: the run is over")
	// ErrRunCancelled is the cause of a Run's context when a person has ended it.
	ErrRunCancelled = errors.New("rooms: the run was cancelled")
)

// A Run is one answer of a bot while it is given. The room owns its life: it keeps what was written, tells everyone,
// and ends it when a person wants so, when the bot is put out and when the server was killed. A bot only feeds it; what
// it says after the end is not heard.
//
// Its methods may be called from any goroutine that holds no lock which an Outlet needs, and but for Approve never
// block. What one goroutine says is told in its order.
type Run struct {
	// Set by StartRun, then constant.
	RunStart
	room   *Room
	by     *Member // the bot
	began  time.Time
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu sync.Mutex
	// Guarded by mu.
	said    []said
	armed   bool // the timer runs, or a command that takes what was said is on its way
	taken   time.Time
	written int // bytes of the answer, of which the first go out at once

	// Owned by who is at work in the room.
	thread    *thread // nil = the main timeline
	told      bool    // agent-started was
	over      bool    // it has its end; the answer may still be on its way to the log
	completed bool    // agent-completed was told
	phase     wire.Phase
	thinking  []byte
	streaming bool
	text      []byte
	length    int // UTF-16 code units of text
	first     time.Time
	tools     []wire.ToolExecuting
	done      []wire.ToolCompleted
	waiting   *approval
	followers []*Follower
}

// said is a piece of text, a thought, or something else that happens.
type said struct {
	text     string
	thinking string
	fn       func()
}

// An approval is a tool that waits for a person's word.
type approval struct {
	wire.ToolApproval
	word  chan bool // takes one
	timer *time.Timer
}

// A RunStart is what a run is about.
type RunStart struct {
	wire.AgentStarted
	Thread wire.ThreadID
	Hops   int // bots that have asked one another before
}

// A RunEnd is how a run ended, as its bot has it.
type RunEnd struct {
	Status   wire.RunStatus
	Reason   wire.StreamReason // of the text's end; empty = as Status has it
	Err      *wire.Error       // of one that failed
	Usage    *wire.Usage
	Model    string
	Degraded bool
	Cached   bool
	Sources  []wire.Seq
	Quiet    bool // it leaves no message when nothing was written
}

// NewRunID makes the name of a run.
func NewRunID() wire.RunID { return "run-" + wire.RunID(newServerID()[len("srv-"):]) }

// StartRun begins an answer of m, which is a bot. then is called when everyone has been told, and it is known for good
// that there is a run to be ended; its error is a *wire.Error: rate-limited, unavailable, not-found (the thread),
// cancelled.
func (m *Member) StartRun(start RunStart, then func(*Run, error)) {
	refused := func(_ wire.ServerMessage, err error) { then(nil, err) }
	m.act(refused, func() {
		r := m.room
		if start.Thread == "" {
			r.startRun(m, nil, start, then)
			return
		}
		r.inThread(m, start.Thread, refused, func(t *timeline) {
			r.whenKept(t.thread, func(err error) {
				if err != nil {
					then(nil, err)
					return
				}
				r.startRun(m, t.thread, start, then)
			})
		})
	})
}

func (r *Room) startRun(m *Member, t *thread, start RunStart, then func(*Run, error)) {
	if err := r.mayWrite(m); err != nil {
		then(nil, err)
		return
	}
	if len(r.runs) >= maxRuns {
		then(nil, &wire.Error{Code: wire.CodeRateLimited, Text: "too many answers are under way in this room; try again in a moment", RetryAfter: 5 * time.Second})
		return
	}
	u := r.newRun(m, t, start, now())
	r.runs = append(r.runs, u)
	r.save(func(err error) {
		switch {
		case u.over:
			then(nil, wire.Errorf(wire.CodeCancelled, "the bot was put out"))
		case err != nil:
			r.forgetRun(u)
			then(nil, &wire.Error{Code: wire.CodeUnavailable, Text: "the answer cannot be kept now; try again", Err: err})
		default:
			u.told = true
			r.tellRun(u, u.AgentStarted)
			r.attachAsker(u)
			then(u, nil)
		}
	})
}

func (r *Room) newRun(m *Member, t *thread, start RunStart, began time.Time) *Run {
	u := &Run{RunStart: start, room: r, by: m, thread: t, began: began}
	u.ctx, u.cancel = context.WithCancelCause(r.registry.ctx)
	return u
}

// Context ends with the run. Its cause is ErrRunCancelled when a person has ended it.
func (u *Run) Context() context.Context { return u.ctx }

// CancelRun ends a run; what was written stays. Errors: forbidden, not-found.
func (m *Member) CancelRun(msg wire.AICancel, answer Answer) {
	m.act(answer, func() {
		r := m.room
		u := r.runBy(func(u *Run) bool {
			return u.Run == msg.Run || msg.Run == "" && u.Request == msg.Request && u.By.User == m.User
		})
		switch {
		case u == nil:
			answer(nil, wire.Errorf(wire.CodeNotFound, "there is no such answer under way"))
		case !r.mayEnd(m, u):
			answer(nil, wire.Errorf(wire.CodeForbidden, "only who asked, or a moderator, may stop an answer"))
		default:
			u.flush()
			r.endRun(u, RunEnd{Status: wire.RunCancelled})
			answer(wire.Ack{}, nil)
		}
	})
}

// answering reports whether a run goes on.
func (r *Room) answering() bool {
	return slices.ContainsFunc(r.runs, func(u *Run) bool { return !u.completed })
}

// runBy finds a run that goes on.
func (r *Room) runBy(match func(*Run) bool) *Run {
	for _, u := range r.runs {
		if u.told && !u.over && match(u) {
			return u
		}
	}
	return nil
}

func (r *Room) mayEnd(m *Member, u *Run) bool {
	return u.By.User == m.User || r.roleOf(m) == wire.RoleModerator && (u.thread == nil || u.thread.visible(m))
}

// End ends the run, after all that was said. Only the first end counts.
func (u *Run) End(end RunEnd) { u.do(func() { u.room.endRun(u, end) }) }

// endRunsOf ends the answers of a bot that is put out.
func (r *Room) endRunsOf(m *Member) {
	for _, u := range slices.Clone(r.runs) {
		if u.by == m {
			u.flush()
			r.endRun(u, RunEnd{Status: wire.RunCancelled})
		}
	}
}

// flush tells what was said so far. The room is at work.
func (u *Run) flush() {
	if u.told && !u.over {
		u.take()
	}
}

// endRun is the one end of a run: the answer goes to the log, then agent-completed is told.
func (r *Room) endRun(u *Run, end RunEnd) {
	if u.over {
		return
	}
	u.over = true
	cause := errRunOver
	if end.Status == wire.RunCancelled {
		cause = ErrRunCancelled
	}
	u.cancel(cause)
	if u.waiting != nil {
		r.decided(u, u.waiting, wire.ApprovalExpired, "")
	}
	if !u.told {
		r.forgetRun(u)
		return
	}
	if u.streaming {
		r.tellRun(u, wire.StreamEnd{Run: u.Run, Message: wire.RequestID(u.Run), Length: u.length, Reason: streamReason(end)})
	}
	receipt := u.receipt(end)
	if len(u.text) == 0 && (end.Quiet || end.Status == wire.RunCancelled) {
		r.completeRun(u, receipt, 0)
		return
	}
	line := r.main
	if u.thread != nil {
		line = u.thread.log.line // it stays in memory as long as the run goes on
	}
	r.append(u.by, line, wire.RequestID(u.Run), &content{
		head: r.head(u.by, line, wire.KindChat, wire.RequestID(u.Run)),
		chat: &wire.ChatRecord{Text: string(u.text), ReplyTo: u.ReplyTo, Run: receipt},
	}, func(body wire.ServerMessage, err error) {
		ack, _ := body.(wire.Ack)
		if err != nil { // it stays among those that the next start of the room ends
			receipt.Status, receipt.Error = wire.RunFailed, wire.AsError(err).Body()
		}
		r.completeRun(u, receipt, ack.Seq)
	})
}

func streamReason(end RunEnd) wire.StreamReason {
	switch {
	case end.Reason != "":
		return end.Reason
	case end.Status == wire.RunCancelled:
		return wire.StreamCancelled
	case end.Status == wire.RunFailed:
		return wire.StreamFailed
	default:
		return wire.StreamStop
	}
}

// receipt says how the answer came about.
func (u *Run) receipt(end RunEnd) *wire.RunReceipt {
	c := &wire.RunReceipt{
		Run: u.Run, Bot: u.Bot, Status: end.Status, By: u.By, Request: u.Request, Prompt: u.Prompt, Model: end.Model,
		Degraded: end.Degraded, Cached: end.Cached, Usage: end.Usage, MS: time.Since(u.began).Milliseconds(),
		Sources: end.Sources, Replaces: u.Regenerate, Hops: u.Hops,
	}
	if end.Err != nil {
		c.Error = end.Err.Body()
	}
	if !u.first.IsZero() {
		c.FirstTokenMS = max(u.first.Sub(u.began).Milliseconds(), 1)
	}
	c.Tools = u.toolUses()
	return c
}

// toolUses is what the receipt says of tools: for who comes later, the first of them with what went in and came out.
func (u *Run) toolUses() []wire.ToolUse {
	var uses []wire.ToolUse
	for n, t := range u.done {
		use := wire.ToolUse{Tool: t.Tool, OK: t.OK, MS: t.MS}
		var input string
		if i := slices.IndexFunc(u.tools, func(x wire.ToolExecuting) bool { return x.Call == t.Call }); i >= 0 {
			use.Title, input = u.tools[i].Title, string(u.tools[i].Input)
		}
		if n < maxShownUses {
			use.Input, use.Output, use.Error = beginning(input), beginning(t.Output), beginning(t.Error)
		}
		uses = append(uses, use)
	}
	return uses
}

// beginning is what a receipt keeps of a text: its first characters.
func beginning(text string) string {
	n := 0
	for i := range text {
		if n++; n > maxShownChars {
			return text[:i]
		}
	}
	return text
}

func (r *Room) completeRun(u *Run, c *wire.RunReceipt, seq wire.Seq) {
	u.completed = true
	end := wire.AgentCompleted{
		Run: u.Run, Status: c.Status, Error: c.Error, Usage: c.Usage, MS: c.MS, FirstTokenMS: c.FirstTokenMS, Cached: c.Cached, Message: seq,
	}
	r.tellRun(u, end)
	r.completeFollowers(u, end, c)
	if seq == 0 && len(u.text) > 0 {
		return // not stored
	}
	r.forgetRun(u)
	r.save(nil)
}

func (r *Room) forgetRun(u *Run) {
	r.runs = slices.DeleteFunc(r.runs, func(x *Run) bool { return x == u })
	u.cancel(errRunOver)
}

// tellRun tells everyone who sees the conversation.
func (r *Room) tellRun(u *Run, body wire.ServerMessage) {
	if body.Kind() != wire.KindAgentCompleted { // which is told with its receipt
		for _, f := range u.followers {
			f.out.RunEvent(body)
		}
	}
	frame := wire.Encode(wire.Envelope{Room: r.id, Thread: u.Thread, From: u.by.Participant}, body)
	if u.thread != nil {
		r.tellThread(u.thread, frame, "", nil)
		return
	}
	r.broadcast(frame, nil)
}

// appendRuns appends the runs that go on in a thread, nil for the main timeline, in JSON.
func (r *Room) appendRuns(out []byte, t *thread) []byte {
	out = append(out, '[')
	comma := false
	for _, u := range r.runs {
		if !u.told || u.completed || u.thread != t {
			continue
		}
		if comma {
			out = append(out, ',')
		}
		comma = true
		out = append(out, mustJSON(u.state())...)
	}
	return append(out, ']')
}

func (u *Run) state() wire.RunState {
	s := wire.RunState{
		Start: u.AgentStarted, From: u.by.Participant, Thread: u.Thread, Started: u.began.UnixMilli(),
		Phase: u.phase, Thinking: string(u.thinking), Text: string(u.text), Tools: u.tools, Done: u.done,
	}
	if u.streaming {
		s.Message = wire.RequestID(u.Run)
	}
	if u.waiting != nil {
		s.Waiting = &u.waiting.ToolApproval
	}
	return s
}
