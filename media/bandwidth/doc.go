// Package bandwidth works out how much the path to one receiver carries, and which of its tracks get it.
//
// It is arithmetic: no input or output, no goroutine and no clock; time is a parameter and must not go back. Nothing in
// it is safe for concurrent use: a receiver's Estimator, Pacer and Allocator belong under one lock. It imports the
// standard library, signaling/wire and media/prefetch, never pion.
//
// An SFU uses it so, for each PeerConnection:
//
//   - It asks Estimator.Sent for the number of each outgoing packet, on all streams: media, retransmissions, padding.
//     The number goes into the header extension of draft-holmer-rmcat-transport-wide-cc-extensions-01.
//   - It gives each RTCP packet of type FeedbackType and format FeedbackFormat to ParseFeedback and Estimator.Feedback.
//     REMB goes to SetRemote.
//   - Every 200 ms, at once when Feedback returns true, and when subscriptions change, it takes Estimator.Target, takes
//     off what audio needs, and gives the rest to Allocator.Allocate, whose choices are the layers to send.
//   - Every 20 ms it asks Estimator.Probe with what Demand says is wanted, plus audio, and sends what a Probe asks for.
//   - It gives Target, or what is sent if that is more, to Pacer.SetRate; tells Pacer.Sent of each packet but those that
//     a Probe asks for; and asks Pacer.Open before each packet of video.
//
// # What is taken from where
//
//   - Feedback: draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1.
//   - The arrival groups, the adaptive threshold and the rate control with its three states: draft-ietf-rmcat-gcc-02
//     sections 5.2 to 5.5, and Carlucci, De Cicco, Holmer, Mascolo, "Analysis and Design of the Google Congestion Control
//     for Web Real-time Communication" (MMSys 2016). The trendline in place of the draft's Kalman filter, bursts in the
//     grouping and the values of the gains are libwebrtc's (goog_cc).
//   - The loss model is that of libwebrtc's LossBasedBweV2: the draft's section 6 takes the rate down from 10 % loss on,
//     whatever the reason, and lets it grow below 2 % only, so that it never grows on a radio link that loses 5 %.
//   - When to probe and what a probe proves: libwebrtc's ProbeController and ProbeBitrateEstimator. The media sent
//     meanwhile is part of a probe, so that a probe adds little to a path that is full already.
//   - The application-limited region: draft-ietf-rmcat-gcc-02 leaves it open; libwebrtc detects it, for probing. Here the
//     estimate neither grows nor falls in it for want of proof: overuse then reduces the estimate itself, unless what
//     comes is visibly less than what is sent.
//
// Of our own are: the queue that our own sending keeps is emptied by stepping back a little, which tells it from a queue
// that others keep; the queue left by a large drop is emptied by sending half as much as it needs for up to 3 s; the
// feedback that is lost is filled in for the acknowledged rate; a path that becomes longer leaves a gap in what comes,
// which is measured over half a second where little is sent; packets that were overtaken are no loss; during an outage
// the rate is halved every 500 ms, losses in it don't count, and a probe follows it at once; the allocation with its
// floors, headroom and pause, in which one video goes on until loss or delay prove that it does not fit.
//
// # What it can't do
//
// Against a TCP flow that keeps a queue of 300 ms full it gets about a sixth of the path: never nothing, never its fair
// half. An estimate can be 10 % too high for a second or two, until the queue that this makes is noticed.
package bandwidth
