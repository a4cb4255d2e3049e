// Package signaling is where clients meet the server: the socket, its sessions, tokens, and the HTTP routes.
//
// # Model
//
// A connection is upgraded, kept and ended by melody (melody.go, the only file that knows it). A Session
// authenticates it, checks and dispatches its messages through the mux to handle_*.go, and these act on
// rooms.Members. What rooms answer and say goes into the session's outbox and from there to the socket:
//
//	socket -> Session.receive -> mux -> handler -> rooms.Member
//	socket <- writer <- outbox <- Session.Send <- rooms
//
// Where WebSockets are blocked the socket is a stream of events and the requests that send (events.go, events_http.go):
// one more conn, and nothing behind it knows the difference.
//
// # Concurrency
//
// Each session has one goroutine, the reader, and no timer: one sweeper looks after
// timeouts and pings for all. Over HTTP the reader is the request that sends, one at a time, and a goroutine waits for the
// end. A few writers (flusher) write for all sessions, and a session that does not take a frame
// at once has one of its own until it does. Messages of one session are handled in order, one at a time. Nothing that
// a room calls (Session as rooms.Outlet, answers) blocks. A Server owns every goroutine that it starts; Drain and
// Close wait for them.
//
// The package does not import the log, media or bots.
package signaling

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"io/fs"
	"log/slog"
	randv2 "math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"confab/rooms"
	"confab/signaling/openapi"
	"confab/signaling/wire"
)

const (
	sweepPeriod  = time.Second
	minTicketKey = 32 // bytes, the size of HMAC-SHA256's output (RFC 2104 section 3)

	// Clients are asked to come back spread over this much for every drainSpreadEach of them.
	drainSpread     = time.Second
	drainSpreadEach = 500
	maxDrainSpread  = 10 * time.Second
)

// Options of a Server. Registry, Verifier and TicketKey are required.
type Options struct {
	Registry  *rooms.Registry
	Verifier  Verifier
	Nodes     rooms.Nodes                                    // the other nodes of a cluster; nil = there are none
	Asked     func(question []byte) (answer []byte, ok bool) // answers what the routes of other nodes ask by Nodes; nil = nothing
	TicketKey []byte                                         // signs tickets; at least 32 bytes, the same after a restart

	Origins         []string      // pages that may connect beside those of the same host ("https://chat.example", "*" = any)
	EmbedOrigins    []string      // pages that may show the app in a frame, as Origins
	RateLimit       int           // messages a second per session, 10 times as many per address; 0 = no limit
	ConnectionLimit int           // connections per address; 0 = no limit, also for attempts to authenticate
	AuthTimeout     time.Duration // from the upgrade to auth; 0 = wire.AuthTimeout
	History         int           // messages of a room's window, told to clients; 0 = wire.DefaultHistory
	TrustedProxies  []string      // addresses or CIDRs whose X-Forwarded-For counts; none by default

	Web       fs.FS                // the web app, rooted at index.html; nil = none
	Routes    func(gin.IRouter)    // mounts further routes; may be nil
	Described []openapi.Operation  // what Routes may mount, for the OpenAPI document
	Ready     func() error         // whether the server can serve, nil = always
	Metrics   *prometheus.Registry // nil = a new one
	Logger    *slog.Logger         // nil = slog.Default()
}

// A Server is the socket and the HTTP side of a process.
type Server struct {
	// Set by New, then constant.
	opts        Options
	log         *slog.Logger
	clock       clock
	incarnation uint64 // of this process, in its tickets
	origins     Origins
	index       *index
	peers       *peers // nil = there are no other nodes
	hub         *hub
	mux         mux
	flusher     *flusher
	metrics     *metrics
	engine      *gin.Engine
	lifetime    context.Context // ends when the server stops
	stop        context.CancelCauseFunc
	swept       chan struct{} // closed by sweep as it returns
	addresses   addresses

	sweeping sync.Mutex // held for one look of the sweeper

	mu       sync.Mutex
	draining bool           // no new connections; guarded by mu
	stopped  bool           // no new goroutines; guarded by mu
	running  sync.WaitGroup // connections and closes under way; Add with mu held
}

var errStopped = errors.New("signaling: server stopped")

// New makes a server and starts its sweeper. Close or Drain ends it.
func New(opts Options) (*Server, error) {
	if opts.Registry == nil || opts.Verifier == nil {
		return nil, errors.New("signaling: Registry and Verifier are required")
	}
	if len(opts.TicketKey) < minTicketKey {
		return nil, errors.New("signaling: TicketKey needs at least 32 bytes")
	}
	if opts.AuthTimeout <= 0 {
		opts.AuthTimeout = wire.AuthTimeout
	}
	if opts.History <= 0 {
		opts.History = wire.DefaultHistory
	}
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.Metrics == nil {
		opts.Metrics = prometheus.NewRegistry()
	}
	s := &Server{
		opts: opts, log: opts.Logger, clock: clock{start: time.Now()}, index: newIndex(), mux: newMux(), flusher: newFlusher(),
		origins: NewOrigins(opts.Origins), swept: make(chan struct{}),
		addresses: addresses{limit: opts.ConnectionLimit, all: make(map[netip.Prefix]*address)},
	}
	var raw [8]byte
	_, _ = rand.Read(raw[:]) // never fails: crypto/rand ends the process instead
	s.incarnation = binary.BigEndian.Uint64(raw[:])
	var err error
	if s.metrics, err = newMetrics(opts.Metrics, s.mux, s.down); err != nil {
		return nil, err
	}
	s.hub = newHub(s)
	if s.engine, err = s.routes(); err != nil {
		return nil, err
	}
	s.lifetime, s.stop = context.WithCancelCause(context.Background())
	if opts.Nodes != nil {
		s.peers = newPeers(s, opts.Nodes)
	}
	go s.sweep()
	return s, nil
}

// Handler serves everything that the server serves.
func (s *Server) Handler() http.Handler { return s.engine }

// Sessions returns how many sessions a user has open on this server.
func (s *Server) Sessions(user wire.UserID) int { return len(s.index.ofUser(user)) }

// CloseUser ends every session of a user with code, for an administrator. It does not wait.
func (s *Server) CloseUser(user wire.UserID, code wire.CloseCode, reason string) {
	for _, session := range s.index.ofUser(user) {
		session.finish(code, reason)
	}
}

// Notify tells every client how the server is.
func (s *Server) Notify(status wire.SystemStatus) {
	frame := wire.Encode(wire.Envelope{}, status)
	for _, session := range s.hub.appendAll(nil) {
		if session.authed.Load() {
			session.Send(frame, string(wire.KindSystemStatus))
		}
	}
}

// Drain takes no new connections, tells every client when to come back, each at another moment, closes the connections
// with 1012, and stops the server. When ctx ends first the remaining connections are cut and ctx's cause is
// returned.
func (s *Server) Drain(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	sessions := s.hub.appendAll(nil)
	spread := min(drainSpread*time.Duration(1+len(sessions)/drainSpreadEach), maxDrainSpread)
	for i, session := range sessions {
		if session.authed.Load() {
			// Each has a part of the time for itself, so that they come back evenly, and not only on average.
			after := (float64(i) + randv2.Float64()) / float64(len(sessions)) * float64(spread.Milliseconds())
			session.Send(wire.Encode(wire.Envelope{}, wire.SystemStatus{
				Status: wire.Draining, Message: "The server restarts. You will be reconnected.", ReconnectAfterMS: 1 + int64(after),
			}), string(wire.KindSystemStatus))
		}
		session.finish(wire.CloseServiceRestart, "the server restarts")
	}
	return s.shut(ctx)
}

// Close cuts every connection and stops the server.
func (s *Server) Close() error {
	s.mu.Lock()
	s.draining = true
	s.mu.Unlock()
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errStopped)
	_ = s.shut(ctx) // ends by the cause above
	return nil
}

// shut waits for the connections until ctx ends, cuts the others, and stops the sweeper.
func (s *Server) shut(ctx context.Context) error {
	done := make(chan struct{})
	s.mu.Lock()
	s.stopped = true // closes under way are counted already; a later one cuts the connection
	s.mu.Unlock()
	go func() {
		s.running.Wait()
		close(done)
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = context.Cause(ctx)
		for _, session := range s.hub.appendAll(nil) {
			session.conn.abort()
		}
	}
	s.stop(errStopped) // a verification that is under way ends now
	<-done
	s.flusher.close()
	<-s.swept
	return err
}

// hold counts a goroutine that the caller starts and that ends with running.Done. It reports false when no
// connection may begin any more.
func (s *Server) hold() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining || s.stopped {
		return false
	}
	s.running.Add(1)
	return true
}

// spawn runs fn on a goroutine that shut waits for. It reports false when the server has stopped.
func (s *Server) spawn(fn func()) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stopped {
		return false
	}
	s.running.Go(fn)
	return true
}

// down reports whether the server takes no new connections.
func (s *Server) down() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// sweep looks after every timeout of every session, once a second.
func (s *Server) sweep() {
	defer close(s.swept)
	ticker := time.NewTicker(sweepPeriod)
	defer ticker.Stop()
	var all []*Session
	for {
		select {
		case <-s.lifetime.Done():
			return
		case <-ticker.C:
		}
		all = s.sweepOnce(all[:0])
		clear(all)
	}
}

// sweepOnce is one look; scratch is reused for the list of sessions.
func (s *Server) sweepOnce(scratch []*Session) []*Session {
	s.sweeping.Lock()
	defer s.sweeping.Unlock()
	now, wall := s.clock.now(), s.wall()
	all := s.hub.appendAll(scratch)
	for _, session := range all {
		session.check(now, wall)
	}
	s.index.forget(now)
	s.addresses.forget(now)
	return all
}
