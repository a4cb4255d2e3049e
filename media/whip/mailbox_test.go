package whip

import (
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"confab/signaling/wire"
)

const bareAnswer = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"

func candidateSignal(t *testing.T, generation int, line string) wire.Signal {
	t.Helper()
	raw, err := json.Marshal(map[string]string{"candidate": line})
	if err != nil {
		t.Fatal(err)
	}
	return wire.Signal{Candidate: raw, Generation: generation}
}

// The candidates that an encoder can use stand first; those of an earlier ICE session not at all.
func TestMailboxOrder(t *testing.T) {
	b := newMailbox()
	b.take(wire.MediaQuality{})
	b.take(candidateSignal(t, 0, "candidate:0 1 udp 1 192.0.2.9 1 typ host"))
	b.take(wire.Signal{Description: &wire.SessionDescription{Type: "answer", SDP: bareAnswer}, Generation: 1})
	for _, line := range []string{
		"candidate:1 1 tcp 5 192.0.2.1 1 typ host tcptype passive",
		"candidate:2 1 udp 4 fe80::1 1 typ host",
		"candidate:3 1 udp 3 2001:db8::1 1 typ host",
		"candidate:4 1 udp 2 192.0.2.1 1 typ host",
		"candidate:5 1 UDP 1 203.0.113.1 1 typ srflx",
	} {
		b.take(candidateSignal(t, 1, line))
	}
	b.take(candidateSignal(t, 0, "candidate:9 1 udp 1 192.0.2.9 1 typ host"))
	b.take(wire.Signal{Candidate: json.RawMessage("null"), Generation: 1})
	a, err := b.wait(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	var order []byte
	for _, line := range a.candidates {
		order = append(order, line[len("candidate:")])
	}
	if string(order) != "45321" {
		t.Errorf("the order is %s", order)
	}
}

// An answer whose last candidate is late goes without it; one that has none is no answer.
func TestMailboxLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		b := newMailbox()
		b.take(wire.Signal{Description: &wire.SessionDescription{Type: "answer", SDP: bareAnswer}})
		if _, err := b.wait(t.Context(), 0); wire.AsError(err).Code != wire.CodeUnavailable {
			t.Errorf("without a candidate: %v", err)
		}
		b.take(candidateSignal(t, 0, "candidate:1 1 udp 1 192.0.2.1 1 typ host"))
		a, err := b.wait(t.Context(), 0)
		if err != nil || !slices.Equal(a.candidates, []string{"candidate:1 1 udp 1 192.0.2.1 1 typ host"}) {
			t.Errorf("%v, %v", a, err)
		}
		if waited := time.Since(start); waited != 2*gatherTimeout {
			t.Errorf("it waited %v", waited)
		}
		if _, err := b.wait(t.Context(), 1); wire.AsError(err).Code != wire.CodeTimeout {
			t.Errorf("of a restart that is not answered: %v", err)
		}
	})
}
