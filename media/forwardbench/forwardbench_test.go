package forwardbench

import (
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestEachServerForwardsEverything runs a small load against each server in this process: what the figures are made
// of must be right before any is compared.
func TestEachServerForwardsEverything(t *testing.T) {
	for _, kind := range []Kind{Naive, Bare, Confab} {
		for name, shape := range map[string]Shape{
			"video": {Rooms: 1, Publishers: 1, Viewers: 3, Video: true, Burst: true},
			"rooms": {Rooms: 2, Publishers: 3},
		} {
			t.Run(string(kind)+"/"+name, func(t *testing.T) { testForwards(t, kind, shape) })
		}
	}
}

func testForwards(t *testing.T, kind Kind, shape Shape) {
	f, err := newForwarder(kind)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(handler(f))
	defer web.Close()
	defer func() {
		if err := f.close(); err != nil {
			t.Error(err)
		}
	}()
	var delivered atomic.Int64
	load, err := Open(t.Context(), web.URL, shape, func(way time.Duration) {
		if way <= 0 || way > 10*time.Second {
			t.Errorf("a packet took %v", way)
		}
		delivered.Add(1)
	})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a first packet at everyone who receives", func() bool {
		receivers := shape.Participants()
		if shape.Publishers == 1 {
			receivers -= shape.Rooms
		}
		return len(load.FirstPackets()) == receivers
	})
	from := load.Mark()
	eventually(t, "some hundred packets", func() bool { return load.Mark().received-from.received > 300 })
	to := load.Mark()
	loss := load.Loss(from, to)
	if loss.Lost != 0 || loss.Expected < 250 || loss.Repeated != 0 {
		t.Errorf("%+v", loss)
	}
	if delivered.Load() < int64(Received(from, to)) {
		t.Errorf("told of %d packets, received %d", delivered.Load(), Received(from, to))
	}
	if stats, err := load.Stats(t.Context()); err != nil || stats.Mallocs == 0 {
		t.Errorf("stats %+v, %v", stats, err)
	}
	if err := load.Close(); err != nil {
		t.Error(err)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func TestArrivalsCountEachNumberOnce(t *testing.T) {
	var a arrivals
	for _, number := range []uint32{0, 1, 63, 64, 5000, 1, 5000} {
		a.add(number)
	}
	if a.add(63) || !a.add(62) {
		t.Error("add does not know what it has seen")
	}
	for _, c := range []struct {
		from, to uint32
		want     int
	}{{0, 6000, 6}, {0, 1, 1}, {1, 64, 3}, {65, 5000, 0}, {4999, 5001, 1}, {10, 10, 0}} {
		if got := a.count(c.from, c.to); got != c.want {
			t.Errorf("%d to %d: %d packets; want %d", c.from, c.to, got, c.want)
		}
	}
}
