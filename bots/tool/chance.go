package tool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// The names of the tools for chance and time.
const (
	RollDice   = "roll_dice"
	PickRandom = "pick_random"
	StartTimer = "start_timer"
)

// ErrTooFew says that there is not so much to pick from.
var ErrTooFew = errors.New("there are not so many to pick from")

// chance is the same for the same call of the same run.
func chance(call Call) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(call.ID))
	return rand.New(rand.NewPCG(call.Seed, h.Sum64()))
}

// Dice is the output of roll_dice.
type Dice struct {
	Rolls []int `json:"rolls"`
	Sides int   `json:"sides"`
	Plus  int   `json:"plus,omitempty"`
	Sum   int   `json:"sum"` // with Plus
}

type diceInput struct {
	Dice  count `json:"dice"`
	Sides count `json:"sides"`
	Plus  count `json:"plus"`
}

func rollDice() Tool {
	return define(RollDice, "Roll dice", `Rolls dice: one with six sides unless said otherwise. A coin has two sides.`, `{
		"type": "object", "additionalProperties": false,
		"properties": {
			"dice": {"type": "integer", "minimum": 1, "maximum": 100, "description": "how many; 1 unless given"},
			"sides": {"type": "integer", "minimum": 2, "maximum": 1000000, "description": "6 unless given"},
			"plus": {"type": "integer", "minimum": -1000000, "maximum": 1000000, "description": "added to the sum"}
		}
	}`, func(_ context.Context, call Call, in diceInput) (any, []uint64, error) {
		random := chance(call)
		d := Dice{Sides: cmp.Or(int(in.Sides), 6), Plus: int(in.Plus), Sum: int(in.Plus)}
		for range cmp.Or(int(in.Dice), 1) {
			n := random.IntN(d.Sides) + 1
			d.Rolls, d.Sum = append(d.Rolls, n), d.Sum+n
		}
		return d, nil, nil
	})
}

// Picked is the output of pick_random.
type Picked struct {
	Picked []string `json:"picked"`
	Of     int      `json:"of"` // how many there were to pick from
}

type pickInput struct {
	From  []string `json:"from"`
	Count count    `json:"count"`
	All   bool     `json:"all"`
}

func pickRandom() Tool {
	return define(PickRandom, "Pick at random", `Picks at random, without repeating: from a list, or from the people who are in the room (not bots) when none is given.
With all, it returns all of them in a random order.`, `{
		"type": "object", "additionalProperties": false,
		"properties": {
			"from": {"type": "array", "minItems": 1, "maxItems": 200, "items": {"type": "string", "minLength": 1, "maxLength": 100}},
			"count": {"type": "integer", "minimum": 1, "maximum": 200, "description": "1 unless given"},
			"all": {"type": "boolean"}
		}
	}`, func(_ context.Context, call Call, in pickInput) (any, []uint64, error) {
		from := in.From
		if from == nil {
			for _, p := range call.Room.Participants() {
				if !p.Bot {
					from = append(from, p.Name)
				}
			}
		}
		n := cmp.Or(int(in.Count), 1)
		if in.All {
			n = len(from)
		}
		if n > len(from) {
			return nil, nil, fmt.Errorf("%w: %d of %d", ErrTooFew, n, len(from))
		}
		picked := Picked{Picked: []string{}, Of: len(from)}
		for _, i := range chance(call).Perm(len(from))[:n] {
			picked.Picked = append(picked.Picked, from[i])
		}
		return picked, nil, nil
	})
}

// Timer is the output of start_timer.
type Timer struct {
	Seconds int       `json:"seconds"`
	Ends    time.Time `json:"ends"`
	Note    string    `json:"note,omitempty"`
}

type timerInput struct {
	Seconds count  `json:"seconds"`
	Note    string `json:"note"`
}

func startTimer() Tool {
	return define(StartTimer, "Start a timer", `Says something in the room when the time is over, also if nobody waits for it.`, `{
		"type": "object", "additionalProperties": false, "required": ["seconds"],
		"properties": {
			"seconds": {"type": "integer", "minimum": 5, "maximum": 86400},
			"note": {"type": "string", "maxLength": 200, "description": "what it is for"}
		}
	}`, func(_ context.Context, call Call, in timerInput) (any, []uint64, error) {
		length := time.Duration(in.Seconds) * time.Second
		t := Timer{Seconds: int(in.Seconds), Ends: time.Now().Add(length), Note: oneLine(in.Note)}
		text := "⏰ " + Plain(call.Room.Asker().Name, 60) + ", the " + Duration(length) + " are over"
		if t.Note != "" {
			text += ": " + Plain(t.Note, 0)
		}
		if err := call.Room.Later(t.Ends, text+"."); err != nil {
			return nil, nil, fmt.Errorf("start the timer: %w", err)
		}
		return t, nil, nil
	})
}

// Duration writes a time of at least a second in words: "1 hour 5 minutes".
func Duration(d time.Duration) string {
	text := ""
	seconds := int64(d.Round(time.Second) / time.Second)
	for _, unit := range []struct {
		name    string
		seconds int64
	}{{"hour", 3600}, {"minute", 60}, {"second", 1}} {
		n := seconds / unit.seconds
		seconds -= n * unit.seconds
		if n == 0 {
			continue
		}
		if text != "" {
			text += " "
		}
		text += fmt.Sprintf("%d %s", n, unit.name)
		if n > 1 {
			text += "s"
		}
	}
	if text == "" {
		return "0 seconds"
	}
	return text
}
