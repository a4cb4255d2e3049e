package rooms

import (
	"time"

	"confab/signaling/wire"
)

// OpenThreads returns how many threads of a room have their log in memory, once those that could be let go of have been.
func (m *Member) OpenThreads() int {
	open := make(chan int, 1)
	m.room.enqueue(command{answer: func(wire.ServerMessage, error) { open <- -1 }, fn: func() {
		for _, t := range m.room.threads.all {
			if t.log != nil {
				t.log.used = time.Time{}
			}
		}
		m.room.sweepThreads()
		open <- m.room.threads.opened
	}}, true)
	return <-open
}
