package main

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"confab/cmd/internal/driver"
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
	t.Cleanup(p.Bye)
	if room != "" {
		if _, err := p.Join(room); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// counted counts the lines of a kind that p gets from now on.
func counted(p *person, kind []byte) *atomic.Int64 {
	var n atomic.Int64
	p.Listen(func(line []byte) {
		if driver.IsKind(line, kind) {
			n.Add(1)
		}
	})
	return &n
}

func wantCount(t *testing.T, what string, n *atomic.Int64, want int64) {
	t.Helper()
	if !driver.Await(10*time.Second, func() bool { return n.Load() >= want }) || n.Load() != want {
		t.Errorf("%s: got %d; want %d", what, n.Load(), want)
	}
}

func TestPlainHubDeliversToTheRoomAlone(t *testing.T) {
	s := hubServer(t)
	ada, grace, other := enterHub(t, s, "ada", "one"), enterHub(t, s, "grace", "one"), enterHub(t, s, "linus", "two")
	heard, elsewhere := counted(grace, driver.KindChat), counted(other, driver.KindChat)
	var waited atomic.Int64
	ada.Listen(func(line []byte) {
		if at := driver.SentAt(line); driver.IsKind(line, driver.KindChat) && at > 0 {
			waited.Store(time.Now().UnixNano() - at)
		}
	})
	if err := ada.Say(5); err != nil {
		t.Fatal(err)
	}
	if err := other.Say(1); err != nil {
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
	if err := ada.Say(hubHistory + 10); err != nil {
		t.Fatal(err)
	}
	late := enterHub(t, s, "grace", "")
	got := counted(late, driver.KindChat)
	if _, err := late.Join("one"); err != nil {
		t.Fatal(err)
	}
	wantCount(t, "history", got, hubHistory)

	late.Drop()
	if err := ada.Say(comebackMissed); err != nil {
		t.Fatal(err)
	}
	late.Seq = hubHistory + 10
	if err := late.comeBack(t.Context(), s); err != nil {
		t.Fatal(err)
	}
}

func TestPlainHubTellsWhoComesAndGoes(t *testing.T) {
	s := hubServer(t)
	ada := enterHub(t, s, "ada", "one")
	presence := make(chan []byte, 8)
	ada.Listen(func(line []byte) {
		if driver.IsKind(line, driver.KindPresence) {
			presence <- bytes.Clone(line)
		}
	})
	grace := enterHub(t, s, "grace", "one")
	if line := <-presence; !bytes.Contains(line, driver.EventJoined) || !bytes.Contains(line, []byte("grace")) {
		t.Errorf("got %s", line)
	}
	grace.Drop()
	if line := <-presence; bytes.Contains(line, driver.EventJoined) || !bytes.Contains(line, []byte("grace")) {
		t.Errorf("got %s", line)
	}
}

func TestPlainHubRefuses(t *testing.T) {
	s := hubServer(t)
	if _, err := enter(t.Context(), s, "another secret of thirty-two bytes", "mallory"); err == nil || !strings.Contains(err.Error(), "unauthorized") {
		t.Errorf("a token of another secret: %v", err)
	}
	p := enterHub(t, s, "ada", "")
	p.Room = "one"
	if err := p.Say(1); err == nil || !strings.Contains(err.Error(), "not-joined") {
		t.Errorf("a message to a room not joined: %v", err)
	}
}
