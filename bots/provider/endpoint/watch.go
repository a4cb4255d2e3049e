package endpoint

import (
	"context"
	"net/http/httptrace"
	"sync"
	"time"

	"confab/bots/provider"
)

// afterStop is how long what may come behind the end of an answer is waited for: its usage, and a mark of the end.
const afterStop = 2 * time.Second

// A watch ends a request whose server takes too long. Its timer's goroutine and the request's own share it.
type watch struct {
	// Set by Endpoint.watch, then constant.
	cancel  context.CancelCauseFunc
	firstBy time.Time
	stall   time.Duration
	timer   *time.Timer

	// Guarded by mu.
	mu    sync.Mutex
	late  *lateError // what it means when the timer fires now
	until time.Time
}

// A lateError is the cause of a context that a watch ended.
type lateError struct {
	code provider.Code
	text string
}

func (e *lateError) Error() string { return e.text }

// What a server was too slow at.
var (
	noConnection = &lateError{provider.Timeout, "no connection came about in time"}
	noFirst      = &lateError{provider.Timeout, "the answer did not begin in time"}
	noMore       = &lateError{provider.Stalled, "the answer stopped coming"}
)

// watch starts the clock of a request, whose context is the one returned. The caller ends it.
func (e *Endpoint) watch(parent context.Context) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(parent)
	w := &watch{cancel: cancel, firstBy: time.Now().Add(e.times.First), stall: e.times.Stall}
	if by, ok := provider.FirstBy(parent); ok && by.Before(w.firstBy) {
		w.firstBy = by
	}
	connectBy := time.Now().Add(e.times.Connect)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.late, w.until = noConnection, connectBy; w.firstBy.Before(connectBy) {
		w.late, w.until = noFirst, w.firstBy
	}
	w.timer = time.AfterFunc(time.Until(w.until), w.expire)
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { w.connected() }}), w
}

func (w *watch) expire() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Now().Before(w.until) { // it was set anew while it fired
		return
	}
	w.cancel(w.late)
}

// connected is called once the request has a connection; again, when it had to take another.
func (w *watch) connected() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.late == noConnection {
		w.set(noFirst, w.firstBy)
	}
}

// hold stops the clock while a piece is given away.
func (w *watch) hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.timer.Stop()
}

// release starts it again: anew after a piece, else where it stood. Once the answer has stopped, little is worth waiting for.
func (w *watch) release(piece, stopped bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	late, until := w.late, w.until
	if piece {
		late, until = noMore, time.Now().Add(w.stall)
	}
	if end := time.Now().Add(afterStop); stopped && end.Before(until) {
		late, until = noMore, end
	}
	w.set(late, until)
}

func (w *watch) set(late *lateError, until time.Time) {
	w.late, w.until = late, until
	w.timer.Reset(time.Until(until))
}

func (w *watch) end() {
	w.timer.Stop()
	w.cancel(nil)
}
