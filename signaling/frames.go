package signaling

import (
	"encoding/json"
	"net/http"
	"strconv"

	"confab/signaling/wire"
)

// encodeAck frames an acknowledgement without reflection: there is one for every message.
func encodeAck(head wire.Envelope, ack wire.Ack) []byte {
	var data [96]byte
	b := append(data[:0], '{')
	if ack.Seq != 0 {
		b = strconv.AppendUint(append(b, `"seq":`...), uint64(ack.Seq), 10)
	}
	if ack.Duplicate {
		b = append(comma(b), `"duplicate":true`...)
	}
	if ack.Durability != "" { // a word of ours: nothing to escape
		b = append(append(append(comma(b), `"durability":"`...), ack.Durability...), '"')
	}
	b = append(b, '}')
	return wire.AppendEnvelope(make([]byte, 0, len(b)+len(head.ID)+len(head.Room)+len(head.Thread)+64), head, wire.KindAck, b)
}

func comma(b []byte) []byte {
	if b[len(b)-1] == '{' {
		return b
	}
	return append(b, ',')
}

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
