package bus

import (
	"sync/atomic"
	"time"
)

// counts are the counters of a Bus; see Stats.
type counts struct {
	stored, failed, reads, resets, lost atomic.Uint64
}

// Stats are what a Bus finds about itself. Counters count since it was opened.
type Stats struct {
	Stored uint64 // records that were appended here and are stored
	Failed uint64 // appends that were given up, or not taken because too many waited
	Reads  uint64 // readings of a timeline from the log: its tail was not in memory, or a gap was filled
	Resets uint64 // timelines that lost their continuity, so that clients take a window anew
	Lost   uint64 // connections to NATS that broke

	Pending      int           // appends that wait for their confirmation now
	PendingBytes int           // of them
	Oldest       time.Duration // how long the one has waited that waits longest
	Timelines    int           // that are followed now

	Bytes    uint64 // that the records take on disk, as of the last look at the streams, at most half a minute ago
	Fullest  uint64 // of them, in the partition that holds the most
	MaxBytes uint64 // that a partition may hold: past it its oldest records go
}

// Stats returns the findings of this moment. It asks nothing of NATS.
func (b *Bus) Stats() Stats {
	s := Stats{
		Stored: b.counts.stored.Load(), Failed: b.counts.failed.Load(), Reads: b.counts.reads.Load(),
		Resets: b.counts.resets.Load(), Lost: b.counts.lost.Load(),
		Oldest: b.appender.oldest(), MaxBytes: uint64(b.opts.MaxBytes / partitions),
	}
	s.Pending, s.PendingBytes = b.appender.waiting()
	for _, p := range b.parts {
		held := p.bytes.Load()
		s.Bytes += held
		s.Fullest = max(s.Fullest, held)
	}
	for _, shard := range b.shards {
		shard.mu.Lock()
		s.Timelines += len(shard.followers)
		shard.mu.Unlock()
	}
	return s
}

// stored counts an append whose record is stored.
func (b *Bus) stored(p *pendingAppend) {
	b.counts.stored.Add(1)
	b.opts.Stored(time.Since(p.since))
}

// waiting is how many appends wait for their confirmation, and their bytes.
func (a *appender) waiting() (count, bytes int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.pending), a.bytes
}
