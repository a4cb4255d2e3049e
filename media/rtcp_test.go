package media

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// asked notes what feedback asks for.
type asked struct {
	seqs []uint16
	keys int
}

func (a *asked) resend(seq uint16) { a.seqs = append(a.seqs, seq) }
func (a *asked) refresh()          { a.keys++ }

func marshal(t testing.TB, packets ...rtcp.Packet) []byte {
	t.Helper()
	b, err := rtcp.Marshal(packets)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestReadFeedback(t *testing.T) {
	b := marshal(t,
		&rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{SSRC: 7}}},
		&rtcp.TransportLayerNack{MediaSSRC: 7, Nacks: rtcp.NackPairsFromSequenceNumbers([]uint16{65535, 0, 3, 400})},
		&rtcp.TransportLayerNack{MediaSSRC: 8, Nacks: []rtcp.NackPair{{PacketID: 5}}},
		&rtcp.PictureLossIndication{MediaSSRC: 7},
		&rtcp.PictureLossIndication{MediaSSRC: 8},
		&rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{SSRC: 8}, {SSRC: 7}}},
	)
	var got asked
	readFeedback(b, 7, &got)
	slices.Sort(got.seqs)
	if !slices.Equal(got.seqs, []uint16{0, 3, 400, 65535}) || got.keys != 2 {
		t.Errorf("%+v", got)
	}
	if n := testing.AllocsPerRun(100, func() { got.seqs = got.seqs[:0]; readFeedback(b, 7, &got) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestFindSenderReport(t *testing.T) {
	b := marshal(t, &rtcp.SenderReport{SSRC: 9, NTPTime: 1}, &rtcp.SenderReport{SSRC: 7, NTPTime: 1 << 40, RTPTime: 5})
	if sr, ok := findSenderReport(b, 7); !ok || sr.ntp != 1<<40 || sr.rtp != 5 {
		t.Errorf("%+v %v", sr, ok)
	}
	if _, ok := findSenderReport(b, 8); ok {
		t.Error("a report of nobody")
	}
}

func TestNTP(t *testing.T) {
	if got := ntpSpan(1500 * time.Millisecond); got != 3<<31 {
		t.Errorf("%x", got)
	}
	if got := rtpSpan(20*time.Millisecond, 48000); got != 960 {
		t.Error(got)
	}
}

func TestHeaderExtension(t *testing.T) {
	for _, profile := range []uint16{rtp.ExtensionProfileOneByte, rtp.ExtensionProfileTwoByte} {
		h := rtp.Header{Version: 2, CSRC: []uint32{1, 2}}
		for id, value := range map[uint8]string{3: "ab", 5: "xyz"} {
			if err := h.SetExtensionWithProfile(id, []byte(value), profile); err != nil {
				t.Fatal(err)
			}
		}
		b, err := h.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		for id, want := range map[uint8]string{3: "ab", 5: "xyz", 4: "", 0: ""} {
			if got := string(headerExtension(b, id)); got != want {
				t.Errorf("profile %x, extension %d: %q, want %q", profile, id, got, want)
			}
		}
	}
}

func TestReception(t *testing.T) {
	var r reception
	now := time.Unix(1000, 0)
	for i := range uint64(100) {
		if i%10 != 5 {
			r.count(1<<16+i, uint32(i)*3000, videoClock, now.Add(time.Duration(i)*time.Second/30))
		}
	}
	got := r.report(3, senderReport{ntp: 0x1234567800000000, at: now}, now.Add(500*time.Millisecond))
	want := rtcp.ReceptionReport{
		SSRC: 3, FractionLost: 25, TotalLost: 10, LastSequenceNumber: 99, LastSenderReport: 0x56780000, Delay: 1 << 15,
	}
	if got.Jitter > 1 {
		t.Errorf("jitter %d of an even stream", got.Jitter)
	}
	if got.Jitter = 0; got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if again := r.report(3, senderReport{}, now); again.FractionLost != 0 || again.TotalLost != 10 {
		t.Errorf("then %+v", again)
	}
}

func FuzzRTCP(f *testing.F) {
	f.Add(marshal(f, &rtcp.TransportLayerNack{MediaSSRC: 7, Nacks: []rtcp.NackPair{{PacketID: 5, LostPackets: 3}}}), uint32(7))
	f.Add(marshal(f, &rtcp.SenderReport{SSRC: 7}, &rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{SSRC: 7}}}), uint32(7))
	f.Fuzz(func(t *testing.T, b []byte, ssrc uint32) {
		var got asked
		readFeedback(b, ssrc, &got)
		if len(got.seqs) > 17*len(b)/4 {
			t.Errorf("%d requests in %d bytes", len(got.seqs), len(b))
		}
		findSenderReport(b, ssrc)
	})
}

func FuzzHeaderExtension(f *testing.F) {
	f.Add([]byte("\x90\x60\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\xbe\xde\x00\x01\x31ab\x00"), uint8(3))
	f.Add([]byte("\x90\x60\x00\x01\x00\x00\x00\x00\x00\x00\x00\x01\x10\x00\x00\x01\x03\x02ab"), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, id uint8) {
		if got := headerExtension(b, id); len(got) > len(b) {
			t.Errorf("%x", got)
		}
	})
}

func TestContentOf(t *testing.T) {
	for name, c := range map[string]struct {
		packets       []rtcp.Packet
		asks, reports bool
	}{
		"feedback": {packets: []rtcp.Packet{&rtcp.TransportLayerCC{}, &rtcp.ReceiverReport{}, &rtcp.ReceiverEstimatedMaximumBitrate{}}},
		"NACK":     {packets: []rtcp.Packet{&rtcp.ReceiverReport{}, &rtcp.TransportLayerNack{}}, asks: true},
		"PLI":      {packets: []rtcp.Packet{&rtcp.PictureLossIndication{}}, asks: true},
		"FIR":      {packets: []rtcp.Packet{&rtcp.FullIntraRequest{}}, asks: true},
		"SR":       {packets: []rtcp.Packet{&rtcp.SenderReport{}, &rtcp.SourceDescription{}}, reports: true},
		"both":     {packets: []rtcp.Packet{&rtcp.SenderReport{}, &rtcp.PictureLossIndication{}}, asks: true, reports: true},
	} {
		b, err := rtcp.Marshal(c.packets)
		if err != nil {
			t.Fatal(err)
		}
		if asks, reports := contentOf(b); asks != c.asks || reports != c.reports {
			t.Errorf("%s: asks %v, reports %v", name, asks, reports)
		}
	}
}

// TestReportsAreRead compares reports with those that pion writes.
func TestReportsAreRead(t *testing.T) {
	sr := rtcp.SenderReport{SSRC: 1, NTPTime: 1<<63 + 2, RTPTime: 3, PacketCount: 4, OctetCount: 1<<32 - 5}
	compare(t, appendSenderReport(nil, &sr), sr)
	block := rtcp.ReceptionReport{
		SSRC: 6, FractionLost: 255, TotalLost: 1<<24 - 7, LastSequenceNumber: 1<<32 - 8, Jitter: 9, LastSenderReport: 10, Delay: 11,
	}
	for _, n := range []int{0, 1, maxBlocks} {
		blocks := slices.Repeat([]rtcp.ReceptionReport{block}, n)
		compare(t, appendReceiverReport(nil, 12, blocks), rtcp.ReceiverReport{SSRC: 12, Reports: blocks})
	}
}

func compare(t *testing.T, got []byte, want interface{ Marshal() ([]byte, error) }) {
	t.Helper()
	raw, err := want.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, raw) {
		t.Errorf("%x\npion writes %x", got, raw)
	}
}

// TestReportsDoNotAllocate makes what control sends in a second, as often as it would.
func TestReportsDoNotAllocate(t *testing.T) {
	var a arrivals
	a.init(1)
	var out compound
	number := uint16(0)
	blocks := make([]rtcp.ReceptionReport, maxBlocks)
	second := func() {
		out.reset()
		for range 50 {
			number++
			a.note(number, 80*int64(number))
		}
		a.take(&out)
		raw := out.next()
		*raw = appendSenderReport(*raw, &rtcp.SenderReport{SSRC: 1})
		raw = out.next()
		*raw = appendReceiverReport(*raw, 1, blocks)
	}
	if allocs := testing.AllocsPerRun(100, second); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
	if len(out.packets) != 3 {
		t.Errorf("%d packets", len(out.packets))
	}
}
