package signaling

import (
	"encoding/json"
	"net/http"

	"confab/signaling/wire"
)

// encodeError frames the answer to the request in env.
func encodeError(env wire.Envelope, problem *wire.Error) []byte {
	head := wire.Envelope{ID: env.ID, Room: env.Room, Thread: env.Thread}
	if !wire.ValidName(string(head.Room)) { // what is wrong with the request may be the name
		head.Room = ""
	}
	if !wire.ValidName(string(head.Thread)) {
		head.Thread = ""
	}
	return wire.Encode(head, wire.ErrorBody{
		Code: problem.Code, Message: problem.Text, Retryable: problem.Code.Retryable(),
		RetryAfterMS: problem.RetryAfter.Milliseconds(),
	})
}

// writeProblem answers an HTTP request with {error:{code,message}}.
func writeProblem(w http.ResponseWriter, status int, problem *wire.Error) {
	type body struct {
		Code    wire.ErrorCode `json:"code"`
		Message string         `json:"message"`
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]body{"error": {problem.Code, problem.Text}}) // the client may be gone
}

func errGoingDown() *wire.Error {
	return wire.Errorf(wire.CodeUnavailable, "the server is going down; try again in a moment")
}
