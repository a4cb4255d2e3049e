package bus

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"regexp"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"confab/rooms"
)

const (
	// OutboxLanes is how many parcels of a destination can be on their way at a time. Parcels of one key share a lane,
	// and of a lane one is on its way at a time, so those of a key arrive in order.
	OutboxLanes = 8
	// OutboxAge is how long a parcel is kept; who takes them gives up earlier, and knows it.
	OutboxAge = 26 * time.Hour

	outboxStream   = "OUTBOX"
	outboxPrefix   = "outbox."
	outboxConn     = "outbox"         // the name of the connection
	outboxMaxBytes = 128 << 20        // of all destinations
	outboxPerLane  = 8192             // parcels of one destination and lane
	outboxWait     = 20 * time.Second // for a parcel, before it is asked for again
	outboxIdle     = 3 * OutboxAge    // after which a consumer goes that nobody asks: its destination is no more
)

// Error codes with which JetStream says that a stream holds what it may (nats-server, server/errors.json), for which its
// error texts are looked at too: several reasons share one code.
const codeStoreFailed = 10077

// ErrOutboxFull says that a destination, or all of them together, has as many parcels waiting as there may be.
var ErrOutboxFull = errors.New("bus: the outbox is full")

// An Outbox keeps parcels for destinations outside until they are delivered: a stream beside those of the log, from which
// each parcel goes when it is taken. It survives the process, and on a cluster the node. Destinations do not take from
// each other: each lane of each has a bound of its own. It may be used from any goroutine. It ends with the Bus; who waits
// in Next has to be gone by then.
type Outbox struct {
	// Set by OpenOutbox, then constant.
	bus    *Bus
	js     jetstream.JetStream
	stream jetstream.Stream
	lease  time.Duration

	mu        sync.Mutex
	consumers map[string]jetstream.Consumer // by name; guarded by mu
}

// A Parcel is on its way to a destination. Exactly one of Done and Retry is to be called within the lease; otherwise it
// comes again.
type Parcel struct {
	Payload []byte
	Stored  time.Time // when it was put in
	Attempt int       // from 1 on
	msg     jetstream.Msg
}

// validDestination is what may be a part of a subject.
var validDestination = regexp.MustCompile(`^[a-z0-9]{1,32}$`)

// OpenOutbox makes or checks the stream. lease is how long a parcel may be on its way; it is called once, and after Open.
// Errors: as of Open.
func (b *Bus) OpenOutbox(ctx context.Context, lease time.Duration) (*Outbox, error) {
	conn, err := b.dial(outboxConn)
	if err != nil {
		return nil, err
	}
	b.outbox = conn // closed with the others
	js, err := jetstream.New(conn)
	if err != nil {
		return nil, fmt.Errorf("bus: %w", err)
	}
	o := &Outbox{bus: b, js: js, lease: lease, consumers: make(map[string]jetstream.Consumer)}
	ctx, cancel := context.WithTimeout(ctx, ensureTimeout)
	defer cancel()
	return o, b.persist(ctx, ensureTimeout, isLasting, briefly(func(ctx context.Context) (err error) {
		if _, _, err = b.ensure(ctx, js, b.outboxConfig()); err == nil {
			o.stream, err = js.Stream(ctx, outboxStream)
		}
		return err
	}))
}

// outboxConfig is what the stream must be. When it is full it refuses: what is new is lost with an error, and what was
// taken is not.
func (b *Bus) outboxConfig() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name:                 outboxStream,
		Subjects:             []string{outboxPrefix + "*.*"},
		Storage:              jetstream.FileStorage,
		Retention:            jetstream.WorkQueuePolicy,
		Discard:              jetstream.DiscardNew,
		DiscardNewPerSubject: true,
		MaxMsgsPerSubject:    outboxPerLane,
		MaxBytes:             outboxMaxBytes,
		MaxAge:               OutboxAge,
		Replicas:             b.opts.Replicas,
		Duplicates:           dedupWindow,
		Metadata:             map[string]string{schemaKey: schema, epochKey: newEpoch()},
	}
}

// OutboxLane is the lane of a key.
func OutboxLane(key string) int {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(key)) // never fails
	return int(hash.Sum32() % OutboxLanes)
}

func outboxSubject(destination string, lane int) string {
	return outboxPrefix + destination + "." + strconv.Itoa(lane)
}

// Put stores a parcel at the end of a lane of a destination, and waits for that, until ctx ends. A repeat with the same
// id within two minutes is harmless. Errors: ErrOutboxFull, rooms.ErrUnavailable after 15 s, rooms.ErrLogClosed, ctx's
// cause.
func (o *Outbox) Put(ctx context.Context, destination string, lane int, id string, payload []byte) error {
	if !validDestination.MatchString(destination) || lane < 0 || lane >= OutboxLanes {
		return fmt.Errorf("%w: %q, lane %d", ErrBadName, destination, lane)
	}
	msg := nats.NewMsg(outboxSubject(destination, lane))
	msg.Data = payload
	msg.Header[nats.MsgIdHdr] = []string{escapeID(destination + "." + id)}
	full := func(err error) bool { return errors.Is(err, ErrOutboxFull) }
	err := o.bus.persist(ctx, appendPatience, full, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, startTry)
		defer cancel()
		_, err := o.js.PublishMsg(ctx, msg)
		var refusal *jetstream.APIError
		if errors.As(err, &refusal) && refusal.ErrorCode == codeStoreFailed {
			return fmt.Errorf("%w: %w", ErrOutboxFull, err)
		}
		return err
	})
	return o.bus.outcome(ctx, "storing "+msg.Subject, err, full)
}

// Next waits for the next parcel of a lane, until ctx ends. It comes when the one before is done, or when its turn to be
// tried again has come. Errors: rooms.ErrUnavailable, rooms.ErrLogClosed, ctx's cause.
func (o *Outbox) Next(ctx context.Context, destination string, lane int) (*Parcel, error) {
	for {
		msg, err := o.fetch(ctx, destination, lane)
		switch {
		case err == nil:
			return parcelOf(msg)
		case over(ctx) || o.bus.lifetime.Err() != nil:
			return nil, o.bus.gone(ctx)
		case errors.Is(err, nats.ErrTimeout):
			continue // there was none for outboxWait
		}
		o.forget(destination, lane)
		return nil, fmt.Errorf("waiting for %s: %w: %w", outboxSubject(destination, lane), rooms.ErrUnavailable, err)
	}
}

func (o *Outbox) fetch(ctx context.Context, destination string, lane int) (jetstream.Msg, error) {
	consumer, err := o.consumer(ctx, destination, lane)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, outboxWait)
	defer cancel()
	stop := context.AfterFunc(o.bus.lifetime, cancel)
	defer stop()
	msg, err := consumer.Next(jetstream.FetchContext(ctx))
	if errors.Is(err, context.DeadlineExceeded) {
		err = nats.ErrTimeout
	}
	return msg, err
}

func parcelOf(msg jetstream.Msg) (*Parcel, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, fmt.Errorf("a parcel without its place in the stream: %w", err)
	}
	return &Parcel{Payload: msg.Data(), Stored: meta.Timestamp, Attempt: int(meta.NumDelivered), msg: msg}, nil
}

// consumer finds or makes the consumer of a lane, which remembers how often each parcel was tried.
func (o *Outbox) consumer(ctx context.Context, destination string, lane int) (jetstream.Consumer, error) {
	name := destination + "-" + strconv.Itoa(lane)
	o.mu.Lock()
	known := o.consumers[name]
	o.mu.Unlock()
	if known != nil {
		return known, nil
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	made, err := o.js.CreateOrUpdateConsumer(ctx, outboxStream, jetstream.ConsumerConfig{
		Durable: name, FilterSubject: outboxSubject(destination, lane), AckPolicy: jetstream.AckExplicitPolicy, AckWait: o.lease,
		MaxAckPending: 1, MaxDeliver: -1, InactiveThreshold: outboxIdle,
	})
	if err != nil {
		return nil, err
	}
	o.mu.Lock()
	o.consumers[name] = made
	o.mu.Unlock()
	return made, nil
}

// forget has the consumer of a lane looked up anew: it may be gone.
func (o *Outbox) forget(destination string, lane int) {
	o.mu.Lock()
	delete(o.consumers, destination+"-"+strconv.Itoa(lane))
	o.mu.Unlock()
}

// Done takes the parcel out. Errors: those of the connection; then it comes again.
func (p *Parcel) Done(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	return p.msg.DoubleAck(ctx)
}

// Retry has the parcel come again after some time, and holds back those of its lane until then.
func (p *Parcel) Retry(after time.Duration) error { return p.msg.NakWithDelay(after) }

// Waiting counts the parcels of each destination that are not done. Errors: as of Put.
func (o *Outbox) Waiting(ctx context.Context) (map[string]uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	info, err := o.stream.Info(ctx, jetstream.WithSubjectFilter(outboxPrefix+">"))
	if err != nil {
		return nil, fmt.Errorf("counting parcels: %w: %w", rooms.ErrUnavailable, err)
	}
	all := map[string]uint64{}
	for subject, count := range info.State.Subjects {
		destination := subject[len(outboxPrefix) : len(subject)-2] // the lane is one digit
		all[destination] += count
	}
	return all, nil
}

// Discard takes all parcels of a destination out.
func (o *Outbox) Discard(ctx context.Context, destination string) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := o.stream.Purge(ctx, jetstream.WithPurgeSubject(outboxPrefix+destination+".*")); err != nil {
		return fmt.Errorf("discarding parcels: %w: %w", rooms.ErrUnavailable, err)
	}
	return nil
}

// over reports whether ctx has ended or its deadline has passed, which NATS may notice before ctx does.
func over(ctx context.Context) bool {
	if at, ok := ctx.Deadline(); ok && !time.Now().Before(at) {
		<-ctx.Done()
	}
	return ctx.Err() != nil
}
