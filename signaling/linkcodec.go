package signaling

import (
	"encoding/binary"
	"errors"
	"sync"

	"confab/rooms"
)

// An itemKind says what an item of a link is. An item is its length, as an unsigned varint, this byte and its body.
type itemKind byte

const (
	// From the node that a client is connected to. Each names the session by the number it was opened with.
	itemOpen    itemKind = 'o' // opening as JSON
	itemLine    itemKind = 'l' // number, the line as the client sent it
	itemLost    itemKind = 'x' // number, 1 = it said goodbye
	itemRefresh itemKind = 'r' // opening as JSON, with other claims

	// From the node that owns the room.
	itemFrame  itemKind = 'f' // length of the key, key, count, that many numbers, the frame
	itemJoined itemKind = 'j' // number, the first frame of a room
	itemClose  itemKind = 'c' // number, close code, the reason
	itemLeft   itemKind = 'u' // number, joins, length of the room, room, why or nothing
	itemMoved  itemKind = 'm' // number, the line of the join: the room is another node's
)

const (
	maxLinkItem    = 4 << 20  // bytes; the first frame of a room is the largest
	maxLinkWaiting = 32 << 20 // bytes; a link with more to send has ended
)

var errLinkItem = errors.New("signaling: an item of a link cannot be read")

// A linkOut gathers the items that wait to be sent over a link. A frame that a room sends to many sessions of one node
// is there once, with the list of them.
type linkOut struct {
	mu    sync.Mutex
	link  rooms.Link // guarded by mu; nil until it is there
	over  bool       // guarded by mu
	ready []byte     // guarded by mu
	frame []byte     // the last item is this frame, which may get more receivers; guarded by mu
	key   string     // guarded by mu
	to    []uint64   // guarded by mu
}

// attach says which link the items are for.
func (o *linkOut) attach(link rooms.Link) {
	o.mu.Lock()
	o.link = link
	o.mu.Unlock()
	link.Wake()
}

// put adds an item whose body is numbers and rest.
func (o *linkOut) put(kind itemKind, rest []byte, numbers ...uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over {
		return
	}
	o.settleLocked()
	size := 1 + len(rest)
	for _, n := range numbers {
		size += uvarintLen(n)
	}
	o.ready = append(binary.AppendUvarint(o.ready, uint64(size)), byte(kind))
	for _, n := range numbers {
		o.ready = binary.AppendUvarint(o.ready, n)
	}
	o.ready = append(o.ready, rest...)
	o.pokeLocked()
}

// send adds a frame for a session. It is kept, and must not be changed.
func (o *linkOut) send(number uint64, frame []byte, key string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.over || len(frame) == 0:
		return
	case len(o.frame) == len(frame) && &o.frame[0] == &frame[0] && o.key == key:
		o.to = append(o.to, number)
		return
	}
	o.settleLocked()
	o.frame, o.key, o.to = frame, key, append(o.to[:0], number)
	o.pokeLocked()
}

// settleLocked encodes the frame that waits for receivers. mu is held.
func (o *linkOut) settleLocked() {
	if o.frame == nil {
		return
	}
	size := 1 + uvarintLen(uint64(len(o.key))) + len(o.key) + uvarintLen(uint64(len(o.to))) + len(o.frame)
	for _, n := range o.to {
		size += uvarintLen(n)
	}
	out := append(binary.AppendUvarint(o.ready, uint64(size)), byte(itemFrame))
	out = append(binary.AppendUvarint(out, uint64(len(o.key))), o.key...)
	out = binary.AppendUvarint(out, uint64(len(o.to)))
	for _, n := range o.to {
		out = binary.AppendUvarint(out, n)
	}
	o.ready, o.frame = append(out, o.frame...), nil
}

func (o *linkOut) pokeLocked() {
	switch {
	case o.link == nil:
	case len(o.ready) > maxLinkWaiting:
		o.over, o.ready, o.frame = true, nil, nil
		o.link.Close("too much waits for another node")
	default:
		o.link.Wake()
	}
}

// Fill is that of rooms.LinkEnd.
func (o *linkOut) Fill(buf []byte) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.settleLocked()
	buf = append(buf, o.ready...)
	if o.ready = o.ready[:0]; cap(o.ready) > maxBatchKept {
		o.ready = nil
	}
	return buf
}

// end lets nothing more in.
func (o *linkOut) end() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.over, o.ready, o.frame = true, nil, nil
}

const maxBatchKept = 256 << 10

func uvarintLen(n uint64) int {
	size := 1
	for ; n >= 0x80; n >>= 7 {
		size++
	}
	return size
}

// A linkIn cuts what arrives into items. It is used by one goroutine.
type linkIn struct{ rest []byte }

// receive calls take for each item that is complete. What take is given is its own.
func (in *linkIn) receive(data []byte, take func(itemKind, *itemBody) error) error {
	if len(in.rest) > 0 {
		data = append(in.rest, data...)
		in.rest = nil
	}
	for len(data) > 0 {
		size, n := binary.Uvarint(data)
		if n < 0 || size > maxLinkItem || n > 0 && size == 0 {
			return errLinkItem
		}
		if n == 0 || uint64(len(data)-n) < size {
			break
		}
		body := itemBody{data: data[n+1 : n+int(size) : n+int(size)]}
		if err := take(itemKind(data[n]), &body); err != nil {
			return err
		}
		data = data[n+int(size):]
	}
	if len(data) > 0 {
		in.rest = append([]byte(nil), data...)
	}
	return nil
}

// An itemBody is read from the front.
type itemBody struct {
	data []byte
	bad  bool
}

func (b *itemBody) number() uint64 {
	v, n := binary.Uvarint(b.data)
	if n <= 0 {
		b.bad = true
		return 0
	}
	b.data = b.data[n:]
	return v
}

// text reads a length and that many bytes.
func (b *itemBody) text() string {
	n := b.number()
	if n > uint64(len(b.data)) {
		b.bad = true
		return ""
	}
	text := string(b.data[:n])
	b.data = b.data[n:]
	return text
}
