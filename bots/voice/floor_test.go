package voice

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"confab/bots/provider"
	"confab/bots/provider/endpoint"
	"confab/bots/voice/ogg"
	"confab/signaling/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A mouth is a speech endpoint within a bubble: no socket, but all that net/http does of a request.
type mouth struct {
	answer func(w *io.PipeWriter, text string) // what comes back; it closes w

	mu    sync.Mutex
	asked []string // guarded by mu: the inputs
	as    []string // guarded by mu: the voices
}

func (m *mouth) RoundTrip(r *http.Request) (*http.Response, error) {
	if trace := httptrace.ContextClientTrace(r.Context()); trace != nil {
		trace.GotConn(httptrace.GotConnInfo{})
	}
	var body struct {
		Input string `json:"input"`
		Voice string `json:"voice"`
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return nil, fmt.Errorf("a bad request: %w", err)
	}
	m.mu.Lock()
	m.asked, m.as = append(m.asked, body.Input), append(m.as, body.Voice)
	m.mu.Unlock()
	in, out := io.Pipe()
	stop := context.AfterFunc(r.Context(), func() { out.CloseWithError(context.Cause(r.Context())) })
	go func() {
		defer stop()
		m.answer(out, body.Input)
	}()
	return &http.Response{StatusCode: http.StatusOK, Body: in, Header: http.Header{}}, nil
}

func (m *mouth) inputs() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.asked)
}

// sound is an Ogg stream of n packets of 20 ms, which bear their number.
func sound(n int) []byte {
	head := append([]byte("OpusHead\x01\x01"), make([]byte, 9)...)
	tags := []byte("OpusTags\x00\x00\x00\x00\x00\x00\x00\x00")
	stream := append(oggPage(2, head), oggPage(0, tags)...)
	for i := range n {
		stream = append(stream, oggPage(0, binary.BigEndian.AppendUint32([]byte{0x78}, uint32(i)))...)
	}
	return stream
}

// oggPage is a page with one packet.
func oggPage(flags byte, packet []byte) []byte {
	b := append([]byte("OggS\x00"), flags)
	b = append(b, make([]byte, 20)...)
	b = append(append(b, 1, byte(len(packet))), packet...)
	crc := uint32(0)
	for _, x := range b {
		crc ^= uint32(x) << 24
		for range 8 {
			if crc&0x80000000 != 0 {
				crc = crc<<1 ^ 0x04c11db7
			} else {
				crc <<= 1
			}
		}
	}
	binary.LittleEndian.PutUint32(b[22:], crc)
	return b
}

// says answers every sentence with n packets at once.
func says(n int) func(*io.PipeWriter, string) {
	return func(w *io.PipeWriter, _ string) {
		_, err := w.Write(sound(n))
		w.CloseWithError(err)
	}
}

// An ear is a microphone: it notes what is said, and people speak when the test says so.
type ear struct {
	mu          sync.Mutex
	at          []time.Time // guarded by mu
	packets     []uint32    // guarded by mu
	since, last time.Time   // guarded by mu
	closed      bool        // guarded by mu
}

func (e *ear) Write(packet []byte, length time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if length != 20*time.Millisecond || e.closed {
		return
	}
	e.at, e.packets = append(e.at, time.Now()), append(e.packets, binary.BigEndian.Uint32(packet[1:]))
}

func (e *ear) Heard() (since, last time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.since, e.last
}

func (e *ear) Close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed = true
}

// people speak for so long, from now on.
func (e *ear) people(length time.Duration) {
	began := time.Now()
	for time.Since(began) < length {
		e.mu.Lock()
		e.since, e.last = began, time.Now()
		e.mu.Unlock()
		time.Sleep(20 * time.Millisecond)
	}
}

// got is a copy of what was said, and when.
func (e *ear) got() (at []time.Time, packets []uint32) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.at), slices.Clone(e.packets)
}

func (e *ear) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.packets)
}

// A stage is a service with the things around it.
type stage struct {
	t       *testing.T
	service *Service
	mouth   *mouth
	ears    map[wire.ParticipantID]*ear

	mu   sync.Mutex
	told []string // guarded by mu
}

func onStage(t *testing.T, answer func(*io.PipeWriter, string), test func(*stage)) {
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, mouth: &mouth{answer: answer}, ears: map[wire.ParticipantID]*ear{}}
		s.service = New(Options{
			Speech: NewSpeech(SpeechOptions{
				Endpoint: endpoint.Options{Provider: "speech", URL: "http://speech.test/v1/audio/speech", Key: provider.NewKey("sk-x"), Transport: s.mouth},
				Model:    "tts", Voice: "ash",
			}),
			Microphones: func(_ wire.RoomID, bot wire.ParticipantID) (Microphone, error) {
				if s.ears[bot] != nil {
					return nil, errors.New("taken")
				}
				s.ears[bot] = &ear{}
				return s.ears[bot], nil
			},
			Logger: slog.New(slog.DiscardHandler),
		})
		test(s)
		s.service.Close()
	})
}

func (s *stage) open(bot wire.ParticipantID) *Speaker { return s.openAs(bot, "") }

func (s *stage) openAs(bot wire.ParticipantID, voice string) *Speaker {
	s.t.Helper()
	speaker, err := s.service.Open("room", bot, voice, func(msg wire.ServerMessage) {
		s.mu.Lock()
		defer s.mu.Unlock()
		switch msg := msg.(type) {
		case wire.AgentSpeaking:
			s.told = append(s.told, fmt.Sprintf("%s %s %d", msg.Run, msg.State, msg.Spoken))
		case wire.Caption:
			s.told = append(s.told, fmt.Sprintf("%s %q %d %t", msg.Participant, msg.Text, msg.Offset, msg.Final))
		}
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return speaker
}

func (s *stage) wants(want ...string) {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.told, want) {
		s.t.Errorf("told\n%s\nnot\n%s", strings.Join(s.told, "\n"), strings.Join(want, "\n"))
	}
}

const (
	one = "This is the first sentence. "
	two = "This is the second one. "
)

// An answer is spoken while it comes, each packet at its time.
func TestSpeaks(t *testing.T) {
	onStage(t, says(50), func(s *stage) {
		bot := s.open("bot")
		a := bot.Answer("run")
		a.Write(one + "This is")
		time.Sleep(500 * time.Millisecond)
		if n := s.ears["bot"].count(); n < 20 {
			t.Errorf("%d packets before the answer is whole", n)
		}
		a.Write(" the second one.")
		a.End()
		a.Write("After the end.")
		time.Sleep(5 * time.Second)
		at, packets := s.ears["bot"].got()
		if len(at) != 100 {
			t.Fatalf("%d packets", len(at))
		}
		for i := 1; i < len(at); i++ {
			gap := at[i].Sub(at[i-1])
			if late := gap - 20*time.Millisecond; late != 0 && (i != 50 || late < 0 || late > step) || packets[i] != uint32(i%50) {
				t.Errorf("packet %d (%d) %v after the one before", i, packets[i], gap)
			}
		}
		s.wants("run started 0", `bot "This is the first sentence." 0 false`, `bot "This is the first sentence." 0 true`,
			`bot "This is the second one." 28 false`, `bot "This is the second one." 28 true`, "run stopped 51")
		bot.Close()
		if bot.Answer("late") != nil {
			t.Error("it speaks without a voice")
		}
	})
}

// When a person speaks, nothing more is sent after the next look, and the rest is not spoken.
func TestInterrupted(t *testing.T) {
	onStage(t, says(100), func(s *stage) {
		bot := s.open("bot")
		a := bot.Answer("run")
		a.Write(one + two)
		a.End()
		time.Sleep(3 * time.Second)
		ear := s.ears["bot"]
		began := time.Now()
		ear.people(2 * time.Second)
		time.Sleep(5 * time.Second)
		at, _ := ear.got()
		if after := at[len(at)-1].Sub(began); after > 20*time.Millisecond {
			t.Errorf("the last packet %v after the person began", after)
		}
		s.wants("run started 0", `bot "This is the first sentence." 0 false`, `bot "This is the first sentence." 0 true`,
			`bot "This is the second one." 28 false`, `bot "This is the second one." 28 true`, "run interrupted 28")
		next := bot.Answer("next")
		next.Write(one)
		next.End()
		time.Sleep(3 * time.Second)
		if _, packets := ear.got(); packets[len(packets)-1] != 99 {
			t.Error("the next answer is not spoken")
		}
	})
}

// A word of assent breaks a sentence off, which is then spoken from its beginning.
func TestAssent(t *testing.T) {
	onStage(t, says(100), func(s *stage) {
		bot := s.open("bot")
		a := bot.Answer("run")
		a.Write(one)
		a.End()
		time.Sleep(time.Second)
		s.ears["bot"].people(400 * time.Millisecond)
		ended := time.Now()
		before := s.ears["bot"].count()
		time.Sleep(5 * time.Second)
		at, packets := s.ears["bot"].got()
		if len(packets) != before+100 || packets[before] != 0 {
			t.Fatalf("%d packets, then %d", before, len(packets)-before)
		}
		if pause := at[before].Sub(ended); pause < silence-20*time.Millisecond || pause > silence+20*time.Millisecond {
			t.Errorf("%v of silence", pause)
		}
		if n := len(s.mouth.inputs()); n != 1 {
			t.Errorf("%d requests", n)
		}
		s.wants("run started 0", `bot "This is the first sentence." 0 false`, `bot "This is the first sentence." 0 true`, "run stopped 28")
	})
}

// Who is assented to all the time does not begin again without end; and who is never let speak, gives up.
func TestNeverLet(t *testing.T) {
	onStage(t, says(100), func(s *stage) {
		bot := s.open("bot")
		a := bot.Answer("run")
		a.Write(one)
		a.End()
		for range 20 {
			time.Sleep(time.Second)
			s.ears["bot"].people(200 * time.Millisecond)
		}
		if n := s.ears["bot"].count(); n > (2+maxAgain)*50 {
			t.Errorf("%d packets", n)
		}
		s.mu.Lock()
		if last := s.told[len(s.told)-1]; last != "run interrupted 0" {
			t.Errorf("told at last: %s", last)
		}
		s.told = nil
		s.mu.Unlock()
		late := bot.Answer("late")
		late.Write(one)
		late.End()
		before := s.ears["bot"].count()
		s.ears["bot"].people(2 * patience)
		time.Sleep(5 * time.Second)
		if s.ears["bot"].count() != before {
			t.Error("it speaks of what nobody remembers")
		}
		s.wants()
	})
}

// One bot speaks at a time, and one whose answer is stopped makes room.
func TestOneFloor(t *testing.T) {
	onStage(t, says(50), func(s *stage) {
		ann, ben := s.open("ann"), s.open("ben")
		first, second, third := ann.Answer("1"), ben.Answer("2"), ann.Answer("3")
		for _, a := range []*Answer{first, second, third} {
			a.Write(one)
			a.End()
		}
		time.Sleep(1500 * time.Millisecond) // ben speaks
		second.Stop()
		time.Sleep(5 * time.Second)
		if a, b := s.ears["ann"].count(), s.ears["ben"].count(); a != 100 || b < 10 || b > 30 {
			t.Errorf("%d and %d packets", a, b)
		}
		ann1, _ := s.ears["ann"].got()
		if ben1, _ := s.ears["ben"].got(); ben1[0].Before(ann1[49]) {
			t.Error("ben speaks before ann has ended")
		}
		mute := ben.Answer("4")
		mute.Write(one)
		time.Sleep(500 * time.Millisecond)
		ben.Close()
		before := s.ears["ben"].count()
		time.Sleep(5 * time.Second)
		if after := s.ears["ben"].count(); after != before {
			t.Errorf("%d packets after it was muted", after-before)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if last := s.told[len(s.told)-1]; last != "4 stopped 0" {
			t.Errorf("told at last: %s", last)
		}
	})
}

// Two sentences ahead are made and no more, and what does not come, is waited for without a rush afterwards.
func TestAhead(t *testing.T) {
	slow := func(w *io.PipeWriter, text string) {
		stream := sound(50)
		half := len(stream) / 2
		w.Write(stream[:half])
		if strings.Contains(text, "first") {
			time.Sleep(2 * time.Second)
		}
		w.Write(stream[half:])
		w.Close()
	}
	onStage(t, slow, func(s *stage) {
		bot := s.open("bot")
		a := bot.Answer("run")
		a.Write(one + strings.Repeat(two, 5))
		a.End()
		time.Sleep(1500 * time.Millisecond)
		if n := len(s.mouth.inputs()); n != 1+ahead {
			t.Errorf("%d sentences are made", n)
		}
		time.Sleep(20 * time.Second)
		at, _ := s.ears["bot"].got()
		if len(at) != 300 {
			t.Fatalf("%d packets", len(at))
		}
		for i := 1; i < len(at); i++ {
			if gap := at[i].Sub(at[i-1]); gap < 20*time.Millisecond {
				t.Errorf("packet %d %v after the one before", i, gap)
			}
		}
	})
}

// An endpoint that fails, stops or says something else ends the answer, and not the next one.
func TestSpeechFails(t *testing.T) {
	for name, answer := range map[string]func(*io.PipeWriter, string){
		"cut":       func(w *io.PipeWriter, _ string) { w.CloseWithError(errors.New("reset")) },
		"no Ogg":    func(w *io.PipeWriter, _ string) { w.Write([]byte(strings.Repeat("<html>", 20))); w.Close() },
		"no first":  func(w *io.PipeWriter, _ string) { time.Sleep(time.Minute); w.Close() },
		"it stalls": func(w *io.PipeWriter, _ string) { w.Write(sound(50)[:200]); time.Sleep(time.Minute); w.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(w *io.PipeWriter, text string) {
				if strings.Contains(text, "first") {
					answer(w, text)
					return
				}
				says(50)(w, text)
			}, func(s *stage) {
				bot := s.open("bot")
				a, next := bot.Answer("run"), bot.Answer("next")
				a.Write(one + two)
				a.End()
				next.Write(two)
				next.End()
				time.Sleep(40 * time.Second)
				s.mu.Lock()
				last := s.told[len(s.told)-1]
				s.mu.Unlock()
				if last != "next stopped 24" || s.ears["bot"].count() < 50 {
					t.Errorf("%d packets; told at last: %s", s.ears["bot"].count(), last)
				}
				time.Sleep(time.Minute)
			})
		})
	}
}

func TestBounds(t *testing.T) {
	onStage(t, says(1), func(s *stage) {
		bot := s.open("bot")
		held := bot.Answer("held")
		synctest.Wait()
		for i := range maxWaiting + 2 {
			if a := bot.Answer("run"); (a != nil) != (i < maxWaiting) {
				t.Errorf("answer %d: %v", i, a != nil)
			}
		}
		held.Write(strings.Repeat(two, 2*maxSentences))
		held.mu.Lock()
		defer held.mu.Unlock()
		if len(held.waiting) != maxSentences {
			t.Errorf("%d sentences", len(held.waiting))
		}
	})
	var none *Speaker
	none.Answer("run").Write("x")
	none.Answer("run").End()
	none.Answer("run").Stop()
	none.Close()
}

// TestVoices: a bot speaks with its own voice, or with the usual one.
func TestVoices(t *testing.T) {
	onStage(t, says(2), func(s *stage) {
		for _, speaker := range []*Speaker{s.open("echo"), s.openAs("parrot", "nova")} {
			a := speaker.Answer("run")
			a.Write("Hello.")
			a.End()
			time.Sleep(time.Second)
			speaker.Close()
		}
		if as := strings.Join(s.mouth.as, " "); as != "ash nova" {
			t.Errorf("they speak as %s", as)
		}
	})
}

// A sound that does not end is cut off before it fills the memory.
func TestClipBounds(t *testing.T) {
	c := &clip{}
	if err := c.read(ogg.NewReader(bytes.NewReader(sound(7000)))); !errors.Is(err, errLong) {
		t.Errorf("%d packets, then %v", len(c.packets), err)
	}
}
