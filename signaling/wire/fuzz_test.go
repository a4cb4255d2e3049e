package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

// oddLines are what goldens do not show: each once took, or could take, the fast and the slow decoder apart.
var oddLines = []string{
	``, ` `, `{}`, `null`, `[]`, `"x"`, `1`, `{`, `}`, `{,}`, `{"type":"ping",}`, `{"type":"ping"} {}`, `{"type" "ping"}`,
	` { "type" : "ping" } `, "\t{\"type\":\"ping\"}\r\n", "\v{\"type\":\"ping\"}", "\ufeff{\"type\":\"ping\"}",
	`{"type":"ping","type":"chat"}`, `{"type":"ping","TYPE":"chat"}`, `{"Type":"ping"}`, `{"ROOM":"a","type":"ping"}`,
	`{"type":"\u0070ing"}`, `{"t\u0079pe":"ping"}`, `{"type":"ping","id":"\ud800"}`, "{\"type\":\"ping\",\"id\":\"\xff\"}",
	`{"type":"ping","id":null}`, `{"type":null}`, `{"type":"ping","id":7}`, `{"type":"ping","id":""}`, `{"type":""}`,
	`{"type":"ping","seq":"x","ts":"2026-01-01","from":7,"author":"me","prev":-1}`, `{"type":"nonsense","data":{}}`,
	`{"type":"ping","data":null}`, `{"type":"ping","data":[]}`, `{"type":"ping","data":{},"data":{"a":1}}`, `{"type":"ping","data":"x"}`,
	`{"type":"ping","data":{"a":01}}`, `{"type":"ping","data":{"a":-0.5e+10}}`, `{"type":"ping","data":{"a":1.}}`, `{"type":"ping","data":{"a":-}}`,
	`{"type":"ping","data":{"a":+1}}`, `{"type":"ping","data":{"a":.5}}`, `{"type":"ping","data":{"a":1e}}`, `{"type":"ping","data":{"a":tru}}`,
	`{"type":"ping","data":{"a":[1,[true,false],null,{}]}}`, `{"type":"ping","data":{"a":[1,]}}`, `{"type":"ping","data":{"a":1,}}`,
	`{"type":"ping","data":{"a":"\u12g4"}}`, `{"type":"ping","data":{"a":"\x"}}`, "{\"type\":\"ping\",\"data\":{\"a\":\"\x01\"}}",
	"{\"type\":\"ping\",\"data\":{\"a\":\"\xff\x7f\"}}", `{"type":"ping","data":{"a":"\"}`, `{"type":"ping","to":"a\"b","data":{}}`,
	`{"type":"ping","data":{"a":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}}`,
	`{"type":"ping","data":{"a":` + strings.Repeat("[", 10001) + strings.Repeat("]", 10001) + `}}`,
	`{"type":"ping","id":"` + strings.Repeat("a", 65) + `"}`, `{"type":"ping","room":"*"}`, `{"type":"ping","ſeq":1}`,
}

func seedLines(f *testing.F) {
	for _, line := range goldenLines(f, "") {
		f.Add(line)
	}
	for _, line := range oddLines {
		f.Add([]byte(line))
	}
}

// FuzzScanEnvelope holds the fast way against encoding/json: what it takes, it takes as encoding/json does.
func FuzzScanEnvelope(f *testing.F) {
	seedLines(f)
	f.Fuzz(func(t *testing.T, line []byte) {
		var fast Envelope
		if !scanEnvelope(line, &fast) {
			return
		}
		slow, err := unmarshalEnvelope(line)
		if err != nil {
			t.Fatalf("taken, but encoding/json says %v: %q", err, line)
		}
		if !reflect.DeepEqual(fast, slow) {
			t.Fatalf("%q\nread as %+v\ninstead of %+v", line, fast, slow)
		}
	})
}

// FuzzScanChat holds the fast way for chat messages against encoding/json.
func FuzzScanChat(f *testing.F) {
	for _, data := range []string{
		`{"text":"hello"}`, " {\t\"text\" : \"a b\" } \n", `{"text":""}`, `{"text":"naïve 👍"}`, "{\"text\":\"\xff\"}", "{\"text\":\"\xed\xa0\x80\"}",
		`{"text":"a\"b"}`, `{"text":"\u0041"}`, `{"Text":"a"}`, `{"text":"a","text":"b"}`, `{"text":"a","TEXT":"b"}`, `{"text":7}`, `{"text":null}`,
		`{"text":"a"}}`, `{"text":"a"`, `{"text":"a`, `{"text":`, `{`, ``, `{"text":"a",}`, `{"text":"a","replyTo":3}`, "{\"text\":\"\x1f\"}", "{\"text\":\"\x7f\"}",
	} {
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var fast, slow Chat
		if !scanChat(data, &fast) {
			if !reflect.DeepEqual(fast, slow) {
				t.Fatalf("%q not taken, but read as %+v", data, fast)
			}
			return
		}
		if err := json.Unmarshal(data, &slow); err != nil {
			t.Fatalf("taken, but encoding/json says %v: %q", err, data)
		}
		if !reflect.DeepEqual(fast, slow) {
			t.Fatalf("%q\nread as %+v\ninstead of %+v", data, fast, slow)
		}
	})
}

// FuzzDecodeEnvelope: whatever comes, the answer's id is valid, the error is one that may cross the socket, and
// what decodes encodes again to something that decodes equal.
func FuzzDecodeEnvelope(f *testing.F) {
	seedLines(f)
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := DecodeEnvelope(line)
		if e.ID != "" && !ValidRequestID(string(e.ID)) {
			t.Fatalf("an answer would bear the id %q", e.ID)
		}
		if e.From != "" || e.Author != nil || e.Seq != 0 || e.Prev != 0 || e.TS != 0 {
			t.Fatalf("a client set what is the server's to set: %+v", e)
		}
		if err != nil {
			requireWireError(t, err)
			return
		}
		again := AppendEnvelope(nil, e, e.Type, e.Data)
		if !json.Valid(again) {
			t.Fatalf("encodes to %q", again)
		}
		e2, err := DecodeEnvelope(again)
		if err != nil {
			t.Fatalf("%v in its own encoding %q", err, again)
		}
		if e.Data == nil {
			e.Data = json.RawMessage("{}") // the encoder writes an absent body as an empty one
		}
		if !reflect.DeepEqual(e, e2) {
			t.Fatalf("%+v came back as %+v", e, e2)
		}
	})
}

// FuzzDecodeBodies: the body of any type, read and checked, encodes again to something that decodes equal.
func FuzzDecodeBodies(f *testing.F) {
	for _, line := range goldenLines(f, "client") {
		e, err := DecodeEnvelope(line)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(e.Type), []byte(e.Data))
	}
	f.Add("chat", []byte(`{"text":7}`))
	f.Add("media-state", []byte(`null`))
	f.Add("webrtc-signal", []byte(`{"candidate":[[[]]]}`))
	f.Fuzz(func(t *testing.T, kind string, data []byte) {
		decode, ok := decoders[Kind(kind)]
		if !ok {
			return
		}
		body, err := decode(data)
		if err != nil {
			requireWireError(t, err)
			return
		}
		again, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		body2, err := decode(again)
		if err != nil {
			t.Fatalf("%v in its own encoding %q", err, again)
		}
		if third, err := json.Marshal(body2); err != nil || !bytes.Equal(again, third) {
			t.Fatalf("%q came back as %q (%v)", again, third, err)
		}
	})
}

// FuzzLines: the lines of a frame are its bytes between line feeds, without space around and without the empty.
func FuzzLines(f *testing.F) {
	f.Add([]byte("{}\n{}"))
	f.Add([]byte("\n\n{}\r\n \n"))
	f.Add(bytes.Join(goldenLines(f, "client"), []byte("\n")))
	f.Fuzz(func(t *testing.T, frame []byte) {
		var got [][]byte
		Lines(frame, func(line []byte) bool {
			got = append(got, line)
			return true
		})
		var want [][]byte
		for line := range bytes.SplitSeq(frame, []byte("\n")) {
			if line = bytes.TrimSpace(line); len(line) > 0 {
				want = append(want, line)
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q gave %q", frame, got)
		}
	})
}

// decoders reads each body that a client may send.
var decoders = map[Kind]func(json.RawMessage) (ClientMessage, error){
	KindAuth: decoder[Auth], KindPing: decoder[Ping], KindRefresh: decoder[Refresh],
	KindJoin: decoder[Join], KindLeave: decoder[Leave], KindChat: decoder[Chat], KindEdit: decoder[Edit],
	KindDelete: decoder[Delete], KindReaction: decoder[Reaction], KindRead: decoder[Read], KindTyping: decoder[Typing],
	KindClear: decoder[Clear], KindHistory: decoder[History], KindSubscribeThread: decoder[SubscribeThread],
	KindUnsubscribeThread: decoder[UnsubscribeThread], KindMediaState: decoder[SetMedia], KindModerate: decoder[Moderate], KindBans: decoder[Bans],
	KindBotToggle: decoder[BotToggle], KindBotVoice: decoder[BotVoice], KindAIRequest: decoder[AIRequest], KindAICancel: decoder[AICancel],
	KindToolApproval: decoder[ToolDecision],
	KindSignal:       decoder[Signal], KindSubscribeMedia: decoder[SubscribeMedia],
	KindMediaMode: decoder[RequestMode], KindICEServers: decoder[ICEServersRequest],
}

func decoder[M ClientMessage](data json.RawMessage) (ClientMessage, error) {
	return DecodeBody[M](data)
}

// requireWireError fails unless err is one that may be sent as it is.
func requireWireError(t *testing.T, err error) {
	t.Helper()
	e, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("%T is no *Error: %v", err, err)
	}
	if e.Text == "" || !utf8.ValidString(e.Text) {
		t.Fatalf("the text of the error is %q", e.Text)
	}
}
