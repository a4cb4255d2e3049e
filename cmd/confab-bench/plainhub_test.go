package main

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const testSecret = "0123456789abcdef0123456789abcdef"

// hubServer serves a plain hub to the driver.
func hubServer(t *testing.T) *server {
	t.Helper()
	web := httptest.NewServer(newPlainHub(testSecret))
	t.Cleanup(web.Close)
	return &server{target: target{name: "plain hub"}, addr: strings.TrimPrefix(web.URL, "http://")}
}

// enterHub connects one person, into a room where one is named.
func enterHub(t *testing.T, s *server, user, room string) *person {
	t.Helper()
	p, err := enter(t.Context(), s, testSecret, user)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.bye)
	if room != "" {
		if err := p.join(room); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// counted counts the lines of a kind that p gets from now on.
func counted(p *person, kind []byte) *atomic.Int64 {
	var n atomic.Int64
	p.listen(func(line []byte) {
		if isKind(line, kind) {
			n.Add(1)
		}
	})
	return &n
}

func wantCount(t *testing.T, what string, n *atomic.Int64, want int64) {
	t.Helper()
	if !await(10*time.Second, func() bool { return n.Load() >= want }) || n.Load() != want {
		t.Errorf("%s: got %d; want %d", what, n.Load(), want)
	}
}

func TestPlainHubDeliversToTheRoomAlone(t *testing.T) {
	s := hubServer(t)
	ada, grace, other := enterHub(t, s, "ada", "one"), enterHub(t, s, "grace", "one"), enterHub(t, s, "linus", "two")
	heard, elsewhere := counted(grace, kindChat), counted(other, kindChat)
	var waited atomic.Int64
	ada.listen(func(line []byte) {
		if at := sentAt(line); isKind(line, kindChat) && at > 0 {
			waited.Store(time.Now().UnixNano() - at)
		}
	})
	if err := ada.say(5); err != nil {
		t.Fatal(err)
	}
	if err := other.say(1); err != nil {
		t.Fatal(err)
	}
	wantCount(t, "chat in the same room", heard, 5)
	wantCount(t, "chat in another", elsewhere, 1)
	if got := time.Duration(waited.Load()); got <= 0 || got > 10*time.Second {
		t.Errorf("the time in a message says that it took %v", got)
	}
}

func TestPlainHubReplaysHistory(t *testing.T) {
	s := hubServer(t)
	ada := enterHub(t, s, "ada", "one")
	if err := ada.say(hubHistory + 10); err != nil {
		t.Fatal(err)
	}
	late := enterHub(t, s, "grace", "")
	got := counted(late, kindChat)
	if err := late.join("one"); err != nil {
		t.Fatal(err)
	}
	wantCount(t, "history", got, hubHistory)

	late.drop()
	if err := ada.say(comebackMissed); err != nil {
		t.Fatal(err)
	}
	late.seq = hubHistory + 10
	if err := late.comeBack(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

func TestPlainHubTellsWhoComesAndGoes(t *testing.T) {
	s := hubServer(t)
	ada := enterHub(t, s, "ada", "one")
	presence := make(chan []byte, 8)
	ada.listen(func(line []byte) {
		if isKind(line, kindPresence) {
			presence <- bytes.Clone(line)
		}
	})
	grace := enterHub(t, s, "grace", "one")
	if line := <-presence; !bytes.Contains(line, eventJoined) || !bytes.Contains(line, []byte("grace")) {
		t.Errorf("got %s", line)
	}
	grace.drop()
	if line := <-presence; bytes.Contains(line, eventJoined) || !bytes.Contains(line, []byte("grace")) {
		t.Errorf("got %s", line)
	}
}

func TestPlainHubRefuses(t *testing.T) {
	s := hubServer(t)
	if _, err := enter(t.Context(), s, "another secret of thirty-two bytes", "mallory"); err == nil || !strings.Contains(err.Error(), "unauthorized") {
		t.Errorf("a token of another secret: %v", err)
	}
	p := enterHub(t, s, "ada", "")
	p.room = "one"
	if err := p.say(1); err == nil || !strings.Contains(err.Error(), "not-joined") {
		t.Errorf("a message to a room not joined: %v", err)
	}
}
