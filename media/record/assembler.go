package record

const (
	maxFrameBytes   = 8 << 20 // of one frame; a larger one is dropped
	maxFramePackets = 8192
)

// An assembler makes frames of packets in order. Of video it lets a frame through only when all it may refer to was
// let through: after a gap it waits for a key frame. It is not safe for concurrent use.
type assembler struct {
	codec codec // constant

	waitKey bool     // frames are dropped until a key frame
	blind   bool     // what came before the next packet is not known, and so whether it begins a frame
	open    bool     // parts belong to the frame with the timestamp ts
	broken  bool     // the frame with the timestamp ts is incomplete
	parts   [][]byte // payloads
	bytes   int
	ts      uint32
	dropped int // frames that were not let through
}

// newAssembler makes one that has seen nothing.
func newAssembler(c codec) *assembler { return &assembler{codec: c, waitKey: c.video(), blind: true} }

// push takes the next packet and calls emit for each frame that it completes: none, one, or two when it shows that
// the frame before it had ended and is itself a whole frame. emit's frame is good until the next push.
func (a *assembler) push(p packet, emit func(f frame, ts uint32) error) error {
	if p.gap {
		a.drop(p.ts)
		a.waitKey, a.blind = a.codec.video(), true
	}
	if len(p.payload) == 0 {
		return nil // padding
	}
	if a.open && p.ts != a.ts { // the frame before it had no marker
		if err := a.finish(emit); err != nil {
			return err
		}
	}
	if !a.open {
		a.open, a.ts = true, p.ts
		a.broken = a.blind && !a.codec.head(p.payload)
	}
	a.blind = false
	a.parts = append(a.parts, p.payload)
	a.bytes += len(p.payload)
	if a.bytes > maxFrameBytes || len(a.parts) > maxFramePackets {
		a.broken, a.parts, a.bytes = true, a.parts[:0], 0
	}
	if p.marker || !a.codec.video() {
		return a.finish(emit)
	}
	return nil
}

// drop gives up the frame that is being gathered; what is still to come of it is not the beginning of a frame.
func (a *assembler) drop(next uint32) {
	if a.open && next == a.ts {
		a.broken = true
		return
	}
	if a.open {
		a.dropped++
	}
	a.reset()
}

// restart begins anew with another stream: what it refers to has not come.
func (a *assembler) restart() {
	a.reset()
	a.waitKey, a.blind = a.codec.video(), true
}

func (a *assembler) reset() {
	a.open, a.broken, a.bytes = false, false, 0
	clear(a.parts)
	a.parts = a.parts[:0]
}

// finish makes a frame of the parts, if it may be let through.
func (a *assembler) finish(emit func(frame, uint32) error) error {
	defer a.reset()
	if a.broken {
		a.lose()
		return nil
	}
	f, err := a.codec.join(a.parts)
	if err != nil || len(f.data) == 0 || a.waitKey && !f.key {
		a.lose()
		return nil //nolint:nilerr // what cannot be read is lost like what did not come
	}
	a.waitKey = false
	return emit(f, a.ts)
}

// lose notes a frame that is not let through. Those after it refer to it.
func (a *assembler) lose() {
	a.dropped++
	a.waitKey = a.codec.video()
}
