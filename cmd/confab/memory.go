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
	memoryTick   = time.Second
	memoryPeriod = 5 // ticks
	// When less than this is allocated in a period the server is quiet, and gives back what it does not need.
	quietBytes = 4 << 20
	minReturn  = 4 << 20
	// When more than this is allocated in each of busyTicks the server is busy, until it has not been for calmTicks. A
	// wave of joins is shorter: what it leaves behind lies between what those who joined need, and each collection
	// meanwhile makes room for more of them in the same pages.
	busyBytes = 64 << 20
	busyTicks = 3
	calmTicks = 10
	// The heap of a busy server grows by this many percent of what lives before it is collected. Go's 100 spend a
	// twelfth of the time on a log of pointers that do not change. What more it takes is given back when it is quiet.
	collectBusy = 200
	collectCalm = 100
)

// A pace says how many percent the heap may grow before it is collected.
type pace struct {
	busy  bool
	spell int // ticks in a row that were busy, before it counts as busy
	calm  int // ticks since it was last busy
}

// tick takes in what was allocated since the last one, in bytes. It returns the new percentage when that has changed.
func (p *pace) tick(allocated uint64) (percent int, changed bool) {
	much := allocated > busyBytes
	switch {
	case p.busy && much:
		p.calm = 0
	case p.busy:
		if p.calm++; p.calm == calmTicks {
			*p = pace{}
			return collectCalm, true
		}
	case much:
		if p.spell++; p.spell == busyTicks {
			*p = pace{busy: true}
			return collectBusy, true
		}
	default:
		p.spell = 0
	}
	return 0, false
}

// heapSample is what tendMemory looks at, in bytes.
type heapSample struct {
	allocated uint64 // since the start of the process
	live      uint64 // after the last collection
	objects   uint64 // live ones and garbage
	free      uint64 // kept from the system, unused
}

// tendMemory has a busy server collect its garbage less often, unless the environment says how often (paced), and gives
// memory back to the system soon after a wave of load instead of minutes later, until ctx ends: people come in waves,
// and what a wave of joins leaves behind is more than what those who joined need.
func tendMemory(ctx context.Context, paced bool) {
	ticker := time.NewTicker(memoryTick)
	defer ticker.Stop()
	var p pace
	before := sampleHeap()
	last := before.allocated
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := sampleHeap()
		if percent, changed := p.tick(now.allocated - last); changed && !paced {
			debug.SetGCPercent(percent)
		}
		last = now.allocated
		if n%memoryPeriod != 0 {
			continue
		}
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
