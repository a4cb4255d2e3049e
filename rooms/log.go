package rooms

import (
	"context"
	"errors"
	"time"

	"confab/signaling/wire"
)

// A Timeline names one log: a room's main timeline, or one of its threads.
type Timeline struct {
	Room   wire.RoomID
	Thread wire.ThreadID // empty = the main timeline
}

// A Record is one entry of a timeline as the log hands it out.
//
// Payload is the JSON object that was appended, byte for byte: a wire envelope without seq, prev and ts.
// It is shared between readers and must not be changed, nor kept: it may be a part of something larger.
type Record struct {
	Seq     wire.Seq  // position in the log: grows within the timeline, sparse
	Prev    wire.Seq  // Seq of the record that the feed had before it; 0 = unknown (first, or after a purge)
	Time    time.Time // when the log took it in or stored it; the same however it is read
	ID      string    // the deduplication id it was appended with; empty = none
	Payload []byte
}

// A Tail is what a timeline holds at the moment it is opened, oldest first.
type Tail struct {
	Epoch   string // changes when sequences may have been reused: cursors of another epoch mean nothing
	Records []Record
	Last    wire.Seq // sequence of the newest record, 0 when there is none
}

// An Appended is the log's word that a record is stored.
type Appended struct {
	Seq       wire.Seq
	Duplicate bool // the id was appended before; Seq is the first one's
}

// A Feed receives what happens to an open timeline, one call at a time, in log order, with no hole and no
// repeat, starting after the Tail. Record and Reset are called with locks of the log held and must only take in what
// they are given. None of the methods may block for long: several timelines share a goroutine.
type Feed interface {
	// Record delivers the next record. It may come before or after Append's answer for the same record.
	Record(Record)
	// Reset says that continuity is lost (the epoch changed, or more was missed than the log still holds): the
	// reader must forget what it knows and take this tail instead.
	Reset(Tail)
	// Wake comes after one or several of the others, with no lock held: now is the time to act. It may be called by
	// several goroutines at once, and without anything new.
	Wake()
}

// Errors of a Log.
var (
	// ErrUnavailable: the log did not confirm in time. Whether the record is stored is not known; appending
	// it again with the same id is harmless.
	ErrUnavailable = errors.New("rooms: log unavailable")
	// ErrLogClosed: the log is shutting down.
	ErrLogClosed = errors.New("rooms: log closed")
)

// Log is the durable, ordered record of every timeline. rooms/bus implements it on NATS JetStream.
// All methods may be called from any goroutine.
type Log interface {
	// Open reads the tail of a timeline and follows it: feed hears every later record until the returned
	// function is called, which never blocks; a call that is under way then may still finish. Feed may be called
	// before Open has returned. A timeline that was never written is empty, not an error. Concurrent Opens of
	// one timeline are allowed, each with its own feed.
	// Errors: ErrUnavailable, ErrLogClosed, ctx's cause.
	Open(ctx context.Context, t Timeline, feed Feed) (tail Tail, stop func(), err error)

	// Append stores payload at the end of t. It never blocks on I/O; done is called exactly once, from a goroutine
	// of the log, and must not block. While the log does not answer it is retried with the same id for up
	// to 15 s, then done gets ErrUnavailable; ErrLogClosed when the log closes first. An id that the log saw
	// in the last two minutes stores nothing and reports Duplicate. Ids are deduplicated across a whole
	// partition: the caller makes them unique ("<room>.<user>.<client id>"). A record larger than the log takes is an
	// error of its own.
	Append(t Timeline, id string, payload []byte, done func(Appended, error))

	// Newest returns the sequence of the newest record of each of the timelines, which must be of one room; 0 for one
	// that has none. It may be a moment behind. Errors: as Open.
	Newest(ctx context.Context, timelines ...Timeline) ([]wire.Seq, error)

	// Erase removes single records and overwrites their bytes on disk. Records already gone are no error.
	// Followers are not told: the caller appends a record that says so.
	Erase(ctx context.Context, t Timeline, seqs ...wire.Seq) error

	// Purge removes every record of t below keep, and overwrites their bytes on disk.
	Purge(ctx context.Context, t Timeline, keep wire.Seq) error

	// LoadState returns the small document last saved for a room (its lock, bans, promotions, threads), nil when none.
	LoadState(ctx context.Context, room wire.RoomID) ([]byte, error)
	// SaveState replaces it.
	SaveState(ctx context.Context, room wire.RoomID, doc []byte) error

	// Ready reports whether the log stores and serves now; nil when it does.
	Ready() error
}
