package media

import (
	"context"
	"runtime"
	"sync/atomic"
	"time"

	"confab/media/bandwidth"
)

// When the server is under load, and what it does about it.
const (
	loadInterval = time.Second      // between two looks at the CPU
	loadHigh     = 0.85             // of the CPU is used by the process: the level goes up, less is sent;
	loadLow      = 0.6              // with less than this it goes down, more is sent
	loadUp       = 2                // looks in a row that a step up takes: what one saves shows at the next look
	loadCalm     = 10               // the same for a step down; each that was one too many doubles it,
	loadCalmMost = 160              // up to this
	loadSoon     = 20 * time.Second // high load so soon after a step down: it was one too many
	loadSteps    = 3                // layers that a video loses at most
	loadMost     = 2 * loadSteps    // levels: the speaker's video loses layers when those of the others have
)

// A load finds out whether the process uses nearly all the CPU that it may have, and from that how much less is to be
// sent: a level, from 0 for all to loadMost, which goes up and down a step at a time.
type load struct {
	level atomic.Int32 // replaced by watch

	// Owned by watch.
	at    time.Time     // the last look; zero = there was none
	used  time.Duration // CPU time until then
	high  int           // looks in a row with high load
	low   int           // the same with low load
	eased time.Time     // the last step down; zero = a step up came after it
	calm  int           // looks with low load that such a step takes
}

// watch looks at the CPU time of the process, which cpu returns, until ctx is done. The Server waits for it.
func (l *load) watch(ctx context.Context, cpu func() time.Duration) {
	tick := time.NewTicker(loadInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			l.look(now, cpu(), runtime.GOMAXPROCS(0))
		}
	}
}

// look takes the CPU time used until now by up to procs threads at once.
func (l *load) look(now time.Time, used time.Duration, procs int) {
	before, at := l.used, l.at
	l.used, l.at = used, now
	if at.IsZero() || !now.After(at) {
		l.calm = loadCalm
		return
	}
	share := float64(used-before) / float64(now.Sub(at)) / float64(procs)
	l.high, l.low = after(share >= loadHigh, l.high), after(share < loadLow, l.low)
	level := l.level.Load()
	switch {
	case l.high >= loadUp && level < loadMost:
		if !l.eased.IsZero() && now.Sub(l.eased) < loadSoon {
			l.calm = min(2*l.calm, loadCalmMost)
		}
		l.high, l.eased = 0, time.Time{}
		l.level.Store(level + 1)
	case l.low >= l.calm && level > 0:
		l.low, l.eased = 0, now
		if level == 1 {
			l.calm = loadCalm
		}
		l.level.Store(level - 1)
	}
}

// after counts how often something was so in a row.
func after(so bool, times int) int {
	if !so {
		return 0
	}
	return times + 1
}

// less returns how many layers a video of a priority is to be taken down at a level, the least important first. Screens
// are not: text in a smaller one cannot be read.
func less(level int32, priority int) int {
	switch {
	case priority >= bandwidth.PriorityScreen:
		return 0
	case priority >= bandwidth.PrioritySpeaker:
		return int(max(level-loadSteps, 0))
	default:
		return int(min(level, loadSteps))
	}
}
