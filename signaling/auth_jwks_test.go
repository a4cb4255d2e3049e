package signaling

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"
	"golang.org/x/time/rate"

	"confab/signaling/wire"
)

// jwk is a key as RFC 7518 section 6 and RFC 8037 section 2 write it.
func jwk(t testing.TB, kid string, key crypto.PublicKey) map[string]any {
	t.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	switch key := key.(type) {
	case *rsa.PublicKey:
		return map[string]any{"kty": "RSA", "kid": kid, "use": "sig", "n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, err := key.Bytes() // 0x04, x, y
		if err != nil {
			t.Fatal(err)
		}
		half := (len(point) - 1) / 2
		return map[string]any{"kty": "EC", "kid": kid, "crv": key.Params().Name, "x": b64(point[1 : 1+half]), "y": b64(point[1+half:])}
	case ed25519.PublicKey:
		return map[string]any{"kty": "OKP", "kid": kid, "crv": "Ed25519", "alg": "EdDSA", "x": b64(key)}
	}
	t.Fatalf("no JWK of a %T", key)
	return nil
}

func jwks(t testing.TB, keys map[string]crypto.PublicKey) []byte {
	t.Helper()
	list := []any{}
	for kid, key := range keys {
		list = append(list, jwk(t, kid, key))
	}
	raw, err := json.Marshal(map[string]any{"keys": list})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func writeJWKS(t *testing.T, keys map[string]crypto.PublicKey) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "jwks.json")
	if err := os.WriteFile(path, jwks(t, keys), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

var testClaims = jwt.MapClaims{"sub": "ada", "rooms": []string{"*"}}

func TestVerifyByJWKS(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t, goleak.IgnoreCurrent()) })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(jwks(t, testSet(t))) }))
	defer server.Close()
	for where, at := range map[string]string{"file": writeJWKS(t, testSet(t)), "URL": server.URL + "/keys?secret=x"} {
		keys := openTestKeyring(t, at)
		for _, c := range []struct {
			name   string
			method jwt.SigningMethod
			key    any
			kid    string
		}{
			{"RS256", jwt.SigningMethodRS256, testRSAKey(t), "rsa"},
			{"ES256", jwt.SigningMethodES256, testECKey(t), "ec"},
			{"EdDSA", jwt.SigningMethodEdDSA, testEdKey(t), "ed"},
			{"RS256 without a key id", jwt.SigningMethodRS256, testRSAKey(t), ""},
			{"EdDSA without a key id", jwt.SigningMethodEdDSA, testEdKey(t), ""},
			{"HS256 beside the set", jwt.SigningMethodHS256, testSecret, ""},
		} {
			t.Run(where+" "+c.name, func(t *testing.T) {
				header := map[string]any{}
				if c.kid != "" {
					header["kid"] = c.kid
				}
				claims, err := keys.Verify(t.Context(), sign(t, c.method, c.key, header, testClaims))
				if err != nil || claims.User != "ada" {
					t.Fatalf("%+v, %v", claims, err)
				}
			})
		}
	}
}

func TestWithoutJWKSOnlyTheSecretCounts(t *testing.T) {
	token := sign(t, jwt.SigningMethodRS256, testRSAKey(t), nil, testClaims)
	_, err := openTestKeyring(t, "").Verify(t.Context(), token)
	wantRefused(t, err, token, "signature")
}

func TestOpenKeyringRefuses(t *testing.T) {
	status := func(code int) string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }))
		t.Cleanup(server.Close)
		return server.URL
	}
	write := func(text string) string {
		path := filepath.Join(t.TempDir(), "jwks.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	small, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, secret, jwks, text string }{
		{"short secret", "short", "", "at least 32"},
		{"no such file", string(testSecret), filepath.Join(t.TempDir(), "none.json"), "no such file"},
		{"a folder", string(testSecret), t.TempDir(), "directory"},
		{"no JSON", string(testSecret), write("hello"), "not a JWK set"},
		{"no keys", string(testSecret), write(`{"keys":[]}`), "no usable key"},
		{"symmetric key", string(testSecret), write(`{"keys":[{"kty":"oct","k":"c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0","kid":"s"}]}`), "no usable key"},
		{"curve of another algorithm", string(testSecret), writeJWKS(t, map[string]crypto.PublicKey{"p384": small.Public()}), "no usable key"},
		{"too large", string(testSecret), write(strings.Repeat(" ", maxJWKSBytes+1)), "larger"},
		{"not found", string(testSecret), status(http.StatusNotFound), "404"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := OpenKeyring(t.Context(), KeyringOptions{Secret: []byte(c.secret), JWKS: c.jwks})
			if err == nil || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("got %v, want it to say %q", err, c.text)
			}
		})
	}
}

// A fakeIssuer answers for a JWK set without a network, so that it works inside a synctest bubble.
type fakeIssuer struct {
	set     atomic.Pointer[[]byte] // nil = down
	fetches atomic.Int32
}

func (f *fakeIssuer) publish(raw []byte) { f.set.Store(&raw) }

func (f *fakeIssuer) RoundTrip(*http.Request) (*http.Response, error) {
	f.fetches.Add(1)
	raw := f.set.Load()
	if raw == nil {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(string(*raw)))}, nil
}

func (f *fakeIssuer) open(t *testing.T) *Keyring {
	t.Helper()
	keys, err := OpenKeyring(t.Context(), KeyringOptions{
		Secret: testSecret, JWKS: "https://issuer.test/keys", Client: &http.Client{Transport: f}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestKeysRotate(t *testing.T) {
	rsaToken := sign(t, jwt.SigningMethodRS256, testRSAKey(t), map[string]any{"kid": "rsa"}, testClaims)
	edToken := sign(t, jwt.SigningMethodEdDSA, testEdKey(t), map[string]any{"kid": "ed"}, testClaims)
	onlyRSA := jwks(t, map[string]crypto.PublicKey{"rsa": testRSAKey(t).Public()})
	onlyEd := jwks(t, map[string]crypto.PublicKey{"ed": testEdKey(t).Public()})
	synctest.Test(t, func(t *testing.T) {
		issuer := &fakeIssuer{}
		issuer.publish(onlyRSA)
		keys := issuer.open(t)
		if _, err := keys.Verify(t.Context(), rsaToken); err != nil {
			t.Fatal(err)
		}
		issuer.publish(onlyEd)
		if _, err := keys.Verify(t.Context(), edToken); err != nil {
			t.Fatalf("the new key was not fetched: %v", err)
		}
		_, err := keys.Verify(t.Context(), rsaToken)
		wantRefused(t, err, rsaToken, "does not know")

		// Many at once wait for one fetch, which answers them all.
		fetched, begun := issuer.fetches.Load(), time.Now()
		var many sync.WaitGroup
		for range 100 {
			many.Go(func() {
				_, err := keys.Verify(t.Context(), rsaToken)
				wantRefused(t, err, rsaToken, "does not know")
			})
		}
		many.Wait()
		if n := issuer.fetches.Load() - fetched; n != 1 || time.Since(begun) > jwksUnknown {
			t.Errorf("100 tokens with an unknown key id fetched the set %d times, in %v", n, time.Since(begun))
		}
		issuer.publish(onlyRSA)
		begun = time.Now()
		if _, err := keys.Verify(t.Context(), rsaToken); err != nil || time.Since(begun) > jwksUnknown {
			t.Errorf("a key that was published a moment ago: %v, after %v", err, time.Since(begun))
		}
		// The endpoint fails: what is known stays, what is not cannot be decided.
		issuer.set.Store(nil)
		_, err = keys.Verify(t.Context(), edToken)
		wantLater(t, err, "cannot be had now")
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err = keys.Verify(impatient, edToken)
		wantLater(t, err, "cannot be had now")
		if _, err := keys.Verify(t.Context(), rsaToken); err != nil {
			t.Errorf("a known key, while the endpoint fails: %v", err)
		}
	})
}

func wantLater(t *testing.T, err error, text string) {
	t.Helper()
	problem, ok := errors.AsType[*wire.Error](err)
	if !ok || problem.Code != wire.CodeUnavailable || !strings.Contains(problem.Text, text) || problem.RetryAfter == 0 {
		t.Errorf("got %v, want it unavailable: %s", err, text)
	}
}

// A set that cannot be fetched again is trusted for a day and no longer, and is used again when it can.
func TestKeysAreKeptForADay(t *testing.T) {
	token := sign(t, jwt.SigningMethodEdDSA, testEdKey(t), map[string]any{"kid": "ed"}, testClaims)
	set := jwks(t, map[string]crypto.PublicKey{"ed": testEdKey(t).Public()})
	synctest.Test(t, func(t *testing.T) {
		issuer := &fakeIssuer{}
		issuer.publish(set)
		keys := issuer.open(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { keys.Run(ctx); close(ended) }()
		issuer.set.Store(nil)
		time.Sleep(jwksKept - time.Second)
		if _, err := keys.Verify(t.Context(), token); err != nil {
			t.Errorf("before the time is over: %v", err)
		}
		time.Sleep(jwksRetry + 2*time.Second)
		_, err := keys.Verify(t.Context(), token)
		wantLater(t, err, "not loaded yet")
		issuer.publish(set)
		time.Sleep(jwksRetry + time.Second)
		if _, err := keys.Verify(t.Context(), token); err != nil {
			t.Errorf("when the endpoint is back: %v", err)
		}
		cancel()
		<-ended
	})
}

func TestFreshness(t *testing.T) {
	for control, want := range map[string]time.Duration{
		"": jwksEvery, "public, max-age=300": 5 * time.Minute, "Max-Age=300": 5 * time.Minute, "max-age=1": jwksLeast, "max-age=0": jwksLeast,
		"max-age=31536000": jwksEvery, "max-age=99999999999999999999": jwksEvery, "max-age=soon": jwksEvery, "max-age=-5": jwksLeast,
		"no-cache": jwksLeast, "private, no-store": jwksLeast, `max-age="120"`: 2 * time.Minute, "must-revalidate": jwksEvery,
	} {
		if got := freshness(control); got != want {
			t.Errorf("%q: %v, want %v", control, got, want)
		}
	}
}

// TestKeysRotateUnderLoad has tokens verified without a pause while a server that speaks TLS publishes new keys and takes
// old ones back: no token that is good is refused, and none of a key that was taken back is taken.
func TestKeysRotateUnderLoad(t *testing.T) {
	var set atomic.Pointer[[]byte]
	var fetches atomic.Int32
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if fetches.Add(1)%5 == 3 { // it fails now and then
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write(*set.Load())
	}))
	defer server.Close()
	newKey := func(kid string) (token string, public crypto.PublicKey) {
		public, private, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return sign(t, jwt.SigningMethodEdDSA, private, map[string]any{"kid": kid}, testClaims), public
	}
	publish := func(keys map[string]crypto.PublicKey) { raw := jwks(t, keys); set.Store(&raw) }

	oldToken, oldKey := newKey("k0")
	publish(map[string]crypto.PublicKey{"k0": oldKey})
	keys, err := OpenKeyring(t.Context(), KeyringOptions{
		Secret: testSecret, JWKS: server.URL, Client: server.Client(), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	keys.jwks.unknown.SetLimit(rate.Every(5 * time.Millisecond))

	var current atomic.Pointer[string]
	current.Store(&oldToken)
	done := make(chan struct{})
	var verified atomic.Int64
	var load sync.WaitGroup
	for range 8 {
		load.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				_, err := keys.Verify(t.Context(), *current.Load())
				if problem, _ := errors.AsType[*wire.Error](err); err != nil && problem.Code != wire.CodeUnavailable { // the client tries again
					t.Errorf("a good token was refused: %v", err)
					return
				}
				verified.Add(1)
			}
		})
	}
	accepted := func(token string) bool { _, err := keys.Verify(t.Context(), token); return err == nil }
	for i := range 6 {
		kid := "k" + strconv.Itoa(i+1)
		token, key := newKey(kid)
		publish(map[string]crypto.PublicKey{"k" + strconv.Itoa(i): oldKey, kid: key}) // first published, then used
		current.Store(&token)
		eventually(t, "the new key is found", func() bool { return accepted(token) })
		if !accepted(oldToken) {
			t.Errorf("the key before %s was forgotten while it is in the set", kid)
		}
		publish(map[string]crypto.PublicKey{kid: key})
		eventually(t, "the set is read", func() bool { return keys.jwks.reload(t.Context()) != jwksRetry }) // as run does
		if accepted(oldToken) {
			t.Errorf("a key that was taken back is trusted after %s", kid)
		}
		oldToken, oldKey = token, key
	}
	close(done)
	load.Wait()
	if verified.Load() < 100 {
		t.Errorf("only %d tokens were verified meanwhile", verified.Load())
	}
	t.Logf("%d tokens verified, %d fetches", verified.Load(), fetches.Load())
}

func TestKeysRefreshInTheBackground(t *testing.T) {
	token := sign(t, jwt.SigningMethodEdDSA, testEdKey(t), map[string]any{"kid": "ed"}, testClaims)
	set := jwks(t, testSet(t))
	other := jwks(t, map[string]crypto.PublicKey{"rsa": testRSAKey(t).Public()})
	synctest.Test(t, func(t *testing.T) {
		issuer := &fakeIssuer{} // down at the start
		keys := issuer.open(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { keys.Run(ctx); close(ended) }()
		_, err := keys.Verify(t.Context(), token)
		wantLater(t, err, "not loaded yet")
		if _, err := keys.Verify(t.Context(), signHS(t, testClaims)); err != nil {
			t.Errorf("the secret depends on the set: %v", err)
		}

		issuer.publish(set)
		time.Sleep(jwksRetry + time.Second)
		if _, err := keys.Verify(t.Context(), token); err != nil {
			t.Errorf("the set came and is not used: %v", err)
		}
		issuer.publish([]byte("nonsense"))
		time.Sleep(jwksEvery + time.Second)
		if _, err := keys.Verify(t.Context(), token); err != nil {
			t.Errorf("a broken answer took the keys away: %v", err)
		}
		issuer.publish(other)
		time.Sleep(jwksRetry + time.Second)
		if _, err := keys.Verify(t.Context(), token); err == nil {
			t.Error("a key that was taken back is still trusted")
		}
		cancel()
		<-ended
	})
}
