package agui

import (
	"sync"

	"confab/signaling/wire"
)

const (
	maxFeedBytes = 512 << 10 // that wait for one client before it is too slow
	eventBytes   = 128       // what an event takes beside its texts
)

// A feed stands between a room, which must not wait, and a connection. It implements rooms.RunOutlet.
type feed struct {
	ready chan struct{} // of one, never closed: there is something to take

	mu    sync.Mutex
	tell  []func(State) ([]Event, State) // guarded by mu
	bytes int                            // that they take; guarded by mu
	slow  bool                           // some were lost; guarded by mu
	over  bool                           // the last one is there; guarded by mu
}

func newFeed() *feed { return &feed{ready: make(chan struct{}, 1)} }

// put takes in what happens, and how much it takes in bytes.
func (f *feed) put(bytes int, last bool, tell func(State) ([]Event, State)) {
	f.mu.Lock()
	if f.bytes += bytes + eventBytes; f.bytes > maxFeedBytes || f.slow {
		f.slow, f.tell = true, nil
	} else {
		f.tell = append(f.tell, tell)
	}
	f.over = f.over || last
	f.mu.Unlock()
	select {
	case f.ready <- struct{}{}:
	default:
	}
}

// take returns what has gathered. over says that it is the last, slow that some was lost and the rest is worth nothing.
func (f *feed) take() (tell []func(State) ([]Event, State), over, slow bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	tell, f.tell, f.bytes = f.tell, nil, 0
	return tell, f.over, f.slow
}

// RunBegun implements rooms.RunOutlet.
func (f *feed) RunBegun(by wire.Author, so wire.RunState) {
	// It is bounded by what a run may write, think and use, and the first of all: it does not count.
	f.put(0, false, func(s State) ([]Event, State) { return s.Begin(by, so) })
}

// RunEvent implements rooms.RunOutlet.
func (f *feed) RunEvent(event wire.ServerMessage) {
	f.put(textBytes(event), false, func(s State) ([]Event, State) { return s.Tell(event) })
}

// RunCompleted implements rooms.RunOutlet.
func (f *feed) RunCompleted(end wire.AgentCompleted, receipt *wire.RunReceipt) {
	f.put(0, true, func(s State) ([]Event, State) { return s.Complete(end, receipt), s })
}

// RunLost implements rooms.RunOutlet.
func (f *feed) RunLost(problem *wire.Error) {
	f.put(0, true, func(s State) ([]Event, State) { return s.Lose(problem), s })
}

// textBytes is how much an event has in texts.
func textBytes(event wire.ServerMessage) int {
	switch e := event.(type) {
	case wire.AgentThinking:
		return len(e.Text)
	case wire.ToolExecuting:
		return len(e.Input)
	case wire.ToolCompleted:
		return len(e.Output) + len(e.Error)
	case wire.ToolApproval:
		return len(e.Input)
	case wire.StreamChunk:
		return len(e.Text)
	default:
		return 0
	}
}
