package rooms

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"confab/signaling/wire"
)

// TestKeyTable does the same to a table and a map. Keys that differ in few bits collide much.
func TestKeyTable(t *testing.T) {
	for _, spread := range []uint64{20, 1 << 12, 1 << 62} {
		random := rand.New(rand.NewPCG(spread, 0))
		var table keyTable
		want := map[requestKey]wire.Seq{}
		for seq := wire.Seq(1); seq < 20000; seq++ {
			key := requestKey(random.Uint64N(spread))
			switch {
			case random.IntN(3) > 0 && len(want) < 1000:
				table.put(key, seq)
				if key != 0 {
					want[key] = seq
				}
			case random.IntN(2) > 0 && len(want) > 0:
				for key = range want {
					break
				}
				if table.drop(key, want[key]+1); len(want) != table.used {
					t.Fatalf("another record's key %x was dropped", key)
				}
				table.drop(key, want[key])
				delete(want, key)
			default:
				table.drop(key, want[key])
				delete(want, key)
			}
			got, ok := table.find(key)
			if was, known := want[key]; ok != known || got != was && ok {
				t.Fatalf("key %x: %d %t, wanted %d %t", key, got, ok, was, known)
			}
			if table.used != len(want) || 2*table.used > len(table.slots) {
				t.Fatalf("%d keys in %d slots, wanted %d", table.used, len(table.slots), len(want))
			}
		}
		for _, key := range slices.Sorted(maps.Keys(want)) {
			if got, ok := table.find(key); !ok || got != want[key] {
				t.Fatalf("key %x: %d %t, wanted %d", key, got, ok, want[key])
			}
		}
	}
}
