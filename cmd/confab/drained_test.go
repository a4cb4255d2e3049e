package main

import (
	"context"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

const (
	drainedEnv    = "CONFAB_DRAIN" // a number there is how many clients TestDrained has
	drainedCount  = 100
	drainedRoom   = 10 // in a room
	drainedBudget = 6  // messages of each
)

// TestDrained ends the server by SIGTERM while all of its clients write, and starts it again: nothing that was acknowledged
// is lost, doubled or out of order, and the clients come back spread over the time that the server has given to them.
func TestDrained(t *testing.T) {
	count := drainedCount
	if text := os.Getenv(drainedEnv); text != "" {
		var err error
		if count, err = strconv.Atoi(text); err != nil || count < drainedRoom {
			t.Fatalf("%s: %q is no number of clients", drainedEnv, text)
		}
	}
	count -= count % drainedRoom
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	data, address := t.TempDir(), freeAddress(t)
	args := append([]string{"--listen", address, "--bots", "off", "--sfu", "off"}, killedArgs...)
	server := start(t, data, args...)
	var acked atomic.Int64
	chatters := make([]*chatter, count)
	for i := range chatters {
		chatters[i] = newChatter(t, server.url, "u"+strconv.Itoa(i), drainedBudget, &acked, drainedRoomOf(i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	for _, c := range chatters {
		running.Go(func() { c.run(ctx) })
	}
	connected := func() bool { return gauges(t, server, `confab_sessions{transport="websocket"}`)[0] == float64(count) }
	awaitThat(t, "all connected", connected)
	awaitThat(t, "a third acknowledged", func() bool { return acked.Load() >= int64(count*drainedBudget/3) })
	before := acked.Load()
	began := time.Now()
	if err := server.terminate(t, syscall.SIGTERM); err != nil {
		t.Errorf("the server ended with %v\n%s", err, server.err)
	}
	ended := time.Since(began)
	server = start(t, data, args...)
	down := time.Since(began)
	awaitThat(t, "all acknowledged and seen by all", func() bool {
		for _, c := range chatters {
			if !c.complete(drainedRoom * drainedBudget) {
				return false
			}
		}
		return true
	})
	cancel()
	running.Wait()
	logs := make(map[string][]logged)
	for i := 0; i < count; i += drainedRoom {
		logs[drainedRoomOf(i)] = pageAll(t, server.url, drainedRoomOf(i))
	}
	for _, fault := range compareViews(chatters, logs, drainedRoom*drainedBudget) {
		t.Error(fault)
	}
	t.Logf("%d clients, %d messages acknowledged before; ended after %v, served again after %v", count, before, ended, down)
	checkSpread(t, chatters, began)
	if err := server.terminate(t, os.Interrupt); err != nil {
		t.Errorf("the server ended with %v\n%s", err, server.err)
	}
}

func drainedRoomOf(i int) string { return "room-" + strconv.Itoa(i/drainedRoom) }

// checkSpread wants everybody to have been given a moment of their own within the time that is for so many, and to have
// come back no earlier.
func checkSpread(t *testing.T, chatters []*chatter, began time.Time) {
	const parts = 10
	var asked, back []time.Duration
	for _, c := range chatters {
		asked, back = append(asked, c.drained), append(back, c.back.Sub(began))
		if c.drained == 0 || c.back.Sub(began) < c.drained {
			t.Errorf("%s was asked to wait for %v and was back after %v", c.user, c.drained, c.back.Sub(began))
		}
	}
	window := time.Second * time.Duration(1+len(chatters)/500)
	var slots [parts]int
	for _, wait := range asked {
		slots[min(int(wait*parts/window), parts-1)]++
	}
	for i, n := range slots {
		if n < len(chatters)/parts/2 || n > len(chatters)/parts*2 {
			t.Errorf("%d of %d clients are to come in part %d of %v", n, len(chatters), i, window)
		}
	}
	slices.Sort(back)
	at := func(share float64) time.Duration {
		return back[int(share*float64(len(back)-1))].Round(time.Millisecond)
	}
	t.Logf("back after %v, %v, %v, %v, %v (first, quarter, half, three quarters, last), over a window of %v",
		at(0), at(0.25), at(0.5), at(0.75), at(1), window)
}
