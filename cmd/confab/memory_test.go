package main

import "testing"

func TestPace(t *testing.T) {
	type step struct {
		allocated uint64
		percent   int // 0 = no change
	}
	const little, much = 1 << 20, 100 << 20
	wave := []step{{much, 0}, {much, 0}} // of joins: too short
	steps := append([]step{{little, 0}}, wave...)
	steps = append(steps, step{little, 0})
	steps = append(steps, wave...)
	steps = append(steps, step{much, collectBusy}, step{much, 0})
	for range calmTicks - 1 {
		steps = append(steps, step{little, 0})
	}
	steps = append(steps, step{much, 0}) // calm begins anew
	for range calmTicks - 1 {
		steps = append(steps, step{little, 0})
	}
	steps = append(steps, step{little, collectCalm}, step{little, 0})
	steps = append(steps, wave...)
	steps = append(steps, step{much, collectBusy})
	var p pace
	for i, s := range steps {
		if percent, changed := p.tick(s.allocated); percent != s.percent || changed != (s.percent != 0) {
			t.Fatalf("step %d: %d, %v, want %d", i, percent, changed, s.percent)
		}
	}
}

func TestHeapWasteful(t *testing.T) {
	before := heapSample{allocated: 1 << 30}
	for _, tt := range []struct {
		name string
		now  heapSample
		want bool
	}{
		{"busy", heapSample{allocated: 2 << 30, live: 10 << 20, objects: 100 << 20}, false},
		{"quiet and tidy", heapSample{allocated: 1 << 30, live: 40 << 20, objects: 42 << 20, free: 2 << 20}, false},
		{"quiet with garbage", heapSample{allocated: 1 << 30, live: 40 << 20, objects: 70 << 20}, true},
		{"quiet with free pages", heapSample{allocated: 1 << 30, live: 40 << 20, objects: 40 << 20, free: 20 << 20}, true},
		{"before the first collection", heapSample{allocated: 1 << 30, objects: 3 << 20}, false},
	} {
		if got := tt.now.wasteful(before); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
	if s := sampleHeap(); s.allocated == 0 || s.objects == 0 {
		t.Errorf("the runtime's metrics have other names: %+v", s)
	}
}
