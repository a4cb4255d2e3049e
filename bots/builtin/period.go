package builtin

import (
	"strings"
	"time"
)

// A period is from when on messages are wanted.
type period struct {
	since  time.Time // zero = from the beginning
	unread bool      // since the asker last read
	label  string    // "since 10:05"; empty = nothing was said of it
}

var (
	sinceClock = lazy(`(?i)\b(?:since|after|from|seit|depuis|desde)\s+(\d{1,2})(?:[:.h](\d\d))?\s*(am|pm)?\b`)
	lastSpan   = lazy(`(?i)\b(?:last|past|letzten?|dernières?|últim[oa]s?)\s+(?:(\d{1,4}|a|an|one|two|three|five|ten|half an|couple of|few)\s+)?(min(?:ute)?s?|h(?:ou)?rs?|days?|weeks?)\b`)
	spanAgo    = lazy(`(?i)\b(\d{1,4}|an?|half an)\s+(min(?:ute)?s?|h(?:ou)?rs?|days?)\s+ago\b`)
	sinceDay   = lazy(`(?i)\b(?:since|from|of|on)?\s*\b(today|this morning|yesterday|this week|monday|tuesday|wednesday|thursday|friday|saturday|sunday)\b`)
	unreadCue  = lazy(`(?i)\bunread\b|\bsince i (?:last |was |left|went|read|looked)|\bwhile i was\b|\bi was (?:away|gone|out|late)\b`)
)

// periodOf reads which messages a question is about.
func periodOf(text string, now time.Time) period {
	switch {
	case unreadCue().MatchString(text):
		return period{unread: true, label: "since you last read"}
	case sinceClock().MatchString(text):
		m := sinceClock().FindStringSubmatch(text)
		if at, ok := clockTime(now, m[1], m[2], m[3]); ok {
			return period{since: at, label: "since " + at.Format("15:04")}
		}
	case lastSpan().MatchString(text):
		m := lastSpan().FindStringSubmatch(text)
		return spanBack(now, m[1], m[2])
	case spanAgo().MatchString(text):
		m := spanAgo().FindStringSubmatch(text)
		return spanBack(now, m[1], m[2])
	}
	if m := sinceDay().FindStringSubmatch(text); m != nil {
		return dayBack(now, strings.ToLower(m[1]))
	}
	return period{}
}

// clockTime is the last time that it was so late.
func clockTime(now time.Time, hour, minute, half string) (time.Time, bool) {
	h, m := atoi(hour), atoi(minute)
	if strings.EqualFold(half, "pm") && h < 12 {
		h += 12
	}
	if strings.EqualFold(half, "am") && h == 12 {
		h = 0
	}
	if h > 23 || m > 59 {
		return time.Time{}, false
	}
	at := time.Date(now.Year(), now.Month(), now.Day(), h, m, 0, 0, now.Location())
	if at.After(now) {
		at = at.AddDate(0, 0, -1)
	}
	return at, true
}

func spanBack(now time.Time, number, unit string) period {
	n := map[string]float64{"": 1, "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "five": 5, "ten": 10, "half an": 0.5, "couple of": 2, "few": 3}[strings.ToLower(number)]
	if n == 0 {
		n = float64(atoi(number))
	}
	each := map[byte]time.Duration{'m': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}[strings.ToLower(unit)[0]]
	at := now.Add(-time.Duration(n * float64(each)))
	if at.YearDay() != now.YearDay() || at.Year() != now.Year() {
		return period{since: at, label: "since " + at.Format("2 Jan 15:04")}
	}
	return period{since: at, label: "since " + at.Format("15:04")}
}

func dayBack(now time.Time, day string) period {
	midnight := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	switch day {
	case "today", "this morning":
		return period{since: midnight, label: "today"}
	case "yesterday":
		return period{since: midnight.AddDate(0, 0, -1), label: "since yesterday"}
	case "this week":
		return period{since: midnight.AddDate(0, 0, -int(now.Weekday()+6)%7), label: "this week"}
	}
	for back := 1; back <= 7; back++ {
		if at := midnight.AddDate(0, 0, -back); strings.EqualFold(at.Weekday().String(), day) {
			return period{since: at, label: "since " + at.Weekday().String()}
		}
	}
	return period{}
}

// input is what read_messages is asked for.
func (p period) input() map[string]any {
	in := map[string]any{"limit": 256}
	if p.unread {
		in["unread"] = true
	}
	if !p.since.IsZero() {
		in["since"] = p.since.Format(time.RFC3339)
	}
	return in
}
