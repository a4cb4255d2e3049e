package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"confab/cmd/internal/driver"
)

const (
	hubArgument  = "plain-hub" // as this program's first argument: be the hub
	secretEnv    = "CONFAB_AUTH_SECRET"
	startTimeout = 20 * time.Second
	stopTimeout  = 5 * time.Second
)

// A target is a kind of server under test.
type target struct {
	name    string
	program string
	args    func(addr, data string) []string
	// slack is how late its timers may fire, in nanoseconds, where the program does not see to that itself; 0 = as usual.
	slack int
}

// A server is one process of a target.
type server struct {
	target
	addr string
	data string // its folder
	cmd  *exec.Cmd
	done chan struct{} // closed when the process has ended
}

// hubs are the two that are compared: what they get to run with is the same.
func hubs(confab, self string) []target {
	return []target{
		{name: "plain hub", program: self, args: func(addr, _ string) []string { return []string{hubArgument, addr} }},
		{name: "confab", program: confab, args: func(addr, data string) []string {
			return []string{"--listen", addr, "--data", data, "--rate-limit", "0", "--connection-limit", "0", "--log-level", "warn"}
		}},
	}
}

// buildConfab builds the server as `go build` makes it and returns where it is.
func buildConfab(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "confab")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "confab/cmd/confab")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the server (run this inside the repository, or name it with -binary): %w\n%s", err, out)
	}
	return binary, nil
}

// start runs the target on a free port of the loopback with an empty folder under dir, and waits until it serves.
func (t target) start(ctx context.Context, dir, secret string) (*server, error) {
	data, err := os.MkdirTemp(dir, "data-")
	if err != nil {
		return nil, err
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{target: t, addr: free.Addr().String(), data: data}
	free.Close()
	return s, s.run(ctx, secret)
}

// run starts the process; a second time after kill, on the same port and folder.
func (s *server) run(ctx context.Context, secret string) error {
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(s.program, s.args(s.addr, s.data)...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = log, log, childAttributes()
	for _, setting := range os.Environ() {
		if !strings.HasPrefix(setting, "CONFAB_") {
			cmd.Env = append(cmd.Env, setting)
		}
	}
	cmd.Env = append(cmd.Env, secretEnv+"="+secret)
	// The kernel ends the child with the thread that made it, so that thread must stay.
	started := make(chan error)
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(done)
		err := s.prepare()
		if err == nil {
			err = cmd.Start()
		}
		started <- err
		if err == nil {
			_ = cmd.Wait() // how it ended is in its log
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	s.cmd, s.done = cmd, done
	if err := s.awaitReady(ctx); err != nil {
		s.kill()
		log, _ := os.ReadFile(s.logFile())
		return fmt.Errorf("%s does not start: %w\n%s", s.name, err, log)
	}
	return nil
}

// prepare sets what the process is to have from the thread that starts it, which is the caller's.
func (t target) prepare() error {
	if t.slack == 0 {
		return nil
	}
	return setTimerSlack(t.slack)
}

func (s *server) logFile() string { return s.data + ".log" }

func (s *server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.addr+"/readyz", nil)
		if err != nil {
			return err
		}
		response, err := client.Do(request)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-s.done:
			return errors.New("it has ended")
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the process in order and removes its folder.
func (s *server) stop() {
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-s.done:
	case <-time.After(stopTimeout):
		s.kill()
	}
	os.RemoveAll(s.data)
	os.Remove(s.logFile())
}

// kill ends the process with SIGKILL and waits for its end.
func (s *server) kill() {
	_ = s.cmd.Process.Kill() // an error means that it has ended
	<-s.done
}

// at is where clients connect.
func (s *server) at() driver.Server { return driver.Server{Addr: s.addr} }

func (s *server) cpu() (time.Duration, error) { return cpuTime(s.cmd.Process.Pid) }

func (s *server) rss() (int64, error) { return residentBytes(s.cmd.Process.Pid) }
