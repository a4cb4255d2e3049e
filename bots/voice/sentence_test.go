package voice

import (
	"reflect"
	"testing"
)

func TestSplitter(t *testing.T) {
	tests := map[string]struct {
		text string
		want []string
	}{
		"sentences":      {"We ship on Friday. Ana writes the notes! Is that so? Yes", []string{"We ship on Friday.", "Ana writes the notes!", "Is that so?", "Yes"}},
		"short ones":     {"Yes. We ship on Friday.", []string{"Yes. We ship on Friday."}},
		"abbreviations":  {"Ask Dr. Smith, e.g. on 3. May at 4.30 p.m. in room B. That is all.", []string{"Ask Dr. Smith, e.g. on 3. May at 4.30 p.m. in room B. That is all."}},
		"an ellipsis":    {"Let me think about it... It is Friday.", []string{"Let me think about it...", "It is Friday."}},
		"quotes":         {"She said \"ship it.\" Then she left the room.", []string{"She said \"ship it.\"", "Then she left the room."}},
		"other writing":  {"金曜日に出荷することに決めました。本当です。", []string{"金曜日に出荷することに決めました。", "本当です。"}},
		"headings":       {"# Decisions\nWe ship on Friday.\n", []string{"Decisions", "We ship on Friday."}},
		"lists":          {"- one thing\n* another thing\n1. the first\n12) the last\n- [x] done\n  - within\n", []string{"one thing", "another thing", "the first", "the last", "done", "within"}},
		"a quotation":    {"> We ship on Friday.\n> > Really?\n", []string{"We ship on Friday.", "Really?"}},
		"emphasis":       {"We **ship** on _Friday_, ~~not~~ on `Monday` with snake_case.", []string{"We ship on Friday, not on Monday with snake_case."}},
		"links":          {"See [the notes. All of them](https://example.org/a?b=c) and https://example.org/x/y and <https://go.dev>.", []string{"See the notes. All of them and example.org and go.dev."}},
		"citations":      {"We ship on Friday ([12:04 Ana](#m123)). So it is [12:05 Ben](#m124).", []string{"We ship on Friday.", "So it is."}},
		"pictures, tags": {"<b>See</b> ![a cat](https://example.org/cat.png)<br/> here and there.", []string{"See a cat here and there."}},
		"code":           {"Run this:\n```go\nfmt.Println(\"Hello. World. \")\n```\nThat is all.", []string{"Run this:", codeNote, "That is all."}},
		"code that ends": {"Run this:\n~~~\nrm -rf. \n", []string{"Run this:", codeNote}},
		"tables":         {"Here it is:\n| a | b |\n|---|---|\n| 1. x | 2 |\nSo much for that.\n| c |\n", []string{"Here it is:", tableNote, "So much for that.", tableNote}},
		"rules":          {"One thing here.\n\n---\n\n***\nAnother one.", []string{"One thing here.", "Another one."}},
		"escapes":        {"It costs 2\\*3 euros \\_today\\_.", []string{"It costs 2*3 euros _today_."}},
		"nothing":        {"\n\n--- \n!!! ...\n", nil},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			whole := &splitter{}
			want := append(whole.write(test.text), whole.end()...)
			if got := texts(want); !reflect.DeepEqual(got, test.want) {
				t.Errorf("%q, not %q", got, test.want)
			}
			var pieces splitter
			var got []sentence
			for _, r := range test.text {
				got = append(got, pieces.write(string(r))...)
			}
			if got = append(got, pieces.end()...); !reflect.DeepEqual(got, want) {
				t.Errorf("character by character %v, not %v", got, want)
			}
		})
	}
}

func texts(all []sentence) (texts []string) {
	for _, s := range all {
		texts = append(texts, s.text)
	}
	return texts
}

// A sentence is there as soon as it is whole, and knows its place in UTF-16.
func TestSplitterTellsPlaces(t *testing.T) {
	var s splitter
	if got := s.write("# A 😀 heading\nWe ship on Friday. And"); !reflect.DeepEqual(got, []sentence{
		{"A 😀 heading", 2, 15}, {"We ship on Friday.", 15, 34},
	}) {
		t.Errorf("%v", got)
	}
	if got := s.end(); !reflect.DeepEqual(got, []sentence{{"And", 34, 37}}) {
		t.Errorf("the rest: %v", got)
	}
}

// What has no end is cut at a pause, and never within a character.
func TestSplitterCutsWhatIsTooLong(t *testing.T) {
	for name, piece := range map[string]string{"words": "never ending words, ", "no spaces": "日本語", "one letter": "x"} {
		var s splitter
		var got []sentence
		for range 1500 {
			got = append(got, s.write(piece)...)
		}
		got = append(got, s.end()...)
		all := ""
		for _, one := range got {
			if len(one.text) > maxSentence {
				t.Errorf("%s: %d bytes", name, len(one.text))
			}
			all += one.text
		}
		if len(got) < 2 || len(all) < 1500*(len(piece)-2) || got[len(got)-1].end < 1500*utf16Length(piece)-1 {
			t.Errorf("%s: %d sentences of %d bytes to %d", name, len(got), len(all), got[len(got)-1].end)
		}
	}
}

func FuzzSplitter(f *testing.F) {
	f.Add("# A\n- b. c\n```\nd\n```\n| e |")
	f.Add("1. [x](y. z) **b** `c` 日本。")
	f.Fuzz(func(t *testing.T, text string) {
		var s splitter
		var got []sentence
		for _, r := range text {
			got = append(got, s.write(string(r))...)
		}
		got = append(got, s.end()...)
		last := 0
		for _, one := range got {
			if one.begin < last || one.end <= one.begin || one.text == "" || len(one.text) > maxSentence+4 {
				t.Fatalf("%+v after %d", one, last)
			}
			last = one.end
		}
	})
}
