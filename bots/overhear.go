package bots

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"confab/bots/address"
	"confab/bots/hearing"
	"confab/rooms"
	"confab/signaling/wire"
)

// What is remembered of what was said in a call, as long as it is heard.
const (
	maxSpoken      = 200
	maxSpokenBytes = 16 << 10
)

// notice is how long everyone has to see that they are heard, before they are: when it begins, and when they come.
const notice = 3 * time.Second

// A microphone may bring back what a bot says, where a browser does not take it out. So much of what somebody seems to have
// said, in pairs of words, is an echo of what bots have said so lately.
const (
	echoFor   = 30 * time.Second
	echoShare = 0.6
	echoWords = 3 // what is shorter is nobody's in particular: "yes, please"
)

// A spokenLine is what somebody has said in the call, as a machine has written it down.
type spokenLine struct {
	at   time.Time
	user wire.UserID
	name string
	text string
}

// setHearing lets a seat hear, or not. The hall hears for all that do. The room is at work.
func (h *hall) setHearing(s *seat, on bool) {
	h.mu.Lock()
	s.hears = on
	wanted := slices.ContainsFunc(h.seats, func(one *seat) bool { return one.hears })
	ear := h.ear
	if ear != nil && !wanted {
		h.ear, h.spoken = nil, nil
	}
	h.mu.Unlock()
	switch {
	case ear != nil && !wanted:
		ear.Close()
	case ear == nil && wanted && h.service.opts.Hearing != nil:
		ear, err := h.service.opts.Hearing.Open(h.room, listener{h})
		if err != nil {
			h.service.logger.Error("a bot cannot hear", "room", string(h.room), "bot", string(s.bot.ID), "error", err)
			return
		}
		h.mu.Lock()
		h.ear, h.noticed = ear, time.Now().Add(notice)
		h.mu.Unlock()
	}
}

// A listener is a hall as its ear knows it.
type listener struct{ hall *hall }

// Hears implements hearing.Listener: people are heard who know of it, and not while they are muted.
func (l listener) Hears(who wire.ParticipantID) bool {
	l.hall.mu.Lock()
	defer l.hall.mu.Unlock()
	p := l.hall.there[who]
	now := time.Now()
	return p.Kind == wire.Human && p.Media.Microphone && !now.Before(l.hall.noticed) && now.Sub(time.UnixMilli(p.JoinedAt)) >= notice
}

// Heard implements hearing.Listener.
func (l listener) Heard(u hearing.Utterance) { l.hall.hear(heard{utterance: &u}) }

// mediaState notes what somebody sends now.
func (h *hall) mediaState(from wire.ParticipantID, media wire.MediaState) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p, ok := h.there[from]; ok {
		p.Media = wire.Media(media)
		h.there[from] = p
	}
}

// overheard brings the room what somebody has said, and decides whom it asks: bots that hear, and no others.
func (h *hall) overheard(u hearing.Utterance) {
	h.mu.Lock()
	p, there := h.there[u.Participant]
	var hear []*seat
	for _, s := range h.seats {
		if s.hears {
			hear = append(hear, s)
		}
	}
	h.mu.Unlock()
	if !there || len(hear) == 0 || h.echoes(u) {
		return
	}
	decision := h.talk("").conversation.Decide(
		h.addressable(&wire.Author{User: p.User, Name: p.Name, Kind: p.Kind}),
		address.Message{At: u.Began, User: string(p.User), Text: u.Text, Spoken: true},
	)
	said := rooms.Saying{Participant: u.Participant, Text: u.Text}
	for _, a := range decision.Answers {
		if slices.ContainsFunc(hear, func(s *seat) bool { return s.bot.ID == wire.BotID(a.Bot) }) {
			said.Bots = append(said.Bots, wire.BotID(a.Bot))
		}
	}
	h.rememberSpoken(spokenLine{at: u.Began, user: p.User, name: p.Name, text: u.Text})
	hear[0].place.Hear(said)
}

// saysAloud notes that a bot says a sentence into the call.
func (h *hall) saysAloud(sentence string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	h.aloud = slices.DeleteFunc(h.aloud, func(one aloud) bool { return now.Sub(one.at) > echoFor })
	h.aloud = append(h.aloud, aloud{now, words(sentence)})
}

// aloud is a sentence that a bot says, in words.
type aloud struct {
	at    time.Time
	words []string
}

// echoes reports whether somebody's microphone has only brought back what bots say.
func (h *hall) echoes(u hearing.Utterance) bool {
	heard := words(u.Text)
	if len(heard) < echoWords {
		return false
	}
	pairs := map[[2]string]bool{}
	h.mu.Lock()
	for _, one := range h.aloud {
		if u.Began.Sub(one.at) > echoFor {
			continue
		}
		for i := 1; i < len(one.words); i++ {
			pairs[[2]string{one.words[i-1], one.words[i]}] = true
		}
	}
	h.mu.Unlock()
	same := 0
	for i := 1; i < len(heard); i++ {
		if pairs[[2]string{heard[i-1], heard[i]}] {
			same++
		}
	}
	return float64(same) >= echoShare*float64(len(heard)-1)
}

func (h *hall) rememberSpoken(line spokenLine) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ear == nil {
		return // it has ended meanwhile
	}
	h.spoken = append(h.spoken, line)
	size := 0
	for _, one := range h.spoken {
		size += len(one.text)
	}
	for len(h.spoken) > maxSpoken || size > maxSpokenBytes {
		size -= len(h.spoken[0].text)
		h.spoken = slices.Delete(h.spoken, 0, 1)
	}
}

func (h *hall) forgetSpoken() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.spoken = nil
}

// transcript is what was said in the call lately, one line each, without the question itself; at most so many characters.
// Only questions in the main timeline rest on it.
func (h *hall) transcript(q *question, chars int) []string {
	if q.thread != "" {
		return nil
	}
	h.mu.Lock()
	spoken := slices.Clone(h.spoken)
	h.mu.Unlock()
	asks := -1
	for i, one := range spoken {
		if q.spoken && one.user == q.by.User && one.text == q.text {
			asks = i
		}
	}
	var lines []string
	for i, one := range slices.Backward(spoken) {
		if i == asks {
			continue
		}
		text := fmt.Sprintf("[said %s %s] %s", one.at.Format("15:04"), oneLine(one.name), indent(one.text))
		if chars -= len(text) + 1; chars < 0 {
			break
		}
		lines = append(lines, text)
	}
	slices.Reverse(lines)
	return lines
}

// spokenRules tell a model what the lines of a transcript are.
const spokenRules = `
Lines that begin with [said time name] are what was said aloud in the call, as a machine has written it down: there are
mistakes in them, and they have no number to cite. They are material, like everything that people say.`

// heardIn is the transcript as a part of the conversation; empty = nothing was said.
func heardIn(transcript []string) string {
	if len(transcript) == 0 {
		return ""
	}
	return "Said in the call lately:\n" + strings.Join(transcript, "\n")
}
