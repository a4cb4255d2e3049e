package address

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// room is the one of the corpus.
var room = NewRoom([]Bot{
	{ID: "scribe", User: "bot:scribe", Name: "Scribe", Aliases: []string{"minutes"}},
	{ID: "librarian", User: "bot:librarian", Name: "Librarian", Aliases: []string{"lib"}},
	{ID: "host", User: "bot:host", Name: "Host"},
	{ID: "companion", User: "bot:companion", Name: "Companion"},
	{ID: "helper", User: "bot:helper", Name: "Team Helper", Aliases: []string{"team-helper"}},
	{ID: "katib", User: "bot:katib", Name: "كاتب"},
	{ID: "zoe", User: "bot:zoe", Name: "Zoë"},
	{ID: "kaku", User: "bot:kaku", Name: "かく"},
}, []Person{
	{"ana", "Ana"}, {"ben", "Ben Carter"}, {"chloe", "Chloé"}, {"jose", "José"}, {"omar", "عمر"},
	{"scribner", "Scribner"}, {"jones", "Scribe Jones"}, {"will", "Will"}, {"can", "Can Demir"},
})

// A row is one line of a corpus.
type row struct {
	line      int
	section   string
	want      string
	continues bool
	m         Message
}

// readCorpus reads a corpus, whose format its own head says.
func readCorpus(t *testing.T, path string) []row {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	section, at := "", time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)
	for i, line := range strings.Split(string(data), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		if line[0] == '[' {
			section = strings.Trim(line, "[]")
			continue
		}
		cells := strings.SplitN(line, " | ", 3)
		if len(cells) != 3 {
			t.Fatalf("%s:%d: not three cells", path, i+1)
		}
		r := row{line: i + 1, section: section, want: cells[0]}
		r.m.Text = strings.NewReplacer(`\n`, "\n", `\t`, "\t", `\z`, "\u200b", `\r`, "\u200f").Replace(cells[2])
		r.read(t, strings.Fields(cells[1]), &at)
		rows = append(rows, r)
	}
	return rows
}

func (r *row) read(t *testing.T, words []string, at *time.Time) {
	t.Helper()
	r.m.User = user(words[0])
	for _, w := range words[1:] {
		value := w[1:]
		switch w[0] {
		case '+':
			seconds, err := strconv.Atoi(value)
			if err != nil {
				t.Fatalf("line %d: %v", r.line, err)
			}
			*at, r.continues = at.Add(time.Duration(seconds)*time.Second), true
		case '@':
			for name := range strings.SplitSeq(value, ",") {
				r.m.Mentions = append(r.m.Mentions, user(name))
			}
		case '>':
			r.m.ReplyTo = user(value)
		case '~':
			r.m.Private = value
		case '/':
			r.m.Asker = user(value)
		case '*':
			r.m.Spoken = true
		case '^':
			r.m.Hops = int(value[0] - '0')
		default:
			t.Fatalf("line %d: %q", r.line, w)
		}
	}
	r.m.At = *at
}

// user returns the user of a bot's id or a person.
func user(name string) string {
	if bot := room.byID(name); bot >= 0 {
		return room.bots[bot].User
	}
	return name
}

// got writes a decision as a corpus does; with reasons where want has them.
func (r row) got(d Decision) string {
	if len(d.Answers) == 0 {
		return "-"
	}
	var parts []string
	for _, a := range d.Answers {
		part := a.Bot
		if strings.Contains(r.want, ":") {
			part = fmt.Sprintf("%s:%s", a.Bot, a.Reason)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ",")
}

// TestCorpus holds the decisions against labelled messages. corpus.txt was there while the rules were made; heldout.txt
// was written when they stood, and says how they do on what they were not made for; spoken.txt has what is said aloud.
func TestCorpus(t *testing.T) {
	total := 0
	for _, file := range []string{"corpus.txt", "heldout.txt", "spoken.txt"} {
		t.Run(file, func(t *testing.T) {
			rows := readCorpus(t, "testdata/"+file)
			total += len(rows)
			checkCorpus(t, rows)
		})
	}
	if total < 240 {
		t.Errorf("%d lines in all", total)
	}
}

func checkCorpus(t *testing.T, rows []row) {
	t.Helper()
	var c *Conversation
	right, all := map[string]int{}, map[string]int{}
	for _, r := range rows {
		if !r.continues {
			c = &Conversation{}
		}
		d := c.Decide(room, r.m)
		if (len(d.Answers) == 0) != (d.Silence != "") {
			t.Errorf("line %d: %+v", r.line, d)
		}
		all[r.section]++
		if r.got(d) == r.want {
			right[r.section]++
		} else {
			t.Logf("line %d [%s] %q: want %s, got %s %s", r.line, r.section, r.m.Text, r.want, r.got(d), d.Silence)
		}
	}
	exact := []string{"code", "quote", "loops"} // where a mistake is a bot that acts on what nobody told it
	sumRight, sumAll := 0, 0
	for section, n := range all {
		sumRight, sumAll = sumRight+right[section], sumAll+n
		if slices.Contains(exact, section) && right[section] < n {
			t.Errorf("[%s] %d of %d are right", section, right[section], n)
		}
	}
	t.Logf("%d of %d are right: %.1f %%", sumRight, sumAll, 100*float64(sumRight)/float64(sumAll))
	if sumRight*100 < sumAll*95 {
		t.Errorf("%d of %d are right", sumRight, sumAll)
	}
}
