package main

import (
	"context"
	"errors"
	"regexp"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

const (
	memoryPeriod = 5 * time.Second
	// When less than this is allocated in a period the server is quiet, and gives back what it does not need.
	quietBytes = 4 << 20
	minReturn  = 4 << 20
	// The heap grows by this many percent of what lives before it is collected. Go's 100 spend a twelfth of a busy
	// server's time on a log of pointers that do not change; what more it takes is given back when it is quiet.
	collectAfter = 200
)

// relaxCollector sets collectAfter unless somebody has said otherwise in the environment.
func relaxCollector(lookup func(string) (string, bool)) {
	if _, set := lookup("GOGC"); !set {
		debug.SetGCPercent(collectAfter)
	}
}

// heapSample is what returnMemory looks at, in bytes.
type heapSample struct {
	allocated uint64 // since the start of the process
	live      uint64 // after the last collection
	objects   uint64 // live ones and garbage
	free      uint64 // kept from the system, unused
}

// returnMemory gives memory back to the system soon after a wave of load instead of minutes later, until ctx ends:
// people come in waves, and what a wave of joins leaves behind is more than what those who joined need.
func returnMemory(ctx context.Context) {
	ticker := time.NewTicker(memoryPeriod)
	defer ticker.Stop()
	before := sampleHeap()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := sampleHeap()
		if now.wasteful(before) {
			debug.FreeOSMemory()
			now = sampleHeap()
		}
		before = now
	}
}

// wasteful reports whether the process has been quiet since before and holds much that it does not need.
func (s heapSample) wasteful(before heapSample) bool {
	if s.allocated-before.allocated > quietBytes {
		return false
	}
	garbage := s.objects - min(s.live, s.objects)
	return garbage+s.free > max(minReturn, s.live/8)
}

func sampleHeap() heapSample {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	return heapSample{
		allocated: samples[0].Value.Uint64(), live: samples[1].Value.Uint64(),
		objects: samples[2].Value.Uint64(), free: samples[3].Value.Uint64(),
	}
}

// registerProcess has /metrics tell of goroutines, memory, CPU time and open files of this process. Beside the usual
// figures it is what the last collection found to be in use, which grows only with what is kept.
func registerProcess(registry prometheus.Registerer) error {
	live := collectors.GoRuntimeMetricsRule{Matcher: regexp.MustCompile(`^/gc/heap/live:bytes$`)}
	return errors.Join(
		registry.Register(collectors.NewGoCollector(collectors.WithGoCollectorRuntimeMetrics(live))),
		registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
	)
}
