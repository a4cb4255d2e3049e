package rtctest

import (
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"confab/signaling/wire"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// pace is the time between two packets of a source.
const pace = 20 * time.Millisecond

// ParticipantOptions are what a Participant needs besides its signals.
type ParticipantOptions struct {
	Options
	ID      wire.ParticipantID
	Publish []wire.Source // Opus and VP8, a packet every 20 ms
	// Outgoing changes each packet before it is encrypted, unless it is nil; Interceptors do not count then. It is called by
	// the goroutines that send.
	Outgoing func(header *rtp.Header, payload []byte) []byte
	Prepare  func(*webrtc.PeerConnection) error // adds more to the connection before the first offer; nil = nothing
	Send     func(wire.Signal) error            // brings a signal to the server
	Fail     func(error)                        // what goes wrong, but on a closed connection
}

// A Participant is a client in a call: it publishes, takes all that others publish, and counts it. What it sends is
// numbered and bears the time, so that loss and delay can be seen at the other end by the same clock.
type Participant struct {
	*Negotiator

	PC       *webrtc.PeerConnection
	opts     ParticipantOptions
	stop     chan struct{}  // ends the publishing
	working  sync.WaitGroup // what publishes and what reads
	keysSeen atomic.Int32   // key frames asked for

	mu     sync.Mutex
	closed bool                           // guarded by mu: no more tracks are read
	got    map[wire.TrackLabel]*reception // guarded by mu
}

// A Reception is what has come of one track.
type Reception struct {
	Packets int           // each counted once
	Missing int           // numbers between the first and the last that have not come
	Slowest time.Duration // from the sender to here; of who has just joined it may be a kept key frame's
}

type reception struct {
	Reception
	seen        map[uint32]bool
	first, last uint32
}

// NewParticipant makes a client and has it offer what it publishes; with nothing to publish, what it would take.
func NewParticipant(opts ParticipantOptions) (*Participant, error) {
	p := &Participant{opts: opts, stop: make(chan struct{}), got: map[wire.TrackLabel]*reception{}}
	if opts.Outgoing != nil {
		if err := opts.mangle(); err != nil {
			return nil, err
		}
	}
	pc, err := New(opts.Options)
	if err != nil {
		return nil, err
	}
	p.PC = pc
	pc.OnTrack(p.read)
	p.Negotiator = NewNegotiator(pc, opts.ID, opts.Send, func(err error) {
		if pc.SignalingState() != webrtc.SignalingStateClosed {
			opts.Fail(err)
		}
	})
	for _, source := range opts.Publish {
		if err := p.publish(source); err != nil {
			return nil, errors.Join(err, p.Close())
		}
	}
	if opts.Prepare != nil {
		if err := opts.Prepare(pc); err != nil {
			return nil, errors.Join(err, p.Close())
		}
	}
	if len(pc.GetTransceivers()) == 0 {
		if _, err := pc.AddTransceiverFromKind(webrtc.RTPCodecTypeAudio, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly}); err != nil {
			return nil, errors.Join(err, p.Close())
		}
	}
	p.Do(func() { p.Offer(nil) })
	return p, nil
}

// mangle has Outgoing called nearest to the wire, below pion's default interceptors.
func (o *ParticipantOptions) mangle() error {
	if o.Media == nil {
		o.Media = &webrtc.MediaEngine{}
		if err := o.Media.RegisterDefaultCodecs(); err != nil {
			return err
		}
	}
	o.Interceptors = &interceptor.Registry{}
	o.Interceptors.Add(&outgoing{change: o.Outgoing})
	return webrtc.RegisterDefaultInterceptors(o.Media, o.Interceptors)
}

// outgoing is the interceptor of ParticipantOptions.Outgoing.
type outgoing struct {
	interceptor.NoOp
	change func(*rtp.Header, []byte) []byte
}

// NewInterceptor implements interceptor.Factory.
func (o *outgoing) NewInterceptor(string) (interceptor.Interceptor, error) { return o, nil }

// BindLocalStream implements interceptor.Interceptor.
func (o *outgoing) BindLocalStream(_ *interceptor.StreamInfo, w interceptor.RTPWriter) interceptor.RTPWriter {
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		changed := h.Clone()
		return w.Write(&changed, o.change(&changed, payload), a)
	})
}

func (p *Participant) publish(source wire.Source) error {
	codec := webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}
	video := source == wire.Camera || source == wire.Screen
	if video {
		codec = webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8, ClockRate: 90000}
	}
	track, err := webrtc.NewTrackLocalStaticRTP(codec, string(source), string(p.opts.ID))
	if err != nil {
		return err
	}
	tr, err := p.PC.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		return err
	}
	wanted := &atomic.Bool{}
	wanted.Store(true)
	p.working.Go(func() { p.watch(tr.Sender(), wanted) })
	p.working.Go(func() { p.send(track, video, wanted) })
	return nil
}

// watch notes which key frames are asked for.
func (p *Participant) watch(sender *webrtc.RTPSender, wanted *atomic.Bool) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, packet := range packets {
			if _, ok := packet.(*rtcp.PictureLossIndication); ok {
				p.keysSeen.Add(1)
				wanted.Store(true)
			}
		}
	}
}

// KeysAsked is how many key frames the server has asked for.
func (p *Participant) KeysAsked() int { return int(p.keysSeen.Load()) }

func (p *Participant) send(track *webrtc.TrackLocalStaticRTP, video bool, wanted *atomic.Bool) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	step := uint32(960)
	if video {
		step = 1800
	}
	packet := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: 65000, Marker: video}}
	for number := uint32(0); ; number++ {
		select {
		case <-p.stop:
			return
		case <-tick.C:
		}
		packet.Payload = Payload(video, wanted.Swap(false), number)
		_ = track.WriteRTP(&packet) // lost, as on any network
		packet.SequenceNumber++
		packet.Timestamp += step
	}
}

// stampSize is what a payload ends with: its number, and when it was sent, in nanoseconds since 1970.
const (
	stampSize = 12
	videoSize = 1100 // bytes before it
)

// Payload is what a Participant sends as packet number of a source: a VP8 frame of one packet with a picture id (RFC 7741
// section 4.2), or so many bytes of sound.
func Payload(video, key bool, number uint32) []byte {
	b := make([]byte, 60, 60+stampSize)
	if video {
		b = append(make([]byte, 0, videoSize+stampSize), 0x90, 0x80, 0x80|byte(number>>8)&0x7f, byte(number), 0x01)
		if key {
			b[4] = 0x00
			b = append(b, 0, 0, 0x9d, 0x01, 0x2a, 0x80, 0x02, 0xe0, 0x01) // 640 x 480 (RFC 6386 section 9.1)
		}
		b = b[:videoSize]
	}
	b = binary.BigEndian.AppendUint32(b, number)
	return binary.BigEndian.AppendUint64(b, uint64(time.Now().UnixNano()))
}

// read counts what comes of one track, under the label it has when its first packet comes.
func (p *Participant) read(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	mid := receiver.RTPTransceiver().Mid()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.working.Go(func() {
		for {
			if _, _, err := receiver.ReadRTCP(); err != nil {
				return
			}
		}
	})
	p.working.Go(func() {
		for {
			packet, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			p.count(p.Theirs()[mid], packet.Payload, time.Now())
		}
	})
}

func (p *Participant) count(label wire.TrackLabel, payload []byte, now time.Time) {
	if len(payload) < stampSize {
		return // padding
	}
	stamp := payload[len(payload)-stampSize:]
	number, sent := binary.BigEndian.Uint32(stamp), time.Unix(0, int64(binary.BigEndian.Uint64(stamp[4:])))
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.got[label]
	if r == nil {
		r = &reception{seen: map[uint32]bool{}, first: number, last: number}
		p.got[label] = r
	}
	if r.seen[number] {
		return
	}
	r.seen[number] = true
	r.Packets++
	r.Slowest = max(r.Slowest, now.Sub(sent))
	r.first, r.last = min(r.first, number), max(r.last, number)
}

// Got returns what has come of a track since the last Reset.
func (p *Participant) Got(from wire.ParticipantID, source wire.Source) Reception {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.got[wire.TrackLabel{Participant: from, Source: source}]
	if r == nil {
		return Reception{}
	}
	found := r.Reception
	found.Missing = int(r.last-r.first) + 1 - r.Packets
	return found
}

// Reset forgets what has come.
func (p *Participant) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.got)
}

// Close ends the participant and waits for all it has started. It may be called more than once. The error is pion's.
func (p *Participant) Close() error {
	p.mu.Lock()
	closed := p.closed
	p.closed = true
	p.mu.Unlock()
	if closed {
		return nil
	}
	close(p.stop)
	p.Negotiator.Close()
	err := p.PC.GracefulClose()
	p.working.Wait()
	return err
}
