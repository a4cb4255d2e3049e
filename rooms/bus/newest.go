package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"

	"confab/rooms"
	"confab/signaling/wire"
)

// newestBatch is how many timelines one request asks for: the answers come with their payloads, of up to wire.MaxTextBytes
// each.
const newestBatch = 32

// Newest asks for the sequence of the newest record of each of some timelines of one room; see rooms.Log. The
// subjects are named one by one: threads share the token of their room, so no wildcard stands for them, and a request
// with many names costs NATS one look into its index for each, 18 µs of CPU. A replica answers, maybe a moment behind.
// Errors: ErrBadName, rooms.ErrUnavailable, rooms.ErrLogClosed, ctx's cause.
func (b *Bus) Newest(ctx context.Context, timelines ...rooms.Timeline) ([]wire.Seq, error) {
	if b.closing.Load() {
		return nil, rooms.ErrLogClosed
	}
	newest := make([]wire.Seq, len(timelines))
	for from := 0; from < len(timelines); from += newestBatch {
		to := min(from+newestBatch, len(timelines))
		if err := b.newestOf(ctx, timelines[from:to], newest[from:to]); err != nil {
			return nil, err
		}
	}
	return newest, nil
}

// newestOf fills newest for at most newestBatch timelines.
func (b *Bus) newestOf(ctx context.Context, timelines []rooms.Timeline, newest []wire.Seq) error {
	subjects, index := make([]string, len(timelines)), make(map[string]int, len(timelines))
	partition := 0
	for i, t := range timelines {
		at, err := locate(t)
		if err != nil {
			return err
		}
		if i > 0 && at.partition != partition {
			return fmt.Errorf("bus: asking for the newest records of two rooms at once: %q and %q", timelines[0].Room, t.Room)
		}
		subjects[i], index[at.subject], partition = at.subject, i, at.partition
	}
	never := func(error) bool { return false }
	err := b.retryRead(ctx, func(ctx context.Context) error {
		clear(newest)
		return b.multiLast(ctx, partition, subjects, func(subject string, seq wire.Seq) {
			if i, ok := index[subject]; ok {
				newest[i] = seq
			}
		})
	})
	return b.outcome(ctx, "asking for the newest records of "+subjects[0]+" and others", err, never)
}

// multiLast makes one request for the last records of subjects of a partition (nats-server, getDirectMulti). The answer
// is one message a record, then an end mark with status 204; with no record at all it is one message with status 404.
func (b *Bus) multiLast(ctx context.Context, partition int, subjects []string, each func(string, wire.Seq)) error {
	request, err := json.Marshal(struct {
		MultiLast []string `json:"multi_last"`
	}{subjects})
	if err != nil {
		return err
	}
	inbox := b.history.NewInbox()
	answers := make(chan *nats.Msg, len(subjects)+1)
	sub, err := b.history.ChanSubscribe(inbox, answers)
	if err != nil {
		return err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only when the connection is closed
	if err := b.history.PublishRequest("$JS.API.DIRECT.GET."+b.parts[partition].name, inbox, request); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", errNoAnswer, context.Cause(ctx))
		case msg := <-answers:
			switch status := first(msg.Header, headerStatus); status {
			case "":
				seq, err := strconv.ParseUint(first(msg.Header, headerSeq), 10, 64)
				if err != nil {
					return fmt.Errorf("a record without a sequence: %w", err)
				}
				each(first(msg.Header, headerSubject), wire.Seq(seq))
			case "204", "404":
				return nil
			default:
				return fmt.Errorf("NATS refuses the read: %s %s", status, first(msg.Header, "Description"))
			}
		}
	}
}
