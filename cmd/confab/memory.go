package main

import (
	"context"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	memoryPeriod = 5 * time.Second
	// A collection is not worth its work before this much has been allocated: with a small live heap the default of
	// 100 % collects many times a second under load.
	minHeadroom = 32 << 20
	maxPercent  = 800
	// When less than this is allocated in a period the server is quiet, and gives back what it does not need.
	quietBytes = 4 << 20
	minReturn  = 8 << 20
)

// heapSample is what keepMemory looks at, in bytes.
type heapSample struct {
	allocated uint64 // since the start of the process
	live      uint64 // after the last collection
	objects   uint64 // live ones and garbage
	free      uint64 // kept from the system, unused
}

// keepMemory fits the collector to a server whose heap is small and whose load comes in waves, until ctx ends: fewer
// collections while the heap is small, and memory given back soon after a wave instead of minutes later. Whoever
// sets GOGC knows better: then it only gives back.
func keepMemory(ctx context.Context) {
	_, chosen := os.LookupEnv("GOGC")
	ticker := time.NewTicker(memoryPeriod)
	defer ticker.Stop()
	before := sampleHeap()
	percent := 100
	for {
		if p := before.percent(); !chosen && p != percent {
			percent = p
			debug.SetGCPercent(p)
		}
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

// percent is how much may be allocated, in percent of the live heap, before the next collection.
func (s heapSample) percent() int {
	if s.live == 0 {
		return maxPercent
	}
	p := minHeadroom * 100 / s.live
	return int(min(max(p/25*25, 100), maxPercent)) // in steps: each change begins a collection
}

// wasteful reports whether the process has been quiet since before and holds much that it does not need.
func (s heapSample) wasteful(before heapSample) bool {
	if s.allocated-before.allocated > quietBytes {
		return false
	}
	garbage := s.objects - min(s.live, s.objects)
	return garbage+s.free > max(minReturn, s.live/4)
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
