package bus

import "time"

const (
	// Between these rates, in appends a second, batches are made by waiting: below the first there is nothing to
	// gather, above the second they form by themselves while the one before is being sent.
	gatherFrom = 400
	gatherTo   = 4000
	gatherTick = 10 * time.Millisecond

	gatherWindow = 100 * time.Millisecond // over which the rate is taken
)

// A gatherer decides how long what is appended waits for more to be sent with it. Of a single record's cost more is
// goroutines waking one another, from the room through NATS and back to the clients' writers, than work; records that
// travel together share that. It is not safe for concurrent use.
type gatherer struct {
	since time.Time // when the window began
	count int       // appends in it
	on    bool      // what the window before it has decided
	last  time.Time // when the last batch went
}

// wait returns how long the next batch must wait still, when it is now.
func (g *gatherer) wait(now time.Time) time.Duration {
	if !g.on || now.Sub(g.since) > 2*gatherWindow {
		return 0 // a pause has ended the band
	}
	return max(0, gatherTick-now.Sub(g.last))
}

// sent notes that a batch of n goes now.
func (g *gatherer) sent(n int, now time.Time) {
	g.last = now
	g.count += n
	elapsed := now.Sub(g.since)
	if elapsed < gatherWindow {
		return
	}
	rate := float64(g.count) / elapsed.Seconds()
	g.on = rate >= gatherFrom && rate <= gatherTo
	g.since, g.count = now, 0
}
