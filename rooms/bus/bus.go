package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"confab/rooms"
	"confab/signaling/wire"
)

// The two values of Options.Durability.
const (
	// DurabilityDefault writes to the operating system before it confirms, and to the disk within a second:
	// a killed process loses nothing that was confirmed, a power cut up to one second.
	DurabilityDefault = "default"
	// DurabilityFsync writes to the disk before it confirms, at about a fiftieth of the rate on one node.
	DurabilityFsync = "fsync"
)

// Bounds of a Bus, where Options does not set them.
const (
	defaultMaxBytes     = 16 << 30 // of all logs together; a partition gets a sixteenth
	stateMaxBytes       = 256 << 20
	maxPendingAppends   = 16384
	maxPendingBytes     = 64 << 20
	maxConcurrentReads  = 2 // cold reads at a time: one scans a whole block and blocks that stream's writers
	maxConcurrentErases = 1 // an erasure rewrites a block of up to 8 MB
	closeDrain          = 5 * time.Second
)

// Options of Open. The zero value of each field but DataDir is a usable default.
type Options struct {
	// DataDir holds the embedded server's store, the lock and the checkpoint. Required, also for an external
	// NATS, where it holds only the lock and the checkpoint. Made when missing. One process at a time.
	DataDir string
	// URL of an external NATS ("nats://host:4222", several separated by commas; user and password may be part
	// of it). Empty: a server inside this process.
	URL string
	// CredsFile is a NATS .creds file for URL. RootCAs are PEM files that sign its certificate.
	CredsFile string
	RootCAs   []string
	// Replicas of each stream: 1, or 3 on a cluster. 0 = 1.
	Replicas int
	// History is the window of a timeline in messages; four times as many records are kept. 0 = 256.
	History int
	// Durability of the embedded server: DurabilityDefault or DurabilityFsync. Empty = default. An external
	// NATS has its own setting (sync_interval).
	Durability string
	// MaxBytes that all logs together may take on disk; past it the oldest records of a partition go. 0 = 16 GiB.
	MaxBytes int64
	// NodeName names this process to people, among the others that share an external NATS. Empty = the host's name.
	NodeName string
	// Stored is told of each record that was appended here and is stored, how long that took. It must not block and may
	// be called by several goroutines at once; nil = nobody is told.
	Stored func(time.Duration)
	// Logger, nil = slog.Default().
	Logger *slog.Logger
}

// A Bus is an open log: see the package comment. It implements rooms.Log.
type Bus struct {
	// Set by Open, then constant.
	opts      Options
	log       *slog.Logger
	server    *embedded // nil when NATS is external
	lock      *folderLock
	publish   *nats.Conn
	subscribe *nats.Conn // nil where nothing is republished
	history   *nats.Conn
	outbox    *nats.Conn // nil until OpenOutbox
	parts     [partitions]*partition
	shards    [shardCount]*shard
	appender  *appender
	nodes     *Nodes // nil where NATS is inside the process
	keeper    *keeper
	saved     *checkpointFile
	reads     chan struct{} // a place in it allows one cold read
	erases    chan struct{} // a place in it allows one erasure
	lifetime  context.Context
	end       context.CancelCauseFunc
	running   sync.WaitGroup

	// The connections' own answers to these wait for their locks, which are held during a write.
	lost       sync.Map     // names of the connections that are lost now
	maxPayload atomic.Int64 // bytes of header and payload that NATS takes

	counts   counts
	links    atomic.Uint64 // counts connections lost and regained: partitions verify themselves when it moved
	link     atomic.Pointer[link]
	trouble  atomic.Pointer[string]
	launched atomic.Bool   // Open is done
	harden   atomic.Bool   // streams were made: syncMeta is due
	closing  atomic.Bool   // set with spawning held; read without
	spawning sync.Mutex    // orders spawn and Close
	closed   chan struct{} // closed when Close has finished
}

var _ rooms.Log = (*Bus)(nil)

// Open starts or reaches NATS, makes or checks the streams and returns the log, ready.
// Errors name what is wrong and what to do: the folder is in use, unwritable or damaged; NATS does not answer or
// is older than 2.11; a stream was made with other settings.
func Open(ctx context.Context, opts Options) (*Bus, error) {
	if err := opts.complete(); err != nil {
		return nil, err
	}
	b := newBus(opts)
	if err := b.start(ctx); err != nil {
		b.end(rooms.ErrLogClosed)
		b.teardown()
		return nil, err
	}
	return b, nil
}

func newBus(opts Options) *Bus {
	b := &Bus{
		opts:   opts,
		log:    opts.Logger,
		reads:  make(chan struct{}, maxConcurrentReads),
		erases: make(chan struct{}, maxConcurrentErases),
		closed: make(chan struct{}),
	}
	b.lifetime, b.end = context.WithCancelCause(context.Background())
	b.unanswered()
	return b
}

func (o *Options) complete() error {
	if o.DataDir == "" {
		return errors.New("bus: no data folder given")
	}
	if o.Replicas == 0 {
		o.Replicas = 1
	}
	if o.History == 0 {
		o.History = wire.DefaultHistory
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = defaultMaxBytes
	}
	if o.Durability == "" {
		o.Durability = DurabilityDefault
	}
	if o.Stored == nil {
		o.Stored = func(time.Duration) {}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.NodeName == "" {
		o.NodeName, _ = os.Hostname() // without one it is known by its id alone
	}
	switch {
	case o.Durability != DurabilityDefault && o.Durability != DurabilityFsync:
		return fmt.Errorf("bus: durability %q is neither %q nor %q", o.Durability, DurabilityDefault, DurabilityFsync)
	case o.History < 1:
		return fmt.Errorf("bus: a history of %d messages; at least 1 is needed", o.History)
	case o.MaxBytes < partitions<<20:
		return fmt.Errorf("bus: at most %d bytes for all logs; at least %d are needed", o.MaxBytes, partitions<<20)
	case o.URL == "" && o.Replicas != 1:
		return fmt.Errorf("bus: %d replicas need an external NATS cluster; the server inside this process has 1", o.Replicas)
	}
	return nil
}

// alone reports whether nobody but this process can write to the log: NATS is inside it and listens to nobody else. Then
// nothing is republished, for what is confirmed here is all that there is.
func (b *Bus) alone() bool { return b.server != nil }

// perTimeline is the number of records a timeline keeps.
func (o *Options) perTimeline() int { return o.History * wire.RecordsPerMessage }

// start does what Open promises; on an error the caller tears down what exists so far.
func (b *Bus) start(ctx context.Context) error {
	if err := b.attach(); err != nil {
		return err
	}
	if err := b.openStreams(ctx); err != nil {
		return err
	}
	if err := b.saved.markOpen(b.marks()); err != nil {
		return fmt.Errorf("bus: the data folder %s: %w", b.opts.DataDir, err)
	}
	var err error
	if b.appender, err = newAppender(b); err != nil {
		return err
	}
	if !b.alone() {
		if err := b.openNodes(ctx); err != nil {
			return err
		}
	}
	b.launch()
	return nil
}

// attach takes the data folder and connects to NATS, whose server it starts if that is to be in this process.
func (b *Bus) attach() error {
	dir := b.opts.DataDir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("bus: the data folder %s cannot be made: %w", dir, err)
	}
	lock, err := lockFolder(filepath.Join(dir, lockName))
	if err != nil {
		return fmt.Errorf("bus: the data folder %s: %w", dir, err)
	}
	b.lock = lock
	b.saved, err = openCheckpoint(filepath.Join(dir, checkpointName))
	if err != nil {
		return fmt.Errorf("bus: the data folder %s: %w", dir, err)
	}
	if b.opts.URL == "" {
		if b.server, err = startEmbedded(b.opts, b.log); err != nil {
			return err
		}
	}
	for i := range b.shards {
		b.shards[i] = newShard(b, i)
	}
	b.keeper = newKeeper(b)
	return b.connect()
}

// launch starts the goroutines that live as long as the bus.
func (b *Bus) launch() {
	b.launched.Store(true)
	for _, s := range b.shards {
		b.running.Go(s.run)
	}
	b.running.Go(b.appender.send)
	b.running.Go(b.appender.settle)
	b.running.Go(b.keeper.run)
	for range maxConcurrentReads {
		b.running.Go(b.keeper.work)
	}
	if b.nodes != nil {
		b.running.Go(b.nodes.run)
	}
	b.running.Go(b.watch)
	if b.harden.Load() {
		b.running.Go(b.syncMeta)
	}
}

// Close waits up to 5 s for appends under way, ends every feed, leaves NATS, stops the server inside the
// process and marks the folder as cleanly closed. Later calls of any method give rooms.ErrLogClosed. A second
// Close waits for the first.
func (b *Bus) Close() error {
	b.spawning.Lock()
	second := b.closing.Swap(true)
	b.spawning.Unlock()
	if second {
		<-b.closed
		return nil
	}
	defer close(b.closed)
	b.appender.drain(closeDrain)
	if b.nodes != nil {
		b.nodes.Leave()
	}
	b.end(rooms.ErrLogClosed)
	b.running.Wait()
	marks := b.marks()
	stopped := b.teardownServer()
	err := b.saved.write(marks, stopped)
	if err != nil {
		err = fmt.Errorf("bus: closing %s: %w", b.opts.DataDir, err)
	}
	return errors.Join(err, b.lock.release())
}

// teardown ends what a failed Open left.
func (b *Bus) teardown() {
	b.teardownServer()
	if b.lock != nil {
		_ = b.lock.release() // the error of Open is the one to report
	}
}

// teardownServer closes the connections and then the server, and reports whether the server (if any) stopped
// in good order.
func (b *Bus) teardownServer() bool {
	for _, nc := range []*nats.Conn{b.publish, b.subscribe, b.history, b.outbox} {
		if nc != nil {
			nc.Close()
		}
	}
	if b.nodes != nil {
		b.nodes.conn.Close()
	}
	return b.server == nil || b.server.stop()
}

// Ready reports whether the log stores and serves now; nil when it does. It asks nothing of NATS and never waits:
// it looks at the connections, at appends that wait for 3 s and at what the last health check found.
func (b *Bus) Ready() error {
	if b.closing.Load() {
		return rooms.ErrLogClosed
	}
	var down error
	b.lost.Range(func(name, _ any) bool {
		down = fmt.Errorf("%w: the %s connection to NATS is lost", rooms.ErrUnavailable, name)
		return false
	})
	if down != nil {
		return down
	}
	if b.nodes != nil && !b.nodes.MayAct() {
		return fmt.Errorf("%w: neither the other nodes nor NATS have confirmed this node in time", rooms.ErrUnavailable)
	}
	if age := b.appender.oldest(); age > readyAppendAge {
		return fmt.Errorf("%w: an append waits for its confirmation since %s", rooms.ErrUnavailable, age.Round(time.Millisecond))
	}
	if text := b.trouble.Load(); text != nil {
		return fmt.Errorf("%w: %s", rooms.ErrUnavailable, *text)
	}
	return nil
}

const (
	readyAppendAge   = 3 * time.Second // an append without its confirmation for so long means not ready
	checkpointEvery  = 3 * time.Second
	healthCheckEvery = 5 * time.Second
)

// spawn runs a goroutine that Close waits for; false when Close has begun.
func (b *Bus) spawn(run func()) bool {
	b.spawning.Lock()
	defer b.spawning.Unlock()
	if b.closing.Load() {
		return false
	}
	b.running.Go(run)
	return true
}

// watch writes the checkpoint and looks at the server's health until the bus ends.
func (b *Bus) watch() {
	checkpoint := time.NewTicker(checkpointEvery)
	defer checkpoint.Stop()
	health := time.NewTicker(healthCheckEvery)
	defer health.Stop()
	for {
		select {
		case <-b.lifetime.Done():
			return
		case <-checkpoint.C:
			if err := b.saved.write(b.marks(), false); err != nil {
				b.log.Error("checkpoint of the log not written", "err", err)
			}
		case <-health.C:
			if b.server == nil {
				continue
			}
			if text := b.server.health(); text != "" {
				text = "the NATS server inside this process is not healthy: " + text
				b.trouble.Store(&text)
			} else {
				b.trouble.Store(nil)
			}
		}
	}
}

// gone translates the end of a context into the error that a caller of Log expects.
func (b *Bus) gone(ctx context.Context) error {
	if b.lifetime.Err() != nil || b.closing.Load() {
		return rooms.ErrLogClosed
	}
	return context.Cause(ctx)
}
