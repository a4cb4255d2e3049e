package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"confab/rooms"
	"confab/signaling/webhook"
	"confab/signaling/wire"
)

const testHookSecret = "whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q="

// A hookListener is a receiver of webhooks that can be down.
type hookListener struct {
	*httptest.Server

	mu    sync.Mutex
	down  bool            // guarded by mu
	tried int             // guarded by mu
	taken []webhook.Event // guarded by mu
	ids   map[string]bool // guarded by mu
}

func newHookListener(t *testing.T) *hookListener {
	l := &hookListener{ids: map[string]bool{}, down: true}
	l.Server = httptest.NewServer(l)
	t.Cleanup(l.Close)
	return l
}

func (l *hookListener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tried++
	var e webhook.Event
	if err == nil {
		err = json.Unmarshal(body, &e)
	}
	if l.down || err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if !l.ids[e.ID] { // a repeat is known by its id
		l.ids[e.ID] = true
		l.taken = append(l.taken, e)
	}
}

// setDown returns how many requests have come so far.
func (l *hookListener) setDown(down bool) (tried int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	return l.tried
}

// of returns the kinds of the events of a room, messages with their text.
func (l *hookListener) of(room wire.RoomID) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var all []string
	for _, e := range l.taken {
		switch {
		case e.Room != room:
		case e.Message != nil:
			all = append(all, e.Message.Text)
		default:
			all = append(all, string(e.Type))
		}
	}
	return all
}

// TestWebhooksOutliveAKill kills a server whose receiver is down: the next one delivers all that waits, in order.
func TestWebhooksOutliveAKill(t *testing.T) {
	const each = 20
	l, data := newHookListener(t), t.TempDir()
	args := []string{
		"--auth-secret", testSecret, "--webhook-url", l.URL, "--webhook-secret", testHookSecret, "--webhook-text", "on", "--webhook-timeout", "1s",
	}
	server := start(t, data, args...)
	all := []wire.RoomID{"red", "green", "blue"}
	for _, room := range all {
		k := newTalker(t, server.url, "ann-"+string(room), string(room))
		for i := range each {
			k.send(fmt.Sprintf(`{"type":"chat","id":"c%d","room":%q,"data":{"text":"%d"}}`, i, room, i))
			k.answer(fmt.Sprintf("c%d", i))
		}
	}
	waitFor(t, "everything waits", func() bool {
		_, text := server.get(t, "/metrics")
		return strings.Contains(text, fmt.Sprintf(`confab_webhook_waiting{receiver="1"} %d`+"\n", len(all)*(each+2)))
	})
	if err := server.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-server.done
	if tried := l.setDown(false); tried == 0 {
		t.Error("nothing was tried while the receiver was down")
	}
	server = start(t, data, args...)
	for _, room := range all {
		waitFor(t, "everything is delivered", func() bool { return len(l.of(room)) >= each+2 })
		want := []string{string(rooms.RoomStarted), string(rooms.ParticipantJoined)}
		for i := range each {
			want = append(want, fmt.Sprint(i))
		}
		if got := l.of(room); !slices.Equal(got, want) {
			t.Errorf("room %s: %v", room, got)
		}
	}
	if err := server.terminate(t, os.Interrupt); err != nil {
		t.Errorf("the server ended with %v\n%s", err, server.err)
	}
	if strings.Contains(server.err.String(), testHookSecret) {
		t.Error("the log holds the secret")
	}
}

// waitFor waits for a condition of another process.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		if ok() {
			tick.Stop()
			return
		}
		if time.Now().After(deadline) {
			tick.Stop()
			t.Fatalf("never happened: %s", what)
		}
	}
}
