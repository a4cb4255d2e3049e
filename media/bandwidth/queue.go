package bandwidth

import "time"

// How a queue is told from the delay of the path itself.
const (
	queueMemory = 5 * time.Second         // the least delay of one to two of these is that of an empty queue
	queueLong   = 25 * time.Millisecond   // a queue that does not become shorter than this between frames stays
	emptyTime   = 1500 * time.Millisecond // within it such a queue becomes shorter when a little less is sent,
	emptyShare  = 0.7                     // to this share; else it is made by others: we try this,
	emptyTries  = 2                       // times in a row, since frames are uneven,
	othersTime  = 30 * time.Second        // and then don't step back for it for this time
)

// A queueMeter tells how long packets wait on the path: how much longer they take than the fastest of the last
// seconds.
type queueMeter struct {
	length time.Duration
	delay  time.Duration    // one-way delay on two clocks
	least  [2]time.Duration // smallest one-way delay on two clocks, of this period and of the one before
	since  time.Duration    // when this period began, 0 = not begun

	emptied time.Duration // when less was sent to make it shorter, 0 = not lately
	then    time.Duration // how long it was at that time
	failed  int           // times in a row that this did not help
	others  time.Duration // until then the queue is taken for that of others
}

func (q *queueMeter) add(at, delay time.Duration) {
	if q.since == 0 {
		*q = queueMeter{least: [2]time.Duration{delay, delay}, since: at}
	}
	if at-q.since > queueMemory {
		q.least[1], q.least[0], q.since = q.least[0], delay, at
	}
	q.least[0], q.delay = min(q.least[0], delay), delay
	q.length = delay - min(q.least[0], q.least[1])
}

// An owner is whose queue it is that does not go away.
type owner uint8

const (
	nobodys owner = iota // there is none, or it is not known yet
	ours                 // so less should be sent
	others               // found out just now: from now on it counts as empty for a while
)

// stays says whether there is a queue that does not go away. If sending less does not help, it is made by others, or
// the path has become longer. Without this, flows that fill every queue would get all.
func (q *queueMeter) stays(at time.Duration) owner {
	if q.emptied != 0 {
		if at-q.emptied < emptyTime {
			return nobodys
		}
		q.emptied = 0
		if float64(q.length) <= emptyShare*float64(q.then) {
			q.failed = 0
		} else if q.failed++; q.failed == emptyTries {
			q.failed, q.others = 0, at+othersTime
			return others
		}
	}
	if q.length < queueLong || at < q.others {
		return nobodys
	}
	q.emptied, q.then = at, q.length
	return ours
}
