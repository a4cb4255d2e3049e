package media

import "time"

const (
	measureInterval = 250 * time.Millisecond // between two looks at what a published track brings
	measureWindow   = 4                      // of these make the second over which bitrates are taken
	maxQuiet        = 250 * time.Millisecond // a simulcast layer that brings nothing for so long,
	quietPictures   = 5                      // while another brings so many pictures, is not sent
)

// A tally counts what came of each layer of a stream.
type tally [maxSpatial][maxTemporal]struct {
	octets uint64
	frames uint64
}

// content is what a video stream brings: how large, how much, how often. It is guarded by the stream's mu.
type content struct {
	sizes    [maxSpatial]size // of the newest key frame that told them
	sized    int              // how many of sizes are known
	total    tally
	active   layerSet  // operating points that are sent, if the stream says so; 0 = not known
	pictures uint64    // ends of pictures
	last     time.Time // when the last packet came

	samples [measureWindow + 1]tally
	times   [measureWindow + 1]time.Time
	taken   int
}

func (c *content) count(p *packet, active layerSet, now time.Time) {
	if len(p.payload) == 0 {
		return // padding is no picture
	}
	t := &c.total[p.spatial][p.temporal]
	t.octets += uint64(len(p.payload))
	if p.end {
		t.frames++
	}
	if p.marker {
		c.pictures++
	}
	c.active, c.last = active, now
}

// spatial is how many spatial layers have come.
func (c *content) spatial() int {
	n := 1
	for s := range maxSpatial {
		for t := range maxTemporal {
			if c.total[s][t].octets > 0 {
				n = s + 1
			}
		}
	}
	return n
}

// A flow is what one operating point of a stream brings, everything it depends on included.
type flow struct {
	bitrate int // bits a second
	fps     int
}

// sample closes an interval of the measurement and returns what each operating point brought in the last second, or in
// as much of it as there was.
func (c *content) sample(now time.Time) (flows [maxSpatial][maxTemporal]flow) {
	oldest := max(0, c.taken-measureWindow)
	slot, from := c.taken%len(c.samples), oldest%len(c.samples)
	c.samples[slot], c.times[slot] = c.total, now
	c.taken++
	span := now.Sub(c.times[from]).Seconds()
	if span <= 0 {
		return flows
	}
	rate := func(count uint64) int { return int(float64(count)/span + 0.5) }
	for s := range maxSpatial {
		for t := range maxTemporal {
			octets, frames := uint64(0), uint64(0)
			for below := range s + 1 {
				for slower := range t + 1 {
					octets += c.total[below][slower].octets - c.samples[from][below][slower].octets
				}
			}
			for slower := range t + 1 {
				frames += c.total[s][slower].frames - c.samples[from][s][slower].frames
			}
			flows[s][t] = flow{bitrate: rate(8 * octets), fps: rate(frames)}
		}
	}
	return flows
}
