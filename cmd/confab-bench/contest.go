package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"confab/cmd/internal/driver"
)

// A scenario is one figure of the report.
type scenario struct {
	name  string  // for -only
	title string  // what happens
	unit  string  // of the figure
	goal  float64 // the ratio to the first target to reach; 0 = the figure itself is what counts
	limit float64 // the figure to reach, where goal is 0
	most  int     // rounds at most; 0 = any number
	media bool    // its targets are the forwarders, not the hubs

	// open sets the scenario up at one target.
	open func(ctx context.Context, b *bench, t target) (contest, error)
}

// targets are whom the scenario compares: the yardstick first, confab last.
func (sc *scenario) targets(b *bench) []target {
	if sc.media {
		return b.forwarders
	}
	return b.hubs
}

// A contest is a scenario that is set up at one target. window measures it once; the targets take turns, so
// that what else this machine does falls on both.
type contest interface {
	window(ctx context.Context) (sample, error)
	close()
}

// A sample is what one window found.
type sample struct {
	figure  float64 // in the scenario's unit
	ops     int     // that it was averaged over
	lost    int     // deliveries or answers that did not come
	server  float64 // CPU of the server in this window, as a share of one core
	driver  float64 // the same of this program
	others  float64 // the same of everything else on this machine
	late    time.Duration
	latency *driver.Histogram
	note    string
	passage *passage // of media
}

// A result is a scenario after its rounds.
type result struct {
	scenario *scenario
	targets  []target
	samples  [][]sample // of each target
	ratios   []float64  // of each target to the first one, the median of the rounds
	failed   error
}

// run measures one scenario: its targets are set up, then they take turns; who begins changes too.
func (b *bench) run(ctx context.Context, sc *scenario) *result {
	targets := sc.targets(b)
	found := &result{scenario: sc, targets: targets, samples: make([][]sample, len(targets)), ratios: make([]float64, len(targets))}
	contests := make([]contest, len(targets))
	for i, t := range targets {
		c, err := sc.open(ctx, b, t)
		if err != nil {
			found.failed = fmt.Errorf("%s, setting up: %w", t.name, err)
			break
		}
		contests[i] = c
		defer c.close()
	}
	rounds := b.rounds
	if sc.most > 0 {
		rounds = min(rounds, sc.most)
	}
	for round := 0; round < rounds && found.failed == nil; round++ {
		for turn := range contests {
			i := (turn + round) % len(contests)
			got, err := contests[i].window(ctx)
			if err != nil {
				found.failed = fmt.Errorf("%s, round %d: %w", targets[i].name, round+1, err)
				break
			}
			found.samples[i] = append(found.samples[i], got)
			b.progress("%-12s round %d/%d  %-9s %s", sc.name, round+1, rounds, targets[i].name, got.brief(sc.unit))
		}
	}
	for i := range targets {
		found.ratios[i] = ratio(found.samples[i], found.samples[0])
	}
	return found
}

// ratio is that of two targets' figures, the median of the rounds.
func ratio(of, to []sample) float64 {
	var ratios []float64
	for i := range min(len(of), len(to)) {
		if to[i].figure > 0 {
			ratios = append(ratios, of[i].figure/to[i].figure)
		}
	}
	return median(ratios)
}

func (s *sample) brief(unit string) string {
	text := fmt.Sprintf("%9.2f %s  server %3.0f %%, driver %3.0f %% of a core", s.figure, unit, 100*s.server, 100*s.driver)
	if s.lost > 0 {
		text += fmt.Sprintf(", %d lost", s.lost)
	}
	return text
}

// median returns 0 for none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// A meter measures CPU from begin to end.
type meter struct {
	server      *server
	at          time.Time
	serverStart time.Duration
	driverStart time.Duration
	busyStart   time.Duration
}

func (b *bench) begin(s *server) (*meter, error) {
	at, err := s.cpu()
	if err != nil {
		return nil, err
	}
	own, err := cpuTime(b.pid)
	return &meter{server: s, at: time.Now(), serverStart: at, driverStart: own, busyStart: busyTime()}, err
}

// end returns a sample whose figure is microseconds of the server's CPU for each op.
func (b *bench) end(m *meter, ops int, latency *driver.Histogram) (sample, error) {
	at, err := m.server.cpu()
	if err != nil {
		return sample{}, err
	}
	own, err := cpuTime(b.pid)
	if err != nil {
		return sample{}, err
	}
	wall := time.Since(m.at)
	used := at - m.serverStart
	others := busyTime() - m.busyStart - used - (own - m.driverStart)
	return sample{
		figure: float64(used.Nanoseconds()) / 1e3 / float64(max(ops, 1)), ops: ops, latency: latency,
		server: float64(used) / float64(wall), driver: float64(own-m.driverStart) / float64(wall),
		others: max(float64(others)/float64(wall), 0),
	}, nil
}
