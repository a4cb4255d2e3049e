package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"

	"confab/signaling/wire"
)

const badAuthTimeout = 2 * time.Second

// TestBadInput sends everything that a broken or hostile client may send, to a real server, and expects the code that
// the protocol names. Two people chat beside it all the time and must not notice.
func TestBadInput(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	server := start(t, t.TempDir(), "--auth-secret", testSecret, "--auth-timeout", badAuthTimeout.String(),
		"--connection-limit", "0", "--log-level", "error")
	base := server.url
	finish := bystanders(t, base)
	t.Run("bad messages", func(t *testing.T) { testBadMessages(t, base) })
	t.Run("names of rooms", func(t *testing.T) { testRoomNames(t, base) })
	t.Run("rooms not joined", func(t *testing.T) { testNotJoined(t, base) })
	t.Run("tokens", func(t *testing.T) { testTokens(t, base) })
	t.Run("who says what", func(t *testing.T) { testIdentity(t, base) })
	t.Run("batches and repeats", func(t *testing.T) { testBatches(t, base) })
	t.Run("connections", func(t *testing.T) { testBadConnections(t, base) })
	t.Run("floods", func(t *testing.T) { testFloods(t, base) })
	t.Run("handshakes", func(t *testing.T) { testHandshakes(t, base) })
	t.Run("waiting", func(t *testing.T) { testWaiting(t, base) })
	finish()
	if err := server.terminate(t, os.Interrupt); err != nil {
		t.Errorf("the server ended with %v\n%s", err, server.err)
	}
	if log := server.err.String(); strings.Contains(log, "panic") || strings.Contains(log, "DATA RACE") {
		t.Errorf("the server's log:\n%s", log)
	}
}

// testBadMessages sends one frame after the other on one connection: each gets its error, and no more.
func testBadMessages(t *testing.T, base string) {
	nested := func(depth int) string { return strings.Repeat("[", depth) + strings.Repeat("]", depth) }
	chat := func(data string) string { return `{"type":"chat","id":"i","room":"bad","data":` + data + `}` }
	cases := []struct {
		name, frame, id string
		code            wire.ErrorCode
	}{
		{"not JSON", `hello`, "", wire.CodeBadMessage},
		{"half an object", `{"type":"chat","id":"i"`, "", wire.CodeBadMessage},
		{"an array", `[{"type":"ping"}]`, "", wire.CodeBadMessage},
		{"a string", `"ping"`, "", wire.CodeBadMessage},
		{"a number", `42`, "", wire.CodeBadMessage},
		{"null", `null`, "", wire.CodeBadMessage},
		{"two objects on one line", `{"type":"ping","id":"i"}{"type":"ping","id":"j"}`, "", wire.CodeBadMessage},
		{"no type", `{"id":"i"}`, "i", wire.CodeBadMessage},
		{"unknown type", `{"type":"teleport","id":"i"}`, "i", wire.CodeUnknownType},
		{"a type of servers", `{"type":"joined","id":"i","room":"bad","data":{}}`, "i", wire.CodeUnknownType},
		{"type is a number", `{"type":5,"id":"i"}`, "i", wire.CodeBadMessage},
		{"id is a number", `{"type":"ping","id":7}`, "", wire.CodeBadMessage},
		{"id too long", `{"type":"ping","id":"` + strings.Repeat("i", 65) + `"}`, "", wire.CodeBadMessage},
		{"id with a space", `{"type":"ping","id":"a b"}`, "", wire.CodeBadMessage},
		{"id empty on a chat is as none", `{"type":"chat","id":"","room":"bad","data":{"text":""}}`, "", wire.CodeBadMessage},
		{"room is an object", `{"type":"chat","id":"i","room":{},"data":{"text":"x"}}`, "i", wire.CodeBadMessage},
		{"thread with a dot", `{"type":"chat","id":"i","room":"bad","thread":"a.b","data":{"text":"x"}}`, "i", wire.CodeBadMessage},
		{"no room", `{"type":"chat","id":"i","data":{"text":"x"}}`, "i", wire.CodeBadMessage},
		{"data is a string", chat(`"x"`), "i", wire.CodeBadMessage},
		{"data is an array", chat(`["x"]`), "i", wire.CodeBadMessage},
		{"text is a number", chat(`{"text":5}`), "i", wire.CodeBadMessage},
		{"text is null", chat(`{"text":null}`), "i", wire.CodeBadMessage},
		{"text is empty", chat(`{"text":" \n\t "}`), "i", wire.CodeBadMessage},
		{"text too large", chat(`{"text":"` + strings.Repeat("x", wire.MaxTextBytes+1) + `"}`), "i", wire.CodeTooLarge},
		{"mentions is a string", chat(`{"text":"x","mentions":"ada"}`), "i", wire.CodeBadMessage},
		{"too many mentions", chat(`{"text":"x","mentions":["a"` + strings.Repeat(`,"a"`, wire.MaxMentions) + `]}`), "i", wire.CodeBadMessage},
		{"replyTo negative", chat(`{"text":"x","replyTo":-1}`), "i", wire.CodeBadMessage},
		{"replyTo not whole", chat(`{"text":"x","replyTo":1.5}`), "i", wire.CodeBadMessage},
		{"replyTo beyond 64 bits", chat(`{"text":"x","replyTo":18446744073709551616}`), "i", wire.CodeBadMessage},
		{"replyTo beyond numbers", chat(`{"text":"x","replyTo":1e400}`), "i", wire.CodeBadMessage},
		{"replyTo nothing", chat(`{"text":"x","replyTo":18446744073709551615}`), "i", wire.CodeNotFound},
		{"nested too deeply", chat(`{"text":"x","more":` + nested(12_000) + `}`), "", wire.CodeBadMessage},
		{"nested without an end", `{"type":"chat","id":"i","data":` + strings.Repeat(`{"a":`, 10_500), "", wire.CodeBadMessage},
		{"a raw NUL", "{\"type\":\"chat\",\"id\":\"i\",\"room\":\"bad\",\"data\":{\"text\":\"a\x00b\"}}", "", wire.CodeBadMessage},
		{"nothing but NULs", strings.Repeat("\x00", 64), "", wire.CodeBadMessage},
		{"edit of nothing", `{"type":"edit","id":"i","room":"bad","data":{"message":18446744073709551615,"text":"x"}}`, "i", wire.CodeNotFound},
		{"delete of no seq", `{"type":"delete","id":"i","room":"bad","data":{}}`, "i", wire.CodeBadMessage},
		{"reaction of nothing", `{"type":"reaction","id":"i","room":"bad","data":{"message":99999999,"emoji":"x","on":true}}`, "i", wire.CodeNotFound},
		{"emoji too long", `{"type":"reaction","id":"i","room":"bad","data":{"message":1,"emoji":"` + strings.Repeat("x", 33) + `","on":true}}`, "i", wire.CodeBadMessage},
		{"read of the future", `{"type":"read","id":"i","room":"bad","data":{"seq":18446744073709551615}}`, "i", wire.CodeNotFound},
		{"history with a limit too high", `{"type":"history","id":"i","room":"bad","data":{"limit":257}}`, "i", wire.CodeBadMessage},
		{"history of a thread that is not there", `{"type":"history","id":"i","room":"bad","thread":"none","data":{}}`, "i", wire.CodeNotFound},
		{"clear by a member", `{"type":"clear","id":"i","room":"bad"}`, "i", wire.CodeForbidden},
		{"moderate by a member", `{"type":"moderate","id":"i","room":"bad","data":{"action":"end"}}`, "i", wire.CodeForbidden},
		{"moderate with no such action", `{"type":"moderate","id":"i","room":"bad","data":{"action":"promote-all"}}`, "i", wire.CodeBadMessage},
		{"signal to nobody", `{"type":"webrtc-signal","id":"i","room":"bad","to":"nobody","data":{"candidate":null}}`, "i", wire.CodeNotFound},
		{"signal without to", `{"type":"webrtc-signal","id":"i","room":"bad","data":{"candidate":null}}`, "i", wire.CodeBadMessage},
		{"a second auth", `{"type":"auth","id":"i","data":{"token":"x"}}`, "i", wire.CodeConflict},
		{"refresh with nonsense", `{"type":"refresh","id":"i","data":{"token":"x"}}`, "i", wire.CodeUnauthorized},
	}
	k := newTalker(t, base, "mallory", "bad")
	for i, c := range cases {
		if i%50 == 49 { // wire.MaxErrors within ten seconds would end the connection
			k = newTalker(t, base, "mallory", "bad")
		}
		t.Run(c.name, func(t *testing.T) {
			k.t = t
			k.send(c.frame)
			k.wantError(c.id, c.code)
			k.wantPong()
		})
	}
}

func testRoomNames(t *testing.T, base string) {
	k := newTalker(t, base, "mallory")
	for _, name := range []string{
		"a.b", ".", "..", "a*", "*", ">", "a.>", "calm~x", "calm/../x", "a b", "a\\u0000", "a\\n", "CALM", "ünder", "$JS", strings.Repeat("a", 65),
	} {
		k.send(`{"type":"join","id":"i","room":"` + name + `"}`)
		k.wantError("i", wire.CodeBadMessage)
	}
	longest := strings.Repeat("a", 64)
	k.send(`{"type":"join","id":"j","room":"` + longest + `"}`)
	if env := k.answer("j"); env.Type != wire.KindJoined || string(env.Room) != longest {
		t.Errorf("a name of 64 characters: got %s %s", env.Type, env.Data)
	}
	k.send(`{"type":"join","id":"j","room":"bad","data":{"since":{"seq":18446744073709551615,"epoch":"nothing"}}}`)
	var joined wire.Joined
	if err := json.Unmarshal(k.answer("j").Data, &joined); err != nil || joined.Recovered {
		t.Errorf("a cursor of nowhere: recovered %v, %v", joined.Recovered, err)
	}
}

// testNotJoined: whatever is sent to a room that one is not in is refused, and reaches nobody.
func testNotJoined(t *testing.T, base string) {
	k := newTalker(t, base, "mallory", "bad")
	for kind, data := range map[string]string{
		"chat": `{"text":"I am not here"}`, "edit": `{"message":1,"text":"x"}`, "delete": `{"message":1}`,
		"reaction": `{"message":1,"emoji":"x","on":true}`, "read": `{"seq":1}`, "typing": `{"typing":true}`, "clear": `{}`,
		"history": `{}`, "media-state": `{"microphone":true}`, "moderate": `{"action":"end"}`, "leave": `{}`,
		"webrtc-signal": `{"candidate":null}`,
	} {
		k.send(fmt.Sprintf(`{"type":%q,"id":"i","room":%q,"to":"x","data":%s}`, kind, calmRoom, data))
		k.wantError("i", wire.CodeNotJoined)
	}
	k.wantPong()
}

// testTokens: a token that is not good opens nothing, and one of another room does not open this one.
func testTokens(t *testing.T, base string) {
	hour := time.Now().Add(time.Hour).Unix()
	sign := func(method jwt.SigningMethod, key any, claims jwt.MapClaims) string {
		token, err := jwt.NewWithClaims(method, claims).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	good := func(changed jwt.MapClaims) jwt.MapClaims {
		claims := jwt.MapClaims{"sub": "mallory", "exp": hour, "rooms": []string{"*"}}
		for name, value := range changed {
			claims[name] = value
		}
		return claims
	}
	hs := func(claims jwt.MapClaims) string { return sign(jwt.SigningMethodHS256, []byte(testSecret), claims) }
	valid := hs(good(nil))
	parts := strings.Split(valid, ".")
	for name, token := range map[string]string{
		"expired":            hs(good(jwt.MapClaims{"exp": time.Now().Add(-time.Minute).Unix()})),
		"not valid yet":      hs(good(jwt.MapClaims{"nbf": hour})),
		"of another key":     sign(jwt.SigningMethodHS256, []byte(strings.Repeat("k", 32)), good(nil)),
		"of an empty key":    sign(jwt.SigningMethodHS256, []byte{}, good(nil)),
		"alg none":           sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, good(nil)),
		"alg HS512":          sign(jwt.SigningMethodHS512, []byte(testSecret), good(nil)),
		"no signature":       parts[0] + "." + parts[1] + ".",
		"changed body":       parts[0] + "." + strings.Split(hs(good(jwt.MapClaims{"sub": "bystander-0"})), ".")[1] + "." + parts[2],
		"no subject":         hs(good(jwt.MapClaims{"sub": ""})),
		"subject too long":   hs(good(jwt.MapClaims{"sub": strings.Repeat("s", 129)})),
		"line break in sub":  hs(good(jwt.MapClaims{"sub": "a\r\nNats-Msg-Id: x"})),
		"a bot's subject":    hs(good(jwt.MapClaims{"sub": "bot:scribe"})),
		"kind made up":       hs(good(jwt.MapClaims{"kind": "ghost"})),
		"subject is a list":  hs(good(jwt.MapClaims{"sub": []string{"a"}})),
		"role made up":       hs(good(jwt.MapClaims{"role": "owner"})),
		"rooms is a string":  hs(good(jwt.MapClaims{"rooms": 5})),
		"rooms with a dot":   hs(good(jwt.MapClaims{"rooms": []string{"a.*"}})),
		"exp beyond numbers": hs(good(jwt.MapClaims{"exp": 1e300})),
		"nonsense":           "nonsense",
		"dots":               "..",
		"empty":              "",
	} {
		t.Run(name, func(t *testing.T) {
			k := dialTalker(t, base)
			k.send(authFrame(token))
			k.wantError("a", wire.CodeUnauthorized)
			k.wantClose(wire.ClosePolicy)
		})
	}
	t.Run("for another room", func(t *testing.T) {
		k := dialTalker(t, base)
		k.send(authFrame(hs(good(jwt.MapClaims{"rooms": []string{"other", "cal", "calmer-*"}}))))
		k.send(`{"type":"join","id":"i","room":"calm"}`)
		k.wantError("i", wire.CodeForbidden)
	})
	t.Run("for no room", func(t *testing.T) {
		k := dialTalker(t, base)
		k.send(authFrame(hs(jwt.MapClaims{"sub": "mallory", "exp": hour})))
		k.send(`{"type":"join","id":"i","room":"calm"}`)
		k.wantError("i", wire.CodeForbidden)
	})
	t.Run("of a viewer who publishes", func(t *testing.T) {
		k := dialTalker(t, base)
		k.send(authFrame(hs(good(jwt.MapClaims{"role": "viewer"}))))
		k.send(`{"type":"join","room":"bad"}` + "\n" + `{"type":"media-state","id":"i","room":"bad","data":{"camera":true}}`)
		k.wantError("i", wire.CodeForbidden)
	})
	t.Run("that may not chat", func(t *testing.T) {
		k := dialTalker(t, base)
		k.send(authFrame(hs(good(jwt.MapClaims{"grants": map[string]any{"chat": false}}))))
		k.send(`{"type":"join","room":"bad"}` + "\n" + `{"type":"chat","id":"i","room":"bad","data":{"text":"x"}}`)
		k.wantError("i", wire.CodeForbidden)
	})
}
