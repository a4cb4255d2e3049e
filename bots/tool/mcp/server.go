package mcp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

const (
	maxCalls    = 16               // of one server at a time; more wait
	maxPages    = 8                // of a list of tools
	listAgain   = time.Minute      // that a list is good for
	firstRest   = time.Second      // after a failure; then twice as long each time
	longestRest = time.Minute      // at most
	deafAfter   = 2                // calls in a row that were not answered, before a server is ended
	maxMessage  = 2 << 20          // bytes of one message of a server's
	endTime     = 2 * time.Second  // for a process to end after its input was closed, and again after SIGTERM
	closeTime   = 10 * time.Second // for a session to end in any case
)

// ErrResting says that the server failed a short while ago, and is not started again yet.
var ErrResting = errors.New("the server failed, and is left alone for a while")

// A server is one MCP server: nothing, until it is used for the first time, then a session that is made anew when it
// ended.
type server struct {
	// Set by Open, then constant.
	name     string
	settings Settings
	secrets  scrubber
	env      []string          // of its process
	headers  map[string]string // of its requests
	log      *slog.Logger
	owner    *Servers
	calls    chan struct{} // holds a place for each call

	// turn is held by who starts, lists or ends a session: a channel, so that others can give up waiting.
	turn chan struct{}

	// Guarded by mu.
	mu       sync.Mutex
	session  *session // nil = not running
	failures int      // in a row
	rest     time.Time
	deaf     int // calls in a row that were not answered
}

// acquire takes one place of a channel. Errors: ctx's cause.
func acquire(ctx context.Context, places chan struct{}) error {
	select {
	case places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// list returns the server's tools, started and asked again where that is needed. Errors: ErrResting, ctx's cause, what
// went wrong.
func (s *server) list(ctx context.Context) (*session, []*Tool, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.settings.timeout(), ErrTimeout)
	defer cancel()
	if err := acquire(ctx, s.turn); err != nil {
		return nil, nil, err
	}
	defer func() { <-s.turn }()
	running, err := s.running(ctx)
	if err != nil {
		return nil, nil, err
	}
	select {
	case <-running.changed:
		running.listed = time.Time{}
	default:
	}
	if time.Since(running.listed) < listAgain {
		return running, running.tools, nil
	}
	ctx, stop := running.during(ctx)
	defer stop()
	tools, err := s.ask(ctx, running)
	if err != nil {
		s.failed(running)
		return nil, nil, fmt.Errorf("listing its tools: %w", s.reason(ctx, err))
	}
	running.tools, running.listed = tools, time.Now()
	return running, tools, nil
}

// running returns the session, which it starts when there is none. The turn is held.
func (s *server) running(ctx context.Context) (*session, error) {
	s.mu.Lock()
	current, wait := s.session, time.Until(s.rest)
	s.mu.Unlock()
	if current != nil {
		return current, nil
	}
	switch {
	case s.owner.lifetime.Err() != nil:
		return nil, context.Cause(s.owner.lifetime)
	case wait > 0:
		return nil, ErrResting
	}
	started, err := s.start(ctx)
	if err != nil {
		s.failed(nil)
		return nil, fmt.Errorf("starting: %w", err)
	}
	s.mu.Lock()
	s.session, s.deaf = started, 0
	s.mu.Unlock()
	s.log.Info("an MCP server runs", "server", s.name)
	return started, nil
}

// ask lists the tools of a session that may be used.
func (s *server) ask(ctx context.Context, from *session) ([]*Tool, error) {
	var tools []*Tool
	taken := map[string]bool{}
	params := &sdk.ListToolsParams{}
	for range maxPages {
		page, err := from.ListTools(ctx, params)
		if err != nil {
			return nil, err
		}
		for _, listed := range page.Tools {
			if listed == nil || len(s.settings.Tools) > 0 && !contains(s.settings.Tools, listed.Name) || len(tools) == MaxTools {
				continue
			}
			if t, ok := newTool(s, listed, taken); ok {
				tools = append(tools, t)
			}
		}
		if params.Cursor = page.NextCursor; params.Cursor == "" {
			break
		}
	}
	return tools, nil
}

// call makes one call of a tool, if it is still the same.
func (s *server) call(ctx context.Context, t *Tool, input json.RawMessage) (*sdk.CallToolResult, error) {
	if err := acquire(ctx, s.calls); err != nil {
		return nil, err
	}
	defer func() { <-s.calls }()
	running, tools, err := s.list(ctx)
	if err != nil {
		return nil, err
	}
	if !same(tools, t) {
		return nil, ErrChanged
	}
	if len(input) == 0 {
		input = json.RawMessage("{}")
	}
	ctx, stop := running.during(ctx)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, s.settings.timeout(), ErrTimeout)
	defer cancel()
	result, err := running.CallTool(ctx, &sdk.CallToolParams{Name: t.remote, Arguments: input})
	s.heed(ctx, running, err)
	if err != nil {
		return nil, s.reason(ctx, err)
	}
	return result, nil
}

func same(tools []*Tool, t *Tool) bool {
	for _, listed := range tools {
		if listed.remote == t.remote {
			return listed.fingerprint == t.fingerprint
		}
	}
	return false
}

// heed learns of a server from a call: one that does not answer again and again is ended, and one that answers is well.
func (s *server) heed(ctx context.Context, running *session, err error) {
	s.mu.Lock()
	switch {
	case err == nil:
		s.deaf, s.failures = 0, 0
	case errors.Is(context.Cause(ctx), ErrTimeout):
		s.deaf++
	}
	deaf := s.deaf >= deafAfter
	s.mu.Unlock()
	if deaf || isEnded(err) {
		s.failed(running)
	}
}

// isEnded reports errors that say that the session has ended.
func isEnded(err error) bool {
	return errors.Is(err, sdk.ErrConnectionClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// failed ends a session, if it is still the current one, and has the server left alone for a while.
func (s *server) failed(old *session) {
	s.mu.Lock()
	if s.session != old {
		s.mu.Unlock()
		return
	}
	s.session = nil
	s.rest = time.Now().Add(min(firstRest<<min(s.failures, 10), longestRest))
	s.failures++
	s.mu.Unlock()
	if old != nil {
		s.owner.running.Go(old.close)
	}
}

// reason is what can be told of an error: nothing secret, and not much.
func (s *server) reason(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if isEnded(err) {
		return ErrEnded
	}
	return errors.New(shorten(s.secrets.scrub(clean(err.Error())), maxFailure))
}
