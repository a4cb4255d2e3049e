package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// Restore makes a stream of the pieces that Snapshot gave, in their order; next returns io.EOF after the last one. The
// stream has as many replicas as the options say, and an epoch of its own: what clients have seen after the snapshot
// was taken is not known to it, and its sequences will be used again. Errors: those of next, what NATS says, ctx's cause.
func (i *Idle) Restore(ctx context.Context, stream string, next func() ([]byte, error)) error {
	i.changed = true
	if err := i.restore(ctx, stream, next); err != nil {
		return fmt.Errorf("bus: restoring %s: %w", stream, err)
	}
	return nil
}

func (i *Idle) restore(ctx context.Context, stream string, next func() ([]byte, error)) error {
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
	request.Config.Replicas = i.bus.opts.Replicas
	request.Config.Metadata[epochKey] = newEpoch()
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	var answer struct {
		To    string              `json:"deliver_subject"`
		Error *jetstream.APIError `json:"error"`
	}
	if err := ask(ctx, i.bus.history, "$JS.API.STREAM.RESTORE."+stream, body, &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return answer.Error
	}
	if err := i.giveAll(ctx, answer.To, next); err != nil {
		// A piece that asks for no answer is one that NATS does not take: it gives up now, and not after 5 s of silence.
		return errors.Join(err, i.bus.history.Publish(answer.To, []byte("abandoned")), i.bus.history.Flush())
	}
	return nil
}

// giveAll hands NATS all pieces.
func (i *Idle) giveAll(ctx context.Context, to string, next func() ([]byte, error)) error {
	for {
		piece, err := next()
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		last := err != nil
		if err := i.give(ctx, to, piece, last); err != nil || last {
			return err
		}
	}
}

// give hands NATS a piece, or the end, which is an empty one.
func (i *Idle) give(ctx context.Context, to string, piece []byte, last bool) error {
	if last {
		piece = nil
	} else if len(piece) == 0 {
		return errors.New("an empty piece would end it")
	}
	ctx, cancel := context.WithTimeout(ctx, snapshotPiece)
	defer cancel()
	msg, err := i.bus.history.RequestWithContext(ctx, to, piece)
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
