package bandwidth

import (
	"math"
	"time"
)

// Parameters of the loss model; where not said otherwise they are those of libwebrtc's LossBasedBweV2.
const (
	lossObservations = 20                     // that are remembered
	lossEnough       = 3                      // observations before the model says anything
	lossSpan         = 250 * time.Millisecond // of one observation
	lossWeight       = 0.9                    // of an observation against the next one
	inherentStart    = 0.01
	inherentLeast    = 0.001
	inherentMost     = 0.07    // libwebrtc 0.05: radio links that lose 5 % are to be used
	inherentBalance  = 75_000  // bits a second: at small rates more loss may be inherent
	newtonStep       = 0.75    //
	biasLinear       = 0.0002  // towards a higher bandwidth, per kb/s
	biasLog          = 0.02    // the same, per logarithm of kb/s
	biasTurn         = 0.15    // from this loss on the bias is towards a lower one
	biasSmoothing    = 0.002   //
	lossGrowth       = 1.3     // most that an observation can raise the rate
	lossLeast        = 1e-6    // probabilities are kept this far from 0 and 1
	maxRate          = 10e9    // bits a second, for what has no bound yet
	maxWeighed       = 1 << 12 // packets of an observation beyond which more prove nothing
)

// An observation is what became of the packets sent in one span.
type observation struct {
	packets, lost, rate float64
	from                time.Duration // when the first of its packets was sent
}

// A lossModel separates the loss that a path has anyway from that of sending more than it carries. It assumes that a
// packet is lost with an inherent probability, and all that is above the bandwidth too, and takes the pair of both
// that explains the newest observations best. Unlike a threshold it does not let a radio link with constant loss
// take the rate down, nor a policed link hide behind an even queue.
type lossModel struct {
	bandwidth float64 // bits a second, 0 = not begun
	inherent  float64

	seen  [lossObservations]observation
	count int // observations made

	packets, lost int // of the observation under way
	bytes         int
	from, to      time.Duration // when its packets were sent; from = where the one before ended
}

// add counts a packet whose fate is known, and returns in which observation: the low bits of its number.
func (l *lossModel) add(sent time.Duration, size int, missing bool) uint8 {
	if l.packets == 0 && l.count == 0 {
		l.from = sent
	}
	l.packets++
	l.bytes += size
	if missing {
		l.lost++
	}
	l.to = max(l.to, sent)
	return uint8(l.count)
}

// found takes back that a packet was lost, which was counted in an observation: others have overtaken it. Where that is
// usual, as on a path with jitter, all of them would look like loss.
func (l *lossModel) found(in uint8) {
	age := int(uint8(l.count) - in)
	switch {
	case age == 0:
		l.lost = max(l.lost-1, 0)
	case age <= min(l.count, lossObservations):
		o := &l.seen[(l.count-age)%lossObservations]
		o.lost = max(o.lost-1, 0)
	}
}

// restart forgets the observation under way and all before, as if sending began at sent.
func (l *lossModel) restart(sent time.Duration) {
	*l = lossModel{bandwidth: l.bandwidth, inherent: l.inherent, from: sent, to: sent}
}

// ratio returns the share of packets lost lately, 0 to 1.
func (l *lossModel) ratio() float64 {
	var packets, lost float64
	l.each(func(weight float64, o observation) {
		packets += weight * o.packets
		lost += weight * o.lost
	})
	if packets == 0 {
		return 0
	}
	return lost / packets
}

// after returns the share of packets lost, 0 to 1, of those sent after a time, and how much time those tell of.
func (l *lossModel) after(since time.Duration) (share float64, span time.Duration) {
	var packets, lost float64
	l.each(func(weight float64, o observation) {
		if o.from >= since {
			packets += weight * o.packets
			lost += weight * o.lost
			span = l.from - o.from
		}
	})
	return lost / max(packets, 1), span
}

// each calls fn for the observations with their weights.
func (l *lossModel) each(fn func(weight float64, o observation)) {
	weight := 1.0
	for age := range min(l.count, lossObservations) {
		fn(weight, l.seen[(l.count-1-age)%lossObservations])
		weight *= lossWeight
	}
}

// update ends the observation under way if it is long enough, and fits the model. Delay is the estimate from the
// delay, an upper bound; acked what was acknowledged, 0 if that says nothing.
func (l *lossModel) update(delay, acked float64) {
	span := l.to - l.from
	if span < lossSpan || l.packets == 0 {
		return
	}
	l.seen[l.count%lossObservations] = observation{
		packets: float64(min(l.packets, maxWeighed)), lost: float64(l.lost) * float64(min(l.packets, maxWeighed)) / float64(l.packets),
		rate: float64(8*l.bytes) / span.Seconds(), from: l.from,
	}
	l.count++
	l.packets, l.lost, l.bytes, l.from = 0, 0, 0, l.to
	if l.bandwidth == 0 {
		l.bandwidth, l.inherent = delay, inherentStart
	}
	l.bandwidth = min(l.bandwidth, delay)
	if l.count >= lossEnough {
		l.fitTo(delay, acked)
	}
}

// fitTo takes what explains the observations best, near what is assumed now, near what came, or without a limit by loss.
func (l *lossModel) fitTo(delay, acked float64) {
	loss := l.ratio()
	if loss == 0 { // as nearly always; then the most is what search would find
		l.bandwidth = min(delay, lossGrowth*l.bandwidth)
		l.inherent = l.newton(l.inherent, l.bandwidth)
		return
	}
	bandwidth, inherent := l.search(delay, acked, loss)
	if loss > inherent && bandwidth > l.bandwidth {
		bandwidth = l.bandwidth // more is lost than the path does anyway
	}
	l.bandwidth, l.inherent = bandwidth, inherent
}

// search takes the best of a few candidates.
func (l *lossModel) search(delay, acked, loss float64) (bandwidth, inherent float64) {
	bandwidth, inherent, best := l.bandwidth, l.inherent, math.Inf(-1)
	for _, candidate := range [...]float64{1.02 * l.bandwidth, l.bandwidth, 0.95 * l.bandwidth, acked, delay} {
		candidate = min(candidate, delay, lossGrowth*l.bandwidth)
		if candidate <= 0 {
			continue
		}
		own := l.newton(l.inherent, candidate)
		if value := l.likelihood(own, candidate) + l.bias(candidate, loss); value > best {
			bandwidth, inherent, best = candidate, own, value
		}
	}
	return bandwidth, inherent
}

// probability is how likely a packet is lost that is sent at rate.
func probability(inherent, bandwidth, rate float64) float64 {
	p := inherent
	if rate > bandwidth {
		p += (1 - inherent) * (rate - bandwidth) / rate
	}
	return min(max(p, lossLeast), 1-lossLeast)
}

// newton improves the inherent loss for a bandwidth by one step towards the greatest likelihood.
func (l *lossModel) newton(inherent, bandwidth float64) float64 {
	var first, second float64
	l.each(func(weight float64, o observation) {
		p := probability(inherent, bandwidth, o.rate)
		first += weight * (o.lost/p - (o.packets-o.lost)/(1-p))
		second -= weight * (o.lost/(p*p) + (o.packets-o.lost)/((1-p)*(1-p)))
	})
	if second < 0 {
		inherent -= newtonStep * first / second
	}
	return min(max(inherent, inherentLeast), min(inherentMost+inherentBalance/bandwidth, 1))
}

// likelihood is the logarithm of how likely the observations are.
func (l *lossModel) likelihood(inherent, bandwidth float64) (sum float64) {
	l.each(func(weight float64, o observation) {
		p := probability(inherent, bandwidth, o.rate)
		sum += weight * (o.lost*math.Log(p) + (o.packets-o.lost)*math.Log(1-p))
	})
	return sum
}

// bias prefers, of explanations that are about as good, the higher bandwidth, unless very much is lost.
func (l *lossModel) bias(bandwidth, loss float64) float64 {
	var packets float64
	l.each(func(weight float64, o observation) { packets += weight * o.packets })
	towards := (biasTurn - loss) / (biasSmoothing + math.Abs(biasTurn-loss))
	return packets * towards * (biasLinear*bandwidth/1000 + biasLog*math.Log1p(bandwidth/1000))
}

// limit returns the bandwidth as far as loss tells, maxRate if it does not yet.
func (l *lossModel) limit() float64 {
	if l.count < lossEnough {
		return maxRate
	}
	return l.bandwidth
}

// raise takes over what a probe has proved.
func (l *lossModel) raise(bandwidth float64) {
	if l.bandwidth != 0 {
		l.bandwidth = max(l.bandwidth, bandwidth)
	}
}
