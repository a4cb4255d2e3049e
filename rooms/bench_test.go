package rooms_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"confab/rooms"
	"confab/rooms/bus"
	"confab/signaling/wire"
)

// sink is an outlet that costs nothing.
type sink struct{ frames atomic.Int64 }

func (s *sink) Send([]byte, string)                     { s.frames.Add(1) }
func (s *sink) SendJoined([]byte)                       { s.frames.Add(1) }
func (s *sink) Removed(wire.RoomID, wire.RemovedReason) {}

// BenchmarkChat is one acknowledged message through room and log, with people who each wait for the answer: 100
// people alone in 100 rooms, and 10 people in each of 100 rooms.
func BenchmarkChat(b *testing.B) {
	for _, size := range []int{1, 10} {
		b.Run(fmt.Sprintf("members=%d", size), func(b *testing.B) {
			log, err := bus.Open(b.Context(), bus.Options{DataDir: b.TempDir()})
			if err != nil {
				b.Fatal(err)
			}
			defer log.Close()
			g := rooms.NewRegistry(log, rooms.Options{})
			defer g.Close(b.Context())
			const writers = 100
			text := fmt.Sprintf("%0200d", 0)
			var members []*rooms.Member
			for i := range writers {
				for j := range size {
					id := person(fmt.Sprintf("p%d-%d", i, j), fmt.Sprintf("u%d-%d", i, j))
					done := make(chan error, 1)
					m := g.Join(id, wire.RoomID(fmt.Sprintf("r%d", i)), "j", wire.Join{}, &sink{}, func(_ wire.ServerMessage, err error) { done <- err })
					if err := <-done; err != nil {
						b.Fatal(err)
					}
					if j == 0 {
						members = append(members, m)
					}
				}
			}
			var next atomic.Int64
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for _, m := range members {
				wg.Go(func() {
					done := make(chan struct{}, 1)
					for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
						m.Chat(wire.RequestID(fmt.Sprintf("m%d", n)), "", wire.Chat{Text: text}, func(wire.ServerMessage, error) { done <- struct{}{} })
						<-done
					}
				})
			}
			wg.Wait()
		})
	}
}

// BenchmarkJoin is one more person entering a room of 100 with a full window, and leaving it again.
func BenchmarkJoin(b *testing.B) {
	log, err := bus.Open(b.Context(), bus.Options{DataDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer log.Close()
	g := rooms.NewRegistry(log, rooms.Options{})
	defer g.Close(b.Context())
	enter := func(i int) *rooms.Member {
		done := make(chan error, 1)
		m := g.Join(person(fmt.Sprintf("p%d", i), fmt.Sprintf("u%d", i)), "r", "j", wire.Join{}, &sink{}, func(_ wire.ServerMessage, err error) { done <- err })
		if err := <-done; err != nil {
			b.Fatal(err)
		}
		return m
	}
	var first *rooms.Member
	for i := range 100 {
		first = enter(i)
	}
	for i := range 256 {
		done := make(chan struct{})
		first.Chat(wire.RequestID(fmt.Sprint(i)), "", wire.Chat{Text: fmt.Sprintf("%0200d", i)}, func(wire.ServerMessage, error) { close(done) })
		<-done
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		done := make(chan struct{})
		enter(1000 + i).Leave(func(wire.ServerMessage, error) { close(done) })
		<-done
	}
}
