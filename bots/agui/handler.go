package agui

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"confab/rooms"
	"confab/signaling/wire"
)

// The routes, as of http.ServeMux.
const (
	AskRoute    = "/api/v1/rooms/{room}/bots/{bot}/agui" // POST: asks a bot, and follows its answer
	FollowRoute = "/api/v1/rooms/{room}/runs/{run}/agui" // GET: follows an answer that is under way
)

const (
	maxStreams        = 1024 // of a server
	maxStreamsPerUser = 8
)

// patience is how long a Handler waits for what.
type patience struct {
	body      time.Duration // of a request
	answer    time.Duration // of the room, to the beginning of the run
	write     time.Duration // of the connection, for one write
	keepAlive time.Duration // with nothing to say, before a comment that keeps the connection open
}

var usualPatience = patience{body: 10 * time.Second, answer: 15 * time.Second, write: 10 * time.Second, keepAlive: 15 * time.Second}

// Errors that end streams.
var (
	errClosed  = wire.Errorf(wire.CodeUnavailable, "the server is going down; the answer stays in the room")
	errExpired = wire.Errorf(wire.CodeUnauthorized, "the token has expired; the answer goes on in the room")
)

// Options of a Handler. Registry and Tokens are required.
type Options struct {
	Registry *rooms.Registry
	Tokens   Tokens
	// Origin reports whether the page that a browser sends a request for may read the answer; nil = any may. Programs
	// that are no browser name none.
	Origin func(*http.Request) bool
	Log    *slog.Logger // nil = slog.Default
}

// Tokens knows who sends a request.
type Tokens interface {
	// Authorize returns who may enter room by the token of the request. Errors: *wire.Error.
	Authorize(r *http.Request, room wire.RoomID) (Caller, error)
}

// A Caller is who sends a request.
type Caller struct {
	rooms.Identity
	Expires time.Time // of the token; zero = never
}

// A Handler serves runs as AG-UI. It may be used from any goroutine.
type Handler struct {
	// Set by New, then constant.
	opts     Options
	patience patience
	mux      *http.ServeMux
	lifetime context.Context // ends with Close
	end      context.CancelCauseFunc

	mu      sync.Mutex
	open    int                 // guarded by mu
	callers map[wire.UserID]int // open streams of each; guarded by mu
	closed  bool                // guarded by mu
	running sync.WaitGroup      // streams; Add with mu held
}

// New makes a Handler. Close ends it.
func New(opts Options) *Handler {
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	h := &Handler{opts: opts, patience: usualPatience, mux: http.NewServeMux(), callers: make(map[wire.UserID]int)}
	h.lifetime, h.end = context.WithCancelCause(context.Background())
	h.mux.HandleFunc(AskRoute, h.endpoint(http.MethodPost, h.ask))
	h.mux.HandleFunc(FollowRoute, h.endpoint(http.MethodGet, h.follow))
	h.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		wire.WriteProblem(w, 0, wire.Errorf(wire.CodeNotFound, "there is nothing at this address"))
	})
	return h
}

// Close ends all streams, with a last event that says why, and waits for them. Requests that come later are answered
// 503. It must be called before the registry is closed.
func (h *Handler) Close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.end(errClosed)
	h.running.Wait()
}

// Open counts the streams of this moment.
func (h *Handler) Open() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.open
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Add("Vary", "Origin")
	if h.opts.Origin != nil && !h.opts.Origin(r) {
		wire.WriteProblem(w, 0, wire.Errorf(wire.CodeForbidden, "pages of this origin may not do this; add it to the server's --origins"))
		return
	}
	if origin := r.Header.Get("Origin"); origin != "" {
		w.Header().Set("Access-Control-Allow-Origin", origin)
		w.Header().Set("Access-Control-Expose-Headers", "Retry-After")
	}
	h.mux.ServeHTTP(w, r)
}

// A request is one that may enter its room.
type request struct {
	*http.Request
	caller Caller
	room   wire.RoomID
}

// endpoint serves a route that takes one method.
func (h *Handler) endpoint(method string, serve func(http.ResponseWriter, *request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodOptions: // Fetch section 3.2.2
			w.Header().Set("Allow", method+", OPTIONS")
			w.Header().Set("Access-Control-Allow-Methods", method)
			w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type")
			w.Header().Set("Access-Control-Max-Age", "86400")
			w.WriteHeader(http.StatusNoContent)
			return
		case method:
		default:
			w.Header().Set("Allow", method+", OPTIONS")
			wire.WriteProblem(w, http.StatusMethodNotAllowed, wire.Errorf(wire.CodeBadMessage, "this address takes %s", method))
			return
		}
		if err := h.admit(w, r, serve); err != nil {
			problem := wire.AsError(err)
			if problem.Code == wire.CodeInternal {
				h.opts.Log.Warn("AG-UI request refused", "path", r.URL.Path, "err", err)
			}
			wire.WriteProblem(w, 0, problem)
		}
	}
}

// admit serves a request whose token and number are right. The error is that of a request that was not answered yet.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request, serve func(http.ResponseWriter, *request) error) error {
	room := wire.RoomID(r.PathValue("room"))
	if !wire.ValidName(string(room)) {
		return wire.Errorf(wire.CodeBadMessage, "a room is 1 to %d of a-z 0-9 - _", wire.MaxNameLength)
	}
	caller, err := h.opts.Tokens.Authorize(r, room)
	if err != nil {
		return err
	}
	if err := h.enter(caller.User); err != nil {
		return err
	}
	defer h.leave(caller.User)
	return serve(w, &request{Request: r, caller: caller, room: room})
}

// enter takes a place for one more stream.
func (h *Handler) enter(user wire.UserID) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return errClosed
	case h.open >= maxStreams:
		return &wire.Error{Code: wire.CodeUnavailable, Text: "too many follow answers on this server; try again in a moment", RetryAfter: 5 * time.Second}
	case h.callers[user] >= maxStreamsPerUser:
		return &wire.Error{
			Code: wire.CodeRateLimited, Text: "you follow as many answers as one may; wait until one has ended", RetryAfter: 5 * time.Second,
		}
	}
	h.open++
	h.callers[user]++
	h.running.Add(1)
	return nil
}

func (h *Handler) leave(user wire.UserID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open--
	if h.callers[user]--; h.callers[user] == 0 {
		delete(h.callers, user)
	}
	h.running.Done()
}

// ask asks a bot as the user of the token, and streams its answer.
func (h *Handler) ask(w http.ResponseWriter, r *request) error {
	in, err := readInput(w, r.Request, h.patience.body)
	if err != nil {
		return err
	}
	prompt, err := in.question()
	if err != nil {
		return err
	}
	c := rooms.Consultation{Bot: wire.BotID(r.PathValue("bot")), Prompt: prompt}
	if err := (wire.AIRequest{Bot: c.Bot, Prompt: prompt}).Validate(); err != nil {
		return err
	}
	if in.ThreadID != string(r.room) {
		c.Thread = wire.ThreadID(in.ThreadID)
	}
	return h.stream(w, r, in.RunID, func(out rooms.RunOutlet, answer rooms.Answer) *rooms.Follower {
		return h.opts.Registry.Consult(r.caller.Identity, r.room, c, out, answer)
	})
}

// follow streams an answer that is under way.
func (h *Handler) follow(w http.ResponseWriter, r *request) error {
	run := r.PathValue("run")
	if !wire.ValidRequestID(run) {
		return wire.Errorf(wire.CodeBadMessage, "a run is 1 to %d of A-Z a-z 0-9 - _ .", wire.MaxNameLength)
	}
	return h.stream(w, r, run, func(out rooms.RunOutlet, answer rooms.Answer) *rooms.Follower {
		return h.opts.Registry.Follow(r.caller.Identity, r.room, wire.RunID(run), out, answer)
	})
}

// stream asks for a hold on a run, and writes what it tells until it ends. The error is that of asking.
func (h *Handler) stream(w http.ResponseWriter, r *request, run string, hold func(rooms.RunOutlet, rooms.Answer) *rooms.Follower) error {
	ctx, cancel := h.lifeOf(r)
	defer cancel()
	f, answered := newFeed(), make(chan error, 1)
	follower := hold(f, func(_ wire.ServerMessage, err error) { answered <- err })
	defer follower.Leave()
	late := time.NewTimer(h.patience.answer)
	defer late.Stop()
	select {
	case err := <-answered:
		if err != nil {
			return err
		}
	case <-late.C:
		return wire.Errorf(wire.CodeTimeout, "the room is busy; try again")
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	s := &sender{
		w: w, control: http.NewResponseController(w), write: h.patience.write,
		state: State{RunID: run, Room: r.room},
	}
	s.run(ctx, f, h.patience.keepAlive)
	return nil
}

// lifeOf is the context of a stream: it ends with the request, with the token and with the server. Its cause is a
// *wire.Error, but for a client that has gone away.
func (h *Handler) lifeOf(r *request) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(r.Context())
	stop := context.AfterFunc(h.lifetime, func() { cancel(context.Cause(h.lifetime)) })
	expiry := func() bool { return true }
	if !r.caller.Expires.IsZero() {
		expiry = time.AfterFunc(time.Until(r.caller.Expires), func() { cancel(errExpired) }).Stop
	}
	return ctx, func() {
		stop()
		expiry()
		cancel(context.Canceled)
	}
}

// A sender writes the events of one run to a connection. It lives in its request.
type sender struct {
	w       http.ResponseWriter
	control *http.ResponseController
	write   time.Duration
	state   State
	buf     []byte
}

// run writes until the run has ended, ctx has, or the connection fails. A connection that cannot keep up is cut, so that
// nobody takes what it got for the whole.
func (s *sender) run(ctx context.Context, f *feed, keepAlive time.Duration) {
	header := s.w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("X-Accel-Buffering", "no") // of proxies that would keep events back
	s.w.WriteHeader(http.StatusOK)
	idle := time.NewTicker(keepAlive)
	defer idle.Stop()
	for {
		select {
		case <-f.ready:
			tell, over, slow := f.take()
			if slow {
				panic(http.ErrAbortHandler)
			}
			for _, fn := range tell {
				var events []Event
				events, s.state = fn(s.state)
				s.add(events)
			}
			if !s.flush() || over {
				return
			}
			idle.Reset(keepAlive)
		case <-idle.C:
			s.buf = append(s.buf, ": keep-alive\n\n"...) // a comment, HTML section 9.2.6
			if !s.flush() {
				return
			}
		case <-ctx.Done():
			if problem, ok := errors.AsType[*wire.Error](context.Cause(ctx)); ok {
				s.add(s.state.Lose(problem))
				s.flush()
			}
			return
		}
	}
}

func (s *sender) add(events []Event) {
	for _, e := range events {
		s.buf = appendEvent(s.buf, e)
	}
}

// flush writes what was added, and reports whether it could.
func (s *sender) flush() bool {
	if len(s.buf) == 0 {
		return true
	}
	_ = s.control.SetWriteDeadline(time.Now().Add(s.write)) // where it cannot be set, there is none
	_, err := s.w.Write(s.buf)
	s.buf = s.buf[:0]
	if err == nil {
		err = s.control.Flush()
	}
	_ = s.control.SetWriteDeadline(time.Time{})
	return err == nil
}
