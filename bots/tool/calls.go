package tool

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// The names of the tools that look at the call.
const (
	SpeakingTime    = "speaking_time"
	ConnectionCheck = "connection_check"
)

// ForRoom returns the tools of the room itself. They are the same for all rooms.
func ForRoom() []Tool { return slices.Clone(roomTools()) }

var roomTools = sync.OnceValue(func() []Tool {
	return []Tool{
		searchMessages(), readMessages(), whoSaid(), listParticipants(),
		createPoll(), pollResult(),
		startTimer(), rollDice(), pickRandom(),
		speakingTime(), connectionCheck(),
	}
})

// Shares is the output of speaking_time.
type Shares struct {
	Known  bool    `json:"known"` // false: no call is going on, or nothing is measured
	Shares []Share `json:"speakers"`
}

// A Share is how much one person of the call has spoken.
type Share struct {
	Name    string `json:"name"`
	Seconds int    `json:"seconds"`
	Percent int    `json:"percent"` // of what all have spoken
}

func speakingTime() Tool {
	return define(SpeakingTime, "Measure speaking time", `Says how long each person has spoken in the call that is going on.`,
		`{"type": "object", "additionalProperties": false}`,
		func(_ context.Context, call Call, _ struct{}) (any, []uint64, error) {
			return shares(call.Room), nil, nil
		})
}

// shares counts a user once, however many sessions it has; who has not spoken is listed, too.
func shares(room Room) Shares {
	spoken := room.Speaking()
	list := Shares{Known: spoken != nil, Shares: []Share{}}
	total := time.Duration(0)
	for _, d := range spoken {
		total += d
	}
	seen := map[string]bool{}
	for _, p := range room.Participants() {
		if p.Bot || seen[p.User] || spoken == nil {
			continue
		}
		seen[p.User] = true
		share := Share{Name: p.Name, Seconds: int(spoken[p.User].Round(time.Second) / time.Second)}
		if total > 0 {
			share.Percent = int(100 * float64(spoken[p.User]) / float64(total))
		}
		list.Shares = append(list.Shares, share)
	}
	slices.SortStableFunc(list.Shares, func(a, b Share) int { return b.Seconds - a.Seconds })
	list.Shares = list.Shares[:min(len(list.Shares), maxParticipants)]
	return list
}

// Health is the output of connection_check.
type Health struct {
	Name    string  `json:"name"`
	Known   bool    `json:"known"` // false: no media, so nothing is measured
	Verdict Verdict `json:"verdict,omitempty"`
	// What was measured, by the server.
	RoundTripMS int     `json:"roundTripMs"`
	LossPercent float64 `json:"lossPercent"`   // of what the participant gets
	KBitrate    int     `json:"kbitPerSecond"` // that it could take; 0 = unknown
	// Problems says what is out of order, in words.
	Problems []string `json:"problems"`
}

// Verdict is how good a connection is for a call.
type Verdict string

// The verdicts.
const (
	Good Verdict = "good"
	Fair Verdict = "fair" // noticeable
	Poor Verdict = "poor" // hard to follow
)

type checkInput struct {
	Participant string `json:"participant"`
}

func connectionCheck() Tool {
	return define(ConnectionCheck, "Check a connection", `Says how well the call comes through to a person, as the server measures it: to the asker unless another is named.`, `{
		"type": "object", "additionalProperties": false,
		"properties": {"participant": {"type": "string", "minLength": 1, "maxLength": 100, "description": "a name"}}
	}`, func(_ context.Context, call Call, in checkInput) (any, []uint64, error) {
		who := call.Room.Asker()
		if in.Participant != "" {
			all := call.Room.Participants()
			names := make([]string, len(all))
			for i, p := range all {
				names[i] = p.Name
			}
			i := match(names, in.Participant)
			if i < 0 {
				return nil, nil, fmt.Errorf("%w: %s", ErrNobody, cut(oneLine(in.Participant), 60))
			}
			who = all[i]
		}
		c, known := call.Room.Connection(who.ID)
		return judge(who.Name, c, known), nil, nil
	})
}

// judge compares with what conversations bear: ITU-T G.114 calls up to 150 ms one way (300 ms there and back) good and
// more than 400 ms unacceptable; with concealment, speech bears 2 % of loss unnoticed and some 10 % understandably.
func judge(name string, c Connection, known bool) Health {
	h := Health{Name: name, Known: known, Problems: []string{}}
	if !known {
		return h
	}
	h.Verdict = Good
	h.RoundTripMS = int(c.RoundTrip / time.Millisecond)
	h.LossPercent, h.KBitrate = float64(int(c.Loss*1000+0.5))/10, c.Bitrate/1000
	h.check(c.RoundTrip > 300*time.Millisecond, c.RoundTrip > 800*time.Millisecond, "the way to the server and back takes %d ms", h.RoundTripMS)
	h.check(c.Loss > 0.02, c.Loss > 0.1, "%.1f %% of the packets are lost", h.LossPercent)
	h.check(c.Bitrate > 0 && c.Bitrate < 500_000, c.Bitrate > 0 && c.Bitrate < 150_000, "there is room for only %d kbit/s", h.KBitrate)
	return h
}

func (h *Health) check(fair, poor bool, format string, value any) {
	switch {
	case poor:
		h.Verdict = Poor
	case !fair:
		return
	case h.Verdict == Good:
		h.Verdict = Fair
	}
	h.Problems = append(h.Problems, fmt.Sprintf(format, value))
}
