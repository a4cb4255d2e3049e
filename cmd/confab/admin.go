package main

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"confab/signaling"
	"confab/signaling/audit"
	"confab/signaling/wire"
)

const auditName = "audit.log" // in the data folder

// adminKeys are the keys of the settings, which were checked.
func (s *Settings) adminKeys() []signaling.AdminKey {
	var keys []signaling.AdminKey
	for i, text := range s.AdminKey {
		if key, err := parseAdminKey(i, text); err == nil {
			keys = append(keys, key)
		}
	}
	return keys
}

// parseAdminKey reads KEY or NAME:KEY; a key without a name is called by its place. The error does not repeat the key.
func parseAdminKey(i int, text string) (signaling.AdminKey, error) {
	name, secret, ok := strings.Cut(text, ":")
	if !ok {
		name, secret = fmt.Sprintf("key-%d", i+1), text
	}
	key := signaling.AdminKey{Name: name, Secret: secret}
	switch {
	case !wire.ValidName(name):
		return key, fmt.Errorf("the name before the colon of key %d is not of a-z 0-9 - _; write NAME:KEY, or KEY without a colon", i+1)
	case len(secret) < signaling.MinAdminKeyBytes:
		return key, fmt.Errorf("key %d is %d bytes; at least %d are needed: make one with openssl rand -hex 32", i+1, len(secret), signaling.MinAdminKeyBytes)
	}
	return key, nil
}

func (s *Settings) checkAdmin(bad func(name, format string, args ...any)) {
	names := map[string]bool{}
	for i, text := range s.AdminKey {
		key, err := parseAdminKey(i, text)
		switch {
		case err != nil:
			bad("admin-key", "%v", err)
		case names[key.Name]:
			bad("admin-key", "two keys are called %s; the audit log could not tell them apart", key.Name)
		}
		names[key.Name] = true
	}
}

// maskAdminKey hides the key of NAME:KEY.
func maskAdminKey(text string) string {
	if name, _, ok := strings.Cut(text, ":"); ok && wire.ValidName(name) {
		return name + ":" + mask
	}
	return mask
}

// openAudit opens the audit log, nil when none is to be kept.
func openAudit(p *process, log *slog.Logger) (*audit.Log, error) {
	opts := audit.Options{Path: p.settings.AuditLog, Logger: log}
	switch opts.Path {
	case "off":
		return nil, nil
	case "stdout":
		opts.Path, opts.Stream = "", p.stdout
	case "":
		opts.Path = filepath.Join(p.settings.Data, auditName)
	}
	kept, err := audit.Open(opts)
	if err != nil {
		return nil, fmt.Errorf("the audit log cannot be kept: %w; choose another file with --audit-log, or set it to off", err)
	}
	return kept, nil
}

// registerAudit has /metrics tell what the audit log could not keep.
func registerAudit(metrics prometheus.Registerer, kept *audit.Log) error {
	return wrap("registering the metric of the audit log", metrics.Register(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "confab_audit_lost_total", Help: "Entries of the audit log that could not be written.",
	}, func() float64 { return float64(kept.Lost()) })))
}
