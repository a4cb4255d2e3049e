package forwardbench

import (
	"sync/atomic"
	"time"

	"confab/signaling/wire"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// A stream is one track that a client of the load publishes.
type stream struct {
	index     uint32
	video     bool
	track     *webrtc.TrackLocalStaticRTP
	sent      atomic.Uint32 // packets so far; the next one's number
	keyWanted atomic.Bool

	// Owned by its pacer.
	packet  rtp.Packet
	picture uint16
}

func newStream(l *Load, source wire.Source, participant string) (*stream, error) {
	s := &stream{index: uint32(l.streamCount), video: source == wire.Camera}
	l.streamCount++
	mime, size := webrtc.MimeTypeOpus, audioPayload
	if s.video {
		mime, size = webrtc.MimeTypeVP8, videoPayload
	}
	track, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, string(source), participant)
	if err != nil {
		return nil, err
	}
	s.track, s.packet = track, rtp.Packet{Header: rtp.Header{Version: 2}, Payload: make([]byte, size)}
	s.keyWanted.Store(true)
	return s, nil
}

// run sends until stop is closed, and returns how far it was behind its schedule at worst.
func (s *stream) run(stop <-chan struct{}, shape Shape) (late time.Duration) {
	packets, gap := 1, time.Second/audioRate
	if s.video {
		packets, gap = shape.step()
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for due := time.Now(); ; due = due.Add(gap) {
		wait := time.Until(due)
		late = max(late, -wait)
		timer.Reset(wait)
		select {
		case <-stop:
			return late
		case <-timer.C:
		}
		for range packets {
			s.send()
		}
	}
}

// send writes the next packet. One that cannot be written is lost, and counted as such.
func (s *stream) send() {
	number := s.sent.Load()
	if s.video {
		first := number%framePackets == 0
		if first {
			s.picture++
			s.packet.Timestamp += videoClock * framePackets / videoRate
		}
		s.packet.Marker = number%framePackets == framePackets-1
		putVP8(s.packet.Payload, s.picture, first, first && s.keyWanted.Swap(false))
	} else {
		s.packet.Timestamp += audioClock / audioRate
	}
	s.packet.SequenceNumber = uint16(number)
	stamp{sent: time.Now().UnixNano(), number: number, stream: s.index}.put(s.packet.Payload)
	_ = s.track.WriteRTP(&s.packet)
	s.sent.Store(number + 1)
}
