package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"confab/rooms"
)

const (
	snapshotConn  = "snapshot"       // the name of the connection
	snapshotPiece = 30 * time.Second // for one piece to come, or to be taken
	snapshotQueue = 512              // pieces that may wait: four times what the server sends ahead of acknowledgements
)

// ErrNotEmpty says that a log holds something, where one is to be made of a snapshot.
var ErrNotEmpty = errors.New("bus: the log is not empty")

// SnapshotStreams are the streams that Snapshot takes, by name: all records of all rooms, and their states. What waits in
// an outbox is not among them: it would be delivered a second time.
func SnapshotStreams() []string {
	names := make([]string, 0, partitions+1)
	for i := range partitions {
		names = append(names, streamPrefix+strconv.Itoa(i))
	}
	return append(names, stateStream)
}

// A description is the first piece of a snapshot: what NATS says of the stream, and takes when it is to restore it.
type description struct {
	Config jetstream.StreamConfig `json:"config"`
	State  json.RawMessage        `json:"state"` // of a moment: the snapshot may hold more
}

// Snapshot reads a stream as it is at this moment, while everything goes on: in pieces of at most 128 KiB, the first of
// which describes the stream. A piece is good until each returns. Errors: those of each, what NATS says, ctx's cause,
// rooms.ErrLogClosed.
func (b *Bus) Snapshot(ctx context.Context, stream string, each func(piece []byte) error) error {
	if b.closing.Load() {
		return rooms.ErrLogClosed
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(b.lifetime, func() { cancel(rooms.ErrLogClosed) })()
	conn, err := b.dialAside(snapshotConn) // not on the history connection: joins would wait behind it
	if err != nil {
		return err
	}
	defer conn.Close()
	pieces := make(chan *nats.Msg, snapshotQueue)
	inbox := conn.NewInbox()
	if _, err := conn.ChanSubscribe(inbox, pieces); err != nil {
		return fmt.Errorf("bus: taking a snapshot of %s: %w", stream, err)
	}
	about, err := askSnapshot(ctx, conn, stream, inbox)
	if err == nil {
		err = each(about)
	}
	for err == nil {
		var piece *nats.Msg
		if piece, err = nextPiece(ctx, pieces); err != nil {
			break
		}
		if len(piece.Data) == 0 {
			if status := first(piece.Header, headerStatus); status != "" && status != "204" {
				err = fmt.Errorf("NATS ends it: %s %s", status, first(piece.Header, "Description"))
				break
			}
			return nil
		}
		if err = each(piece.Data); err == nil && piece.Reply != "" {
			err = conn.Publish(piece.Reply, nil)
		}
	}
	return fmt.Errorf("bus: taking a snapshot of %s: %w", stream, err)
}

// dialAside makes a connection that the bus does not depend on: nothing is doubted when it is lost, and it does not come
// back.
func (b *Bus) dialAside(name string) (*nats.Conn, error) {
	return b.dial(name, nats.NoReconnect(), nats.NoCallbacksAfterClientClose(),
		nats.DisconnectErrHandler(nil), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
}

// askSnapshot asks for a snapshot, whose pieces go to inbox, and returns the description.
func askSnapshot(ctx context.Context, conn *nats.Conn, stream, inbox string) ([]byte, error) {
	request, err := json.Marshal(map[string]any{"deliver_subject": inbox, "no_consumers": true})
	if err != nil {
		return nil, err
	}
	var answer struct {
		description
		Error *jetstream.APIError `json:"error"`
	}
	if err := ask(ctx, conn, "$JS.API.STREAM.SNAPSHOT."+stream, request, &answer); err != nil {
		return nil, err
	}
	if answer.Error != nil {
		return nil, answer.Error
	}
	return json.Marshal(answer.description)
}

// ask makes a request whose answer is JSON.
func ask(ctx context.Context, conn *nats.Conn, subject string, request []byte, answer any) error {
	ctx, cancel := context.WithTimeout(ctx, snapshotPiece)
	defer cancel()
	msg, err := conn.RequestWithContext(ctx, subject, request)
	if err != nil {
		return err
	}
	return json.Unmarshal(msg.Data, answer)
}

func nextPiece(ctx context.Context, pieces <-chan *nats.Msg) (*nats.Msg, error) {
	timeout := time.NewTimer(snapshotPiece)
	defer timeout.Stop()
	select {
	case msg := <-pieces:
		return msg, nil
	case <-timeout.C:
		return nil, errNoAnswer
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// A Restore makes a log of snapshots. It holds the data folder as a Bus does.
type Restore struct {
	bus *Bus
	js  jetstream.JetStream
}

// OpenRestore takes a data folder and reaches NATS for a log that is to be made there. Errors: ErrNotEmpty when a stream
// of the log exists already, and those of Open.
func OpenRestore(ctx context.Context, opts Options) (*Restore, error) {
	b, js, err := openIdle(ctx, opts)
	if err != nil {
		return nil, err
	}
	for _, name := range SnapshotStreams() {
		if _, err := js.Stream(ctx, name); !errors.Is(err, jetstream.ErrStreamNotFound) {
			if err == nil {
				err = fmt.Errorf("%w: there is a stream %s", ErrNotEmpty, name)
			}
			return nil, errors.Join(err, b.closeIdle())
		}
	}
	return &Restore{b, js}, nil
}

// openIdle is Open without anybody at work: the streams may be changed.
func openIdle(ctx context.Context, opts Options) (*Bus, jetstream.JetStream, error) {
	if err := opts.complete(); err != nil {
		return nil, nil, err
	}
	b := newBus(opts)
	err := b.attach()
	if err != nil {
		b.end(rooms.ErrLogClosed)
		b.teardown()
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, ensureTimeout)
	defer cancel()
	js, err := b.jetStream(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, b.closeIdle())
	}
	return b, js, nil
}

var errNotStopped = errors.New("bus: the NATS server inside this process did not stop in good order")

// closeIdle ends what openIdle opened. It leaves the checkpoint as it is.
func (b *Bus) closeIdle() error {
	b.closing.Store(true)
	b.end(rooms.ErrLogClosed)
	var err error
	if !b.teardownServer() {
		err = errNotStopped
	}
	return errors.Join(err, b.lock.release())
}

// Stream makes a stream of the pieces that Snapshot gave, in their order; next returns io.EOF after the last one. The
// stream has as many replicas as the options say, and an epoch of its own: what clients have seen after the snapshot
// was taken is not known to it, and its sequences will be used again. Errors: those of next, what NATS says, ctx's cause.
func (r *Restore) Stream(ctx context.Context, stream string, next func() ([]byte, error)) error {
	if err := r.restore(ctx, stream, next); err != nil {
		return fmt.Errorf("bus: restoring %s: %w", stream, err)
	}
	return nil
}

func (r *Restore) restore(ctx context.Context, stream string, next func() ([]byte, error)) error {
	about, err := next()
	if err != nil {
		return fmt.Errorf("reading its description: %w", err)
	}
	var request description
	if err := json.Unmarshal(about, &request); err != nil {
		return fmt.Errorf("reading its description: %w", err)
	}
	if request.Config.Name != stream || request.Config.Metadata[schemaKey] != schema {
		return fmt.Errorf("it is a snapshot of stream %q, schema %q", request.Config.Name, request.Config.Metadata[schemaKey])
	}
	request.Config.Replicas = r.bus.opts.Replicas
	request.Config.Metadata[epochKey] = newEpoch()
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	var answer struct {
		To    string              `json:"deliver_subject"`
		Error *jetstream.APIError `json:"error"`
	}
	if err := ask(ctx, r.bus.history, "$JS.API.STREAM.RESTORE."+stream, body, &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return answer.Error
	}
	if err := r.giveAll(ctx, answer.To, next); err != nil {
		// A piece that asks for no answer is one that NATS does not take: it gives up now, and not after 5 s of silence.
		return errors.Join(err, r.bus.history.Publish(answer.To, []byte("abandoned")), r.bus.history.Flush())
	}
	return nil
}

// giveAll hands NATS all pieces.
func (r *Restore) giveAll(ctx context.Context, to string, next func() ([]byte, error)) error {
	for {
		piece, err := next()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		last := err != nil
		if err := r.give(ctx, to, piece, last); err != nil || last {
			return err
		}
	}
}

// give hands NATS a piece, or the end, which is an empty one.
func (r *Restore) give(ctx context.Context, to string, piece []byte, last bool) error {
	if last {
		piece = nil
	} else if len(piece) == 0 {
		return errors.New("an empty piece would end it")
	}
	ctx, cancel := context.WithTimeout(ctx, snapshotPiece)
	defer cancel()
	msg, err := r.bus.history.RequestWithContext(ctx, to, piece)
	if err != nil {
		return err
	}
	if len(msg.Data) == 0 {
		return nil
	}
	var answer struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return answer.Error
	}
	return nil
}

// Close ends it; what was restored is on the disk then. Open finds no checkpoint in the folder and so trusts no sequence
// that a client knows.
func (r *Restore) Close() error {
	return errors.Join(r.bus.closeIdle(), syncStore(r.bus))
}

// syncStore puts the store of a server inside this process on the disk.
func syncStore(b *Bus) error {
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
