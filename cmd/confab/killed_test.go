package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"confab/signaling/wire"
)

const (
	killedChatters = 40
	killedRooms    = 8
	killedEach     = 2 // rooms of one chatter, so a room has ten
	killedBudget   = 60
	killedMessages = killedChatters * killedEach * killedBudget / killedRooms // in a room at the end
	killedTimes    = 3
)

// killedArgs make views complete: the window holds every message of the test, so that no one who comes back after
// a long while finds part of it gone, which the protocol allows.
var killedArgs = []string{
	"--auth-secret", testSecret, "--rate-limit", "0", "--connection-limit", "0",
	"--history", strconv.Itoa(2 * killedMessages), "--log-level", "error",
}

// TestServerKilled kills the server three times while 40 clients write.
func TestServerKilled(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	data, address := t.TempDir(), freeAddress(t)
	up := func() *confab { return start(t, data, append(killedArgs, "--listen", address)...) }
	server := up()
	checkKilled(t, server.url, func() {
		if err := server.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		<-server.done
		server = up()
	})
	if err := server.terminate(t, os.Interrupt); err != nil {
		t.Errorf("the server ended with %v\n%s", err, server.err)
	}
}

// TestNATSKilled does the same to an external NATS server; ours stays up.
func TestNATSKilled(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	program, folder, address := buildNATS(t), t.TempDir(), freeAddress(t)
	stop := startNATS(t, program, folder, address)
	defer func() { stop() }() // the last one
	server := start(t, t.TempDir(), append(killedArgs, "--nats", "nats://"+address)...)
	checkKilled(t, server.url, func() {
		stop()
		stop = startNATS(t, program, folder, address)
	})
	if err := server.terminate(t, os.Interrupt); err != nil {
		t.Errorf("the server ended with %v\n%s", err, server.err)
	}
}

// checkKilled lets the chatters write, calls kill at three random moments under load, lets them finish, and then
// holds every view against the log.
func checkKilled(t *testing.T, base string, kill func()) {
	var acked atomic.Int64
	chatters := make([]*chatter, killedChatters)
	for i := range chatters {
		var rooms []string
		for n := range killedEach {
			rooms = append(rooms, killedRoom(i+n))
		}
		chatters[i] = newChatter(t, base, "u"+strconv.Itoa(i), killedBudget, &acked, rooms...)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	for _, c := range chatters {
		running.Go(func() { c.run(ctx) })
	}
	// Load is by count, not by time: each part of all messages has a kill somewhere in its middle.
	const part = killedChatters * killedEach * killedBudget / (killedTimes + 1)
	for n := range killedTimes {
		moment := int64(n*part + part/4 + rand.N(part/2))
		awaitThat(t, fmt.Sprintf("%d acknowledged", moment), func() bool { return acked.Load() >= moment })
		kill()
	}
	awaitThat(t, "all acknowledged and seen by all", func() bool {
		for _, c := range chatters {
			if !c.complete(killedMessages) {
				return false
			}
		}
		return true
	})
	cancel()
	running.Wait()
	logs := make(map[string][]logged)
	for i := range killedRooms {
		logs[killedRoom(i)] = pageAll(t, base, killedRoom(i))
	}
	for _, fault := range compareViews(chatters, logs, killedMessages) {
		t.Error(fault)
	}
	resumed, filled := 0, 0
	for _, c := range chatters {
		resumed, filled = resumed+c.resumed, filled+c.filled
	}
	t.Logf("%d acknowledged, %d sessions resumed, %d gaps filled", acked.Load(), resumed, filled)
}

func killedRoom(i int) string { return "room-" + strconv.Itoa(i%killedRooms) }

// compareViews finds everything that is not as promised: every acknowledged message stands in the log and in the
// view of every member exactly once, under the seq that was acknowledged, and in one order for all. Each log is to hold
// so many messages.
func compareViews(chatters []*chatter, logs map[string][]logged, messages int) (faults []string) {
	fault := func(format string, args ...any) {
		if len(faults) < 20 {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	at := make(map[string]map[wire.RequestID]wire.Seq)
	for room, log := range logs {
		at[room] = make(map[wire.RequestID]wire.Seq)
		if len(log) != messages {
			fault("%s holds %d messages; %d were acknowledged", room, len(log), messages)
		}
		for i, m := range log {
			if _, twice := at[room][m.id]; twice {
				fault("%s holds %s twice", room, m.id)
			}
			if i > 0 && m.seq <= log[i-1].seq {
				fault("%s: seq %d stands after %d", room, m.seq, log[i-1].seq)
			}
			at[room][m.id] = m.seq
		}
	}
	for _, c := range chatters {
		for _, problem := range c.problems {
			fault("%s", problem)
		}
		for room, v := range c.views {
			for id, seq := range v.acked {
				if got, ok := at[room][id]; !ok || got != seq {
					fault("%s was acknowledged with seq %d; the log has it at %d (0 = lost)", id, seq, got)
				}
			}
			log := logs[room]
			if len(v.seen) != len(log) {
				fault("%s sees %d messages in %s, where there are %d", c.user, len(v.seen), room, len(log))
			}
			for i := range min(len(v.seen), len(log)) {
				if v.seen[i] != log[i] {
					fault("%s sees %v as message %d of %s, where %v is", c.user, v.seen[i], i, room, log[i])
					break
				}
			}
		}
	}
	return faults
}

// awaitThat waits for a condition.
func awaitThat(t *testing.T, what string, reached func() bool) {
	t.Helper()
	deadline := time.NewTimer(2 * patience)
	defer deadline.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !reached() {
		select {
		case <-deadline.C:
			t.Fatalf("not within %v: %s", 2*patience, what)
		case <-tick.C:
		}
	}
}

// freeAddress returns an address of the loopback that stays free while a server is down: below the ports that the
// system gives to outgoing connections.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(20_000+rand.N(10_000)))
		if listener, err := net.Listen("tcp", address); err == nil {
			listener.Close()
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}

// buildNATS builds nats-server from the sources that this module is built with.
func buildNATS(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "nats-server")
	if runtime.GOOS == "windows" {
		program += ".exe"
	}
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/nats-io/nats-server/v2").CombinedOutput()
	if err != nil {
		t.Fatalf("building nats-server: %v\n%s", err, out)
	}
	return program
}

// startNATS runs it and waits until it listens. The returned function kills it.
func startNATS(t *testing.T, program, folder, address string) (kill func()) {
	t.Helper()
	return startNATSIn(t, "", program, folder, address)
}

// startNATSIn is startNATS in a network namespace, with more arguments.
func startNATSIn(t *testing.T, namespace, program, folder, address string, more ...string) (kill func()) {
	t.Helper()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	said := &lockedBuffer{}
	cmd := exec.Command(program, append([]string{"-js", "-sd", folder, "-a", host, "-p", port}, more...)...)
	cmd.Stderr = said
	runIn(cmd, namespace)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	kill = func() {
		once.Do(func() {
			_ = cmd.Process.Kill() // an error means that it has ended
			_ = cmd.Wait()
		})
	}
	t.Cleanup(kill)
	awaitThat(t, "nats-server listens\n"+said.String(), func() bool {
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
	return kill
}
