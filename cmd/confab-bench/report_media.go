package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// A mediaRow is one forwarder in one scenario.
type mediaRow struct {
	Name      string  `json:"name"`
	Title     string  `json:"title"`
	Forwarder string  `json:"forwarder"`
	Ratio     float64 `json:"ratio"`          // to the naive forwarder
	Goal      float64 `json:"goal,omitempty"` // confab's
	Failure   string  `json:"failure,omitempty"`
	side
}

func mediaRowsOf(found *result) []mediaRow {
	rows := make([]mediaRow, len(found.targets))
	for i, t := range found.targets {
		rows[i] = mediaRow{
			Name: found.scenario.name, Title: found.scenario.title, Forwarder: t.name, Ratio: found.ratios[i], side: sideOf(found.samples[i]),
		}
	}
	last := &rows[len(rows)-1]
	last.Goal = found.scenario.goal
	if found.failed != nil {
		last.Failure = found.failed.Error()
	}
	return rows
}

// passageOf is nil where no media flowed.
func passageOf(samples []sample) *passage {
	var allocations, memory, first, worst, lost []float64
	all := &passage{}
	for _, one := range samples {
		p := one.passage
		if p == nil {
			return nil
		}
		allocations, memory, lost = append(allocations, p.Allocations), append(memory, p.Memory), append(lost, p.Lost)
		first, worst = append(first, p.First), append(worst, p.FirstWorst)
		all.Repeated += p.Repeated
	}
	all.Allocations, all.Memory, all.Lost = median(allocations), median(memory), median(lost)
	all.First, all.FirstWorst = median(first), median(worst)
	return all
}

// printMedia writes the table of the scenarios whose yardstick is the naive forwarder.
func (r *report) printMedia(w io.Writer) error {
	if len(r.Media) == 0 {
		return nil
	}
	fmt.Fprintln(w, "\nmedia: us of the server's CPU for each packet that reached a receiver; naive: TrackLocalStaticRTP with pion's\n"+
		"default interceptors; bare: the same without; first: ms from an answer to the first packet, median and slowest")
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "\tforwarder\tus\tratio\tgoal\tp50\tp99\tallocations\tKiB a person\tfirst\tslowest\tlost\trepeated\tcores\tof others")
	for _, one := range r.Media {
		p := one.passage
		if p == nil {
			continue
		}
		goal := "-"
		if one.Goal > 0 {
			goal = fmt.Sprintf("%.2f", one.Goal)
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%.2f\t%s\t%.2f\t%.2f\t%.2f\t%.0f\t%.0f\t%.0f\t%.2f %%\t%d\t%s\t%.2f\n", one.Title, one.Forwarder, figure(one.side),
			one.Ratio, goal, one.P50, one.P99, p.Allocations, p.Memory, p.First, p.FirstWorst, p.Lost, p.Repeated, cores(one.side), one.Others)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, one := range r.Media {
		if one.LateMS > 100 {
			fmt.Fprintf(w, "%s, %s: the driver was up to %.0f ms behind, so this machine was saturated\n", one.Title, one.Forwarder, one.LateMS)
		}
		if one.Failure != "" {
			fmt.Fprintf(w, "%s: FAILED: %s\n", one.Title, one.Failure)
		}
	}
	return nil
}
