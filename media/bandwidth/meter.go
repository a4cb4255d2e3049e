package bandwidth

import "time"

// Shape of a meter.
const (
	meterBucket  = 25 * time.Millisecond
	meterBuckets = 64 // 1.6 s
)

// A meter measures a rate from the sizes and times of packets. Times must be about in order: what is older than its
// window isn't counted, what is newer moves the window.
type meter struct {
	buckets [meterBuckets]bucket
	first   int64 // index of the bucket of the first packet
	newest  int64 // index of the bucket of the newest packet
	started bool
}

// A bucket is what was counted in a meterBucket.
type bucket struct{ bytes, packets int32 }

// last returns the newest bucket.
func (m *meter) last() *bucket { return &m.buckets[uint64(m.newest)%meterBuckets] }

// add counts a packet of size bytes.
func (m *meter) add(at time.Duration, size int) {
	m.advance(at)
	if i := int64(at / meterBucket); i > m.newest-meterBuckets {
		b := &m.buckets[uint64(i)%meterBuckets]
		b.bytes += int32(min(size, 1<<24))
		b.packets++
	}
}

// spread counts bytes that came at unknown times between the newest bucket and at.
func (m *meter) spread(at time.Duration, bytes int) {
	if !m.started || bytes == 0 {
		return
	}
	from, n := m.newest, min(max(int64(at/meterBucket)-m.newest, 1), meterBuckets)
	for i := range n {
		m.add(time.Duration(from+i)*meterBucket, bytes/int(n))
	}
}

// advance moves the window so that at is in it.
func (m *meter) advance(at time.Duration) {
	i := int64(at / meterBucket)
	if !m.started {
		*m = meter{started: true, first: i, newest: i}
	}
	if i-m.newest >= meterBuckets {
		clear(m.buckets[:])
		m.newest = i
	}
	for ; m.newest < i; m.newest++ {
		m.buckets[uint64(m.newest+1)%meterBuckets] = bucket{}
	}
}

// rate returns the bits a second over the last complete buckets: at least window and, if window can't hold that many,
// enough for packets, but not all that the meter keeps. False: too little was counted yet.
func (m *meter) rate(window time.Duration, packets int32) (float64, bool) {
	var bytes, n, span int64
	most := min(m.newest-m.first, meterBuckets-1)
	for span < most && (time.Duration(span)*meterBucket < window || n < int64(packets)) {
		span++
		b := m.buckets[uint64(m.newest-span)%meterBuckets]
		bytes += int64(b.bytes)
		n += int64(b.packets)
	}
	if time.Duration(span)*meterBucket < window {
		return 0, false
	}
	return float64(8*bytes) / (time.Duration(span) * meterBucket).Seconds(), true
}
