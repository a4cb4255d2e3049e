package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"confab/rooms/bus"
)

// backupSocketName is a socket in the data folder by which a running server is asked for a backup: who may write the folder
// may read it, so there is no other key.
const backupSocketName = "confab.sock"

const (
	backupRoute = "/backup"
	backupError = "Backup-Error" // a trailer: what went wrong after the answer had begun
)

// A backupSocket answers `confab backup` of the same user on the same machine. nil = there is none.
type backupSocket struct {
	server *http.Server
	served sync.WaitGroup
}

// openBackupSocket opens it. The caller holds the data folder, so a socket that is there is left of a process that was
// killed. Where it cannot be opened, as where the path is too long for one, the server runs without.
func openBackupSocket(folder string, records *bus.Bus, log *slog.Logger) *backupSocket {
	path := filepath.Join(folder, backupSocketName)
	err := os.Remove(path)
	var listener net.Listener
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		listener, err = net.Listen("unix", path)
	}
	if err != nil {
		log.Warn("no backups while this server runs", "err", err)
		return nil
	}
	if err := os.Chmod(path, 0o600); err != nil {
		log.Warn("no backups while this server runs", "err", errors.Join(err, listener.Close()))
		return nil
	}
	one := make(chan struct{}, 1)
	routes := http.NewServeMux()
	routes.HandleFunc("GET "+backupRoute, func(w http.ResponseWriter, r *http.Request) {
		select {
		case one <- struct{}{}:
			defer func() { <-one }()
		default:
			http.Error(w, "another backup is being made", http.StatusConflict)
			return
		}
		w.Header().Set("Trailer", backupError)
		began := time.Now()
		err := writeBackup(r.Context(), w, folder, records)
		if err != nil {
			w.Header().Set(backupError, err.Error())
			log.Error("a backup was not made", "err", err)
			return
		}
		log.Info("a backup was made", "took", time.Since(began).Round(time.Millisecond))
	})
	s := &backupSocket{server: &http.Server{Handler: routes, ReadHeaderTimeout: headerTimeout, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}}
	s.served.Go(func() { _ = s.server.Serve(listener) }) // ends by close
	return s
}

// close ends it, with a backup that is under way.
func (s *backupSocket) close() error {
	if s == nil {
		return nil
	}
	err := s.server.Close() // removes the socket
	s.served.Wait()
	return wrap("closing the socket for backups", err)
}

// askForBackup asks the server that is at work on a folder; false when there is none.
func askForBackup(ctx context.Context, folder string, to io.Writer) (asked bool, err error) {
	path := filepath.Join(folder, backupSocketName)
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://confab"+backupRoute, http.NoBody)
	if err != nil {
		return false, err
	}
	response, err := transport.RoundTrip(request)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) {
		return false, nil // none, or one that was killed
	}
	if err != nil {
		return true, fmt.Errorf("asking the server at work on %s: %w", folder, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(response.Body, maxBackupJSON))
		return true, fmt.Errorf("the server at work on %s answers: %s", folder, why)
	}
	if _, err := io.Copy(to, response.Body); err != nil {
		return true, fmt.Errorf("reading from the server at work on %s: %w", folder, err)
	}
	if why := response.Trailer.Get(backupError); why != "" {
		return true, fmt.Errorf("the server at work on %s could not make it: %s", folder, why)
	}
	return true, nil
}
