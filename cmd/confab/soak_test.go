package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"confab/media/rtctest"
)

const (
	soakEnv     = "CONFAB_SOAK" // how many join and leave; a number there makes a long run of TestSoak
	soakJoins   = 60
	soakAtOnce  = 4
	soakPackets = 10 // of each track, before who has come leaves again
)

// TestSoak has people come into a call with real media and leave it again, one in ten without a word in a long run. Then
// the server holds what it held before the first of them.
func TestSoak(t *testing.T) {
	joins, long := soakJoins, false
	if text := os.Getenv(soakEnv); text != "" {
		var err error
		if joins, err = strconv.Atoi(text); err != nil {
			t.Fatalf("%s: %v", soakEnv, err)
		}
		long = true
	}
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	server := start(t, t.TempDir(), "--auth-secret", testSecret, "--mesh-max", "0", "--connection-limit", "0", "--rate-limit", "0", "--log-level", "error")
	s := &soak{t: t, server: server}
	s.through(soakAtOnce, 0) // what is made at the first use of something is no leak
	rest := s.settled(nil, 0)
	began := time.Now()
	abrupt := 0
	if long {
		abrupt = 10
	}
	// Pools keep what was in use at once, and of each join some hundred bytes are left: one who is kept as a whole has
	// hundreds of times as much.
	const base, each = 2<<20 + minReturn, 512
	peak := s.through(joins, abrupt)
	took := time.Since(began)
	after := s.settled(rest, base+each*float64(s.number.Load()))
	t.Logf("%d joins and leaves in %v: %.0f goroutines and %.1f MiB of heap before, at most %.0f meanwhile, %.0f and %.1f MiB after",
		joins, took.Round(time.Second), rest[0], rest[1]/(1<<20), peak, after[0], after[1]/(1<<20))
	if err := server.terminate(t, os.Interrupt); err != nil {
		t.Errorf("the server ended with %v\n%s", err, server.err)
	}
	if log := server.err.String(); strings.Contains(log, "panic") || strings.Contains(log, "DATA RACE") {
		t.Errorf("the server's log:\n%s", log)
	}
}

type soak struct {
	t      *testing.T
	server *confab
	number atomic.Int64 // of people so far
}

// through has so many people pass through a call in which one stays, every abrupt-th of whom leaves without a word; 0 =
// none. It returns the most goroutines that the server had.
func (s *soak) through(joins, abrupt int) (peak float64) {
	s.t.Helper()
	host := call(s.t, s.server.url, "host", mediaRoom, rtctest.ParticipantOptions{Publish: callSources})
	left := make(chan int, joins)
	for i := range joins {
		left <- i
	}
	close(left)
	var passing sync.WaitGroup
	for range min(soakAtOnce, joins) {
		passing.Go(func() {
			for i := range left {
				if s.t.Failed() {
					return
				}
				s.pass(host, abrupt > 0 && i%abrupt == abrupt-1)
			}
		})
	}
	over := make(chan struct{})
	go func() {
		passing.Wait()
		close(over)
	}()
	for tick := time.NewTicker(time.Second); ; {
		select {
		case <-over:
			tick.Stop()
			host.leave()
			return peak
		case <-tick.C:
			peak = max(peak, gauges(s.t, s.server, "go_goroutines")[0])
		}
	}
}

// pass is one who comes, publishes, hears and sees the host, and leaves.
func (s *soak) pass(host *caller, abrupt bool) {
	c := call(s.t, s.server.url, fmt.Sprintf("p-%d", s.number.Add(1)), mediaRoom, rtctest.ParticipantOptions{Publish: callSources})
	c.hears(host, soakPackets, callSources...)
	if abrupt {
		c.vanish()
		return
	}
	c.leave()
}

// settled waits until the server holds no more than at a time before, but for some bytes of heap, nil for as long as it
// still becomes less, and returns what it holds: goroutines, and bytes of live heap. Who left without a word is waited for.
// The live heap is that of the last collection: a server at rest makes one more only when that would give back minReturn.
func (s *soak) settled(before []float64, heap float64) []float64 {
	s.t.Helper()
	const goroutines = 4
	names := []string{"go_goroutines", "go_gc_heap_live_bytes"}
	last := gauges(s.t, s.server, names...)
	defer func() {
		if s.t.Failed() {
			s.t.Logf("it holds %v", last)
		}
	}()
	calm := time.Now()
	awaitThat(s.t, fmt.Sprintf("the server is at rest, as %v before", before), func() bool {
		now := gauges(s.t, s.server, names...)
		if before != nil {
			last = now
			return now[0] <= before[0]+goroutines && now[1] <= before[1]+heap
		}
		// Asking makes garbage and collections, and each of these finds some bytes more or less.
		for i, least := range []float64{1, 64 << 10} {
			if now[i] <= last[i]-least {
				last[i], calm = now[i], time.Now()
			}
		}
		return time.Since(calm) > 3*time.Second
	})
	return last
}
