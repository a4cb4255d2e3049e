package main

import "testing"

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
