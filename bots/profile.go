package bots

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"confab/signaling/wire"
)

const (
	maxProfiles     = 10_000
	maxProfileBytes = 4 << 10
	profilePatience = 2 * time.Second
)

// profiles keeps what is known of people for as long as their session is in a room.
type profiles struct {
	load func(context.Context, wire.UserID) (string, error)

	mu    sync.Mutex
	known map[wire.ParticipantID]string // guarded by mu
}

func newProfiles(load func(context.Context, wire.UserID) (string, error)) *profiles {
	return &profiles{load: load, known: make(map[wire.ParticipantID]string)}
}

// of returns what is known of somebody, loading it at the first question of their session. An error is no reason not
// to answer; it is tried again with the next question.
func (p *profiles) of(ctx context.Context, who wire.ParticipantID, user wire.UserID) (string, error) {
	if p.load == nil {
		return "", nil
	}
	p.mu.Lock()
	text, known := p.known[who]
	p.mu.Unlock()
	if known {
		return text, nil
	}
	ctx, cancel := context.WithTimeout(ctx, profilePatience)
	defer cancel()
	text, err := p.load(ctx, user)
	if err != nil {
		return "", err
	}
	text = cut(text, maxProfileBytes)
	p.mu.Lock()
	defer p.mu.Unlock()
	if who != "" && len(p.known) < maxProfiles { // who is in no room never leaves one either
		p.known[who] = text
	}
	return text, nil
}

func (p *profiles) forget(who wire.ParticipantID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, who)
}

// ProfilesAt returns what loads profiles from a URL, in which {user} stands for who is asked about.
func ProfilesAt(address string, client *http.Client) func(context.Context, wire.UserID) (string, error) {
	return func(ctx context.Context, user wire.UserID) (string, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.ReplaceAll(address, "{user}", url.PathEscape(string(user))), nil)
		if err != nil {
			return "", errors.New("the address of profiles cannot be used")
		}
		resp, err := client.Do(req)
		if err != nil {
			return "", errors.New("the server of profiles cannot be reached")
		}
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusNotFound {
			return "", nil
		}
		if resp.StatusCode != http.StatusOK {
			return "", fmt.Errorf("the server of profiles answers %d", resp.StatusCode)
		}
		text, err := io.ReadAll(io.LimitReader(resp.Body, maxProfileBytes))
		return strings.ToValidUTF8(string(text), ""), err
	}
}
