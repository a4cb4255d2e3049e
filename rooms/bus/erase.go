package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"confab/rooms"
	"confab/signaling/wire"
)

// erasePatience is of one Erase or Purge, within its ctx. A full window of 1024 records in a full block took 17 s
// on a disk where rewriting a block takes 17 ms.
const erasePatience = 5 * time.Minute

// Erase removes single records and overwrites their bytes on disk; see rooms.Log. A sequence that belongs to
// another timeline is an error, and nothing after it is erased. Each erasure rewrites one block of the
// store (up to 8 MB) and fsyncs it.
// Errors: ErrBadName, rooms.ErrUnavailable, rooms.ErrLogClosed, ctx's cause.
func (b *Bus) Erase(ctx context.Context, t rooms.Timeline, seqs ...wire.Seq) error {
	at, err := locate(t)
	if err != nil {
		return err
	}
	return b.erasing(ctx, "erasing from "+at.subject, func(ctx context.Context) error {
		for _, seq := range seqs {
			if err := b.eraseOne(ctx, at, seq, true); err != nil {
				return fmt.Errorf("sequence %d: %w", seq, err)
			}
		}
		return nil
	})
}

// Purge removes every record of t below keep, and overwrites their bytes on disk; see rooms.Log. It costs one
// erasure a record, each of which lets appends of the partition wait for the disk once. Records that the history limit had removed before are out of its reach: their bytes go when
// the store compacts their block.
// Errors: as Erase.
func (b *Bus) Purge(ctx context.Context, t rooms.Timeline, keep wire.Seq) error {
	at, err := locate(t)
	if err != nil {
		return err
	}
	if keep <= 1 {
		return nil // nothing lies below; to NATS 0 means everything
	}
	return b.erasing(ctx, "purging "+at.subject, func(ctx context.Context) error {
		if err := b.enter(ctx, b.reads); err != nil {
			return err
		}
		records, err := b.currentFrom(ctx, at, 1)
		<-b.reads
		if err != nil {
			return err
		}
		for _, record := range records {
			if record.Seq >= keep {
				break
			}
			if err := b.eraseOne(ctx, at, record.Seq, false); err != nil {
				return fmt.Errorf("sequence %d: %w", record.Seq, err)
			}
		}
		return b.purgeSubject(ctx, at, keep)
	})
}

// erasing runs do alone, again while it fails for a reason that may pass.
func (b *Bus) erasing(ctx context.Context, what string, do func(context.Context) error) error {
	if b.closing.Load() {
		return rooms.ErrLogClosed
	}
	if err := b.enter(ctx, b.erases); err != nil {
		return err
	}
	defer func() { <-b.erases }()
	err := b.persist(ctx, erasePatience, isForeign, do)
	return b.outcome(ctx, what, err, isForeign)
}

// outcome turns the last error of persist into one that rooms.Log promises.
func (b *Bus) outcome(ctx context.Context, what string, err error, final func(error) bool) error {
	switch {
	case err == nil:
		return nil
	case final(err):
		return fmt.Errorf("%s: %w", what, err)
	case ctx.Err() != nil || b.lifetime.Err() != nil:
		return fmt.Errorf("%s: %w", what, b.gone(ctx))
	}
	return fmt.Errorf("%s: %w: %w", what, rooms.ErrUnavailable, err)
}

// A foreignError: the sequence is a record of another timeline.
type foreignError struct{ subject string }

func (e *foreignError) Error() string { return "it belongs to " + e.subject }

// eraseOne overwrites and removes one record. look asks first whose it is: NATS erases by sequence alone.
func (b *Bus) eraseOne(ctx context.Context, at place, seq wire.Seq, look bool) error {
	stream := b.parts[at.partition].name
	if look {
		switch stored, err := b.leaderGet(ctx, stream, getRequest{Seq: seq}); {
		case err != nil:
			return err
		case stored == nil:
			return nil
		case stored.Subject != at.subject:
			return &foreignError{stored.Subject}
		}
	}
	body, err := json.Marshal(struct {
		Seq wire.Seq `json:"seq"`
	}{seq})
	if err != nil {
		return err
	}
	return b.command(ctx, "$JS.API.STREAM.MSG.DELETE."+stream, body, func(e *apiError) bool {
		return e.ErrCode == codeSequenceNotFound || e.ErrCode == codeNoMessage
	})
}

// purgeSubject removes what is left of a timeline below keep, which must not be 0.
func (b *Bus) purgeSubject(ctx context.Context, at place, keep wire.Seq) error {
	body, err := json.Marshal(struct {
		Filter string   `json:"filter"`
		Seq    wire.Seq `json:"seq"`
	}{at.subject, keep})
	if err != nil {
		return err
	}
	return b.command(ctx, "$JS.API.STREAM.PURGE."+b.parts[at.partition].name, body, func(*apiError) bool { return false })
}

// command asks NATS to do something and reads whether it did. Refusals that harmless accepts are no error.
func (b *Bus) command(ctx context.Context, subject string, body []byte, harmless func(*apiError) bool) error {
	msg, err := b.request(ctx, subject, body)
	if err != nil {
		return err
	}
	var answer struct {
		Error   *apiError `json:"error"`
		Success bool      `json:"success"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return fmt.Errorf("an answer that cannot be read: %w", err)
	}
	switch {
	case answer.Error != nil && harmless(answer.Error):
		return nil
	case answer.Error != nil:
		return answer.Error
	case !answer.Success:
		return fmt.Errorf("NATS did not do it and does not say why: %s", msg.Data)
	}
	return nil
}
