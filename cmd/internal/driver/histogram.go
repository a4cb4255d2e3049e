package driver

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	subBits = 5 // 32 buckets for each power of two: values are right within 3 %
	buckets = (64 - subBits) << subBits
)

// A Histogram counts durations. Add may be called from any goroutine; the zero value is empty.
type Histogram struct {
	counts [buckets]atomic.Uint32
}

// Add counts one.
func (h *Histogram) Add(d time.Duration) {
	h.counts[bucketOf(uint64(max(d, 0)))].Add(1)
}

func bucketOf(v uint64) int {
	shift := max(bits.Len64(v)-subBits-1, 0)
	return shift<<subBits + int(v>>shift)
}

// middleOf is the value that stands for a bucket.
func middleOf(bucket int) time.Duration {
	shift := max(bucket>>subBits-1, 0)
	low := uint64(bucket-shift<<subBits) << shift
	return time.Duration(low + (uint64(1)<<shift)/2)
}

// Merge adds what other has counted.
func (h *Histogram) Merge(other *Histogram) {
	for i := range other.counts {
		if n := other.counts[i].Load(); n > 0 {
			h.counts[i].Add(n)
		}
	}
}

// Reset forgets everything. What is added meanwhile may be forgotten or not.
func (h *Histogram) Reset() {
	for i := range h.counts {
		h.counts[i].Store(0)
	}
}

// Copy returns what has been counted so far.
func (h *Histogram) Copy() *Histogram {
	other := new(Histogram)
	other.Merge(h)
	return other
}

// Count returns how many there are.
func (h *Histogram) Count() (n uint64) {
	for i := range h.counts {
		n += uint64(h.counts[i].Load())
	}
	return n
}

// Quantile returns the value below which the fraction q of all lie; 0 when it is empty.
func (h *Histogram) Quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(h.Count())))
	var seen uint64
	for i := range h.counts {
		if seen += uint64(h.counts[i].Load()); seen >= rank && seen > 0 {
			return middleOf(i)
		}
	}
	return 0
}
