package whip

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"confab/signaling/wire"
)

// patch takes candidates, or restarts ICE.
func (h *Handler) patch(w http.ResponseWriter, r *http.Request) error {
	s, err := h.find(r)
	if err != nil {
		return err
	}
	match := strings.Join(r.Header.Values("If-Match"), ",")
	if match == "" {
		return refuse(http.StatusPreconditionRequired, wire.CodeBadMessage, "say in If-Match which ICE session this is for: its ETag, or * for a new one")
	}
	text, err := h.readBody(w, r, typeFragment, h.limits.FragmentBytes)
	if err != nil {
		w.Header().Set("Accept-Patch", typeFragment) // RFC 5789 section 2.2
		return err
	}
	f, err := parseFragment(text)
	if err != nil {
		return wire.Errorf(wire.CodeBadMessage, "the fragment is malformed: %v", err)
	}
	ctx, cancel := context.WithTimeout(r.Context(), beginTimeout)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return wire.Errorf(wire.CodeUnavailable, "earlier requests of this session take long; try again")
	}
	return s.apply(ctx, w, match, f)
}

// apply does what a fragment asks for. The caller has turn.
func (s *session) apply(ctx context.Context, w http.ResponseWriter, match string, f *fragment) error {
	if !s.allowed(time.Now()) {
		return wire.Errorf(wire.CodeRateLimited, "more than %d requests a second", s.handler.limits.PatchesPerSecond)
	}
	if !matches(match, s.etag) {
		return refuse(http.StatusPreconditionFailed, wire.CodeConflict, "ICE has been restarted since; this is for an earlier session")
	}
	if f.ufrag == "" || f.ufrag == s.offer.ufrag {
		if err := s.trickle(ctx, f); err != nil {
			return err
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	a, err := s.restart(ctx, f)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", typeFragment)
	w.Header().Set("ETag", s.etag)
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(a.fragment()) // a client that does not hear of it restarts again
	return nil
}

// allowed counts a PATCH against the rate.
func (s *session) allowed(now time.Time) bool {
	if now.Sub(s.second) >= time.Second {
		s.second, s.patches = now, 0
	}
	s.patches++
	return s.patches <= s.handler.limits.PatchesPerSecond
}

// trickle passes candidates on. One that cannot be used is left out and the others count (RFC 9725 section 4.3.2).
func (s *session) trickle(ctx context.Context, f *fragment) error {
	for _, c := range f.candidates {
		type init struct {
			Candidate string `json:"candidate"`
			Mid       string `json:"sdpMid,omitempty"`
		}
		raw, err := json.Marshal(init{c.line, c.mid})
		if err != nil {
			return err
		}
		err = s.peer.Signal(ctx, wire.Signal{Candidate: raw, Generation: s.generation})
		switch problem := wire.AsError(err); {
		case err == nil:
		case s.peer.Err() != nil:
			return notThere()
		case problem.Code == wire.CodeBadMessage || problem.Code == wire.CodeTooLarge:
			s.log.Debug("candidate left out", "err", err)
		default:
			return err
		}
	}
	return nil
}

// restart begins a new ICE session (RFC 9725 section 4.3.3). After an error the present one goes on.
func (s *session) restart(ctx context.Context, f *fragment) (*answer, error) {
	next := s.offer.restarted(f)
	signal, err := next.signal(s.generation+1, nil)
	if err != nil {
		return nil, err
	}
	if err := s.peer.Signal(ctx, signal); err != nil {
		if s.peer.Err() != nil {
			return nil, notThere()
		}
		return nil, unprocessable(err)
	}
	s.generation++
	s.offer, s.etag = next, newETag()
	if err := s.trickle(ctx, f); err != nil {
		return nil, err
	}
	return s.mailbox.wait(ctx, s.generation)
}

// matches reads If-Match (RFC 9110 section 13.1.1): *, which some clients quote, or a list of strong entity tags.
func matches(field, etag string) bool {
	for tag := range strings.SplitSeq(field, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || tag == `"*"` || tag == etag {
			return true
		}
	}
	return false
}
