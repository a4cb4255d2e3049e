package main

import (
	"log/slog"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"confab/bots/agui"
	"confab/rooms"
	"confab/signaling"
	"confab/signaling/wire"
)

// openExport makes the handler that exports the bots' answers as AG-UI, nil when there are no bots.
func openExport(s *Settings, behind *parts, verifier signaling.Verifier, log *slog.Logger) (*agui.Handler, error) {
	if behind.bots.service == nil {
		return nil, nil
	}
	h := agui.New(agui.Options{
		Registry: behind.registry, Tokens: exportTokens{verifier}, Origin: signaling.NewOrigins(s.Origins).Allow, Log: log,
	})
	return h, wrap("registering the metrics of AG-UI", behind.metrics.Register(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "confab_agui_streams", Help: "Clients that follow answers of bots as AG-UI at present.",
	}, func() float64 { return float64(h.Open()) })))
}

// exportRoutes mounts it, if there is one.
func exportRoutes(router gin.IRouter, h *agui.Handler) {
	if h == nil {
		return
	}
	for _, path := range []string{"/api/v1/rooms/:room/bots/:bot/agui", "/api/v1/rooms/:room/runs/:run/agui"} {
		router.Any(path, gin.WrapH(h))
	}
}

// exportTokens reads the token that the socket takes in its first message.
type exportTokens struct{ verifier signaling.Verifier }

// Authorize implements agui.Tokens.
func (t exportTokens) Authorize(r *http.Request, room wire.RoomID) (agui.Caller, error) {
	claims, err := claimsFor(r, t.verifier, room)
	if err != nil {
		return agui.Caller{}, err
	}
	id := rooms.Identity{
		User: claims.User, Name: claims.Name, Kind: wire.Human, Role: claims.Role, Grants: claims.Grants, Guest: claims.Guest,
	}
	if claims.Kind != "" {
		id.Kind = claims.Kind
	}
	return agui.Caller{Identity: id, Expires: claims.ExpiresAt}, nil
}
