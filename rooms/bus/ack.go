package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

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
