package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"

	"confab/rooms"
	"confab/signaling/wire"
)

const (
	pageRecords = 256
	pageBytes   = 4 << 20
	readTries   = 3 // of one page, requestTimeout each
)

// Headers that NATS puts on what it republishes and on the answers to direct gets.
const (
	headerSubject = "Nats-Subject"
	headerSeq     = "Nats-Sequence"
	headerPrev    = "Nats-Last-Sequence"
	headerTime    = "Nats-Time-Stamp"
	headerPending = "Nats-Num-Pending"
	headerStatus  = "Status"
)

// headerTaken says when an append was taken in, in Unix milliseconds, where nobody else writes: NATS has its own time, but
// does not confirm it, and a record must bear the same one however it is read.
const headerTaken = "Taken"

// errNoAnswer: a read ended before its end mark came.
var errNoAnswer = errors.New("NATS did not answer the read")

// recordOf reads a republished record or the answer to a direct get. prev is the sequence in Nats-Last-Sequence.
func recordOf(msg *nats.Msg) (record rooms.Record, prev wire.Seq, err error) {
	seq, err := strconv.ParseUint(first(msg.Header, headerSeq), 10, 64)
	if err != nil {
		return rooms.Record{}, 0, fmt.Errorf("a record without a sequence on %s: %w", msg.Subject, err)
	}
	if text := first(msg.Header, headerPrev); text != "" {
		if n, err := strconv.ParseUint(text, 10, 64); err == nil {
			prev = wire.Seq(n)
		}
	}
	at, err := timeOf(msg.Header)
	if err != nil {
		return rooms.Record{}, 0, fmt.Errorf("a record without a time on %s: %w", msg.Subject, err)
	}
	return rooms.Record{
		Seq:  wire.Seq(seq),
		Time: at,
		ID:   unescapeID(first(msg.Header, nats.MsgIdHdr)),
		// Not a copy, although NATS holds header and payload in one allocation: nobody keeps it for long.
		Payload: msg.Data,
	}, prev, nil
}

func timeOf(h nats.Header) (time.Time, error) {
	if text := first(h, headerTaken); text != "" {
		milli, err := strconv.ParseInt(text, 10, 64)
		return time.UnixMilli(milli), err
	}
	return time.Parse(time.RFC3339Nano, first(h, headerTime))
}

// first is Header.Get without the canonical form: NATS writes the names as they are above.
func first(h nats.Header, key string) string {
	if values := h[key]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// readFrom reads every record of a timeline from sequence from on, oldest first, in pages on the history
// connection. Prev links the records read; that of the first is 0. Of a timeline that grows faster than it is
// read, no more than twice what the log keeps is held, the newest. The caller holds a place in Bus.reads.
func (b *Bus) readFrom(ctx context.Context, at place, from wire.Seq) ([]rooms.Record, error) {
	b.counts.reads.Add(1)
	var records []rooms.Record
	for more := true; more; {
		size := len(records)
		err := b.retryRead(ctx, func(ctx context.Context) (err error) {
			records, more, err = b.readPage(ctx, at, from, records[:size])
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("reading %s from %d: %w", at.subject, from, err)
		}
		if len(records) == size {
			break
		}
		from = records[len(records)-1].Seq + 1
		if keep := b.opts.perTimeline(); len(records) > 2*keep+pageRecords {
			records = slices.Delete(records, 0, len(records)-keep)
		}
	}
	for i := 1; i < len(records); i++ {
		records[i].Prev = records[i-1].Seq
	}
	if n := len(records); n > 0 {
		b.parts[at.partition].saw(uint64(records[n-1].Seq))
	}
	return records, nil
}

// retryRead tries a request readTries times.
func (b *Bus) retryRead(ctx context.Context, try func(context.Context) error) error {
	tries := 0
	return b.persist(ctx, readTries*requestTimeout, func(error) bool { tries++; return tries >= readTries }, func(ctx context.Context) error {
		ctx, cancel := b.whileLinked(ctx)
		defer cancel()
		return try(ctx)
	})
}

// A getRequest is the body of a direct get and of a get from the leader (nats-server, JSApiMsgGetRequest).
type getRequest struct {
	Seq      wire.Seq `json:"seq,omitempty"`
	Last     string   `json:"last_by_subj,omitempty"`
	Next     string   `json:"next_by_subj,omitempty"`
	Batch    int      `json:"batch,omitempty"`
	MaxBytes int      `json:"max_bytes,omitempty"`
}

func (r getRequest) encode() []byte {
	data, err := json.Marshal(r)
	if err != nil {
		panic(err) // numbers and strings
	}
	return data
}

// readPage appends one page to records. The answer to a batch is one message a record, then an end mark with
// status 204 that tells how many are left; a page with no record is one message with status 404.
func (b *Bus) readPage(ctx context.Context, at place, from wire.Seq, records []rooms.Record) (_ []rooms.Record, more bool, err error) {
	inbox := b.history.NewInbox()
	answers := make(chan *nats.Msg, pageRecords+1)
	sub, err := b.history.ChanSubscribe(inbox, answers)
	if err != nil {
		return records, false, err
	}
	defer func() { _ = sub.Unsubscribe() }() // fails only when the connection is closed
	request := getRequest{Seq: max(from, 1), Next: at.subject, Batch: pageRecords, MaxBytes: pageBytes}
	subject := "$JS.API.DIRECT.GET." + b.parts[at.partition].name
	if err := b.history.PublishRequest(subject, inbox, request.encode()); err != nil {
		return records, false, err
	}
	for {
		select {
		case <-ctx.Done():
			return records, false, fmt.Errorf("%w: %w", errNoAnswer, context.Cause(ctx))
		case msg := <-answers:
			switch status := first(msg.Header, headerStatus); status {
			case "":
				record, _, err := recordOf(msg)
				if err != nil {
					return records, false, err
				}
				records = append(records, record)
			case "204":
				return records, first(msg.Header, headerPending) != "0", nil
			case "404":
				return records, false, nil
			default:
				return records, false, fmt.Errorf("NATS refuses the read: %s %s", status, first(msg.Header, "Description"))
			}
		}
	}
}

// lastOf asks for the sequence of the newest record, 0 when there is none. A replica answers, maybe a moment behind.
func (b *Bus) lastOf(ctx context.Context, at place) (wire.Seq, error) {
	msg, err := b.request(ctx, "$JS.API.DIRECT.GET."+b.parts[at.partition].name, getRequest{Last: at.subject}.encode())
	if err != nil {
		return 0, fmt.Errorf("asking for the last sequence of %s: %w", at.subject, err)
	}
	switch status := first(msg.Header, headerStatus); status {
	case "":
		seq, err := strconv.ParseUint(first(msg.Header, headerSeq), 10, 64)
		if err != nil {
			return 0, fmt.Errorf("asking for the last sequence of %s: %w", at.subject, err)
		}
		return wire.Seq(seq), nil
	case "404":
		return 0, nil
	default:
		return 0, fmt.Errorf("asking for the last sequence of %s: NATS refuses: %s", at.subject, status)
	}
}

// A storedMessage is what the leader of a stream holds.
type storedMessage struct {
	Subject string   `json:"subject"`
	Seq     wire.Seq `json:"seq"`
	Header  []byte   `json:"hdrs"`
	Data    []byte   `json:"data"`
}

// owner is the node that a room's document belongs to, empty = none.
func (m *storedMessage) owner() rooms.NodeID {
	if len(m.Header) == 0 {
		return noNode
	}
	header, err := nats.DecodeHeadersMsg(m.Header)
	if err != nil {
		return noNode // it was written by another program
	}
	return rooms.NodeID(first(header, headerOwner))
}

// leaderGet asks the leader, which unlike a replica is never behind. nil: no such message.
func (b *Bus) leaderGet(ctx context.Context, stream string, what getRequest) (*storedMessage, error) {
	msg, err := b.request(ctx, "$JS.API.STREAM.MSG.GET."+stream, what.encode())
	if err != nil {
		return nil, err
	}
	var answer struct {
		Error   *apiError      `json:"error"`
		Message *storedMessage `json:"message"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return nil, fmt.Errorf("an answer that cannot be read: %w", err)
	}
	switch {
	case answer.Error == nil && answer.Message != nil:
		return answer.Message, nil
	case answer.Error != nil && answer.Error.ErrCode == codeNoMessage:
		return nil, nil
	case answer.Error != nil:
		return nil, answer.Error
	}
	return nil, errors.New("an answer without a message")
}

// currentFrom is readFrom that is not fooled by a replica which is behind: what the leader held when it was
// called is in the result.
func (b *Bus) currentFrom(ctx context.Context, at place, from wire.Seq) ([]rooms.Record, error) {
	for pause := 2 * time.Millisecond; ; pause *= 2 {
		var least wire.Seq
		if b.opts.Replicas > 1 { // asked each time: the newest may be erased meanwhile
			newest, err := b.leaderGet(ctx, b.parts[at.partition].name, getRequest{Last: at.subject})
			if err != nil {
				return nil, fmt.Errorf("asking for the last sequence of %s: %w", at.subject, err)
			}
			if newest != nil {
				least = newest.Seq
			}
		}
		records, err := b.readFrom(ctx, at, from)
		if err != nil || least < from || len(records) > 0 && records[len(records)-1].Seq >= least {
			return records, err
		}
		if pause > 500*time.Millisecond {
			return nil, fmt.Errorf("reading %s from %d: %w: a replica is behind", at.subject, from, errNoAnswer)
		}
		if err := sleep(ctx, pause); err != nil {
			return nil, err
		}
	}
}

// sleep waits for d, or gives the cause of the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// enter takes a place for a read.
func (b *Bus) enter(ctx context.Context, places chan struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return b.gone(ctx)
	case <-b.lifetime.Done():
		return rooms.ErrLogClosed
	}
}
