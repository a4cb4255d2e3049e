package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"confab/cmd/internal/driver"
	"confab/media/forwardbench"
)

const forwardArgument = "forwarder" // as this program's first argument: be a forwarder of the kind that follows

// serverSlack is the timer slack that the server gives itself as it starts (cmd/confab, timers_linux.go). Its media plane
// is measured without the rest of it, so the slack comes from here.
const serverSlack = 1_000_000

// forwarders are the servers whose media plane is measured: the yardstick first, confab's last.
func forwarders(self string) []target {
	var list []target
	for _, kind := range []struct {
		kind  forwardbench.Kind
		name  string
		slack int
	}{{forwardbench.Naive, "naive", 0}, {forwardbench.Bare, "bare", 0}, {forwardbench.Confab, "confab", serverSlack}} {
		args := func(addr, _ string) []string { return []string{forwardArgument, string(kind.kind), addr} }
		list = append(list, target{name: kind.name, program: self, args: args, slack: kind.slack})
	}
	return list
}

// serveForwarder is a forwarder until it is told to end.
func serveForwarder(kind, addr string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return forwardbench.Serve(ctx, forwardbench.Kind(kind), addr)
}

// mediaSettleTime is how long a forwarder gets after the last viewer has come: what is measured of the ways to them in
// the beginning, with probes, is over then.
const mediaSettleTime = 2 * time.Second

// forward is media on its way through an SFU. Each window has a server process of its own: what one has left in
// memory and in the scheduler does not count for the next.
type forward struct {
	bench  *bench
	target target
	shape  forwardbench.Shape
}

func openForward(shape forwardbench.Shape) func(context.Context, *bench, target) (contest, error) {
	return func(_ context.Context, b *bench, t target) (contest, error) {
		return &forward{b, t, shape}, nil
	}
}

// viewers is one publisher of video and audio, and so many who watch.
func viewers(count int, burst bool) forwardbench.Shape {
	return forwardbench.Shape{Rooms: 1, Publishers: 1, Viewers: count, Video: true, Burst: burst}
}

// A passage is what a forwarder does to media besides taking CPU time.
type passage struct {
	Allocations float64 `json:"allocationsPerPacket"`
	Memory      float64 `json:"kibPerParticipant"`    // resident, all but what the process has without any
	First       float64 `json:"firstPacketMs"`        // from an answer to the first packet, the median of the participants
	FirstWorst  float64 `json:"firstPacketMsSlowest"` // of the slowest one
	Lost        float64 `json:"lostPercent"`
	Repeated    int     `json:"repeated"` // packets that came twice
}

func (f *forward) window(ctx context.Context) (sample, error) {
	s, err := f.target.start(ctx, f.bench.dir, f.bench.secret)
	if err != nil {
		return sample{}, err
	}
	defer s.stop()
	empty, err := s.rss()
	if err != nil {
		return sample{}, err
	}
	latency := new(driver.Histogram)
	load, err := forwardbench.Open(ctx, "http://"+s.addr, f.shape, latency.Add)
	if err != nil {
		return sample{}, err
	}
	time.Sleep(mediaSettleTime)
	latency.Reset()
	found, err := f.measure(ctx, s, load, latency)
	if err == nil {
		var full int64
		full, err = s.rss()
		found.passage.Memory = float64(full-empty) / 1024 / float64(f.shape.Participants())
	}
	if closing := load.Close(); err == nil {
		err = closing
	}
	found.late = load.Late()
	return found, err
}

// measure takes the figures of one window while the load runs.
func (f *forward) measure(ctx context.Context, s *server, load *forwardbench.Load, latency *driver.Histogram) (sample, error) {
	before, err := load.Stats(ctx)
	if err != nil {
		return sample{}, err
	}
	m, err := f.bench.begin(s)
	if err != nil {
		return sample{}, err
	}
	from := load.Mark()
	select {
	case <-time.After(f.bench.windowLength):
	case <-ctx.Done():
		return sample{}, ctx.Err()
	}
	to := load.Mark()
	received := forwardbench.Received(from, to)
	found, err := f.bench.end(m, received, latency.Copy())
	if err != nil {
		return sample{}, err
	}
	after, err := load.Stats(ctx)
	if err != nil {
		return sample{}, err
	}
	loss := load.Loss(from, to)
	if loss.Expected == 0 {
		return sample{}, fmt.Errorf("nothing was sent in %v", f.bench.windowLength)
	}
	found.lost = loss.Lost
	found.passage = &passage{
		Allocations: float64(after.Mallocs-before.Mallocs) / float64(max(received, 1)),
		Lost:        100 * float64(loss.Lost) / float64(loss.Expected), Repeated: loss.Repeated,
	}
	waits := new(driver.Histogram)
	for _, wait := range load.FirstPackets() {
		waits.Add(wait)
	}
	found.passage.First, found.passage.FirstWorst = milliseconds(waits.Quantile(0.5)), milliseconds(waits.Quantile(1))
	return found, nil
}

func (f *forward) close() {}
