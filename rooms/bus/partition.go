package bus

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// A partition with open timelines is compared with its stream each time that a connection was lost, and every
// verifyEvery: an operator may have replaced the stream under us.
const (
	verifyEvery = 30 * time.Second
	verifyRetry = 200 * time.Millisecond // a failed verification is not repeated before
)

// A partition is one stream of the log and the epoch its sequences belong to.
type partition struct {
	// Set by openStreams, then constant.
	bus    *Bus
	js     jetstream.JetStream
	name   string
	number int

	bytes atomic.Uint64 // that the stream held when it was last asked for

	last atomic.Uint64 // the highest sequence that was seen, by whatever way; it only grows within an epoch

	// Set by open, then owned by the shard's goroutine.
	heard uint64 // the newest record that was confirmed; of use only where nobody else writes

	mu sync.Mutex // held while the stream is verified, so that one verification serves all who wait
	// Guarded by mu.
	links       uint64 // Bus.links at the last verification
	verifiedAt  time.Time
	failure     error // of the last verification
	failedLinks uint64
	failedAt    time.Time

	epoch atomic.Pointer[string]
}

// currentEpoch is the epoch as of the last verification.
func (p *partition) currentEpoch() string { return *p.epoch.Load() }

// saw notes that seq exists.
func (p *partition) saw(seq uint64) {
	for {
		last := p.last.Load()
		if seq <= last || p.last.CompareAndSwap(last, seq) {
			return
		}
	}
}

// open makes or checks the stream at the start and settles its epoch.
func (p *partition) open(ctx context.Context) error {
	info, created, err := p.bus.ensure(ctx, p.js, p.bus.roomsConfig(p.number))
	if err != nil {
		return err
	}
	p.bytes.Store(info.State.Bytes)
	epoch, last := info.Config.Metadata[epochKey], info.State.LastSeq
	saved := p.bus.saved
	before, marked := saved.found.Streams[p.name]
	same := marked && before.Epoch == epoch
	embedded := p.bus.server != nil
	why := ""
	switch {
	case embedded && marked && before.Last > 0 && last == 0:
		return fmt.Errorf("bus: stream %s held records up to %d and is empty now: the store below %s is damaged or was removed; restore it from a backup, or remove %s to begin with what is left",
			p.name, before.Last, p.bus.opts.DataDir, saved.path)
	case created: // its epoch is new already
	case epoch == "":
		why = "the stream has no epoch"
	case same && last < before.Last:
		why = fmt.Sprintf("its last sequence went back from %d to %d: records were lost", before.Last, last)
	case embedded && saved.doubtful():
		why = "the last run was not stopped in good order, and the machine was started since (or nothing is known of it)"
	}
	if why != "" {
		if epoch, err = p.renew(ctx, why); err != nil {
			return err
		}
	}
	p.adopt(epoch, last)
	p.heard = last
	p.verifiedAt = time.Now()
	return nil
}

// renew gives the stream a new epoch in its metadata, so that every node sees it: the one change ever made to
// an existing stream.
func (p *partition) renew(ctx context.Context, why string) (string, error) {
	stream, err := p.js.Stream(ctx, p.name)
	if err != nil {
		return "", fmt.Errorf("bus: stream %s: %w", p.name, err)
	}
	config := stream.CachedInfo().Config
	config.Metadata = maps.Clone(config.Metadata)
	if config.Metadata == nil {
		config.Metadata = map[string]string{}
	}
	config.Metadata[epochKey] = newEpoch()
	stream, err = p.js.UpdateStream(ctx, config)
	if err != nil {
		return "", fmt.Errorf("bus: stream %s: giving it a new epoch: %w", p.name, err)
	}
	p.bus.log.Warn("sequences of a partition may have been reused: it has a new epoch, clients take their window anew",
		"stream", p.name, "why", why)
	return stream.CachedInfo().Config.Metadata[epochKey], nil
}

// adopt takes what a verification found.
func (p *partition) adopt(epoch string, last uint64) {
	if old := p.epoch.Load(); old == nil || *old != epoch {
		p.last.Store(last)
		p.epoch.Store(&epoch)
	} else {
		p.saw(last)
	}
}

// verified makes sure that the epoch is the stream's: it asks when a connection was lost since the last time, or
// after verifyEvery. A stream that is gone is made anew, one whose last sequence went back gets a new epoch.
func (p *partition) verified(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	links := p.bus.links.Load()
	if p.failure != nil && p.failedLinks == links && time.Since(p.failedAt) < verifyRetry {
		return p.failure // many wait here: the answer would be the same
	}
	if p.failure == nil && p.links == links && time.Since(p.verifiedAt) < verifyEvery {
		return nil
	}
	err := p.verify(ctx, links)
	if err != nil && (p.failure == nil || p.failure.Error() != err.Error()) && p.bus.lifetime.Err() == nil {
		p.bus.log.Warn("a stream cannot be verified; its timelines wait", "stream", p.name, "err", err)
	}
	p.failure, p.failedLinks, p.failedAt = err, links, time.Now()
	return err
}

// verify asks for the stream. mu is held.
func (p *partition) verify(ctx context.Context, links uint64) error {
	// Seen before the question: the answer can only be higher.
	seen, known := p.last.Load(), p.currentEpoch()
	ctx, cancel := p.bus.whileLinked(ctx)
	defer cancel()
	info, _, err := p.bus.ensure(ctx, p.js, p.bus.roomsConfig(p.number))
	if ctx.Err() != nil {
		return fmt.Errorf("bus: asking for stream %s: %w", p.name, context.Cause(ctx))
	}
	if err != nil {
		return err
	}
	p.bytes.Store(info.State.Bytes)
	epoch, last := info.Config.Metadata[epochKey], info.State.LastSeq
	if epoch == known && last < seen {
		if epoch, err = p.renew(ctx, fmt.Sprintf("its last sequence went back from %d to %d: records were lost", seen, last)); err != nil {
			return err
		}
	}
	p.adopt(epoch, last)
	if epoch != known {
		p.bus.checkAll() // the timelines of this partition must begin anew
	}
	p.links, p.verifiedAt = links, time.Now()
	return nil
}

// marks is the checkpoint of all partitions.
func (b *Bus) marks() map[string]mark {
	marks := make(map[string]mark, partitions)
	for _, p := range b.parts {
		marks[p.name] = mark{Epoch: p.currentEpoch(), Last: p.last.Load()}
	}
	return marks
}
