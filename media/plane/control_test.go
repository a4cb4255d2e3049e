package plane

import (
	"bytes"
	"net"
	"testing"
	"time"
)

// TestBalance looks once a second at how busy the readers of four sockets were.
func TestBalance(t *testing.T) {
	type look struct {
		busy float64 // of each socket in use
		want int     // sockets afterwards
	}
	steady := func(n int, l look) []look {
		looks := make([]look, n)
		for i := range looks {
			looks[i] = l
		}
		return looks
	}
	for name, looks := range map[string][]look{
		"one is enough":         steady(20, look{0.45, 1}),
		"more, one by one":      {{0.1, 1}, {0.5, 2}, {0.4, 2}, {0.9, 4}, {1, 4}},
		"fewer after a while":   append(append([]look{{0.6, 2}}, steady(calmLooks-1, look{0.15, 2})...), look{0.15, 1}, look{0.15, 1}),
		"a moment is no while":  append(append([]look{{0.6, 2}}, steady(calmLooks-1, look{0.15, 2})...), look{0.3, 2}, look{0.15, 2}),
		"busy, but not so much": append([]look{{0.6, 2}}, steady(2*calmLooks, look{0.3, 2})...),
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Now()
			b := balance{sockets: 1, looked: now, before: make([]time.Duration, 4)}
			busy := make([]time.Duration, 4)
			for i, l := range looks {
				now = now.Add(time.Second)
				for s := range b.sockets {
					busy[s] += time.Duration(l.busy * float64(time.Second))
				}
				before := b.sockets
				if changed := b.look(now, busy); b.sockets != l.want || changed != (b.sockets != before) {
					t.Fatalf("look %d: %d sockets, changed %v; want %d", i, b.sockets, changed, l.want)
				}
			}
		})
	}
}

// TestQueuedLeavesWithTheNext has reports wait for media, and leave without it too. Where nobody minds the port, they
// leave at once.
func TestQueuedLeavesWithTheNext(t *testing.T) {
	report := []byte{0x81, 206, 0, 2, 0, 0, 0, 9, 1, 2, 3, 4}
	for name, c := range map[string]struct {
		opts  Options
		calls uint64 // after two reports
	}{
		"minded":   {Options{}, 0},
		"unminded": {Options{unsteered: true}, 2},
		"plain":    {Options{Plain: true}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			w := newLooseWire(t, c.opts, loopback)
			if c.calls == 0 && w.conn.steering == nil {
				t.Skip("nothing is steered on this system")
			}
			w.paths, w.Transport.conn = append(w.paths, w.far.LocalAddr().(*net.UDPAddr).AddrPort()), w.conn
			w.conn.users.Store(1) // so mind has not begun, though it would
			queue := func() {
				w.shard.Queue(func(out *Writer) {
					if err := out.RTCP(w.Transport, report); err != nil {
						t.Error(err)
					}
				})
			}
			queue()
			queue()
			if stats := w.shard.plane.Stats(); stats.SendCalls != c.calls {
				t.Errorf("%+v; want %d calls", stats, c.calls)
			}
			w.mustWrite(t, 1, []int{100})
			if stats := w.shard.plane.Stats(); stats.SendCalls != c.calls+1 && !c.opts.Plain {
				t.Errorf("%+v with media", stats)
			}
			queue()
			w.conn.used <- struct{}{}
			for i := range 4 {
				if i == 2 {
					w.checkArrived(t, 1, []int{100})
				} else if got := w.read(t); !bytes.Equal(got, report) {
					t.Errorf("datagram %d is %x", i, got)
				}
			}
		})
	}
}
