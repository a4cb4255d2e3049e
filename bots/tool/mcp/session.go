package mcp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// A session is a server that runs.
type session struct {
	*sdk.ClientSession
	// lifetime ends with the session: calls end then.
	lifetime context.Context
	end      context.CancelCauseFunc
	process  *process      // nil = it runs elsewhere
	idle     func()        // closes connections that nobody uses
	changed  chan struct{} // has an entry when the server says that its tools changed

	// Owned by who holds the server's turn.
	tools  []*Tool
	listed time.Time
}

// start makes a session. A goroutine of the owner's waits for its end and cleans up.
func (s *server) start(ctx context.Context) (*session, error) {
	new := &session{changed: make(chan struct{}, 1), idle: func() {}}
	new.lifetime, new.end = context.WithCancelCause(s.owner.lifetime)
	transport, err := s.transport(new)
	if err != nil {
		new.end(ErrEnded)
		return nil, err
	}
	client := sdk.NewClient(&sdk.Implementation{Name: "confab", Version: "1"}, &sdk.ClientOptions{
		Capabilities: &sdk.ClientCapabilities{}, // none: no files, no questions, no model
		ToolListChangedHandler: func(context.Context, *sdk.ToolListChangedRequest) {
			select {
			case new.changed <- struct{}{}:
			default: // it is known
			}
		},
	})
	ctx, stop := new.during(ctx)
	defer stop()
	if new.ClientSession, err = client.Connect(ctx, transport, nil); err != nil {
		err = s.reason(ctx, err)
		new.end(ErrEnded)
		if new.process != nil {
			new.process.stop()
			err = new.process.explain(err, s.secrets)
		}
		new.idle()
		return nil, err
	}
	s.owner.running.Go(func() {
		new.Wait() //nolint:errcheck // that it ended is all
		s.failed(new)
		new.close()
	})
	return new, nil
}

// during returns a context that ends with ctx and with the session.
func (s *session) during(ctx context.Context) (context.Context, func()) {
	both, cancel := context.WithCancelCause(ctx)
	unhook := context.AfterFunc(s.lifetime, func() { cancel(context.Cause(s.lifetime)) })
	return both, func() {
		unhook()
		cancel(nil)
	}
}

// close ends the session, its calls, and its process. It may be called more than once, and returns when all is done.
func (s *session) close() {
	s.end(ErrEnded)
	if s.process != nil {
		s.process.stop() // first: what does not read its input would keep the SDK waiting
	}
	s.Close() // it is given up
	s.idle()
}

// transport prepares how a server is spoken to, and starts it if it is a program.
func (s *server) transport(of *session) (sdk.Transport, error) {
	if s.settings.URL != "" {
		base := newTransport()
		of.idle = base.CloseIdleConnections
		return &sdk.StreamableClientTransport{
			Endpoint:   s.settings.URL,
			MaxRetries: -1, // a call is made once
			// What it would tell by itself is that its tools changed; they are listed again often enough.
			DisableStandaloneSSE: true,
			MaxEventSize:         maxMessage,
			HTTPClient: &http.Client{
				Transport:     &requests{headers: s.headers, lifetime: of.lifetime, base: base},
				CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			},
		}, nil
	}
	cmd := exec.Command(s.settings.Command, s.settings.Args...)
	cmd.Env = s.env
	started, err := startProcess(cmd)
	if err != nil {
		return nil, err
	}
	of.process = started
	return &sdk.IOTransport{Reader: started.stdout, Writer: started.stdin, MaxLineLength: maxMessage}, nil
}

// newTransport returns the connections of one session; they are closed when they have been idle.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 2
	t.IdleConnTimeout = 30 * time.Second
	t.MaxResponseHeaderBytes = 64 << 10
	return t
}

// requests adds the headers of the settings to the requests of one session, ends those that go on a while after it,
// and bounds what comes back.
type requests struct {
	headers  map[string]string
	lifetime context.Context
	base     *http.Transport
}

// RoundTrip implements http.RoundTripper.
func (r *requests) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(req.Context())
	unhook := context.AfterFunc(r.lifetime, func() {
		// The session's end is told to the server, too; then there is nothing to wait for.
		time.AfterFunc(closeTime, cancel)
	})
	req = req.Clone(ctx)
	for name, value := range r.headers {
		req.Header.Set(name, value)
	}
	resp, err := r.base.RoundTrip(req)
	if err != nil {
		unhook()
		cancel()
		return nil, err
	}
	body := &boundedBody{ReadCloser: resp.Body, left: maxMessage, end: func() { unhook(); cancel() }}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		body.left = 16 * maxMessage // of events, which have a bound of their own
	}
	resp.Body = body
	return resp, nil
}

var errTooMuch = errors.New("the server sends too much")

// A boundedBody fails where a body is longer than it may be.
type boundedBody struct {
	io.ReadCloser
	left int
	end  func()
}

func (b *boundedBody) Read(into []byte) (int, error) {
	if b.left <= 0 {
		return 0, errTooMuch
	}
	n, err := b.ReadCloser.Read(into[:min(len(into), b.left)])
	b.left -= n
	return n, err
}

func (b *boundedBody) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

// A process is a program that runs as a server.
type process struct {
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout io.ReadCloser
	said   *tail
	exited chan struct{} // closed when it has ended
	once   sync.Once
}

// startProcess runs a program in a process group of its own.
func startProcess(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, said: &tail{}, exited: make(chan struct{})}
	cmd.Stderr = p.said
	cmd.WaitDelay = endTime // that others may hold its output open after its end
	ownGroup(cmd)
	var err error
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, in := io.Pipe() // so that Wait does not close what is being read
	cmd.Stdout = in
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p.stdout = out
	go func() { // ends with the process, which stop ends
		cmd.Wait() //nolint:errcheck // how it ended does not matter
		killGroup(cmd)
		in.Close()
		close(p.exited)
	}()
	return p, nil
}

// stop ends the process and all that it started: it closes its input, asks by SIGTERM, and kills. It returns when the
// process has ended.
func (p *process) stop() {
	p.once.Do(func() {
		p.stdin.Close()
		p.stdout.Close() // what it still says is not waited for
		for _, signal := range []func(*exec.Cmd){terminateGroup, killGroup} {
			select {
			case <-p.exited:
			case <-time.After(endTime):
				signal(p.cmd)
			}
		}
	})
	<-p.exited
}

// explain adds what the program said last on its standard error to an error of its start.
func (p *process) explain(err error, secrets scrubber) error {
	if text := strings.TrimSpace(clean(secrets.scrub(p.said.String()))); text != "" {
		return fmt.Errorf("%w; it said: %s", err, text)
	}
	return err
}

// A tail keeps the end of what is written to it. The zero value is ready to use.
type tail struct {
	mu   sync.Mutex
	text []byte
}

const tailSize = 512 // bytes

func (t *tail) Write(text []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, text[max(0, len(text)-tailSize):]...)
	if over := len(t.text) - tailSize; over > 0 {
		t.text = append(t.text[:0], t.text[over:]...)
	}
	return len(text), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.ToValidUTF8(t.text, nil))
}
