package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	connectTimeout = 5 * time.Second
	requestTimeout = 5 * time.Second // one request to NATS; whoever asks tries again
	flushTimeout   = 5 * time.Second // one write to NATS; a longer one breaks the connection
	pingInterval   = 5 * time.Second // two unanswered = the connection is dead
)

// The oldest server that knows batch direct gets and stream metadata, which older ones silently ignore.
const (
	minServerMajor = 2
	minServerMinor = 11
)

// connect makes the connections and refuses a server that is too old.
func (b *Bus) connect() error {
	for _, c := range []struct {
		name string
		conn **nats.Conn
	}{{"publish", &b.publish}, {"subscribe", &b.subscribe}, {"history", &b.history}} {
		if b.alone() && c.name == "subscribe" {
			continue
		}
		nc, err := b.dial(c.name)
		if err != nil {
			return err
		}
		*c.conn = nc
	}
	b.maxPayload.Store(b.publish.MaxPayload())
	return checkVersion(b.history.ConnectedServerVersion())
}

// checkVersion refuses servers older than 2.11.
func checkVersion(version string) error {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	x, errX := strconv.Atoi(major)
	y, errY := strconv.Atoi(minor)
	if errX != nil || errY != nil {
		return fmt.Errorf("bus: the NATS server calls its version %q; %d.%d or newer is needed", version, minServerMajor, minServerMinor)
	}
	if x < minServerMajor || x == minServerMajor && y < minServerMinor {
		return fmt.Errorf("bus: the NATS server is version %s; %d.%d or newer is needed: upgrade it, or leave the URL away to use the server inside this process",
			version, minServerMajor, minServerMinor)
	}
	return nil
}

// dial makes one connection. It reconnects for ever, unless more says otherwise, and buffers nothing meanwhile: the bus
// knows what to send again.
func (b *Bus) dial(name string, more ...nats.Option) (*nats.Conn, error) {
	options := []nats.Option{
		nats.Name("confab " + name),
		nats.Timeout(connectTimeout),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(100 * time.Millisecond),
		nats.ReconnectJitter(100*time.Millisecond, 200*time.Millisecond),
		nats.ReconnectBufSize(-1),
		nats.FlusherTimeout(flushTimeout),
		nats.ReconnectOnFlusherError(), // what a failed write held is lost, subscriptions too
		nats.PingInterval(pingInterval),
		nats.MaxPingsOutstanding(2),
		nats.SkipSubjectValidation(), // locate has done it
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { b.linkLost(name, err) }),
		nats.ReconnectHandler(func(*nats.Conn) { b.linkBack(name) }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { b.linkError(name, err) }),
	}
	options = append(options, more...)
	if b.server != nil {
		nc, err := nats.Connect("", append(options, nats.InProcessServer(b.server.server))...)
		if err != nil {
			return nil, fmt.Errorf("bus: connecting to the NATS server inside this process: %w", err)
		}
		return nc, nil
	}
	if b.opts.CredsFile != "" {
		options = append(options, nats.UserCredentials(b.opts.CredsFile))
	}
	if len(b.opts.RootCAs) > 0 {
		options = append(options, nats.RootCAs(b.opts.RootCAs...))
	}
	nc, err := nats.Connect(b.opts.URL, options...)
	if err != nil {
		return nil, fmt.Errorf("bus: connecting to NATS at the URL given (its host must run nats-server with JetStream and be reachable from here): %w", err)
	}
	return nc, nil
}

// linkLost is told by NATS that a connection is gone. From here on no follower trusts what it is sent, until
// its partition has been verified: the server may come back with an older log.
func (b *Bus) linkLost(name string, err error) {
	if b.closing.Load() || b.lifetime.Err() != nil {
		return
	}
	b.log.Warn("connection to NATS lost", "connection", name, "err", err)
	b.counts.lost.Add(1)
	b.lost.Store(name, true)
	if name == outboxConn {
		return
	}
	if name == nodesConn {
		if b.launched.Load() {
			b.nodes.cut()
		}
		return
	}
	b.links.Add(1)
	if name == "history" {
		b.unanswered()
	}
	b.doubtAll()
}

// A link is the history connection from one loss to the next.
type link struct {
	up   context.Context // ends with the connection
	lost context.CancelFunc
}

var errLinkLost = errors.New("the connection to NATS was lost")

// unanswered ends the requests under way on the history connection: their answers went down with it.
func (b *Bus) unanswered() {
	next := new(link)
	next.up, next.lost = context.WithCancel(b.lifetime)
	if last := b.link.Swap(next); last != nil {
		last.lost()
	}
}

// whileLinked is ctx for one request: it ends after requestTimeout, and when the history connection is lost.
func (b *Bus) whileLinked(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, timeout := context.WithTimeout(ctx, requestTimeout)
	ctx, end := context.WithCancelCause(ctx)
	stop := context.AfterFunc(b.link.Load().up, func() { end(errLinkLost) })
	return ctx, func() {
		stop()
		end(nil)
		timeout()
	}
}

// linkBack is told that it is back, with its subscriptions.
func (b *Bus) linkBack(name string) {
	if b.closing.Load() {
		return
	}
	b.log.Info("connection to NATS is back", "connection", name)
	b.lost.Delete(name)
	if !b.launched.Load() {
		return // nothing is open or appended yet
	}
	switch name {
	case outboxConn:
		return
	case nodesConn:
		b.nodes.renew()
		return
	case "publish":
		b.maxPayload.Store(b.publish.MaxPayload())
		b.appender.again()
	case "subscribe":
		// What is appended between a follower's check and the server's taking the subscriptions anew would be
		// missed until the next check. An error means that the connection is lost once more.
		_ = b.subscribe.FlushTimeout(requestTimeout)
	}
	b.links.Add(1)
	b.doubtAll()
}

// linkError is told of errors that no call returns: mostly that messages were dropped because a shard was behind.
func (b *Bus) linkError(name string, err error) {
	if b.closing.Load() {
		return
	}
	b.log.Warn("NATS reports an error", "connection", name, "err", err)
	if !errors.Is(err, nats.ErrSlowConsumer) || !b.launched.Load() {
		return
	}
	switch name {
	case "publish":
		b.appender.forgetReplies()
		b.checkAll()
	case "subscribe":
		b.checkAll()
	}
}

// request asks NATS on the history connection and waits up to requestTimeout for the answer.
func (b *Bus) request(ctx context.Context, subject string, body []byte) (*nats.Msg, error) {
	ctx, cancel := b.whileLinked(ctx)
	defer cancel()
	return b.history.RequestWithContext(ctx, subject, body)
}

// persist calls try until it gives no error, for at most limit and while ctx and the bus live. Every error is
// taken for temporary but those that final accepts.
func (b *Bus) persist(ctx context.Context, limit time.Duration, final func(error) bool, try func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	stop := context.AfterFunc(b.lifetime, cancel)
	defer stop()
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		err := try(ctx)
		if err == nil || final(err) {
			return err
		}
		if sleep(ctx, pause) != nil {
			return err
		}
	}
}
