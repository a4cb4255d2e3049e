// Package resilient keeps answers coming when providers do not: it asks again, lets a provider that fails rest, and
// goes on to the next one, down to a Model that cannot fail.
//
// # Model
//
// A Provider is a Model that asks another one, again where that may help, behind a circuit breaker. A chain (NewChain)
// is a Model of Providers in order and a last Model. Everything here ends with the first Part: what was said cannot be
// taken back, so that an answer that breaks in its middle stays broken, with what was emitted.
//
//   - Asked again are errors that may pass (provider.Error.Retryable), after a time by chance, at least what the server
//     asks for, as long as the first piece can still come in time.
//   - A breaker opens after failures in a row, or when more requests fail than succeed, and lets one request through
//     after a while. What is the fault of the request, or of who cancelled it, does not count.
//   - A server that says when it may be asked again is not asked before, by nobody: who can wait does, others go on.
//
// # Concurrency
//
// Providers and chains may be used by any number of goroutines, and a Provider by any number of chains, which so share
// its breaker. They start no goroutine.
package resilient

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"confab/bots/provider"
	"confab/bots/provider/endpoint"
)

// The defaults.
const (
	DefaultAttempts = 3
	DefaultFailures = 5
	DefaultOpen     = 30 * time.Second
)

const (
	firstWait = 250 * time.Millisecond // before the second attempt, at most; then twice as much each time
	longWait  = 4 * time.Second        // at most
	maxRest   = 5 * time.Minute        // that a server is left alone because it asked for it
	warnEvery = time.Minute            // for each kind of failure
	window    = time.Minute            // that a breaker looks at
	windowMin = 10                     // failures in it before their share counts
)

// Options say what a Provider asks and how patiently. Zero values are the defaults.
type Options struct {
	Name     string
	Model    provider.Model // nil = only Do is used
	First    time.Duration  // until the first piece, with all attempts; 0 = endpoint.DefaultFirst
	Attempts int            // 0 = DefaultAttempts; 1 = never again
	Failures int            // in a row that open the breaker; 0 = DefaultFailures
	Open     time.Duration  // that it stays open; 0 = DefaultOpen
	Meter    Meter          // nil = none
	Logger   *slog.Logger   // nil = slog.Default()
}

// A Meter is told what becomes of requests. It is called from any goroutine, and must not block.
type Meter interface {
	Asked(Attempt)
	// Breaker tells that a provider's breaker opened, or that it closed.
	Breaker(provider string, open bool)
}

// An Attempt is one request to a provider, or one that was not made because its breaker is open.
type Attempt struct {
	Provider string
	Outcome  string        // OutcomeOK, OutcomeCancelled or a provider.Code
	First    time.Duration // until the first piece; 0 = none came
	Took     time.Duration
	Usage    provider.Usage
}

// Outcomes beside the codes of errors.
const (
	OutcomeOK        = "ok"
	OutcomeCancelled = "cancelled" // its context ended
)

// A Provider is one Model, or another thing that is asked over the network, with retries and a breaker. It implements
// provider.Model.
type Provider struct {
	// Set by NewProvider, then constant.
	opts    Options
	log     *slog.Logger
	breaker *gobreaker.TwoStepCircuitBreaker[struct{}]

	// Guarded by mu.
	mu     sync.Mutex
	rest   time.Time // not asked before
	warned map[provider.Code]warning
}

var errPanicked = errors.New("the model panicked")

// A warning is when the last one of a kind was logged, and how many were not since.
type warning struct {
	at      time.Time
	skipped int
}

// NewProvider returns a Provider.
func NewProvider(opts Options) *Provider {
	for _, d := range []struct {
		of  *int
		def int
	}{{&opts.Attempts, DefaultAttempts}, {&opts.Failures, DefaultFailures}} {
		if *d.of <= 0 {
			*d.of = d.def
		}
	}
	if opts.First <= 0 {
		opts.First = endpoint.DefaultFirst
	}
	if opts.Open <= 0 {
		opts.Open = DefaultOpen
	}
	p := &Provider{opts: opts, log: opts.Logger, warned: map[provider.Code]warning{}}
	if p.log == nil {
		p.log = slog.Default()
	}
	p.breaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name: opts.Name, Timeout: opts.Open, Interval: window, BucketPeriod: window / 6,
		ReadyToTrip: p.trips, IsExcluded: isExcluded, OnStateChange: p.changed,
	})
	return p
}

// Name returns the provider's name.
func (p *Provider) Name() string { return p.opts.Name }

func (p *Provider) trips(c gobreaker.Counts) bool {
	return int(c.ConsecutiveFailures) >= p.opts.Failures || c.TotalFailures >= windowMin && c.TotalFailures > c.TotalSuccesses
}

// isExcluded reports errors that say nothing of the provider: the asker's, and those of this request alone.
func isExcluded(err error) bool {
	if err == nil {
		return false
	}
	e, ok := errors.AsType[*provider.Error](err)
	return !ok || e.Code == provider.BadRequest || e.Code == provider.ContextTooLong
}

// changed is called with the breaker's lock held.
func (p *Provider) changed(name string, from, to gobreaker.State) {
	if to == gobreaker.StateHalfOpen {
		return // to be seen
	}
	open := to == gobreaker.StateOpen
	if open && from == gobreaker.StateHalfOpen {
		return // it is open still
	}
	p.log.Info("a provider's circuit breaker changed", "provider", name, "open", open)
	if p.opts.Meter != nil {
		p.opts.Meter.Breaker(name, open)
	}
}

// Answer implements provider.Model. The usage of failed attempts is part of the Turn's.
//
// Errors: the last attempt's.
func (p *Provider) Answer(ctx context.Context, r provider.Request, emit func(provider.Part)) (provider.Turn, error) {
	var turn provider.Turn
	used, err := p.Do(ctx, func(ctx context.Context, began func()) (used provider.Usage, err error) {
		turn, err = p.opts.Model.Answer(ctx, r, func(part provider.Part) {
			began()
			emit(part)
		})
		return turn.Usage, err
	})
	turn.Usage = used
	return turn, err
}

// An Ask is one request to a provider. It calls began with each piece of what comes: after the first one nothing is
// asked again. Its errors are *provider.Error, or ctx's cause.
type Ask func(ctx context.Context, began func()) (provider.Usage, error)

// Do makes a request, again where that may help, of what is no turn: sound, say. It returns what all attempts have used.
//
// Errors: the last attempt's.
func (p *Provider) Do(ctx context.Context, ask Ask) (used provider.Usage, err error) {
	by := time.Now().Add(p.opts.First)
	if earlier, ok := provider.FirstBy(ctx); ok && earlier.Before(by) {
		by = earlier
	}
	ctx = provider.WithFirstBy(ctx, by)
	var failed error
	for attempt := 0; ; attempt++ {
		usage, emitted, err := p.once(ctx, ask)
		used = used.Add(usage)
		if err == nil || emitted {
			return used, err
		}
		if failed == nil || !isOpen(err) { // that the breaker opened says less than what opened it
			failed = err
		}
		wait, again := p.again(err, attempt, by)
		if !again {
			p.warn(failed)
			return used, failed
		}
		if err := sleep(ctx, wait); err != nil {
			return used, err
		}
	}
}

// once makes one attempt, if it may. emitted: something came.
func (p *Provider) once(ctx context.Context, ask Ask) (used provider.Usage, emitted bool, err error) {
	begun := time.Now()
	var first time.Duration
	err = &provider.Error{Code: provider.Broken, Provider: p.opts.Name, Err: errPanicked} // unless it returns
	defer func() {
		p.tell(Attempt{First: first, Took: time.Since(begun), Usage: used}, err)
	}()
	done, closed := p.allow()
	if closed != nil {
		err = closed
		return used, false, err
	}
	defer func() { done(err) }()
	used, err = ask(ctx, func() {
		if first == 0 {
			first = max(time.Since(begun), 1)
		}
	})
	p.heed(err)
	return used, first > 0, err
}

// allow asks the breaker, and whether the server wants to be left alone.
func (p *Provider) allow() (done func(error), closed error) {
	p.mu.Lock()
	left := time.Until(p.rest)
	p.mu.Unlock()
	if left > 0 {
		return nil, &provider.Error{Code: provider.CircuitOpen, Provider: p.opts.Name, RetryAfter: left}
	}
	done, err := p.breaker.Allow()
	if err != nil {
		return nil, &provider.Error{Code: provider.CircuitOpen, Provider: p.opts.Name, Err: err}
	}
	return done, nil
}

// heed remembers until when a server wants to be left alone.
func (p *Provider) heed(err error) {
	if e, ok := errors.AsType[*provider.Error](err); ok && e.RetryAfter > 0 {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.rest = time.Now().Add(min(e.RetryAfter, maxRest))
	}
}

// again says whether and when to ask again.
func (p *Provider) again(err error, attempt int, by time.Time) (wait time.Duration, again bool) {
	e, ok := errors.AsType[*provider.Error](err)
	resting := ok && e.Code == provider.CircuitOpen && e.RetryAfter > 0
	if !ok || !e.Retryable() && !resting || attempt+1 >= p.opts.Attempts {
		return 0, false
	}
	wait = rand.N(min(firstWait<<attempt, longWait)) // full jitter
	if e.RetryAfter > 0 {
		wait = e.RetryAfter + rand.N(firstWait)
	}
	return wait, time.Now().Add(wait).Before(by)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func isOpen(err error) bool {
	e, ok := errors.AsType[*provider.Error](err)
	return ok && e.Code == provider.CircuitOpen
}

func (p *Provider) tell(a Attempt, err error) {
	if p.opts.Meter == nil {
		return
	}
	a.Provider, a.Outcome = p.opts.Name, OutcomeOK
	if e, ok := errors.AsType[*provider.Error](err); ok {
		a.Outcome = string(e.Code)
	} else if err != nil {
		a.Outcome = OutcomeCancelled
	}
	p.opts.Meter.Asked(a)
}

// warn logs a failure, of each kind once in a while.
func (p *Provider) warn(err error) {
	e, ok := errors.AsType[*provider.Error](err)
	if !ok || e.Code == provider.CircuitOpen {
		return
	}
	p.mu.Lock()
	last := p.warned[e.Code]
	if time.Since(last.at) < warnEvery {
		last.skipped++
		p.warned[e.Code] = last
		p.mu.Unlock()
		return
	}
	p.warned[e.Code] = warning{at: time.Now()}
	p.mu.Unlock()
	p.log.Warn("a provider does not answer"+remedy(e.Code), "provider", p.opts.Name, "code", e.Code, "error", err,
		"alike", last.skipped)
}

// remedy is what the operator can do.
func remedy(code provider.Code) string {
	switch code {
	case provider.Unauthorized:
		return "; look at its key, and whether it is paid for"
	case provider.BadRequest:
		return "; look at its url, api and model"
	default:
		return ""
	}
}
