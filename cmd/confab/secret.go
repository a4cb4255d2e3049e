package main

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"confab/signaling"
)

const (
	secretName     = "auth-secret" // in the data folder
	secretRandom   = 32            // bytes of randomness in a secret that is made
	maxSecretBytes = 64 << 10
	// The keys of tickets and of TURN are kept apart from the key of tokens, and from each other (RFC 5869 section 3.2).
	ticketInfo = "confab ticket v1"
	turnInfo   = "confab turn v1"
)

// A secret is what tokens are signed with.
//
// Its bytes are those of --auth-secret as they are, or of the file without the one line break at its end. A
// secret that is made is the 64 bytes of text that 32 random bytes have in hexadecimal, not the 32 bytes
// themselves: so the file's text can be copied into --auth-secret or another program and means the same there.
type secret struct {
	bytes []byte
	made  bool   // it comes from the data folder, and other servers do not know it
	file  string // empty = from --auth-secret
}

// errNoSecret: there is none yet, and this command does not make one.
var errNoSecret = errors.New("no secret yet")

// openSecret finds the secret. With create, a missing one is made and kept in the data folder.
//
// Errors: *settingError, errNoSecret, what the file system says.
func openSecret(s *Settings, from origins, create bool, log *slog.Logger) (*secret, error) {
	if s.AuthSecret != "" {
		return &secret{bytes: []byte(s.AuthSecret)}, nil
	}
	if s.AuthSecretFile != "" {
		found, err := readSecret(s.AuthSecretFile, log)
		if err != nil {
			return nil, &settingError{name: "auth-secret-file", origin: from["auth-secret-file"], text: err.Error()}
		}
		return found, nil
	}
	path := filepath.Join(s.Data, secretName)
	found, err := readSecret(path, log)
	switch {
	case err == nil:
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("the secret in the data folder cannot be used: %w; restore it, or remove it to have a "+
			"new one made (tokens signed with the old one are no longer good then)", err)
	case !create:
		return nil, fmt.Errorf("%w in %s", errNoSecret, s.Data)
	default:
		if err := makeSecret(path); err != nil {
			return nil, fmt.Errorf("the secret cannot be kept in the data folder: %w; make %s writable, or set --auth-secret", err, s.Data)
		}
		if found, err = readSecret(path, log); err != nil {
			return nil, fmt.Errorf("the secret that was just made: %w", err)
		}
	}
	found.made = true
	return found, nil
}

func readSecret(path string, log *slog.Logger) (*secret, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	raw, err := io.ReadAll(io.LimitReader(file, maxSecretBytes))
	if err != nil {
		return nil, err
	}
	if info, err := file.Stat(); err == nil && info.Mode().Perm()&0o077 != 0 {
		log.Warn("others on this machine can read the secret: chmod 600 "+path, "mode", info.Mode().Perm().String())
	}
	text := strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r")
	if len(text) < signaling.MinSecretBytes {
		return nil, fmt.Errorf("%s holds %d bytes; at least %d are needed: make one with openssl rand -hex 32",
			path, len(text), signaling.MinSecretBytes)
	}
	return &secret{bytes: []byte(text), file: path}, nil
}

// makeSecret writes a new secret to path, whole or not at all, and never over another: of two processes that
// make one at the same time, one wins and both read that.
func makeSecret(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	random := make([]byte, secretRandom)
	rand.Read(random)                                                   // never fails
	file, err := os.CreateTemp(filepath.Dir(path), "."+secretName+"-*") // made with mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.WriteString(hex.EncodeToString(random) + "\n")
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil {
		return err
	}
	if err := os.Link(file.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// ticketKey is the key of resume tickets: derived, so that servers with one secret take over each other's
// sessions, and different, so that a ticket is never a token.
func (s *secret) ticketKey() []byte { return s.derive(ticketInfo) }

// turnKey signs credentials of TURN: derived for the same reasons.
func (s *secret) turnKey() []byte { return s.derive(turnInfo) }

func (s *secret) derive(info string) []byte {
	key, err := hkdf.Key(sha256.New, s.bytes, nil, info, sha256.Size)
	if err != nil {
		panic(err) // the length is a constant that RFC 5869 allows
	}
	return key
}
