package signaling

import (
	"net/netip"
	"testing"
	"time"

	"confab/signaling/wire"
)

func TestBucket(t *testing.T) {
	var b bucket
	const interval, burst = 20 * time.Millisecond, 200
	now := time.Hour
	for i := range burst {
		if wait := b.take(now, interval, burst, 1); wait != 0 {
			t.Fatalf("token %d of a full bucket: wait %v", i, wait)
		}
	}
	if wait := b.take(now, interval, burst, 1); wait != interval {
		t.Errorf("wait %v, want %v", wait, interval)
	}
	if wait := b.take(now+interval, interval, burst, 1); wait != 0 {
		t.Errorf("one interval later: wait %v", wait)
	}
	if wait := b.take(now+interval, interval, burst, 5); wait != 5*interval {
		t.Errorf("five at once: wait %v", wait)
	}
	later := now + time.Hour
	for i := range burst {
		if wait := b.take(later, interval, burst, 1); wait != 0 {
			t.Fatalf("token %d after an hour: wait %v", i, wait)
		}
	}
	if b.take(later, interval, burst, 1) == 0 {
		t.Error("a bucket holds more than its burst after an hour")
	}
}

func TestErrorWindow(t *testing.T) {
	tests := []struct {
		name  string
		every time.Duration
		start time.Duration
		n     int // errors that are borne
	}{
		{"at once", 0, time.Hour, wire.MaxErrors - 1},
		{"in just the window", wire.ErrorWindow / (wire.MaxErrors - 1), time.Hour, wire.MaxErrors - 1},
		{"slower", wire.ErrorWindow/(wire.MaxErrors-1) + 2*time.Millisecond, time.Hour, 1000},
		{"where the counter wraps", time.Millisecond, (1<<32 - 50) * time.Millisecond, wire.MaxErrors - 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var w errorWindow
			now := tt.start
			for i := range 1000 {
				if w.add(now) {
					if i != tt.n {
						t.Errorf("error %d is the one too many, want %d", i+1, tt.n+1)
					}
					return
				}
				now += tt.every
			}
			if tt.n < 1000 {
				t.Error("never too many")
			}
		})
	}
}

func TestAddressesAreForgotten(t *testing.T) {
	table := addresses{limit: 1, all: make(map[netip.Prefix]*address)}
	source := sourceOf("2001:db8::1")
	a := table.enter(source)
	if a == nil || table.enter(sourceOf("2001:db8::2")) != nil {
		t.Fatal("one /64 has one limit")
	}
	a.takeMessage(0, time.Second, 10)
	table.forget(0)
	table.leave(a)
	table.forget(0)
	if len(table.all) != 1 {
		t.Error("forgotten while it owes something")
	}
	table.forget(time.Second)
	if len(table.all) != 0 {
		t.Error("never forgotten")
	}
}
