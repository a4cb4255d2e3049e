package forwardbench

import "time"

// A Shape is how many people publish and receive what.
type Shape struct {
	Rooms      int
	Publishers int  // in each room; they receive each other
	Viewers    int  // in each room; they only receive
	Video      bool // publishers send video and audio; else audio only
	Burst      bool // all packets of a frame leave together; else they are evenly spaced
}

// Participants is how many people a Shape has in all.
func (s Shape) Participants() int { return s.Rooms * (s.Publishers + s.Viewers) }

// What one publisher sends. With the header, a video packet is 1.2 kB.
const (
	videoRate    = 250 // packets a second
	framePackets = 10
	videoPayload = 1188 // bytes
	audioRate    = 50
	audioPayload = 80
)

const (
	videoClock = 90000 // RFC 3551 section 5
	audioClock = 48000 // RFC 7587 section 4.1
)

// step is one thing that a pacer does: so many packets, then wait.
func (s Shape) step() (packets int, gap time.Duration) {
	if s.Burst {
		return framePackets, framePackets * time.Second / videoRate
	}
	return 1, time.Second / videoRate
}
