package endpoint

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"

	"confab/bots/provider"
)

// Open posts body and returns what comes back as it comes: sound, say, and no events. The times hold for it as for
// Stream, each piece being what one Read brings; the time between two of them does not count. The caller closes it.
//
// Errors, of its Read too: *provider.Error, or ctx's cause.
func (e *Endpoint) Open(ctx context.Context, contentType string, body []byte) (io.ReadCloser, error) {
	watched, watch := e.watch(ctx)
	o := &opened{ctx: watched, watch: watch, name: e.name}
	req, err := http.NewRequestWithContext(watched, http.MethodPost, e.url, bytes.NewReader(body))
	if err != nil {
		watch.end()
		return nil, &provider.Error{Code: provider.BadRequest, Provider: e.name, Err: errors.New("the provider's url is none")}
	}
	req.Header = e.header.Clone()
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", "*/*")
	resp, err := e.client.Do(req)
	if err != nil {
		defer watch.end()
		return nil, o.named(failure(watched, provider.Unavailable, 0, err))
	}
	if resp.StatusCode != http.StatusOK {
		defer watch.end()
		defer resp.Body.Close()
		return nil, o.named(e.refused(watched, resp))
	}
	o.body = resp.Body
	return o, nil
}

// An opened is the body of an answer. It is for one goroutine.
type opened struct {
	ctx   context.Context
	watch *watch
	name  string
	body  io.ReadCloser
	began bool
	held  bool
}

// Read implements io.Reader.
func (o *opened) Read(b []byte) (int, error) {
	if o.held {
		o.watch.release(o.began, false)
	}
	n, err := o.body.Read(b)
	o.watch.hold()
	o.held, o.began = true, o.began || n > 0
	if err != nil && !errors.Is(err, io.EOF) {
		err = o.named(failure(o.ctx, provider.Broken, http.StatusOK, err))
	}
	return n, err
}

// Close implements io.Closer.
func (o *opened) Close() error {
	o.watch.end()
	return o.body.Close()
}

func (o *opened) named(err error) error {
	if known, ok := errors.AsType[*provider.Error](err); ok {
		known.Provider = o.name
	}
	return err
}
