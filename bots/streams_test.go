//go:build unix

package bots

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"confab/bots/provider"
	"confab/rooms"
	"confab/rooms/bus"
	"confab/signaling/wire"
)

// A talker is a model that streams a text of its own for each question, a piece at a time.
type talker struct {
	pieces int
	pause  time.Duration

	mu    sync.Mutex
	first map[string]time.Time // when the first piece was emitted, by the question
}

func (m *talker) Answer(ctx context.Context, r provider.Request, emit func(provider.Part)) (provider.Turn, error) {
	tick := time.NewTicker(max(m.pause, 1))
	defer tick.Stop()
	for i := range m.pieces {
		if i == 0 {
			m.mu.Lock()
			m.first[r.Question.Text] = time.Now()
			m.mu.Unlock()
		}
		emit(provider.Part{Text: fmt.Sprintf("%s–%d 👋 ", r.Question.Text, i)})
		select {
		case <-tick.C:
		case <-ctx.Done():
			return provider.Turn{}, context.Cause(ctx)
		}
	}
	return provider.Turn{Stop: provider.Stopped, Model: "talker"}, nil
}

func (m *talker) text(question string) string {
	var b strings.Builder
	for i := range m.pieces {
		fmt.Fprintf(&b, "%s–%d 👋 ", question, i)
	}
	return b.String()
}

// A reader is a member that puts streams together, and counts what it is sent.
type reader struct {
	*rooms.Member

	mu     sync.Mutex
	texts  map[wire.RunID]*strings.Builder
	length map[wire.RunID]int
	first  map[wire.RunID]time.Time
	begun  map[wire.RequestID]wire.RunID
	ended  map[wire.RunID]int
	chats  map[wire.RunID]string
	chunks int
	wrong  []string
	done   chan struct{} // gets one for each end
}

func (r *reader) SendJoined([]byte)                       {}
func (r *reader) Removed(wire.RoomID, wire.RemovedReason) {}
func (r *reader) Send(frame []byte, _ string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	wire.Lines(frame, func(line []byte) bool {
		var e wire.Envelope
		if err := json.Unmarshal(line, &e); err != nil {
			r.wrong = append(r.wrong, err.Error())
			return true
		}
		switch e.Type {
		case wire.KindAgentStarted:
			s := must[wire.AgentStarted](e)
			r.begun[s.Request] = s.Run
			r.texts[s.Run] = &strings.Builder{}
		case wire.KindStreamChunk:
			c := must[wire.StreamChunk](e)
			if r.length[c.Run] == 0 {
				r.first[c.Run] = time.Now()
			}
			if c.Offset != r.length[c.Run] {
				r.wrong = append(r.wrong, fmt.Sprintf("%s: a chunk at %d after %d", c.Run, c.Offset, r.length[c.Run]))
			}
			for _, x := range c.Text {
				r.length[c.Run]++
				if x > 0xffff {
					r.length[c.Run]++
				}
			}
			r.texts[c.Run].WriteString(c.Text)
			r.chunks++
		case wire.KindChat:
			c := must[wire.ChatRecord](e)
			if c.Run != nil {
				r.chats[c.Run.Run] = c.Text
			}
		case wire.KindAgentCompleted:
			c := must[wire.AgentCompleted](e)
			r.ended[c.Run]++
			r.done <- struct{}{}
		default:
		}
		return true
	})
}

func must[T any](e wire.Envelope) T {
	var v T
	if err := json.Unmarshal(e.Data, &v); err != nil {
		panic(err)
	}
	return v
}

// cpuTime is what this process has used so far, in nanoseconds.
func cpuTime(tb testing.TB) int64 {
	tb.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// streams is a service of rooms with readers in them.
func streams(tb testing.TB, m *talker, inRooms, readers, atATime int) (*rooms.Registry, [][]*reader) {
	tb.Helper()
	log, err := bus.Open(context.Background(), bus.Options{DataDir: tb.TempDir()})
	if err != nil {
		tb.Fatal(err)
	}
	service, err := New(Options{
		Personas: []Persona{{ID: "echo", Name: "Echo", Description: "d", Provider: "m", Limits: PersonaLimits{Concurrent: atATime, RequestsPerMinute: 10_000}}},
		Models:   map[string]provider.Model{"m": m},
	})
	if err != nil {
		tb.Fatal(err)
	}
	g := rooms.NewRegistry(log, rooms.Options{Bots: service})
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := errors.Join(g.Close(ctx), service.Close(ctx), log.Close()); err != nil {
			tb.Error(err)
		}
	})
	all := make([][]*reader, inRooms)
	for i := range all {
		for n := range readers {
			r := &reader{
				texts: map[wire.RunID]*strings.Builder{}, length: map[wire.RunID]int{}, first: map[wire.RunID]time.Time{}, begun: map[wire.RequestID]wire.RunID{},
				ended: map[wire.RunID]int{}, chats: map[wire.RunID]string{}, done: make(chan struct{}, 1<<16),
			}
			_, err := await(context.Background(), func(a rooms.Answer) {
				r.Member = g.Join(rooms.Identity{
					Participant: wire.ParticipantID(fmt.Sprintf("p%d-%d", i, n)), User: wire.UserID(fmt.Sprintf("u%d", n)), Name: "x", Kind: wire.Human,
					Role: wire.RoleModerator, Grants: wire.RoleGrants(wire.RoleModerator),
				}, wire.RoomID(fmt.Sprint("room", i)), "j", wire.Join{}, r, a)
			})
			if err != nil {
				tb.Fatal(err)
			}
			all[i] = append(all[i], r)
		}
		if _, err := await(context.Background(), func(a rooms.Answer) {
			all[i][0].ToggleBot(wire.BotToggle{Bot: "echo", Enabled: true}, a)
		}); err != nil {
			tb.Fatal(err)
		}
	}
	return g, all
}

// TestManyStreams: 200 answers at a time into 50 rooms of 5: what every member puts together is the message, byte for
// byte, and each run ends once.
func TestManyStreams(t *testing.T) {
	const inRooms, perRoom = 50, 4
	m := &talker{pieces: 40, pause: 10 * time.Millisecond, first: map[string]time.Time{}}
	_, all := streams(t, m, inRooms, 5, perRoom)
	for i, members := range all {
		for n := range perRoom {
			members[n].Ask(wire.RequestID(fmt.Sprintf("q%d", n)), "", wire.AIRequest{Bot: "echo", Prompt: fmt.Sprintf("question %d of %d", n, i)}, func(_ wire.ServerMessage, err error) {
				if err != nil {
					t.Error(err)
				}
			})
		}
	}
	var late []time.Duration
	for i, members := range all {
		for _, r := range members {
			for range perRoom {
				select {
				case <-r.done:
				case <-time.After(patience):
					t.Fatal("a run did not end")
				}
			}
			r.mu.Lock()
			if len(r.wrong) > 0 || len(r.texts) != perRoom {
				t.Errorf("%d runs; %v", len(r.texts), r.wrong)
			}
			for n := range perRoom {
				question := fmt.Sprintf("question %d of %d", n, i)
				run := r.begun[wire.RequestID(fmt.Sprintf("q%d", n))]
				if want := m.text(question); r.texts[run].String() != want || r.chats[run] != want || r.ended[run] != 1 {
					t.Errorf("%s: streamed %d bytes, the message has %d, want %d; ended %d times", question, r.texts[run].Len(), len(r.chats[run]), len(want), r.ended[run])
				}
				late = append(late, r.first[run].Sub(m.first[question]))
			}
			r.mu.Unlock()
		}
	}
	slices.Sort(late)
	t.Logf("from the model's first piece to a member: p50 %v, p95 %v, p99 %v", late[len(late)/2], late[len(late)*95/100], late[len(late)*99/100])
}

// BenchmarkStreams measures what a chunk costs that is delivered to one member: 50 rooms of 5, 4 answers each, models
// that emit a piece each 10 ms. Report ns/chunk is of the whole process, the model's side too.
func BenchmarkStreams(b *testing.B) {
	const inRooms, perRoom = 50, 4
	m := &talker{pieces: 100, pause: 10 * time.Millisecond, first: map[string]time.Time{}}
	_, all := streams(b, m, inRooms, 5, perRoom)
	before := cpuTime(b)
	b.ResetTimer()
	for round := range b.N {
		for i, members := range all {
			for n := range perRoom {
				members[n].Ask("q", "", wire.AIRequest{Bot: "echo", Prompt: fmt.Sprintf("%d of %d in %d", n, i, round)}, func(wire.ServerMessage, error) {})
			}
		}
		for _, members := range all {
			for _, r := range members {
				for range perRoom {
					<-r.done
				}
			}
		}
	}
	b.StopTimer()
	chunks := 0
	for _, members := range all {
		for _, r := range members {
			chunks += r.chunks
		}
	}
	b.ReportMetric(float64(cpuTime(b)-before)/float64(chunks), "cpu-ns/chunk")
	b.ReportMetric(float64(chunks)/float64(b.N), "chunks/op")
}
