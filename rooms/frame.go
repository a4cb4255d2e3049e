package rooms

import "sync"

// The first frame of a room is the largest by far: a window of messages, tens of kilobytes for each who joins. Where
// many join, most of the garbage is these, so they are used again.
const (
	minRecycled = 4 << 10
	maxRecycled = 512 << 10
)

var recycled sync.Pool // of *[]byte

// newFrame makes an empty frame with room for size bytes.
func newFrame(size int) []byte {
	if size >= minRecycled {
		if old, ok := recycled.Get().(*[]byte); ok && cap(*old) >= size {
			return (*old)[:0]
		}
	}
	return make([]byte, 0, size)
}

// Recycle gives back a frame that came by Outlet.SendJoined and that nobody will look at again.
func Recycle(frame []byte) {
	if n := cap(frame); n >= minRecycled && n <= maxRecycled {
		recycled.Put(&frame)
	}
}
