package whip

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"confab/signaling/wire"
)

// A mailbox gathers what the peer says, which comes as it would over a socket: an answer, then candidates one by one.
type mailbox struct {
	changed chan struct{} // holds one

	mu         sync.Mutex
	generation int      // guarded by mu; of all that follows
	text       string   // guarded by mu; the answer
	candidates []string // guarded by mu
	complete   bool     // guarded by mu; there are no more candidates
}

func newMailbox() *mailbox { return &mailbox{changed: make(chan struct{}, 1), generation: -1} }

// take is the peer's Send. What is said about media quality is for clients that can hear it.
func (b *mailbox) take(msg wire.ServerMessage) {
	signal, ok := msg.(wire.Signal)
	if !ok {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch d := signal.Description; {
	case d != nil && d.Type == "answer":
		b.generation, b.text, b.candidates, b.complete = signal.Generation, d.SDP, nil, false
	case len(signal.Candidate) > 0 && signal.Generation == b.generation:
		b.takeCandidate(signal.Candidate)
	}
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// takeCandidate notes a candidate, or that there are no more. mu is held.
func (b *mailbox) takeCandidate(raw json.RawMessage) {
	var init *struct{ Candidate string }
	if err := json.Unmarshal(raw, &init); err != nil {
		return // media writes JSON
	}
	if init == nil || init.Candidate == "" {
		b.complete = true
	} else {
		b.candidates = append(b.candidates, init.Candidate)
	}
}

// byReach puts first what most clients can reach: simple encoders try the first candidate and no other. UDP comes
// before TCP, IPv4 before IPv6, and addresses of a link alone last.
func byReach(a, b string) int { return cmp.Compare(reach(a), reach(b)) }

func reach(candidate string) int {
	fields := strings.Fields(candidate) // RFC 8839 section 5.1: foundation, component, transport, priority, address
	if len(fields) < 5 {
		return 8
	}
	rank := 0
	if !strings.EqualFold(fields[2], "udp") {
		rank += 4
	}
	if addr, err := netip.ParseAddr(fields[4]); err == nil && addr.IsLinkLocalUnicast() {
		rank += 2
	} else if err == nil && addr.Is6() {
		rank++
	}
	return rank
}

var errNoCandidates = errors.New("whip: the media server found no address of its own")

// wait returns the answer of a generation with all candidates, or with those found within gatherTimeout. One
// goroutine may wait at a time.
func (b *mailbox) wait(ctx context.Context, generation int) (*answer, error) {
	patience := time.NewTimer(gatherTimeout)
	defer patience.Stop()
	for late := false; ; {
		a, err := b.read(generation, late)
		if a != nil || err != nil {
			return a, err
		}
		select {
		case <-b.changed:
		case <-patience.C:
			late = true
		case <-ctx.Done():
			return nil, &wire.Error{Code: wire.CodeTimeout, Text: "the media server is busy", Err: context.Cause(ctx)}
		}
	}
}

// read returns the answer if it is complete, or if it is late.
func (b *mailbox) read(generation int, late bool) (*answer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.generation != generation || !b.complete && !late {
		if late {
			return nil, &wire.Error{Code: wire.CodeTimeout, Text: "the media server is busy"}
		}
		return nil, nil
	}
	if len(b.candidates) == 0 {
		return nil, &wire.Error{Code: wire.CodeUnavailable, Text: "the media server cannot be reached now", Err: errNoCandidates}
	}
	a := &answer{candidates: slices.SortedStableFunc(slices.Values(b.candidates), byReach)}
	if err := a.desc.UnmarshalString(b.text); err != nil {
		return nil, err
	}
	return a, nil
}
