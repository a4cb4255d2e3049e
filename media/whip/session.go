package whip

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"confab/media"
	"confab/signaling/wire"
)

const (
	// lostAfter is how long a connection may be silent, or take to come about.
	lostAfter = 30 * time.Second
	// silence is what has passed of it when media says that the connection is down.
	silence = 5 * time.Second
	// beginTimeout bounds the making of a session, and the waiting for its turn of a PATCH.
	beginTimeout = 10 * time.Second
	// bodyTimeout bounds the arrival of a request's body.
	bodyTimeout = 10 * time.Second
	// gatherTimeout is how long the answer waits for the last of the server's candidates; there is no telling the
	// client of later ones.
	gatherTimeout = 3 * time.Second
)

// Why a session ended.
var (
	errDeleted = errors.New("whip: deleted by the client")
	errLost    = errors.New("whip: the connection was lost")
	errExpired = errors.New("whip: the token has expired")
	errGone    = errors.New("whip: the room has taken the place away")
	errRefused = errors.New("whip: the session did not come about")
)

// A session is one publisher or player.
type session struct {
	// Set by begin, then constant.
	handler *Handler
	id      string
	what    purpose
	room    wire.RoomID
	user    wire.UserID
	place   Place
	sends   wire.SetMedia // what a publisher publishes
	peer    *media.Peer
	mailbox *mailbox
	link    *link
	log     *slog.Logger
	ctx     context.Context
	end     context.CancelCauseFunc
	done    chan struct{} // closed by run as it returns
	turn    chan struct{} // holds one: its taker may change the session

	negotiated chan struct{} // closed by start when the first offer has been answered

	expires time.Time // of the best token that has come; zero = never. Guarded by handler.mu

	// Owned by who has turn.
	offer      *offer
	generation int
	etag       string
	second     time.Time // of patches
	patches    int       // in that second
}

// begin takes an offer and answers it with a session.
func (h *Handler) begin(w http.ResponseWriter, r *http.Request, what purpose) error {
	room, caller, err := h.authorize(r)
	if err != nil {
		return err
	}
	audio, video, err := sourcesOf(r.URL.Query())
	if err != nil {
		return err
	}
	if !accepts(r, typeSDP) {
		return refuse(http.StatusNotAcceptable, wire.CodeBadMessage, "the answer is %s", typeSDP)
	}
	text, err := h.readBody(w, r, typeSDP, h.limits.OfferBytes)
	if err != nil {
		return err
	}
	o, err := parseOffer(text, what)
	if err != nil {
		return err
	}
	if err := may(caller.Grants, what, o, audio, video); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(r.Context(), beginTimeout)
	defer cancel()
	s := &session{handler: h, what: what, room: room, user: caller.User, offer: o, expires: caller.Expires}
	a, err := s.start(ctx, caller, wire.ParticipantID(r.PathValue("participant")), audio, video)
	if err != nil {
		return err
	}
	return s.created(w, r, a)
}

// may checks the caller's grants.
func may(grants wire.Grants, what purpose, o *offer, audio, video wire.Source) error {
	if what == play {
		if !grants.Subscribe {
			return wire.Errorf(wire.CodeForbidden, "this token may not subscribe")
		}
		return nil
	}
	for kind, source := range map[string]wire.Source{"audio": audio, "video": video} {
		if o.mids[kind] != "" && !grants.May(source) {
			return wire.Errorf(wire.CodeForbidden, "this token may not publish %s", source)
		}
	}
	return nil
}

// start makes the session and has its offer answered. After an error nothing of it is left.
func (s *session) start(ctx context.Context, caller Caller, participant wire.ParticipantID, audio, video wire.Source) (*answer, error) {
	h := s.handler
	if err := h.reserve(s.room, s.user); err != nil {
		return nil, err
	}
	if err := s.enter(ctx, caller, participant); err != nil {
		h.release(s.room, s.user)
		return nil, err
	}
	a, err := s.negotiate(ctx, participant, audio, video)
	if err == nil {
		s.limitFirst()
		close(s.negotiated)
		err = h.add(s)
	}
	if err != nil {
		s.end(errRefused)
		<-s.done
		return nil, err
	}
	s.log.Info("session began")
	return a, nil
}

// enter takes the place and makes the peer, from which on run ends them.
func (s *session) enter(ctx context.Context, caller Caller, participant wire.ParticipantID) error {
	h := s.handler
	place, err := h.takePlace(ctx, s.what, caller, s.room, participant)
	if err != nil {
		return err
	}
	s.place, s.mailbox, s.link = place, newMailbox(), newLink()
	grants := wire.Grants{Publish: caller.Grants.Publish} // without Subscribe: nothing is offered to the client
	s.peer, err = h.media.Join(s.room, place.ID(), media.PeerOptions{Grants: grants, Send: s.mailbox.take})
	if err != nil {
		place.Leave()
		if errors.Is(err, media.ErrClosed) {
			return errGoingDown()
		}
		return err
	}
	s.peer.OnConnection(s.link.set)
	s.id, s.etag = rand.Text(), newETag()
	s.done, s.turn, s.negotiated = make(chan struct{}), make(chan struct{}, 1), make(chan struct{})
	s.log = h.log.With("protocol", s.what.String(), "room", s.room, "participant", place.ID(), "user", s.user)
	s.ctx, s.end = context.WithCancelCause(h.lifetime)
	if !h.launch(s) {
		s.peer.Close()
		place.Leave()
		return errGoingDown()
	}
	return nil
}

// launch starts run, unless Close may no longer be waiting for it.
func (h *Handler) launch(s *session) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.running.Go(s.run)
	}
	return !h.closed
}

func (h *Handler) takePlace(ctx context.Context, what purpose, caller Caller, room wire.RoomID, participant wire.ParticipantID) (Place, error) {
	if what == publish {
		return h.rooms.Enter(ctx, caller, room)
	}
	place, err := h.rooms.Watch(ctx, caller, room, participant)
	if problem, ok := errors.AsType[*wire.Error](err); ok && problem.Code == wire.CodeNotFound && problem.RetryAfter == 0 {
		again := *problem
		again.RetryAfter = comeBack // it may join yet
		return nil, &again
	}
	return place, err
}

// negotiate has the first offer answered.
func (s *session) negotiate(ctx context.Context, participant wire.ParticipantID, audio, video wire.Source) (*answer, error) {
	labels := map[string]wire.TrackLabel{}
	if s.what == publish {
		yes := true
		if mid := s.offer.mids["audio"]; mid != "" {
			labels[mid] = wire.TrackLabel{Participant: s.place.ID(), Source: audio}
			if audio == wire.Microphone {
				s.sends.Microphone = &yes
			}
		}
		if mid := s.offer.mids["video"]; mid != "" {
			labels[mid] = wire.TrackLabel{Participant: s.place.ID(), Source: video}
			if video == wire.Camera {
				s.sends.Camera = &yes
			} else {
				s.sends.Screen = &yes
			}
		}
	}
	signal, err := s.offer.signal(0, labels)
	if err != nil {
		return nil, err
	}
	if s.what == play {
		err = s.peer.Play(ctx, media.View{Participant: participant, Audio: audio, Video: video}, signal)
	} else {
		err = s.peer.Signal(ctx, signal)
	}
	if err != nil {
		return nil, unprocessable(err)
	}
	a, err := s.mailbox.wait(ctx, 0)
	if err != nil {
		return nil, err
	}
	if s.offer.passive {
		a.activate()
	}
	return a, a.check(s.offer, s.what)
}

// unprocessable gives SDP that is well formed, and yet no use, its status (RFC 9725 section 4.2).
func unprocessable(err error) error {
	problem := wire.AsError(err)
	if problem.Code == wire.CodeBadMessage || problem.Code == wire.CodeConflict {
		return &refusal{http.StatusUnprocessableEntity, problem}
	}
	return err
}

// add makes the session known by its id.
func (h *Handler) add(s *session) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if s.ctx.Err() != nil {
		return wire.Errorf(wire.CodeUnavailable, "the session has ended already")
	}
	h.sessions[s.id] = s
	return nil
}

// find returns the session that a request is for, if it is its caller's.
func (h *Handler) find(r *http.Request) (*session, error) {
	room, caller, err := h.authorize(r)
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	s := h.sessions[r.PathValue("session")]
	h.mu.Unlock()
	switch {
	case s == nil || s.room != room || s.ctx.Err() != nil:
		return nil, notThere()
	case s.user != caller.User:
		return nil, wire.Errorf(wire.CodeForbidden, "this session is somebody else's")
	default:
		h.prolong(s, caller.Expires)
		return s, nil
	}
}

// prolong notes that a session's client has a token that is good until then.
func (h *Handler) prolong(s *session, expires time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !s.expires.IsZero() && (expires.IsZero() || expires.After(s.expires)) {
		s.expires = expires
	}
}

// remaining returns how long a session may still go on by its token; ok is false when that is for ever.
func (h *Handler) remaining(s *session) (left time.Duration, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Until(s.expires) + h.grace, !s.expires.IsZero()
}

// created answers the POST.
func (s *session) created(w http.ResponseWriter, r *http.Request, a *answer) error {
	body, err := a.complete()
	if err != nil {
		s.end(errRefused)
		<-s.done
		return err
	}
	s.handler.count(s.what, Begun)
	h := w.Header()
	h.Set("Content-Type", typeSDP)
	h.Set("Location", r.URL.EscapedPath()+"/"+s.id)
	h.Set("ETag", s.etag)
	h.Set("Accept-Patch", typeFragment)
	h.Set("Cache-Control", "no-store")
	linkICEServers(h, s.handler.iceServers(s.place.ID()))
	w.WriteHeader(http.StatusCreated)
	_, _ = w.Write(body) // a client that is gone is lost like any other
	return nil
}

// run waits for the end of the session, whatever brings it about, and then ends all that it holds.
func (s *session) run() {
	defer close(s.done)
	lost := time.NewTimer(s.handler.lostAfter)
	defer lost.Stop()
	seat, _ := s.place.(Seat)
	var may <-chan []wire.Source // nil for a player, and before there is anything to mute
	negotiated := s.negotiated
	expiry := time.NewTimer(0) // looks at once how long it has
	defer expiry.Stop()
	said := false
	for s.ctx.Err() == nil {
		select {
		case <-s.ctx.Done():
		case <-s.peer.Done():
			s.end(s.peer.Err())
		case <-s.place.Gone():
			s.end(errGone)
		case <-lost.C:
			s.end(errLost)
		case <-expiry.C:
			if left, ends := s.handler.remaining(s); ends && left <= 0 {
				s.end(errExpired)
			} else if ends {
				expiry.Reset(left)
			}
		case <-negotiated:
			negotiated = nil
			if seat != nil {
				may = seat.Publish()
			}
		case sources := <-may:
			s.limit(sources)
			if said {
				seat.SetMedia(s.sends)
			}
		case up := <-s.link.changed:
			if !up {
				lost.Reset(max(s.handler.lostAfter-silence, 0))
				continue
			}
			lost.Stop()
			if seat != nil && !said {
				seat.SetMedia(s.sends)
				said = true
			}
		}
	}
	s.handler.forget(s)
	s.peer.Close()
	s.place.Leave()
	s.handler.release(s.room, s.user)
	cause := context.Cause(s.ctx)
	s.log.Info("session ended", "cause", cause)
	if !errors.Is(cause, errRefused) { // that has been counted with its request
		s.handler.count(s.what, outcomeOf(cause))
	}
}

// limitFirst is limit for what was muted before the publisher came. Its offer has been taken, as for any other one, and
// no media can come before it has the answer.
func (s *session) limitFirst() {
	if seat, ok := s.place.(Seat); ok {
		select {
		case sources := <-seat.Publish():
			s.limit(sources)
		default:
		}
	}
}

// limit has the peer forward no more than sources.
func (s *session) limit(sources []wire.Source) {
	ctx, cancel := context.WithTimeout(s.ctx, beginTimeout)
	defer cancel()
	muted := slices.DeleteFunc(slices.Clone(wire.Sources), func(source wire.Source) bool { return slices.Contains(sources, source) })
	if err := s.peer.Mute(ctx, muted); err != nil && s.ctx.Err() == nil {
		s.end(err) // rather than let through what was forbidden
	}
}

func (h *Handler) forget(s *session) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.sessions, s.id)
}

// remove ends a session. Its ETag does not matter (RFC 9725 section 4.3.1).
func (h *Handler) remove(w http.ResponseWriter, r *http.Request) error {
	s, err := h.find(r)
	if err != nil {
		return err
	}
	s.end(errDeleted)
	<-s.done
	w.WriteHeader(http.StatusOK)
	return nil
}

func newETag() string { return `"` + rand.Text() + `"` }

func (what purpose) String() string {
	if what == play {
		return "WHEP"
	}
	return "WHIP"
}

// A link hands the newest state of the connection to run.
type link struct {
	mu      sync.Mutex
	changed chan bool // holds the newest
}

func newLink() *link { return &link{changed: make(chan bool, 1)} }

// set never blocks.
func (l *link) set(up bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-l.changed:
	default:
	}
	l.changed <- up
}
