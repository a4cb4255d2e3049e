package signaling

import (
	"errors"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"confab/signaling/wire"
)

// routes builds the HTTP side. There is no access log: a URL may hold a token.
func (s *Server) routes() (*gin.Engine, error) {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	if err := engine.SetTrustedProxies(s.opts.TrustedProxies); err != nil {
		return nil, err
	}
	engine.RedirectTrailingSlash = false // which would pass by the headers
	engine.Use(s.recover, s.secure)
	engine.GET("/ws", s.serveSocket)
	engine.GET("/api/ws", s.serveSocket)
	s.eventRoutes(engine)
	engine.GET("/healthz", func(c *gin.Context) { c.String(http.StatusOK, "ok\n") })
	engine.GET("/readyz", s.serveReady)
	engine.GET("/metrics", gin.WrapH(promhttp.HandlerFor(s.opts.Metrics, promhttp.HandlerOpts{Registry: s.opts.Metrics})))
	if s.opts.Routes != nil {
		s.opts.Routes(engine)
	}
	s.serveDescription(engine)
	if s.opts.Web != nil {
		app, err := newWebApp(s.opts.Web, s.opts.EmbedOrigins)
		if err != nil {
			return nil, err
		}
		engine.NoRoute(func(c *gin.Context) { app.serve(c.Writer, c.Request) })
	} else {
		engine.NoRoute(func(c *gin.Context) { notFound(c.Writer) })
	}
	return engine, nil
}

// recover answers a request whose handler panicked, and logs it with its path and nothing after it.
func (s *Server) recover(c *gin.Context) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
			panic(v) // net/http's own way to cut a response
		}
		s.log.Error("panic in an HTTP handler", "path", c.Request.URL.Path, "panic", v, "stack", string(debug.Stack()))
		if !c.Writer.Written() {
			wire.WriteProblem(c.Writer, http.StatusInternalServerError,
				wire.Errorf(wire.CodeInternal, "something went wrong on the server; try again"))
		}
		c.Abort()
	}()
	c.Next()
}

// serveSocket checks what can be checked before the upgrade and hands the connection on.
func (s *Server) serveSocket(c *gin.Context) {
	w, r := c.Writer, c.Request
	switch {
	case !s.origins.Allow(r):
		s.metrics.connection("websocket", "origin")
		wire.WriteProblem(w, http.StatusForbidden, handshakeProblem(http.StatusForbidden, nil))
		return
	case !subprotocolAllowed(r):
		s.metrics.connection("websocket", "subprotocol")
		wire.WriteProblem(w, http.StatusBadRequest,
			wire.Errorf(wire.CodeBadMessage, "this server speaks the subprotocol %s", wire.Subprotocol))
		return
	}
	peer := s.admit(c, "websocket")
	if peer == nil {
		return
	}
	s.hub.accept(w, r, &Session{
		server: s, peer: peer, born: s.clock.now(), urlToken: strings.Clone(r.URL.Query().Get("token")),
	})
}

// admit counts a connection that is about to begin against its address. It returns nil when there may be no more, and
// has answered then.
func (s *Server) admit(c *gin.Context, transport string) *address {
	w := c.Writer
	if s.down() {
		s.metrics.connection(transport, "draining")
		w.Header().Set("Retry-After", "2")
		wire.WriteProblem(w, http.StatusServiceUnavailable, errGoingDown())
		return nil
	}
	peer := s.addresses.enter(sourceOf(c.ClientIP()))
	if peer == nil {
		s.metrics.connection(transport, "address-limit")
		w.Header().Set("Retry-After", "10")
		wire.WriteProblem(w, http.StatusTooManyRequests,
			wire.Errorf(wire.CodeRateLimited, "too many connections from this address; close one"))
	}
	return peer
}

// serveReady fails while the server drains or what it needs does not work.
func (s *Server) serveReady(c *gin.Context) {
	if s.down() {
		wire.WriteProblem(c.Writer, http.StatusServiceUnavailable, errGoingDown())
		return
	}
	if s.opts.Ready != nil {
		if err := s.opts.Ready(); err != nil {
			s.log.Warn("not ready", "err", err)
			wire.WriteProblem(c.Writer, http.StatusServiceUnavailable, wire.Errorf(wire.CodeUnavailable, "the log does not answer"))
			return
		}
	}
	c.String(http.StatusOK, "ready\n")
}

func notFound(w http.ResponseWriter) {
	wire.WriteProblem(w, http.StatusNotFound, wire.Errorf(wire.CodeNotFound, "there is nothing at this address"))
}
