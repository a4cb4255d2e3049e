//go:build unix

package bus

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"confab/rooms"
	"confab/signaling/wire"
)

// benchPayload is about the size of a short chat message on the log.
var benchPayload = fmt.Appendf(nil, `{"type":"chat","room":"lobby","from":"p-1","body":{"text":%q}}`, bytes.Repeat([]byte("x"), 130))

// cpuTime is what this process has used on all cores, system time included.
func cpuTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func reportCPU(b *testing.B, before time.Duration) {
	b.ReportMetric(float64((cpuTime()-before).Microseconds())/float64(b.N), "cpu-µs/op")
}

func benchBus(b *testing.B) *Bus {
	bus, err := Open(context.Background(), Options{DataDir: b.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := bus.Close(); err != nil {
			b.Error(err)
		}
	})
	return bus
}

// benchRooms and their ids are made before the clock runs.
func benchRooms() []rooms.Timeline {
	all := make([]rooms.Timeline, 100)
	for i := range all {
		all[i] = timeline(fmt.Sprintf("bench-%d", i))
	}
	return all
}

type counter struct{ n atomic.Int64 }

func (c *counter) Record(rooms.Record) { c.n.Add(1) }
func (c *counter) Reset(rooms.Tail)    {}
func (c *counter) Wake()               {}

// BenchmarkAppend is the hot path, server included. async/feeds is an append and its delivery to one feed.
func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct {
		name   string
		window int
		feeds  bool
	}{{"sync", 1, false}, {"async", 2000, false}, {"sync-feeds", 1, true}, {"async-feeds", 2000, true}} {
		b.Run(c.name, func(b *testing.B) { benchAppend(b, c.window, c.feeds) })
	}
}

func benchAppend(b *testing.B, window int, feeds bool) {
	bus, all := benchBus(b), benchRooms()
	heard := &counter{}
	if feeds {
		for _, t := range all {
			_, stop, err := bus.Open(context.Background(), t, heard)
			if err != nil {
				b.Fatal(err)
			}
			defer stop()
		}
	}
	places := make(chan struct{}, window)
	done := func(_ rooms.Appended, err error) {
		if err != nil {
			b.Error(err)
		}
		<-places
	}
	b.ReportAllocs()
	b.ResetTimer()
	before := cpuTime()
	for i := range b.N {
		places <- struct{}{}
		bus.Append(all[i%len(all)], fmt.Sprintf("bench.user.%d", i), benchPayload, done)
	}
	for range window {
		places <- struct{}{}
	}
	for feeds && heard.n.Load() < int64(b.N) {
		time.Sleep(time.Millisecond) // the last few are on their way
	}
	b.StopTimer()
	reportCPU(b, before)
}

// BenchmarkLatency is one append at a time, 200 a second: from Append to the feed.
func BenchmarkLatency(b *testing.B) {
	bus := benchBus(b)
	to := timeline("latency")
	heard := make(chan time.Time, 1)
	_, stop, err := bus.Open(context.Background(), to, feedFunc(func(rooms.Record) { heard <- time.Now() }))
	if err != nil {
		b.Fatal(err)
	}
	defer stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var sum time.Duration
	before := cpuTime()
	for range b.N {
		<-tick.C
		began := time.Now()
		bus.Append(to, "", benchPayload, func(rooms.Appended, error) {})
		sum += (<-heard).Sub(began)
	}
	reportCPU(b, before)
	b.ReportMetric(float64(sum.Microseconds())/float64(b.N), "latency-µs")
}

// BenchmarkOpen is a cold read of a full window among other rooms, and of an empty timeline.
func BenchmarkOpen(b *testing.B) {
	bus, all := benchBus(b), benchRooms()
	places := make(chan struct{}, 1000)
	for i := range 256 * len(all) {
		places <- struct{}{}
		bus.Append(all[i%len(all)], "", benchPayload, func(rooms.Appended, error) { <-places })
	}
	for range cap(places) {
		places <- struct{}{}
	}
	for _, c := range []struct {
		name string
		at   func(i int) rooms.Timeline
	}{
		{"window", func(i int) rooms.Timeline { return all[i%len(all)] }},
		{"empty", func(i int) rooms.Timeline { return timeline(fmt.Sprintf("empty-%d", i)) }},
	} {
		b.Run(c.name, func(b *testing.B) {
			before := cpuTime()
			for i := range b.N {
				_, stop, err := bus.Open(context.Background(), c.at(i), &counter{})
				if err != nil {
					b.Fatal(err)
				}
				stop()
			}
			reportCPU(b, before)
		})
	}
}

// BenchmarkStart is Open and Close of the bus: of an empty folder, and of one that has been used.
func BenchmarkStart(b *testing.B) {
	for _, name := range []string{"empty", "used"} {
		b.Run(name, func(b *testing.B) {
			dir := b.TempDir()
			for range b.N {
				if name == "empty" {
					b.StopTimer()
					dir = b.TempDir()
					b.StartTimer()
				}
				bus, err := Open(context.Background(), Options{DataDir: dir, Logger: slog.New(slog.DiscardHandler)})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := bus.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}

// BenchmarkPurge overwrites a full window (1024 records) that lies among the records of other rooms.
func BenchmarkPurge(b *testing.B) {
	bus := benchBus(b)
	to := timeline("purge")
	ctx := context.Background()
	places := make(chan struct{}, 1000)
	fill := func() {
		for i := range 8 * 1024 {
			at := to
			if i%8 != 0 {
				at.Thread = "t" + wire.ThreadID(fmt.Sprint(i%8)) // the same stream
			}
			places <- struct{}{}
			bus.Append(at, "", benchPayload, func(rooms.Appended, error) { <-places })
		}
		for range cap(places) {
			places <- struct{}{}
		}
		for range cap(places) {
			<-places
		}
	}
	for range b.N {
		b.StopTimer()
		fill()
		b.StartTimer()
		before := cpuTime()
		if err := bus.Purge(ctx, to, 1<<60); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64((cpuTime() - before).Milliseconds()), "cpu-ms")
	}
}

// BenchmarkNewest asks for the newest records of a room's 500 threads, among 10,000 other subjects of the partition.
func BenchmarkNewest(b *testing.B) {
	bus := benchBus(b)
	write := func(t rooms.Timeline, places chan struct{}) {
		places <- struct{}{}
		bus.Append(t, "", benchPayload, func(_ rooms.Appended, err error) {
			if err != nil {
				b.Error(err)
			}
			<-places
		})
	}
	room := wire.RoomID("bench-threads")
	places := make(chan struct{}, 1000)
	for n, others := 0, 0; others < 10_000; n++ {
		if t := timeline(fmt.Sprintf("other-%d", n)); partitionOf(t.Room) == partitionOf(room) {
			write(t, places)
			others++
		}
	}
	threads := make([]rooms.Timeline, 500)
	for i := range threads {
		threads[i] = rooms.Timeline{Room: room, Thread: wire.ThreadID(fmt.Sprintf("m%d", i))}
		write(threads[i], places)
	}
	for range cap(places) {
		places <- struct{}{}
	}
	b.ResetTimer()
	before := cpuTime()
	for range b.N {
		if _, err := bus.Newest(b.Context(), threads...); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	reportCPU(b, before)
}
