package bus

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/nats-io/nats.go/jetstream"

	"confab/rooms"
)

// ErrNotEmpty says that a log holds something, where one is to be made of a snapshot.
var ErrNotEmpty = errors.New("bus: the log is not empty")

// An Idle is a log at which nobody is at work, for what changes or copies it as a whole. It holds the data folder as a Bus
// does, and is no node among others. Its methods are for one goroutine.
type Idle struct {
	// Set by OpenIdle, then constant.
	bus *Bus
	js  jetstream.JetStream

	changed bool
}

// OpenIdle takes a data folder and reaches or starts NATS. It makes no stream and checks none. Errors: those of Open.
func OpenIdle(ctx context.Context, opts Options) (*Idle, error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	i := &Idle{bus: newBus(opts)}
	err := i.bus.attach()
	if err != nil {
		i.bus.end(rooms.ErrLogClosed)
		i.bus.teardown()
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, ensureTimeout)
	defer cancel()
	if i.js, err = i.bus.jetStream(ctx); err != nil {
		return nil, errors.Join(err, i.Close())
	}
	return i, nil
}

// Empty is nil when there is no stream of a log yet, ErrNotEmpty when there is one. Other errors are of NATS.
func (i *Idle) Empty(ctx context.Context) error {
	for _, name := range SnapshotStreams() {
		_, err := i.js.Stream(ctx, name)
		switch {
		case err == nil:
			return fmt.Errorf("%w: there is a stream %s", ErrNotEmpty, name)
		case !errors.Is(err, jetstream.ErrStreamNotFound):
			return fmt.Errorf("bus: asking for stream %s: %w", name, err)
		}
	}
	return nil
}

// Snapshot is that of a Bus.
func (i *Idle) Snapshot(ctx context.Context, stream string, each func(piece []byte) error) error {
	return i.bus.Snapshot(ctx, stream, each)
}

// Close ends it; what was restored is on the disk then. It leaves the checkpoint as it is: there is none beside a log that
// was restored, so that Open trusts no sequence that a client knows.
func (i *Idle) Close() error {
	i.bus.closing.Store(true)
	i.bus.end(rooms.ErrLogClosed)
	var err error
	if !i.bus.teardownServer() {
		err = errors.New("bus: the NATS server inside this process did not stop in good order")
	}
	if i.changed {
		err = errors.Join(err, i.bus.syncStore())
	}
	return errors.Join(err, i.bus.lock.release())
}

// syncStore puts the store of a server inside this process on the disk.
func (b *Bus) syncStore() error {
	if b.server == nil {
		return nil
	}
	err := filepath.WalkDir(filepath.Join(b.opts.DataDir, storeFolder), func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			syncFolder(path) // a file opens and syncs the same way
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("bus: putting the store on the disk: %w", err)
	}
	return nil
}
