package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"confab/media"
	"confab/media/whip"
	"confab/rooms"
	"confab/signaling"
	"confab/signaling/wire"
)

// openGateway makes the handler of WHIP and WHEP, nil when there is no SFU.
func (m sfu) openGateway(verifier signaling.Verifier, ice func(wire.ParticipantID) wire.ICEServers, log *slog.Logger) *whip.Handler {
	if m.server == nil {
		return nil
	}
	return whip.New(whip.Options{
		Media: m.server, Tokens: whipTokens{verifier}, Rooms: m.gateway, Log: log,
		ICEServers: func(id wire.ParticipantID) []wire.ICEServer { return ice(id).ICEServers },
	})
}

// gatewayRoutes mounts WHIP and WHEP, if there is an SFU.
func gatewayRoutes(router gin.IRouter, gateway *whip.Handler) {
	if gateway == nil {
		return
	}
	for _, path := range []string{"/whip/*path", "/whep/*path"} {
		router.Any(path, gin.WrapH(gateway))
	}
}

// registerGateway adds the counters of WHIP and WHEP to the metrics of the process.
func registerGateway(metrics prometheus.Registerer, gateway *whip.Handler) error {
	if gateway == nil {
		return nil
	}
	var all []prometheus.Collector
	for _, protocol := range whip.Protocols {
		all = append(all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "confab_whip_open_sessions", Help: "Publishers (WHIP) and players (WHEP) at present.", ConstLabels: prometheus.Labels{"protocol": protocol},
		}, func() float64 { return float64(gateway.Open(protocol)) }))
		for _, outcome := range whip.Outcomes {
			all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{
				Name: "confab_whip_sessions_total", Help: "Sessions of WHIP and WHEP: refused, begun, and how they ended.",
				ConstLabels: prometheus.Labels{"protocol": protocol, "outcome": string(outcome)},
			}, func() float64 { return float64(gateway.Counted(whip.Count{Protocol: protocol, Outcome: outcome})) }))
		}
	}
	for _, c := range all {
		if err := metrics.Register(c); err != nil {
			return fmt.Errorf("registering the metrics of WHIP: %w", err)
		}
	}
	return nil
}

// whipTokens reads the token that the socket takes in its first message.
type whipTokens struct{ verifier signaling.Verifier }

// Authorize implements whip.Tokens.
func (t whipTokens) Authorize(r *http.Request, room wire.RoomID) (whip.Caller, error) {
	claims, err := claimsFor(r, t.verifier, room)
	if err != nil {
		return whip.Caller{}, err
	}
	return whip.Caller{User: claims.User, Name: claims.Name, Role: claims.Role, Grants: claims.Grants, Expires: claims.ExpiresAt}, nil
}

// whipRooms seats publishers and players in the rooms.
type whipRooms struct {
	registry func() *rooms.Registry // it exists before anybody comes

	mu    sync.Mutex
	seats map[wire.ParticipantID]*whipSeat // guarded by mu
}

func newWHIPRooms(registry func() *rooms.Registry) *whipRooms {
	return &whipRooms{registry: registry, seats: map[wire.ParticipantID]*whipSeat{}}
}

// Enter implements whip.Rooms. The publisher takes nobody's place and becomes nobody's moderator.
func (w *whipRooms) Enter(ctx context.Context, caller whip.Caller, room wire.RoomID) (whip.Seat, error) {
	s := &whipSeat{
		rooms: w, id: newParticipant(""), gone: make(chan struct{}), publish: make(chan []wire.Source, 1), grants: caller.Grants,
	}
	w.mu.Lock()
	w.seats[s.id] = s
	w.mu.Unlock()
	answered := make(chan error, 1)
	s.member = w.registry().Join(rooms.Identity{
		Participant: s.id, User: caller.User, Name: caller.Name, Kind: wire.Ingress, Role: caller.Role, Grants: caller.Grants,
	}, room, "", wire.Join{}, s, func(_ wire.ServerMessage, err error) { answered <- err })
	if err := await(ctx, answered); err != nil {
		s.Leave()
		return nil, err
	}
	return s, nil
}

// Watch implements whip.Rooms.
func (w *whipRooms) Watch(ctx context.Context, caller whip.Caller, room wire.RoomID, participant wire.ParticipantID) (whip.Place, error) {
	answered := make(chan error, 1)
	watch := w.registry().Watch(rooms.Identity{User: caller.User, Name: caller.Name, Role: caller.Role, Grants: caller.Grants}, room, participant,
		func(_ wire.ServerMessage, err error) { answered <- err })
	if err := await(ctx, answered); err != nil {
		watch.Leave()
		return nil, err
	}
	return whipPlace{watch, newParticipant("viewer-")}, nil
}

// SetGrants says what a participant may do from now on, if it is one of these publishers.
func (w *whipRooms) SetGrants(of wire.ParticipantID, grants wire.Grants) {
	w.mu.Lock()
	s := w.seats[of]
	w.mu.Unlock()
	if s != nil {
		s.may(grants)
	}
}

func newParticipant(prefix string) wire.ParticipantID {
	return wire.ParticipantID(prefix + strings.ToLower(rand.Text()))
}

// await waits for a room's answer.
func await(ctx context.Context, answered <-chan error) error {
	select {
	case err := <-answered:
		return err
	case <-ctx.Done():
		return &wire.Error{Code: wire.CodeTimeout, Text: "the room is busy; try again", Err: context.Cause(ctx)}
	}
}

// A whipPlace is a viewer's hold on a room.
type whipPlace struct {
	*rooms.Watch
	id wire.ParticipantID
}

// ID implements whip.Place.
func (p whipPlace) ID() wire.ParticipantID { return p.id }

// A whipSeat is a publisher as a participant. It is the room's outlet to a client that hears nothing: of all that the
// room says only what the publisher may send counts.
type whipSeat struct {
	// Set by Enter, then constant.
	rooms   *whipRooms
	member  *rooms.Member
	id      wire.ParticipantID
	gone    chan struct{} // closed by Removed
	publish chan []wire.Source

	mu      sync.Mutex
	grants  wire.Grants // guarded by mu
	removed sync.Once
}

// ID implements whip.Place.
func (s *whipSeat) ID() wire.ParticipantID { return s.id }

// Gone implements whip.Place.
func (s *whipSeat) Gone() <-chan struct{} { return s.gone }

// Publish implements whip.Seat.
func (s *whipSeat) Publish() <-chan []wire.Source { return s.publish }

// Leave implements whip.Place.
func (s *whipSeat) Leave() {
	s.rooms.mu.Lock()
	delete(s.rooms.seats, s.id)
	s.rooms.mu.Unlock()
	s.member.Leave(func(wire.ServerMessage, error) {})
}

// SetMedia implements whip.Seat.
func (s *whipSeat) SetMedia(msg wire.SetMedia) {
	s.mu.Lock()
	grants := s.grants
	s.mu.Unlock()
	no := false
	for source, sends := range map[wire.Source]**bool{wire.Microphone: &msg.Microphone, wire.Camera: &msg.Camera, wire.Screen: &msg.Screen} {
		if *sends != nil && !grants.May(source) {
			*sends = &no
		}
	}
	// The room refuses what has been taken away meanwhile; the session hears of that next, and says it again.
	s.member.SetMedia(msg, func(wire.ServerMessage, error) {})
}

// may tells what the publisher may do from now on. It never blocks.
func (s *whipSeat) may(grants wire.Grants) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grants = grants
	select {
	case <-s.publish:
	default:
	}
	s.publish <- grants.Publish
}

// Send implements rooms.Outlet.
func (s *whipSeat) Send([]byte, string) {}

// SendJoined implements rooms.Outlet.
func (s *whipSeat) SendJoined(frame []byte) { rooms.Recycle(frame) }

// Removed implements rooms.Outlet.
func (s *whipSeat) Removed(wire.RoomID, wire.RemovedReason) {
	s.removed.Do(func() { close(s.gone) })
}

// sfuWithGateway is the SFU as rooms see it when some of its peers have no socket.
type sfuWithGateway struct {
	*media.Calls
	gateway *whipRooms
}

// SetGrants implements rooms.SFU.
func (s sfuWithGateway) SetGrants(room wire.RoomID, of wire.ParticipantID, grants wire.Grants) {
	s.Calls.SetGrants(room, of, grants)
	s.gateway.SetGrants(of, grants)
}
