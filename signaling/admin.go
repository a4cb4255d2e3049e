package signaling

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"confab/rooms"
	"confab/signaling/audit"
	"confab/signaling/openapi"
	"confab/signaling/wire"
)

const (
	// MinAdminKeyBytes is what a key must have, so that it cannot be guessed.
	MinAdminKeyBytes = 32

	maxAdminBody     = 64 << 10
	adminBodyTimeout = 10 * time.Second
	adminTimeout     = 30 * time.Second // for a room: to clear many threads takes long
	adminBurst       = 200              // requests of an address at once
	adminEvery       = 20 * time.Millisecond
	badKeyCost       = 20 // requests: so ten bad keys at once, then five in two seconds
)

// An AdminKey is one of those that the admin API takes. Its name stands in the audit log.
type AdminKey struct {
	Name   string
	Secret string // at least MinAdminKeyBytes
}

// AdminOptions of an AdminHandler. Registry and Keys are required.
type AdminOptions struct {
	AdminKeys []AdminKey // none = the API is off
	Registry  *rooms.Registry
	Keys      *Keyring     // mints tokens
	Nodes     rooms.Nodes  // the other nodes of a cluster, whose rooms are asked there; nil = there are none
	Audit     *audit.Log   // nil = none is kept
	Logger    *slog.Logger // nil = slog.Default()
}

// An AdminHandler is the admin API: what whoever runs the server, or a program of theirs, does over HTTP. It may be used
// from any goroutine. Rooms do what it asks for by the commands that members use.
type AdminHandler struct {
	// Set by NewAdminHandler, then constant.
	keys   []hashedKey
	rooms  rooms.Operator
	tokens *Keyring
	nodes  rooms.Nodes // nil = there is no other node
	local  *gin.Engine // serves what other nodes have admitted
	audit  *audit.Log
	log    *slog.Logger
	limits *throttle
}

// A hashedKey is a key as it is compared: the hash hides how long it is.
type hashedKey struct {
	name string
	hash [sha256.Size]byte
}

// NewAdminHandler makes the API; Routes puts it in its place.
func NewAdminHandler(opts AdminOptions) *AdminHandler {
	h := &AdminHandler{
		rooms: opts.Registry.Operator(), tokens: opts.Keys, nodes: opts.Nodes, audit: opts.Audit, log: opts.Logger, limits: newThrottle(adminEvery, adminBurst),
	}
	if h.log == nil {
		h.log = slog.Default()
	}
	for _, key := range opts.AdminKeys {
		h.keys = append(h.keys, hashedKey{key.Name, sha256.Sum256([]byte(key.Secret))})
	}
	h.local = h.localEngine()
	return h
}

// An adminRoute is an operation and what serves it.
type adminRoute struct {
	openapi.Operation
	serve func(*AdminHandler, *adminRequest) (any, error) // a nil body is 204
	quiet bool                                            // looks at what is no secret: not audited unless refused
}

// Routes mounts the API.
func (h *AdminHandler) Routes(router gin.IRouter) {
	for _, route := range adminRoutes {
		router.Handle(route.Method, route.mounted(), func(c *gin.Context) { h.serve(c, &route) })
	}
}

// mounted is the path as gin writes it.
func (r *adminRoute) mounted() string { return strings.NewReplacer("{", ":", "}", "").Replace(r.Path) }

// AdminOperations describes the API.
func AdminOperations() []openapi.Operation {
	all := make([]openapi.Operation, 0, len(adminRoutes))
	for _, route := range adminRoutes {
		all = append(all, route.Operation)
	}
	return all
}

// An adminRequest is one request whose key is good.
type adminRequest struct {
	*gin.Context
	ctx   context.Context // bounds what is asked of rooms
	entry *audit.Entry    // what the audit log will say of it
	room  wire.RoomID     // of the path; empty = none
	asked bool            // by another node, which has admitted it
}

// serve admits a request, has it served, and tells the audit log.
func (h *AdminHandler) serve(c *gin.Context, route *adminRoute) {
	c.Header("Cache-Control", "no-store")
	entry := audit.Entry{Via: audit.ViaAdmin, Action: route.ID, Address: c.ClientIP(), Room: wire.RoomID(c.Param("room"))}
	if !wire.ValidName(string(entry.Room)) {
		entry.Room = ""
	}
	body, err := h.admitted(c, route, &entry)
	h.note(route, entry, err)
	h.answer(c, body, err)
}

// answer writes what became of a request.
func (h *AdminHandler) answer(c *gin.Context, body any, err error) {
	switch {
	case err != nil:
		refuse(c, h.log, err)
	case body == nil:
		c.Status(http.StatusNoContent)
	default:
		status := http.StatusOK
		if made, ok := body.(created); ok && made.isNew() {
			status = http.StatusCreated
		}
		c.JSON(status, body)
	}
}

// created is a body that may be of something new, which is answered 201.
type created interface{ isNew() bool }

// note writes down what was done, and what was refused; not what was too much, of which there may be too much.
func (h *AdminHandler) note(route *adminRoute, entry audit.Entry, err error) {
	entry.Outcome = audit.Done
	if err != nil {
		code := wire.AsError(err).Code
		if code == wire.CodeRateLimited || len(h.keys) == 0 {
			return
		}
		entry.Outcome = string(code)
	}
	if !route.quiet || entry.Outcome == string(wire.CodeUnauthorized) {
		h.audit.Write(entry)
	}
}

// admitted serves a request that the API may serve.
//
// Errors: *wire.Error with CodeNotFound (the API is off), CodeRateLimited, CodeUnauthorized, CodeBadMessage, and those
// of the route.
func (h *AdminHandler) admitted(c *gin.Context, route *adminRoute, entry *audit.Entry) (any, error) {
	if len(h.keys) == 0 {
		return nil, wire.Errorf(wire.CodeNotFound, "the admin API is off; start confab with --admin-key to use it")
	}
	address := c.ClientIP()
	if wait := h.limits.wait(address); wait > 0 {
		return nil, &wire.Error{Code: wire.CodeRateLimited, Text: "too many requests from this address; try again soon", RetryAfter: wait}
	}
	name, ok := h.keyOf(c.Request)
	if !ok {
		h.limits.charge(address, badKeyCost)
		return nil, wire.Errorf(wire.CodeUnauthorized, "the request needs an admin key, as Authorization: Bearer KEY")
	}
	entry.Key = name
	r := &adminRequest{Context: c, entry: entry, room: wire.RoomID(c.Param("room"))}
	if c.Param("room") != "" && !wire.ValidName(c.Param("room")) {
		return nil, wire.Errorf(wire.CodeBadMessage, "a room is 1 to %d of a-z 0-9 - _", wire.MaxNameLength)
	}
	var cancel context.CancelFunc
	r.ctx, cancel = context.WithTimeout(c.Request.Context(), adminTimeout)
	defer cancel()
	if r.room != "" && h.nodes != nil {
		return h.serveAtOwner(r, route)
	}
	return route.serve(h, r)
}

// keyOf names the key that a request shows. It looks at every key, whatever it finds, so that the time it takes tells
// nothing.
func (h *AdminHandler) keyOf(r *http.Request) (name string, ok bool) {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	shown := sha256.Sum256([]byte(strings.TrimSpace(key)))
	for _, known := range h.keys {
		if subtle.ConstantTimeCompare(shown[:], known.hash[:]) == 1 {
			name, ok = known.name, true
		}
	}
	return name, ok && strings.EqualFold(scheme, "Bearer") // RFC 9110 section 11.1
}

// decode reads the body, which is one JSON object with known fields and nothing after it.
//
// Errors: *wire.Error with CodeBadMessage or CodeTooLarge.
func (r *adminRequest) decode(into any) error {
	// A body that trickles in holds a connection no longer than this. Where it cannot be set, there is none.
	_ = http.NewResponseController(r.Writer).SetReadDeadline(time.Now().Add(adminBodyTimeout))
	return decodeStrict(http.MaxBytesReader(r.Writer, r.Request.Body, maxAdminBody), into)
}

func decodeStrict(body io.Reader, into any) error {
	decoder := json.NewDecoder(body)
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		if _, more := decoder.Token(); more == io.EOF {
			return nil
		}
		return wire.Errorf(wire.CodeBadMessage, "there is something after the JSON object")
	}
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return wire.Errorf(wire.CodeTooLarge, "the body is larger than %d bytes", maxAdminBody)
	}
	text := "the body is no JSON object with the right fields"
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && wrong.Field != "" {
		text = wrong.Field + " has the wrong type: " + wrong.Value
	} else if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok && len(name) <= wire.MaxNameLength {
		text = "there is no field " + name
	}
	return &wire.Error{Code: wire.CodeBadMessage, Text: text, Err: err}
}

// number reads a number of the query, 0 when it is absent.
func (r *adminRequest) number(name string, most uint64) (uint64, error) {
	text := r.Query(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n == 0 || n > most {
		return 0, wire.Errorf(wire.CodeBadMessage, "%s is a number from 1 to %d", name, most)
	}
	return n, nil
}

// flag reads a boolean of the query, false when it is absent.
func (r *adminRequest) flag(name string) (bool, error) {
	switch r.Query(name) {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	}
	return false, wire.Errorf(wire.CodeBadMessage, "%s is true or false", name)
}

// name reads a room's or a thread's name of the query, empty when it is absent.
func (r *adminRequest) name(key string) (string, error) {
	text := r.Query(key)
	if text != "" && !wire.ValidName(text) {
		return "", wire.Errorf(wire.CodeBadMessage, "%s is 1 to %d of a-z 0-9 - _", key, wire.MaxNameLength)
	}
	return text, nil
}
