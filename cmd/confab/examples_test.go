package main

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"confab/signaling"
	"confab/signaling/wire"
)

// The examples of bots that live elsewhere answer who mentions them, once, and no other bot; they come back by
// themselves, and answer what they have missed.
func TestExamples(t *testing.T) {
	t.Run("clock", func(t *testing.T) {
		program := filepath.Join(t.TempDir(), "clock")
		build(t, "go", "build", "-o", program, "../../bots/examples/clock")
		checkExample(t, "Clock", `^It is \d\d:\d\d UTC, ada$`, program)
	})
	t.Run("dice", func(t *testing.T) {
		web, program := webPackage(t, "esbuild"), filepath.Join(t.TempDir(), "dice.cjs")
		build(t, filepath.Join(web, "node_modules", ".bin", "esbuild"), "../../bots/examples/dice.ts",
			"--bundle", "--platform=node", "--log-level=warning", "--outfile="+program)
		checkExample(t, "Dice", `^ada rolls [1-6]$`, "node", "--experimental-websocket", "--no-warnings", program)
	})
}

func build(t *testing.T, compiler string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), compiler, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", compiler, err, out)
	}
}

func checkExample(t *testing.T, name, answer string, command ...string) {
	server := start(t, t.TempDir(), "--auth-secret", testSecret, "--log-level", "error")
	way := newTrunk(t, strings.TrimPrefix(server.url, "http://"))
	ada := enterLobby(t, server.url, wire.Human, "ada")
	parrot := enterLobby(t, server.url, wire.Bot, "parrot")

	cmd := exec.Command(command[0], append(command[1:], "ws://"+way.Addr().String()+"/ws", "lobby")...)
	cmd.Env = append(os.Environ(), "CONFAB_TOKEN="+lobbyToken(t, wire.Bot, name))
	cmd.Stderr = server.err
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("said beside the room:\n%s", server.err)
		}
	}()
	ada.until("the bot is there", func() bool { return ada.there[wire.UserID(name)] })

	unasked := []wire.Seq{ada.say("c1", "what time is it, and who is lucky?"), parrot.say("c2", "@"+name+" hello!")}
	asked := []wire.Seq{ada.say("c3", "@"+strings.ToLower(name)+", now?")}
	ada.until("an answer", func() bool { return len(ada.answers(asked[0])) > 0 })
	way.set(false)
	asked = append(asked, ada.say("c4", "and now, @"+name+"?")) // it does not hear this
	way.set(true)
	ada.until("an answer to what it has missed", func() bool { return len(ada.answers(asked[1])) > 0 })
	asked = append(asked, ada.say("c5", "once more @"+name))
	ada.until("the last answer", func() bool { return len(ada.answers(asked[2])) > 0 })

	right := regexp.MustCompile(answer)
	for _, seq := range asked {
		all := ada.answers(seq)
		if len(all) != 1 || all[0].Author.Kind != wire.Bot || !right.MatchString(textOf(t, all[0])) {
			t.Errorf("the answers to %d are %+v", seq, all)
		}
	}
	for _, seq := range unasked {
		if all := ada.answers(seq); len(all) != 0 {
			t.Errorf("nobody has asked in %d, and it said %s", seq, all[0].Data)
		}
	}
}

func lobbyToken(t *testing.T, kind wire.ParticipantKind, user string) string {
	t.Helper()
	keys, err := signaling.OpenKeyring(t.Context(), signaling.KeyringOptions{Secret: []byte(testSecret)})
	if err != nil {
		t.Fatal(err)
	}
	token, err := keys.Mint(signaling.Claims{
		User: wire.UserID(user), Name: user, Kind: kind, Role: wire.RoleMember, Grants: signaling.RoleGrants(wire.RoleMember),
		Rooms: []string{"lobby"}, ExpiresAt: time.Now().Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// A visitor is in the room lobby, and reads it.
type visitor struct {
	*link
	t     *testing.T
	conn  *websocket.Conn
	there map[wire.UserID]bool
	chats []wire.Envelope
}

func enterLobby(t *testing.T, base string, kind wire.ParticipantKind, user string) *visitor {
	t.Helper()
	conn, first := connect(t, base, lobbyToken(t, kind, user))
	if first.Type != wire.KindConnected {
		t.Fatalf("got %s", first.Type)
	}
	t.Cleanup(func() { conn.Close() })
	v := &visitor{link: &link{conn: conn}, t: t, conn: conn, there: map[wire.UserID]bool{}}
	v.request("join", wire.KindJoin, wire.Join{})
	v.until("to be there", func() bool { return v.there[wire.UserID(user)] })
	return v
}

func (v *visitor) request(id string, kind wire.Kind, body any) {
	v.t.Helper()
	if err := v.send(wire.Envelope{ID: wire.RequestID(id), Room: "lobby"}, kind, body); err != nil {
		v.t.Fatal(err)
	}
}

// until reads frames until reached.
func (v *visitor) until(what string, reached func() bool) {
	v.t.Helper()
	for !reached() {
		_ = v.conn.SetReadDeadline(time.Now().Add(patience))
		_, frame, err := v.conn.ReadMessage()
		if err != nil {
			v.t.Fatalf("%s: %v", what, err)
		}
		wire.Lines(frame, func(line []byte) bool {
			var e wire.Envelope
			if err := json.Unmarshal(line, &e); err != nil {
				v.t.Fatal(err)
			}
			v.take(e)
			return true
		})
	}
}

func (v *visitor) take(e wire.Envelope) {
	v.t.Helper()
	switch e.Type {
	case wire.KindJoined:
		var j wire.Joined
		if err := json.Unmarshal(e.Data, &j); err != nil {
			v.t.Fatal(err)
		}
		v.there[j.Self.User] = true
	case wire.KindPresence:
		var p wire.Presence
		if err := json.Unmarshal(e.Data, &p); err != nil {
			v.t.Fatal(err)
		}
		v.there[p.Participant.User] = p.Event != wire.PresenceLeft
	case wire.KindChat:
		v.chats = append(v.chats, e)
	case wire.KindError:
		v.t.Fatalf("%s: %s", e.ID, e.Data)
	default:
	}
}

// say writes in the chat and returns the message's seq.
func (v *visitor) say(id wire.RequestID, text string) (seq wire.Seq) {
	v.t.Helper()
	v.request(string(id), wire.KindChat, wire.Chat{Text: text})
	v.until("the message", func() bool {
		for _, e := range v.chats {
			if e.ID == id {
				seq = e.Seq
			}
		}
		return seq != 0
	})
	return seq
}

// answers are the messages that answer one.
func (v *visitor) answers(seq wire.Seq) (all []wire.Envelope) {
	for _, e := range v.chats {
		var c wire.ChatRecord
		if err := json.Unmarshal(e.Data, &c); err != nil {
			v.t.Fatal(err)
		}
		if c.ReplyTo == seq {
			all = append(all, e)
		}
	}
	return all
}

func textOf(t *testing.T, e wire.Envelope) string {
	t.Helper()
	var c wire.ChatRecord
	if err := json.Unmarshal(e.Data, &c); err != nil {
		t.Fatal(err)
	}
	return c.Text
}

// A trunk is a way to a server that can be down: then connections end, and new ones too.
type trunk struct {
	net.Listener
	to string

	mu    sync.Mutex
	down  bool              // guarded by mu
	ends  map[net.Conn]bool // of what is connected; guarded by mu
	works sync.WaitGroup
}

func newTrunk(t *testing.T, to string) *trunk {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k := &trunk{Listener: listener, to: to, ends: map[net.Conn]bool{}}
	k.works.Go(k.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		k.set(false)
		k.works.Wait()
	})
	return k
}

// set brings the way up, or down.
func (k *trunk) set(up bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.down = !up; k.down {
		for end := range k.ends {
			_ = end.Close()
		}
		clear(k.ends)
	}
}

func (k *trunk) accept() {
	for {
		near, err := k.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", k.to)
		if err != nil || !k.keep(near, far) {
			_ = near.Close()
			if err == nil {
				_ = far.Close()
			}
			continue
		}
		k.works.Go(func() { k.pass(near, far) })
		k.works.Go(func() { k.pass(far, near) })
	}
}

func (k *trunk) keep(ends ...net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, end := range ends {
		k.ends[end] = true
	}
	return !k.down
}

// pass moves bytes one way. The end of one way is that of the other.
func (k *trunk) pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
	_ = from.Close()
}
