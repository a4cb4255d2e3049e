package whip

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"confab/media"
	"confab/signaling/wire"
)

// A Caller is whom a token stands for.
type Caller struct {
	User   wire.UserID
	Name   string
	Role   wire.Role
	Grants wire.Grants

	// Expires is when the token does; zero = never. A session ends wire.ExpiryGrace later, unless a request of it has
	// brought a token that is good for longer.
	Expires time.Time
}

// Tokens decide who may come.
type Tokens interface {
	// Authorize reads the request's token. Errors: *wire.Error with unauthorized, or with forbidden for a token that
	// is not for the room.
	Authorize(r *http.Request, room wire.RoomID) (Caller, error)
}

// Rooms give publishers and players a place in a room. Errors are *wire.Error; ctx bounds the wait.
type Rooms interface {
	// Enter makes the caller a participant of kind ingress.
	Enter(ctx context.Context, caller Caller, room wire.RoomID) (Seat, error)
	// Watch gives the caller a place that nobody sees, from which it receives of one participant; as long as it is
	// held the room's media must go by the SFU. Errors: not-found, if there is no such participant.
	Watch(ctx context.Context, caller Caller, room wire.RoomID, participant wire.ParticipantID) (Place, error)
}

// A Place is what a session holds in a room. Its methods may be called concurrently.
type Place interface {
	// ID names the session's peer. No participant has the id of a player.
	ID() wire.ParticipantID
	// Gone is closed when the room has taken the place away, a player's also when the participant it watches has left.
	Gone() <-chan struct{}
	// Leave gives the place back. It may be called more than once, and after Gone.
	Leave()
}

// A Seat is the place of a publisher.
type Seat interface {
	Place
	// SetMedia says what the encoder sends. What it may not publish now counts as off.
	SetMedia(wire.SetMedia)
	// Publish brings what the publisher may send from now on, whenever that changes, and at once where it is less than
	// the caller's grants: nobody else can make an encoder fall silent that has been muted.
	Publish() <-chan []wire.Source
}

// Limits bound what clients may hold. A field that is 0 takes the default named beside it.
type Limits struct {
	Sessions         int // 1,000 of the server; beyond it 503
	SessionsPerRoom  int // 200; beyond it 503
	SessionsPerUser  int // 16; beyond it 429
	OfferBytes       int // 64 KiB; a larger offer is answered 413
	FragmentBytes    int // 16 KiB; a larger fragment is answered 413
	PatchesPerSecond int // 20 of one session; beyond it 429
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Sessions:         cmp.Or(l.Sessions, 1000),
		SessionsPerRoom:  cmp.Or(l.SessionsPerRoom, 200),
		SessionsPerUser:  cmp.Or(l.SessionsPerUser, 16),
		OfferBytes:       cmp.Or(l.OfferBytes, 64<<10),
		FragmentBytes:    cmp.Or(l.FragmentBytes, 16<<10),
		PatchesPerSecond: cmp.Or(l.PatchesPerSecond, 20),
	}
}

// Options are what a Handler needs; Media, Tokens and Rooms must be set.
type Options struct {
	Media  *media.Server
	Tokens Tokens
	Rooms  Rooms
	// ICEServers returns the STUN and TURN servers that a client may use, by the id of its place; nil = none. It must
	// not block.
	ICEServers func(wire.ParticipantID) []wire.ICEServer
	Limits     Limits
	Log        *slog.Logger // nil = slog.Default()

	lostAfter, bodyTimeout, expiryGrace time.Duration // 0 = the constants; tests have no 30 s
}

// A Handler serves /whip/ and /whep/. Its methods may be called concurrently.
type Handler struct {
	// Set by New, then constant.
	media      *media.Server
	tokens     Tokens
	rooms      Rooms
	iceServers func(wire.ParticipantID) []wire.ICEServer
	limits     Limits
	log        *slog.Logger
	lostAfter  time.Duration
	bodyWithin time.Duration
	grace      time.Duration
	outcomes   map[Count]*atomic.Uint64
	mux        *http.ServeMux
	lifetime   context.Context
	end        context.CancelCauseFunc
	running    sync.WaitGroup // the goroutines of the sessions

	mu       sync.Mutex
	closed   bool                // guarded by mu
	sessions map[string]*session // guarded by mu; by id, from the answer on
	inRoom   map[wire.RoomID]int // guarded by mu; sessions, those about to begin too
	ofUser   map[wire.UserID]int // guarded by mu; the same
	all      int                 // guarded by mu; the same
}

var errHandlerClosed = errors.New("whip: handler closed")

// New makes a Handler. Close it before the media server and the rooms.
func New(opts Options) *Handler {
	h := &Handler{
		media: opts.Media, tokens: opts.Tokens, rooms: opts.Rooms, iceServers: opts.ICEServers,
		limits: opts.Limits.withDefaults(), log: opts.Log, mux: http.NewServeMux(),
		lostAfter: cmp.Or(opts.lostAfter, lostAfter), bodyWithin: cmp.Or(opts.bodyTimeout, bodyTimeout),
		grace: cmp.Or(opts.expiryGrace, wire.ExpiryGrace), outcomes: newOutcomes(),
		sessions: map[string]*session{}, inRoom: map[wire.RoomID]int{}, ofUser: map[wire.UserID]int{},
	}
	if h.log == nil {
		h.log = slog.Default()
	}
	if h.iceServers == nil {
		h.iceServers = func(wire.ParticipantID) []wire.ICEServer { return nil }
	}
	h.lifetime, h.end = context.WithCancelCause(context.Background())
	h.mux.HandleFunc("/whip/{room}", h.endpoint(publish))
	h.mux.HandleFunc("/whip/{room}/{session}", h.session)
	h.mux.HandleFunc("/whep/{room}/{participant}", h.endpoint(play))
	h.mux.HandleFunc("/whep/{room}/{participant}/{session}", h.session)
	h.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, wire.Errorf(wire.CodeNotFound, "there is nothing at this address"))
	})
	return h
}

// ServeHTTP implements http.Handler. Any origin may read what it says: a request is worth what its token is worth,
// and no browser sends that by itself.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Access-Control-Expose-Headers", "Location, ETag, Link, Accept-Patch, Accept-Post, Retry-After")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	h.mux.ServeHTTP(w, r)
}

// Close ends all sessions and waits for them. Requests that come later are answered 503.
func (h *Handler) Close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.end(errHandlerClosed)
	h.running.Wait()
}

// Sessions counts the publishers and players of this moment, those about to begin too.
func (h *Handler) Sessions() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.all
}

// endpoint serves the address at which sessions begin.
func (h *Handler) endpoint(what purpose) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodPost:
			if err := h.begin(w, r, what); err != nil {
				h.refused(r, err)
				h.count(what, Refused)
				writeProblem(w, err)
			}
		case http.MethodOptions:
			w.Header().Set("Accept-Post", typeSDP)
			h.prepare(w, r)
			writeOptions(w, "POST, GET, HEAD, OPTIONS")
		default:
			other(w, r, "POST, GET, HEAD, OPTIONS")
		}
	}
}

// prepare names the ICE servers before there is an offer, to a client that cannot take them afterwards: one whose
// question bears a token (RFC 9725 section 4.6). The others hear nothing of them, and no error: browsers ask before
// they send a token (Fetch section 4.8).
func (h *Handler) prepare(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Authorization") == "" {
		return
	}
	_, caller, err := h.authorize(r)
	if err != nil {
		h.refused(r, err)
		return
	}
	sum := sha256.Sum256([]byte(caller.User))
	w.Header().Set("Cache-Control", "no-store")
	linkICEServers(w.Header(), h.iceServers(wire.ParticipantID("whip-"+hex.EncodeToString(sum[:8]))))
}

// session serves the address of a session.
func (h *Handler) session(w http.ResponseWriter, r *http.Request) {
	var err error
	switch r.Method {
	case http.MethodPatch:
		err = h.patch(w, r)
	case http.MethodDelete:
		err = h.remove(w, r)
	case http.MethodOptions:
		w.Header().Set("Accept-Patch", typeFragment)
		writeOptions(w, "PATCH, DELETE, GET, HEAD, OPTIONS")
	default:
		other(w, r, "PATCH, DELETE, GET, HEAD, OPTIONS")
	}
	if err != nil {
		h.refused(r, err)
		writeProblem(w, err)
	}
}

// refused notes what went wrong on this side; what a client does wrong is its own affair.
func (h *Handler) refused(r *http.Request, err error) {
	level := slog.LevelDebug
	if problem := wire.AsError(err); problem.Code == wire.CodeInternal {
		level = slog.LevelWarn
	}
	h.log.Log(r.Context(), level, "WHIP or WHEP request refused", "method", r.Method, "path", r.URL.Path, "err", err)
}

// writeOptions answers a browser's question before a request (Fetch section 3.2.2).
func writeOptions(w http.ResponseWriter, methods string) {
	w.Header().Set("Allow", methods)
	w.Header().Set("Access-Control-Allow-Methods", methods)
	w.Header().Set("Access-Control-Allow-Headers", "Authorization, Content-Type, If-Match")
	w.Header().Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusOK)
}

// other answers the methods that do nothing here. GET succeeds: the resources are there, they just have nothing to
// show (RFC 9725 section 4.1).
func other(w http.ResponseWriter, r *http.Request, methods string) {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Allow", methods)
	writeProblem(w, refuse(http.StatusMethodNotAllowed, wire.CodeBadMessage, "%s does nothing here; use one of %s", r.Method, methods))
}

// authorize checks the names in the address and the token.
func (h *Handler) authorize(r *http.Request) (wire.RoomID, Caller, error) {
	room := wire.RoomID(r.PathValue("room"))
	if !wire.ValidName(string(room)) {
		return "", Caller{}, wire.Errorf(wire.CodeBadMessage, "a room is named with 1 to %d of a-z 0-9 - _", wire.MaxNameLength)
	}
	caller, err := h.tokens.Authorize(r, room)
	return room, caller, err
}

// readBody reads a body of one media type, up to most bytes, which must not dribble in.
func (h *Handler) readBody(w http.ResponseWriter, r *http.Request, kind string, most int) (string, error) {
	if got, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || got != kind {
		return "", refuse(http.StatusUnsupportedMediaType, wire.CodeBadMessage, "send it as %s", kind)
	}
	control := http.NewResponseController(w)
	// A writer that knows no deadlines is bounded by whoever made it.
	_ = control.SetReadDeadline(time.Now().Add(h.bodyWithin))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(most)))
	if err == nil {
		_ = control.SetReadDeadline(time.Time{})
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "", refuse(http.StatusRequestTimeout, wire.CodeTimeout, "the body took longer than %v", h.bodyWithin)
	}
	if _, large := errors.AsType[*http.MaxBytesError](err); large {
		return "", wire.Errorf(wire.CodeTooLarge, "the body is larger than %d bytes", most)
	}
	if err != nil {
		return "", refuse(http.StatusBadRequest, wire.CodeBadMessage, "the body did not arrive")
	}
	return string(body), nil
}

// accepts reports whether the client takes an answer of the media type (RFC 9110 section 12.5.1), as far as there
// is anything to choose: one type and its wildcards, and q=0.
func accepts(r *http.Request, kind string) bool {
	lines := r.Header.Values("Accept")
	if len(lines) == 0 {
		return true
	}
	for part := range strings.SplitSeq(strings.Join(lines, ","), ",") {
		got, params, err := mime.ParseMediaType(part)
		if err != nil || strings.Trim(params["q"], "0.") == "" && params["q"] != "" {
			continue
		}
		if main, _, _ := strings.Cut(kind, "/"); got == kind || got == "*/*" || got == main+"/*" {
			return true
		}
	}
	return false
}

// reserve counts a session that is about to begin; release undoes it.
func (h *Handler) reserve(room wire.RoomID, user wire.UserID) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return errGoingDown()
	case h.ofUser[user] >= h.limits.SessionsPerUser:
		return wire.Errorf(wire.CodeRateLimited, "you have %d sessions; end one", h.ofUser[user])
	case h.all >= h.limits.Sessions || h.inRoom[room] >= h.limits.SessionsPerRoom:
		return wire.Errorf(wire.CodeUnavailable, "there are too many publishers and players; try again later")
	}
	h.all++
	h.inRoom[room]++
	h.ofUser[user]++
	return nil
}

func (h *Handler) release(room wire.RoomID, user wire.UserID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.all--
	if h.inRoom[room]--; h.inRoom[room] == 0 {
		delete(h.inRoom, room)
	}
	if h.ofUser[user]--; h.ofUser[user] == 0 {
		delete(h.ofUser, user)
	}
}

// linkICEServers names the ICE servers (RFC 9725 section 4.6): one Link for each URL.
func linkICEServers(header http.Header, servers []wire.ICEServer) {
	for _, server := range servers {
		for _, address := range server.URLs {
			link := "<" + strings.NewReplacer("<", "%3C", ">", "%3E").Replace(address) + `>; rel="ice-server"`
			if server.Username != "" {
				link += `; username=` + quoted(server.Username) + `; credential=` + quoted(server.Credential) + `; credential-type="password"`
			}
			header.Add("Link", link)
		}
	}
}

// quoted is a quoted-string (RFC 9110 section 5.6.4).
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// sourcesOf reads ?source.
func sourcesOf(query url.Values) (audio, video wire.Source, err error) {
	switch query.Get("source") {
	case "", string(wire.Camera):
		return wire.Microphone, wire.Camera, nil
	case string(wire.Screen):
		return wire.ScreenAudio, wire.Screen, nil
	default:
		return "", "", wire.Errorf(wire.CodeBadMessage, "source is camera or screen")
	}
}
