package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"confab/rooms"
	"confab/signaling/wire"
)

// An apiError is how NATS refuses a request.
type apiError struct {
	Code    int    `json:"code"`
	ErrCode int    `json:"err_code"`
	Text    string `json:"description"`
}

func (e *apiError) Error() string {
	return fmt.Sprintf("NATS refuses: %s (%d)", e.Text, e.ErrCode)
}

// Error codes of the JetStream API (nats-server, server/errors.json).
const (
	codeNoMessage        = 10037
	codeSequenceNotFound = 10043
	codeDeleteFailed     = 10057
)

// decodeAck reads any publish confirmation.
func decodeAck(data []byte) (rooms.Appended, error) {
	var ack struct {
		Seq       uint64    `json:"seq"`
		Duplicate bool      `json:"duplicate"`
		Error     *apiError `json:"error"`
	}
	if err := json.Unmarshal(data, &ack); err != nil {
		return rooms.Appended{}, fmt.Errorf("a confirmation that cannot be read: %w", err)
	}
	if ack.Error != nil {
		return rooms.Appended{}, ack.Error
	}
	if ack.Seq == 0 {
		return rooms.Appended{}, errors.New("a confirmation without a sequence")
	}
	return rooms.Appended{Seq: wire.Seq(ack.Seq), Duplicate: ack.Duplicate}, nil
}

// indexAfter is the index behind the first part in text, -1 when it is not there.
func indexAfter(text, part string) int {
	if i := strings.Index(text, part); i >= 0 {
		return i + len(part)
	}
	return -1
}

// errNoStream: nothing listens on the subject; its stream has no leader now, or NATS is starting.
var errNoStream = errors.New("no stream took the record")

// parseAck reads a publish confirmation. An error is what NATS refused it with.
func parseAck(msg *nats.Msg) (rooms.Appended, error) {
	if len(msg.Data) == 0 {
		if msg.Header.Get("Status") == "503" {
			return rooms.Appended{}, errNoStream
		}
		return rooms.Appended{}, fmt.Errorf("an empty confirmation, status %q", msg.Header.Get("Status"))
	}
	return parseAckBody(msg.Data)
}

// ackSeq stands before the sequence in every confirmation of a stored record; after the digits comes the end, or
// what tells a duplicate.
const ackSeq = `"seq":`

// parseAckBody is by hand because it runs once for each append. The server writes {"stream":"ROOMS_1","seq":7} with
// ,"duplicate":true for a duplicate; whatever looks otherwise is decoded in full.
func parseAckBody(data []byte) (rooms.Appended, error) {
	text := string(data) // short; does not escape
	if i := indexAfter(text, ackSeq); i > 0 {
		var seq uint64
		j := i
		for j < len(text) && text[j] == ' ' {
			j++
		}
		for ; j < len(text) && text[j] >= '0' && text[j] <= '9'; j++ {
			seq = seq*10 + uint64(text[j]-'0')
		}
		if seq > 0 && j < len(text) && text[j] == '}' {
			return rooms.Appended{Seq: wire.Seq(seq)}, nil
		}
	}
	return decodeAck(data)
}
