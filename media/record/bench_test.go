//go:build unix

package record

import (
	"log/slog"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime is what this process has used.
func cpuTime() time.Duration {
	var r unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// BenchmarkRecord is the whole way of a packet, from Write to the file: VP8 of 400 kbit/s in packets of 1.2 kB.
func BenchmarkRecord(b *testing.B) {
	sample := encoded(b, "VP8")
	r, err := New(Options{Dir: b.TempDir(), Limits: Limits{FreeBytes: 1, QueueBytes: 1 << 30}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	rec, err := r.Start("room", "mo")
	if err != nil {
		b.Fatal(err)
	}
	w := rec.Track(Track{Participant: "p", Source: "camera", Codec: "VP8"})
	length := sample.packets[len(sample.packets)-1].Timestamp - sample.packets[0].Timestamp + 3600
	start, seq, bytes := time.Now(), uint16(0), 0
	before := cpuTime()
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		p := sample.packets[i%len(sample.packets)]
		if i >= len(sample.packets) {
			p.Timestamp += length
		}
		p.SequenceNumber = seq
		seq++
		raw := marshal(b, p)
		bytes += len(raw)
		w.Write(raw, start.Add(time.Duration(i)*time.Millisecond))
		if i%1000 == 999 { // so that what waits stays small, as in a call
			done := make(chan struct{})
			rec.post(func() error { close(done); return nil })
			<-done
		}
	}
	rec.Stop(Stopped)
	<-rec.Done()
	b.StopTimer()
	b.SetBytes(int64(bytes / b.N))
	b.ReportMetric(float64((cpuTime()-before).Nanoseconds())/float64(b.N), "cpu-ns/op")
	if rec.Reason() != Stopped {
		b.Fatal(rec.Reason())
	}
}
