package whip

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

// The fragment of RFC 9725 section 4.3.2, and what clients make of it.
func TestParseFragment(t *testing.T) {
	const ufrag, pwd = "EsAw", "P2uYro0UCOQ4zxjKXaWCBui1"
	const first = "candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1"
	const second = "candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active generation 0"
	for name, c := range map[string]struct {
		text string
		want fragment
		err  error
	}{
		"whole": {
			"a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:" + ufrag + "\r\na=ice-pwd:" + pwd + "\r\na=" + first + "\r\na=" + second + "\r\na=end-of-candidates\r\n",
			fragment{ufrag, pwd, []candidate{{"0", first}, {"0", second}}, true}, nil,
		},
		"credentials above": {
			"a=ice-ufrag:" + ufrag + "\na=ice-pwd:" + pwd + "\nm=audio 9 UDP/TLS/RTP/SAVPF 0\na=mid:audio\na=" + first,
			fragment{ufrag, pwd, []candidate{{"audio", first}}, false}, nil,
		},
		"two sections": {
			"m=audio 9 RTP/AVP 0\r\na=mid:0\r\na=" + first + "\r\nm=video 9 RTP/AVP 0\r\na=" + second + "\r\n",
			fragment{"", "", []candidate{{"0", first}, {"", second}}, false}, nil,
		},
		"the same credentials twice": {
			"a=ice-ufrag:" + ufrag + "\r\na=ice-ufrag:" + ufrag + "\r\na=ice-pwd:" + pwd + "\r\n",
			fragment{ufrag: ufrag, pwd: pwd}, nil,
		},
		"a whole description": {"v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\nc=IN IP4 0.0.0.0\r\na=x:y\r\n", fragment{}, nil},
		"nothing":             {"", fragment{}, nil},
		"blank":               {"\r\n\r\n", fragment{}, nil},
		"words":               {"hello\r\n", fragment{}, errNoLine},
		"other line":          {"z=0\r\n", fragment{}, errNoLine},
		"long name":           {"aa=mid:0\r\n", fragment{}, errNoLine},
		"return in a line":    {"a=candidate:1\ra=mid:1\r\n", fragment{}, errNoLine},
		"no pwd":              {"a=ice-ufrag:" + ufrag + "\r\n", fragment{}, errHalf},
		"no ufrag":            {"a=ice-pwd:" + pwd + "\r\n", fragment{}, errHalf},
		"short ufrag":         {"a=ice-ufrag:abc\r\na=ice-pwd:" + pwd + "\r\n", fragment{}, errCredentials},
		"short pwd":           {"a=ice-ufrag:" + ufrag + "\r\na=ice-pwd:abc\r\n", fragment{}, errCredentials},
		"long ufrag":          {"a=ice-ufrag:" + strings.Repeat("a", 257) + "\r\n", fragment{}, errCredentials},
		"space in ufrag":      {"a=ice-ufrag:ab cd\r\n", fragment{}, errCredentials},
		"two ufrags":          {"a=ice-ufrag:abcd\r\nm=video 9 x 0\r\na=ice-ufrag:efgh\r\n", fragment{}, errManyUfrags},
		"many candidates":     {strings.Repeat("a=candidate:1\r\n", maxFragmentCandidates+1), fragment{}, errManyCandidate},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := parseFragment(c.text)
			if !errors.Is(err, c.err) {
				t.Fatalf("%v; want %v", err, c.err)
			}
			if err == nil && !reflect.DeepEqual(*f, c.want) {
				t.Errorf("%+v; want %+v", *f, c.want)
			}
		})
	}
}

// What is taken from a fragment can stand in one, and is then taken again.
func FuzzParseFragment(f *testing.F) {
	f.Add("a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\na=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=end-of-candidates\r\n")
	f.Add("v=0\na=mid\nm=\na=candidate\na=:\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseFragment(text)
		if err != nil {
			return
		}
		if len(got.candidates) > maxFragmentCandidates || len(got.ufrag) > 256 || len(got.pwd) > 256 {
			t.Fatalf("over the bounds: %+v", got)
		}
		var b strings.Builder
		if got.ufrag != "" {
			b.WriteString("a=ice-ufrag:" + got.ufrag + "\r\na=ice-pwd:" + got.pwd + "\r\n")
		}
		for _, c := range got.candidates {
			if strings.ContainsAny(c.mid+c.line, "\r\n\x00") || !strings.HasPrefix(c.line, "candidate") {
				t.Fatalf("not one line: %q", c)
			}
			b.WriteString("m=audio 9 x 0\r\na=mid:" + c.mid + "\r\na=" + c.line + "\r\n")
		}
		if got.ended {
			b.WriteString("a=end-of-candidates\r\n")
		}
		again, err := parseFragment(b.String())
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Fatalf("%+v became %+v, %v", got, again, err)
		}
	})
}

// An offer of whatever kind is refused or can be restarted and given to media.
func FuzzParseOffer(f *testing.F) {
	f.Add(goodOffer, true)
	f.Add(goodPlayer, false)
	f.Fuzz(func(t *testing.T, text string, publishing bool) {
		what := play
		if publishing {
			what = publish
		}
		o, err := parseOffer(text, what)
		if err != nil {
			return
		}
		before, err := o.signal(0, nil)
		if err != nil {
			return
		}
		next := o.restarted(&fragment{ufrag: "wxyz", pwd: "abcdefghijklmnopqrstuv"})
		if _, err := next.signal(1, nil); err != nil {
			t.Fatalf("the restarted offer: %v", err)
		}
		if after, err := o.signal(0, nil); err != nil || after.Description.SDP != before.Description.SDP {
			t.Fatal("making the restarted offer has changed the first one")
		}
	})
}
