package endpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"confab/bots/provider"
)

// gather runs fn on a Collector and returns what was emitted.
func gather(t *testing.T, fn func(c *Collector)) (text, thinking string, turn provider.Turn, err error) {
	t.Helper()
	c := NewCollector(func(p provider.Part) {
		if (p.Text == "") == (p.Thinking == "") || !utf8.ValidString(p.Text+p.Thinking) {
			t.Errorf("emitted %q", p)
		}
		text += p.Text
		thinking += p.Thinking
	})
	fn(c)
	err = c.finish()
	return text, thinking, c.turn, err
}

// raws reads JSON strings as pieces of a text.
func raws(t testing.TB, literals ...string) []Raw {
	t.Helper()
	list := make([]Raw, len(literals))
	for i, literal := range literals {
		if err := list[i].UnmarshalJSON([]byte(literal)); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// TestPieces joins characters that were cut apart between events.
func TestPieces(t *testing.T) {
	tests := map[string]struct {
		literals []string
		want     string
	}{
		"whole":                   {[]string{`"für "`, `"日本"`, `"👩‍🔬"`}, "für 日本👩‍🔬"},
		"escapes":                 {[]string{`"\"\\\/\b\f\n\r\t\u0041\u65e5"`}, "\"\\/\b\f\n\r\tA日"},
		"a pair in one event":     {[]string{`"a\ud83d\ude00b"`}, "a😀b"},
		"a pair in two":           {[]string{`"a\ud83d"`, `"\ude00b"`}, "a😀b"},
		"a pair and an empty one": {[]string{`"a\ud83d"`, `""`, `"\ude00b"`}, "a😀b"},
		"two pairs":               {[]string{`"\ud83d"`, `"\ude00\ud83d"`, `"\ude01"`}, "😀😁"},
		"two bytes in two":        {[]string{"\"f\xc3\"", "\"\xbcr\""}, "für"},
		"four bytes in four":      {[]string{"\"\xf0\"", "\"\x9f\"", "\"\x98\"", "\"\x80!\""}, "😀!"},
		"half a pair for good":    {[]string{`"a\ud83d"`, `"b"`}, "a\ufffdb"},
		"half at the end":         {[]string{`"a\ud83d"`}, "a\ufffd"},
		"the wrong half":          {[]string{`"a\ude00b"`}, "a\ufffdb"},
		"a byte at the end":       {[]string{"\"a\xe6\x97\""}, "a\ufffd"},
		"no UTF-8":                {[]string{"\"a\xff\"", `"b"`}, "a\ufffdb"},
		"null":                    {[]string{`"a"`, `null`, `"b"`}, "ab"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			text, _, _, err := gather(t, func(c *Collector) {
				for _, piece := range raws(t, test.literals...) {
					c.Text(piece)
				}
			})
			if text != test.want || err != nil {
				t.Errorf("%q, %v; want %q", text, err, test.want)
			}
		})
	}
}

func TestRawWantsAString(t *testing.T) {
	for _, text := range []string{`{"x":1}`, `{"x":{}}`, `{"x":[]}`, `{"x":true}`} {
		var v struct{ X Raw }
		if err := json.Unmarshal([]byte(text), &v); err == nil {
			t.Errorf("%s was taken as %q", text, v.X)
		}
	}
}

// TestTextBound: at the bound an answer is over, at the end of a character.
func TestTextBound(t *testing.T) {
	text, _, turn, err := gather(t, func(c *Collector) {
		c.Text(Raw(strings.Repeat("x", MaxText-1)))
		if c.over {
			t.Error("over before the bound")
		}
		c.Text("ü and more")
		if !c.over {
			t.Error("not over at the bound")
		}
	})
	if len(text) != MaxText-1 || turn.Stop != provider.Length || err != nil {
		t.Errorf("%d bytes, %s, %v", len(text), turn.Stop, err)
	}
}

// TestThinkingBound: thoughts that are too long are left out; the answer goes on.
func TestThinkingBound(t *testing.T) {
	text, thinking, turn, err := gather(t, func(c *Collector) {
		for range 3 {
			c.Thinking(Raw(strings.Repeat("x", MaxThinking/2+1)))
		}
		c.Text("a")
		c.End(provider.Stopped)
	})
	if len(thinking) != MaxThinking || text != "a" || turn.Stop != provider.Stopped || err != nil {
		t.Errorf("%d bytes of thoughts, %q, %s, %v", len(thinking), text, turn.Stop, err)
	}
}

type calling struct{ id, name, args string }

// TestCalls holds what becomes of calls at the end of a turn.
func TestCalls(t *testing.T) {
	tests := map[string]struct {
		calls []calling
		stop  provider.Stop
		want  []calling
		ends  provider.Stop
		err   error
	}{
		"one":             {[]calling{{"1", "a", `{"x":1}`}}, provider.Tools, []calling{{"1", "a", `{"x":1}`}}, provider.Tools, nil},
		"no reason given": {[]calling{{"1", "a", `{}`}}, provider.Stopped, []calling{{"1", "a", `{}`}}, provider.Tools, nil},
		"reason, no call": {nil, provider.Tools, nil, provider.Stopped, nil},
		"no arguments":    {[]calling{{"1", "a", ""}, {"2", "b", " null "}}, provider.Tools, []calling{{"1", "a", "{}"}, {"2", "b", "{}"}}, provider.Tools, nil},
		"IDs to be made":  {[]calling{{"", "a", ""}, {"x", "b", ""}, {"x", "c", ""}, {"call_0", "d", ""}}, provider.Tools, []calling{{"call_0", "a", "{}"}, {"x", "b", "{}"}, {"call_2", "c", "{}"}, {"call_0", "d", "{}"}}, provider.Tools, nil},
		"cut by length":   {[]calling{{"1", "a", `{"x`}}, provider.Length, nil, provider.Length, nil},
		"refused":         {[]calling{{"1", "a", `{}`}}, provider.Refused, nil, provider.Refused, nil},
		"no name":         {[]calling{{"1", "", `{}`}}, provider.Tools, nil, provider.Tools, errName},
		"a long name":     {[]calling{{"1", strings.Repeat("a", 129), `{}`}}, provider.Tools, nil, provider.Tools, errName},
		"not whole":       {[]calling{{"1", "a", `{"x":`}}, provider.Tools, nil, provider.Tools, errNoObject},
		"a list":          {[]calling{{"0", "a", "{}"}, {"1", "a", `[]`}}, provider.Tools, nil, provider.Tools, errNoObject},
		"two objects":     {[]calling{{"1", "a", `{}{}`}}, provider.Tools, nil, provider.Tools, errNoObject},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, turn, err := gather(t, func(c *Collector) {
				for i, in := range test.calls {
					call, err := c.Call(i)
					if err != nil {
						t.Fatal(err)
					}
					call.ID, call.Name = in.id, in.name
					for j := range len(in.args) { // bytewise
						if err := c.Arguments(call, Raw(in.args[j:j+1])); err != nil {
							t.Fatal(err)
						}
					}
				}
				c.End(test.stop)
			})
			var got []calling
			ids := map[string]bool{}
			for i, call := range turn.Calls {
				got = append(got, calling{call.ID, call.Name, string(call.Input)})
				if ids[call.ID] {
					t.Errorf("two calls have the ID %s", call.ID)
				}
				ids[call.ID] = true
				if i == 3 { // whose ID was taken
					got[i].id = test.want[i].id
				}
			}
			if !reflect.DeepEqual(got, test.want) || turn.Stop != test.ends || !errors.Is(err, test.err) {
				t.Errorf("%v, %s, %v; want %v, %s, %v", got, turn.Stop, err, test.want, test.ends, test.err)
			}
			if e, ok := errors.AsType[*provider.Error](err); err != nil && (!ok || e.Code != provider.Broken) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestCallBounds(t *testing.T) {
	gather(t, func(c *Collector) {
		for i := range MaxCalls {
			if _, err := c.Call(i); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := c.Call(MaxCalls); !errors.Is(err, errCalls) {
			t.Errorf("call %d: %v", MaxCalls+1, err)
		}
		first, _ := c.Call(0)
		second, _ := c.Call(1)
		if err := c.Arguments(first, Raw(strings.Repeat("x", MaxArguments))); err != nil {
			t.Error(err)
		}
		if err := c.Arguments(second, "x"); !errors.Is(err, errArguments) {
			t.Errorf("over the bound: %v", err)
		}
	})
}

// TestUsage: counts come in parts, and what is not said again stands.
func TestUsage(t *testing.T) {
	_, _, turn, _ := gather(t, func(c *Collector) {
		c.Usage(provider.Usage{Input: 10, Cached: 4, Output: 1})
		c.Usage(provider.Usage{Output: 7})
		c.Usage(provider.Usage{})
		c.Model("m")
		c.Model("")
	})
	if want := (provider.Usage{Input: 10, Cached: 4, Output: 7}); turn.Usage != want || turn.Model != "m" {
		t.Errorf("%+v, %q", turn.Usage, turn.Model)
	}
}

// FuzzPieces: text that is cut into pieces anywhere, and pieces of any bytes, come out as UTF-8, and whole where they
// were.
func FuzzPieces(f *testing.F) {
	f.Add("für 日本 👩‍🔬", uint8(1))
	f.Add("\xed\xa0\xbd\xed\xb8\x80", uint8(3))
	f.Add("a\xf0\x9f", uint8(2))
	f.Fuzz(func(t *testing.T, text string, size uint8) {
		var j joiner
		var out strings.Builder
		for rest := text; rest != ""; {
			n := min(int(size)+1, len(rest))
			piece := j.join(Raw(rest[:n]))
			if !utf8.ValidString(piece) || len(j.held) > 3 {
				t.Fatalf("%q, holding %q", piece, j.held)
			}
			out.WriteString(piece)
			rest = rest[n:]
		}
		out.WriteString(j.rest())
		if utf8.ValidString(text) && out.String() != text {
			t.Errorf("%q became %q", text, out.String())
		}
		literal, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		var raw Raw
		if err := raw.UnmarshalJSON(literal); err != nil || utf8.ValidString(text) && string(raw) != text {
			t.Errorf("%s became %q (%v)", literal, raw, err)
		}
	})
}

// FuzzFailure: what a server says of an error is never repeated but in words.
func FuzzFailure(f *testing.F) {
	f.Add([]byte(`{"error":{"message":"m","type":"t","code":"c","param":null}}`), 400)
	f.Add([]byte(`{"type":"error","error":{"type":"overloaded_error"}}`), 529)
	f.Add([]byte(`{"error":"x"}`), 500)
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		e := New(Options{Provider: "fake", Key: provider.NewKey("sk-0123456789"), URL: "http://fake.test/"})
		var failure Failure
		if json.Unmarshal(body, &failure) != nil {
			return
		}
		text := fmt.Sprint(e.reported(&failure), e.told(&failure, status))
		if strings.Contains(text, "sk-0123456789") || len(text) > 512 {
			t.Errorf("told: %s", text)
		}
		if failure.code(status) == "" {
			t.Error("no code")
		}
	})
}
