package driver

import (
	"testing"
	"time"
)

func TestQuantilesAreRightWithinThreePercent(t *testing.T) {
	var h, half Histogram
	for i := 1; i <= 100_000; i++ {
		to := &h
		if i%2 == 0 {
			to = &half
		}
		to.Add(time.Duration(i) * time.Microsecond)
	}
	h.Merge(&half)
	for _, c := range []struct {
		q    float64
		want time.Duration
	}{{0.5, 50 * time.Millisecond}, {0.95, 95 * time.Millisecond}, {0.99, 99 * time.Millisecond}, {0.00001, time.Microsecond}} {
		if got := h.Quantile(c.q); got < c.want*97/100 || got > c.want*103/100 {
			t.Errorf("quantile %v is %v; want %v within 3 %%", c.q, got, c.want)
		}
	}
}

func TestQuantileOfNothingIsZero(t *testing.T) {
	if got := new(Histogram).Quantile(0.5); got != 0 {
		t.Errorf("got %v; want 0", got)
	}
}

func TestBucketsCoverEveryValue(t *testing.T) {
	for _, v := range []uint64{0, 1, 31, 32, 63, 64, 65, 1 << 20, 1<<63 - 1} {
		b := bucketOf(v)
		if b < 0 || b >= buckets {
			t.Fatalf("%d falls into bucket %d of %d", v, b, buckets)
		}
		if got := uint64(middleOf(b)); got < v-v/32 || got > v+v/32 {
			t.Errorf("%d stands as %d", v, got)
		}
	}
}
