package rooms

import (
	"context"
	"time"

	"confab/signaling/wire"
)

// eraseQueue is what must still be erased from the storage of one timeline. One job of it runs at a time.
type eraseQueue struct {
	busy bool
	seqs []wire.Seq // single records
	keep wire.Seq   // everything below; 0 = nothing
}

const (
	eraseTimeout = time.Minute
	eraseRetry   = 2 * time.Second
)

// due reports whether something is still to be erased.
func (q *eraseQueue) due() bool { return q.busy || len(q.seqs) > 0 || q.keep > 0 }

// eraseLeftovers takes out of storage what a timeline no longer shows: the text of deleted messages, and
// everything below a clear. It runs after every record and after loading, so that what an earlier process left
// undone is done again; erasing twice is harmless.
func (r *Room) eraseLeftovers(t *timeline) {
	if len(t.leftovers) == 0 && t.purgeBelow == 0 {
		return
	}
	q, at := &r.erasing, Timeline{Room: r.id}
	if t.thread != nil {
		q, at.Thread = &t.thread.log.erasing, t.thread.name
	}
	q.seqs = append(q.seqs, t.leftovers...)
	q.keep = max(q.keep, t.purgeBelow)
	t.leftovers, t.purgeBelow = nil, 0
	r.runErase(q, at)
}

// runErase starts the next job if none runs.
func (r *Room) runErase(q *eraseQueue, at Timeline) {
	if q.busy || !q.due() {
		return
	}
	seqs, keep := q.seqs, q.keep
	q.busy, q.seqs, q.keep = true, nil, 0
	r.background(func(ctx context.Context) func() {
		err := r.eraseNow(ctx, at, seqs, keep)
		return func() {
			q.busy = false
			if err == nil {
				r.runErase(q, at)
				return
			}
			// What could not be erased is tried again as long as the room is open, and when it is next loaded.
			r.logger.Warn("cannot erase from the log yet", "thread", string(at.Thread), "error", err)
			q.seqs, q.keep = append(q.seqs, seqs...), max(q.keep, keep)
			r.after(eraseRetry, func() { r.runErase(q, at) })
		}
	})
}

func (r *Room) eraseNow(ctx context.Context, at Timeline, seqs []wire.Seq, keep wire.Seq) error {
	ctx, cancel := context.WithTimeout(ctx, eraseTimeout)
	defer cancel()
	if len(seqs) > 0 {
		if err := r.registry.log.Erase(ctx, at, seqs...); err != nil {
			return err
		}
	}
	if keep > 0 {
		return r.registry.log.Purge(ctx, at, keep)
	}
	return nil
}
