package bots

import (
	"context"
	"errors"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"confab/bots/provider"
	"confab/bots/tool"
	"confab/bots/voice"
	"confab/rooms"
	"confab/signaling/wire"
)

const (
	maxTurns      = 8  // of one answer
	maxTurnCalls  = 16 // of tools, of one turn
	maxToolOutput = 16 << 10
	toolPatience  = 30 * time.Second
	// A bot that says nothing tells this often that it is at work.
	signOfLife = 2 * time.Second
)

// A runner gives one answer.
type runner struct {
	// Set by newRunner, then constant.
	seat    *seat
	bot     *bot
	q       *question
	out     *rooms.Run
	service *Service
	began   time.Time
	view    *view

	// Owned by run.
	tools     map[string]tool.Tool
	usage     provider.Usage
	model     string
	degraded  bool
	cacheable bool
	text      []byte
	first     time.Time
	full      bool
	sources   []wire.Seq
	spoken    *voice.Answer // nil = it is not

	mu    sync.Mutex
	phase wire.Phase  // told while nothing else is; empty = the bot writes; guarded by mu
	alive *time.Timer // guarded by mu
}

func newRunner(s *seat, q *question, out *rooms.Run) *runner {
	r := &runner{seat: s, bot: s.bot, q: q, out: out, service: s.hall.service, began: time.Now(), cacheable: true}
	r.view = newView(out.Context(), s, q)
	return r
}

// run answers, and ends the run whatever happens.
func (r *runner) run() {
	end := rooms.RunEnd{Status: wire.RunFailed, Err: wire.Errorf(wire.CodeInternal, "something went wrong while answering; ask again")}
	defer func() {
		if p := recover(); p != nil {
			r.service.logger.Error("a bot failed", "bot", string(r.bot.ID), "panic", p, "stack", string(debug.Stack()))
			end = rooms.RunEnd{Status: wire.RunFailed, Err: wire.Errorf(wire.CodeInternal, "something went wrong while answering; ask again")}
		}
		r.silent()
		if errors.Is(context.Cause(r.out.Context()), rooms.ErrRunCancelled) {
			end.Status = wire.RunCancelled
		}
		r.out.End(end)
		if end.Status == wire.RunCancelled {
			r.spoken.Stop()
		}
		r.spoken.End()
		r.account(end)
	}()
	end = r.answer(r.out.Context())
}

func (r *runner) account(end rooms.RunEnd) {
	if m := r.service.opts.Metrics; m != nil {
		first := time.Duration(0)
		if !r.first.IsZero() {
			first = r.first.Sub(r.began)
		}
		m.Run(r.bot.ID, end.Status, first, time.Since(r.began), r.usage, r.degraded)
	}
}

// answer gives the answer, from the cache when it is there.
func (r *runner) answer(ctx context.Context) rooms.RunEnd {
	r.at(wire.PhaseContext)
	req, ground, err := r.prepare(ctx)
	if err != nil {
		return r.failed(err)
	}
	key := ""
	if !r.q.follows && r.q.regenerate == 0 {
		key = ground.key()
		hit, ok := r.service.cache.get(key)
		if r.service.opts.Metrics != nil {
			r.service.opts.Metrics.Asked(ok)
		}
		if ok {
			r.write(hit.text)
			return rooms.RunEnd{Status: wire.RunCompleted, Model: hit.model, Cached: true, Sources: hit.from}
		}
	}
	end := r.turns(ctx, req)
	if key != "" && end.Status == wire.RunCompleted && end.Reason == "" && r.cacheable && !r.degraded && len(r.text) > 0 {
		r.service.cache.put(cached{
			key: key, room: r.seat.hall.room, thread: r.q.thread, text: string(r.text), model: r.model, from: end.Sources,
		})
	}
	return end
}

// turns asks the model until it has nothing more to ask of tools.
func (r *runner) turns(ctx context.Context, req provider.Request) rooms.RunEnd {
	for n := range maxTurns {
		if n == maxTurns-1 {
			req.Tools = nil // it has looked enough
		}
		r.at(wire.PhaseModel)
		before := len(r.text)
		turn, err := r.bot.model.Answer(ctx, req, r.emit)
		r.spend(turn.Usage)
		if turn.Model != "" {
			r.model = turn.Model
		}
		r.degraded = r.degraded || turn.Degraded
		switch {
		case err != nil:
			return r.failed(err)
		case turn.Stop != provider.Tools:
			return r.done(turn.Stop)
		case r.full:
			return r.done(provider.Length)
		}
		calls := turn.Calls[:min(len(turn.Calls), maxTurnCalls)]
		results := provider.Message{Role: provider.ToolRole}
		for _, call := range calls {
			results.Results = append(results.Results, r.use(ctx, call))
			if ctx.Err() != nil {
				return r.failed(context.Cause(ctx))
			}
		}
		req.Messages = append(req.Messages, provider.Message{
			Role: provider.Assistant, Text: string(r.text[before:]), Thoughts: turn.Thoughts, Calls: calls,
		}, results)
	}
	return r.done(provider.Length)
}

// spend counts what a turn has used, also of an answer that was stopped meanwhile.
func (r *runner) spend(used provider.Usage) {
	r.usage = r.usage.Add(used)
	if r.bot.Limits.counted() {
		r.out.Spend(used.Input + used.Output)
	}
}

func (r *runner) done(stop provider.Stop) rooms.RunEnd {
	end := rooms.RunEnd{Status: wire.RunCompleted, Usage: r.used(), Model: r.model, Degraded: r.degraded, Sources: r.sources}
	switch {
	case stop == provider.Refused && len(r.text) == 0:
		end.Status, end.Err = wire.RunFailed, wire.Errorf(wire.CodeBotFailed, "the model's provider does not let it answer this")
	case len(r.text) == 0:
		end.Status, end.Err = wire.RunFailed, wire.Errorf(wire.CodeBotFailed, "%s had nothing to say; ask in other words", r.bot.Name)
	case r.full || stop == provider.Length:
		end.Reason = wire.StreamLength
	}
	return end
}

func (r *runner) used() *wire.Usage {
	if r.usage == (provider.Usage{}) {
		return nil
	}
	return &wire.Usage{Input: r.usage.Input, Cached: r.usage.Cached, Output: r.usage.Output}
}

// failed says what went wrong in words for people. What was written stays.
func (r *runner) failed(err error) rooms.RunEnd {
	end := rooms.RunEnd{Status: wire.RunFailed, Usage: r.used(), Model: r.model, Degraded: r.degraded, Sources: r.sources}
	if problem, ok := errors.AsType[*provider.Error](err); ok {
		r.service.logger.Warn("a bot's provider failed", "bot", string(r.bot.ID), "error", problem)
		end.Err = &wire.Error{Code: wire.CodeBotFailed, Text: providerTexts[problem.Code], RetryAfter: problem.RetryAfter}
		return end
	}
	if problem, ok := errors.AsType[*wire.Error](err); ok {
		end.Err = problem
		return end
	}
	end.Err = wire.Errorf(wire.CodeCancelled, "the answer was stopped")
	return end
}

var providerTexts = map[provider.Code]string{
	provider.Timeout:        "the model did not answer in time; try again",
	provider.Stalled:        "the model stopped in the middle; ask again",
	provider.RateLimited:    "the model's provider wants fewer questions; try again in a moment",
	provider.Unauthorized:   "the model's provider does not accept this server's key; tell who runs the server",
	provider.BadRequest:     "the model's provider does not take the question as it was sent; tell who runs the server",
	provider.ContextTooLong: "the conversation is too long for this model; ask in a thread",
	provider.Unavailable:    "the model cannot be reached; try again in a moment",
	provider.Broken:         "the model's answer broke off; ask again",
	provider.CircuitOpen:    "the model has failed too often lately; try again in a minute",
}

// emit takes a piece of the model's.
func (r *runner) emit(p provider.Part) {
	switch {
	case p.Text != "":
		r.write(p.Text)
	case p.Thinking != "":
		r.out.Think(p.Thinking)
	}
}

func (r *runner) write(text string) {
	if r.full {
		return
	}
	if r.first.IsZero() {
		r.first = time.Now()
		r.silent()
		if r.q.thread == "" { // not everybody in the call reads a thread
			r.spoken = r.seat.voice().Answer(r.q.run)
		}
	}
	r.spoken.Write(text)
	r.text = append(r.text, text...)
	r.full = !r.out.Write(text)
}

// at tells what the bot is at, now and while it says nothing.
func (r *runner) at(phase wire.Phase) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.phase != phase {
		r.phase = phase
		r.out.Phase(phase)
	}
	if r.alive == nil {
		r.alive = time.AfterFunc(signOfLife, r.stillAlive)
	}
}

func (r *runner) stillAlive() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.alive == nil {
		return
	}
	r.out.Phase(r.phase)
	r.alive.Reset(signOfLife)
}

// silent ends the signs of life: the bot writes, or is done.
func (r *runner) silent() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.alive != nil {
		r.alive.Stop()
		r.alive = nil
	}
	r.phase = ""
}

// use runs one call of a tool.
func (r *runner) use(ctx context.Context, call provider.Call) provider.Result {
	t, ok := r.tools[call.Name]
	if !ok {
		return provider.Result{Call: call.ID, Name: call.Name, Output: "there is no such tool", Failed: true}
	}
	spec := t.Spec()
	id := cut(call.ID, wire.MaxCallBytes)
	began := time.Now()
	r.out.ToolExecuting(wire.ToolExecuting{Call: id, Tool: call.Name, Title: spec.Title, Input: call.Input})
	out, err := r.call(ctx, t, spec, id, call)
	done := wire.ToolCompleted{Call: id, Tool: call.Name, OK: err == nil, Output: out.Text, MS: time.Since(began).Milliseconds()}
	result := provider.Result{Call: call.ID, Name: call.Name, Output: out.Text}
	if spec.Server != "" { // the room's own tools keep to bounds themselves: their output stays whole, and so JSON
		result.Output = cut(out.Text, maxToolOutput)
	}
	if err != nil {
		done.Error, done.Output = err.Error(), ""
		result.Output, result.Failed = err.Error(), true
	}
	for _, seq := range out.Sources {
		if !slices.Contains(r.sources, wire.Seq(seq)) && len(r.sources) < maxSources {
			r.sources = append(r.sources, wire.Seq(seq))
		}
	}
	r.cacheable = r.cacheable && readsOnly[call.Name]
	r.out.ToolCompleted(done)
	if m := r.service.opts.Metrics; m != nil {
		m.Tool(call.Name, err == nil, time.Since(began))
	}
	return result
}

const maxSources = 50

// readsOnly are the tools whose output follows from the messages alone.
var readsOnly = map[string]bool{"search_messages": true, "read_messages": true, "who_said": true}

// call asks a person where that must be, and runs the tool.
func (r *runner) call(ctx context.Context, t tool.Tool, spec tool.Spec, id string, call provider.Call) (tool.Output, error) {
	if r.bot.asks(spec) {
		granted := r.out.Approve(wire.ToolApproval{
			Call: id, Tool: call.Name, Title: spec.Title, Input: call.Input, Digest: digest(spec, call),
		})
		if !granted {
			return tool.Output{}, errors.New("nobody allowed it")
		}
	}
	patience := spec.Timeout
	if patience == 0 {
		patience = toolPatience
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("it took longer than "+patience.String()))
	defer cancel()
	out, err := t.Do(ctx, tool.Call{ID: id, Input: call.Input, Room: r.view, Seed: seed(r.q.run)})
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return out, err
}
