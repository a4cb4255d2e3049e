package main

import (
	"crypto/x509"
	"errors"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"confab/media"
	"confab/rooms"
	"confab/rooms/bus"
	"confab/signaling/wire"
)

// A survey is a collector whose values all come from one look at S, which is taken when Prometheus asks.
type survey[S any] struct {
	// Set by its maker, then constant.
	look   func() (S, bool) // false: there is nothing to be said now
	values []surveyed[S]
}

// surveyed is one time series of a survey.
type surveyed[S any] struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(S) float64
}

func (s *survey[S]) gauge(name, help string, labels prometheus.Labels, of func(S) float64) {
	s.values = append(s.values, surveyed[S]{prometheus.NewDesc(name, help, nil, labels), prometheus.GaugeValue, of})
}

func (s *survey[S]) counter(name, help string, labels prometheus.Labels, of func(S) float64) {
	s.values = append(s.values, surveyed[S]{prometheus.NewDesc(name, help, nil, labels), prometheus.CounterValue, of})
}

// Describe implements prometheus.Collector.
func (s *survey[S]) Describe(to chan<- *prometheus.Desc) {
	for _, v := range s.values {
		to <- v.desc
	}
}

// Collect implements prometheus.Collector.
func (s *survey[S]) Collect(to chan<- prometheus.Metric) {
	seen, ok := s.look()
	if !ok {
		return
	}
	for _, v := range s.values {
		to <- prometheus.MustNewConstMetric(v.desc, v.kind, v.of(seen))
	}
}

// registerBuild says which program runs, so that a dashboard shows when it was changed.
func registerBuild(metrics prometheus.Registerer) error {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "confab_build_info", Help: "Always 1; which version runs.",
		ConstLabels: prometheus.Labels{"version": version(), "goversion": runtime.Version()},
	})
	build.Set(1)
	return wrap("registering the metric of the version", metrics.Register(build))
}

// storedHistogram is how long appends took.
func storedHistogram() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "confab_log_append_seconds", Help: "From an append to the log's word that the record is stored.",
		Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5, 15},
	})
}

// registerLog has /metrics tell of the log.
func registerLog(metrics prometheus.Registerer, appended prometheus.Histogram, records *bus.Bus) error {
	s := &survey[bus.Stats]{look: func() (bus.Stats, bool) { return records.Stats(), true }}
	s.counter("confab_log_stored_total", "Records that were stored.", nil, func(s bus.Stats) float64 { return float64(s.Stored) })
	s.counter("confab_log_failed_total", "Appends that the log did not confirm in time, or did not take.", nil, func(s bus.Stats) float64 { return float64(s.Failed) })
	s.counter("confab_log_reads_total", "Readings of a timeline from the log, because it was not in memory or had a gap.", nil, func(s bus.Stats) float64 { return float64(s.Reads) })
	s.counter("confab_log_resets_total", "Timelines that lost their continuity: clients took a window anew.", nil, func(s bus.Stats) float64 { return float64(s.Resets) })
	s.counter("confab_log_connections_lost_total", "Connections to NATS that broke.", nil, func(s bus.Stats) float64 { return float64(s.Lost) })
	s.gauge("confab_log_pending", "Appends that wait for their confirmation.", nil, func(s bus.Stats) float64 { return float64(s.Pending) })
	s.gauge("confab_log_pending_bytes", "Bytes of the appends that wait for their confirmation.", nil, func(s bus.Stats) float64 { return float64(s.PendingBytes) })
	s.gauge("confab_log_lag_seconds", "How long the append that waits longest has waited for its confirmation.", nil, func(s bus.Stats) float64 { return s.Oldest.Seconds() })
	s.gauge("confab_log_timelines", "Timelines that are followed: rooms and threads in memory.", nil, func(s bus.Stats) float64 { return float64(s.Timelines) })
	s.gauge("confab_log_bytes", "Bytes that the records of all partitions take on disk, as of the last look at them.", nil, func(s bus.Stats) float64 { return float64(s.Bytes) })
	s.gauge("confab_log_partition_bytes", "Bytes of the partition that holds the most.", nil, func(s bus.Stats) float64 { return float64(s.Fullest) })
	s.gauge("confab_log_partition_max_bytes", "Bytes that a partition may hold; past it its oldest records go.", nil, func(s bus.Stats) float64 { return float64(s.MaxBytes) })
	ready := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "confab_log_ready", Help: "1 while the log stores and serves."}, func() float64 {
		if records.Ready() != nil {
			return 0
		}
		return 1
	})
	return wrap("registering the metrics of the log", errors.Join(metrics.Register(appended), metrics.Register(s), metrics.Register(ready)))
}

// registerRooms has /metrics tell of rooms and who is in them.
func registerRooms(metrics prometheus.Registerer, registry *rooms.Registry) error {
	s := &survey[rooms.Stats]{look: func() (rooms.Stats, bool) { return registry.Stats(), true }}
	s.gauge("confab_rooms", "Rooms in memory.", nil, func(s rooms.Stats) float64 { return float64(s.Rooms) })
	s.gauge("confab_participants", "Participants of all rooms, reconnecting ones too.", nil, func(s rooms.Stats) float64 { return float64(s.Members) })
	return wrap("registering the metrics of rooms", metrics.Register(s))
}

// registerMedia has /metrics tell of calls and what is forwarded in them; without an SFU it does nothing.
func registerMedia(metrics prometheus.Registerer, calls sfu) error {
	if calls.server == nil {
		return nil
	}
	s := &survey[media.Stats]{look: func() (media.Stats, bool) { return calls.server.Stats(), true }}
	s.gauge("confab_media_rooms", "Rooms whose media goes through the server.", nil, func(s media.Stats) float64 { return float64(s.Rooms) })
	s.gauge("confab_media_peers", "Participants whose media goes through the server.", nil, func(s media.Stats) float64 { return float64(s.Peers) })
	for _, source := range wire.Sources {
		s.gauge("confab_media_tracks", "Tracks that are published.", prometheus.Labels{"source": string(source)},
			func(s media.Stats) float64 { return float64(s.Tracks[source]) })
	}
	const videos = "Videos that receivers have chosen, by the size that they are sent, 1 the smallest; 0 = nothing is sent: it is hidden, or there is no room on the path."
	s.gauge("confab_media_videos", videos, prometheus.Labels{"layer": "0"}, func(s media.Stats) float64 { return float64(s.Paused) })
	for i := range media.LayersCounted {
		s.gauge("confab_media_videos", videos, prometheus.Labels{"layer": strconv.Itoa(i + 1)}, func(s media.Stats) float64 { return float64(s.Layers[i]) })
	}
	s.gauge("confab_media_loss_ratio", "Share of packets lost lately on the way to clients, their mean.", nil, func(s media.Stats) float64 { return s.Loss })
	s.gauge("confab_media_lossy_peers", "Clients to which 5 % of the packets or more are lost.", nil, func(s media.Stats) float64 { return float64(s.Lossy) })
	s.gauge("confab_media_bitrate_bits", "Bits a second that the paths to all clients together are taken to carry.", nil, func(s media.Stats) float64 { return float64(s.Bitrate) })
	s.gauge("confab_media_load_level", "How many steps less is sent to spare the CPU; 0 = all is sent.", nil, func(s media.Stats) float64 { return float64(s.Load) })
	s.counter("confab_media_packets_received_total", "Packets of media that came by UDP and were good.", nil, func(s media.Stats) float64 { return float64(s.Plane.Received) })
	s.counter("confab_media_packets_sent_total", "Packets of media that were sent by UDP.", nil, func(s media.Stats) float64 { return float64(s.Plane.Sent) })
	const dropped = "Packets of media that were dropped: rejected = could not be decrypted or were a repeat, full = the system did not take them, refused = may not be sent."
	for reason, of := range map[string]func(media.Stats) uint64{
		"rejected": func(s media.Stats) uint64 { return s.Plane.Rejected },
		"full":     func(s media.Stats) uint64 { return s.Plane.Dropped },
		"refused":  func(s media.Stats) uint64 { return s.Plane.Refused },
	} {
		s.counter("confab_media_packets_dropped_total", dropped, prometheus.Labels{"reason": reason}, func(s media.Stats) float64 { return float64(of(s)) })
	}
	s.counter("confab_media_send_calls_total", "System calls by which the packets of media were sent.", nil, func(s media.Stats) float64 { return float64(s.Plane.SendCalls) })
	return wrap("registering the metrics of media", metrics.Register(s))
}

// registerDisk has /metrics tell of the disk that a folder is on. What cannot be found out is not told.
func registerDisk(metrics prometheus.Registerer, folder, path string) error {
	s := &survey[disk]{look: func() (disk, bool) {
		found, err := diskOf(path)
		return found, err == nil
	}}
	labels := prometheus.Labels{"folder": folder}
	s.gauge("confab_disk_free_bytes", "Bytes that this process may still write to the disk of a folder.", labels, func(d disk) float64 { return float64(d.free) })
	s.gauge("confab_disk_size_bytes", "Size of the disk of a folder.", labels, func(d disk) float64 { return float64(d.size) })
	return wrap("registering the metrics of disks", metrics.Register(s))
}

// A disk is where a folder is. Bytes.
type disk struct{ free, size uint64 }

// registerCertificate has /metrics tell until when a certificate is good, so that somebody is told in time.
func registerCertificate(metrics prometheus.Registerer, use string, leaf func() *x509.Certificate) error {
	s := &survey[time.Time]{look: func() (time.Time, bool) {
		if c := leaf(); c != nil {
			return c.NotAfter, true
		}
		return time.Time{}, false
	}}
	s.gauge("confab_certificate_expiry_timestamp_seconds", "When a certificate expires, Unix time.", prometheus.Labels{"use": use},
		func(end time.Time) float64 { return float64(end.Unix()) })
	return wrap("registering the metric of the certificate", metrics.Register(s))
}
