package bandwidth

import (
	"math"
	"time"
)

// A usage is how the delay develops.
type usage uint8

const (
	normal usage = iota
	overuse
	underuse
)

// Parameters of the delay filter and of the detector. The filter and its values are libwebrtc's trendline estimator;
// the detector is draft-ietf-rmcat-gcc-02 sections 5.4 and 5.5, with libwebrtc's gains.
const (
	trendWindow    = 20                     // groups that the line is fitted through
	trendSmoothing = 0.9                    // weight of the old value
	trendGain      = 4.0                    //
	trendDeltas    = 60                     // groups until the gain is full
	overuseTime    = 10 * time.Millisecond  // the trend must be above the threshold for this long
	thresholdStart = 12.5                   // ms
	thresholdMin   = 6.0                    // ms
	thresholdMax   = 600.0                  // ms
	thresholdUp    = 0.0087                 // a ms: quickly up, else a flow that fills the queue takes everything
	thresholdDown  = 0.039                  // a ms
	thresholdSpike = 15.0                   // ms above the threshold: a spike, no ground to adapt
	thresholdStep  = 100 * time.Millisecond // longest time that one adaptation counts for
)

// A trendline watches how the one-way delay changes from group to group: a line through the smoothed delay, whose
// slope is above zero when a queue grows. What slope is too much adapts to what is usual on the path.
type trendline struct {
	state usage

	groups      int
	first       time.Duration
	accumulated float64 // ms
	smoothed    float64 // ms
	came        [trendWindow]float64
	delay       [trendWindow]float64

	slope     float64
	threshold float64 // ms, 0 = not begun
	adapted   time.Duration
	above     time.Duration // how long the trend has been above the threshold
	times     int           // in how many groups
}

// add takes the deltas of a group that was complete at came.
func (t *trendline) add(sentDelta, cameDelta, came time.Duration) {
	if t.groups == 0 {
		t.first, t.threshold, t.adapted = came, thresholdStart, came
	}
	t.accumulated += ms(cameDelta - sentDelta)
	t.smoothed = trendSmoothing*t.smoothed + (1-trendSmoothing)*t.accumulated
	i := t.groups % trendWindow
	t.came[i], t.delay[i] = ms(came-t.first), t.smoothed
	t.groups++
	slope := t.slope
	if t.groups >= trendWindow {
		slope = fit(&t.came, &t.delay, slope)
	}
	t.detect(slope, sentDelta, came)
}

// detect decides what the slope means.
func (t *trendline) detect(slope float64, sentDelta, came time.Duration) {
	trend := float64(min(t.groups, trendDeltas)) * slope * trendGain
	switch {
	case trend > t.threshold:
		if t.times == 0 {
			t.above = sentDelta / 2 // about when it went above
		} else {
			t.above += sentDelta
		}
		t.times++
		if t.above > overuseTime && t.times > 1 && slope >= t.slope {
			t.above, t.times, t.state = 0, 0, overuse
		}
	case trend < -t.threshold:
		t.times, t.state = 0, underuse
	default:
		t.times, t.state = 0, normal
	}
	t.slope = slope
	t.adapt(math.Abs(trend), came)
}

// adapt moves the threshold towards the usual size of the trend (section 5.4).
func (t *trendline) adapt(trend float64, came time.Duration) {
	span := min(max(came-t.adapted, 0), thresholdStep)
	t.adapted = came
	if trend > t.threshold+thresholdSpike {
		return
	}
	gain := thresholdUp
	if trend < t.threshold {
		gain = thresholdDown
	}
	t.threshold += gain * (trend - t.threshold) * ms(span)
	t.threshold = min(max(t.threshold, thresholdMin), thresholdMax)
}

// fit returns the slope of the line of least squares through the points, or otherwise if they are all at one x.
func fit(x, y *[trendWindow]float64, otherwise float64) float64 {
	var meanX, meanY float64
	for i := range x {
		meanX += x[i] / trendWindow
		meanY += y[i] / trendWindow
	}
	var covariance, variance float64
	for i := range x {
		covariance += (x[i] - meanX) * (y[i] - meanY)
		variance += (x[i] - meanX) * (x[i] - meanX)
	}
	if variance == 0 {
		return otherwise
	}
	return covariance / variance
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
