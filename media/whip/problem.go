package whip

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
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

// statusOf is the status of an error without one of its own.
func statusOf(code wire.ErrorCode) int {
	switch code {
	case wire.CodeBadMessage, wire.CodeUnknownType:
		return http.StatusBadRequest
	case wire.CodeUnauthorized:
		return http.StatusUnauthorized
	case wire.CodeForbidden, wire.CodeRoomLocked, wire.CodeNotJoined:
		return http.StatusForbidden
	case wire.CodeNotFound:
		return http.StatusNotFound
	case wire.CodeConflict:
		return http.StatusConflict
	case wire.CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case wire.CodeRateLimited:
		return http.StatusTooManyRequests
	case wire.CodeRoomFull, wire.CodeUnavailable, wire.CodeTimeout, wire.CodeCancelled:
		return http.StatusServiceUnavailable
	default:
		return http.StatusInternalServerError
	}
}

// comeBack is what a client is told to wait when nothing better is known.
const comeBack = 5 * time.Second

// writeProblem answers with an error, as PROTOCOL.md section 7 has it.
func writeProblem(w http.ResponseWriter, err error) {
	problem := wire.AsError(err)
	status := statusOf(problem.Code)
	if r, ok := errors.AsType[*refusal](err); ok {
		status = r.status
	}
	h := w.Header()
	if wait := problem.RetryAfter; wait > 0 || problem.Code.Retryable() {
		if wait == 0 {
			wait = comeBack
		}
		h.Set("Retry-After", strconv.Itoa(int((wait+time.Second-1)/time.Second)))
	}
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer") // RFC 6750 section 3
	}
	type body struct {
		Code    wire.ErrorCode `json:"code"`
		Message string         `json:"message"`
	}
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]body{"error": {problem.Code, problem.Text}}) // the client may be gone
}
