package plane

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// A wire is a served Transport that sends to a socket of the test's.
type wire struct {
	*Transport
	conn *Conn
	far  *net.UDPConn
	in   *srtp.Context // decrypts what far gets
	back *srtp.Context // encrypts what far sends
}

func newWire(t testing.TB, opts Options, listen netip.AddrPort) *wire {
	t.Helper()
	w := newLooseWire(t, opts, listen)
	w.shard.mu.Lock()
	defer w.shard.mu.Unlock()
	w.addPath(w.far)
	return w
}

// newLooseWire is newWire without a path.
func newLooseWire(t testing.TB, opts Options, listen netip.AddrPort) *wire {
	t.Helper()
	opts.Shards = 1
	plane := New(opts)
	shard := plane.Shard(0)
	conn, err := plane.Listen(listen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	far, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(loopback))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	_ = far.SetReadBuffer(4 << 20)
	context := func() *srtp.Context {
		c, err := srtp.CreateContext(bytes.Repeat([]byte{5}, 16), bytes.Repeat([]byte{6}, 12), srtp.ProtectionProfileAeadAes128Gcm,
			srtp.SRTPReplayProtection(512), srtp.SRTCPReplayProtection(512))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	w := &wire{Transport: shard.NewTransport(&taken{}), conn: conn, far: far, in: context(), back: context()}
	for _, c := range []**srtpContext{&w.out, &w.Transport.in} {
		if *c, err = newContext(bytes.Repeat([]byte{5}, 16), bytes.Repeat([]byte{6}, 12)); err != nil {
			t.Fatal(err)
		}
	}
	w.state = served
	return w
}

// addPath has the Transport send to a socket of the test's. The shard's mu is held.
func (w *wire) addPath(far *net.UDPConn) {
	to := far.LocalAddr().(*net.UDPAddr).AddrPort()
	w.paths = append(w.paths, to)
	w.attach(w.conn)
	w.shard.plane.learn(to, w.Transport)
}

// packetOf is a plain RTP packet of so many bytes, its number repeated in the payload.
func packetOf(t testing.TB, ssrc uint32, seq uint16, size int) []byte {
	t.Helper()
	payload := make([]byte, size-12)
	binary.BigEndian.PutUint16(payload, seq)
	packet, err := (&rtp.Packet{Header: rtp.Header{Version: 2, SSRC: ssrc, SequenceNumber: seq}, Payload: payload}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return packet
}

// read returns the next datagram at the far end, decrypted.
func (w *wire) read(t testing.TB) []byte {
	t.Helper()
	buf := make([]byte, 1<<16)
	if err := w.far.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := w.far.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	var plain []byte
	if classify(buf[:n]) == kindRTCP {
		plain, err = w.in.DecryptRTCP(nil, buf[:n], nil)
	} else {
		plain, err = w.in.DecryptRTP(nil, buf[:n], nil)
	}
	if err != nil {
		t.Fatalf("a datagram of %d bytes: %v", n, err)
	}
	return plain
}

// mustWrite writes packets of these sizes, with increasing numbers.
func (w *wire) mustWrite(t testing.TB, seq uint16, sizes []int) {
	t.Helper()
	w.shard.Do(func(out *Writer) {
		for i, size := range sizes {
			if err := out.RTP(w.Transport, packetOf(t, 1, seq+uint16(i), size)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// checkArrived reads as many datagrams as there are sizes and compares.
func (w *wire) checkArrived(t testing.TB, seq uint16, sizes []int) {
	t.Helper()
	for i, size := range sizes {
		got := w.read(t)
		if len(got) != size || !bytes.Equal(got, packetOf(t, 1, seq+uint16(i), size)) {
			t.Fatalf("datagram %d has %d bytes and number %d; want %d and %d", i, len(got), binary.BigEndian.Uint16(got[2:]), size, seq+uint16(i))
		}
	}
}

func repeated(size, count int) []int {
	sizes := make([]int, count)
	for i := range sizes {
		sizes[i] = size
	}
	return sizes
}

// TestWhatIsWrittenArrives sends runs of all shapes over a real socket, in both ways a socket can send, from both
// address families, and reads each packet as a datagram of its own.
func TestWhatIsWrittenArrives(t *testing.T) {
	sockets := map[string]struct {
		opts   Options
		listen netip.AddrPort
	}{
		"batched":            {Options{}, loopback},
		"plain":              {Options{Plain: true}, loopback},
		"batched dual stack": {Options{}, netip.MustParseAddrPort("[::]:0")},
	}
	shapes := map[string][]int{
		"one":               {100},
		"equal":             repeated(1200, 10),
		"a smaller last":    append(repeated(1200, 10), 300),
		"a smaller between": {1200, 1200, 300, 1200, 1200},
		"a larger between":  {300, 300, 1200, 300},
		"all different":     {100, 200, 300, 299, 298, 298},
		"more than one run": repeated(1200, 200),
		"more than arena":   repeated(1400, 300),
		"more than maxRuns": alternating(maxRuns + 50),
	}
	for name, socket := range sockets {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, socket.opts, socket.listen)
			seq, sent := uint16(0), uint64(0)
			for shape, sizes := range shapes {
				w.mustWrite(t, seq, sizes)
				w.checkArrived(t, seq, sizes)
				seq += uint16(len(sizes))
				sent += uint64(len(sizes))
				if stats := w.shard.plane.Stats(); stats.Sent != sent || stats.Dropped+stats.Refused != 0 {
					t.Fatalf("%s: %d sent, %+v", shape, sent, stats)
				}
			}
		})
	}
}

// alternating is sizes of which no two neighbours make a run.
func alternating(count int) []int {
	sizes := repeated(50, count)
	for i := range sizes {
		sizes[i] += i
	}
	return sizes
}

func TestEachPacketIsSentOnce(t *testing.T) {
	var sent []Nonce
	w := newWire(t, Options{Sent: func(n Nonce) { sent = append(sent, n) }}, loopback)
	packet, report := packetOf(t, 1, 100, 200), []byte{0x81, 206, 0, 2, 0, 0, 0, 9, 1, 2, 3, 4}
	w.shard.Do(func(out *Writer) {
		for i, c := range []struct {
			err  error
			want error
		}{
			{out.RTP(w.Transport, packet), nil},
			{out.RTP(w.Transport, packet), ErrRepeated},
			{out.RTCP(w.Transport, report), nil},
			{out.RTCP(w.Transport, report), nil}, // RTCP gets an index of its own
			{out.RTP(w.Transport, report), ErrMalformed},
			{out.RTCP(w.Transport, packet), ErrMalformed},
			{out.RTP(w.Transport, packetOf(t, 1, 101, maxPacket+1)), ErrMalformed},
			{out.RTP(w.Transport, []byte{0x9f, 96, 0, 102, 0, 0, 0, 0, 0, 0, 0, 1}), ErrMalformed},
			{out.RTP(w.Transport, []byte{0x90, 96, 0, 102, 0, 0, 0, 0, 0, 0, 0, 1, 0xbe, 0xde, 0, 1}), ErrMalformed},
			{out.WriteRTP(w.Stream(1), &rtp.Header{Version: 2, Marker: true, PayloadType: 72, SSRC: 1}, nil), ErrMalformed},
			{out.WriteRTP(w.Stream(1), &rtp.Header{Version: 2, SSRC: 2}, nil), ErrMalformed}, // of another stream
		} {
			if !errors.Is(c.err, c.want) {
				t.Errorf("write %d: %v; want %v", i, c.err, c.want)
			}
		}
	})
	for _, want := range [][]byte{packet, report, report} {
		if got := w.read(t); !bytes.Equal(got, want) {
			t.Errorf("got %x; want %x", got, want)
		}
	}
	want := []Nonce{
		{Transport: w.Transport, SSRC: 1, Index: 100},
		{Transport: w.Transport, RTCP: true, SSRC: 9, Index: 1}, {Transport: w.Transport, RTCP: true, SSRC: 9, Index: 2},
	}
	if len(sent) != len(want) {
		t.Fatalf("nonces %+v", sent)
	}
	for i := range want {
		if sent[i] != want[i] {
			t.Errorf("nonce %d is %+v; want %+v", i, sent[i], want[i])
		}
	}
}

func TestNothingIsSentUnlessServed(t *testing.T) {
	w := newWire(t, Options{}, loopback)
	packet := packetOf(t, 1, 1, 100)
	for _, s := range []state{pending, released} {
		w.state = s
		w.shard.Do(func(out *Writer) {
			if err := errors.Join(out.RTP(w.Transport, packet), out.RTCP(w.Transport, packet)); !errors.Is(err, ErrNotServed) {
				t.Errorf("state %d: %v", s, err)
			}
		})
	}
	w.state = served
	w.Close()
	w.shard.Do(func(out *Writer) {
		if err := out.RTP(w.Transport, packet); !errors.Is(err, ErrNotServed) {
			t.Errorf("after Close: %v", err)
		}
	})
	if len(w.shard.plane.known) != 0 {
		t.Error("Close leaves addresses behind")
	}
}

// twice writes a packet at the end of a batch and once more after that.
type twice struct {
	t     testing.TB
	wire  *wire
	calls int
}

// Prefetch implements Task.
func (e *twice) Prefetch(int) {}

func (e *twice) EndOfBatch(w *Writer, _ time.Time) {
	e.calls++
	if err := w.RTP(e.wire.Transport, packetOf(e.t, 1, uint16(e.calls), 100)); err != nil {
		e.t.Error(err)
	}
	if e.calls == 1 {
		w.AtEnd(e)
	}
}

func TestTasksAreDoneAtTheEnd(t *testing.T) {
	w := newWire(t, Options{}, loopback)
	task := &twice{t: t, wire: w}
	w.shard.Do(func(out *Writer) {
		out.AtEnd(task)
		if task.calls != 0 {
			t.Error("done at once")
		}
	})
	w.checkArrived(t, 1, repeated(100, 2))
	w.shard.Do(func(*Writer) {})
	if task.calls != 2 {
		t.Errorf("done %d times", task.calls)
	}
}

// A noted is a Task that notes what is asked of it.
type noted struct {
	name string
	seen *[]string
}

func (n noted) Prefetch(stage int) { *n.seen = append(*n.seen, n.name+strconv.Itoa(stage)) }

func (n noted) EndOfBatch(*Writer, time.Time) { *n.seen = append(*n.seen, n.name) }

func TestTasksPrefetchTogether(t *testing.T) {
	var seen []string
	shard := New(Options{}).Shard(0)
	shard.Do(func(w *Writer) {
		w.AtEnd(noted{"a", &seen})
		w.AtEnd(noted{"b", &seen})
	})
	if want := []string{"a0", "b0", "a1", "b1", "a2", "b2", "a3", "b3", "a", "b"}; !slices.Equal(seen, want) {
		t.Errorf("two tasks: %v; want %v", seen, want)
	}
	seen = nil
	shard.Do(func(w *Writer) { w.AtEnd(noted{"a", &seen}) })
	if !slices.Equal(seen, []string{"a"}) {
		t.Errorf("one task waits for nobody: %v", seen)
	}
}

// forwardAll is a Sink that writes each packet to all wires at the end of the batch: the smallest forwarder.
type forwardAll struct {
	to      []*Transport
	pending [][]byte
}

func (f *forwardAll) RTP(w *Writer, _ *rtp.Header, packet, _ []byte, _ time.Time) {
	if len(f.pending) == 0 {
		w.AtEnd(f)
	}
	f.pending = append(f.pending, append(f.next(), packet...))
}

// next returns the space of a packet that was forwarded before, if there is one.
func (f *forwardAll) next() []byte {
	if n := len(f.pending); n < cap(f.pending) {
		return f.pending[:n+1][n][:0]
	}
	return nil
}

// Prefetch implements Task.
func (f *forwardAll) Prefetch(int) {}

func (f *forwardAll) EndOfBatch(w *Writer, _ time.Time) {
	for _, t := range f.to {
		for _, packet := range f.pending {
			_ = w.RTP(t, packet)
		}
	}
	f.pending = f.pending[:0]
}

func TestForwardingDoesNotAllocate(t *testing.T) {
	from := newWire(t, Options{}, loopback)
	sink := &forwardAll{}
	for range 10 {
		to := newWireOn(t, from)
		sink.to = append(sink.to, to)
	}
	from.Claim(1, sink)
	seq := uint16(0)
	batch := make([]datagram, 8)
	encrypted := make([][]byte, 8)
	for i := range encrypted {
		encrypted[i] = make([]byte, 0, maxDatagram)
	}
	addr := from.far.LocalAddr().(*net.UDPAddr).AddrPort()
	packet := packetOf(t, 1, 0, 1200)
	var header rtp.Header
	each := func() {
		for i := range batch {
			seq++
			binary.BigEndian.PutUint16(packet[2:], seq)
			data, err := from.back.EncryptRTP(encrypted[i][:0], packet, &header)
			if err != nil {
				t.Fatal(err)
			}
			batch[i] = datagram{data: data, from: addr}
		}
		from.shard.plane.take(batch)
	}
	each()
	if n := testing.AllocsPerRun(100, each); n != 0 {
		t.Errorf("%v objects allocated for 8 packets forwarded to 10", n)
	}
	if stats := from.shard.plane.Stats(); stats.Refused+stats.Rejected != 0 || stats.Sent+stats.Dropped != 10*uint64(seq) {
		t.Errorf("%d packets, %+v", seq, stats)
	}
}

// newWireOn is another Transport of the same shard that sends to the same far end.
func newWireOn(t testing.TB, w *wire) *Transport {
	t.Helper()
	out, err := newContext(bytes.Repeat([]byte{7}, 16), bytes.Repeat([]byte{8}, 12))
	if err != nil {
		t.Fatal(err)
	}
	other := w.shard.NewTransport(&taken{})
	other.out, other.state, other.conn, other.paths = out, served, w.conn, w.paths
	return other
}

// What pion sends on the socket arrives, from the port that clients know; an address of another family is an error.
func TestPionSends(t *testing.T) {
	for name, test := range map[string]struct {
		opts   Options
		listen netip.AddrPort
	}{
		"batched":       {Options{}, loopback},
		"plain":         {Options{Plain: true}, loopback},
		"both families": {Options{}, netip.MustParseAddrPort("[::]:0")},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWire(t, test.opts, test.listen)
			binding := []byte{0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42}
			far := w.far.LocalAddr().(*net.UDPAddr).AddrPort()
			if n, err := w.conn.WriteToAddrPort(binding, far); n != len(binding) || err != nil {
				t.Fatal(n, err)
			}
			if err := w.far.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			buf := make([]byte, 100)
			n, from, err := w.far.ReadFromUDPAddrPort(buf)
			if err != nil || string(buf[:n]) != string(binding) || from.Port() != w.conn.local.Port() {
				t.Errorf("%x from %v: %v", buf[:n], from, err)
			}
			other := netip.MustParseAddrPort("[::1]:9")
			if _, err := w.conn.WriteToAddrPort(binding, other); test.listen.Addr().Is4() && err == nil {
				t.Error("sends to an address of another family")
			}
			if err := w.conn.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := w.conn.WriteToAddrPort(binding, far); err == nil {
				t.Error("sends on a socket that is closed")
			}
		})
	}
}
