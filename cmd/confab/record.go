package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"confab/media"
	"confab/media/record"
	"confab/rooms"
	"confab/signaling"
	"confab/signaling/wire"
)

// A recorder records rooms from the SFU of this process. A nil one records nothing.
type recorder struct {
	// Set by openRecorder, then constant.
	files   *record.Recorder
	server  *media.Server
	log     *slog.Logger
	running sync.WaitGroup // who waits for recordings to end
}

// openRecorder opens the folder of the recordings, if rooms are to be recorded.
func openRecorder(s *Settings, m sfu, log *slog.Logger) (*recorder, error) {
	if s.Record == "off" || m.server == nil {
		return nil, nil
	}
	dir := s.recordDir()
	files, err := record.New(record.Options{Dir: dir, Log: log})
	if err != nil {
		return nil, fmt.Errorf("cannot record to %s: %w; choose another folder with --record-dir, or set --record off", dir, err)
	}
	return &recorder{files: files, server: m.server, log: log}, nil
}

// recordDir is the folder of the recordings.
func (s *Settings) recordDir() string {
	if s.RecordDir == "" {
		return filepath.Join(s.Data, "recordings")
	}
	return s.RecordDir
}

// forRooms is the recorder as rooms take it: nil when there is none.
func (r *recorder) forRooms() rooms.Recorder {
	if r == nil {
		return nil
	}
	return r
}

// Record implements rooms.Recorder: it begins the recording and has the SFU hand over what is published.
func (r *recorder) Record(_ context.Context, room wire.RoomID, by wire.UserID) (rooms.Recording, error) {
	rec, err := r.files.Start(room, by)
	switch {
	case errors.Is(err, record.ErrTooMany):
		return nil, wire.Errorf(wire.CodeUnavailable, "the server records as many rooms as it may; try again when one has ended")
	case errors.Is(err, record.ErrDiskFull):
		return nil, wire.Errorf(wire.CodeUnavailable, "the server's disk is full; delete recordings that nobody needs")
	case errors.Is(err, record.ErrBusy):
		return nil, wire.Errorf(wire.CodeConflict, "the last recording of this room is still being stored; try again in a moment")
	case err != nil:
		return nil, &wire.Error{Code: wire.CodeUnavailable, Text: "the server cannot write recordings now", Err: err}
	}
	stop, err := r.server.Tap(room, tapSink{rec})
	if err != nil {
		rec.Stop(record.ServerDown)
		return nil, &wire.Error{Code: wire.CodeUnavailable, Text: "the server is going down; try again in a moment", Err: err}
	}
	r.running.Go(func() {
		<-rec.Done()
		stop()
	})
	return roomRecording{rec}, nil
}

// register adds the counters to the metrics of the process, and the disk of the folder that recordings go to.
func (r *recorder) register(metrics prometheus.Registerer, dir string) error {
	if r == nil {
		return nil
	}
	all := []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "confab_recordings_running", Help: "Rooms that are recorded at present."},
			func() float64 { return float64(r.files.Stats().Running) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "confab_recordings_started_total", Help: "Recordings begun."},
			func() float64 { return float64(r.files.Stats().Started) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "confab_recordings_bytes_total", Help: "Bytes written to recordings."},
			func() float64 { return float64(r.files.Stats().Bytes) }),
	}
	for _, reason := range record.Reasons {
		all = append(all, prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "confab_recordings_ended_total", Help: "Recordings ended, by reason; disk-full, disk-slow and failed are the disk's.",
			ConstLabels: prometheus.Labels{"reason": string(reason)},
		}, func() float64 { return float64(r.files.Stats().Ended[reason]) }))
	}
	for _, c := range all {
		if err := metrics.Register(c); err != nil {
			return fmt.Errorf("registering the metrics of recordings: %w", err)
		}
	}
	return registerDisk(metrics, "recordings", dir)
}

// routes mounts the API. Moderators of a room by their token, and who has started a recording, may have it.
func (r *recorder) routes(router gin.IRouter, verifier signaling.Verifier) {
	if r == nil {
		return
	}
	handler := gin.WrapH(r.files.Handler(func(req *http.Request) (record.Caller, error) {
		return callerOf(req, verifier)
	}))
	router.Any("/api/v1/recordings", handler)
	router.Any("/api/v1/recordings/*path", handler)
}

// callerOf reads the token of a request. The error is a *wire.Error with unauthorized.
func callerOf(req *http.Request, verifier signaling.Verifier) (record.Caller, error) {
	claims, err := claimsOf(req, verifier)
	if err != nil {
		return record.Caller{}, err
	}
	return record.Caller{User: claims.User, Moderates: func(room wire.RoomID) bool {
		return claims.Role == wire.RoleModerator && claims.Allows(room)
	}}, nil
}

// close ends all recordings and waits until they are stored. The media server is closed after it.
func (r *recorder) close() {
	if r != nil {
		r.files.Close()
		r.running.Wait()
	}
}

// roomRecording is a recording as rooms see it.
type roomRecording struct{ *record.Recording }

// Stop implements rooms.Recording.
func (r roomRecording) Stop(empty bool) {
	if empty {
		r.Recording.Stop(record.RoomEmpty)
		return
	}
	r.Recording.Stop(record.Stopped)
}

// Ended implements rooms.Recording.
func (r roomRecording) Ended() wire.RecordingEnd { return wire.RecordingEnd(r.Reason()) }

// tapSink is a recording as the SFU sees it.
type tapSink struct{ *record.Recording }

// Track implements media.TapSink.
func (s tapSink) Track(t media.TapTrack) media.TapWriter {
	if w := s.Recording.Track(record.Track(t)); w != nil {
		return w
	}
	return nil
}
