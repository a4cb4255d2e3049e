// Package endpoint asks a model's server over HTTP and puts its answer together: what the APIs have in common.
//
// # Model
//
// Stream posts one request and reads the events that come back. A Decoder, one for each API, says what an event means
// to a Collector, which emits text at once, gathers the calls, and knows when the answer is whole. The clients of the
// APIs are our own, a few hundred lines each: the official ones for OpenAI and Anthropic do more than is used here,
// and one of them alone makes a stripped binary 18.7 MB larger (24.6 MB beside 5.9 MB for net/http by itself).
//
// # Times
//
// A request has Connect until there is a connection (name, TCP, TLS), First from its start until the first piece of
// the answer, and then Stall from piece to piece. A piece is text, a thought, or part of a call. Pings and comments
// are none: a server that sends nothing else has stopped, whatever it says of itself. The time that emit takes does
// not count.
//
// # Bounds
//
// Everything that a server sends is bounded: see the constants here and in package sse. Redirects are not followed,
// because they would carry the key to another server. An error holds no text of the server's but words of its kind
// such as invalid_api_key: its messages repeat keys and conversations.
//
// # Concurrency
//
// An Endpoint may be used by any number of goroutines. One timer runs for each Stream, and ends with it.
package endpoint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"time"

	"confab/bots/provider"
	"confab/bots/provider/sse"
)

// MaxErrorBody is how much of an answer that is no stream is read, in bytes.
const MaxErrorBody = 4 << 10

// MaxConnect is the longest that connecting goes on, in two steps of that each: TCP and TLS.
const MaxConnect = time.Minute

// The times where nothing else is set.
const (
	DefaultConnect = 10 * time.Second
	DefaultFirst   = 30 * time.Second
	DefaultStall   = 15 * time.Second
)

// Times are how long a server may take. Zero values are the defaults.
type Times struct {
	Connect time.Duration // until there is a connection
	First   time.Duration // from the start until the first piece of the answer
	Stall   time.Duration // from one piece to the next
}

func (t Times) orDefaults() Times {
	for _, p := range []struct {
		of  *time.Duration
		def time.Duration
	}{{&t.Connect, DefaultConnect}, {&t.First, DefaultFirst}, {&t.Stall, DefaultStall}} {
		if *p.of <= 0 {
			*p.of = p.def
		}
	}
	return t
}

// Options say where an Endpoint is and how it is asked.
type Options struct {
	Provider  string            // its name in errors
	URL       string            // http or https, with the path of the request
	Key       provider.Key      // none = no header for it
	KeyHeader string            // the header that carries the key; empty = Authorization, as a bearer token (RFC 6750)
	Header    map[string]string // sent along
	Times     Times
	Transport http.RoundTripper // nil = NewTransport()
}

// An Endpoint is one address that answers requests with event streams.
type Endpoint struct {
	name   string
	url    string
	key    provider.Key
	header http.Header
	times  Times
	client *http.Client
}

// New returns an Endpoint. It opens no connection.
func New(opts Options) *Endpoint {
	e := &Endpoint{name: opts.Provider, url: opts.URL, key: opts.Key, header: http.Header{}, times: opts.Times.orDefaults()}
	for name, value := range opts.Header {
		e.header.Set(name, value)
	}
	e.header.Set("Content-Type", "application/json")
	e.header.Set("Accept", "text/event-stream")
	e.header.Set("User-Agent", "confab")
	switch {
	case opts.Key.IsZero():
	case opts.KeyHeader != "":
		e.header.Set(opts.KeyHeader, opts.Key.Reveal())
	default:
		e.header.Set("Authorization", "Bearer "+opts.Key.Reveal())
	}
	if opts.Transport == nil {
		opts.Transport = NewTransport()
	}
	e.client = &http.Client{Transport: opts.Transport, CheckRedirect: func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse
	}}
	return e
}

// NewTransport returns a Transport for any number of Endpoints. It goes on connecting when a request has given up, up to
// MaxConnect, because the next request may use the connection. Connections of HTTP/2 that died are found by pings,
// so that requests do not wait on them.
func NewTransport() *http.Transport {
	return &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		DialContext:            (&net.Dialer{Timeout: MaxConnect}).DialContext,
		TLSHandshakeTimeout:    MaxConnect,
		ForceAttemptHTTP2:      true,
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
		DisableCompression:     true, // it would hold pieces back
		MaxIdleConnsPerHost:    8,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// A Decoder knows the events of one API.
type Decoder interface {
	// Event tells c what the event means. An error ends the answer; one that is no *provider.Error means that the
	// event could not be read.
	Event(c *Collector, event sse.Event) error
}

// Own returns those of a message's thoughts that came from this endpoint; nil unless one stands before its first call,
// which is how the APIs want them: others came from elsewhere, or were too large to be kept.
func (e *Endpoint) Own(m provider.Message) []provider.Thought {
	if len(m.Thoughts) == 0 || m.Thoughts[0].By != e.name || m.Thoughts[0].Before > 0 {
		return nil
	}
	return m.Thoughts
}

// Stream posts body as JSON and reads the answer. What was emitted and is known of the turn stands also beside an error.
//
// Errors: *provider.Error, or ctx's cause.
func (e *Endpoint) Stream(ctx context.Context, body any, d Decoder, emit func(provider.Part)) (provider.Turn, error) {
	c := NewCollector(emit)
	err := e.stream(ctx, body, d, c)
	if err == nil {
		err = c.finish()
	} else {
		c.turn.Thoughts = nil
	}
	for i := range c.turn.Thoughts {
		c.turn.Thoughts[i].By = e.name
	}
	var known *provider.Error
	switch {
	case err == nil:
	case errors.As(err, &known):
		known.Provider = e.name
	case context.Cause(ctx) != nil:
		err = context.Cause(ctx)
	default:
		err = &provider.Error{Code: provider.Broken, Provider: e.name, Status: http.StatusOK, Err: err}
	}
	return c.turn, err
}

func (e *Endpoint) stream(parent context.Context, body any, d Decoder, c *Collector) error {
	payload, err := json.Marshal(body)
	if err != nil {
		return &provider.Error{Code: provider.BadRequest, Err: fmt.Errorf("the request cannot be written: %w", err)}
	}
	ctx, watch := e.watch(parent)
	defer watch.end()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url, bytes.NewReader(payload))
	if err != nil {
		return &provider.Error{Code: provider.BadRequest, Err: errors.New("the provider's url is none")}
	}
	req.Header = e.header.Clone()
	resp, err := e.client.Do(req)
	if err != nil {
		return failure(ctx, provider.Unavailable, 0, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return e.refused(ctx, resp)
	}
	if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind != "text/event-stream" {
		return &provider.Error{Code: provider.Broken, Status: resp.StatusCode, Err: errors.New("the answer is no event stream")}
	}
	return e.read(ctx, watch, sse.NewReader(resp.Body), d, c)
}

// read takes events until the answer is whole.
func (e *Endpoint) read(ctx context.Context, watch *watch, events *sse.Reader, d Decoder, c *Collector) error {
	for !c.over {
		event, err := events.Next()
		switch {
		case err == nil:
		case c.turn.Stop != "" && parentAlive(ctx): // only what is said after the end is missing
			return nil
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return failure(ctx, provider.Broken, http.StatusOK, errors.New("the stream ended before the answer did"))
		default:
			return failure(ctx, provider.Broken, http.StatusOK, err)
		}
		watch.hold()
		before := c.pieces
		if err := d.Event(c, event); err != nil {
			return e.unreadable(err)
		}
		watch.release(c.pieces > before, c.Stopped())
	}
	return nil
}

// unreadable is the error of a Decoder.
func (e *Endpoint) unreadable(err error) error {
	if reported, ok := errors.AsType[*Failure](err); ok {
		return e.reported(reported)
	}
	return &provider.Error{Code: provider.Broken, Status: http.StatusOK, Err: err}
}
