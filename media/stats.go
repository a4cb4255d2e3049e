package media

import (
	"confab/media/plane"
	"confab/signaling/wire"

	"github.com/pion/webrtc/v4"
)

const (
	// LayersCounted is how many sizes of a video Stats tells apart, the smallest first.
	LayersCounted = 4
	// LossyShare is the share of packets lost from which on Stats counts a client as one on a bad path.
	LossyShare = 0.05
)

// Stats are what a Server finds about itself at a moment, but for Plane, which counts since its start.
type Stats struct {
	Rooms   int                 // that have somebody in their call
	Peers   int                 // participants of all calls
	Tracks  map[wire.Source]int // that are published
	Layers  [LayersCounted]int  // videos that are sent to a receiver, by size
	Paused  int                 // videos that a receiver has chosen and is not sent: no room on its path, or it shows them nowhere
	Loss    float64             // share of packets lost lately on the way to clients, their mean; 0 to 1
	Lossy   int                 // clients that lose LossyShare or more
	Bitrate int                 // bits a second that may be sent to all clients together, as their paths are estimated
	Load    int                 // how much less is sent to spare the CPU, 0 for all
	Plane   plane.Stats         // nothing of clients that are reached by TCP or a relay
}

// Stats returns the findings of this moment. It takes the locks of all rooms, one after another.
func (s *Server) Stats() Stats {
	found := Stats{Tracks: map[wire.Source]int{}, Load: int(s.load.level.Load())}
	if s.plane != nil {
		found.Plane = s.plane.Stats()
	}
	s.mu.Lock()
	all := make([]*room, 0, len(s.rooms))
	for _, r := range s.rooms {
		all = append(all, r)
	}
	s.mu.Unlock()
	found.Rooms = len(all)
	var paths pathStats
	for _, r := range all {
		r.count(found.Tracks)
		for _, p := range r.all() {
			found.Peers++
			paths.add(p)
			for _, e := range *p.sending.Load() {
				found.video(e)
			}
		}
	}
	found.Lossy, found.Bitrate = paths.lossy, paths.bitrate
	if paths.known > 0 {
		found.Loss = paths.loss / float64(paths.known)
	}
	return found
}

// count adds what is published in a room.
func (r *room) count(tracks map[wire.Source]int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, in := range r.published {
		tracks[in.key.source]++
	}
}

// pathStats sums up the ways to clients of which something is known.
type pathStats struct {
	known, lossy, bitrate int
	loss                  float64
}

func (s *pathStats) add(p *Peer) {
	found := p.downlink.stats()
	if found.RTT == 0 {
		return
	}
	s.known++
	s.loss += found.Loss
	s.bitrate += found.Target
	if found.Loss >= LossyShare {
		s.lossy++
	}
}

// video counts what an egress was told to send.
func (s *Stats) video(e *egress) {
	feed, target := e.want.Load(), e.target.Load()
	if e.kind != webrtc.RTPCodecTypeVideo || feed == nil || !feed.live || target == nil {
		return
	}
	if target.paused || feed.sub.off {
		s.Paused++
		return
	}
	s.Layers[min(feed.in.index(*target), LayersCounted-1)]++
}
