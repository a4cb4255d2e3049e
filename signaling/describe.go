package signaling

import (
	"net/http"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"

	"confab/signaling/openapi"
	"confab/signaling/wire"
)

const descriptionPath = "/api/v1/openapi.json"

// GuestTokenAnswer is the answer to POST /api/v1/guest.
type GuestTokenAnswer struct {
	Token string `json:"token"`
}

// ownOperations describes what every server mounts.
var ownOperations = slices.Concat(eventOperations("", ""), eventOperations("/api", "BelowAPI"), []openapi.Operation{
	{
		Method: "GET", Path: "/ws", ID: "connect", Tag: "socket", Summary: "The WebSocket, subprotocol " + wire.Subprotocol + ": everything that happens in rooms.",
		Answers:  []openapi.Answer{{Status: 101}},
		Problems: []wire.ErrorCode{wire.CodeBadMessage, wire.CodeForbidden, wire.CodeRateLimited, wire.CodeUnavailable},
	},
	{
		Method: "GET", Path: "/api/ws", ID: "connectBelowAPI", Tag: "socket", Summary: "The same as /ws.", Answers: []openapi.Answer{{Status: 101}},
		Problems: []wire.ErrorCode{wire.CodeBadMessage, wire.CodeForbidden, wire.CodeRateLimited, wire.CodeUnavailable},
	},
	{
		Method: "GET", Path: "/healthz", ID: "health", Tag: "operation", Summary: "Whether the process serves.",
		Answers: []openapi.Answer{{Status: 200, Media: "text/plain"}},
	},
	{
		Method: "GET", Path: "/readyz", ID: "ready", Tag: "operation", Summary: "Whether it should get work: not while it drains, and not while the log does not answer.",
		Answers: []openapi.Answer{{Status: 200, Media: "text/plain"}}, Problems: []wire.ErrorCode{wire.CodeUnavailable},
	},
	{
		Method: "GET", Path: "/metrics", ID: "metrics", Tag: "operation", Summary: "Metrics for Prometheus.",
		Answers: []openapi.Answer{{Status: 200, Media: "text/plain"}},
	},
	{
		Method: "GET", Path: descriptionPath, ID: "describe", Tag: "operation", Summary: "This document.", Answers: []openapi.Answer{{Status: 200, Type: map[string]any{}}},
	},
})

// eventOperations describes what eventRoutes mounts below prefix; suffix makes the names differ.
func eventOperations(prefix, suffix string) []openapi.Operation {
	return []openapi.Operation{
		{
			Method: "POST", Path: prefix + "/session", ID: "beginSession" + suffix, Tag: "socket",
			Summary: "Begins or resumes a session where WebSockets are blocked. The body is the auth message, the answer connected.",
			Body:    &openapi.Body{Type: map[string]any{}}, Answers: []openapi.Answer{{Status: 200, Type: map[string]any{}}},
			Problems: []wire.ErrorCode{wire.CodeBadMessage, wire.CodeUnauthorized, wire.CodeForbidden, wire.CodeTooLarge, wire.CodeRateLimited, wire.CodeUnavailable},
		},
		{
			Method: "DELETE", Path: prefix + "/session", ID: "endSession" + suffix, Tag: "socket", Auth: openapi.Ticket, Summary: "Leaves every room, and ends the session.",
			Answers: []openapi.Answer{{Status: 204}}, Problems: []wire.ErrorCode{wire.CodeForbidden},
		},
		{
			Method: "GET", Path: prefix + "/events", ID: "readEvents" + suffix, Tag: "socket", Auth: openapi.Ticket,
			Summary: "What the server has to say: each event is one message of the protocol. An event close says why it ends.",
			Answers: []openapi.Answer{{Status: 200, Media: "text/event-stream"}}, Problems: []wire.ErrorCode{wire.CodeForbidden, wire.CodeConflict},
		},
		{
			Method: "POST", Path: prefix + "/send", ID: "sendFrame" + suffix, Tag: "socket", Auth: openapi.Ticket,
			Summary: "Takes one frame, one message a line. What comes of it stands in the events.",
			Query:   []openapi.Parameter{{Name: frameHeader, In: "header", Summary: "Numbers the session's frames, from 1: one that comes again is not taken twice."}},
			Body:    &openapi.Body{Media: "text/plain"}, Answers: []openapi.Answer{{Status: 204}},
			Problems: []wire.ErrorCode{wire.CodeBadMessage, wire.CodeForbidden, wire.CodeTooLarge, wire.CodeRateLimited},
		},
	}
}

// GuestOperations describes what GuestHandler mounts.
var GuestOperations = []openapi.Operation{{
	Method: "POST", Path: "/api/v1/guest", ID: "createGuest", Tag: "tokens", Summary: "A name for a token, where guests are allowed.",
	Body: &openapi.Body{Type: guestRequest{}}, Answers: []openapi.Answer{{Status: 200, Type: GuestTokenAnswer{}}},
	Problems: []wire.ErrorCode{wire.CodeForbidden, wire.CodeRateLimited},
}}

// serveDescription mounts the OpenAPI document of what is mounted.
func (s *Server) serveDescription(engine *gin.Engine) {
	var document []byte // set below, when its own route is there too
	engine.GET(descriptionPath, func(c *gin.Context) {
		c.Header("Cache-Control", "no-cache")
		c.Header("X-Content-Type-Options", "nosniff")
		c.Data(http.StatusOK, "application/json; charset=utf-8", document)
	})
	routes := engine.Routes()
	mounted := slices.DeleteFunc(slices.Concat(ownOperations, s.opts.Described), func(op openapi.Operation) bool {
		return !op.IsWebhook() && !slices.ContainsFunc(routes, func(route gin.RouteInfo) bool { return Describes(op, route) })
	})
	document = openapi.Document("Confab", "v1", mounted)
}

// Describes reports whether an operation is served by a route: the route may take more, by a * at its end.
func Describes(op openapi.Operation, route gin.RouteInfo) bool {
	if op.Method != route.Method {
		return false
	}
	have, want := strings.Split(route.Path, "/"), strings.Split(op.Path, "/")
	for i, part := range have {
		switch {
		case strings.HasPrefix(part, "*"):
			return len(want) > i
		case i >= len(want) || strings.HasPrefix(part, ":") != strings.HasPrefix(want[i], "{"):
			return false
		case !strings.HasPrefix(part, ":") && part != want[i]:
			return false
		}
	}
	return len(have) == len(want)
}
