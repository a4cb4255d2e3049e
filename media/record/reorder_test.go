package record

import (
	"slices"
	"testing"
	"time"
)

func TestReorder(t *testing.T) {
	type in struct {
		seq uint16
		ms  int
	}
	tests := []struct {
		name string
		in   []in
		want []int // sequence numbers that come out, negative = with a gap before it
		lost int
	}{
		{"in order", []in{{5, 0}, {6, 10}, {7, 20}}, []int{5, 6, 7}, 0},
		{"overtaken", []in{{5, 0}, {7, 10}, {6, 20}, {8, 30}}, []int{5, 6, 7, 8}, 0},
		{"twice", []in{{5, 0}, {5, 1}, {7, 5}, {7, 6}, {6, 10}, {6, 11}}, []int{5, 6, 7}, 0},
		{"waits 300 ms", []in{{5, 0}, {7, 10}, {8, 309}}, []int{5}, 0},
		{"gives up after 300 ms", []in{{5, 0}, {7, 10}, {8, 310}}, []int{5, -7, 8}, 1},
		{"too late", []in{{5, 0}, {8, 10}, {9, 310}, {6, 320}, {7, 321}, {10, 322}}, []int{5, -8, 9, 10}, 2},
		{"before the first", []in{{5, 0}, {4, 1}, {6, 2}}, []int{5, 6}, 0},
		{"wraps", []in{{65534, 0}, {0, 1}, {65535, 2}, {1, 3}}, []int{65534, 65535, 0, 1}, 0},
		{"one far off is ignored", []in{{5, 0}, {40000, 1}, {6, 2}, {7, 3}}, []int{5, 6, 7}, 0},
		{"two far off begin anew", []in{{5, 0}, {40000, 1}, {40001, 2}, {40002, 310}}, []int{5, -40001, 40002}, 0},
		{"far back begins anew", []in{{40000, 0}, {5, 1}, {6, 2}, {7, 310}}, []int{40000, -6, 7}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var r reorder
			var got []int
			for _, in := range test.in {
				now := noon.Add(time.Duration(in.ms) * time.Millisecond)
				r.push(in.seq, packet{arrival: now, payload: []byte{1}})
				for p, ok := r.pop(now); ok; p, ok = r.pop(now) {
					n := int(uint16(p.seq))
					if p.gap {
						n = -n
					}
					got = append(got, n)
				}
			}
			if !slices.Equal(got, test.want) || r.lost != test.lost {
				t.Errorf("%v with %d lost, want %v with %d", got, r.lost, test.want, test.lost)
			}
		})
	}
}

// TestReorderIsBounded has one packet missing and more coming at once than may wait.
func TestReorderIsBounded(t *testing.T) {
	for name, size := range map[string]int{"packets": 1, "bytes": 64 << 10} {
		t.Run(name, func(t *testing.T) {
			var r reorder
			r.push(1, packet{arrival: noon})
			r.pop(noon)
			most := 0
			for seq := uint16(3); seq < 2500; seq++ {
				r.push(seq, packet{arrival: noon, payload: make([]byte, size)})
				for _, ok := r.pop(noon); ok; _, ok = r.pop(noon) {
				}
				most = max(most, len(r.held), r.bytes*maxHeld/maxHeldBytes)
			}
			if most > maxHeld || r.lost != 1 || len(r.held) != 0 {
				t.Errorf("%d waited, %d were given up, %d still wait", most, r.lost, len(r.held))
			}
		})
	}
}
