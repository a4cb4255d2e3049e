package bus

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	schema        = "1" // of subjects and records; another number is another program
	epochKey      = "epoch"
	schemaKey     = "schema"
	dedupWindow   = 2 * time.Minute  // 124 bytes of memory an id; far longer than an append is retried
	ensureTimeout = 30 * time.Second // a cluster that starts elects its leaders
	ensureAtOnce  = 4
	startTry      = 2 * time.Second
	noJetStream   = 3 * time.Second // nobody answers for so long: JetStream is off
)

// openStreams makes what is missing, checks what exists and settles the epochs.
func (b *Bus) openStreams(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, ensureTimeout)
	defer cancel()
	js, err := b.jetStream(ctx)
	if err != nil {
		return err
	}
	var (
		all    sync.WaitGroup
		places = make(chan struct{}, ensureAtOnce)
		errs   [partitions + 1]error
	)
	for i := range partitions {
		b.parts[i] = &partition{bus: b, js: js, name: streamPrefix + strconv.Itoa(i), number: i}
	}
	for i := range errs {
		places <- struct{}{}
		all.Go(func() {
			defer func() { <-places }()
			if i == partitions {
				errs[i] = b.persist(ctx, ensureTimeout, isLasting, briefly(func(ctx context.Context) error {
					_, _, err := b.ensure(ctx, js, b.stateConfig())
					return err
				}))
			} else {
				errs[i] = b.persist(ctx, ensureTimeout, isLasting, briefly(b.parts[i].open))
			}
		})
	}
	all.Wait()
	return errors.Join(errs[:]...)
}

// jetStream waits until JetStream answers on the history connection.
func (b *Bus) jetStream(ctx context.Context) (jetstream.JetStream, error) {
	js, err := jetstream.New(b.history)
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	// Where JetStream is off nobody answers; the same is true of a server that starts, but not for long.
	began := time.Now()
	off := func(err error) bool {
		return time.Since(began) > noJetStream && (errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount))
	}
	err = b.persist(ctx, ensureTimeout, off, briefly(func(ctx context.Context) error {
		_, err := js.AccountInfo(ctx)
		return err
	}))
	if err != nil {
		return nil, fmt.Errorf("bus: NATS gives no JetStream (enable it on the server and for this account): %w", err)
	}
	return js, nil
}

// briefly gives each try at the start its own time: a server that has just come up may never answer the first.
func briefly(try func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, startTry)
		defer cancel()
		return try(ctx)
	}
}

// isLasting reports whether an error of the JetStream API will be there the next time too. A cluster that is
// electing its leaders answers 503, late or not at all.
func isLasting(err error) bool {
	var refusal *jetstream.APIError
	if errors.As(err, &refusal) {
		return refusal.Code != 503
	}
	return !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrNoResponders) && !errors.Is(err, nats.ErrTimeout) &&
		!errors.Is(err, jetstream.ErrNoStreamResponse)
}

// roomsConfig is what a partition's stream must be.
func (b *Bus) roomsConfig(number int) jetstream.StreamConfig {
	subjects := "room." + strconv.Itoa(number) + ".*"
	var republish *jetstream.RePublish
	if !b.alone() {
		republish = repeated(subjects)
	}
	return jetstream.StreamConfig{
		Name:              streamPrefix + strconv.Itoa(number),
		Subjects:          []string{subjects},
		Storage:           jetstream.FileStorage,
		Retention:         jetstream.LimitsPolicy,
		Discard:           jetstream.DiscardOld,
		MaxMsgsPerSubject: int64(b.opts.perTimeline()),
		MaxBytes:          b.opts.MaxBytes / partitions,
		Replicas:          b.opts.Replicas,
		Duplicates:        dedupWindow,
		AllowDirect:       true,
		RePublish:         republish,
		Metadata:          map[string]string{schemaKey: schema, epochKey: newEpoch()},
	}
}

// repeated has a stream tell every process of what it stores.
func repeated(subjects string) *jetstream.RePublish {
	return &jetstream.RePublish{Source: subjects, Destination: livePrefix + "{{wildcard(1)}}"}
}

// stateConfig is what the stream of room states must be. When it is full it refuses: losing the bans of one
// room to keep those of another is worse than an error.
func (b *Bus) stateConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:              stateStream,
		Subjects:          []string{statePrefix + "*"},
		Storage:           jetstream.FileStorage,
		Retention:         jetstream.LimitsPolicy,
		Discard:           jetstream.DiscardNew,
		MaxMsgsPerSubject: 1,
		MaxBytes:          stateMaxBytes,
		Replicas:          b.opts.Replicas,
		Duplicates:        dedupWindow,
		AllowDirect:       true,
		Metadata:          map[string]string{schemaKey: schema, epochKey: newEpoch()},
	}
}

func newEpoch() string { return rand.Text()[:16] }

// ensure makes the stream if it is missing and otherwise checks that it is what is wanted. It changes nothing but whether
// records are republished, which no record depends on.
func (b *Bus) ensure(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) (*jetstream.StreamInfo, bool, error) {
	stream, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = b.create(ctx, js, want)
		if err == nil {
			return stream.CachedInfo(), true, nil
		}
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another node was faster
			stream, err = js.Stream(ctx, want.Name)
		}
	}
	if err != nil {
		return nil, false, fmt.Errorf("bus: stream %s: %w", want.Name, err)
	}
	config := stream.CachedInfo().Config
	if err := compare(config, want); err != nil {
		return nil, false, err
	}
	if (config.RePublish == nil) != (want.RePublish == nil) {
		config.RePublish = want.RePublish
		if stream, err = js.UpdateStream(ctx, config); err != nil {
			return nil, false, fmt.Errorf("bus: stream %s: %w", want.Name, err)
		}
	}
	return stream.CachedInfo(), false, nil
}

// create makes a stream. When the embedded server has forgotten a stream whose records are still in the store
// (a damaged meta file), making it anew brings them back; it says so.
func (b *Bus) create(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) (jetstream.Stream, error) {
	left := b.bytesLeft(want.Name)
	stream, err := js.CreateStream(ctx, want)
	if err != nil {
		return nil, err
	}
	if b.server != nil {
		b.harden.Store(true)
	}
	if left == 0 {
		return stream, nil
	}
	state := stream.CachedInfo().State
	if state.LastSeq == 0 {
		return nil, fmt.Errorf("%d bytes of records are in its folder below %s but none could be read: the store is damaged; restore the folder from a backup",
			left, b.opts.DataDir)
	}
	b.log.Warn("a stream was forgotten by the server and made anew from the records in its folder",
		"stream", want.Name, "records", state.Msgs, "last", state.LastSeq)
	return stream, nil
}

// bytesLeft is the size of the record blocks that the embedded store holds of a stream.
func (b *Bus) bytesLeft(stream string) int64 {
	if b.server == nil {
		return 0
	}
	blocks, err := filepath.Glob(filepath.Join(b.opts.DataDir, storeFolder, "jetstream", "*", "streams", stream, "msgs", "*.blk"))
	if err != nil {
		return 0 // only a malformed pattern
	}
	var sum int64
	for _, block := range blocks {
		if stat, err := os.Stat(block); err == nil {
			sum += stat.Size()
		}
	}
	return sum
}

// syncMeta puts the descriptions of new streams on the disk. The server leaves that to the operating system: a
// power cut within half a minute of the first start would take the streams, and what was written since, with it.
func (b *Bus) syncMeta() {
	files, err := filepath.Glob(filepath.Join(b.opts.DataDir, storeFolder, "jetstream", "*", "streams", "*", "meta.*"))
	if err != nil {
		return // only a malformed pattern
	}
	folders := map[string]bool{}
	for _, path := range files {
		if b.lifetime.Err() != nil {
			return
		}
		syncFolder(path) // a file opens and syncs the same way
		for range 4 {    // its folder, and those above it up to jetstream
			path = filepath.Dir(path)
			folders[path] = true
		}
	}
	for path := range folders {
		syncFolder(path)
	}
}

// compare names the first setting in which a stored stream differs from the one wanted.
func compare(have, want jetstream.StreamConfig) error {
	republish := func(r *jetstream.RePublish) string {
		if r == nil {
			r = repeated(want.Subjects[0]) // it is switched on and off
		}
		return fmt.Sprintf("%s -> %s, headers only %t", r.Source, r.Destination, r.HeadersOnly)
	}
	const (
		foreign = "it was not made by this program: give it another NATS account, or remove the stream"
		history = "start with the history it was made with (a quarter of the number stored), or change the log: confab upgrade with the new history, while no server runs on it"
	)
	for _, c := range []struct {
		setting, remedy string
		have, want      any
	}{
		{"metadata schema", foreign, have.Metadata[schemaKey], want.Metadata[schemaKey]},
		{"subjects", foreign, fmt.Sprint(have.Subjects), fmt.Sprint(want.Subjects)},
		{"storage", foreign, have.Storage, want.Storage},
		{"retention", foreign, have.Retention, want.Retention},
		{"discard", foreign, have.Discard, want.Discard},
		{"max_msgs_per_subject", history, have.MaxMsgsPerSubject, want.MaxMsgsPerSubject},
		{"max_bytes", "start with the size it was made with, or change the stream with the nats tool: a smaller size deletes messages", have.MaxBytes, want.MaxBytes},
		{"max_age", foreign, have.MaxAge, want.MaxAge},
		{"num_replicas", "start with the replicas it was made with, or change the log: confab upgrade with the new number, while no server runs on it", have.Replicas, want.Replicas},
		{"duplicate_window", foreign, have.Duplicates, want.Duplicates},
		{"allow_direct", foreign, have.AllowDirect, want.AllowDirect},
		{"deny_delete", foreign, have.DenyDelete, want.DenyDelete},
		{"deny_purge", foreign, have.DenyPurge, want.DenyPurge},
		{"sealed", foreign, have.Sealed, want.Sealed},
		{"republish", foreign, republish(have.RePublish), republish(want.RePublish)},
	} {
		if c.have != c.want {
			return fmt.Errorf("bus: stream %s: %s is %v, wanted %v; nothing was changed: %s", want.Name, c.setting, c.have, c.want, c.remedy)
		}
	}
	return nil
}
