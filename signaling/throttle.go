package signaling

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// maxThrottled is how many addresses a throttle remembers, 200 bytes each.
const maxThrottled = 10_000

// A throttle bounds what each address may do: a bucket that holds burst and refills one in every. An IPv6 address
// counts by its /64, which is what one subscriber has (RFC 6177 section 2). It may be used from any goroutine.
type throttle struct {
	// Set by newThrottle, then constant.
	every time.Duration
	burst int

	// Guarded by mu.
	mu      sync.Mutex
	sources map[netip.Prefix]*rate.Limiter // at most maxThrottled
	others  *rate.Limiter                  // shared by addresses that found no place
}

func newThrottle(every time.Duration, burst int) *throttle {
	return &throttle{
		every: every, burst: burst, sources: make(map[netip.Prefix]*rate.Limiter), others: rate.NewLimiter(rate.Every(every), burst),
	}
}

// wait takes one from the bucket of address; it returns how long until there is one, 0 = taken.
func (t *throttle) wait(address string) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	bucket := t.bucketLocked(address)
	now := time.Now()
	if bucket.AllowN(now, 1) {
		return 0
	}
	return time.Duration((1 - bucket.TokensAt(now)) / float64(bucket.Limit()) * float64(time.Second))
}

// charge takes cost from the bucket of address, or all that there is.
func (t *throttle) charge(address string, cost int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	bucket, now := t.bucketLocked(address), time.Now()
	bucket.AllowN(now, min(cost, max(0, int(bucket.TokensAt(now)))))
}

// bucketLocked finds or makes the bucket of address. When all places are taken, those that are full again, and so
// say nothing, make room; when there is none, the newcomers share one.
func (t *throttle) bucketLocked(address string) *rate.Limiter {
	source := sourceOf(address)
	if bucket, ok := t.sources[source]; ok {
		return bucket
	}
	if len(t.sources) >= maxThrottled {
		for other, bucket := range t.sources {
			if bucket.Tokens() >= float64(t.burst) {
				delete(t.sources, other)
			}
		}
		if len(t.sources) >= maxThrottled {
			return t.others
		}
	}
	bucket := rate.NewLimiter(rate.Every(t.every), t.burst)
	t.sources[source] = bucket
	return bucket
}

// sourceOf is what shares a bucket: an IPv4 address, or the /64 of an IPv6 one. What is no address shares one.
func sourceOf(address string) netip.Prefix {
	addr, err := netip.ParseAddr(address)
	if err != nil {
		return netip.Prefix{}
	}
	addr = addr.Unmap().WithZone("")
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	prefix, _ := addr.Prefix(bits) // bits is within the address
	return prefix
}
