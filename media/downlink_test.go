package media

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// limitTo has a client say by REMB how much it can take.
func limitTo(c *client, bitrate int) {
	b, err := (&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: float32(bitrate), SSRCs: []uint32{1}}).Marshal()
	if err != nil {
		c.t.Fatal(err)
	}
	if c.peer.downlink.reported(b, time.Now()) {
		poke(c.peer.due)
	}
}

func TestREMB(t *testing.T) {
	for _, want := range []int{0, 1, 1000, 262_143, 300_000, 2_500_000, 1_000_000_000} {
		b, err := (&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: float32(want), SSRCs: []uint32{7}}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := readREMB(b[4:]); !ok || got > want || got < want-want/1000 {
			t.Errorf("%d %v, want %d", got, ok, want)
		}
	}
	body := make([]byte, 16)
	copy(body[8:], "REMB\x01\xff\xff\xff")
	if got, ok := readREMB(body); !ok || got <= 0 {
		t.Errorf("the largest exponent: %d %v", got, ok)
	}
	copy(body[8:], "AFB?")
	if _, ok := readREMB(body); ok {
		t.Error("other application layer feedback is read")
	}
	if _, ok := readREMB(body[:15]); ok {
		t.Error("what is cut short is read")
	}
}
