package plane

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

func TestWindowGivesNoIndexTwice(t *testing.T) {
	for name, c := range map[string]struct {
		seqs []uint16
		want []int64 // index, or -1 for refused
	}{
		"in order":         {[]uint16{7, 8, 9}, []int64{7, 8, 9}},
		"a repeat":         {[]uint16{7, 8, 7, 8}, []int64{7, 8, -1, -1}},
		"late":             {[]uint16{7, 10, 8, 9, 9}, []int64{7, 10, 8, 9, -1}},
		"across the wrap":  {[]uint16{65534, 65535, 0, 1, 65533, 65535}, []int64{65534, 65535, 65536, 65537, 65533, -1}},
		"before the start": {[]uint16{1, 65535, 2}, []int64{1, -1, 2}},
		"too late":         {[]uint16{0, windowSize, 1, 0}, []int64{0, windowSize, 1, -1}},
		"a long jump":      {[]uint16{0, 32767, 32767 - windowSize, 32767 - windowSize + 1}, []int64{0, 32767, -1, 32767 - windowSize + 1}},
		"half the circle":  {[]uint16{10, 10 + 32768}, []int64{10, -1}},
	} {
		t.Run(name, func(t *testing.T) {
			var w window
			for i, seq := range c.seqs {
				index, ok := w.take(seq)
				if ok != (c.want[i] >= 0) || ok && index != uint64(c.want[i]) {
					t.Errorf("packet %d, number %d: index %d, %v; want %d", i, seq, index, ok, c.want[i])
				}
			}
		})
	}
}

func TestWindowEndsWithTheKey(t *testing.T) {
	w := window{started: true, highest: mostRTP - 1}
	if index, ok := w.take(0xffff); !ok || index != mostRTP {
		t.Errorf("the last index is %d, %v", index, ok)
	}
	if index, ok := w.take(0); ok {
		t.Errorf("index %d of a key that has none left", index)
	}
}

// TestWindowAgreesWithReceivers sends numbers in disorder over several cycles: what the window calls an index must be
// what a receiver takes for it.
func TestWindowAgreesWithReceivers(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	key, salt := bytes.Repeat([]byte{1}, 16), bytes.Repeat([]byte{2}, 12)
	out, err := newContext(key, salt)
	if err != nil {
		t.Fatal(err)
	}
	in, err := srtp.CreateContext(key, salt, srtp.ProtectionProfileAeadAes128Gcm)
	if err != nil {
		t.Fatal(err)
	}
	var w window
	seen := map[uint64]bool{}
	for at := uint64(60000); at < 5<<16; at += 1 + random.Uint64N(200) {
		seq := uint16(at - min(random.Uint64N(3000), at-60000)*(random.Uint64N(4)/3))
		index, ok := w.take(seq)
		if !ok {
			continue
		}
		if seen[index] {
			t.Fatalf("index %d given twice", index)
		}
		seen[index] = true
		header, err := (&rtp.Header{Version: 2, SequenceNumber: seq, SSRC: 1}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.DecryptRTP(nil, out.sealRTP(header, []byte("x"), index), nil); err != nil {
			t.Fatalf("number %d was not encrypted with index %d: %v", seq, index, err)
		}
	}
	if len(seen) < 1000 {
		t.Fatalf("only %d packets", len(seen))
	}
}
