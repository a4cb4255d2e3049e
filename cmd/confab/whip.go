package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"

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

// whipTokens reads the token that the socket takes in its first message.
type whipTokens struct{ verifier signaling.Verifier }

// Authorize implements whip.Tokens.
func (t whipTokens) Authorize(r *http.Request, room wire.RoomID) (whip.Caller, error) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") || token == "" { // RFC 9110 section 11.1
		return whip.Caller{}, wire.Errorf(wire.CodeUnauthorized, "the request needs a token, as Authorization: Bearer")
	}
	claims, err := t.verifier.Verify(r.Context(), strings.TrimSpace(token))
	if err != nil {
		return whip.Caller{}, err
	}
	if !claims.Allows(room) {
		return whip.Caller{}, wire.Errorf(wire.CodeForbidden, "this token is not for this room")
	}
	return whip.Caller{User: claims.User, Name: claims.Name, Role: claims.Role, Grants: claims.Grants}, nil
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
		s.change(func() { s.grants = grants })
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

// A whipSeat is a publisher as a participant. It is the room's outlet to a client that hears nothing: of all that is
// said in the room only what is said to the publisher itself counts.
type whipSeat struct {
	// Set by Enter, then constant.
	rooms   *whipRooms
	member  *rooms.Member
	id      wire.ParticipantID
	gone    chan struct{} // closed by Removed
	publish chan []wire.Source

	mu      sync.Mutex
	grants  wire.Grants   // guarded by mu
	sends   wire.Media    // guarded by mu; as the publisher has said
	muted   []wire.Source // guarded by mu
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
	for _, set := range []struct{ to, field *bool }{
		{msg.Microphone, &s.sends.Microphone}, {msg.Camera, &s.sends.Camera}, {msg.Screen, &s.sends.Screen},
	} {
		if set.to != nil {
			*set.field = *set.to
		}
	}
	s.mu.Unlock()
	s.member.SetMedia(msg, func(wire.ServerMessage, error) {}) // refused is what a grant taken away meanwhile refuses anyway
}

// Send implements rooms.Outlet.
func (s *whipSeat) Send(frame []byte, _ string) {
	if !bytes.Contains(frame, []byte(s.id)) || !bytes.Contains(frame, []byte(wire.KindMediaState)) {
		return
	}
	wire.Lines(frame, func(line []byte) bool {
		var state struct {
			Type wire.Kind          `json:"type"`
			From wire.ParticipantID `json:"from"`
			Data wire.Media         `json:"data"`
		}
		if json.Unmarshal(line, &state) == nil && state.Type == wire.KindMediaState && state.From == s.id {
			s.follow(state.Data)
		}
		return true
	})
}

// follow mutes what the room says is off and the publisher has said is on, as a browser does at a moderator's word.
func (s *whipSeat) follow(m wire.Media) {
	s.change(func() {
		for _, c := range []struct {
			sends   *bool
			on      bool
			sources []wire.Source
		}{
			{&s.sends.Microphone, m.Microphone, []wire.Source{wire.Microphone}},
			{&s.sends.Camera, m.Camera, []wire.Source{wire.Camera}},
			{&s.sends.Screen, m.Screen, []wire.Source{wire.Screen, wire.ScreenAudio}},
		} {
			if *c.sends && !c.on {
				*c.sends = false
				s.muted = append(s.muted, c.sources...)
			}
		}
	})
}

// change changes what the publisher may send and passes the outcome on. It never blocks.
func (s *whipSeat) change(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
	may := slices.DeleteFunc(slices.Clone(s.grants.Publish), func(source wire.Source) bool { return slices.Contains(s.muted, source) })
	select {
	case <-s.publish:
	default:
	}
	s.publish <- may
}

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
