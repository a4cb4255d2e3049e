package bus

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	storeFolder    = "nats" // within the data folder; NATS adds its own levels below
	startTimeout   = 30 * time.Second
	embeddedMemory = 64 << 20 // JetStream in memory; the bus keeps nothing there
)

// An embedded is a NATS server in this process that listens on nothing.
type embedded struct {
	// Set by startEmbedded, then constant.
	server *server.Server
	log    *serverLog
}

// startEmbedded starts the server on the store in the data folder and waits until it serves.
// Its errors name the folder: a store that cannot be used must never pass for an empty one.
func startEmbedded(opts Options, log *slog.Logger) (*embedded, error) {
	store := filepath.Join(opts.DataDir, storeFolder)
	if err := checkStore(store); err != nil {
		return nil, err
	}
	options := &server.Options{
		ServerName:         "confab",
		DontListen:         true,
		NoSigs:             true,
		JetStream:          true,
		StoreDir:           store,
		SyncInterval:       time.Second,
		SyncAlways:         opts.Durability == DurabilityFsync,
		JetStreamMaxMemory: embeddedMemory,
		JetStreamMaxStore:  opts.MaxBytes + 2*stateMaxBytes + outboxMaxBytes,
	}
	s, err := server.NewServer(options)
	if err != nil {
		return nil, fmt.Errorf("bus: the NATS server inside this process: %w", err)
	}
	e := &embedded{server: s, log: &serverLog{to: log}}
	s.SetLoggerV2(e.log, false, false, false)
	s.Start()
	if !e.serves() {
		why := "it was not ready in time"
		if text := e.log.worst.Load(); text != nil {
			why = *text
		}
		e.stop()
		return nil, fmt.Errorf("bus: the store %s cannot be used (%s): check that it is a folder this user may write, and that the disk is not full", store, why)
	}
	return e, nil
}

// serves waits for the server, but not past a fatal message of its own.
func (e *embedded) serves() bool {
	for deadline := time.Now().Add(startTimeout); time.Now().Before(deadline) && !e.log.fatal.Load(); {
		if e.server.ReadyForConnections(50 * time.Millisecond) {
			return e.server.JetStreamEnabled()
		}
	}
	return false
}

// checkStore finds out early, and in plain words, what the server would only log.
func checkStore(store string) error {
	if err := os.MkdirAll(store, 0o700); err != nil {
		return fmt.Errorf("bus: the store %s cannot be made: %w", store, err)
	}
	probe, err := os.CreateTemp(store, ".write-probe-*")
	if err != nil {
		return fmt.Errorf("bus: the store %s cannot be written: %w", store, err)
	}
	_ = probe.Close()
	if err := os.Remove(probe.Name()); err != nil {
		return fmt.Errorf("bus: the store %s cannot be written: %w", store, err)
	}
	return nil
}

// stop shuts the server down and reports whether it did so without an error.
func (e *embedded) stop() bool {
	e.server.Shutdown()
	e.server.WaitForShutdown()
	return !e.log.fatal.Load()
}

// health is what ails the server, empty when nothing does.
func (e *embedded) health() string {
	status := e.server.Healthz(&server.HealthzOptions{})
	if status.StatusCode == 200 {
		return ""
	}
	if status.Error != "" {
		return status.Error
	}
	return status.Status
}

// A serverLog hands the server's log to slog and remembers the worst line. It may be used by any goroutine.
type serverLog struct {
	to    *slog.Logger
	fatal atomic.Bool // the server would have ended the process
	worst atomic.Pointer[string]
}

func (l *serverLog) line(format string, args []any) string {
	return strings.TrimSpace(fmt.Sprintf(format, args...))
}

// Noticef, Warnf, Fatalf, Errorf, Debugf and Tracef are what the server asks of a log.
func (l *serverLog) Noticef(format string, args ...any) { l.to.Debug("nats: " + l.line(format, args)) }

func (l *serverLog) Warnf(format string, args ...any) { l.to.Warn("nats: " + l.line(format, args)) }

func (l *serverLog) Fatalf(format string, args ...any) {
	text := l.line(format, args)
	l.fatal.Store(true)
	l.worst.Store(&text)
	l.to.Error("nats: " + text)
}

func (l *serverLog) Errorf(format string, args ...any) {
	text := l.line(format, args)
	l.worst.CompareAndSwap(nil, &text)
	l.to.Error("nats: " + text)
}

func (l *serverLog) Debugf(string, ...any) {}

func (l *serverLog) Tracef(string, ...any) {}
