package signaling

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"confab/signaling/wire"
)

const (
	bodyTimeout   = 10 * time.Second // for a request's body
	frameHeader   = "Confab-Frame"   // numbers the frames of a client, from 1
	preflightLife = "7200"           // seconds; Chromium remembers no longer
)

// eventRoutes mounts the transport for where WebSockets are blocked, beside that for WebSockets: sessions, resuming,
// limits and codes are the same. No cookie is used, so that no page acts in anybody's name, and no secret stands in a
// URL.
func (s *Server) eventRoutes(engine *gin.Engine) {
	for _, prefix := range []string{"", "/api"} {
		group := engine.Group(prefix, s.crossOrigin)
		group.POST("/session", s.beginSession)
		group.DELETE("/session", s.leaveSession)
		group.GET("/events", s.serveEvents)
		group.POST("/send", s.takeFrame)
		for _, path := range []string{"/session", "/events", "/send"} {
			group.OPTIONS(path) // crossOrigin answers
		}
	}
}

// crossOrigin refuses pages of foreign origins, and lets the browser hand the answers to those of allowed ones (Fetch
// section 3.2).
func (s *Server) crossOrigin(c *gin.Context) {
	h := c.Writer.Header()
	h.Add("Vary", "Origin")
	if !s.origins.Allow(c.Request) {
		s.metrics.connection("events", "origin")
		wire.WriteProblem(c.Writer, 0, handshakeProblem(http.StatusForbidden, nil))
		c.Abort()
		return
	}
	if origin := c.GetHeader("Origin"); origin != "" {
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Expose-Headers", "Retry-After")
	}
	if c.Request.Method == http.MethodOptions {
		h.Set("Access-Control-Allow-Methods", "GET, POST, DELETE")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, "+frameHeader)
		h.Set("Access-Control-Max-Age", preflightLife)
		c.AbortWithStatus(http.StatusNoContent)
	}
}

// beginSession answers POST /session, whose body is the auth message, with connected.
func (s *Server) beginSession(c *gin.Context) {
	peer := s.admit(c, "events")
	if peer == nil {
		return
	}
	body, problem := readBody(c, wire.MaxAuthFrameBytes)
	if problem == nil && !s.hold() {
		problem = errGoingDown()
	}
	if problem != nil {
		s.metrics.connection("events", "refused")
		s.addresses.leave(peer)
		wire.WriteProblem(c.Writer, 0, problem)
		return
	}
	session := &Session{server: s, peer: peer, born: s.clock.now()}
	conn := newEventConn(session)
	session.conn = conn
	s.hub.add(session)
	go conn.run() // which releases what hold took
	greeting, problem := conn.begin(body)
	if problem != nil {
		wire.WriteProblem(c.Writer, 0, problem)
		return
	}
	h := c.Writer.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	c.Data(http.StatusOK, "application/json; charset=utf-8", greeting)
}

// leaveSession answers DELETE /session, a client's goodbye: it leaves its rooms at once.
func (s *Server) leaveSession(c *gin.Context) {
	if conn := s.eventConn(c); conn != nil {
		conn.leave()
		c.Status(http.StatusNoContent)
	}
}

// serveEvents answers GET /events with what the server has to say, until the end of the session.
func (s *Server) serveEvents(c *gin.Context) {
	conn := s.eventConn(c)
	if conn == nil {
		return
	}
	h := c.Writer.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store, no-transform") // RFC 9111 section 5.2.2.6: a proxy that compresses would hold back
	h.Set("X-Accel-Buffering", "no")                 // nginx
	h.Set("X-Content-Type-Options", "nosniff")
	// gin's own Flush keeps the error to itself.
	below, _ := c.Writer.(interface{ Unwrap() http.ResponseWriter })
	stream := &eventStream{c.Writer, http.NewResponseController(below.Unwrap())}
	served, cut := conn.serve(stream, c.Request.Context().Done())
	switch {
	case !served:
		wire.WriteProblem(c.Writer, 0, wire.Errorf(wire.CodeConflict, "the events of this session are being read; begin another with POST /session"))
	case cut:
		panic(http.ErrAbortHandler) // the client must not take it for a good end
	}
}

// takeFrame answers POST /send when what it brings has been handled. What comes of it stands in the events.
func (s *Server) takeFrame(c *gin.Context) {
	conn := s.eventConn(c)
	if conn == nil {
		return
	}
	if conn.sends.Add(1) > maxSends {
		conn.sends.Add(-1)
		wire.WriteProblem(c.Writer, 0, &wire.Error{
			Code: wire.CodeRateLimited, Text: "send one frame at a time", RetryAfter: time.Second,
		})
		return
	}
	defer conn.sends.Add(-1)
	number, problem := frameNumber(c.GetHeader(frameHeader))
	if problem == nil {
		var frame []byte
		if frame, problem = readBody(c, wire.MaxFrameBytes); problem == nil && !conn.take(number, frame) {
			problem = noSuchSession()
		}
	}
	if problem != nil {
		wire.WriteProblem(c.Writer, 0, problem)
		return
	}
	c.Status(http.StatusNoContent)
}

// frameNumber reads the header that numbers frames; 0 = there is none.
func frameNumber(text string) (uint64, *wire.Error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 53) // what JavaScript counts exactly
	if err != nil || n == 0 {
		return 0, wire.Errorf(wire.CodeBadMessage, "%s is a positive integer", frameHeader)
	}
	return n, nil
}

// readBody reads a body of at most limit bytes.
func readBody(c *gin.Context, limit int64) ([]byte, *wire.Error) {
	tooLarge := wire.Errorf(wire.CodeTooLarge, "at most %d bytes", limit)
	if c.Request.ContentLength > limit {
		return nil, tooLarge
	}
	control := http.NewResponseController(c.Writer)
	_ = control.SetReadDeadline(time.Now().Add(bodyTimeout)) // where there are none the listener's are the limit
	body, err := io.ReadAll(http.MaxBytesReader(c.Writer, c.Request.Body, limit))
	_ = control.SetReadDeadline(time.Time{})
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		return nil, tooLarge
	}
	if err != nil {
		return nil, &wire.Error{Code: wire.CodeBadMessage, Text: "the body did not come whole", Err: err}
	}
	return body, nil
}

// eventConn finds the connection whose ticket the request bears, and answers when there is none.
func (s *Server) eventConn(c *gin.Context) *eventConn {
	scheme, text, _ := strings.Cut(c.GetHeader("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") { // RFC 9110 section 11.1
		t, err := parseTicket(strings.TrimSpace(text), s.opts.TicketKey)
		if err == nil && t.incarnation == s.incarnation {
			if session := s.index.find(t.session); session != nil && session.serial == t.serial {
				if conn, ok := session.conn.(*eventConn); ok {
					return conn
				}
			}
		}
	}
	wire.WriteProblem(c.Writer, 0, noSuchSession())
	return nil
}

func noSuchSession() *wire.Error {
	return wire.Errorf(wire.CodeUnauthorized, "there is no such session, or no more; begin one with POST /session")
}
