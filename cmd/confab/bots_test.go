package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"confab/signaling/wire"
)

// modelServer speaks as much of chat completions as a bot needs. It says one word after the other, without end, unless
// the question has "quick" in it.
func modelServer() *httptest.Server {
	return httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			Messages []struct {
				Content any `json:"content"`
			} `json:"messages"`
		}
		if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body.Messages) == 0 {
			http.Error(w, "{}", http.StatusBadRequest)
			return
		}
		quick := strings.Contains(fmt.Sprint(body.Messages[len(body.Messages)-1].Content), "quick")
		w.Header().Set("Content-Type", "text/event-stream")
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for i := 0; !quick || i < 5; i++ {
			fmt.Fprintf(w, `data: {"model":"fake","choices":[{"index":0,"delta":{"content":"word%d "}}]}`+"\n\n", i)
			w.(http.Flusher).Flush()
			select {
			case <-tick.C:
			case <-r.Context().Done():
				return
			}
		}
		fmt.Fprint(w, `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`+"\n\ndata: [DONE]\n\n")
	}))
}

// botsFile writes a file of one bot whose model is at url.
func botsFile(t *testing.T, url string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "bots.yaml")
	text := fmt.Sprintf(`
providers:
  fake: {api: openai, url: %q, model: fake}
bots:
  - {id: echo, name: Echo, description: Says words., provider: fake, limits: {concurrent: 8, requestsPerMinute: 100}}
`, url)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A runWatcher is a client in one room that follows its runs.
type runWatcher struct {
	t    *testing.T
	room wire.RoomID
	conn *websocket.Conn
	*link

	open  map[wire.RunID]bool // by joined, or begun
	texts map[wire.RunID]string
	ended map[wire.RunID]int
	chats map[wire.RunID]wire.ChatRecord
}

func watchRuns(t *testing.T, base, room string) *runWatcher {
	t.Helper()
	w := &runWatcher{
		t: t, room: wire.RoomID(room), open: map[wire.RunID]bool{}, texts: map[wire.RunID]string{}, ended: map[wire.RunID]int{},
		chats: map[wire.RunID]wire.ChatRecord{},
	}
	w.connect(base)
	return w
}

func (w *runWatcher) connect(base string) {
	w.t.Helper()
	conn, first := connect(w.t, base, mintToken(w.t, "ada", string(w.room)))
	if first.Type != wire.KindConnected {
		w.t.Fatalf("got %s", first.Type)
	}
	w.t.Cleanup(func() { conn.Close() })
	w.conn, w.link = conn, &link{conn: conn}
	w.request("join", wire.KindJoin, wire.Join{})
}

func (w *runWatcher) request(id string, kind wire.Kind, body any) {
	w.t.Helper()
	w.requestIn("", id, kind, body)
}

func (w *runWatcher) requestIn(thread wire.ThreadID, id string, kind wire.Kind, body any) {
	w.t.Helper()
	if err := w.send(wire.Envelope{ID: wire.RequestID(id), Room: w.room, Thread: thread}, kind, body); err != nil {
		w.t.Fatal(err)
	}
}

// until reads frames until reached.
func (w *runWatcher) until(reached func() bool) {
	w.t.Helper()
	for !reached() {
		_, frame, err := w.conn.ReadMessage()
		if err != nil {
			w.t.Fatal(err)
		}
		wire.Lines(frame, func(line []byte) bool {
			var e wire.Envelope
			if err := json.Unmarshal(line, &e); err != nil {
				w.t.Fatal(err)
			}
			w.take(e)
			return true
		})
	}
}

func (w *runWatcher) take(e wire.Envelope) {
	w.t.Helper()
	read := func(into any) {
		if err := json.Unmarshal(e.Data, into); err != nil {
			w.t.Fatal(err)
		}
	}
	switch e.Type {
	case wire.KindJoined:
		var j wire.Joined
		read(&j)
		for _, r := range j.Runs {
			w.open[r.Start.Run], w.texts[r.Start.Run] = true, r.Text
		}
		for _, c := range j.History {
			w.take(c)
		}
	case wire.KindThreadHistory:
		var h wire.ThreadHistory
		read(&h)
		for _, r := range h.Runs {
			w.open[r.Start.Run], w.texts[r.Start.Run] = true, r.Text
		}
		for _, c := range h.Messages {
			w.take(c)
		}
	case wire.KindAgentStarted:
		var s wire.AgentStarted
		read(&s)
		w.open[s.Run] = true
	case wire.KindStreamChunk:
		var c wire.StreamChunk
		read(&c)
		w.texts[c.Run] += c.Text
	case wire.KindAgentCompleted:
		var c wire.AgentCompleted
		read(&c)
		delete(w.open, c.Run)
		w.ended[c.Run]++
	case wire.KindChat:
		var c wire.ChatRecord
		read(&c)
		if c.Run != nil {
			w.chats[c.Run.Run] = c
			delete(w.open, c.Run.Run)
		}
	case wire.KindError:
		w.t.Fatalf("%s: %s", e.ID, e.Data)
	default:
	}
}

// TestBotsKilled kills the server in the middle of 20 answers, half of them in threads. The next one ends each as failed with what was written
// but for the last moments, once, and the rooms work.
func TestBotsKilled(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	model := modelServer()
	defer model.Close()
	data, address, file := t.TempDir(), freeAddress(t), botsFile(t, model.URL)
	up := func() *confab {
		return start(t, data, "--auth-secret", testSecret, "--bots", file, "--log-level", "error", "--listen", address)
	}
	server := up()
	const inRooms, each = 5, 4
	var before [inRooms]*runWatcher
	for i := range before {
		w := watchRuns(t, server.url, fmt.Sprint("room-", i))
		w.request("toggle", wire.KindBotToggle, wire.BotToggle{Bot: "echo", Enabled: true})
		w.requestIn("talk", "follow", wire.KindSubscribeThread, wire.SubscribeThread{})
		for n := range each {
			w.requestIn([]wire.ThreadID{"", "talk"}[n%2], fmt.Sprint("ask-", n), wire.KindAIRequest, wire.AIRequest{Bot: "echo", Prompt: fmt.Sprint("question ", n)})
		}
		before[i] = w
	}
	for _, w := range before { // 1.5 s of words: more than is lost
		w.until(func() bool {
			long := 0
			for _, text := range w.texts {
				if strings.Contains(text, "word150 ") {
					long++
				}
			}
			return long == each
		})
	}
	if err := server.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-server.done
	server = up()
	for i, old := range before {
		w := watchRuns(t, server.url, fmt.Sprint("room-", i))
		w.requestIn("talk", "follow", wire.KindSubscribeThread, wire.SubscribeThread{})
		w.until(func() bool { return len(w.chats) == each && len(w.open) == 0 })
		for run, streamed := range old.texts {
			c, ok := w.chats[run]
			switch {
			case !ok || c.Run.Status != wire.RunFailed || c.Run.Error == nil:
				t.Errorf("%s ended as %+v", run, c.Run)
			case !strings.HasPrefix(c.Text, "word0 word1 ") || len(c.Text) < len(streamed)/3:
				t.Errorf("%s: %d of %d bytes were kept", run, len(c.Text), len(streamed))
			case w.ended[run] > 1:
				t.Errorf("%s ended %d times", run, w.ended[run])
			}
		}
		w.request("again", wire.KindAIRequest, wire.AIRequest{Bot: "echo", Prompt: "a quick one"})
		w.until(func() bool { return len(w.chats) == each+1 && len(w.open) == 0 })
	}
	if err := server.terminate(t, os.Interrupt); err != nil {
		t.Errorf("the server ended with %v\n%s", err, server.err)
	}
}
