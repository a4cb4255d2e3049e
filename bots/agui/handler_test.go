package agui

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"confab/bots"
	"confab/bots/provider"
	"confab/rooms"
	"confab/rooms/bus"
	"confab/signaling/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const wait = 20 * time.Second

// A model writes what a test wants, piece by piece.
type model struct {
	pieces chan string // thoughts begin with ?; closed: the answer is done
}

func (m *model) Answer(ctx context.Context, r provider.Request, emit func(provider.Part)) (provider.Turn, error) {
	turn := provider.Turn{Stop: provider.Stopped, Usage: provider.Usage{Input: 10, Output: 5}, Model: "model"}
	emit(provider.Part{Thinking: "hm"})
	for {
		select {
		case piece, more := <-m.pieces:
			if !more {
				emit(provider.Part{Text: " [" + r.Question.Text + "]"})
				return turn, nil
			}
			if thought, ok := strings.CutPrefix(piece, "?"); ok {
				emit(provider.Part{Thinking: thought})
				continue
			}
			emit(provider.Part{Text: piece})
		case <-ctx.Done():
			return turn, context.Cause(ctx)
		}
	}
}

// tokens takes "user" or "user moderator" for a token of the room lab.
type tokens struct{ expires time.Time }

func (k tokens) Authorize(r *http.Request, room wire.RoomID) (Caller, error) {
	user, role, _ := strings.Cut(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), " ")
	switch {
	case user == "":
		return Caller{}, wire.Errorf(wire.CodeUnauthorized, "no token")
	case room != "lab":
		return Caller{}, wire.Errorf(wire.CodeForbidden, "not for this room")
	}
	id := rooms.Identity{User: wire.UserID(user), Name: user, Kind: wire.Human, Role: wire.RoleMember}
	if role != "" {
		id.Role = wire.Role(role)
	}
	id.Grants = wire.RoleGrants(id.Role)
	return Caller{Identity: id, Expires: k.expires}, nil
}

// A lab is a room with a bot and a person, behind a real server.
type lab struct {
	*testing.T
	*model
	handler *Handler
	url     string
	ended   chan string // addresses whose connection has ended
	ada     *person
}

func newLab(t *testing.T, change ...func(*Handler)) *lab {
	t.Helper()
	log, err := bus.Open(t.Context(), bus.Options{DataDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	m := &model{pieces: make(chan string)}
	service, err := bots.New(bots.Options{
		Personas: []bots.Persona{{ID: "echo", Name: "Echo", Description: "Says things.", Provider: "main"}},
		Models:   map[string]provider.Model{"main": m},
	})
	if err != nil {
		t.Fatal(err)
	}
	registry := rooms.NewRegistry(log, rooms.Options{Bots: service})
	h := New(Options{Registry: registry, Tokens: tokens{}, Origin: func(r *http.Request) bool {
		return r.Header.Get("Origin") != "https://evil.example"
	}})
	for _, c := range change {
		c(h)
	}
	l := &lab{T: t, model: m, handler: h, ended: make(chan string, 1024)}
	server := httptest.NewUnstartedServer(h)
	server.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			l.ended <- conn.RemoteAddr().String()
		}
	}
	server.Start()
	l.url = server.URL
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		h.Close()
		server.Close()
		if err := errors.Join(registry.Close(ctx), service.Close(ctx), log.Close()); err != nil {
			t.Error(err)
		}
	})
	l.ada = l.enter(registry, "ada")
	await(t, func(a rooms.Answer) { l.ada.ToggleBot(wire.BotToggle{Bot: "echo", Enabled: true}, a) })
	return l
}

func await(t *testing.T, request func(rooms.Answer)) wire.ServerMessage {
	t.Helper()
	type given struct {
		body wire.ServerMessage
		err  error
	}
	answered := make(chan given, 1)
	request(func(body wire.ServerMessage, err error) { answered <- given{body, err} })
	got := <-answered
	if got.err != nil {
		t.Fatal(got.err)
	}
	return got.body
}

// A person is in the room, and keeps what it is told.
type person struct {
	*rooms.Member
	frames chan wire.Envelope
}

func (l *lab) enter(registry *rooms.Registry, user string) *person {
	l.Helper()
	p := &person{frames: make(chan wire.Envelope, 4096)}
	await(l.T, func(a rooms.Answer) {
		p.Member = registry.Join(rooms.Identity{
			Participant: wire.ParticipantID(user), User: wire.UserID(user), Name: user, Kind: wire.Human,
			Role: wire.RoleModerator, Grants: wire.RoleGrants(wire.RoleModerator),
		}, "lab", "", wire.Join{}, p, a)
	})
	return p
}

func (p *person) Send(frame []byte, _ string) {
	wire.Lines(frame, func(line []byte) bool {
		var e wire.Envelope
		if json.Unmarshal(line, &e) == nil {
			p.frames <- e
		}
		return true
	})
}
func (p *person) SendJoined(frame []byte)                 { p.Send(frame, "") }
func (p *person) Removed(wire.RoomID, wire.RemovedReason) {}

// next waits for a frame of a kind.
func (p *person) next(t *testing.T, kind wire.Kind) wire.Envelope {
	t.Helper()
	late := time.After(wait)
	for {
		select {
		case e := <-p.frames:
			if e.Type == kind {
				return e
			}
		case <-late:
			t.Fatalf("no %s", kind)
		}
	}
}

// A listener reads a stream.
type listener struct {
	t        *testing.T
	response *http.Response
	lines    *bufio.Reader
}

type event struct {
	Type     string `json:"type"`
	ThreadID string `json:"threadId"`
	RunID    string `json:"runId"`
	Delta    string `json:"delta"`
	Message  string `json:"messageId"`
	Code     string `json:"code"`
	Outcome  Outcome
	Metadata struct{ Confab Place }
}

func (l *lab) send(method, path, token, body string, header ...string) *http.Response {
	l.Helper()
	request, err := http.NewRequestWithContext(l.Context(), method, l.url+path, strings.NewReader(body))
	if err != nil {
		l.Fatal(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { _ = response.Body.Close() })
	return response
}

func (l *lab) listen(method, path, token, body string) *listener {
	l.Helper()
	response := l.send(method, path, token, body)
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != "text/event-stream" {
		text, _ := io.ReadAll(response.Body)
		l.Fatalf("%s: %s", response.Status, text)
	}
	return &listener{t: l.T, response: response, lines: bufio.NewReader(response.Body)}
}

// line is the next line, empty at the end.
func (s *listener) line() string {
	line, err := s.lines.ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		s.t.Fatal(err)
	}
	return strings.TrimSuffix(line, "\n")
}

// next is the next event; its type is empty at the end.
func (s *listener) next() (e event) {
	s.t.Helper()
	for {
		line, err := s.lines.ReadString('\n')
		if errors.Is(err, io.EOF) {
			return event{}
		}
		if err != nil {
			s.t.Fatal(err)
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			if err := json.Unmarshal([]byte(data), &e); err != nil {
				s.t.Fatalf("%v: %s", err, data)
			}
			return e
		}
	}
}

// until reads to the first event of a type.
func (s *listener) until(kind string) event {
	s.t.Helper()
	for {
		switch e := s.next(); e.Type {
		case kind:
			return e
		case "":
			s.t.Fatalf("the stream ended without %s", kind)
		}
	}
}

// text reads until n bytes of the answer's text have come.
func (s *listener) text(n int) string {
	s.t.Helper()
	text := ""
	for len(text) < n {
		text += s.until("TEXT_MESSAGE_CONTENT").Delta
	}
	return text
}

const input = `{"threadId":"9b2f-1","runId":"mine","state":{},"tools":[],"context":[],"messages":[` +
	`{"id":"1","role":"user","content":"before"},{"id":"2","role":"assistant","content":"yes"},` +
	`{"id":"3","role":"user","content":[{"type":"text","text":"what now?"},{"type":"image","source":{"type":"url","value":"https://x.example"}}]}]}`

// Who asks gets the whole answer; who follows from the middle gets the same text; the chat message is it.
func TestAskAndFollow(t *testing.T) {
	l := newLab(t)
	asker := l.listen("POST", "/api/v1/rooms/lab/bots/echo/agui", "vera", input)
	first := asker.next()
	if first.Type != "RUN_STARTED" || first.ThreadID != "9b2f-1" || first.RunID != "mine" || first.Metadata.Confab.By.User != "vera" {
		t.Fatalf("first %+v", first)
	}
	run := first.Metadata.Confab.Run
	l.pieces <- "one "
	if got := asker.text(4); got != "one " {
		t.Errorf("the asker got %q", got)
	}
	follower := l.listen("GET", "/api/v1/rooms/lab/runs/"+string(run)+"/agui", "linus", "")
	if e := follower.next(); e.Type != "RUN_STARTED" || e.RunID != string(run) || e.ThreadID != "9b2f-1" {
		t.Errorf("the follower's first is %+v", e)
	}
	if e := follower.until("REASONING_MESSAGE_CONTENT"); e.Delta != "hm" {
		t.Errorf("thoughts %+v", e)
	}
	if got := follower.text(4); got != "one " {
		t.Errorf("the follower got %q", got)
	}
	l.pieces <- "two"
	close(l.pieces)
	const rest = "two [what now?]"
	if a, f := asker.text(len(rest)), follower.text(len(rest)); a != rest || f != rest {
		t.Errorf("the asker got %q, the follower %q", a, f)
	}
	for _, s := range []*listener{asker, follower} {
		s.until("CUSTOM")
		if e := s.next(); e.Type != "RUN_FINISHED" || e.Outcome.Type != "success" || e.ThreadID != "9b2f-1" {
			t.Errorf("the end is %+v", e)
		}
		if e := s.next(); e.Type != "" {
			t.Errorf("after the end: %+v", e)
		}
	}
	history := l.ada.thread(t, "9b2f-1")
	if len(history.Messages) != 1 || history.Messages[0].ID != wire.RequestID(run) || !strings.Contains(string(history.Messages[0].Data), `"text":"one two [what now?]"`) {
		t.Errorf("the thread has %+v", history.Messages)
	}
}

// waitFor waits until a thread has so many messages.
func (p *person) waitFor(t *testing.T, name wire.ThreadID, n int) {
	t.Helper()
	for have := len(p.thread(t, name).Messages); have < n; have++ {
		p.next(t, wire.KindChat)
	}
}

// thread reads a thread.
func (p *person) thread(t *testing.T, name wire.ThreadID) (h wire.ThreadHistory) {
	t.Helper()
	await(t, func(a rooms.Answer) { p.SubscribeThread("s", name, wire.SubscribeThread{}, a) })
	if err := json.Unmarshal(p.next(t, wire.KindThreadHistory).Data, &h); err != nil {
		t.Fatal(err)
	}
	return h
}

// A client that goes away ends no run, and its place is free again.
func TestClientGoesAway(t *testing.T) {
	l := newLab(t)
	s := l.listen("POST", "/api/v1/rooms/lab/bots/echo/agui", "vera", strings.Replace(input, "9b2f-1", "lab", 1))
	path := "/api/v1/rooms/lab/runs/" + string(s.next().Metadata.Confab.Run) + "/agui"
	_ = s.response.Body.Close()
	deadline := time.Now().Add(wait)
	for n := 0; n < 2*maxStreamsPerUser; {
		response := l.send("GET", path, "vera", "")
		_ = response.Body.Close()
		switch {
		case response.StatusCode == http.StatusOK:
			n++
		case response.StatusCode != http.StatusTooManyRequests || time.Now().After(deadline): // it may need a moment to be noticed
			t.Fatalf("stream %d: %s", n, response.Status)
		}
	}
	l.pieces <- "one"
	close(l.pieces)
	var end wire.AgentCompleted
	if err := json.Unmarshal(l.ada.next(t, wire.KindAgentCompleted).Data, &end); err != nil || end.Status != wire.RunCompleted || end.Message == 0 {
		t.Errorf("%+v %v", end, err)
	}
}

// An answer that a person stops ends as cancelled.
func TestCancelled(t *testing.T) {
	l := newLab(t)
	s := l.listen("POST", "/api/v1/rooms/lab/bots/echo/agui", "vera", strings.Replace(input, "9b2f-1", "lab", 1))
	first := s.next()
	if first.ThreadID != "lab" || first.Metadata.Confab.Thread != "" {
		t.Errorf("the main timeline is %+v", first)
	}
	l.pieces <- "one"
	s.text(3)
	await(t, func(a rooms.Answer) { l.ada.CancelRun(wire.AICancel{Run: first.Metadata.Confab.Run}, a) })
	if e := s.until("RUN_FINISHED"); e.Outcome.Type != "cancelled" {
		t.Errorf("%+v", e)
	}
}

// A server that goes down says so, and a token that expires ends what it was good for.
func TestLost(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Handler)
		act    func(*lab)
		want   wire.ErrorCode
	}{
		"server": {func(*Handler) {}, func(l *lab) { go l.handler.Close() }, wire.CodeUnavailable},
		"token":  {func(h *Handler) { h.opts.Tokens = tokens{time.Now().Add(4 * time.Second)} }, func(*lab) {}, wire.CodeUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, c.change)
			s := l.listen("POST", "/api/v1/rooms/lab/bots/echo/agui", "vera", input)
			l.pieces <- "one"
			s.text(3)
			c.act(l)
			s.until("TEXT_MESSAGE_END")
			if e := s.until("RUN_ERROR"); e.Code != string(c.want) {
				t.Errorf("%+v", e)
			}
		})
	}
}

// A connection with nothing to say is kept open, longer than a body may take.
func TestKeepAlive(t *testing.T) {
	l := newLab(t, func(h *Handler) { h.patience.keepAlive, h.patience.body = 20*time.Millisecond, 100*time.Millisecond })
	s := l.listen("POST", "/api/v1/rooms/lab/bots/echo/agui", "vera", input)
	for n := 0; n < 20; {
		if s.line() == ": keep-alive" {
			n++
		}
	}
	l.pieces <- "one"
	s.text(3)
}

// What waits for a client is bounded.
func TestFeedIsBounded(t *testing.T) {
	const fits = maxFeedBytes / (wire.MaxTextBytes + eventBytes)
	f, chunk := newFeed(), wire.StreamChunk{Text: strings.Repeat("x", wire.MaxTextBytes)}
	for range 2 { // what was taken counts no more
		for range fits {
			f.RunEvent(chunk)
		}
		if tell, over, slow := f.take(); len(tell) != fits || over || slow {
			t.Errorf("%d, %v, %v", len(tell), over, slow)
		}
	}
	for range fits + 1 {
		f.RunEvent(chunk)
	}
	f.RunLost(errClosed)
	if tell, over, slow := f.take(); len(tell) != 0 || !over || !slow {
		t.Errorf("too much: %d, %v, %v", len(tell), over, slow)
	}
}

// A client that does not read is cut off, and the answer goes on.
func TestDeafClient(t *testing.T) {
	l := newLab(t, func(h *Handler) { h.patience.write = 100 * time.Millisecond })
	conn, err := net.Dial("tcp", strings.TrimPrefix(l.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "POST /api/v1/rooms/lab/bots/echo/agui HTTP/1.1\r\nHost: lab\r\nAuthorization: Bearer vera\r\nContent-Length: %d\r\n\r\n%s",
		len(input), input); err != nil {
		t.Fatal(err)
	}
	thought := "?" + strings.Repeat("x", 256<<10)
	for cut := false; !cut; {
		select {
		case l.pieces <- thought: // until no buffer on the way takes more
		case address := <-l.ended:
			cut = address == conn.LocalAddr().String()
		case <-time.After(wait):
			t.Fatal("it is not cut off")
		}
	}
	l.pieces <- "one"
	close(l.pieces)
	l.ada.waitFor(t, "9b2f-1", 1)
}

func TestRefusals(t *testing.T) {
	l := newLab(t)
	const ask = "/api/v1/rooms/lab/bots/echo/agui"
	for _, c := range []struct {
		name, method, path, token, body string
		status                          int
		says                            string
	}{
		{"no token", "POST", ask, "", input, 401, `"unauthorized"`},
		{"another room", "POST", "/api/v1/rooms/attic/bots/echo/agui", "vera", input, 403, `"forbidden"`},
		{"a room that can be none", "POST", "/api/v1/rooms/Attic/bots/echo/agui", "vera", input, 400, "a room is"},
		{"no such bot", "POST", "/api/v1/rooms/lab/bots/nobody/agui", "vera", input, 404, "no bot"},
		{"a bot that can be none", "POST", "/api/v1/rooms/lab/bots/No/agui", "vera", input, 400, "a bot is"},
		{"no JSON", "POST", ask, "vera", "hello", 400, "RunAgentInput"},
		{"more than one", "POST", ask, "vera", input + "{}", 400, "RunAgentInput"},
		{"too large", "POST", ask, "vera", `{"threadId":"` + strings.Repeat("a", maxInputBytes) + `"}`, 413, `"too-large"`},
		{"no run", "POST", ask, "vera", strings.Replace(input, "mine", "", 1), 400, "runId"},
		{"no thread", "POST", ask, "vera", strings.Replace(input, "9b2f-1", "No Thread", 1), 400, "threadId"},
		{"a private thread of others", "POST", ask, "vera", strings.Replace(input, "9b2f-1", "dm-1", 1), 404, `"not-found"`},
		{"no question", "POST", ask, "vera", strings.ReplaceAll(input, `"user"`, `"system"`), 400, "the question"},
		{"an image alone", "POST", ask, "vera", strings.Replace(input, "what now?", " ", 1), 400, "the question"},
		{"a long question", "POST", ask, "vera", strings.Replace(input, "what now?", strings.Repeat("a", wire.MaxTextBytes+1), 1), 413, `"too-large"`},
		{"no such run", "GET", "/api/v1/rooms/lab/runs/run-1/agui", "vera", "", 404, `"not-found"`},
		{"a run that can be none", "GET", "/api/v1/rooms/lab/runs/%20/agui", "vera", "", 400, "a run is"},
		{"another method", "PUT", ask, "vera", input, 405, "takes POST"},
		{"another address", "GET", "/api/v1/rooms/lab/runs/", "vera", "", 404, `"not-found"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			response := l.send(c.method, c.path, c.token, c.body)
			text, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != c.status || !strings.Contains(string(text), c.says) || !strings.HasPrefix(string(text), `{"error":{"code":`) {
				t.Errorf("%s %s %v", response.Status, text, err)
			}
		})
	}
}

// So many streams has one user, and another one has theirs.
func TestStreamsOfOneUser(t *testing.T) {
	l := newLab(t)
	s := l.listen("POST", "/api/v1/rooms/lab/bots/echo/agui", "ada", input)
	path := "/api/v1/rooms/lab/runs/" + string(s.next().Metadata.Confab.Run) + "/agui"
	for range maxStreamsPerUser {
		l.listen("GET", path, "vera", "")
	}
	if response := l.send("GET", path, "vera", ""); response.StatusCode != http.StatusTooManyRequests || response.Header.Get("Retry-After") == "" {
		t.Errorf("one more: %s", response.Status)
	}
	l.listen("GET", path, "linus", "")
	if n := l.handler.Open(); n != maxStreamsPerUser+2 {
		t.Errorf("%d streams are open", n)
	}
}

func TestOrigins(t *testing.T) {
	l := newLab(t)
	const ask = "/api/v1/rooms/lab/bots/echo/agui"
	r := l.send("OPTIONS", ask, "", "", "Origin", "https://chat.example", "Access-Control-Request-Method", "POST")
	if r.StatusCode != http.StatusNoContent || r.Header.Get("Access-Control-Allow-Origin") != "https://chat.example" ||
		r.Header.Get("Access-Control-Allow-Methods") != "POST" || !strings.Contains(r.Header.Get("Access-Control-Allow-Headers"), "Authorization") ||
		r.Header.Get("Vary") != "Origin" {
		t.Errorf("%s %v", r.Status, r.Header)
	}
	for _, method := range []string{"OPTIONS", "POST"} {
		r = l.send(method, ask, "vera", input, "Origin", "https://evil.example")
		if r.StatusCode != http.StatusForbidden || r.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: %s %v", method, r.Status, r.Header)
		}
	}
}
