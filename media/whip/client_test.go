package whip

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"confab/media"
	"confab/media/rtctest"
	"confab/signaling/wire"

	"github.com/pion/logging"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

// eventually waits for something that other goroutines bring about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if !rtctest.Eventually(patience, ok) {
		t.Fatalf("not within %v: %s", patience, what)
	}
}

// A hall is what the handler is told of tokens and rooms: a token is a user's name, or one of a few that are not
// good; a room has whom the test puts there.
type hall struct {
	mu     sync.Mutex
	places map[*place]bool
	grants map[string]wire.Grants // by user; absent = a member's
	full   bool
	muted  []wire.Source        // what publishers may send when they come; nil = all
	ends   map[string]time.Time // when tokens expire, by user; absent = never
	there  map[wire.ParticipantID]bool
	count  int
}

type place struct {
	hall  *hall
	id    wire.ParticipantID
	room  wire.RoomID
	gone  chan struct{}
	may   chan []wire.Source
	left  bool          // guarded by hall.mu
	media wire.SetMedia // guarded by hall.mu
}

type seat struct{ *place }

func (h *hall) Authorize(r *http.Request, room wire.RoomID) (Caller, error) {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	switch {
	case !ok || token == "":
		return Caller{}, wire.Errorf(wire.CodeUnauthorized, "no token")
	case token == "expired":
		return Caller{}, wire.Errorf(wire.CodeUnauthorized, "the token has expired")
	case token == "broken":
		return Caller{}, errors.New("the keys are on fire")
	case room == "closed":
		return Caller{}, wire.Errorf(wire.CodeForbidden, "the token is not for this room")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	grants, ok := h.grants[token]
	if !ok {
		grants = wire.RoleGrants(wire.RoleMember)
	}
	return Caller{User: wire.UserID(token), Name: token, Grants: grants, Expires: h.ends[token]}, nil
}

func (h *hall) Enter(_ context.Context, caller Caller, room wire.RoomID) (Seat, error) {
	p, err := h.take(wire.ParticipantID(caller.User), room)
	if err != nil {
		return nil, err
	}
	return seat{p}, nil
}

func (h *hall) Watch(_ context.Context, _ Caller, room wire.RoomID, participant wire.ParticipantID) (Place, error) {
	h.mu.Lock()
	there := h.there[participant]
	for p := range h.places {
		there = there || p.id == participant
	}
	h.mu.Unlock()
	if !there {
		return nil, wire.Errorf(wire.CodeNotFound, "no such participant")
	}
	return h.take("viewer", room)
}

func (h *hall) take(name wire.ParticipantID, room wire.RoomID) (*place, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.full {
		return nil, wire.Errorf(wire.CodeRoomFull, "the room is full")
	}
	h.count++
	p := &place{hall: h, id: name + wire.ParticipantID("-"+string(rune('a'+h.count))), room: room, gone: make(chan struct{}), may: make(chan []wire.Source, 1)}
	if h.muted != nil {
		p.may <- h.muted
	}
	h.places[p] = true
	return p, nil
}

func (p *place) ID() wire.ParticipantID { return p.id }
func (p *place) Gone() <-chan struct{}  { return p.gone }
func (p *place) Leave() {
	p.hall.mu.Lock()
	defer p.hall.mu.Unlock()
	p.left = true
	delete(p.hall.places, p)
}

func (s seat) Publish() <-chan []wire.Source { return s.may }

func (s seat) SetMedia(m wire.SetMedia) {
	s.hall.mu.Lock()
	defer s.hall.mu.Unlock()
	s.media = m
}

// expire says when a user's token does.
func (h *hall) expire(user string, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ends[user] = at
}

// taken counts the places.
func (h *hall) taken() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.places)
}

// only returns the one place that is taken.
func (h *hall) only(t testing.TB) *place {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.places) != 1 {
		t.Fatalf("%d places are taken", len(h.places))
	}
	for p := range h.places {
		return p
	}
	return nil
}

// An endpoint is a handler behind HTTP.
type endpoint struct {
	t       testing.TB
	url     string
	hall    *hall
	handler *Handler
	media   *media.Server
}

func newEndpoint(t testing.TB, change func(*Options)) *endpoint {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	sfu, err := media.New(media.Options{Listen: netip.MustParseAddrPort("127.0.0.1:0"), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	h := &hall{places: map[*place]bool{}, grants: map[string]wire.Grants{}, ends: map[string]time.Time{}, there: map[wire.ParticipantID]bool{}}
	opts := Options{Media: sfu, Tokens: h, Rooms: h, Log: log}
	if change != nil {
		change(&opts)
	}
	e := &endpoint{t: t, hall: h, handler: New(opts), media: sfu}
	server := httptest.NewServer(e.handler)
	e.url = server.URL
	t.Cleanup(func() {
		server.Close()
		e.handler.Close()
		if err := sfu.Close(); err != nil {
			t.Error(err)
		}
		if n := h.taken(); n != 0 {
			t.Errorf("%d places were not given back", n)
		}
		if n := e.handler.Sessions(); n != 0 {
			t.Errorf("%d sessions are still counted", n)
		}
	})
	return e
}

// A reply is a response that was read.
type reply struct {
	*http.Response
	text string
}

// do makes a request with a token and pairs of headers.
func (e *endpoint) do(method, address, token, body string, headers ...string) reply {
	e.t.Helper()
	if strings.HasPrefix(address, "/") {
		address = e.url + address
	}
	req, err := http.NewRequestWithContext(e.t.Context(), method, address, strings.NewReader(body))
	if err != nil {
		e.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		e.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return reply{resp, string(text)}
}

// post offers.
func (e *endpoint) post(path, token, offer string) reply {
	e.t.Helper()
	return e.do(http.MethodPost, path, token, offer, "Content-Type", "application/sdp")
}

// patch sends a fragment.
func (e *endpoint) patch(address, token, match, fragment string) reply {
	e.t.Helper()
	return e.do(http.MethodPatch, address, token, fragment, "Content-Type", "application/trickle-ice-sdpfrag", "If-Match", match)
}

// A client is a publisher or a player with a PeerConnection of its own.
type client struct {
	t        testing.TB
	endpoint *endpoint
	token    string
	pc       *webrtc.PeerConnection
	socket   net.PacketConn
	location string
	etag     string
	answer   string

	stop  chan struct{}
	work  sync.WaitGroup
	keys  atomic.Int32 // key frames asked for
	muted atomic.Bool

	mu         sync.Mutex
	candidates []webrtc.ICECandidate
	received   map[string][]rtp.Packet // by kind
	streams    map[string]bool         // ids of the streams of the tracks
	up         int                     // times it came up
}

// newClient makes a client that has codecs, all known ones when there are none.
func (e *endpoint) newClient(token string, codecs ...webrtc.RTPCodecParameters) *client {
	e.t.Helper()
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		e.t.Fatal(err)
	}
	c := &client{
		t: e.t, endpoint: e, token: token, socket: socket, stop: make(chan struct{}),
		received: map[string][]rtp.Packet{}, streams: map[string]bool{},
	}
	settings := rtctest.Loopback()
	mux := webrtc.NewICEUDPMux(logging.NewDefaultLeveledLoggerForScope("ice", logging.LogLevelDisabled, io.Discard), socket)
	settings.SetICEUDPMux(mux)
	var engine webrtc.MediaEngine
	if len(codecs) == 0 {
		err = engine.RegisterDefaultCodecs()
	}
	for _, codec := range codecs {
		kind := webrtc.RTPCodecTypeVideo
		if strings.HasPrefix(codec.MimeType, "audio") {
			kind = webrtc.RTPCodecTypeAudio
		}
		err = errors.Join(err, engine.RegisterCodec(codec, kind))
	}
	if err != nil {
		e.t.Fatal(err)
	}
	if c.pc, err = rtctest.New(rtctest.Options{Settings: &settings, Media: &engine}); err != nil {
		e.t.Fatal(err)
	}
	c.pc.OnICECandidate(func(candidate *webrtc.ICECandidate) {
		if candidate != nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.candidates = append(c.candidates, *candidate)
		}
	})
	c.pc.OnICEConnectionStateChange(func(state webrtc.ICEConnectionState) {
		if state == webrtc.ICEConnectionStateConnected {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.up++
		}
	})
	c.pc.OnTrack(c.read)
	e.t.Cleanup(func() {
		close(c.stop)
		if err := c.pc.GracefulClose(); err != nil {
			e.t.Error(err)
		}
		c.work.Wait()
		_ = mux.Close()
		_ = socket.Close() // it may be closed already
	})
	return c
}

func (c *client) read(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
	kind := track.Kind().String()
	c.mu.Lock()
	c.streams[track.StreamID()] = true
	c.mu.Unlock()
	for {
		p, _, err := track.ReadRTP()
		if err != nil {
			return
		}
		c.mu.Lock()
		c.received[kind] = append(c.received[kind], *p)
		c.mu.Unlock()
	}
}

func (c *client) got(kind string) []rtp.Packet {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]rtp.Packet{}, c.received[kind]...)
}

// more waits for n more packets of a kind than there are.
func (c *client) more(kind string, n int) {
	c.t.Helper()
	before := len(c.got(kind))
	eventually(c.t, kind+" arrives", func() bool { return len(c.got(kind)) >= before+n })
}

// send adds a track and sends packets on it, 100 a second.
func (c *client) send(codec webrtc.RTPCodecCapability) {
	c.t.Helper()
	track, err := webrtc.NewTrackLocalStaticRTP(codec, codec.MimeType, "stream")
	if err != nil {
		c.t.Fatal(err)
	}
	tr, err := c.pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		c.t.Fatal(err)
	}
	key := &atomic.Bool{}
	key.Store(true)
	c.work.Go(func() { c.watch(tr.Sender(), key) })
	c.work.Go(func() { c.pump(track, codec.MimeType, key) })
}

// watch counts the key frames asked for.
func (c *client) watch(sender *webrtc.RTPSender, key *atomic.Bool) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			if _, ok := p.(*rtcp.PictureLossIndication); ok {
				c.keys.Add(1)
				key.Store(true)
			}
		}
	}
}

func (c *client) pump(track *webrtc.TrackLocalStaticRTP, mime string, key *atomic.Bool) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	p := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: 4711, Timestamp: 815}}
	for {
		select {
		case <-c.stop:
			return
		case <-tick.C:
		}
		if c.muted.Load() {
			continue
		}
		p.Payload = payload(mime, key.Swap(false))
		p.Marker = true
		_ = track.WriteRTP(&p) // lost, as on any network
		p.SequenceNumber++
		p.Timestamp += 900
	}
}

// payload is a frame of one packet.
func payload(mime string, key bool) []byte {
	b := make([]byte, 200)
	switch mime {
	case webrtc.MimeTypeVP8: // RFC 7741 section 4.2 and 4.3
		b[0], b[1] = 0x10, 1
		if key {
			b[1] = 0
			copy(b[4:], []byte{0x9d, 0x01, 0x2a})
		}
	case webrtc.MimeTypeH264: // RFC 6184 section 5.6: a slice, or a STAP-A of SPS and IDR
		b[0] = 0x41
		if key {
			copy(b, []byte{0x78, 0, 4, 0x67, 0x42, 0xc0, 0x1f, 0, 190, 0x65})
		}
	}
	return b
}

var (
	opus = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}
	vp8  = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}
)

// receive adds the sections of a player.
func (c *client) receive() {
	c.t.Helper()
	for _, kind := range []webrtc.RTPCodecType{webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo} {
		if _, err := c.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			c.t.Fatal(err)
		}
	}
}

// describe makes an offer, and gathers first when it shall be complete.
func (c *client) describe(complete bool) string {
	c.t.Helper()
	offer, err := c.pc.CreateOffer(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	described, err := offer, error(nil)
	if complete {
		described, err = rtctest.Gather(c.pc, offer)
	} else {
		err = c.pc.SetLocalDescription(offer)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return described.SDP
}

// begin has the session made. Nothing flows before accept.
func (c *client) begin(path string, complete bool) reply {
	c.t.Helper()
	r := c.endpoint.post(path, c.token, c.describe(complete))
	if r.StatusCode != http.StatusCreated {
		c.t.Fatalf("%s: %d %s", path, r.StatusCode, r.text)
	}
	c.location, c.etag, c.answer = r.Header.Get("Location"), r.Header.Get("ETag"), r.text
	return r
}

func (c *client) accept() {
	c.t.Helper()
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: c.answer}); err != nil {
		c.t.Fatalf("the answer: %v\n%s", err, c.answer)
	}
}

// connected waits until the connection has come up n times.
func (c *client) connected(n int) {
	c.t.Helper()
	eventually(c.t, "the connection is up", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.up >= n
	})
}

// publisher is a client that publishes sound and picture.
func (e *endpoint) publisher(token, path string) *client {
	e.t.Helper()
	c := e.newClient(token)
	c.send(opus)
	c.send(vp8)
	c.begin(path, true)
	c.accept()
	return c
}

// player is a client that plays a participant.
func (e *endpoint) player(token, path string) *client {
	e.t.Helper()
	c := e.newClient(token)
	c.receive()
	c.begin(path, true)
	c.accept()
	return c
}
