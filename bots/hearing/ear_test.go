package hearing

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"confab/bots/provider/providertest"
	"confab/bots/voice/ogg"
	"confab/signaling/wire"
)

// A hall notes what is heard, and what becomes of segments.
type hall struct {
	mu       sync.Mutex
	muted    map[wire.ParticipantID]bool // guarded by mu
	heard    []Utterance                 // guarded by mu
	outcomes map[Outcome]int             // guarded by mu
	length   time.Duration               // guarded by mu
}

func (h *hall) Hears(who wire.ParticipantID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.muted[who]
}

func (h *hall) Heard(u Utterance) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = append(h.heard, u)
}

func (h *hall) Segment(outcome Outcome, length, _ time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.outcomes[outcome]++
	h.length += length
}

func (h *hall) mute(who wire.ParticipantID, on bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.muted[who] = on
}

// told is what was heard, by whom.
func (h *hall) told() (lines []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, u := range h.heard {
		lines = append(lines, string(u.Participant)+": "+u.Text)
	}
	return lines
}

func (h *hall) counted(outcome Outcome) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.outcomes[outcome]
}

// A lab is an Ear with a server of transcriptions, which tells the packets of each segment, unless it shall do otherwise.
type lab struct {
	*hall
	*Ear
	service *Service
	stopped chan struct{} // closed when the tap is
}

func newLab(t *testing.T, handler http.HandlerFunc) *lab {
	t.Helper()
	l := &lab{hall: &hall{muted: map[wire.ParticipantID]bool{}, outcomes: map[Outcome]int{}}, stopped: make(chan struct{})}
	l.service = New(Options{
		Transcriber: askedOf(t, handler, io.Discard), Metrics: l.hall,
		Tap: func(room wire.RoomID, _ *Ear) (func(), error) {
			if room != "room" {
				return nil, errors.New("no such room")
			}
			return func() { close(l.stopped) }, nil
		},
	})
	var err error
	if l.Ear, err = l.service.Open("room", l.hall); err != nil {
		t.Fatal(err)
	}
	return l
}

// packetsOf answers with the numbers of the first and the last packet.
func packetsOf(w http.ResponseWriter, r *http.Request) {
	file, _, err := r.FormFile("file")
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var numbers []uint32
	for in := ogg.NewReader(file); ; {
		packet, _, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		if len(packet) > 4 {
			numbers = append(numbers, binary.BigEndian.Uint32(packet[1:]))
		}
	}
	fmt.Fprintf(w, `{"text":"%d to %d"}`, numbers[0], numbers[len(numbers)-1])
}

// say has somebody say n packets so loud, as they come.
func say(t *Track, m *mouth, level, n int) {
	for range n {
		t.Write(m.say(level))
		time.Sleep(frame)
	}
}

// TestEar: what people say is told, by whom; who falls silent without a packet has ended, and a noise is nothing.
func TestEar(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, packetsOf)
		ann, ben := l.Track("ann"), l.Track("ben")
		a, b := &mouth{}, &mouth{}
		began := time.Now()
		say(ann, a, loud, 50)
		say(ann, a, still, 36)
		say(ben, b, loud, 50)
		time.Sleep(silence.duration() + 2*look)
		say(ben, b, loud, 10)
		time.Sleep(time.Second)
		say(ben, b, loud, 50)
		ben.Close()
		synctest.Wait()
		if got := l.told(); !slices.Equal(got, []string{"ann: 0 to 64", "ben: 0 to 49", "ben: 60 to 109"}) {
			t.Errorf("%q", got)
		}
		if at := l.heard[0].Began.Sub(began); at != 2*frame {
			t.Errorf("ann began after %v", at)
		}
		if l.counted(Written) != 3 || l.counted(Short) != 1 || l.length != (1300+1000+200+1000)*time.Millisecond {
			t.Errorf("%v, %v", l.outcomes, l.length)
		}
		l.Close()
		l.service.Close()
		<-l.stopped
		if _, err := l.service.Open("room", l.hall); !errors.Is(err, ErrClosed) {
			t.Errorf("opened again: %v", err)
		}
	})
}

// TestMuted: what was said before somebody is muted is told, and nothing of what they send then.
func TestMuted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, packetsOf)
		defer l.service.Close()
		ann, m := l.Track("ann"), &mouth{}
		say(ann, m, loud, 50)
		l.mute("ann", true)
		say(ann, m, loud, 100)
		synctest.Wait()
		if got := l.told(); !slices.Equal(got, []string{"ann: 0 to 49"}) {
			t.Errorf("muted: %q", got)
		}
		l.mute("ann", false)
		say(ann, m, loud, 50)
		say(ann, m, still, 40)
		synctest.Wait()
		if got := l.told(); !slices.Equal(got[1:], []string{"ann: 150 to 214"}) {
			t.Errorf("and back: %q", got)
		}
	})
}

// TestOrder: what one person says is told in its order, though the first takes longer; nobody else waits.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, providertest.InOrder(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(5 * time.Second)
			packetsOf(w, r)
		}, packetsOf))
		defer l.service.Close()
		ann, ben := l.Track("ann"), l.Track("ben")
		a, b := &mouth{}, &mouth{}
		for range 2 {
			say(ann, a, loud, 25)
			say(ann, a, still, 36)
		}
		say(ben, b, loud, 50)
		ben.Close()
		time.Sleep(10 * time.Second)
		if got := l.told(); !slices.Equal(got, []string{"ben: 0 to 49", "ann: 0 to 39", "ann: 46 to 100"}) {
			t.Errorf("%q", got)
		}
	})
}

// TestBounds: of what waits, the oldest is dropped; in number and in bytes.
func TestBounds(t *testing.T) {
	for name, test := range map[string]struct {
		padding, segments, dropped int
	}{
		"number": {0, 30, 30 - maxAsked - maxWaiting}, "bytes": {10_000, 20, 20 - maxBytes/503_000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				open := make(chan struct{})
				l := newLab(t, func(w http.ResponseWriter, r *http.Request) {
					if err := r.ParseMultipartForm(1 << 30); err != nil {
						t.Error(err)
					}
					<-open
					fmt.Fprint(w, `{"text":"."}`)
				})
				defer l.service.Close()
				for i := range test.segments {
					track, m := l.Track(wire.ParticipantID(fmt.Sprint("p", i))), &mouth{}
					for range 50 {
						p := m.say(loud)
						p.Opus = append(p.Opus, make([]byte, test.padding)...)
						track.Write(p)
					}
					track.Close()
					synctest.Wait()
				}
				close(open)
				synctest.Wait()
				if got := l.counted(Dropped); got != test.dropped || l.counted(Written) != test.segments-test.dropped {
					t.Errorf("%v: %d dropped, not %d", l.outcomes, got, test.dropped)
				}
				told := strings.Join(l.told(), " ")
				if !strings.Contains(told, "p0:") || strings.Contains(told, fmt.Sprintf("p%d:", maxAsked)) || l.bytes != 0 || l.asked != 0 {
					t.Errorf("told are %s; %d bytes are left", told, l.bytes)
				}
			})
		})
	}
}

// TestEarEnds: with its room, in the middle of what is said and of what is written down; nothing is told then.
func TestEarEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		})
		ann, m := l.Track("ann"), &mouth{}
		say(ann, m, loud, 50)
		say(ann, m, still, 40)
		say(ann, m, loud, 50)
		l.Close()
		<-l.stopped
		say(ann, m, still, 40)
		ann.Close()
		l.service.Close()
		if got := l.told(); len(got) > 0 || len(l.outcomes) > 0 {
			t.Errorf("%q, %v", got, l.outcomes)
		}
		if _, err := New(l.service.opts).Open("elsewhere", l.hall); err == nil {
			t.Error("a room that cannot be tapped is heard")
		}
	})
}

// TestNothingHeard: what has no words, or cannot be written down, is not told.
func TestNothingHeard(t *testing.T) {
	for outcome, handler := range map[Outcome]http.HandlerFunc{
		Empty:  func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"text":""}`) },
		Failed: func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "{}", http.StatusUnauthorized) },
	} {
		t.Run(string(outcome), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLab(t, handler)
				defer l.service.Close()
				track, m := l.Track("ann"), &mouth{}
				say(track, m, loud, 50)
				track.Close()
				synctest.Wait()
				if l.counted(outcome) != 1 || len(l.told()) > 0 {
					t.Errorf("%v, %q", l.outcomes, l.told())
				}
			})
		})
	}
}
