package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"confab/media/rtctest"
	"confab/signaling/wire"
)

const nodeCapacity = 40 // participants of a room

// A fleet is three nodes on a cluster of three NATS servers, each a process of its own.
type fleet struct {
	t       *testing.T
	program string
	bots    string      // file with them
	net     *network    // that the pairs of a node and a NATS server are in; nil = the loopback of this machine
	args    [3][]string // of the NATS servers
	folders [3]string
	addrs   [3]string
	nats    [3]func() // kills
	nodes   [3]*confab
	listen  [3]string
	data    [3]string
}

func startFleet(t *testing.T, net *network) *fleet {
	t.Helper()
	model := modelServer()
	t.Cleanup(model.Close)
	f := &fleet{t: t, net: net, bots: botsFile(t, model.URL), program: buildNATS(t)}
	var routes [3]string
	for i := range 3 {
		routes[i], f.addrs[i], f.listen[i] = "nats://"+f.address(i, 6222), f.address(i, 4222), f.address(i, 8080)
		f.folders[i], f.data[i] = t.TempDir(), t.TempDir()
	}
	for i := range 3 {
		f.args[i] = []string{"-n", "n" + strconv.Itoa(i), "--cluster_name", "test", "--cluster", routes[i], "--routes", strings.Join(routes[:], ",")}
		f.startNATS(i)
	}
	for i := range 3 {
		f.start(i)
	}
	f.whole()
	return f
}

// address is where something of a node listens: at that port of its own network, or at any that is free.
func (f *fleet) address(i, port int) string {
	if f.net == nil {
		return freeAddress(f.t)
	}
	return net.JoinHostPort(f.net.address(i), strconv.Itoa(port))
}

// whole waits until the nodes see each other.
func (f *fleet) whole() {
	f.t.Helper()
	for _, node := range f.nodes {
		awaitThat(f.t, "the nodes see each other", func() bool { return gauges(f.t, node, "confab_cluster_nodes")[0] == 3 })
	}
}

func (f *fleet) startNATS(i int) {
	f.nats[i] = startNATSIn(f.t, f.net.namespace(i), f.program, f.folders[i], f.addrs[i], f.args[i]...)
}

// start starts a node. It is told of the NATS server of its number, as the one on its machine, and learns of the others.
func (f *fleet) start(i int) {
	f.nodes[i] = startIn(f.t, f.net.namespace(i), f.data[i],
		"--listen", f.listen[i], "--nats", "nats://"+f.addrs[i], "--replicas", "3", "--node-name", "node-"+strconv.Itoa(i),
		"--auth-secret", testSecret, "--admin-key", "ops:"+testKeyOfAdmin, "--rate-limit", "0", "--connection-limit", "0", "--max-participants", strconv.Itoa(nodeCapacity),
		"--history", strconv.Itoa(2*killedMessages), "--log-level", "error", "--turn", "off", "--mesh-max", "0", "--bots", f.bots,
	)
}

// js reaches the NATS servers.
func (f *fleet) js(do func(jetstream.JetStream) error) {
	f.t.Helper()
	conn, err := nats.Connect(strings.Join(f.addrs[:], ","))
	if err == nil {
		defer conn.Close()
		var js jetstream.JetStream
		if js, err = jetstream.New(conn); err == nil {
			err = do(js)
		}
	}
	if err != nil {
		f.t.Fatal(err)
	}
}

// document is what a room keeps beside its log.
func (f *fleet) document(room string) (text string) {
	f.t.Helper()
	f.js(func(js jetstream.JetStream) error {
		stream, err := js.Stream(f.t.Context(), "STATE")
		if err != nil {
			return err
		}
		record, err := stream.GetLastMsgForSubject(f.t.Context(), "state."+room)
		if err == nil {
			text = string(record.Data)
		}
		return err
	})
	return text
}

// leader is the number of the NATS server that leads the stream of a room.
func (f *fleet) leader(room string) int {
	f.t.Helper()
	hash := fnv.New32a()
	_, _ = io.WriteString(hash, room) // never fails
	return f.leaderOf(fmt.Sprintf("ROOMS_%d", hash.Sum32()%16))
}

func (f *fleet) leaderOf(name string) (number int) {
	f.t.Helper()
	f.js(func(js jetstream.JetStream) error {
		stream, err := js.Stream(f.t.Context(), name)
		if err == nil {
			number, err = strconv.Atoi(strings.TrimPrefix(stream.CachedInfo().Cluster.Leader, "n"))
		}
		return err
	})
	return number
}

func (f *fleet) kill(i int) {
	f.t.Helper()
	if err := f.nodes[i].cmd.Process.Kill(); err != nil {
		f.t.Fatal(err)
	}
	<-f.nodes[i].done
}

// stop ends the nodes in good order, and NATS.
func (f *fleet) stop() {
	f.t.Helper()
	for _, node := range f.nodes {
		if err := node.terminate(f.t, os.Interrupt); err != nil {
			f.t.Errorf("a node ended with %v\n%s", err, node.err)
		}
	}
	for _, kill := range f.nats {
		kill()
	}
}

// A resident is a person: a talker with the session that it has.
type resident struct {
	*talker
	wire.Connected
	wire.Joined
}

// visit connects to a node, with a ticket if there is one, and joins the room.
func visit(t *testing.T, base, token, ticket, room string) resident {
	t.Helper()
	v := resident{talker: dialTalker(t, base)}
	auth, err := json.Marshal(wire.Auth{Token: token, Ticket: ticket})
	if err != nil {
		t.Fatal(err)
	}
	v.send(`{"type":"auth","id":"a","data":` + string(auth) + `}`)
	if env := v.next(); env.Type != wire.KindConnected || json.Unmarshal(env.Data, &v.Connected) != nil {
		t.Fatalf("got %s %s; want connected", env.Type, env.Data)
	}
	v.join(room)
	return v
}

// join joins, again while the room cannot be reached.
func (v *resident) join(room string) {
	v.t.Helper()
	for deadline := time.Now().Add(patience); ; {
		v.send(`{"type":"join","id":"j","room":"` + room + `"}`)
		env := v.answer("j")
		var problem wire.ErrorBody
		switch {
		case env.Type == wire.KindJoined && json.Unmarshal(env.Data, &v.Joined) == nil:
			return
		case json.Unmarshal(env.Data, &problem) != nil || !problem.Retryable || time.Now().After(deadline):
			v.t.Fatalf("joining %s: got %s %s", room, env.Type, env.Data)
		}
	}
}

// presence waits for news of a participant.
func (v *resident) presence(who wire.ParticipantID, event wire.PresenceEvent, status wire.Status) {
	v.t.Helper()
	v.until(func(env wire.Envelope) bool {
		var p wire.Presence
		return env.Type == wire.KindPresence && json.Unmarshal(env.Data, &p) == nil && p.Participant.ID == who && p.Event == event &&
			(status == "" || p.Participant.Status == status)
	})
}

func (v *resident) hears(text string) {
	v.t.Helper()
	v.until(func(env wire.Envelope) bool {
		var chat wire.Chat
		return env.Type == wire.KindChat && json.Unmarshal(env.Data, &chat) == nil && chat.Text == text
	})
}

// TestNodes is what people of one room at three nodes see of each other, while nodes come and go.
func TestNodes(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	f := startFleet(t, nil)
	t.Run("one room", func(t *testing.T) { testOneRoom(t, f) })
	t.Run("latency", func(t *testing.T) { testLatency(t, f) })
	t.Run("admin", func(t *testing.T) { testAdminAtAnyNode(t, f) })
	t.Run("capacity", func(t *testing.T) { testCapacity(t, f) })
	t.Run("door", func(t *testing.T) { testDoorAcrossNodes(t, f) })
	t.Run("handover", func(t *testing.T) { testHandover(t, f) })
	t.Run("edge killed", func(t *testing.T) { testEdgeKilled(t, f) })
	t.Run("owner killed", func(t *testing.T) { testOwnerKilled(t, f) })
	t.Run("owner stopped", func(t *testing.T) { testOwnerStopped(t, f) })
	t.Run("machine killed", func(t *testing.T) { testMachineKilled(t, f) })
	t.Run("call", func(t *testing.T) { testCallMoves(t, f) })
	f.stop()
}

func testOneRoom(t *testing.T, f *fleet) {
	ada := visit(t, f.nodes[0].url, mintModerator(t, "ada"), "", "shared")
	bob := visit(t, f.nodes[1].url, mintToken(t, "bob", "*"), "", "shared")
	ada.presence(bob.Self.ID, wire.PresenceJoined, "")
	cy := visit(t, f.nodes[2].url, mintToken(t, "cy", "*"), "", "shared")
	if len(cy.Participants) != 3 {
		t.Fatalf("cy sees %v", cy.Participants)
	}
	for _, v := range []resident{ada, bob} {
		v.presence(cy.Self.ID, wire.PresenceJoined, "")
	}
	out, err := confabCommand(t, "doctor", "--nats", "nats://"+f.addrs[0], "--data", t.TempDir(), "--listen", "127.0.0.1:0").CombinedOutput()
	if !strings.Contains(string(out), "3 nodes use this NATS: node-0 with 3 participants, node-1 with 0 participants, node-2") {
		t.Errorf("the doctor says %v\n%s", err, out)
	}
	for i, v := range []resident{ada, bob, cy} {
		text := "hello from " + strconv.Itoa(i)
		v.send(`{"type":"chat","id":"c","room":"shared","data":{"text":"` + text + `"}}`)
		for _, other := range []resident{ada, bob, cy} {
			other.hears(text)
		}
	}
	bob.send(`{"type":"typing","room":"shared","data":{"typing":true}}`)
	cy.until(func(env wire.Envelope) bool { return env.Type == wire.KindTyping && env.From == bob.Self.ID })
	bob.send(`{"type":"webrtc-signal","room":"shared","to":"` + string(cy.Self.ID) + `","data":{"candidate":null}}`)
	cy.until(func(env wire.Envelope) bool { return env.Type == wire.KindSignal && env.From == bob.Self.ID })
	bob.send(`{"type":"media-state","room":"shared","data":{"hand":true}}`)
	ada.until(func(env wire.Envelope) bool { return env.Type == wire.KindMediaState && env.From == bob.Self.ID })

	bob.send(`{"type":"moderate","id":"m","room":"shared","data":{"action":"lock"}}`)
	bob.wantError("m", wire.CodeForbidden)
	ada.send(`{"type":"moderate","id":"m","room":"shared","data":{"action":"ban","participant":"` + string(bob.Self.ID) + `"}}`)
	if env := ada.answer("m"); env.Type != wire.KindAck {
		t.Fatalf("banning: %s %s", env.Type, env.Data)
	}
	if code := closeOf(&bob); code != wire.CloseBanned {
		t.Errorf("bob's connection was closed with %d", code)
	}
	cy.presence(bob.Self.ID, wire.PresenceLeft, "")
	again := newTalker(t, f.nodes[2].url, "bob")
	again.send(`{"type":"join","id":"j","room":"shared"}`)
	again.wantError("j", wire.CodeForbidden)
	cy.send(`{"type":"leave","id":"l","room":"shared"}`)
	if env := cy.answer("l"); env.Type != wire.KindAck {
		t.Errorf("leaving: %s %s", env.Type, env.Data)
	}
	ada.presence(cy.Self.ID, wire.PresenceLeft, "")
	cy.send(`{"type":"chat","id":"c","room":"shared","data":{"text":"from outside"}}`)
	cy.wantError("c", wire.CodeNotJoined)
}

// testDoorAcrossNodes has people knock at a room of another node: one is let in, one comes back by a third node and keeps
// the place, and is sent away.
func testDoorAcrossNodes(t *testing.T, f *fleet) {
	const knock = `{"type":"join","id":"k","room":"locked","data":{"knock":true}}`
	ada := visit(t, f.nodes[0].url, mintModerator(t, "ada"), "", "locked")
	moderate := func(action string, who wire.ParticipantID) {
		t.Helper()
		ada.send(`{"type":"moderate","id":"m","room":"locked","data":{"action":"` + action + `","participant":"` + string(who) + `"}}`)
		if env := ada.answer("m"); env.Type != wire.KindAck {
			t.Fatalf("%s: %s %s", action, env.Type, env.Data)
		}
	}
	door := func(user wire.UserID, status wire.Status) (who wire.ParticipantID) {
		t.Helper()
		ada.until(func(env wire.Envelope) bool {
			var info wire.RoomInfo
			if env.Type != wire.KindRoom || json.Unmarshal(env.Data, &info) != nil || len(info.Knocking) != 1 {
				return false
			}
			p := info.Knocking[0]
			who = p.ID
			return p.User == user && p.Status == status
		})
		return who
	}
	moderate("lock", "")
	bob := newTalker(t, f.nodes[1].url, "bob")
	bob.send(knock)
	moderate("admit", door("bob", wire.Online))
	if env := bob.answer("k"); env.Type != wire.KindJoined {
		t.Fatalf("admitted: %s %s", env.Type, env.Data)
	}
	cy := newTalker(t, f.nodes[1].url, "cy")
	cy.send(knock)
	first := door("cy", wire.Online)
	_ = cy.conn.NetConn().Close()
	door("cy", wire.Reconnecting)
	cy = resumeTalker(t, f.nodes[2].url, "cy", cy.ticket)
	cy.send(knock)
	if again := door("cy", wire.Online); again != first {
		t.Errorf("%s came back as %s", first, again)
	}
	moderate("deny", first)
	if env := cy.answer("k"); env.Type != wire.KindRemoved || !strings.Contains(string(env.Data), `"denied"`) {
		t.Errorf("denied: %s %s", env.Type, env.Data)
	}
}

// testLatency measures a message from one node to another by way of the owner, which is a third one.
func testLatency(t *testing.T, f *fleet) {
	const messages = 200
	owner := visit(t, f.nodes[0].url, mintToken(t, "own", "*"), "", "measured")
	bob := visit(t, f.nodes[1].url, mintToken(t, "bob", "*"), "", "measured")
	cat := visit(t, f.nodes[2].url, mintToken(t, "cat", "*"), "", "measured")
	for _, c := range []struct {
		name     string
		from, to *resident
	}{{"at the owner", &owner, &owner}, {"from one node to another", &bob, &cat}} {
		took := make([]time.Duration, messages)
		for i := range took {
			text, sent := c.name+strconv.Itoa(i), time.Now()
			c.from.send(`{"type":"chat","id":"` + string(c.from.Self.ID) + strconv.Itoa(i) + `","room":"measured","data":{"text":"` + text + `"}}`)
			c.to.hears(text)
			took[i] = time.Since(sent)
		}
		slices.Sort(took)
		t.Logf("%s: p50 %v, p99 %v", c.name, took[messages/2].Round(10*time.Microsecond), took[messages*99/100].Round(10*time.Microsecond))
		if took[messages/2] > time.Second {
			t.Errorf("half of the messages %s take longer than %v", c.name, took[messages/2])
		}
	}
}

// closeOf reads on until the connection ends, and returns the code.
func closeOf(v *resident) wire.CloseCode {
	for {
		if _, err := v.tryNext(); err != nil {
			if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
				return wire.CloseCode(closed.Code)
			}
			return 0
		}
	}
}

// testCapacity has many more than the room holds join at once, from all nodes.
func testCapacity(t *testing.T, f *fleet) {
	var in, full atomic.Int64
	var all sync.WaitGroup
	talkers := make([]*talker, 2*nodeCapacity)
	for i := range talkers {
		talkers[i] = newTalker(t, f.nodes[i%3].url, "crowd"+strconv.Itoa(i))
	}
	for _, k := range talkers {
		all.Go(func() {
			k.send(`{"type":"join","id":"j","room":"crowded"}`)
			for {
				env, err := k.tryNext()
				switch {
				case err != nil:
					t.Error(err)
					return
				case env.Type == wire.KindJoined:
					in.Add(1)
					return
				case env.Type == wire.KindError && strings.Contains(string(env.Data), string(wire.CodeRoomFull)):
					full.Add(1)
					return
				case env.Type == wire.KindError:
					t.Errorf("refused: %s", env.Data)
					return
				}
			}
		})
	}
	all.Wait()
	if in.Load() != nodeCapacity || full.Load() != nodeCapacity {
		t.Errorf("%d came in, %d found the room full; want %d each", in.Load(), full.Load(), nodeCapacity)
	}
	for _, k := range talkers {
		k.conn.Close()
	}
}

// testHandover moves a client to another node: its participant is the same, and nobody sees it leave.
func testHandover(t *testing.T, f *fleet) {
	token := mintToken(t, "mo", "*")
	ada := visit(t, f.nodes[0].url, mintToken(t, "ada", "*"), "", "moving")
	first := visit(t, f.nodes[1].url, token, "", "moving")
	ada.presence(first.Self.ID, wire.PresenceJoined, "")
	second := visit(t, f.nodes[2].url, token, first.Ticket, "moving")
	if !second.Resumed || second.Self.ID != first.Self.ID || second.Self.JoinedAt != first.Self.JoinedAt {
		t.Fatalf("it was %s and is %s, resumed: %v", first.Self.ID, second.Self.ID, second.Resumed)
	}
	if code := closeOf(&first); code != wire.CloseReplaced {
		t.Errorf("the first connection was closed with %d", code)
	}
	third := visit(t, f.nodes[0].url, token, second.Ticket, "moving") // to the owner
	if !third.Resumed || third.Self.ID != first.Self.ID {
		t.Fatalf("it was %s and is %s", first.Self.ID, third.Self.ID)
	}
	third.send(`{"type":"chat","id":"c","room":"moving","data":{"text":"still here"}}`)
	for {
		env := ada.next()
		if env.Type == wire.KindPresence && strings.Contains(string(env.Data), `"event":"left"`) {
			t.Fatalf("it was seen to leave: %s", env.Data)
		}
		if env.Type == wire.KindChat {
			break
		}
	}
	// Who has said goodbye at its node cannot be resumed at another one.
	_ = third.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(patience))
	ada.presence(third.Self.ID, wire.PresenceLeft, "")
	fourth := visit(t, f.nodes[1].url, token, third.Ticket, "moving")
	if fourth.Resumed {
		t.Error("a session that was over was resumed at another node")
	}
}

// testEdgeKilled kills the node of a client: the others see it as reconnecting, and with its ticket it comes back by
// another node. One who does not come back leaves.
func testEdgeKilled(t *testing.T, f *fleet) {
	token := mintToken(t, "ed", "*")
	ada := visit(t, f.nodes[0].url, mintToken(t, "ada", "*"), "", "edgy")
	ed := visit(t, f.nodes[1].url, token, "", "edgy")
	ada.presence(ed.Self.ID, wire.PresenceJoined, "")
	began := time.Now()
	f.kill(1)
	ada.presence(ed.Self.ID, wire.PresenceUpdated, wire.Reconnecting)
	took := time.Since(began)
	t.Logf("a client of the killed node is reconnecting after %v", took.Round(time.Millisecond))
	if took > 4*time.Second {
		t.Errorf("that took %v", took)
	}
	back := visit(t, f.nodes[2].url, token, ed.Ticket, "edgy")
	if !back.Resumed || back.Self.ID != ed.Self.ID {
		t.Errorf("it was %s and is %s, resumed: %v", ed.Self.ID, back.Self.ID, back.Resumed)
	}
	ada.presence(ed.Self.ID, wire.PresenceUpdated, wire.Online)
	f.start(1)
	f.whole()
}

// testOwnerKilled kills the node that runs a room: it goes on at another one, with the same participants and rules.
func testOwnerKilled(t *testing.T, f *fleet) {
	tokens := []string{mintModerator(t, "ann"), mintToken(t, "ben", "*"), mintToken(t, "cat", "*")}
	ann := visit(t, f.nodes[0].url, tokens[0], "", "kept")
	ben := visit(t, f.nodes[1].url, tokens[1], "", "kept")
	cat := visit(t, f.nodes[2].url, tokens[2], "", "kept")
	cat.send(`{"type":"media-state","id":"h","room":"kept","data":{"hand":true}}`)
	cat.answer("h")
	ann.send(`{"type":"moderate","id":"m","room":"kept","data":{"action":"lock"}}`)
	ann.answer("m")
	ben.send(`{"type":"chat","id":"c","room":"kept","data":{"text":"before"}}`)
	ben.answer("c")
	awaitThat(t, "the list of members is kept", func() bool { return strings.Contains(f.document("kept"), `"hand":true`) })
	began := time.Now()
	f.kill(0)
	if code := closeOf(&ben); code != wire.CloseTooSlow {
		t.Errorf("a client of another node was closed with %d; want one with which it resumes", code)
	}
	noticed := time.Since(began)
	ben2 := visit(t, f.nodes[1].url, tokens[1], ben.Ticket, "kept")
	took := time.Since(began)
	t.Logf("clients of other nodes are told after %v and are in the room again after %v", noticed.Round(time.Millisecond), took.Round(time.Millisecond))
	if took > 4*time.Second {
		t.Errorf("that took %v", took)
	}
	if len(ben2.Participants) != 3 || ben2.Self.ID != ben.Self.ID || ben2.Self.JoinedAt != ben.Self.JoinedAt || !*ben2.Room.Locked {
		t.Errorf("after the takeover: self %+v, participants %+v, room %+v", ben2.Self, ben2.Participants, ben2.Room)
	}
	ann2 := visit(t, f.nodes[2].url, tokens[0], ann.Ticket, "kept")
	ben2.presence(ann.Self.ID, wire.PresenceUpdated, wire.Online)
	if ann2.Self.ID != ann.Self.ID {
		t.Errorf("it was %s and is %s", ann.Self.ID, ann2.Self.ID)
	}
	ann2.send(`{"type":"chat","id":"c","room":"kept","data":{"text":"after"}}`)
	ben2.hears("after")
	f.start(0)
	f.whole()
}

// testOwnerStopped ends the owner of a room in good order: nobody is seen to leave, and it takes no longer than a moment.
func testOwnerStopped(t *testing.T, f *fleet) {
	tokens := []string{mintToken(t, "ann", "*"), mintToken(t, "ben", "*")}
	ann := visit(t, f.nodes[0].url, tokens[0], "", "ending")
	ben := visit(t, f.nodes[1].url, tokens[1], "", "ending")
	awaitThat(t, "the list of members is kept", func() bool { return strings.Count(f.document("ending"), `"joinedAt"`) == 2 })
	began := time.Now()
	if err := f.nodes[0].cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := closeOf(&ann); code != wire.CloseServiceRestart {
		t.Errorf("its own client was closed with %d", code)
	}
	if code := closeOf(&ben); code != wire.CloseTooSlow {
		t.Errorf("another node's client was closed with %d", code)
	}
	ann2 := visit(t, f.nodes[2].url, tokens[0], ann.Ticket, "ending")
	ben2 := visit(t, f.nodes[1].url, tokens[1], ben.Ticket, "ending")
	t.Logf("its room went on after %v", time.Since(began).Round(time.Millisecond))
	for _, v := range []resident{ann2, ben2} {
		if len(v.Participants) != 2 || v.Self.ID != ann.Self.ID && v.Self.ID != ben.Self.ID {
			t.Errorf("%s is among %+v", v.Self.ID, v.Participants)
		}
	}
	if err := <-f.nodes[0].done; err != nil {
		t.Errorf("the node ended with %v\n%s", err, f.nodes[0].err)
	}
	f.start(0)
	f.whole()
}

// testCallMoves has a call at the owner of its room, of people who are connected elsewhere. When the owner is killed the
// call goes on at the next one, of the same participants, and the bot that was answering is there: its answer ends as
// failed, with what was written of it.
func testCallMoves(t *testing.T, f *fleet) {
	sound := rtctest.ParticipantOptions{Publish: []wire.Source{wire.Microphone}}
	host := watchRuns(t, f.nodes[0].url, "talk") // makes node 0 the owner
	host.request("toggle", wire.KindBotToggle, wire.BotToggle{Bot: "echo", Enabled: true})
	host.request("ask", wire.KindAIRequest, wire.AIRequest{Bot: "echo", Prompt: "talk on"})
	host.until(func() bool { return len(host.open) == 1 }) // it has joined
	ben := call(t, f.nodes[1].url, "ben", "talk", sound)
	cat := call(t, f.nodes[2].url, "cat", "talk", sound)
	cat.hears(ben, 20, wire.Microphone)
	ben.hears(cat, 20, wire.Microphone)
	said := func() string { // without end
		for _, text := range host.texts {
			return text
		}
		return ""
	}
	host.until(func() bool { return strings.Contains(said(), "word150 ") })
	ports := []int{ben.server().Port, cat.server().Port}
	if ports[0] != ports[1] {
		t.Fatalf("one call at two nodes: ports %v", ports)
	}
	ben.expectEnd()
	cat.expectEnd()
	began := time.Now()
	f.kill(0)
	for _, c := range []*caller{ben, cat} {
		awaitThat(t, "their connections end", func() bool {
			select {
			case <-c.done:
				return true
			default:
				return false
			}
		})
	}
	ben2 := callBy(resumeTalker(t, f.nodes[1].url, "ben", ben.ticket), "talk", sound, nil)
	cat2 := callBy(resumeTalker(t, f.nodes[2].url, "cat", cat.ticket), "talk", sound, nil)
	cat2.hears(ben2, 1, wire.Microphone)
	ben2.hears(cat2, 1, wire.Microphone)
	took := time.Since(began)
	t.Logf("media flows again after %v", took.Round(time.Millisecond))
	if took > 3*time.Second {
		t.Errorf("that took %v", took)
	}
	if ben2.id != ben.id || cat2.id != cat.id || ben2.server().Port == ports[0] {
		t.Errorf("%s is %s, %s is %s, at port %d", ben.id, ben2.id, cat.id, cat2.id, ben2.server().Port)
	}
	heir := watchRuns(t, f.nodes[1].url, "talk")
	heir.until(func() bool { return len(heir.chats) == 1 && len(heir.open) == 0 })
	for run, chat := range heir.chats {
		if chat.Run.Status != wire.RunFailed || len(chat.Text) < len(host.texts[run])/3 || !strings.HasPrefix(chat.Text, "word0 word1 ") {
			t.Errorf("the answer that was being given ended as %+v with %d of %d bytes", chat.Run, len(chat.Text), len(said()))
		}
	}
	heir.request("again", wire.KindAIRequest, wire.AIRequest{Bot: "echo", Prompt: "a quick one"})
	heir.until(func() bool { return len(heir.chats) == 2 && len(heir.open) == 0 })
	for _, c := range []*caller{ben, cat, ben2, cat2} {
		c.leave()
	}
	f.start(0)
	f.whole()
}

// TestNodesKilled has writers at all nodes while a node is killed, the leader of a stream is, a node is cut off from the
// others, and one is paused: every message that was acknowledged is at every client once, in one order.
func TestNodesKilled(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	f := startFleet(t, newNetwork(t))
	var acked atomic.Int64
	var bases []string
	for _, node := range f.nodes {
		bases = append(bases, node.url)
	}
	chatters := make([]*chatter, killedChatters)
	for i := range chatters {
		var rooms []string
		for n := range killedEach {
			rooms = append(rooms, killedRoom(i+n))
		}
		chatters[i] = newChatter(t, bases[i%3], "u"+strconv.Itoa(i), killedBudget, &acked, rooms...)
		chatters[i].nodes = bases
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	for _, c := range chatters {
		running.Go(func() { c.run(ctx) })
	}
	const part = killedChatters * killedEach * killedBudget / 4
	reached := func(n int64) {
		awaitThat(t, fmt.Sprintf("%d acknowledged", n), func() bool { return acked.Load() >= n })
	}
	reached(part / 2)
	f.kill(0)
	f.start(0)
	reached(part * 3 / 2)
	leader := f.leader(killedRoom(0))
	f.nats[leader]()
	reached(part * 2)
	f.startNATS(leader)
	reached(part * 9 / 4)
	if f.net == nil {
		t.Log("no network namespaces here: nothing is cut off")
	} else {
		testParted(t, f, &acked)
	}
	reached(part * 3)
	pause(t, f.nodes[1], pausedFor)
	awaitThat(t, "all acknowledged and seen by all", func() bool {
		return !slices.ContainsFunc(chatters, func(c *chatter) bool { return !c.complete(killedMessages) })
	})
	cancel()
	running.Wait()
	logs := make(map[string][]logged)
	for i := range killedRooms {
		logs[killedRoom(i)] = pageAll(t, f.nodes[2].url, killedRoom(i))
	}
	for _, fault := range compareViews(chatters, logs, killedMessages) {
		t.Error(fault)
	}
	resumed, filled := 0, 0
	for _, c := range chatters {
		resumed, filled = resumed+c.resumed, filled+c.filled
	}
	t.Logf("%d acknowledged, %d sessions resumed, %d gaps filled", acked.Load(), resumed, filled)
	f.stop()
}

// testParted cuts node 2 off. It lets nobody in any more before the others go on without it; when it is back it is one of
// them.
func testParted(t *testing.T, f *fleet, acked *atomic.Int64) {
	t.Helper()
	f.whole() // the one that was killed is back
	began, before := time.Now(), acked.Load()
	f.net.part(t, 2)
	awaitThat(t, "the others go on without it", func() bool { return gauges(t, f.nodes[0], "confab_cluster_nodes")[0] == 2 })
	t.Logf("the node that is cut off was declared gone after %v", time.Since(began).Round(time.Millisecond))
	if gauges(t, f.nodes[2], "confab_cluster_lease")[0] != 0 {
		t.Error("it lets people in while others may take its rooms")
	}
	hold(partedFor - time.Since(began))
	t.Logf("%d messages were acknowledged meanwhile", acked.Load()-before)
	f.net.mend(t, 2)
	f.whole()
}

// How long a node is paused and how long one is cut off: longer than a node may be silent, and than a stream may take to
// elect another leader.
var pausedFor, partedFor = lasting(6 * time.Second), lasting(8 * time.Second)

// faultEnv makes faults last for another time, such as 20s.
const faultEnv = "CONFAB_NODES_FAULT"

func lasting(usual time.Duration) time.Duration {
	if d, err := time.ParseDuration(os.Getenv(faultEnv)); err == nil {
		return d
	}
	return usual
}

// hold waits while a fault lasts.
func hold(d time.Duration) { <-time.NewTimer(d).C }

// pause stops a process for a while, as a machine that hangs does.
func pause(t *testing.T, c *confab, d time.Duration) {
	t.Helper()
	if err := c.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	hold(d)
	if err := c.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// testMachineKilled kills a node together with the NATS server that leads the stream of leases, which then has no leader
// for some seconds. Those who are in rooms of other nodes notice nothing.
func testMachineKilled(t *testing.T, f *fleet) {
	lost := f.leaderOf("STATE")
	owner, other := (lost+1)%3, (lost+2)%3
	room := "calm-0"
	for i := 1; f.leader(room) == lost; i++ { // what is said in it can be stored meanwhile
		room = "calm-" + strconv.Itoa(i)
	}
	ann := visit(t, f.nodes[owner].url, mintToken(t, "ann", "*"), "", room)
	ben := visit(t, f.nodes[other].url, mintToken(t, "ben", "*"), "", room)
	began := time.Now()
	f.nats[lost]()
	f.kill(lost)
	worst := time.Duration(0)
	for i := 0; time.Since(began) < 5*time.Second; i++ {
		sent, text := time.Now(), "still "+strconv.Itoa(i)
		ben.send(`{"type":"chat","id":"c` + strconv.Itoa(i) + `","room":"` + room + `","data":{"text":"` + text + `"}}`)
		ann.hears(text) // fails when the connection ends
		ben.hears(text)
		worst = max(worst, time.Since(sent))
		hold(20 * time.Millisecond)
	}
	t.Logf("the slowest message took %v", worst.Round(time.Millisecond))
	f.startNATS(lost)
	f.start(lost)
	f.whole()
}
