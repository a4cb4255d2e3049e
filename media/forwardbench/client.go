package forwardbench

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"confab/signaling/wire"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// A client is one participant: a PeerConnection with pion's default interceptors.
type client struct {
	load    *Load
	who     participant
	pc      *webrtc.PeerConnection
	readers sync.WaitGroup
	streams []*stream // what it publishes

	answered atomic.Int64 // Unix time in nanoseconds of its first answer, 0 = none yet
	first    atomic.Int64 // nanoseconds from then to the first packet, 0 = none yet

	mu     sync.Mutex
	closed bool       // guarded by mu: no more tracks are read
	seen   []arrivals // guarded by mu; by stream
}

// arrivals are the packets of one stream that one client has got, by their numbers.
type arrivals struct {
	bits []uint64
}

// add notes a packet and reports whether it is the first of its number.
func (a *arrivals) add(number uint32) bool {
	for int(number/64) >= len(a.bits) {
		a.bits = append(a.bits, make([]uint64, 64)...)
	}
	bit := uint64(1) << (number % 64)
	had := a.bits[number/64]&bit != 0
	a.bits[number/64] |= bit
	return !had
}

// count returns how many of the numbers from from up to but not including to have come.
func (a *arrivals) count(from, to uint32) int {
	n := 0
	for number := from; number < to && int(number/64) < len(a.bits); number++ {
		if a.bits[number/64]>>(number%64)&1 != 0 {
			n++
		}
	}
	return n
}

func newClient(l *Load, room, number int) (*client, error) {
	c := &client{load: l, who: participant{wire.RoomID("room-" + strconv.Itoa(room)), wire.ParticipantID("p-" + strconv.Itoa(number))}}
	media, registry := &webrtc.MediaEngine{}, &interceptor.Registry{}
	if err := media.RegisterDefaultCodecs(); err != nil {
		return nil, err
	}
	if err := webrtc.ConfigureTWCCHeaderExtensionSender(media, registry); err != nil {
		return nil, err
	}
	if err := webrtc.RegisterDefaultInterceptors(media, registry); err != nil {
		return nil, err
	}
	api := webrtc.NewAPI(webrtc.WithSettingEngine(loopbackSettings()), webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry))
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	c.pc = pc
	pc.OnTrack(c.receive)
	return c, nil
}

// publish negotiates what the client sends; it begins to flow when the load starts its pacers.
func (c *client) publish(ctx context.Context) error {
	kinds := []wire.Source{wire.Microphone}
	if c.load.shape.Video {
		kinds = []wire.Source{wire.Camera, wire.Microphone}
	}
	for _, source := range kinds {
		s, err := newStream(c.load, source, string(c.who.id))
		if err != nil {
			return err
		}
		transceiver, err := c.pc.AddTransceiverFromTrack(s.track, sendOnly)
		if err != nil {
			return err
		}
		c.readers.Go(func() { s.watch(transceiver.Sender()) })
		c.streams = append(c.streams, s)
	}
	offer, err := c.pc.CreateOffer(nil)
	if err != nil {
		return err
	}
	described, err := describe(c.pc, offer)
	if err != nil {
		return err
	}
	described.Labels = map[string]wire.TrackLabel{}
	for i, transceiver := range c.pc.GetTransceivers() {
		described.Labels[transceiver.Mid()] = wire.TrackLabel{Participant: c.who.id, Source: kinds[i]}
	}
	var answer message
	if err := c.load.remote.post(ctx, "/publish?"+c.who.query(), described, &answer); err != nil {
		return err
	}
	return c.take(webrtc.SDPTypeAnswer, answer)
}

func (c *client) take(kind webrtc.SDPType, m message) error {
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: kind, SDP: m.SDP}); err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	for _, candidate := range m.Candidates {
		if err := c.pc.AddICECandidate(candidate); err != nil {
			return err
		}
	}
	return nil
}

// subscribe answers offers until one brings all tracks.
func (c *client) subscribe(ctx context.Context) error {
	tracks := len(c.others())
	for {
		var offer message
		path := "/offer?" + c.who.query() + "&tracks=" + strconv.Itoa(tracks)
		if err := c.load.remote.post(ctx, path, struct{}{}, &offer); err != nil {
			return err
		}
		if err := c.take(webrtc.SDPTypeOffer, offer); err != nil {
			return err
		}
		answer, err := c.pc.CreateAnswer(nil)
		if err != nil {
			return err
		}
		described, err := describe(c.pc, answer)
		if err != nil {
			return err
		}
		c.answered.CompareAndSwap(0, time.Now().UnixNano())
		if err := c.load.remote.post(ctx, "/answer?"+c.who.query(), described, nil); err != nil {
			return err
		}
		if len(offer.Labels) >= tracks { // they name what the server sends
			return nil
		}
	}
}

// receive reads a track until it ends.
func (c *client) receive(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return
	}
	c.readers.Go(func() { drain(receiver.ReadRTCP) })
	c.readers.Go(func() {
		var header rtp.Header
		for buf := make([]byte, 1500); ; {
			n, _, err := track.Read(buf)
			if err != nil {
				return
			}
			now := time.Now()
			if at, err := header.Unmarshal(buf[:n]); err == nil {
				c.count(buf[at:n], now)
			}
		}
	})
}

// count notes one packet.
func (c *client) count(payload []byte, now time.Time) {
	s, ok := readStamp(payload)
	if !ok || int(s.stream) >= c.load.streamCount {
		return
	}
	if answered := c.answered.Load(); answered != 0 && c.first.Load() == 0 {
		c.first.CompareAndSwap(0, max(now.UnixNano()-answered, 1))
	}
	c.mu.Lock()
	for int(s.stream) >= len(c.seen) {
		c.seen = append(c.seen, arrivals{})
	}
	fresh := c.seen[s.stream].add(s.number)
	c.mu.Unlock()
	if !fresh {
		c.load.repeated.Add(1)
		return
	}
	c.load.received.Add(1)
	if note := c.load.latency.Load(); note != nil {
		(*note)(time.Duration(now.UnixNano() - s.sent))
	}
}

// got returns how many packets of a stream have come, of these numbers.
func (c *client) got(stream, from, to uint32) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if int(stream) >= len(c.seen) {
		return 0
	}
	return c.seen[stream].count(from, to)
}

// others are the streams that the client is to receive.
func (c *client) others() []*stream {
	return slices.DeleteFunc(slices.Clone(c.load.rooms[c.who.room]), func(s *stream) bool { return slices.Contains(c.streams, s) })
}

func (c *client) close() error {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	err := c.pc.GracefulClose()
	c.readers.Wait()
	return err
}

// watch has the next frame be a key frame when one is asked for.
func (s *stream) watch(sender *webrtc.RTPSender) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			if _, ok := p.(*rtcp.PictureLossIndication); ok {
				s.keyWanted.Store(true)
			}
		}
	}
}
