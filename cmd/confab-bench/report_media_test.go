package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// mediaSample is one window of a forwarder.
func mediaSample(figure, allocations float64) sample {
	return sample{figure: figure, ops: 1000, passage: &passage{Allocations: allocations, Repeated: 1}}
}

func TestMediaIsComparedWithTheNaiveForwarder(t *testing.T) {
	found := &result{
		scenario: &scenario{name: "sfu", title: "one to many", media: true, goal: 0.45},
		targets:  []target{{name: "naive"}, {name: "confab"}},
		samples: [][]sample{
			{mediaSample(10, 14), mediaSample(20, 15), mediaSample(10, 13)},
			{mediaSample(4, 0), mediaSample(4, 0.5), mediaSample(5, 0.25)},
		},
	}
	found.ratios = []float64{ratio(found.samples[0], found.samples[0]), ratio(found.samples[1], found.samples[0])}
	r := &report{Conditions: &conditions{}}
	r.add(found)
	if len(r.Rows) != 0 || len(r.Media) != 2 {
		t.Fatalf("%d rows of the hub, %d of media", len(r.Rows), len(r.Media))
	}
	naive, own := r.Media[0], r.Media[1]
	if naive.Ratio != 1 || naive.Goal != 0 || naive.Allocations != 14 {
		t.Errorf("naive: %+v, %+v", naive, naive.passage)
	}
	if own.Ratio != 0.4 || own.Goal != 0.45 || own.Allocations != 0.25 || own.Repeated != 3 || own.Figure != 4 {
		t.Errorf("confab: %+v, %+v", own, own.passage)
	}
	var out bytes.Buffer
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0.40   0.45", "one to many", "naive"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), "plain hub\tconfab") {
		t.Error("an empty table of the hub is printed")
	}
}

func TestAFailedForwarderIsNamed(t *testing.T) {
	found := &result{
		scenario: &scenario{title: "one to many", media: true}, failed: errors.New("it has ended"),
		targets: []target{{name: "naive"}, {name: "confab"}}, samples: make([][]sample, 2), ratios: make([]float64, 2),
	}
	r := &report{Conditions: &conditions{}}
	r.add(found)
	var out bytes.Buffer
	if err := r.print(&out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "FAILED: it has ended") {
		t.Errorf("nothing of it in\n%s", out.String())
	}
}
