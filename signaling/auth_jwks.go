package signaling

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/MicahParks/jwkset"
	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"
)

// asymmetric are the algorithms whose keys a JWK set may hold (RFC 7518 section 3.1, RFC 8037 section 3.1).
var asymmetric = []string{
	jwt.SigningMethodRS256.Alg(), jwt.SigningMethodES256.Alg(), jwt.SigningMethodEdDSA.Alg(),
}

const (
	jwksEvery    = 15 * time.Minute // a key that was taken back is refused after this at the latest
	jwksLeast    = time.Minute      // between fetches of a set whose Cache-Control wants more of them
	jwksRetry    = 30 * time.Second // after a failure
	jwksKept     = 24 * time.Hour   // a set that cannot be fetched again is trusted for so long
	jwksTimeout  = 5 * time.Second  // for one fetch
	jwksUnknown  = 5 * time.Second  // between fetches for unknown key ids: anybody can send those
	maxJWKSBytes = 1 << 20
	maxJWKSKeys  = 64       // a token without a key id is tried with all of them
	minRSABytes  = 2048 / 8 // RFC 7518 section 3.3
)

var (
	errNoKeys     = errors.New("no keys loaded")
	errUnknownKey = errors.New("unknown key id")
	// errNotNow: the key id is unknown, and whether that is right cannot be found out now.
	errNotNow = errors.New("the key cannot be looked for now")
	// errUnreachable: nobody answered, or only to say that the service is down.
	errUnreachable = errors.New("not reachable")
	errTooBig      = errors.New("larger than 1 MiB; that is no JWK set")
)

// A keySource is a JWK set at a file or a URL. Methods may be called from any goroutine; run has one owner.
type keySource struct {
	// Set by openKeySource, then constant.
	at      string
	client  *http.Client
	log     *slog.Logger
	storage jwkset.Storage // safe for concurrent use; replaced as a whole
	keys    keyfunc.Keyfunc
	unknown *rate.Limiter
	loading chan struct{} // taken by who loads; never closed

	begun atomic.Int64 // loads

	// Owned by who loads.
	failed bool          // the last load
	good   time.Time     // when the set was last read, zero = never
	fresh  time.Duration // how long it is to be used from then on, unless a token asks for another key
}

func newKeySource(at string, client *http.Client, log *slog.Logger) (*keySource, error) {
	if client == nil {
		// No connection is kept for a request every quarter of an hour.
		client = &http.Client{Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}}
	}
	storage := jwkset.NewMemoryStorage()
	keys, err := keyfunc.New(keyfunc.Options{Storage: storage})
	if err != nil {
		return nil, fmt.Errorf("preparing the JWK set: %w", err)
	}
	return &keySource{
		at: at, client: client, log: log.With("jwks", describe(at)), storage: storage, keys: keys,
		unknown: rate.NewLimiter(rate.Every(jwksUnknown), 1), loading: make(chan struct{}, 1),
	}, nil
}

// openKeySource loads the set for the first time. See OpenKeyring for what is an error.
func openKeySource(ctx context.Context, at string, client *http.Client, log *slog.Logger) (*keySource, error) {
	s, err := newKeySource(at, client, log)
	if err != nil {
		return nil, err
	}
	err = s.load(ctx)
	switch {
	case err == nil:
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, errUnreachable):
		s.log.Error("JWK set not loaded: tokens signed with its keys are refused until it is; check --auth-jwks and "+
			"that this machine can reach it", "err", err)
	default:
		return nil, fmt.Errorf("JWK set %s: %w", describe(at), err)
	}
	return s, nil
}

// CheckJWKS reads the JWK set at a file or URL once and says what is wrong with it.
func CheckJWKS(ctx context.Context, at string) error {
	s, err := newKeySource(at, nil, slog.New(slog.DiscardHandler))
	if err == nil {
		err = s.load(ctx)
	}
	if err != nil {
		return fmt.Errorf("JWK set %s: %w", describe(at), err)
	}
	return nil
}

// describe is a location without what may be secret in a URL.
func describe(at string) string {
	u, err := url.Parse(at)
	if err != nil || !isURL(at) {
		return at
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}

func isURL(at string) bool {
	return strings.HasPrefix(at, "http://") || strings.HasPrefix(at, "https://")
}

// run loads the set again and again until ctx ends.
func (s *keySource) run(ctx context.Context) {
	wait := s.freshFor(ctx)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
		wait = s.reload(ctx)
	}
}

// freshFor returns when the set is to be read next. Errors of ctx are the caller's to see.
func (s *keySource) freshFor(ctx context.Context) time.Duration {
	if s.take(ctx) != nil {
		return 0
	}
	defer s.give()
	if s.failed {
		return jwksRetry
	}
	return s.fresh
}

// key finds the key for t, fetching the set anew when its key id is not known.
func (s *keySource) key(ctx context.Context, t *jwt.Token) (any, error) {
	if s.empty(ctx) {
		return nil, errNoKeys
	}
	key, err := s.keys.KeyfuncCtx(ctx)(t)
	if !errors.Is(err, jwkset.ErrKeyNotFound) {
		return key, err
	}
	if err := s.lookFor(ctx, t); err != nil {
		return nil, err
	}
	key, err = s.keys.KeyfuncCtx(ctx)(t)
	if errors.Is(err, jwkset.ErrKeyNotFound) {
		return nil, errUnknownKey
	}
	return key, err
}

// lookFor loads the set because t bears a key id that is not in it. One load answers everybody who has come before it;
// who comes too soon after one waits for the next, so that no token is refused for a key that was published a moment
// ago. Errors: errNotNow.
func (s *keySource) lookFor(ctx context.Context, t *jwt.Token) error {
	begun := s.begun.Load()
	if s.take(ctx) != nil {
		return errNotNow
	}
	defer s.give()
	if _, err := s.keys.KeyfuncCtx(ctx)(t); !errors.Is(err, jwkset.ErrKeyNotFound) {
		return nil
	}
	if s.begun.Load() == begun {
		if s.unknown.Wait(ctx) != nil {
			return errNotNow
		}
		if err := s.load(ctx); err != nil {
			s.log.Warn("JWK set not refreshed for an unknown key id", "err", err)
		}
	}
	if s.failed {
		return errNotNow
	}
	return nil
}

func (s *keySource) empty(ctx context.Context) bool {
	all, err := s.storage.KeyReadAll(ctx)
	return err != nil || len(all) == 0
}

// reload loads the set and returns when to do it next. Keys of a set that has not been read for jwksKept are no longer
// trusted.
func (s *keySource) reload(ctx context.Context) time.Duration {
	if s.take(ctx) != nil {
		return 0 // ctx has ended
	}
	defer s.give()
	err := s.load(ctx)
	switch {
	case err == nil:
		return s.fresh
	case ctx.Err() != nil:
	case !s.good.IsZero() && time.Since(s.good) >= jwksKept:
		s.log.Error("JWK set not read for too long; its keys are not trusted any more, and tokens signed with them refused", "err", err)
		if err := s.storage.KeyReplaceAll(ctx, nil); err != nil {
			s.log.Error("cannot forget the keys", "err", err)
		}
		s.good = time.Time{}
	case s.good.IsZero():
		s.log.Warn("JWK set not read; tokens signed with its keys are refused", "err", err)
	default:
		s.log.Warn("JWK set not refreshed; the keys known before stay in use", "err", err, "until", s.good.Add(jwksKept))
	}
	return jwksRetry
}

// take waits for the right to load: one at a time, so that an older answer never replaces a newer one.
func (s *keySource) take(ctx context.Context) error {
	select {
	case s.loading <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s *keySource) give() { <-s.loading }

// load reads the set and replaces all keys with it: a key that was taken out of the set is no longer trusted.
func (s *keySource) load(ctx context.Context) error {
	s.begun.Add(1)
	fresh, err := s.loadOnce(ctx)
	if s.failed = err != nil; !s.failed {
		s.good, s.fresh = time.Now(), fresh
	}
	return err
}

func (s *keySource) loadOnce(ctx context.Context) (fresh time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, jwksTimeout)
	defer cancel()
	raw, fresh, err := s.read(ctx)
	if err != nil {
		return 0, err
	}
	keys, skipped, err := parseKeys(raw)
	if err != nil {
		return 0, err
	}
	if skipped > 0 {
		s.log.Debug("keys of the JWK set that are not used", "count", skipped)
	}
	return fresh, s.storage.KeyReplaceAll(ctx, keys)
}

// read returns the set as it is, and how long it is to be used.
func (s *keySource) read(ctx context.Context) (raw []byte, fresh time.Duration, err error) {
	if !isURL(s.at) {
		file, err := os.Open(s.at)
		if err != nil {
			return nil, 0, err
		}
		defer file.Close()
		raw, err = readBounded(file)
		return raw, jwksEvery, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.at, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("not a URL that can be fetched: %w", err)
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := s.client.Do(request)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err // without the URL, whose query may be secret
		}
		return nil, 0, fmt.Errorf("%w: %w", errUnreachable, err)
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode >= http.StatusInternalServerError:
		return nil, 0, fmt.Errorf("%w: it answers %s", errUnreachable, response.Status)
	case response.StatusCode != http.StatusOK:
		return nil, 0, fmt.Errorf("it answers %s; check the address", response.Status)
	}
	raw, err = readBounded(response.Body)
	if err != nil && !errors.Is(err, errTooBig) {
		return nil, 0, fmt.Errorf("%w: %w", errUnreachable, err)
	}
	return raw, freshness(response.Header.Get("Cache-Control")), err
}

// freshness is how long a set is used before it is fetched again: as its max-age says (RFC 9111 section 5.2.2.1), within
// jwksLeast and jwksEvery.
func freshness(control string) time.Duration {
	for directive := range strings.SplitSeq(control, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), "=")
		switch strings.ToLower(name) {
		case "no-cache", "no-store":
			return jwksLeast
		case "max-age":
			if seconds, err := strconv.Atoi(strings.Trim(value, `"`)); err == nil && seconds < int(jwksEvery/time.Second) {
				return max(time.Duration(seconds)*time.Second, jwksLeast)
			}
		}
	}
	return jwksEvery
}

func readBounded(r io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, maxJWKSBytes+1))
	if err != nil {
		return nil, err
	}
	if len(raw) > maxJWKSBytes {
		return nil, errTooBig
	}
	return raw, nil
}

// parseKeys reads a JWK set and keeps the public keys that signatures of ours are checked with: RSA of at least
// 2048 bits, P-256 and Ed25519, not marked for another use (RFC 7517 section 4.2). Symmetric keys are not
// taken: whoever can read the set could sign with them.
func parseKeys(raw []byte) (keys []jwkset.JWK, skipped int, err error) {
	var set jwkset.JWKSMarshal
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, 0, errors.New(`not a JWK set; it is a JSON object {"keys":[…]} (RFC 7517 section 5)`)
	}
	for _, one := range set.Keys {
		// Certificates are not looked at: the set itself is what is trusted.
		one.X5C, one.X5T, one.X5TS256, one.X5U = nil, "", "", ""
		key, err := jwkset.NewJWKFromMarshal(one, jwkset.JWKMarshalOptions{}, jwkset.JWKValidateOptions{})
		if err != nil || !usable(one, key.Key()) {
			skipped++
			continue
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, skipped, fmt.Errorf("no usable key in it (%d are not RSA of 2048 bits or more, P-256 or Ed25519 for signing)", skipped)
	}
	if len(keys) > maxJWKSKeys {
		return nil, skipped, fmt.Errorf("it holds %d keys; at most %d", len(keys), maxJWKSKeys)
	}
	return keys, skipped, nil
}

func usable(said jwkset.JWKMarshal, key any) bool {
	if said.USE != "" && said.USE != jwkset.UseSig {
		return false
	}
	switch key := key.(type) {
	case *rsa.PublicKey:
		return key.Size() >= minRSABytes
	case *ecdsa.PublicKey:
		return key.Curve == elliptic.P256()
	case ed25519.PublicKey:
		return true
	}
	return false
}
