package builtin

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // a server in a container often has no time zones of its own

	"confab/bots/tool"
)

// zones are the time zones of places that people name.
var zones = map[string]string{
	"utc": "UTC", "gmt": "UTC", "london": "Europe/London", "uk": "Europe/London", "dublin": "Europe/Dublin", "lisbon": "Europe/Lisbon", "madrid": "Europe/Madrid",
	"barcelona": "Europe/Madrid", "spain": "Europe/Madrid", "paris": "Europe/Paris", "lyon": "Europe/Paris", "france": "Europe/Paris", "berlin": "Europe/Berlin",
	"munich": "Europe/Berlin", "hamburg": "Europe/Berlin", "germany": "Europe/Berlin", "cet": "Europe/Berlin", "vienna": "Europe/Vienna", "zurich": "Europe/Zurich",
	"zürich": "Europe/Zurich", "geneva": "Europe/Zurich", "rome": "Europe/Rome", "milan": "Europe/Rome", "italy": "Europe/Rome", "amsterdam": "Europe/Amsterdam",
	"brussels": "Europe/Brussels", "copenhagen": "Europe/Copenhagen", "oslo": "Europe/Oslo", "stockholm": "Europe/Stockholm", "helsinki": "Europe/Helsinki",
	"warsaw": "Europe/Warsaw", "prague": "Europe/Prague", "budapest": "Europe/Budapest", "athens": "Europe/Athens", "bucharest": "Europe/Bucharest",
	"kyiv": "Europe/Kyiv", "kiev": "Europe/Kyiv", "moscow": "Europe/Moscow", "istanbul": "Europe/Istanbul", "cairo": "Africa/Cairo", "egypt": "Africa/Cairo",
	"casablanca": "Africa/Casablanca", "tunis": "Africa/Tunis", "algiers": "Africa/Algiers", "lagos": "Africa/Lagos", "nairobi": "Africa/Nairobi",
	"johannesburg": "Africa/Johannesburg", "riyadh": "Asia/Riyadh", "jeddah": "Asia/Riyadh", "dubai": "Asia/Dubai", "abu dhabi": "Asia/Dubai", "doha": "Asia/Qatar",
	"kuwait": "Asia/Kuwait", "baghdad": "Asia/Baghdad", "beirut": "Asia/Beirut", "amman": "Asia/Amman", "damascus": "Asia/Damascus", "jerusalem": "Asia/Jerusalem",
	"tel aviv": "Asia/Jerusalem", "tehran": "Asia/Tehran", "karachi": "Asia/Karachi", "delhi": "Asia/Kolkata", "mumbai": "Asia/Kolkata", "india": "Asia/Kolkata",
	"bangalore": "Asia/Kolkata", "dhaka": "Asia/Dhaka", "bangkok": "Asia/Bangkok", "jakarta": "Asia/Jakarta", "singapore": "Asia/Singapore", "manila": "Asia/Manila",
	"hong kong": "Asia/Hong_Kong", "beijing": "Asia/Shanghai", "shanghai": "Asia/Shanghai", "china": "Asia/Shanghai", "taipei": "Asia/Taipei", "seoul": "Asia/Seoul",
	"tokyo": "Asia/Tokyo", "japan": "Asia/Tokyo", "sydney": "Australia/Sydney", "melbourne": "Australia/Melbourne", "perth": "Australia/Perth",
	"auckland": "Pacific/Auckland", "honolulu": "Pacific/Honolulu", "hawaii": "Pacific/Honolulu", "anchorage": "America/Anchorage",
	"san francisco": "America/Los_Angeles", "los angeles": "America/Los_Angeles", "la": "America/Los_Angeles", "seattle": "America/Los_Angeles",
	"pst": "America/Los_Angeles", "pt": "America/Los_Angeles", "vancouver": "America/Vancouver", "denver": "America/Denver", "chicago": "America/Chicago",
	"dallas": "America/Chicago", "austin": "America/Chicago", "new york": "America/New_York", "nyc": "America/New_York", "boston": "America/New_York",
	"washington": "America/New_York", "miami": "America/New_York", "est": "America/New_York", "et": "America/New_York", "toronto": "America/Toronto",
	"montreal": "America/Toronto", "mexico city": "America/Mexico_City", "bogota": "America/Bogota", "lima": "America/Lima", "santiago": "America/Santiago",
	"buenos aires": "America/Argentina/Buenos_Aires", "sao paulo": "America/Sao_Paulo", "são paulo": "America/Sao_Paulo", "rio": "America/Sao_Paulo",
}

// zone finds a place or an IANA name.
func zone(place string) *time.Location {
	place = strings.TrimSpace(strings.TrimPrefix(strings.ToLower(strings.Trim(place, " ?.!,")), "the "))
	name := zones[place]
	if name == "" && strings.Contains(place, "/") && len(place) < 64 && !strings.Contains(place, ".") {
		parts := strings.Split(place, "/")
		for i, p := range parts {
			parts[i] = upperFirst(p)
		}
		name = strings.Join(parts, "/")
	}
	if name == "" {
		return nil
	}
	at, err := time.LoadLocation(name)
	if err != nil {
		return nil
	}
	return at
}

// timeAt answers "what time is it", "what time is it in Tokyo".
func timeAt(t *turn, m []string) (string, error) {
	if m[1] == "" {
		return "It is " + t.Now.Format("15:04") + " (" + t.Now.Format("MST, Monday 2 January 2006") + ").", nil
	}
	at := zone(m[1])
	if at == nil {
		return "I do not know the time zone of " + tool.Plain(strings.Trim(m[1], " ?.!"), 60) + ". Large cities and names such as Europe/Berlin I do.", nil
	}
	return "In " + tool.Plain(strings.Trim(m[1], " ?.!"), 60) + " it is **" + t.Now.In(at).Format("15:04") + "** (" + t.Now.In(at).Format("Monday 2 January, MST") + ").", nil
}

// timeBetween answers "15:00 Berlin in New York".
func timeBetween(t *turn, m []string) (string, error) {
	from, to := zone(m[4]), zone(m[5])
	if from == nil || to == nil {
		return "", errNotThis
	}
	now := t.Now.In(from)
	h, minute := atoi(m[1]), atoi(m[2])
	switch half := strings.ToLower(m[3]); {
	case half == "" && m[2] == "":
		return "", errNotThis // a mere number
	case half == "pm" && h < 12:
		h += 12
	case half == "am" && h == 12:
		h = 0
	}
	if h > 23 || minute > 59 {
		return "", errNotThis
	}
	there := time.Date(now.Year(), now.Month(), now.Day(), h, minute, 0, 0, from)
	here := there.In(to)
	day := ""
	switch {
	case here.YearDay() == there.YearDay():
	case here.Before(time.Date(there.Year(), there.Month(), there.Day(), 0, 0, 0, 0, to)):
		day = " the day before"
	default:
		day = " the day after"
	}
	return fmt.Sprintf("%s in %s is **%s**%s in %s.", there.Format("15:04"), tool.Plain(strings.TrimSpace(m[4]), 60), here.Format("15:04"), day, tool.Plain(strings.Trim(m[5], " ?.!"), 60)), nil
}

var (
	isoDate   = lazy(`^(\d{4})-(\d{1,2})-(\d{1,2})$`)
	dotDate   = lazy(`^(\d{1,2})\.(\d{1,2})\.(\d{4}|\d{2})?$`)
	dayMonth  = lazy(`(?i)^(?:the )?(\d{1,2})(?:st|nd|rd|th)?(?: of)?\s+(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?,?(?:\s+(\d{4}))?$`)
	monthDay  = lazy(`(?i)^(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\s+(\d{1,2})(?:st|nd|rd|th)?(?:,?\s+(\d{4}))?$`)
	feasts    = map[string][2]int{"christmas": {12, 25}, "christmas eve": {12, 24}, "new year": {1, 1}, "new year's day": {1, 1}, "new year's eve": {12, 31}, "halloween": {10, 31}, "valentine's day": {2, 14}}
	monthList = "janfebmaraprmayjunjulaugsepoctnovdec"
)

// date reads a day. One without a year is the next of that name when ahead, else the last.
func date(text string, now time.Time, ahead bool) (time.Time, bool) {
	text = strings.ToLower(strings.Trim(text, " ?.!"))
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, now.Location())
	year, month, day := 0, 0, 0
	switch {
	case text == "today":
		return today, true
	case text == "tomorrow":
		return today.AddDate(0, 0, 1), true
	case text == "yesterday":
		return today.AddDate(0, 0, -1), true
	case isoDate().MatchString(text):
		m := isoDate().FindStringSubmatch(text)
		year, month, day = atoi(m[1]), atoi(m[2]), atoi(m[3])
	case dotDate().MatchString(text + "."):
		m := dotDate().FindStringSubmatch(text + ".")
		day, month, year = atoi(m[1]), atoi(m[2]), atoi(m[3])
	case dotDate().MatchString(text):
		m := dotDate().FindStringSubmatch(text)
		day, month, year = atoi(m[1]), atoi(m[2]), atoi(m[3])
		if year > 0 && year < 100 {
			year += 2000
		}
	case dayMonth().MatchString(text):
		m := dayMonth().FindStringSubmatch(text)
		day, month, year = atoi(m[1]), strings.Index(monthList, m[2])/3+1, atoi(m[3])
	case monthDay().MatchString(text):
		m := monthDay().FindStringSubmatch(text)
		month, day, year = strings.Index(monthList, m[1])/3+1, atoi(m[2]), atoi(m[3])
	default:
		if feast, ok := feasts[text]; ok {
			month, day = feast[0], feast[1]
			break
		}
		return weekday(text, today, ahead)
	}
	if month < 1 || month > 12 || day < 1 || day > 31 {
		return time.Time{}, false
	}
	at := time.Date(year, time.Month(month), day, 0, 0, 0, 0, now.Location())
	if year == 0 {
		at = time.Date(now.Year(), time.Month(month), day, 0, 0, 0, 0, now.Location())
		switch {
		case ahead && at.Before(today):
			at = at.AddDate(1, 0, 0)
		case !ahead && at.After(today):
			at = at.AddDate(-1, 0, 0)
		}
	}
	return at, at.Day() == day // there is no 31 April
}

func weekday(text string, today time.Time, ahead bool) (time.Time, bool) {
	text = strings.TrimPrefix(strings.TrimPrefix(text, "next "), "last ")
	for n := 1; n <= 7; n++ {
		at := today.AddDate(0, 0, n)
		if !ahead {
			at = today.AddDate(0, 0, -n)
		}
		if strings.EqualFold(at.Weekday().String(), text) {
			return at, true
		}
	}
	return time.Time{}, false
}

const longDate = "Monday 2 January 2006"

// daysUntil answers "how many days until 24 December", and since.
func daysUntil(t *turn, m []string) (string, error) {
	until := strings.EqualFold(m[1], "until") || strings.EqualFold(m[1], "till") || strings.EqualFold(m[1], "to")
	at, ok := date(m[2], t.Now, until)
	if !ok {
		return "", errNotThis
	}
	today, _ := date("today", t.Now, true)
	// Rounded, since a day of a change of the clock has another length.
	days := int(at.Sub(today).Round(24*time.Hour) / (24 * time.Hour))
	if days < 0 {
		return fmt.Sprintf("%s was **%s** ago.", at.Format(longDate), counted(-days, "day")), nil
	}
	return fmt.Sprintf("It is **%s** to %s.", counted(days, "day"), at.Format(longDate)), nil
}

// dayOf answers "what day is 2026-03-01".
func dayOf(t *turn, m []string) (string, error) {
	at, ok := date(m[1], t.Now, true)
	if !ok {
		return "", errNotThis
	}
	_, week := at.ISOWeek()
	return fmt.Sprintf("**%s**, week %d.", at.Format(longDate), week), nil
}

// dayIn answers "what is the date in 3 weeks".
func dayIn(t *turn, m []string) (string, error) {
	n, known := numbers[strings.ToLower(m[1])]
	if !known {
		n = float64(atoi(m[1]))
	}
	if strings.EqualFold(m[3], "ago") {
		n = -n
	}
	at := t.Now
	switch strings.ToLower(m[2])[0] {
	case 'd':
		at = at.AddDate(0, 0, int(n))
	case 'w':
		at = at.AddDate(0, 0, 7*int(n))
	case 'm':
		at = at.AddDate(0, int(n), 0)
	default:
		at = at.AddDate(int(n), 0, 0)
	}
	return "**" + at.Format(longDate) + "**.", nil
}

func dateToday(t *turn, _ []string) (string, error) {
	_, week := t.Now.ISOWeek()
	return fmt.Sprintf("Today is **%s**, week %d.", t.Now.Format(longDate), week), nil
}
