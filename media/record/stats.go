package record

import "sync/atomic"

// Reasons are those for which a Recorder ends recordings.
var Reasons = []Reason{Stopped, RoomEmpty, ServerDown, SizeLimit, DiskFull, TooSlow, Failed}

// stats are counters of a Recorder. Any goroutine may use them.
type stats struct {
	started, bytes atomic.Uint64
	ended          [7]atomic.Uint64 // as Reasons
}

func (s *stats) end(why Reason) {
	for i, reason := range Reasons {
		if reason == why {
			s.ended[i].Add(1)
		}
	}
}

// Stats count since the start, but for Running.
type Stats struct {
	Running int
	Started uint64
	Bytes   uint64 // written to files of recordings, known once a second
	Ended   map[Reason]uint64
}

// Stats returns what has been counted so far.
func (r *Recorder) Stats() Stats {
	r.mu.Lock()
	running := len(r.live)
	r.mu.Unlock()
	s := Stats{Running: running, Started: r.stats.started.Load(), Bytes: r.stats.bytes.Load(), Ended: map[Reason]uint64{}}
	for i, reason := range Reasons {
		s.Ended[reason] = r.stats.ended[i].Load()
	}
	return s
}
