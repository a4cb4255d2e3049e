package rooms

import (
	"context"
	"time"

	"confab/signaling/wire"
)

// eraseQueue is what must still be erased from storage. One job runs at a time.
type eraseQueue struct {
	busy bool
	seqs []wire.Seq // single records
	keep wire.Seq   // everything below; 0 = nothing
}

const (
	eraseTimeout = time.Minute
	eraseRetry   = 2 * time.Second
)

// eraseLeftovers takes out of storage what the timeline no longer shows: the text of deleted messages, and
// everything below a clear. It runs after every record and after loading, so that what an earlier process left
// undone is done again; erasing twice is harmless.
func (r *Room) eraseLeftovers() {
	t := r.main
	if len(t.leftovers) == 0 && t.purgeBelow == 0 {
		return
	}
	r.erasing.seqs = append(r.erasing.seqs, t.leftovers...)
	r.erasing.keep = max(r.erasing.keep, t.purgeBelow)
	t.leftovers, t.purgeBelow = nil, 0
	r.runErase()
}

// runErase starts the next job if none runs.
func (r *Room) runErase() {
	q := &r.erasing
	if q.busy || (len(q.seqs) == 0 && q.keep == 0) {
		return
	}
	seqs, keep := q.seqs, q.keep
	q.busy, q.seqs, q.keep = true, nil, 0
	r.background(func(ctx context.Context) func() {
		err := r.eraseNow(ctx, seqs, keep)
		return func() {
			q.busy = false
			if err == nil {
				r.runErase()
				return
			}
			// What could not be erased is tried again as long as the room is open, and when it is next loaded.
			r.logger.Warn("cannot erase from the log yet", "error", err)
			q.seqs, q.keep = append(q.seqs, seqs...), max(q.keep, keep)
			r.after(eraseRetry, r.runErase)
		}
	})
}

func (r *Room) eraseNow(ctx context.Context, seqs []wire.Seq, keep wire.Seq) error {
	ctx, cancel := context.WithTimeout(ctx, eraseTimeout)
	defer cancel()
	t := Timeline{Room: r.id}
	if len(seqs) > 0 {
		if err := r.registry.log.Erase(ctx, t, seqs...); err != nil {
			return err
		}
	}
	if keep > 0 {
		return r.registry.log.Purge(ctx, t, keep)
	}
	return nil
}
