package whip

import (
	"errors"
	"sync/atomic"

	"confab/media"
)

// An Outcome is what became of a request for a session, or of a session.
type Outcome string

// The outcomes. Begun is counted at the beginning, what ended a session at its end.
const (
	Refused Outcome = "refused" // there was no session
	Begun   Outcome = "begun"
	Deleted Outcome = "deleted" // by its client
	Lost    Outcome = "lost"    // the connection was
	Removed Outcome = "removed" // by the room: put out, or there was nobody to play any more
	Expired Outcome = "expired" // its token was
	Closed  Outcome = "closed"  // by the end of the server
	Failed  Outcome = "failed"
)

// Protocols are the names of what a Handler serves, as a Count has them.
var Protocols = []string{publish.String(), play.String()}

// Outcomes are all of them.
var Outcomes = []Outcome{Refused, Begun, Deleted, Lost, Removed, Expired, Closed, Failed}

// A Count names one counter of a Handler.
type Count struct {
	Protocol string // WHIP or WHEP
	Outcome  Outcome
}

func newOutcomes() map[Count]*atomic.Uint64 {
	all := map[Count]*atomic.Uint64{}
	for _, protocol := range Protocols {
		for _, outcome := range Outcomes {
			all[Count{protocol, outcome}] = new(atomic.Uint64)
		}
	}
	return all
}

func (h *Handler) count(what purpose, outcome Outcome) {
	h.outcomes[Count{what.String(), outcome}].Add(1)
}

// Counted returns how often something has come about since the start; 0 for a Count that is none.
func (h *Handler) Counted(c Count) uint64 {
	if n := h.outcomes[c]; n != nil {
		return n.Load()
	}
	return 0
}

// Open counts the sessions of a protocol at this moment.
func (h *Handler) Open(protocol string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for _, s := range h.sessions {
		if s.what.String() == protocol {
			n++
		}
	}
	return n
}

// outcomeOf says which end a cause is.
func outcomeOf(cause error) Outcome {
	for _, c := range []struct {
		cause   error
		outcome Outcome
	}{
		{errDeleted, Deleted}, {errLost, Lost}, {media.ErrLost, Lost}, {errGone, Removed}, {errExpired, Expired},
		{errHandlerClosed, Closed}, {media.ErrClosed, Closed},
	} {
		if errors.Is(cause, c.cause) {
			return c.outcome
		}
	}
	return Failed
}
