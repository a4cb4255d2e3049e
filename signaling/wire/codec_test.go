package wire

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestDecodeEnvelope(t *testing.T) {
	name64, name65 := strings.Repeat("a", 64), strings.Repeat("a", 65)
	tests := []struct {
		name, line string
		want       Envelope // beside Type ping
		bad        string   // what the error's text has; empty = none
	}{
		{"bare", `{"type":"ping"}`, Envelope{}, ""},
		{"all fields", `{"type":"ping","id":"a.B-_9","room":"r-1_x","thread":"t","to":"p","data":{}}`,
			Envelope{ID: "a.B-_9", Room: "r-1_x", Thread: "t", To: "p", Data: json.RawMessage("{}")}, ""},
		{"unknown fields", `{"type":"ping","later":[{"x":1}],"id":"a"}`, Envelope{ID: "a"}, ""},
		{"server's fields", `{"type":"ping","from":"p-1","author":{"user":"eve"},"seq":9,"prev":8,"ts":7}`, Envelope{}, ""},
		{"server's fields of a wrong type", `{"type":"ping","from":1,"author":2,"seq":"x","prev":{},"ts":"now"}`, Envelope{}, ""},
		{"space around data", `{"type":"ping","data" : {"a": 1} }`, Envelope{Data: json.RawMessage(`{"a": 1}`)}, ""},

		{"room of 64", `{"type":"ping","room":"` + name64 + `"}`, Envelope{Room: RoomID(name64)}, ""},
		{"room of 65", `{"type":"ping","id":"a","room":"` + name65 + `"}`, Envelope{ID: "a"}, "room is"},
		{"room with a full stop", `{"type":"ping","id":"a","room":"a.b"}`, Envelope{ID: "a"}, "room is"},
		{"room in capitals", `{"type":"ping","id":"a","room":"Daily"}`, Envelope{ID: "a"}, "room is"},
		{"room *", `{"type":"ping","id":"a","room":"*"}`, Envelope{ID: "a"}, "room is"},
		{"room >", `{"type":"ping","id":"a","room":">"}`, Envelope{ID: "a"}, "room is"},
		{"room with a slash", `{"type":"ping","id":"a","room":"../x"}`, Envelope{ID: "a"}, "room is"},
		{"room in Cyrillic", `{"type":"ping","id":"a","room":"дом"}`, Envelope{ID: "a"}, "room is"},
		{"room with NUL", `{"type":"ping","id":"a","room":"a\u0000"}`, Envelope{ID: "a"}, "room is"},
		{"thread of 65", `{"type":"ping","id":"a","room":"r","thread":"` + name65 + `"}`, Envelope{ID: "a"}, "thread is"},
		{"thread *", `{"type":"ping","id":"a","room":"r","thread":"*"}`, Envelope{ID: "a"}, "thread is"},
		{"room of a wrong type", `{"type":"ping","id":"a","room":7}`, Envelope{ID: "a"}, "room has the wrong type: number where string is wanted"},

		{"id of 64", `{"type":"ping","id":"` + name64 + `"}`, Envelope{ID: RequestID(name64)}, ""},
		{"id of 65", `{"type":"ping","id":"` + name65 + `"}`, Envelope{}, "id is"},
		{"id with a space", `{"type":"ping","id":"a b"}`, Envelope{}, "id is"},
		{"id with a quote", `{"type":"ping","id":"a\"b"}`, Envelope{}, "id is"},
		{"id is a number", `{"type":"ping","id":7}`, Envelope{}, "id has the wrong type: number"},

		{"type is a number", `{"id":"a","type":7}`, Envelope{ID: "a"}, "type has the wrong type"},
		{"type after an error keeps the id", `{"room":[],"id":"a","type":"ping"}`, Envelope{ID: "a"}, "room has the wrong type"},
		{"no type", `{"id":"a"}`, Envelope{ID: "a"}, "type is missing"},
		{"null", `null`, Envelope{}, "type is missing"},
		{"data is an array", `{"type":"ping","id":"a","data":[]}`, Envelope{ID: "a"}, "data is not an object"},
		{"data is a string", `{"type":"ping","id":"a","data":"{}"}`, Envelope{ID: "a"}, "data is not an object"},
		{"data is null", `{"type":"ping","id":"a","data":null}`, Envelope{ID: "a"}, "data is not an object"},
		{"no JSON", `ping`, Envelope{}, "not a JSON object"},
		{"half of it", `{"type":"ping","id":"a"`, Envelope{}, "not a JSON object"},
		{"two objects", `{"type":"ping"}{"type":"ping"}`, Envelope{}, "not a JSON object"},
		{"an array", `[{"type":"ping"}]`, Envelope{}, "not a JSON object"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := DecodeEnvelope([]byte(tt.line))
			if tt.bad != "" {
				requireCode(t, err, CodeBadMessage, tt.bad)
				if got.ID != tt.want.ID {
					t.Errorf("the answer would bear the id %q, want %q", got.ID, tt.want.ID)
				}
				return
			}
			tt.want.Type = KindPing
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, %v\nwant %+v", got, err, tt.want)
			}
		})
	}
}

// TestScanTakesWhatClientsSend fails when the fast way goes unused: every golden of a client is plain.
func TestScanTakesWhatClientsSend(t *testing.T) {
	for _, line := range goldenLines(t, "client") {
		if !scanEnvelope(line, new(Envelope)) {
			t.Errorf("goes the slow way: %s", line)
		}
	}
}

// TestDecodedOwnsItsText: a session reuses the frame's memory while a room still holds the message. Data alone is a part
// of the line; what is decoded from it is not.
func TestDecodedOwnsItsText(t *testing.T) {
	line := []byte(chatLine)
	e, err := DecodeEnvelope(line)
	if err != nil {
		t.Fatal(err)
	}
	chat, err := DecodeBody[Chat](e.Data)
	if err != nil {
		t.Fatal(err)
	}
	id, text := strings.Clone(string(e.ID)), strings.Clone(chat.Text)
	for i := range line {
		line[i] = 'x'
	}
	if string(e.ID) != id || e.Room != "daily" || chat.Text != text {
		t.Errorf("changed with the frame: %+v, %+v", e, chat)
	}
}

func TestEncodeQuotesWhatIsNotPlain(t *testing.T) {
	author := Author{User: `eve"},"seq":1`, Name: "Ève \\ \u2028\n", Kind: Human}
	head := Envelope{Type: KindPong, To: `p","from":"ada`, Author: &author}
	var got Envelope
	if err := json.Unmarshal(Encode(head, Pong{}), &got); err != nil {
		t.Fatal(err)
	}
	head.Data = json.RawMessage("{}")
	if !reflect.DeepEqual(got, head) {
		t.Errorf("got %+v\nwant %+v", got, head)
	}
}

func TestLinesStops(t *testing.T) {
	var seen []string
	Lines([]byte("\n a \r\n\n{b}\nc"), func(line []byte) bool {
		seen = append(seen, string(line))
		return len(seen) < 2
	})
	if want := []string{"a", "{b}"}; !slices.Equal(seen, want) {
		t.Errorf("saw %q, want %q", seen, want)
	}
}

func TestDecodeBodyNamesTheField(t *testing.T) {
	tests := []struct {
		name   string
		decode func(json.RawMessage) (ClientMessage, error)
		data   string
		want   string
	}{
		{"string", decoder[Chat], `{"text":7}`, "chat: text has the wrong type: number where string is wanted"},
		{"list", decoder[Chat], `{"text":"a","mentions":"ada"}`, "chat: mentions has the wrong type: string where slice is wanted"},
		{"negative seq", decoder[Delete], `{"message":-1}`, "delete: message has the wrong type"},
		{"fraction", decoder[Read], `{"seq":1.5}`, "read: seq has the wrong type"},
		{"nested", decoder[Join], `{"since":{"seq":"1"}}`, "join: since.seq has the wrong type"},
		{"bool", decoder[SetMedia], `{"camera":"on"}`, "media-state: camera has the wrong type"},
		{"an array", decoder[Chat], `[]`, "chat: not a JSON object"},
		{"half", decoder[Chat], `{"text":`, "chat: not a JSON object"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := tt.decode(json.RawMessage(tt.data))
			requireCode(t, err, CodeBadMessage, tt.want)
		})
	}
	if m, err := DecodeBody[Join](nil); err != nil || m != (Join{}) {
		t.Errorf("an absent body gave %+v, %v", m, err)
	}
}

// requireCode fails unless err is an *Error with the code and a text that has part.
func requireCode(t *testing.T, err error, code ErrorCode, part string) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got %v, want %s", err, code)
	}
	if e.Code != code || !strings.Contains(e.Text, part) {
		t.Errorf("got %s %q, want %s with %q", e.Code, e.Text, code, part)
	}
}
