package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gorilla/websocket"
	"go.uber.org/goleak"

	"confab/signaling/wire"
)

// patience is for what takes milliseconds on an idle machine.
const patience = 30 * time.Second

// TestMain lets the test's own binary be the server: a real process, with the same code and the same race detector
// as the test.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_AS_CONFAB") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// A confab is a server in a process of its own.
type confab struct {
	cmd  *exec.Cmd
	url  string
	room string
	err  *lockedBuffer
	done chan error // its end, once
}

// lockedBuffer collects a process's stderr while a test reads it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func confabCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, args...)
	// The race detector waits for a second before a process ends, which is told of what it finds all the same.
	cmd.Env = append(os.Environ(), "TEST_AS_CONFAB=1", "GORACE=atexit_sleep_ms=50")
	return cmd
}

// start runs a server on a free port and waits until it has said where it is.
func start(t *testing.T, data string, args ...string) *confab {
	t.Helper()
	return startIn(t, "", data, args...)
}

// startIn is start in a network namespace.
func startIn(t *testing.T, namespace, data string, args ...string) *confab {
	t.Helper()
	c := &confab{err: &lockedBuffer{}, done: make(chan error, 1)}
	c.cmd = confabCommand(t, append([]string{"--listen", "127.0.0.1:0", "--data", data}, args...)...)
	runIn(c.cmd, namespace)
	c.cmd.Stderr = c.err
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.cmd.Process.Kill() }) // when the test failed before it ended
	said := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			if strings.Contains(lines.Text(), "  http://") && strings.Contains(lines.Text(), "/r/") && len(said) == 0 {
				said <- strings.TrimSpace(strings.SplitN(strings.TrimSpace(lines.Text()), "#", 2)[0])
			}
		}
		c.done <- c.cmd.Wait()
	}()
	select {
	case address := <-said:
		c.url, c.room, _ = strings.Cut(address, "/r/")
	case err := <-c.done:
		t.Fatalf("it ended: %v\n%s", err, c.err)
	case <-time.After(patience):
		t.Fatalf("it said nothing\n%s", c.err)
	}
	return c
}

// terminate ends the server by sig and returns how it ended.
func (c *confab) terminate(t *testing.T, sig os.Signal) error {
	t.Helper()
	if err := c.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-c.done:
		return err
	case <-time.After(patience):
		t.Fatalf("it does not end\n%s", c.err)
		return nil
	}
}

func (c *confab) get(t *testing.T, path string) (status int, body string) {
	t.Helper()
	return do(t, http.MethodGet, c.url+path, "")
}

func do(t *testing.T, method, url, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Accept", "text/html, */*") // as a browser that goes to a page
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func guestToken(t *testing.T, base, room string) string {
	t.Helper()
	status, body := do(t, http.MethodPost, base+"/api/v1/guest", fmt.Sprintf(`{"name":"Ada","room":%q}`, room))
	var reply struct{ Token string }
	if err := json.Unmarshal([]byte(body), &reply); err != nil || status != http.StatusOK || reply.Token == "" {
		t.Fatalf("%d %s %v", status, body, err)
	}
	return reply.Token
}

// connect opens a socket, authenticates and returns the first frame's envelope.
func connect(t *testing.T, base, token string) (*websocket.Conn, wire.Envelope) {
	t.Helper()
	return connectWith(t, base, wire.Auth{Token: token})
}

// connectWith is connect with more than a token.
func connectWith(t *testing.T, base string, auth wire.Auth) (*websocket.Conn, wire.Envelope) {
	t.Helper()
	dialer := websocket.Dialer{Subprotocols: []string{wire.Subprotocol}, HandshakeTimeout: patience}
	conn, response, err := dialer.DialContext(t.Context(), "ws"+strings.TrimPrefix(base, "http")+"/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close() // gorilla has read what there is of it
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(auth)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.WriteMessage(websocket.TextMessage, wire.AppendEnvelope(nil, wire.Envelope{ID: "1"}, wire.KindAuth, body)); err != nil {
		t.Fatal(err)
	}
	return conn, next(t, conn)
}

func next(t *testing.T, conn *websocket.Conn) (first wire.Envelope) {
	t.Helper()
	_, frame, err := conn.ReadMessage()
	if err != nil {
		t.Fatal(err)
	}
	wire.Lines(frame, func(line []byte) bool {
		err = json.Unmarshal(line, &first)
		return false
	})
	if err != nil {
		t.Fatal(err)
	}
	return first
}

func TestServer(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	c := start(t, data)
	if !regexp.MustCompile(`^[a-z]+-[a-z]+-\d{3}$`).MatchString(c.room) {
		t.Errorf("room %q", c.room)
	}
	for path, want := range map[string]string{"/healthz": "ok", "/readyz": "ready", "/": "<!doctype html>", "/r/" + c.room: "<!doctype html>"} {
		if status, body := c.get(t, path); status != http.StatusOK || !strings.Contains(strings.ToLower(body), want) {
			t.Errorf("%s: %d %.80q", path, status, body)
		}
	}
	token := guestToken(t, c.url, c.room)
	conn, first := connect(t, c.url, token)
	defer conn.Close()
	if first.Type != wire.KindConnected || first.ID != "1" {
		t.Fatalf("first frame %+v", first)
	}

	t.Run("its port is taken", func(t *testing.T) {
		fails(t, "choose another port", "--listen", strings.TrimPrefix(c.url, "http://"), "--data", t.TempDir())
	})
	t.Run("its folder is in use", func(t *testing.T) {
		fails(t, "in use", "--listen", "127.0.0.1:0", "--data", data)
	})
	t.Run("doctor sees both", func(t *testing.T) {
		code, out, _ := command(t, nil, "doctor", "--listen", strings.TrimPrefix(c.url, "http://"), "--data", data)
		if code != exitFailed || !strings.Contains(out, "another program") || !strings.Contains(out, "in use by another process") {
			t.Errorf("%d\n%s", code, out)
		}
	})

	begun := time.Now()
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	sentAway(t, conn)
	if err := <-c.done; err != nil {
		t.Errorf("SIGTERM: %v\n%s", err, c.err)
	}
	if took := time.Since(begun); took > stopTimeout {
		t.Errorf("it took %v to end", took)
	}
	if strings.Contains(c.err.String(), token) {
		t.Error("the log holds a token")
	}

	t.Run("another history is refused", func(t *testing.T) {
		fails(t, "history", "--listen", "127.0.0.1:0", "--data", data, "--history", "10")
	})
	again := start(t, data)
	conn, first = connect(t, again.url, token)
	_ = conn.Close()
	if first.Type != wire.KindConnected {
		t.Errorf("after a restart the old token is not good: %+v", first)
	}
	if err := again.terminate(t, os.Interrupt); err != nil {
		t.Errorf("SIGINT: %v\n%s", err, again.err)
	}
}

// sentAway checks that the server says that it drains, and closes with 1012.
func sentAway(t *testing.T, conn *websocket.Conn) {
	t.Helper()
	told := false
	for {
		_, frame, err := conn.ReadMessage()
		if err != nil {
			if !websocket.IsCloseError(err, int(wire.CloseServiceRestart)) {
				t.Errorf("closed with %v", err)
			}
			break
		}
		told = told || bytes.Contains(frame, []byte(`"draining"`))
	}
	if !told {
		t.Error("no word that the server drains")
	}
}

// fails runs the server and wants it to end by itself with one clear line.
func fails(t *testing.T, says string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := confabCommand(t, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	err := cmd.Run()
	exited, ok := errors.AsType[*exec.ExitError](err)
	if !ok || exited.ExitCode() != exitFailed {
		t.Fatalf("%v, want exit %d\n%s", err, exitFailed, &stderr)
	}
	last := stderr.String()
	if !strings.Contains(last, says) || strings.Count(last, "\n") != 1 || !strings.HasPrefix(last, "confab: ") {
		t.Errorf("want one line that says %q:\n%s", says, last)
	}
}

func TestServerWithoutGuests(t *testing.T) {
	data := t.TempDir()
	c := start(t, data, "--guests", "off", "--log-format", "json")
	if status, body := do(t, http.MethodPost, c.url+"/api/v1/guest", `{"name":"Ada"}`); status != http.StatusForbidden || !strings.Contains(body, `"forbidden"`) {
		t.Errorf("%d %s", status, body)
	}
	code, out, problems := command(t, nil, "token", "--user", "ada", "--rooms", c.room, "--data", data)
	if code != exitOK {
		t.Fatal(problems)
	}
	conn, first := connect(t, c.url, strings.TrimSpace(out))
	defer conn.Close()
	if first.Type != wire.KindConnected {
		t.Errorf("a token of `confab token`: %+v", first)
	}
	bad, refused := connect(t, c.url, "hello")
	defer bad.Close()
	if refused.Type != wire.KindError || !strings.Contains(string(refused.Data), string(wire.CodeUnauthorized)) {
		t.Errorf("a bad token: %+v", refused)
	}
	if err := c.terminate(t, syscall.SIGTERM); err != nil {
		t.Errorf("%v\n%s", err, c.err)
	}
	for _, line := range strings.Split(strings.TrimSpace(c.err.String()), "\n") {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}

func TestServeLeavesNothingBehind(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	ctx, cancel := context.WithCancel(t.Context())
	out, in := io.Pipe()
	settings := &Settings{
		Listen: "127.0.0.1:0", Data: t.TempDir(), Replicas: 1, Guests: "on", History: 16, Durability: "file", LogFormat: "text",
		LogLevel: "error", AuthTimeout: time.Second,
	}
	ended := make(chan error, 1)
	go func() {
		ended <- serve(ctx, &process{settings: settings, origins: origins{}, stdout: in, stderr: io.Discard})
		_ = in.Close()
	}()
	lines := bufio.NewScanner(out)
	base := ""
	for lines.Scan() {
		if address := strings.TrimSpace(lines.Text()); strings.HasPrefix(address, "http://") {
			base, _, _ = strings.Cut(address, "/r/")
		}
		if strings.Contains(lines.Text(), "Ctrl-C") {
			break
		}
	}
	conn, first := connect(t, base, guestToken(t, base, ""))
	if first.Type != wire.KindConnected {
		t.Errorf("%+v", first)
	}
	cancel()
	sentAway(t, conn)
	_ = conn.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestDamagedFolderIsTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fails(t, file, "--listen", "127.0.0.1:0", "--data", file)
}

func TestReachableAt(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1:8080": "http://127.0.0.1:8080", "0.0.0.0:80": "http://localhost:80", "[::]:8080": "http://localhost:8080",
		"192.0.2.1:8080": "http://192.0.2.1:8080", "[::1]:8080": "http://[::1]:8080",
	} {
		addr, err := net.ResolveTCPAddr("tcp", text)
		if err != nil {
			t.Fatal(err)
		}
		if got := reachableAt(addr); got != want {
			t.Errorf("%s: %s", text, got)
		}
	}
}
