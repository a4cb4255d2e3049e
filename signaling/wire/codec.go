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

// DecodeEnvelope reads one client message. It checks names and ids but not the body. Fields that only the
// server sets are ignored, whatever a client writes there. On an error the envelope still bears the id when
// one could be read, so that the answer can name the request. Data is a part of line: who keeps it copies it.
//
// Errors: *Error with CodeBadMessage.
func DecodeEnvelope(line []byte) (Envelope, error) {
	var e Envelope
	if !scanEnvelope(line, &e) {
		var err error
		if e, err = unmarshalEnvelope(line); err != nil {
			if !ValidRequestID(string(e.ID)) {
				e.ID = ""
			}
			return Envelope{ID: e.ID}, &Error{Code: CodeBadMessage, Text: badJSON(err), Err: err}
		}
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

// unmarshalEnvelope is the slow way of scanEnvelope, and what it is held against. On an error the envelope is
// as far as encoding/json came.
func unmarshalEnvelope(line []byte) (Envelope, error) {
	// What a client may set. The other fields of an Envelope are no names here, so that not even a wrong
	// type in them matters.
	var c struct {
		Type   Kind            `json:"type"`
		ID     RequestID       `json:"id"`
		Room   RoomID          `json:"room"`
		Thread ThreadID        `json:"thread"`
		To     ParticipantID   `json:"to"`
		Data   json.RawMessage `json:"data"`
	}
	err := json.Unmarshal(line, &c)
	return Envelope{Type: c.Type, ID: c.ID, Room: c.Room, Thread: c.Thread, To: c.To, Data: c.Data}, err
}

// DecodeBody reads a body of type M and checks its rules. An absent body is an empty object.
//
// Errors: *Error with CodeBadMessage, or what M.Validate returns.
func DecodeBody[M ClientMessage](data json.RawMessage) (M, error) {
	var m M
	if chat, ok := any(&m).(*Chat); ok && scanChat(data, chat) {
		return m, m.Validate()
	}
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

// EncodeAck frames an acknowledgement without reflection: there is one for every message.
func EncodeAck(head Envelope, ack Ack) []byte {
	return AppendAck(make([]byte, 0, AckSize), head, ack)
}

// AckSize is what nearly every acknowledgement fits in, in bytes.
const AckSize = 192

// AppendAck appends what EncodeAck makes.
func AppendAck(dst []byte, head Envelope, ack Ack) []byte {
	var data [160]byte
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
	if ack.Run != "" { // a name of ours
		b = append(append(append(comma(b), `"run":"`...), ack.Run...), '"')
	}
	b = append(b, '}')
	return AppendEnvelope(dst, head, KindAck, b)
}

func comma(b []byte) []byte {
	if b[len(b)-1] == '{' {
		return b
	}
	return append(b, ',')
}

// AppendEnvelope appends the object with head's fields, the given type, and data as it is.
func AppendEnvelope(dst []byte, head Envelope, kind Kind, data []byte) []byte {
	dst = appendString(append(dst, `{"type":`...), string(kind))
	dst = appendField(dst, `,"id":`, string(head.ID))
	dst = appendField(dst, `,"room":`, string(head.Room))
	dst = appendField(dst, `,"thread":`, string(head.Thread))
	dst = appendField(dst, `,"from":`, string(head.From))
	dst = appendField(dst, `,"to":`, string(head.To))
	if head.Author != nil {
		dst = appendString(append(dst, `,"author":{"user":`...), string(head.Author.User))
		dst = appendString(append(dst, `,"name":`...), head.Author.Name)
		dst = appendString(append(dst, `,"kind":`...), string(head.Author.Kind))
		dst = append(dst, '}')
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

// appendField appends a name and a string, or nothing when the string is empty.
func appendField(dst []byte, name, value string) []byte {
	if value == "" {
		return dst
	}
	return appendString(append(dst, name...), value)
}

// appendString appends s as a JSON string. Nearly all are plain ASCII; the rest, such as a name or what a
// client wrote in `to`, goes the slow way, so that no string can end its quotes early.
func appendString(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c >= 0x80 || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string always encodes
			return append(dst, quoted...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}

// AppendString appends s as a JSON string. Text that needs no escaping, which is nearly all, is copied.
func AppendString(dst []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' || c >= 0x7f {
			encoded, _ := json.Marshal(s) // a string always encodes
			return append(dst, encoded...)
		}
	}
	dst = append(dst, '"')
	dst = append(dst, s...)
	return append(dst, '"')
}
