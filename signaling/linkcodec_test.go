package signaling

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// readItems cuts data, in parts of so many bytes, into items as text.
func readItems(t testing.TB, data []byte, part int) []string {
	t.Helper()
	var in linkIn
	var got []string
	for rest := range slices.Chunk(data, part) {
		err := in.receive(bytes.Clone(rest), func(kind itemKind, body *itemBody) error {
			got = append(got, string(kind)+string(body.data))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(in.rest) > 0 {
		t.Errorf("%d bytes are left", len(in.rest))
	}
	return got
}

// TestLinkItems: what is put comes out as it was, however it is cut on its way.
func TestLinkItems(t *testing.T) {
	long := strings.Repeat("x", 300)
	var out linkOut
	out.put(itemLine, []byte("hello"), 1)
	out.put(itemClose, []byte("bye"), 300, 4009)
	out.put(itemLine, []byte(long), 1<<40)
	out.put(itemLost, nil, 7, 1)
	data := out.Fill(nil)
	want := []string{"l\x01hello", "c\xac\x02\xa9\x1fbye", "l\x80\x80\x80\x80\x80\x20" + long, "x\x07\x01"}
	for _, part := range []int{1, 2, 7, 256, len(data)} {
		if got := readItems(t, data, part); !slices.Equal(got, want) {
			t.Errorf("in parts of %d: %q", part, got)
		}
	}
	if again := out.Fill(nil); len(again) != 0 {
		t.Errorf("there is more: %q", again)
	}
}

// TestLinkFanOut: a frame for many sessions of one node travels once.
func TestLinkFanOut(t *testing.T) {
	var out linkOut
	frame, other := []byte(`{"type":"chat"}`), []byte(`{"type":"chat"}`)
	for n := range uint64(200) {
		out.send(n, frame, "key")
	}
	out.send(3, other, "key") // equal, but not the same
	out.send(4, other, "")    // the same, but not conflated with it
	data := out.Fill(nil)
	if count := bytes.Count(data, frame); count != 3 {
		t.Errorf("the frames travel %d times", count)
	}
	var got []string
	var in linkIn
	err := in.receive(data, func(_ itemKind, body *itemBody) error {
		key, count := body.text(), body.number()
		for range count {
			got = append(got, fmt.Sprint(key, body.number()))
		}
		if !bytes.Equal(body.data, frame) || body.bad {
			t.Errorf("the frame is %q", body.data)
		}
		return nil
	})
	if err != nil || len(got) != 202 || got[0] != "key0" || got[199] != "key199" || got[200] != "key3" || got[201] != "4" {
		t.Errorf("%d receivers, %v, %v", len(got), got[195:], err)
	}
}

// A closedLink notes that it was closed.
type closedLink struct{ reason string }

func (l *closedLink) Wake()               {}
func (l *closedLink) Close(reason string) { l.reason = reason }

// TestLinkBound: a link that is not read ends, and holds nothing.
func TestLinkBound(t *testing.T) {
	var link closedLink
	var out linkOut
	out.attach(&link)
	large := make([]byte, maxLinkWaiting/2)
	for range 3 {
		out.put(itemJoined, large, 1)
	}
	if link.reason == "" || len(out.Fill(nil)) != 0 {
		t.Error("it goes on")
	}
	out.put(itemLine, []byte("more"), 1)
	if len(out.Fill(nil)) != 0 {
		t.Error("it takes more after its end")
	}
}

// FuzzLinkItems has an edge and an owner read what another node might send.
func FuzzLinkItems(f *testing.F) {
	var out linkOut
	out.put(itemLine, []byte(`{"type":"ping"}`), 1)
	out.put(itemOpen, []byte(`{"n":2,"id":"p","claims":{"User":"u"},"source":"10.0.0.1/32"}`))
	out.put(itemLeft, []byte("roomkicked"), 1, 1, 4)
	out.send(1, []byte("{}"), "key")
	out.put(itemMoved, []byte(`{"type":"join","room":"r"}`), 9)
	out.put(itemLost, nil, 1, 1)
	f.Add(out.Fill(nil), 3)
	f.Add([]byte{0}, 1)
	f.Add([]byte{255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1}, 2)
	w := newWorld(f)
	f.Fuzz(func(_ *testing.T, data []byte, part int) {
		edge := &edgeLink{peers: &peers{server: w.Server}, sessions: map[uint64]*Session{}}
		owner := newOwnerLink(w.Server, &closedLink{})
		for rest := range slices.Chunk(data, max(part, 1)) {
			if edge.Receive(bytes.Clone(rest)) != nil {
				break
			}
		}
		for rest := range slices.Chunk(data, max(part, 1)) {
			if owner.Receive(bytes.Clone(rest)) != nil {
				break
			}
		}
		owner.Ended(nil)
	})
}
