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
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"
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

		fetched := issuer.fetches.Load()
		for range 100 {
			_, _ = keys.Verify(t.Context(), rsaToken)
		}
		if n := issuer.fetches.Load() - fetched; n != 0 {
			t.Errorf("100 tokens with an unknown key id fetched the set %d times", n)
		}
		time.Sleep(jwksUnknown)
		issuer.publish(onlyRSA)
		if _, err := keys.Verify(t.Context(), rsaToken); err != nil {
			t.Errorf("after %v the set is not fetched again: %v", jwksUnknown, err)
		}
	})
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
		wantRefused(t, err, token, "not loaded yet")
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
