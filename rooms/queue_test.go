package rooms

import (
	"log/slog"
	"testing"
)

// The queue of a room that always has something to do stays as short as what waits, and in order.
func TestQueueOfBusyRoom(t *testing.T) {
	r := newRoom(&Registry{logger: slog.New(slog.DiscardHandler)}, "busy")
	defer r.stopTimers()
	r.phase = roomWorking
	done, next := -1, 0
	push := func() {
		n := next
		next++
		r.enqueue(command{answer: noAnswer, fn: func() {
			if n != done+1 {
				t.Fatalf("%d came after %d", n, done)
			}
			done = n
		}}, true)
	}
	push()
	for range 100 * maxQueue {
		push()
		c, ok := r.pop()
		if !ok {
			t.Fatal("nothing was queued")
		}
		c.fn()
	}
	if n := cap(r.queue); n > 4*maxQueue {
		t.Errorf("it has places for %d commands, and one waits", n)
	}
}
