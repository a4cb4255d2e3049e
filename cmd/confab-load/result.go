package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"confab/cmd/internal/driver"
)

// maxNotes bounds what is told of failures.
const maxNotes = 5

// A result is what a run has found. Latencies are in milliseconds.
type result struct {
	Scenario string  `json:"scenario"`
	Shape    string  `json:"shape"`
	Target   string  `json:"target"`
	Began    string  `json:"began"`   // RFC 3339
	Seconds  float64 `json:"seconds"` // of the measured part

	People  int `json:"people"`  // who came
	Refused int `json:"refused"` // who could not come, or not come back
	CutOff  int `json:"cutOff"`  // whose connection ended by itself

	Joins           int64 `json:"joins,omitempty"`
	Sent            int64 `json:"sent"`
	Acknowledged    int64 `json:"acknowledged"`
	RefusedMessages int64 `json:"refusedMessages"`
	Delivered       int64 `json:"delivered"`
	Lost            int64 `json:"lost"`    // acknowledged messages that somebody who stayed did not get
	Doubled         int64 `json:"doubled"` // that somebody got twice

	Latencies []latency  `json:"latencies"`
	Server    *serverUse `json:"server"` // null = its metrics could not be read
	Generator struct {
		Cores    float64 `json:"cores"`
		BehindMS float64 `json:"behindMs"` // how late it was with a message at worst
	} `json:"generator"`
	Notes []string `json:"notes,omitempty"` // why something failed

	doubled atomic.Int64 // Doubled, while it is counted
	mu      sync.Mutex   // guards Notes
}

// A latency is how long something took.
type latency struct {
	What  string  `json:"what"`
	Count uint64  `json:"count"`
	P50   float64 `json:"p50"`
	P95   float64 `json:"p95"`
	P99   float64 `json:"p99"`
	Max   float64 `json:"max"`
}

// A serverUse is what the server's process says of itself.
type serverUse struct {
	Cores      float64 `json:"cores"`      // during the measured part
	CPUSeconds float64 `json:"cpuSeconds"` // the same
	Memory     int64   `json:"memory"`     // bytes, at its end
	Before     int64   `json:"before"`     // bytes, before the first person came
	EachKiB    float64 `json:"eachKiB"`    // of what it grew by, for each person; 0 = it did not grow
}

// latency adds one, unless there was nothing to time.
func (r *result) latency(what string, h *driver.Histogram) {
	if h.Count() == 0 {
		return
	}
	r.Latencies = append(r.Latencies, latency{
		what, h.Count(), milliseconds(h.Quantile(.5)), milliseconds(h.Quantile(.95)), milliseconds(h.Quantile(.99)), milliseconds(h.Quantile(1)),
	})
}

// milliseconds are rounded to what the histogram knows.
func milliseconds(d time.Duration) float64 {
	return float64(d.Round(10*time.Microsecond)) / float64(time.Millisecond)
}

// behind notes that the generator was so late.
func (r *result) behind(by time.Duration) {
	r.Generator.BehindMS = max(r.Generator.BehindMS, milliseconds(by))
}

// note keeps why something failed, each reason once. It may be called from any goroutine.
func (r *result) note(err error) {
	if err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if text := err.Error(); len(r.Notes) < maxNotes && !slices.Contains(r.Notes, text) {
		r.Notes = append(r.Notes, text)
	}
}

// used says what server and generator used from start to end.
func (r *result) used(before, start, end usage) {
	wall := end.at.Sub(start.at).Seconds()
	r.Generator.Cores = rounded((end.own - start.own).Seconds() / wall)
	if r.Seconds == 0 {
		r.Seconds = wall
	}
	if !before.known || !start.known || !end.known {
		return
	}
	r.Server = &serverUse{
		CPUSeconds: rounded(end.cpu - start.cpu), Cores: rounded((end.cpu - start.cpu) / wall), Memory: int64(end.memory), Before: int64(before.memory),
	}
	if r.People > 0 && end.memory > before.memory {
		r.Server.EachKiB = rounded((end.memory - before.memory) / 1024 / float64(r.People))
	}
}

// rounded leaves of a figure what can be read.
func rounded(x float64) float64 { return math.Round(x*1000) / 1000 }

// whole reports whether everything arrived, once.
func (r *result) whole() bool {
	return r.Refused == 0 && r.CutOff == 0 && r.RefusedMessages == 0 && r.Lost == 0 && r.doubled.Load() == 0 && r.Sent == r.Acknowledged
}

// print writes the result as a table or as JSON.
func (r *result) print(w io.Writer, asJSON bool) error {
	r.Doubled = r.doubled.Load()
	if asJSON {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	}
	fmt.Fprintf(w, "%s at %s: %s\n\n", r.Scenario, r.Target, r.Shape)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "people\t%d came, %d refused, %d cut off\n", r.People, r.Refused, r.CutOff)
	if r.Joins > 0 {
		fmt.Fprintf(t, "joins\t%d\n", r.Joins)
	}
	if r.Sent > 0 {
		fmt.Fprintf(t, "messages\t%d sent, %d acknowledged, %d refused\n", r.Sent, r.Acknowledged, r.RefusedMessages)
	}
	if r.Delivered+r.Lost > 0 {
		fmt.Fprintf(t, "deliveries\t%d, %d lost, %d doubled\n", r.Delivered, r.Lost, r.Doubled)
	}
	fmt.Fprintf(t, "measured\t%.1f s\n", r.Seconds)
	if s := r.Server; s != nil {
		fmt.Fprintf(t, "server\t%.2f cores, %d MiB of memory, %d MiB before", s.Cores, s.Memory>>20, s.Before>>20)
		if s.EachKiB > 0 {
			fmt.Fprintf(t, "; %.1f KiB for each person", s.EachKiB)
		}
		fmt.Fprintln(t)
	} else {
		fmt.Fprintln(t, "server\tunknown: its metrics could not be read (--metrics)")
	}
	fmt.Fprintf(t, "generator\t%.2f cores, up to %.0f ms behind\n", r.Generator.Cores, r.Generator.BehindMS)
	if len(r.Latencies) > 0 {
		fmt.Fprintf(t, "\nms\tp50\tp95\tp99\tmax\ttimes\n")
	}
	for _, l := range r.Latencies {
		fmt.Fprintf(t, "%s\t%.2f\t%.2f\t%.2f\t%.2f\t%d\n", l.What, l.P50, l.P95, l.P99, l.Max, l.Count)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if r.Generator.BehindMS > 100 {
		fmt.Fprintln(w, "\nThe generator could not keep up: these figures are its own. Load the server from another machine.")
	}
	for _, note := range r.Notes {
		fmt.Fprintln(w, "\n"+note)
	}
	return nil
}

// A progress tells once in a while how far a run is.
type progress struct {
	// Set by newProgress, then constant.
	out    io.Writer
	ending chan struct{} // closed by stop
	ended  chan struct{} // closed when nothing more is written

	current atomic.Pointer[func() string]
}

// progressEvery is how often it does.
const progressEvery = 2 * time.Second

func newProgress(out io.Writer) *progress {
	p := &progress{out: out, ending: make(chan struct{}), ended: make(chan struct{})}
	go p.tell()
	return p
}

// now says what is told from now on. Its function is called by another goroutine.
func (p *progress) now(line func() string) { p.current.Store(&line) }

func (p *progress) tell() {
	defer close(p.ended)
	tick := time.NewTicker(progressEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if line := p.current.Load(); line != nil {
				fmt.Fprintln(p.out, (*line)())
			}
		case <-p.ending:
			return
		}
	}
}

// stop ends it and waits for that.
func (p *progress) stop() {
	close(p.ending)
	<-p.ended
}
