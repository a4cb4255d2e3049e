package whip

import (
	"errors"
	"net/http"
	"time"

	"confab/signaling/wire"
)

// A refusal is an error whose status HTTP, WHIP or WHEP prescribe.
type refusal struct {
	status  int
	problem *wire.Error
}

func (r *refusal) Error() string { return r.problem.Error() }
func (r *refusal) Unwrap() error { return r.problem }

func refuse(status int, code wire.ErrorCode, format string, args ...any) error {
	return &refusal{status, wire.Errorf(code, format, args...)}
}

// notThere is the answer for a session that is not, or no longer.
func notThere() error {
	return wire.Errorf(wire.CodeNotFound, "there is no such session; it may have ended")
}

func errGoingDown() *wire.Error {
	return wire.Errorf(wire.CodeUnavailable, "the server is going down; try again in a moment")
}

// comeBack is what a client is told to wait when nothing better is known.
const comeBack = 5 * time.Second

// writeProblem answers with an error, with its own status where it has one.
func writeProblem(w http.ResponseWriter, err error) {
	problem, status := *wire.AsError(err), 0
	if r, ok := errors.AsType[*refusal](err); ok {
		status = r.status
	}
	if problem.RetryAfter == 0 && problem.Code.Retryable() {
		problem.RetryAfter = comeBack
	}
	wire.WriteProblem(w, status, &problem)
}
