package signaling

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"confab/signaling/wire"
)

const (
	// MinSecretBytes is what HS256 asks of a key (RFC 7518 section 3.2: no shorter than the hash).
	MinSecretBytes = 32
	// clockLeeway is how far two machines' clocks may be apart for exp and nbf (RFC 7519 section 4.1.4).
	clockLeeway = 10 * time.Second
	// maxTokenBytes bounds the work on a token before its signature is known to be good.
	maxTokenBytes = 8 << 10
)

// KeyringOptions says which keys a Keyring trusts.
type KeyringOptions struct {
	Secret []byte       // HS256, at least MinSecretBytes; tokens are minted with it
	JWKS   string       // file or http(s) URL of a JWK set (RFC 7517) for RS256, ES256, EdDSA; empty = none
	Client *http.Client // fetches the URL; nil = one with sensible limits
	Logger *slog.Logger // nil = slog.Default()
}

// A Keyring verifies tokens and mints them. All methods may be called from any goroutine.
//
// The algorithm decides which key is looked at: HS256 the secret and nothing else, RS256, ES256 and EdDSA the
// JWK set and nothing else. So a public key is never used as a secret (RFC 8725 section 2.1).
type Keyring struct {
	// Set by OpenKeyring, then constant.
	secret []byte
	parser *jwt.Parser
	jwks   *keySource // nil = none
	log    *slog.Logger
}

// OpenKeyring loads the keys. It starts no goroutine: the owner calls Run.
//
// A JWK set that is there but wrong (no such file, not JSON, no key that can be used, an answer 4xx) is an error.
// A URL that nobody answers at is not: the server starts without these keys, logs that, and Run asks again; a
// restart must not depend on another service being up.
//
// Errors: what is wrong with the secret or the set, and what to do.
func OpenKeyring(ctx context.Context, opts KeyringOptions) (*Keyring, error) {
	if len(opts.Secret) < MinSecretBytes {
		return nil, fmt.Errorf("the secret is %d bytes; HS256 needs at least %d: make one with openssl rand -hex 32",
			len(opts.Secret), MinSecretBytes)
	}
	k := &Keyring{secret: opts.Secret, log: opts.Logger}
	if k.log == nil {
		k.log = slog.Default()
	}
	methods := []string{jwt.SigningMethodHS256.Alg()}
	if opts.JWKS != "" {
		source, err := openKeySource(ctx, opts.JWKS, opts.Client, k.log)
		if err != nil {
			return nil, err
		}
		k.jwks = source
		methods = append(methods, asymmetric...)
	}
	k.parser = jwt.NewParser(jwt.WithValidMethods(methods), jwt.WithLeeway(clockLeeway), jwt.WithStrictDecoding())
	return k, nil
}

// Run keeps the JWK set fresh until ctx ends; it returns at once when there is none.
func (k *Keyring) Run(ctx context.Context) {
	if k.jwks != nil {
		k.jwks.run(ctx)
	}
}

// Verify implements Verifier. A key id that is not in the JWK set makes it fetch the set anew, at most once
// every few seconds for the whole server; ctx bounds the wait. CodeUnavailable says that the keys cannot be had now.
func (k *Keyring) Verify(ctx context.Context, token string) (*Claims, error) {
	return k.verify(token, func(t *jwt.Token) (any, error) {
		if t.Method == jwt.SigningMethodHS256 {
			return k.secret, nil
		}
		return k.jwks.key(ctx, t)
	})
}

// verifyOwn is Verify for tokens that this server, or another with the same secret, has minted.
func (k *Keyring) verifyOwn(token string) (*Claims, error) {
	return k.verify(token, func(t *jwt.Token) (any, error) {
		if t.Method != jwt.SigningMethodHS256 {
			return nil, errors.New("not a token of this server")
		}
		return k.secret, nil
	})
}

func (k *Keyring) verify(token string, key jwt.Keyfunc) (*Claims, error) {
	if token == "" {
		return nil, wire.Errorf(wire.CodeUnauthorized, "no token; send one that this server trusts")
	}
	if len(token) > maxTokenBytes {
		return nil, wire.Errorf(wire.CodeUnauthorized, "the token is %d bytes; at most %d", len(token), maxTokenBytes)
	}
	var body tokenClaims
	_, err := k.parser.ParseWithClaims(token, &body, func(t *jwt.Token) (any, error) {
		if _, ok := t.Header["crit"]; ok {
			return nil, errCritical
		}
		return key(t)
	})
	if err != nil {
		return nil, refusal(err)
	}
	return body.claims()
}

// errCritical: the header lists extensions that must be understood, and none is (RFC 7515 section 4.1.11).
var errCritical = errors.New("critical header extensions")

// refusal says why a token is not good. The cause is kept for the log: golang-jwt's errors hold claims' names
// and algorithms, but not the token.
func refusal(err error) *wire.Error {
	text := "the token cannot be read; send a signed JWT"
	switch {
	case errors.Is(err, errNoKeys):
		return &wire.Error{
			Code: wire.CodeUnavailable, Text: "the keys that tokens are checked with are not loaded yet; try again in a minute", RetryAfter: jwksRetry, Err: err,
		}
	case errors.Is(err, errNotNow):
		return &wire.Error{
			Code: wire.CodeUnavailable, Text: "the keys that tokens are checked with cannot be had now; try again", RetryAfter: jwksUnknown, Err: err,
		}
	case errors.Is(err, jwt.ErrTokenExpired):
		text = "the token has expired; get a new one"
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		text = "the token is not valid yet; check the clocks of its issuer and of this server"
	case errors.Is(err, errUnknownKey):
		text = "the token is signed with a key that this server does not know; check kid and --auth-jwks"
	case errors.Is(err, errCritical):
		text = "the token's header has crit, which this server does not support; leave it out"
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		text = "no key of this server fits the token; check its alg and kid"
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		text = "the token's signature is not good; sign it with this server's secret or a key of its JWK set"
	case errors.Is(err, jwt.ErrTokenInvalidClaims):
		text = "the token's claims are not good; make a new one"
	}
	return &wire.Error{Code: wire.CodeUnauthorized, Text: text, Err: err}
}

// Mint makes an HS256 token that says c. Verify gives the same claims back, the time rounded to a second.
//
// Errors: *wire.Error with CodeUnauthorized when c breaks the rules of a token, ErrTokenTooLong.
func (k *Keyring) Mint(c Claims) (string, error) {
	if err := c.validate(); err != nil {
		return "", err
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c.token(time.Now())).SignedString(k.secret)
	if err != nil {
		return "", fmt.Errorf("signing a token: %w", err)
	}
	if len(token) > maxTokenBytes {
		return "", ErrTokenTooLong
	}
	return token, nil
}

// ErrTokenTooLong says that the claims make a token that no server would read; name fewer rooms, or a prefix.
var ErrTokenTooLong = errors.New("signaling: token too long: name fewer rooms, or a prefix of them")
