package record

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"confab/signaling/wire"
)

// Limits bound what recordings may take. A field that is 0 takes the default named beside it.
type Limits struct {
	Recordings int   // 16 at once
	Tracks     int   // 256 files of one recording; later tracks are not recorded
	Bytes      int64 // 64 GiB of one recording; beyond it the recording ends with SizeLimit
	FreeBytes  int64 // 1 GiB left on the disk; below it recordings end with DiskFull and none begins
	QueueBytes int   // 32 MiB that wait for the disk, of one recording; beyond it the recording ends with TooSlow
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Recordings: cmp.Or(l.Recordings, 16),
		Tracks:     cmp.Or(l.Tracks, 256),
		Bytes:      cmp.Or(l.Bytes, 64<<30),
		FreeBytes:  cmp.Or(l.FreeBytes, 1<<30),
		QueueBytes: cmp.Or(l.QueueBytes, 32<<20),
	}
}

// What Start fails with, beside errors of the file system.
var (
	ErrClosed   = errors.New("record: recorder closed")
	ErrBusy     = errors.New("record: the room is being recorded")
	ErrTooMany  = errors.New("record: too many recordings at once")
	ErrDiskFull = errors.New("record: the disk is full")
)

// ErrLocked is what New fails with when another process records to the folder.
var ErrLocked = errors.New("record: another process records to this folder")

const lockName = ".lock"

// Options of a Recorder.
type Options struct {
	Dir    string // of all recordings; made when missing
	Limits Limits
	Log    *slog.Logger // nil = slog.Default

	free func(dir string) (uint64, error) // nil = what the system says; tests put something else here
}

// A Recorder owns the recordings of a server. Its methods may be called concurrently.
type Recorder struct {
	// Set by New, then constant.
	opts    Options
	lock    *os.File       // keeps other processes from the folder
	running sync.WaitGroup // the run goroutines of all recordings

	stats stats

	mu     sync.Mutex
	live   map[wire.RoomID]*Recording // guarded by mu
	closed bool                       // guarded by mu
}

// Space returns the bytes that a recording may still write to the disk of dir before it ends with DiskFull, 0 for none.
// The error is that of the system.
func Space(dir string) (int64, error) {
	free, err := freeBytes(dir)
	if err != nil {
		return 0, fmt.Errorf("record: %w", err)
	}
	return max(int64(min(free, math.MaxInt64))-Limits{}.withDefaults().FreeBytes, 0), nil
}

// New opens the folder and ends the recordings that a killed process has left open there. The error is ErrLocked or
// that of the file system.
func New(opts Options) (*Recorder, error) {
	opts.Limits = opts.Limits.withDefaults()
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	if opts.free == nil {
		opts.free = freeBytes
	}
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	locked, err := lock(filepath.Join(opts.Dir, lockName))
	if err != nil {
		return nil, fmt.Errorf("record: locking %s: %w", opts.Dir, err)
	}
	count, err := Recover(opts.Dir)
	if err != nil {
		opts.Log.Warn("recordings that cannot be read are left as they are", "error", err)
	}
	if count > 0 {
		opts.Log.Info("recordings that were interrupted", "count", count)
	}
	return &Recorder{opts: opts, lock: locked, live: map[wire.RoomID]*Recording{}}, nil
}

// Start begins to record a room, on behalf of by. The error is ErrClosed, ErrBusy, ErrTooMany, ErrDiskFull or that of
// the file system. It writes a first manifest, so it may block as long as the disk does.
func (r *Recorder) Start(room wire.RoomID, by wire.UserID) (*Recording, error) {
	rec, err := r.reserve(room, by)
	if err != nil {
		return nil, err
	}
	if err := rec.prepare(); err != nil {
		r.forget(rec)
		close(rec.done)
		r.running.Done()
		return nil, fmt.Errorf("record: starting: %w", err)
	}
	rec.log.Info("recording started")
	r.stats.started.Add(1)
	go func() {
		defer r.running.Done()
		defer close(rec.done)
		defer r.forget(rec) // first, so that who waits for done can start anew
		rec.run()
	}()
	return rec, nil
}

// reserve makes a recording and its place among the live ones; running counts it from then on.
func (r *Recorder) reserve(room wire.RoomID, by wire.UserID) (*Recording, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return nil, ErrClosed
	case r.live[room] != nil:
		return nil, ErrBusy
	case len(r.live) >= r.opts.Limits.Recordings:
		return nil, ErrTooMany
	}
	if free, err := r.opts.free(r.opts.Dir); err == nil && free < uint64(r.opts.Limits.FreeBytes) {
		return nil, ErrDiskFull
	}
	now := time.Now().UTC().Truncate(time.Millisecond)
	id := newID(room, now)
	rec := &Recording{
		id: id, room: room, dir: filepath.Join(r.opts.Dir, id), limits: r.opts.Limits, free: r.opts.free, stats: &r.stats,
		log:   r.opts.Log.With("room", room, "recording", id),
		queue: newQueue(r.opts.Limits.QueueBytes), done: make(chan struct{}),
		walls: map[wire.ParticipantID]*wallClock{}, written: now,
		manifest: Manifest{
			Version: manifestVersion, ID: id, Room: room, Started: now, By: by,
			Tracks: []TrackEntry{}, Participants: []PersonEntry{}, Events: []Event{{Type: "started"}},
		},
	}
	rec.stopped, rec.stop = context.WithCancelCause(context.Background())
	r.live[room] = rec
	r.running.Add(1)
	return rec, nil
}

// prepare makes the folder and the first manifest.
func (r *Recording) prepare() error {
	if err := os.Mkdir(r.dir, 0o700); err != nil {
		return err
	}
	return r.manifest.write(r.dir)
}

func (r *Recorder) forget(rec *Recording) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.live[rec.room] == rec {
		delete(r.live, rec.room)
	}
}

// Live returns the recording of a room, nil if there is none.
func (r *Recorder) Live(room wire.RoomID) *Recording {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.live[room]
}

// liveID reports whether the recording with this id goes on.
func (r *Recorder) liveID(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rec := range r.live {
		if rec.id == id {
			return true
		}
	}
	return false
}

// Close ends all recordings and waits until they are written. It may be called more than once.
func (r *Recorder) Close() {
	r.mu.Lock()
	first := !r.closed
	r.closed = true
	for _, rec := range r.live {
		rec.Stop(ServerDown)
	}
	r.mu.Unlock()
	r.running.Wait()
	if first {
		r.lock.Close()
	}
}

// newID names a recording: when and where, and something that makes it unique.
func newID(room wire.RoomID, at time.Time) string {
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	return fmt.Sprintf("%s-%s-%x", at.Format("20060102-150405"), room, random)
}

// validID reports whether a recording may have this name: a to z, 0 to 9, - and _, as rooms are named.
func validID(id string) bool {
	if len(id) == 0 || len(id) > 128 {
		return false
	}
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}
