package bus

import (
	"context"
	"fmt"
	"slices"
	"time"

	"confab/rooms"
	"confab/signaling/wire"
)

// check compares the follower with the log and mends what is wrong. It gives the time until the next check.
// Checks of one follower never overlap.
func (f *follower) check(ctx context.Context) (time.Duration, error) {
	if !f.bus.history.IsConnected() {
		return checkRetry, nil // linkBack asks for a check at once
	}
	links := f.bus.links.Load()
	if err := f.part.verified(ctx); err != nil {
		return 0, err
	}
	f.mu.Lock()
	if f.epoch != f.part.currentEpoch() {
		f.mu.Unlock()
		return 0, f.restart(ctx, links)
	}
	if f.state == doubting && f.bus.links.Load() == links {
		f.flow()
	}
	state := f.state
	f.mu.Unlock()
	switch state {
	case broken:
		return 0, f.heal(ctx, links)
	case doubting:
		return suspectPause, nil
	}
	newest, err := f.bus.lastOf(ctx, f.at)
	if err != nil {
		return 0, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.state != flowing:
		return suspectPause, nil
	case newest <= f.last:
		f.suspect = 0
		return nextCheck(), nil
	case f.suspect > f.last: // it had its time to come
		f.state, f.suspect = broken, 0
		return 0, nil
	default:
		f.suspect = newest
		return suspectPause, nil
	}
}

// heal reads what was missed and delivers it and then what was held. When the log no longer holds all that was
// missed, the feeds are reset.
//
// It ends also when records are erased meanwhile: the read shows everything that existed when it began, so what
// was held by then needs no record before it any more.
func (f *follower) heal(ctx context.Context, links uint64) error {
	f.mu.Lock()
	if f.dropped {
		f.held, f.heldBytes, f.dropped = nil, 0, false
	}
	from, floor, resets := f.last, f.floor, f.resets
	var known wire.Seq
	if n := len(f.held); n > 0 {
		known = f.held[n-1].record.Seq
	}
	f.mu.Unlock()

	records, whole, err := f.missed(ctx, from, floor)
	if err != nil {
		return err
	}
	if !whole {
		return f.restart(ctx, links)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state != broken || f.resets != resets {
		return nil // a connection was lost meanwhile: begin again
	}
	healed := 0
	for _, record := range records {
		if record.Seq > f.last {
			record.Prev = f.last
			f.deliver(record)
			healed++
		}
	}
	f.bus.log.Debug("a gap in a timeline was filled from the log", "timeline", f.at.subject, "after", from, "records", healed)
	for i := range f.held {
		if f.held[i].record.Seq <= known {
			f.held[i].prev = min(f.held[i].prev, f.last)
		}
	}
	f.flow()
	return nil
}

// missed reads what came after from, and reports whether that is all there ever was but for records that were
// erased on purpose.
func (f *follower) missed(ctx context.Context, from, floor wire.Seq) (records []rooms.Record, whole bool, err error) {
	if err := f.bus.enter(ctx, f.bus.reads); err != nil {
		return nil, false, err
	}
	defer func() { <-f.bus.reads }()
	records, err = f.bus.currentFrom(ctx, f.at, from)
	if err != nil {
		return nil, false, err
	}
	if from > 0 && len(records) > 0 && records[0].Seq == from {
		return records, true, nil // the limits of the stream take the oldest first
	}
	if len(records) >= f.bus.opts.perTimeline() {
		return nil, false, nil
	}
	ctx, cancel := f.bus.whileLinked(ctx)
	defer cancel()
	stream, err := f.part.js.Stream(ctx, f.part.name)
	if err != nil {
		return nil, false, fmt.Errorf("asking for the first sequence of %s: %w", f.part.name, err)
	}
	return records, wire.Seq(stream.CachedInfo().State.FirstSeq) <= floor+1, nil
}

// restart gives the feeds the tail anew: the epoch changed, or the log does not hold all that was missed.
func (f *follower) restart(ctx context.Context, links uint64) error {
	if err := f.bus.enter(ctx, f.bus.reads); err != nil {
		return err
	}
	floor := wire.Seq(f.part.last.Load())
	tail, err := f.tail(ctx)
	<-f.bus.reads
	if err != nil {
		return err
	}
	f.bus.log.Info("a timeline could not be continued and was read anew", "timeline", f.at.subject, "epoch", tail.Epoch, "last", tail.Last)
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.epoch != tail.Epoch {
		floor = 0 // of the old epoch, maybe
	}
	f.resets++
	f.bus.counts.resets.Add(1)
	f.epoch, f.last, f.floor, f.suspect = tail.Epoch, tail.Last, max(floor, tail.Last), 0
	// What was held may be of the old epoch. What of it is of the new one and not in the tail is read from the log.
	f.dropped = f.dropped || len(f.held) > 0
	f.held, f.heldBytes = nil, 0
	if f.state = doubting; f.bus.links.Load() == links {
		f.flow()
	}
	for _, s := range f.feeds {
		if s.live && !s.stopped.Load() {
			s.last = tail.Last
			own := tail
			own.Records = slices.Clone(tail.Records)
			s.feed.Reset(own)
		}
	}
	return nil
}
