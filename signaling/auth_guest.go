package signaling

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"confab/signaling/wire"
	"github.com/gin-gonic/gin"
)

const (
	guestTTL         = 24 * time.Hour
	guestBodyTimeout = 10 * time.Second
	guestPrefix      = "guest-"
	maxGuestBody     = 16 << 10 // a name, a room and a token
	guestBurst       = 60       // a class behind one address comes at once
	guestEvery       = time.Second
)

// Guests says who may come without an account.
type Guests int

// The three answers.
const (
	GuestsOff      Guests = iota // nobody: the endpoint answers 403
	GuestsLocal                  // who asks for this machine by a loopback name, in the address bar too
	GuestsAnywhere               // everybody who reaches the server
)

// GuestOptions of a GuestHandler.
type GuestOptions struct {
	Keys   *Keyring
	Guests Guests
	Logger *slog.Logger // nil = slog.Default()
}

// A GuestHandler is POST /api/v1/guest: a name for a token. It may be used from any goroutine.
//
// Each address has a bucket of guestBurst requests that refills one a second.
type GuestHandler struct {
	// Set by NewGuestHandler, then constant.
	keys   *Keyring
	guests Guests
	log    *slog.Logger
	limits *throttle
}

// NewGuestHandler makes the endpoint; Routes puts it in its place.
func NewGuestHandler(opts GuestOptions) *GuestHandler {
	h := &GuestHandler{keys: opts.Keys, guests: opts.Guests, log: opts.Logger, limits: newThrottle(guestEvery, guestBurst)}
	if h.log == nil {
		h.log = slog.Default()
	}
	return h
}

// Routes mounts the endpoint.
func (h *GuestHandler) Routes(router gin.IRouter) {
	router.POST("/api/v1/guest", h.serve)
}

// guestRequest is what a browser asks with. A guest token of this server that is still good keeps its user id, so
// that a browser stays the same person; any other token is as none.
type guestRequest struct {
	Name  string      `json:"name"`            // 1 to 80 runes after trimming
	Room  wire.RoomID `json:"room,omitempty"`  // absent = every room
	Token string      `json:"token,omitempty"` // to renew
}

func (h *GuestHandler) serve(c *gin.Context) {
	c.Header("Cache-Control", "no-store")
	token, err := h.issue(c)
	if err != nil {
		refuse(c, h.log, err)
		return
	}
	c.JSON(http.StatusOK, gin.H{"token": token})
}

// issue checks the request and makes the token.
//
// Errors: *wire.Error with CodeForbidden, CodeRateLimited, CodeBadMessage or CodeTooLarge.
func (h *GuestHandler) issue(c *gin.Context) (string, error) {
	if err := h.admits(c.Request.Host); err != nil {
		return "", err
	}
	// A body that trickles in holds a connection no longer than this. Where it cannot be set, there is none.
	_ = http.NewResponseController(c.Writer).SetReadDeadline(time.Now().Add(guestBodyTimeout))
	if wait := h.limits.wait(c.ClientIP()); wait > 0 {
		return "", &wire.Error{Code: wire.CodeRateLimited, Text: "too many guests from this address; try again soon", RetryAfter: wait}
	}
	var body guestRequest
	decoder := json.NewDecoder(http.MaxBytesReader(c.Writer, c.Request.Body, maxGuestBody))
	if err := decoder.Decode(&body); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return "", wire.Errorf(wire.CodeTooLarge, "the body is larger than %d bytes", maxGuestBody)
		}
		return "", &wire.Error{Code: wire.CodeBadMessage, Text: `the body is no JSON object; send {"name":"…","room":"…"}`, Err: err}
	}
	claims, err := body.claims()
	if err != nil {
		return "", err
	}
	if old, err := h.keys.verifyOwn(body.Token); err == nil && old.Guest {
		claims.User = old.User
	}
	return h.keys.Mint(*claims)
}

// admits checks the address that the browser asked for. A page from elsewhere whose name was made to point at
// this machine, and a proxy that passes the name on, are not local.
func (h *GuestHandler) admits(host string) error {
	switch h.guests {
	case GuestsAnywhere:
		return nil
	case GuestsLocal:
		name := host
		if bare, _, err := net.SplitHostPort(host); err == nil {
			name = bare
		}
		if IsLoopback(strings.Trim(name, "[]")) {
			return nil
		}
		return wire.Errorf(wire.CodeForbidden, "guests are allowed from this machine only; start confab with --guests on to let others in")
	default:
		return wire.Errorf(wire.CodeForbidden, "guests are not allowed here; ask who runs this server for an invitation")
	}
}

// IsLoopback reports whether host, a name or an address with no port, is this machine for itself alone.
func IsLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") { // RFC 6761 section 6.3
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

func (r *guestRequest) claims() (*Claims, error) {
	name := CleanName(r.Name)
	if name == "" {
		return nil, wire.Errorf(wire.CodeBadMessage, "name is empty; say what you want to be called")
	}
	if runes := len([]rune(strings.TrimSpace(r.Name))); runes > wire.MaxDisplayName {
		return nil, wire.Errorf(wire.CodeBadMessage, "name is %d characters; at most %d", runes, wire.MaxDisplayName)
	}
	room := "*"
	if r.Room != "" {
		if !wire.ValidName(string(r.Room)) {
			return nil, wire.Errorf(wire.CodeBadMessage, "room is 1 to %d of a-z 0-9 - _", wire.MaxNameLength)
		}
		room = string(r.Room)
	}
	return &Claims{
		User: wire.UserID(guestPrefix + strings.ToLower(rand.Text())), Name: name,
		Role: wire.RoleMember, Grants: RoleGrants(wire.RoleMember),
		Rooms: []string{room}, Guest: true, ExpiresAt: time.Now().Add(guestTTL),
	}, nil
}

// refuse answers with the error. Causes are logged, never sent.
func refuse(c *gin.Context, log *slog.Logger, err error) {
	problem := wire.AsError(err)
	if problem.Code == wire.CodeInternal {
		log.Error("request failed", "path", c.FullPath(), "err", err)
	}
	wire.WriteProblem(c.Writer, 0, problem)
}
