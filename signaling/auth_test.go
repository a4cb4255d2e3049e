package signaling

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"

	"confab/signaling/wire"
)

var testSecret = []byte("a secret for tests, of 32 bytes.")

func openTestKeyring(t *testing.T, jwks string) *Keyring {
	t.Helper()
	keys, err := OpenKeyring(t.Context(), KeyringOptions{Secret: testSecret, JWKS: jwks, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// sign makes a token with any claims and header, good or not.
func sign(t testing.TB, method jwt.SigningMethod, key any, header map[string]any, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	for name, value := range header {
		token.Header[name] = value
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func signHS(t *testing.T, claims jwt.MapClaims) string {
	return sign(t, jwt.SigningMethodHS256, testSecret, nil, claims)
}

// wantRefused checks that err is the refusal that crosses the socket and does not give the token away.
func wantRefused(t *testing.T, err error, token, text string) {
	t.Helper()
	problem, ok := errors.AsType[*wire.Error](err)
	if !ok || problem.Code != wire.CodeUnauthorized {
		t.Fatalf("got %v, want unauthorized", err)
	}
	if !strings.Contains(problem.Text, text) {
		t.Errorf("text %q does not say %q", problem.Text, text)
	}
	for _, part := range strings.Split(token, ".") {
		if len(part) > 8 && strings.Contains(err.Error(), part) {
			t.Errorf("the error holds part of the token: %v", err)
		}
	}
}

func TestVerifyRefuses(t *testing.T) {
	now := time.Now()
	rsaKey := testRSAKey(t)
	publicPEM, err := x509.MarshalPKIXPublicKey(rsaKey.Public())
	if err != nil {
		t.Fatal(err)
	}
	good := jwt.MapClaims{"sub": "ada", "rooms": []string{"*"}}
	with := func(name string, value any) string {
		claims := jwt.MapClaims{"sub": "ada", "rooms": []string{"*"}}
		claims[name] = value
		return signHS(t, claims)
	}
	none, err := jwt.NewWithClaims(jwt.SigningMethodNone, good).SignedString(jwt.UnsafeAllowNoneSignatureType)
	if err != nil {
		t.Fatal(err)
	}
	hs := signHS(t, good)
	parts := strings.Split(hs, ".")
	forged := parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"eve","rooms":["*"],"role":"moderator"}`)) + "." + parts[2]
	for _, c := range []struct{ name, token, text string }{
		{"nothing", "", "no token"},
		{"no JWT", "hello", "cannot be read"},
		{"three parts of nothing", "..", "cannot be read"},
		{"too long", strings.Repeat("a", maxTokenBytes+1), "at most"},
		{"alg none", none, "signature"},
		{"alg None in another case", base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"None","typ":"JWT"}`)) + "." + parts[1] + ".", "no key"},
		{"no signature", parts[0] + "." + parts[1] + ".", "signature"},
		{"claims changed", forged, "signature"},
		{"another secret", sign(t, jwt.SigningMethodHS256, []byte("another secret for tests, also 32"), nil, good), "signature"},
		{"HS384 by the same secret", sign(t, jwt.SigningMethodHS384, testSecret, nil, good), "signature"},
		{"HS256 by a public key as the secret", sign(t, jwt.SigningMethodHS256, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicPEM}), map[string]any{"kid": "rsa"}, good), "signature"},
		{"HS256 by a modulus as the secret", sign(t, jwt.SigningMethodHS256, rsaKey.N.Bytes(), map[string]any{"kid": "rsa"}, good), "signature"},
		{"PS256 by a key of the set", sign(t, jwt.SigningMethodPS256, rsaKey, map[string]any{"kid": "rsa"}, good), "signature"},
		{"RS256 by another key under its id", sign(t, jwt.SigningMethodRS256, otherRSAKey(t), map[string]any{"kid": "rsa"}, good), "signature"},
		{"RS256 under the id of another kind", sign(t, jwt.SigningMethodRS256, rsaKey, map[string]any{"kid": "ec"}, good), "signature"},
		{"RS256 with an unknown id", sign(t, jwt.SigningMethodRS256, rsaKey, map[string]any{"kid": "nobody"}, good), "does not know"},
		{"an id that is no string", sign(t, jwt.SigningMethodRS256, rsaKey, map[string]any{"kid": 7}, good), "alg and kid"},
		{"crit", sign(t, jwt.SigningMethodHS256, testSecret, map[string]any{"crit": []string{"b64"}, "b64": false}, good), "crit"},
		{"no sub", signHS(t, jwt.MapClaims{"rooms": []string{"*"}}), "no sub"},
		{"empty sub", with("sub", ""), "no sub"},
		{"sub of 129 bytes", with("sub", strings.Repeat("a", 129)), "129 bytes"},
		{"sub with a line break", with("sub", "ada\r\nNats-Rollup: all"), "control"},
		{"sub that is a number", with("sub", 7), "cannot be read"},
		{"expired", with("exp", now.Add(-clockLeeway-2*time.Second).Unix()), "expired"},
		{"exp that is text", with("exp", "tomorrow"), "cannot be read"},
		{"exp past all years", with("exp", 1e15), "exp"},
		{"not valid yet", with("nbf", now.Add(clockLeeway+5*time.Second).Unix()), "not valid yet"},
		{"unknown role", with("role", "admin"), "role"},
		{"empty role", with("role", ""), "role"},
		{"rooms as text", with("rooms", "lobby"), "cannot be read"},
		{"room in capitals", with("rooms", []string{"Lobby"}), "rooms"},
		{"empty room", with("rooms", []string{""}), "rooms"},
		{"star inside", with("rooms", []string{"a*b"}), "rooms"},
		{"two stars", with("rooms", []string{"**"}), "rooms"},
		{"room of 65", with("rooms", []string{strings.Repeat("a", 65)}), "rooms"},
		{"room with a dot", with("rooms", []string{"a.b"}), "rooms"},
		{"unknown source", with("grants", map[string]any{"publish": []string{"keyboard"}}), "source"},
		{"grants as a list", with("grants", []string{"chat"}), "cannot be read"},
		{"grant that is no boolean", with("grants", map[string]any{"chat": "yes"}), "cannot be read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			keys := openTestKeyring(t, writeJWKS(t, testSet(t)))
			claims, err := keys.Verify(t.Context(), c.token)
			if claims != nil {
				t.Fatalf("accepted: %+v", claims)
			}
			wantRefused(t, err, c.token, c.text)
		})
	}
}

func TestVerifyReads(t *testing.T) {
	all := RoleGrants(wire.RoleMember)
	day := time.Now().Add(24 * time.Hour).Truncate(time.Second)
	for _, c := range []struct {
		name   string
		claims jwt.MapClaims
		want   Claims
	}{
		{"as little as there may be", jwt.MapClaims{"sub": "ada"},
			Claims{User: "ada", Name: "ada", Role: wire.RoleMember, Grants: all}},
		{"everything", jwt.MapClaims{"sub": "ada", "name": " Ada\tL. ", "role": "moderator", "rooms": []string{"a", "b-*"}, "exp": day.Unix()},
			Claims{User: "ada", Name: "Ada L.", Role: wire.RoleModerator, Grants: all, Rooms: []string{"a", "b-*"}, ExpiresAt: day}},
		{"viewer", jwt.MapClaims{"sub": "v", "role": "viewer"},
			Claims{User: "v", Name: "v", Role: wire.RoleViewer, Grants: wire.Grants{Publish: []wire.Source{}, Subscribe: true, Chat: true}}},
		{"viewer with a microphone and no chat", jwt.MapClaims{"sub": "v", "role": "viewer", "grants": map[string]any{"publish": []string{"microphone"}, "chat": false}},
			Claims{User: "v", Name: "v", Role: wire.RoleViewer, Grants: wire.Grants{Publish: []wire.Source{wire.Microphone}, Subscribe: true}}},
		{"member who publishes nothing", jwt.MapClaims{"sub": "m", "grants": map[string]any{"publish": []string{}}},
			Claims{User: "m", Name: "m", Role: wire.RoleMember, Grants: wire.Grants{Publish: []wire.Source{}, Subscribe: true, Chat: true, Bots: true}}},
		{"null is absent", jwt.MapClaims{"sub": "m", "role": nil, "grants": map[string]any{"publish": nil, "bots": nil}, "rooms": nil},
			Claims{User: "m", Name: "m", Role: wire.RoleMember, Grants: all}},
		{"just expired, within the leeway", jwt.MapClaims{"sub": "m", "exp": time.Now().Add(-2 * time.Second).Unix()},
			Claims{User: "m", Name: "m", Role: wire.RoleMember, Grants: all, ExpiresAt: time.Now().Add(-2 * time.Second).Truncate(time.Second)}},
		{"not valid yet, within the leeway", jwt.MapClaims{"sub": "m", "nbf": time.Now().Add(2 * time.Second).Unix()},
			Claims{User: "m", Name: "m", Role: wire.RoleMember, Grants: all}},
		{"name of control characters alone", jwt.MapClaims{"sub": "m", "name": "\u0000\u202e"},
			Claims{User: "m", Name: "m", Role: wire.RoleMember, Grants: all}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := openTestKeyring(t, "").Verify(t.Context(), signHS(t, c.claims))
			if err != nil {
				t.Fatal(err)
			}
			if diff := got.ExpiresAt.Sub(c.want.ExpiresAt).Abs(); diff > time.Second {
				t.Errorf("expires %v, want %v", got.ExpiresAt, c.want.ExpiresAt)
			}
			got.ExpiresAt, c.want.ExpiresAt = time.Time{}, time.Time{}
			if !reflect.DeepEqual(*got, c.want) {
				t.Errorf("got  %+v\nwant %+v", *got, c.want)
			}
		})
	}
}

func TestMintIsVerified(t *testing.T) {
	keys := openTestKeyring(t, "")
	for _, want := range []Claims{
		{User: "a", Name: "Ada", Role: wire.RoleModerator, Grants: RoleGrants(wire.RoleModerator), Rooms: []string{"*"}},
		{User: "b", Name: "b", Role: wire.RoleMember, Grants: wire.Grants{Publish: []wire.Source{}}, Rooms: []string{"x"}, Guest: true,
			ExpiresAt: time.Now().Add(time.Hour).Truncate(time.Second)},
		{User: "c", Name: "c", Role: wire.RoleViewer, Grants: wire.Grants{Publish: []wire.Source{wire.Screen}, Bots: true}},
	} {
		token, err := keys.Mint(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := keys.Verify(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		if !got.ExpiresAt.Equal(want.ExpiresAt) {
			t.Errorf("expires %v, want %v", got.ExpiresAt, want.ExpiresAt)
		}
		got.ExpiresAt, want.ExpiresAt = time.Time{}, time.Time{}
		if !reflect.DeepEqual(*got, want) {
			t.Errorf("got  %+v\nwant %+v", *got, want)
		}
	}
	for name, bad := range map[string]Claims{
		"no user":  {Role: wire.RoleMember},
		"bad role": {User: "a", Role: "king"},
		"bad room": {User: "a", Role: wire.RoleMember, Rooms: []string{"Ä"}},
	} {
		if _, err := keys.Mint(bad); err == nil {
			t.Errorf("%s: minted", name)
		}
	}
	many := Claims{User: "a", Role: wire.RoleMember, Rooms: slices.Repeat([]string{strings.Repeat("r", 64)}, 200)}
	if _, err := keys.Mint(many); !errors.Is(err, ErrTokenTooLong) {
		t.Errorf("a token of 200 rooms: %v", err)
	}
}

func TestAllows(t *testing.T) {
	for _, c := range []struct {
		rooms []string
		room  wire.RoomID
		want  bool
	}{
		{nil, "lobby", false},
		{[]string{"lobby"}, "lobby", true},
		{[]string{"lobby"}, "lobby-2", false},
		{[]string{"team-*"}, "team-a", true},
		{[]string{"team-*"}, "team-", true},
		{[]string{"team-*"}, "team", false},
		{[]string{"team-*"}, "a-team-b", false},
		{[]string{"a", "*"}, "anything", true},
	} {
		if got := (&Claims{Rooms: c.rooms}).Allows(c.room); got != c.want {
			t.Errorf("%v allows %s: %v", c.rooms, c.room, got)
		}
	}
}

func TestCleanName(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"Ada", "Ada"},
		{"  Ada  Lovelace\n", "Ada  Lovelace"},
		{"A\u0000d\u007fa\u009b", "Ada"},
		{"eve\u202egnp.exe", "evegnp.exe"},
		{"two\nlines", "two lines"},
		{"👩‍👩‍👧", "👩‍👩‍👧"}, // the joiners inside stay
		{"bad \xff byte", "bad \ufffd byte"},
		{strings.Repeat("é", 81), strings.Repeat("é", 80)},
		{strings.Repeat("a", 79) + "  b", strings.Repeat("a", 79)},
		{"\u202e\u0007 ", ""},
	} {
		if got := CleanName(c.in); got != c.want {
			t.Errorf("%q: got %q, want %q", c.in, got, c.want)
		}
	}
}

func FuzzVerify(f *testing.F) {
	keys, err := OpenKeyring(context.Background(), KeyringOptions{Secret: testSecret})
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"sub":"ada"}`))
	f.Add([]byte(`{"sub":"ada","exp":1e300,"rooms":["*"],"grants":{"publish":["camera"]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		claims := jwt.MapClaims{}
		if json.Unmarshal(body, &claims) != nil {
			return
		}
		got, err := keys.Verify(t.Context(), signHS(t, claims))
		if err != nil {
			return
		}
		// What is accepted can be minted, and reads the same again.
		token, err := keys.Mint(*got)
		if err != nil {
			t.Fatalf("accepted %+v, but it cannot be minted: %v", got, err)
		}
		if again, err := keys.Verify(t.Context(), token); err != nil || again.User != got.User || again.Name != got.Name {
			t.Fatalf("%+v became %+v, %v", got, again, err)
		}
	})
}

// FuzzToken reads texts that nobody has signed: only those that bear a signature of a key are taken, and no error repeats
// what stands in one.
func FuzzToken(f *testing.F) {
	set := filepath.Join(f.TempDir(), "jwks.json")
	if err := os.WriteFile(set, jwks(f, testSet(f)), 0o600); err != nil {
		f.Fatal(err)
	}
	keys, err := OpenKeyring(context.Background(), KeyringOptions{Secret: testSecret, JWKS: set, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		f.Fatal(err)
	}
	keys.jwks.unknown.SetLimit(rate.Inf)
	claims := jwt.MapClaims{"sub": "ada", "rooms": []string{"*"}}
	good := sign(f, jwt.SigningMethodEdDSA, testEdKey(f), map[string]any{"kid": "ed"}, claims)
	f.Add(good)
	f.Add(sign(f, jwt.SigningMethodHS256, testSecret, nil, claims))
	f.Add(sign(f, jwt.SigningMethodHS256, []byte("0123456789abcdef0123456789abcdef"), map[string]any{"kid": "ed"}, claims))
	f.Add(sign(f, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, claims))
	f.Add("eyJhbGciOiJIUzI1NiIsImNyaXQiOlsiYiJdfQ.e30.")
	f.Add("..")
	f.Add(strings.Repeat("a.", 5000))
	f.Fuzz(func(t *testing.T, text string) {
		_, err := keys.Verify(t.Context(), text)
		if err == nil {
			signed := text[:strings.LastIndex(text, ".")]
			mac := hmac.New(sha256.New, testSecret)
			mac.Write([]byte(signed))
			signature, _ := base64.RawURLEncoding.DecodeString(text[len(signed)+1:])
			if !hmac.Equal(mac.Sum(nil), signature) && !ed25519.Verify(testEdKey(t).Public().(ed25519.PublicKey), []byte(signed), signature) {
				t.Fatalf("%q was taken", text)
			}
			return
		}
		if problem := wire.AsError(err); problem.Code != wire.CodeUnauthorized && problem.Code != wire.CodeUnavailable {
			t.Fatalf("%q: %v", text, err)
		}
		for part := range strings.SplitSeq(text, ".") {
			if len(part) > 16 && strings.Contains(err.Error(), part) {
				t.Fatalf("the error repeats %q: %v", part, err)
			}
		}
	})
}

// Keys are made once: an RSA key takes a good part of a second.
var testKeys = struct {
	rsa, otherRSA *rsa.PrivateKey
	ec            *ecdsa.PrivateKey
	ed            ed25519.PrivateKey
}{}

func testRSAKey(t testing.TB) *rsa.PrivateKey  { return rsaKeyOnce(t, &testKeys.rsa) }
func otherRSAKey(t testing.TB) *rsa.PrivateKey { return rsaKeyOnce(t, &testKeys.otherRSA) }

func rsaKeyOnce(t testing.TB, at **rsa.PrivateKey) *rsa.PrivateKey {
	if *at == nil {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		*at = key
	}
	return *at
}

func testECKey(t testing.TB) *ecdsa.PrivateKey {
	if testKeys.ec == nil {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		testKeys.ec = key
	}
	return testKeys.ec
}

func testEdKey(t testing.TB) ed25519.PrivateKey {
	if testKeys.ed == nil {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		testKeys.ed = key
	}
	return testKeys.ed
}

// testSet is the public keys by key id.
func testSet(t testing.TB) map[string]crypto.PublicKey {
	return map[string]crypto.PublicKey{
		"rsa": testRSAKey(t).Public(), "ec": testECKey(t).Public(), "ed": testEdKey(t).Public(),
	}
}
