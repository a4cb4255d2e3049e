package wire

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestValidate(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	mentions := func(n int) []UserID { return slices.Repeat([]UserID{"ada"}, n) }
	tests := []struct {
		name string
		body ClientMessage
		code ErrorCode // empty = good
		part string
	}{
		{"auth", Auth{Token: "t", Client: long(128)}, "", ""},
		{"auth without a token", Auth{}, CodeUnauthorized, "token"},
		{"auth, client too long", Auth{Token: "t", Client: long(129)}, CodeBadMessage, "client"},
		{"ping", Ping{}, "", ""},
		{"refresh", Refresh{Token: "t"}, "", ""},
		{"refresh without a token", Refresh{}, CodeUnauthorized, "token"},

		{"join", Join{Since: &Cursor{Seq: 1, Epoch: long(64)}}, "", ""},
		{"join, epoch too long", Join{Since: &Cursor{Epoch: long(65)}}, CodeBadMessage, "since.epoch"},
		{"leave", Leave{}, "", ""},

		{"chat", Chat{Text: long(MaxTextBytes), Mentions: mentions(MaxMentions)}, "", ""},
		{"chat, too large", Chat{Text: long(MaxTextBytes + 1)}, CodeTooLarge, "16385"},
		{"chat, empty", Chat{}, CodeBadMessage, "empty"},
		{"chat, only space", Chat{Text: " \n\t\u00a0"}, CodeBadMessage, "empty"},
		{"chat, many mentions", Chat{Text: "a", Mentions: mentions(MaxMentions + 1)}, CodeBadMessage, "mentions"},
		{"chat, empty mention", Chat{Text: "a", Mentions: []UserID{""}}, CodeBadMessage, "mention"},
		{"chat, long mention", Chat{Text: "a", Mentions: []UserID{UserID(long(129))}}, CodeBadMessage, "mention"},

		{"edit", Edit{Message: 1, Text: "a"}, "", ""},
		{"edit of nothing", Edit{Text: "a"}, CodeBadMessage, "seq"},
		{"edit, empty", Edit{Message: 1}, CodeBadMessage, "empty"},
		{"edit, too large", Edit{Message: 1, Text: long(MaxTextBytes + 1)}, CodeTooLarge, ""},
		{"delete", Delete{Message: 1}, "", ""},
		{"delete of nothing", Delete{}, CodeBadMessage, "seq"},

		{"reaction", Reaction{Message: 1, Emoji: "👩‍👩‍👧‍👦", On: true}, "", ""},
		{"reaction to nothing", Reaction{Emoji: "👋"}, CodeBadMessage, "seq"},
		{"reaction, empty", Reaction{Message: 1}, CodeBadMessage, "emoji"},
		{"reaction, too long", Reaction{Message: 1, Emoji: long(33)}, CodeBadMessage, "32"},
		{"reaction, a phrase", Reaction{Message: 1, Emoji: "so good"}, CodeBadMessage, "emoji"},
		{"reaction, no UTF-8", Reaction{Message: 1, Emoji: "\xff"}, CodeBadMessage, "emoji"},

		{"read", Read{}, "", ""},
		{"typing", Typing{}, "", ""},
		{"clear", Clear{}, "", ""},
		{"history", History{Before: 9, Limit: MaxHistoryPage}, "", ""},
		{"history, below", History{Limit: -1}, CodeBadMessage, "limit"},
		{"history, above", History{Limit: MaxHistoryPage + 1}, CodeBadMessage, "limit"},
		{"bot-toggle", BotToggle{Bot: "scribe", Enabled: true}, "", ""},
		{"bot-toggle, no name", BotToggle{Bot: "a b"}, CodeBadMessage, "bot"},
		{"bot-voice", BotVoice{Bot: "scribe", Speak: ptr(true)}, "", ""},
		{"bot-voice, an ear", BotVoice{Bot: "scribe", Hear: ptr(false)}, "", ""},
		{"bot-voice, no name", BotVoice{Bot: "a b", Hear: ptr(true)}, CodeBadMessage, "bot"},
		{"bot-voice, nothing", BotVoice{Bot: "scribe"}, CodeBadMessage, "speak or hear"},
		{"ai-request", AIRequest{Bot: "scribe", Prompt: long(MaxTextBytes)}, "", ""},
		{"ai-request about a message", AIRequest{Bot: "scribe", ReplyTo: 1}, "", ""},
		{"ai-request again", AIRequest{Bot: "scribe", Regenerate: 1}, "", ""},
		{"ai-request for nothing", AIRequest{Bot: "scribe"}, CodeBadMessage, "prompt"},
		{"ai-request to nobody", AIRequest{Prompt: "a"}, CodeBadMessage, "bot"},
		{"ai-request, too large", AIRequest{Bot: "scribe", Prompt: long(MaxTextBytes + 1)}, CodeTooLarge, ""},
		{"ai-cancel", AICancel{Run: "run-1"}, "", ""},
		{"ai-cancel of a request", AICancel{Request: "r.1"}, "", ""},
		{"ai-cancel of nothing", AICancel{}, CodeBadMessage, "run"},
		{"ai-cancel, no name", AICancel{Run: "a b"}, CodeBadMessage, "run"},
		{"tool-approval", ToolDecision{Run: "run-1", Call: "c", Digest: "d"}, "", ""},
		{"tool-approval of nothing seen", ToolDecision{Run: "run-1", Call: "c"}, CodeBadMessage, "digest"},
		{"tool-approval, call too long", ToolDecision{Run: "run-1", Call: long(129), Digest: "d"}, CodeBadMessage, "call"},
		{"subscribe-thread", SubscribeThread{}, "", ""},
		{"subscribe-thread, epoch too long", SubscribeThread{Since: &Cursor{Epoch: long(65)}}, CodeBadMessage, "epoch"},
		{"unsubscribe-thread", UnsubscribeThread{}, "", ""},
		{"media-state", SetMedia{}, "", ""},

		{"bans", Bans{}, "", ""},
		{"lock", Moderate{Action: ActionLock}, "", ""},
		{"mute", Moderate{Action: ActionMute, Participant: "p", Source: Screen}, "", ""},
		{"unmute", Moderate{Action: ActionUnmute, Participant: "p", Source: Camera}, "", ""},
		{"unmute nobody", Moderate{Action: ActionUnmute}, CodeBadMessage, "unmute needs a participant"},
		{"mute, default source", Moderate{Action: ActionMute, Participant: "p"}, "", ""},
		{"mute, no such source", Moderate{Action: ActionMute, Participant: "p", Source: "nose"}, CodeBadMessage, "source"},
		{"kick nobody", Moderate{Action: ActionKick}, CodeBadMessage, "kick needs a participant"},
		{"no action", Moderate{}, CodeBadMessage, "action"},
		{"unban", Moderate{Action: ActionUnban, User: "u"}, "", ""},
		{"unban nobody", Moderate{Action: ActionUnban, Participant: "p"}, CodeBadMessage, "unban needs a user"},
		{"capacity", Moderate{Action: ActionCapacity, Capacity: 12}, "", ""},
		{"capacity of the server", Moderate{Action: ActionCapacity}, "", ""},
		{"negative capacity", Moderate{Action: ActionCapacity, Capacity: -1}, CodeBadMessage, "capacity"},
		{"record", Moderate{Action: ActionRecord}, "", ""},
		{"unknown action", Moderate{Action: "smile", Participant: "p"}, CodeBadMessage, "action"},

		{"signal with a description", Signal{Description: &SessionDescription{Type: "offer"}}, "", ""},
		{"signal with the end of candidates", Signal{Candidate: json.RawMessage("null")}, "", ""},
		{"signal that the new path works", Signal{Ready: true}, "", ""},
		{"signal with nothing", Signal{Generation: 1}, CodeBadMessage, "a description, a candidate or ready"},
		{"subscribe-media", SubscribeMedia{Participant: "p", Source: Camera}, "", ""},
		{"subscribe-media, less than nothing", SubscribeMedia{Participant: "p", Source: Camera, Height: -1}, CodeBadMessage, "negative"},
		{"ask for sfu", RequestMode{Mode: SFU}, "", ""},
		{"ask for mesh", RequestMode{Mode: Mesh}, CodeBadMessage, "sfu only"},
		{"ask for sfu at length", RequestMode{Mode: SFU, Reason: long(MaxReasonBytes + 1)}, CodeTooLarge, "reason"},
		{"ice-servers", ICEServersRequest{}, "", ""},
		{"subscribe-media of nobody", SubscribeMedia{Source: Camera}, CodeBadMessage, "participant"},
		{"subscribe-media, no such source", SubscribeMedia{Participant: "p", Source: "nose"}, CodeBadMessage, "source"},
	}
	tested := map[Kind]bool{}
	for _, tt := range tests {
		tested[tt.body.Kind()] = true
		t.Run(tt.name, func(t *testing.T) {
			err := tt.body.Validate()
			if tt.code != "" {
				requireCode(t, err, tt.code, tt.part)
			} else if err != nil {
				t.Errorf("got %v", err)
			}
		})
	}
	for _, entry := range Catalog {
		if entry.Client != nil && !tested[entry.Kind] {
			t.Errorf("no test of %s", entry.Kind)
		}
	}
}

// TestCandidateNullIsKept: null is the end of candidates and not the same as no candidate.
func TestCandidateNullIsKept(t *testing.T) {
	m, err := DecodeBody[Signal](json.RawMessage(`{"candidate":null}`))
	if err != nil || string(m.Candidate) != "null" {
		t.Fatalf("got %s, %v", m.Candidate, err)
	}
	if raw, err := json.Marshal(m); err != nil || string(raw) != `{"candidate":null}` {
		t.Errorf("encodes to %s, %v", raw, err)
	}
}

func TestCatalog(t *testing.T) {
	seen := map[Kind]Entry{}
	for _, entry := range Catalog {
		if _, twice := seen[entry.Kind]; twice {
			t.Errorf("%s is listed twice", entry.Kind)
		}
		seen[entry.Kind] = entry
	}
	for _, entry := range Catalog {
		t.Run(string(entry.Kind), func(t *testing.T) {
			if entry.Client == nil && entry.Server == nil {
				t.Fatal("no body travels either way")
			}
			for side, body := range bodies(entry) {
				if kind := body.(interface{ Kind() Kind }).Kind(); kind != entry.Kind {
					t.Errorf("the body from the %s says it is %s", side, kind)
				}
			}
			if entry.Doc == "" || entry.Section == "" || entry.Delivery == "" {
				t.Error("doc, section or delivery is missing")
			}
			if (entry.Client != nil) != (entry.Answer != "") {
				t.Error("a message from a client has an answer, no other has")
			}
			if entry.Answer != "" && seen[entry.Answer].Server == nil {
				t.Errorf("the server cannot send the answer %s", entry.Answer)
			}
			if (entry.Client != nil) != (decoders[entry.Kind] != nil) {
				t.Error("the fuzz target for bodies does not know it")
			}
		})
	}
}

// TestEnumsAreComplete finds a field whose type is a string with a closed set that the generator would not see.
func TestEnumsAreComplete(t *testing.T) {
	open := []reflect.Type{ // names and ids: any string
		reflect.TypeFor[Kind](), reflect.TypeFor[RequestID](), reflect.TypeFor[RoomID](), reflect.TypeFor[ThreadID](),
		reflect.TypeFor[ParticipantID](), reflect.TypeFor[UserID](), reflect.TypeFor[BotID](), reflect.TypeFor[RunID](),
		reflect.TypeFor[string](),
	}
	seen := map[reflect.Type]bool{}
	var visit func(reflect.Type)
	visit = func(typ reflect.Type) {
		if seen[typ] {
			return
		}
		seen[typ] = true
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			visit(typ.Elem())
		case reflect.Struct:
			for i := range typ.NumField() {
				visit(typ.Field(i).Type)
			}
		case reflect.String:
			if Enums[typ] == nil && !slices.Contains(open, typ) {
				t.Errorf("%s is neither in Enums nor an open string", typ)
			}
		}
	}
	for _, entry := range Catalog {
		for _, body := range bodies(entry) {
			visit(reflect.TypeOf(body))
		}
	}
	for typ, values := range Enums {
		if !seen[typ] {
			t.Errorf("%s is in Enums, but in no message", typ)
		}
		if slices.Contains(values, "") || len(slices.Compact(slices.Sorted(slices.Values(values)))) != len(values) {
			t.Errorf("%s has an empty or a repeated value: %q", typ, values)
		}
	}
}
