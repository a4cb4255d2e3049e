package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
)

// Lines calls fn for every object of a frame: one a line, empty lines ignored. It stops when fn returns false.
// The slices alias frame.
func Lines(frame []byte, fn func(line []byte) bool) {
	for len(frame) > 0 {
		line := frame
		if i := bytes.IndexByte(frame, '\n'); i >= 0 {
			line, frame = frame[:i], frame[i+1:]
		} else {
			frame = nil
		}
		line = bytes.TrimSpace(line)
		if len(line) > 0 && !fn(line) {
			return
		}
	}
}

// DecodeEnvelope reads one client message. It checks names and ids but not the body. On an error the envelope
// still bears the id when one could be read, so that the answer can name the request.
//
// Errors: *Error with CodeBadMessage.
func DecodeEnvelope(line []byte) (Envelope, error) {
	var e Envelope
	if err := json.Unmarshal(line, &e); err != nil {
		var only struct {
			ID RequestID `json:"id"`
		}
		_ = json.Unmarshal(line, &only) // as far as it goes; the error that counts is the first
		if !ValidRequestID(string(only.ID)) {
			only.ID = ""
		}
		return Envelope{ID: only.ID}, &Error{Code: CodeBadMessage, Text: badJSON(err), Err: err}
	}
	if e.ID != "" && !ValidRequestID(string(e.ID)) {
		e.ID = ""
		return e, Errorf(CodeBadMessage, "id is 1 to %d of A-Z a-z 0-9 - _ .", MaxNameLength)
	}
	if e.Type == "" {
		return e, Errorf(CodeBadMessage, "type is missing")
	}
	if e.Room != "" && !ValidName(string(e.Room)) {
		return e, Errorf(CodeBadMessage, "room is 1 to %d of a-z 0-9 - _", MaxNameLength)
	}
	if e.Thread != "" && !ValidName(string(e.Thread)) {
		return e, Errorf(CodeBadMessage, "thread is 1 to %d of a-z 0-9 - _", MaxNameLength)
	}
	if len(e.Data) > 0 && e.Data[0] != '{' {
		return e, Errorf(CodeBadMessage, "data is not an object")
	}
	return e, nil
}

// DecodeBody reads a body of type M and checks its rules. An absent body is an empty object.
//
// Errors: *Error with CodeBadMessage, or what M.Validate returns.
func DecodeBody[M ClientMessage](data json.RawMessage) (M, error) {
	var m M
	if len(data) > 0 {
		if err := json.Unmarshal(data, &m); err != nil {
			return m, &Error{Code: CodeBadMessage, Text: string(m.Kind()) + ": " + badJSON(err), Err: err}
		}
	}
	return m, m.Validate()
}

// badJSON says what is wrong without repeating what was sent.
func badJSON(err error) string {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && e.Field != "" {
		return e.Field + " has the wrong type: " + e.Value + " where " + e.Type.Kind().String() + " is wanted"
	}
	return "not a JSON object with the right fields"
}

// Encode frames one server message: head's fields and body as data. Head's own Type and Data are ignored.
func Encode(head Envelope, body ServerMessage) []byte {
	data, err := json.Marshal(body)
	if err != nil {
		panic("wire: a body that cannot be encoded: " + err.Error()) // bodies are plain structs of ours
	}
	return AppendEnvelope(make([]byte, 0, len(data)+160), head, body.Kind(), data)
}

// AppendEnvelope appends the object with head's fields, the given type, and data as it is.
func AppendEnvelope(dst []byte, head Envelope, kind Kind, data []byte) []byte {
	dst = append(dst, `{"type":"`...)
	dst = append(dst, kind...)
	dst = append(dst, '"')
	dst = appendField(dst, `,"id":"`, string(head.ID))
	dst = appendField(dst, `,"room":"`, string(head.Room))
	dst = appendField(dst, `,"thread":"`, string(head.Thread))
	dst = appendField(dst, `,"from":"`, string(head.From))
	dst = appendField(dst, `,"to":"`, string(head.To))
	if head.Author != nil {
		author, _ := json.Marshal(head.Author) // a struct of strings always encodes
		dst = append(dst, `,"author":`...)
		dst = append(dst, author...)
	}
	if head.Seq != 0 {
		dst = strconv.AppendUint(append(dst, `,"seq":`...), uint64(head.Seq), 10)
	}
	if head.Prev != 0 {
		dst = strconv.AppendUint(append(dst, `,"prev":`...), uint64(head.Prev), 10)
	}
	if head.TS != 0 {
		dst = strconv.AppendInt(append(dst, `,"ts":`...), head.TS, 10)
	}
	dst = append(dst, `,"data":`...)
	if len(data) == 0 {
		data = []byte("{}")
	}
	dst = append(dst, data...)
	return append(dst, '}')
}

// appendField appends a string field of a checked alphabet, or nothing when it is empty.
func appendField(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	dst = append(dst, name...)
	dst = append(dst, value...)
	return append(dst, '"')
}
