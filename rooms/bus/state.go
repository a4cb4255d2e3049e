package bus

import (
	"context"
	"errors"
	"fmt"

	"confab/rooms"
	"confab/signaling/wire"
)

// isForeign accepts the one error of Erase that does not pass.
func isForeign(err error) bool {
	var foreign *foreignError
	return errors.As(err, &foreign)
}

// LoadState returns the small document last saved for a room, nil when none; see rooms.Log. It is read from the
// leader: what SaveState confirmed on any node is what it gives.
// Errors: ErrBadName, rooms.ErrUnavailable after 15 s, rooms.ErrLogClosed, ctx's cause.
func (b *Bus) LoadState(ctx context.Context, room wire.RoomID) ([]byte, error) {
	subject, err := b.stateOf(room)
	if err != nil {
		return nil, err
	}
	var doc []byte
	never := func(error) bool { return false }
	err = b.persist(ctx, appendPatience, never, func(ctx context.Context) error {
		stored, err := b.leaderGet(ctx, stateStream, getRequest{Last: subject})
		if err == nil && stored != nil {
			doc = stored.Data
			if doc == nil {
				doc = []byte{} // an empty document was saved
			}
		}
		return err
	})
	return doc, b.outcome(ctx, "loading "+subject, err, never)
}

// SaveState replaces the document of a room; see rooms.Log. Where there are other nodes, this one must hold the room: see
// Nodes. Errors: as LoadState, and rooms.ErrOtherOwner.
func (b *Bus) SaveState(ctx context.Context, room wire.RoomID, doc []byte) error {
	subject, err := b.stateOf(room)
	if err != nil {
		return err
	}
	lasts := func(err error) bool { return errors.Is(err, rooms.ErrOtherOwner) }
	err = b.persist(ctx, appendPatience, lasts, func(ctx context.Context) error {
		if b.nodes != nil {
			return b.nodes.save(ctx, room, doc)
		}
		msg, err := b.request(ctx, subject, doc)
		if err != nil {
			return err
		}
		_, err = parseAck(msg)
		return err
	})
	return b.outcome(ctx, "saving "+subject, err, lasts)
}

func (b *Bus) stateOf(room wire.RoomID) (string, error) {
	if b.closing.Load() {
		return "", rooms.ErrLogClosed
	}
	if !wire.ValidName(string(room)) {
		return "", fmt.Errorf("%w: %q", ErrBadName, room)
	}
	return statePrefix + string(room), nil
}
