package voice

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"confab/bots/voice/ogg"
)

// Bounds of one sentence's sound.
const (
	maxClip       = 2 * time.Minute
	maxClipBytes  = 4 << 20 // of packets: 2 minutes at 256 kb/s
	maxEmptySound = 1 << 20 // bytes of a stream without packets that count
)

var errLong = errors.New("voice: the sound of one sentence is too long")

// A clip is one sentence as sound, which may still be coming in.
type clip struct {
	sentence
	voice string // empty = the usual one

	mu      sync.Mutex
	packets []packet // guarded by mu; those that are there never change
	ended   bool     // guarded by mu: no more come
	err     error    // guarded by mu: why not
}

type packet struct {
	opus   []byte
	length time.Duration
}

// load takes in the sound of the sentence.
func (c *clip) load(ctx context.Context, speech *Speech) error {
	err := speech.Say(ctx, c.voice, c.text, func(sound io.Reader) error {
		return c.read(ogg.NewReader(io.LimitReader(sound, maxClipBytes+maxEmptySound)))
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended, c.err = true, err
	return err
}

func (c *clip) read(r *ogg.Reader) error {
	var length time.Duration
	for bytes := 0; ; {
		opus, one, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		length, bytes = length+one, bytes+len(opus)
		if length > maxClip || bytes > maxClipBytes {
			return errLong
		}
		c.mu.Lock()
		c.packets = append(c.packets, packet{slices.Clone(opus), one})
		c.mu.Unlock()
	}
}

// A clipState says what is to be had of a clip.
type clipState string

const (
	clipHas    clipState = "has"    // the packet is there
	clipWaits  clipState = "waits"  // it may come
	clipOver   clipState = "over"   // there is none after the last one
	clipFailed clipState = "failed" // there should be
)

// at returns packet i, if it is there.
func (c *clip) at(i int) (packet, clipState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case i < len(c.packets):
		return c.packets[i], clipHas
	case !c.ended:
		return packet{}, clipWaits
	case c.err != nil:
		return packet{}, clipFailed
	default:
		return packet{}, clipOver
	}
}
