package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// acmeProtocol is what a connection negotiates that only proves a domain (RFC 8737 section 6.2).
const acmeProtocol = "acme-tls/1"

// An acmeKeeper gets certificates by ACME (RFC 8555) and renews them, in the data folder below tls, readable by the
// server's user alone. It proves the domains on the listeners of the server: TLS-ALPN-01 on that of TLS, HTTP-01 on the
// plain one where there is one.
type acmeKeeper struct {
	// Set by newACMEKeeper, then constant.
	domains []string
	cache   *certmagic.Cache
	magic   *certmagic.Config
	issuer  *certmagic.ACMEIssuer
}

// newACMEKeeper prepares everything and asks nobody yet.
//
// Errors: those of reading --acme-root.
func newACMEKeeper(s *Settings, listen net.Addr, plain net.Listener, log *slog.Logger) (*acmeKeeper, error) {
	k := &acmeKeeper{domains: s.TLSDomain}
	roots, err := acmeRoots(s.ACMERoot)
	if err != nil {
		return nil, err
	}
	logger := zap.New(zapToSlog{log: log.With("part", "acme")})
	k.cache = certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return k.magic, nil }, Logger: logger,
	})
	k.magic = certmagic.New(k.cache, certmagic.Config{
		Storage:           &certmagic.FileStorage{Path: filepath.Join(s.Data, "tls")},
		DefaultServerName: s.TLSDomain[0], // for those that name none, such as a check of health
		Logger:            logger,
	})
	template := certmagic.ACMEIssuer{
		CA: s.ACMEDirectory, Email: s.ACMEEmail, Agreed: true, TrustedRoots: roots, Logger: logger,
		DisableHTTPChallenge: plain == nil, ListenHost: hostOf(listen), AltTLSALPNPort: portOf(listen),
	}
	if plain != nil {
		template.AltHTTPPort = portOf(plain.Addr())
	}
	k.issuer = certmagic.NewACMEIssuer(k.magic, template)
	k.magic.Issuers = []certmagic.Issuer{k.issuer}
	return k, nil
}

// begin has certificates made that are missing, and all of them renewed, until ctx ends. It does not wait for them: what
// goes wrong stands in the log and is tried again.
func (k *acmeKeeper) begin(ctx context.Context) error {
	if err := k.magic.ManageAsync(ctx, k.domains); err != nil {
		return fmt.Errorf("getting certificates for --tls-domain: %w", err)
	}
	return nil
}

func (k *acmeKeeper) close() { k.cache.Stop() }

// leaf returns the certificate of the first domain, nil while there is none.
func (k *acmeKeeper) leaf() *x509.Certificate {
	for _, c := range k.cache.AllMatchingCertificates(k.domains[0]) {
		return c.Leaf
	}
	return nil
}

// acmeRoots are the authorities that may speak for the ACME server beside those of the system; nil = none.
func acmeRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil //nolint:nilnil // no pool is what certmagic takes for that of the system
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("--acme-root: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, errors.New("--acme-root: there is no certificate in PEM in it")
	}
	return pool, nil
}

func hostOf(addr net.Addr) string {
	if tcp, ok := addr.(*net.TCPAddr); ok && !tcp.IP.IsUnspecified() {
		return tcp.IP.String()
	}
	return ""
}

func portOf(addr net.Addr) int {
	if tcp, ok := addr.(*net.TCPAddr); ok {
		return tcp.Port
	}
	return 0
}

// zapToSlog is a zapcore.Core that writes to slog.
type zapToSlog struct{ log *slog.Logger }

// Enabled implements zapcore.Core.
func (z zapToSlog) Enabled(level zapcore.Level) bool {
	return z.log.Enabled(context.Background(), slogLevel(level))
}

// With implements zapcore.Core.
func (z zapToSlog) With(fields []zapcore.Field) zapcore.Core {
	return zapToSlog{z.log.With(slogFields(fields)...)}
}

// Check implements zapcore.Core.
func (z zapToSlog) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if z.Enabled(entry.Level) {
		return checked.AddCore(entry, z)
	}
	return checked
}

// Write implements zapcore.Core.
func (z zapToSlog) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	z.log.Log(context.Background(), slogLevel(entry.Level), entry.Message, slogFields(fields)...)
	return nil
}

// Sync implements zapcore.Core.
func (zapToSlog) Sync() error { return nil }

// slogLevel has everything that is no trouble told at debug: renewing is no event.
func slogLevel(level zapcore.Level) slog.Level {
	switch {
	case level >= zapcore.ErrorLevel:
		return slog.LevelError
	case level == zapcore.WarnLevel:
		return slog.LevelWarn
	}
	return slog.LevelDebug
}

func slogFields(fields []zapcore.Field) []any {
	encoder := zapcore.NewMapObjectEncoder()
	for _, field := range fields {
		field.AddTo(encoder)
	}
	all := make([]any, 0, len(encoder.Fields))
	for name, value := range encoder.Fields {
		all = append(all, slog.Any(name, value))
	}
	return all
}
