package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"

	"confab/cmd/internal/driver"
)

// A report is what a run prints, for people or as JSON.
type report struct {
	Conditions *conditions `json:"conditions"`
	Rows       []row       `json:"rows"`
	Media      []mediaRow  `json:"media"`
}

// conditions are what figures are worth nothing without.
type conditions struct {
	Date      string  `json:"date"`
	Processor string  `json:"processor"`
	Cores     int     `json:"cores"`
	Go        string  `json:"go"`
	GOGC      string  `json:"gogc"`
	Rounds    int     `json:"rounds"`
	Window    float64 `json:"windowSeconds"`
	TextBytes int     `json:"textBytes"`
	Idle      int     `json:"idleConnections"`
	LoadStart float64 `json:"loadStart"`
	LoadEnd   float64 `json:"loadEnd"`
	Seconds   float64 `json:"seconds"`

	started time.Time
}

// A row is one scenario.
type row struct {
	Name    string  `json:"name"`
	Title   string  `json:"title"`
	Unit    string  `json:"unit"`
	Hub     side    `json:"plainHub"`
	Confab  side    `json:"confab"`
	Ratio   float64 `json:"ratio"`
	Goal    float64 `json:"goal,omitempty"`  // a ratio
	Limit   float64 `json:"limit,omitempty"` // a figure
	Failure string  `json:"failure,omitempty"`
}

// A side is one target in a row: the median of its rounds, and the latency over all of them.
type side struct {
	Figure  float64   `json:"figure"`
	Rounds  []float64 `json:"rounds"`
	Ops     int       `json:"ops"`
	Lost    int       `json:"lost"`
	P50     float64   `json:"p50ms,omitempty"`
	P95     float64   `json:"p95ms,omitempty"`
	P99     float64   `json:"p99ms,omitempty"`
	Server  float64   `json:"serverCores"` // used in the windows, the median
	Driver  float64   `json:"driverCores"`
	Others  float64   `json:"othersCores"`  // used by everything else, the kernel included
	LateMS  float64   `json:"driverLateMs"` // how far the driver was behind its schedule at worst
	Remarks string    `json:"remarks,omitempty"`

	*passage // of media: the medians of the rounds
}

func conditionsOf(b *bench) *conditions {
	gogc := os.Getenv("GOGC")
	if gogc == "" {
		gogc = "100"
	}
	return &conditions{
		Date: time.Now().UTC().Format("2006-01-02 15:04 MST"), Processor: cpuModel(), Cores: runtime.NumCPU(),
		Go: runtime.Version(), GOGC: gogc, Rounds: b.rounds, Window: b.windowLength.Seconds(), TextBytes: driver.TextBytes,
		Idle: b.idle, LoadStart: loadAverage(), started: time.Now(),
	}
}

func (c *conditions) finish() {
	c.LoadEnd, c.Seconds = loadAverage(), time.Since(c.started).Seconds()
}

func (r *report) add(found *result) {
	sc := found.scenario
	if sc.media {
		r.Media = append(r.Media, mediaRowsOf(found)...)
		return
	}
	one := row{
		Name: sc.name, Title: sc.title, Unit: sc.unit, Ratio: found.ratios[1], Goal: sc.goal, Limit: sc.limit,
		Hub: sideOf(found.samples[0]), Confab: sideOf(found.samples[1]),
	}
	if found.failed != nil {
		one.Failure = found.failed.Error()
	}
	r.Rows = append(r.Rows, one)
}

func sideOf(samples []sample) side {
	var s side
	var latency driver.Histogram
	var server, driver, others []float64
	for _, one := range samples {
		s.Rounds = append(s.Rounds, one.figure)
		s.Ops += one.ops
		s.Lost += one.lost
		s.LateMS = max(s.LateMS, milliseconds(one.late))
		server, driver, others = append(server, one.server), append(driver, one.driver), append(others, one.others)
		if one.latency != nil {
			latency.Merge(one.latency)
		}
		s.Remarks = one.note
	}
	s.Figure, s.Server, s.Driver, s.Others = median(s.Rounds), median(server), median(driver), median(others)
	s.passage = passageOf(samples)
	s.P50, s.P95, s.P99 = milliseconds(latency.Quantile(0.5)), milliseconds(latency.Quantile(0.95)), milliseconds(latency.Quantile(0.99))
	return s
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// print writes the report for people.
func (r *report) print(w io.Writer) error {
	c := r.Conditions
	fmt.Fprintf(w, "\n%s, %d cores (%s), %s, GOGC %s, load average %.1f before and %.1f after\n",
		c.Date, c.Cores, c.Processor, c.Go, c.GOGC, c.LoadStart, c.LoadEnd)
	fmt.Fprintf(w, "%d rounds in turns, windows of %.0f s, texts of %d bytes, driver on the same cores, %.0f s in all\n",
		c.Rounds, c.Window, c.TextBytes, c.Seconds)
	fmt.Fprintf(w, "us: of the server's CPU for each, medians; KiB: of its memory; cores: used by server + driver; latency in ms\n\n")
	return errors.Join(r.printHub(w), r.printMedia(w))
}

// printHub writes the table of the scenarios whose yardstick is the plain hub.
func (r *report) printHub(w io.Writer) error {
	if len(r.Rows) == 0 {
		return nil
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\tunit\tplain hub\tconfab\tratio\tgoal\thub p50\tp95\tp99\tconfab p50\tp95\tp99\tcores, hub\tcores, confab")
	for _, one := range r.Rows {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", one.Title, one.Unit, figure(one.Hub), figure(one.Confab),
			one.ratio(), one.goal(), latencies(one.Hub), latencies(one.Confab), cores(one.Hub), cores(one.Confab))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, one := range r.Rows {
		r.remark(w, one)
	}
	return nil
}

// remark prints what does not fit into the table.
func (r *report) remark(w io.Writer, one row) {
	var said []string
	for _, s := range []struct {
		name string
		side side
	}{{"plain hub", one.Hub}, {"confab", one.Confab}} {
		if s.side.Lost > 0 {
			said = append(said, fmt.Sprintf("%s: %d did not arrive", s.name, s.side.Lost))
		}
		if s.side.Remarks != "" {
			said = append(said, s.name+": "+s.side.Remarks)
		}
		if s.side.LateMS > 100 {
			said = append(said, fmt.Sprintf("%s: the driver was up to %.0f ms behind, so this machine was saturated", s.name, s.side.LateMS))
		}
	}
	if one.Failure != "" {
		said = append(said, "FAILED: "+one.Failure)
	}
	if len(said) > 0 {
		fmt.Fprintf(w, "%s — %s\n", one.Title, strings.Join(said, "; "))
	}
}

func (one row) ratio() string {
	if one.Ratio == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", one.Ratio)
}

func (one row) goal() string {
	switch {
	case one.Goal > 0:
		return fmt.Sprintf("%.2f", one.Goal)
	case one.Limit > 0:
		return fmt.Sprintf("%g %s", one.Limit, one.Unit)
	case one.Unit == "lost":
		return "0 lost"
	}
	return "-"
}

func figure(s side) string {
	switch {
	case len(s.Rounds) == 0:
		return "-"
	case s.Figure >= 100 || s.Figure == 0:
		return fmt.Sprintf("%.0f", s.Figure)
	case s.Figure >= 10:
		return fmt.Sprintf("%.1f", s.Figure)
	}
	return fmt.Sprintf("%.2f", s.Figure)
}

func latencies(s side) string {
	if s.P99 == 0 {
		return "-\t-\t-"
	}
	return fmt.Sprintf("%.1f\t%.1f\t%.1f", s.P50, s.P95, s.P99)
}

func cores(s side) string {
	if s.Server == 0 && s.Driver == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f + %.2f", s.Server, s.Driver)
}
