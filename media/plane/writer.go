package plane

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"github.com/pion/rtp"
)

// What a Writer's methods return. A packet that was not sent is lost, as on any network.
var (
	ErrNotServed = errors.New("plane: the transport is not served, or has lost its path")
	ErrRepeated  = errors.New("plane: the packet's number has been used, or is too old to tell")
	ErrMalformed = errors.New("plane: the packet is malformed or too large")
)

const (
	arenaSize   = 256 << 10 // bytes encrypted before they are sent
	maxRuns     = 128       // runs of one socket before they are sent
	maxSegments = 44        // packets of a run; Linux takes 64
	maxRun      = 65000     // bytes of a run; an IP datagram's length has 16 bits
	maxDatagram = 2048      // bytes; larger ones are not taken
	maxPacket   = 1500      // bytes of a plain packet that is sent
)

// A run is what the system sends at once: packets of one size to one address, of which the last may be smaller.
type run struct {
	to         netip.AddrPort
	start, end int // in the arena
	size       int // of each packet but the last
	count      int
}

// A Task is something to do at the end of a batch of received packets, when all that belongs together has come; now is
// the same for all tasks of a batch, whose packets leave together. The rules of Sink apply.
type Task interface {
	EndOfBatch(w *Writer, now time.Time)
	// Prefetch asks the processor for what EndOfBatch will look at. Before the first EndOfBatch of a batch it is called for
	// each task in turn with each stage from 0 to prefetchStages-1; what a stage asks for, the next one may look at. It
	// changes nothing.
	Prefetch(stage int)
}

// prefetchStages is how many times a pointer can be followed.
const prefetchStages = 4

// A Writer encrypts and sends. It exists while its shard is locked, for who is given it. Write all packets for one
// transport in a row: those that have one size leave in one piece.
type Writer struct {
	shard *Shard

	// Guarded by shard.mu.
	arena []byte // nil = not needed yet
	used  int
	conns []*Conn // that have runs
	tasks []Task
}

// AtEnd has t done when the batch is over; within a Do, after it. A task that is given twice is done twice.
func (w *Writer) AtEnd(t Task) { w.tasks = append(w.tasks, t) }

// RTP encrypts and sends one packet, which is not changed. The sequence numbers of an SSRC may come out of order
// within windowSize, but each only once: what is sent again goes out as a retransmission of its own (RFC 4588).
// The errors are those above; ErrRepeated names a packet that would have used a nonce twice.
func (w *Writer) RTP(t *Transport, packet []byte) error {
	if t.state != served || t.conn == nil {
		return ErrNotServed
	}
	size := 0
	if classify(packet) == kindRTP {
		size = headerSize(packet)
	}
	if size == 0 || size > len(packet) || len(packet) > maxPacket {
		w.shard.stats.Refused++
		return ErrMalformed
	}
	room := w.room(t.conn, len(packet)+rtpOverhead)
	stream := t.Stream(binary.BigEndian.Uint32(packet[8:]))
	return w.seal(stream, append(room, packet[:size]...), packet[size:])
}

// WriteRTP is RTP for a packet of a stream in two parts.
func (w *Writer) WriteRTP(s *Stream, header *rtp.Header, payload []byte) error {
	t := s.transport
	if t.state != served || t.conn == nil {
		return ErrNotServed
	}
	n := header.MarshalSize()
	if n+len(payload) > maxPacket || header.SSRC != s.ssrc {
		w.shard.stats.Refused++
		return ErrMalformed
	}
	room := w.room(t.conn, n+len(payload)+rtpOverhead)[:n]
	if _, err := header.MarshalTo(room); err != nil {
		w.shard.stats.Refused++
		return errors.Join(ErrMalformed, err)
	}
	if classify(room) != kindRTP {
		w.shard.stats.Refused++
		return ErrMalformed
	}
	return w.seal(s, room, payload)
}

// seal encrypts a packet whose header is in the arena, and adds it to what is sent.
func (w *Writer) seal(s *Stream, header, payload []byte) error {
	t := s.transport
	index, ok := s.window.take(binary.BigEndian.Uint16(header[2:]))
	if !ok {
		w.shard.stats.Refused++
		return ErrRepeated
	}
	sealed := t.out.sealRTP(header, payload, index)
	if w.shard.plane.opts.Sent != nil {
		w.shard.plane.opts.Sent(Nonce{Transport: t, SSRC: s.ssrc, Index: index})
	}
	w.append(t.conn, t.paths[len(t.paths)-1], len(sealed))
	return nil
}

// RTCP encrypts and sends one compound packet, which is not changed. The errors are those above.
func (w *Writer) RTCP(t *Transport, packet []byte) error {
	if t.state != served || t.conn == nil {
		return ErrNotServed
	}
	if classify(packet) != kindRTCP || len(packet) > maxPacket {
		w.shard.stats.Refused++
		return ErrMalformed
	}
	sealed, index, ok := t.out.sealRTCP(w.room(t.conn, len(packet)+rtcpOverhead), packet)
	if !ok {
		w.shard.stats.Refused++
		return ErrRepeated
	}
	if w.shard.plane.opts.Sent != nil {
		w.shard.plane.opts.Sent(Nonce{Transport: t, RTCP: true, SSRC: binary.BigEndian.Uint32(packet[4:]), Index: uint64(index)})
	}
	w.append(t.conn, t.paths[len(t.paths)-1], len(sealed))
	return nil
}

// room returns where in the arena size bytes go, and makes room when there is none.
func (w *Writer) room(c *Conn, size int) []byte {
	if w.arena == nil {
		w.arena = make([]byte, arenaSize)
	}
	if w.used+size > len(w.arena) || len(c.runs[w.shard.index]) == maxRuns {
		w.flush()
	}
	return w.arena[w.used : w.used : w.used+size]
}

// append adds the size bytes at the end of the arena to what c sends: to its last run, if they fit in there.
func (w *Writer) append(c *Conn, to netip.AddrPort, size int) {
	start := w.used
	w.used += size
	runs := c.runs[w.shard.index]
	if n := len(runs); n > 0 && c.system(w.shard).segments() {
		last := &runs[n-1]
		full := (last.end-last.start)%last.size == 0 // its last packet is not a smaller one
		if last.to == to && last.end == start && full && size <= last.size && last.count < maxSegments && w.used-last.start <= maxRun {
			last.end, last.count = w.used, last.count+1
			return
		}
	}
	if len(runs) == 0 {
		w.conns = append(w.conns, c)
	}
	c.runs[w.shard.index] = append(runs, run{to: to, start: start, end: w.used, size: size, count: 1})
}

// finish does what was put off and sends everything.
func (w *Writer) finish() {
	w.doTasks()
	w.flush()
}

// doTasks does what was put off.
func (w *Writer) doTasks() {
	if len(w.tasks) == 0 {
		return
	}
	now := time.Now()
	if len(w.tasks) > 1 {
		w.prefetch()
	}
	for i := 0; i < len(w.tasks); i++ { // a task may add others
		w.tasks[i].EndOfBatch(w, now)
	}
	clear(w.tasks)
	w.tasks = w.tasks[:0]
}

// prefetch asks for what the tasks will look at. Each looks at some 30 places that nobody has seen since the last batch, so
// together they would wait for memory longer than they take otherwise.
func (w *Writer) prefetch() {
	for stage := range prefetchStages {
		for _, t := range w.tasks {
			t.Prefetch(stage)
		}
	}
}

// flush sends what is in the arena.
func (w *Writer) flush() {
	for _, c := range w.conns {
		runs := &c.runs[w.shard.index]
		c.system(w.shard).send(w.arena, *runs, &w.shard.stats)
		*runs = (*runs)[:0]
	}
	clear(w.conns)
	w.conns, w.used = w.conns[:0], 0
}
