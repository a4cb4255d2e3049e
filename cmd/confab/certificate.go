package main

import (
	"crypto/tls"
	"log/slog"
	"os"
	"sync"
	"time"
)

// A certificate comes from two files, which others renew while the server runs. Its methods may be called
// concurrently.
type certificate struct {
	// Set by loadCertificate, then constant.
	certFile, keyFile string
	log               *slog.Logger

	mu     sync.Mutex
	loaded *tls.Certificate // guarded by mu
	from   time.Time        // when the file of it was written; guarded by mu
	looked time.Time        // guarded by mu
}

const certificateLook = time.Minute // between two looks at the file

func loadCertificate(certFile, keyFile string, log *slog.Logger) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log, looked: time.Now()}
	return c, c.load()
}

// load reads the files. mu is held, or nobody else knows c.
func (c *certificate) load() error {
	info, err := os.Stat(c.certFile)
	if err != nil {
		return err
	}
	loaded, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return err
	}
	c.loaded, c.from = &loaded, info.ModTime()
	return nil
}

// get is for tls.Config.GetCertificate. New files that cannot be used leave the old certificate in place: they may be
// half written.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.looked) > certificateLook {
		if info, err := os.Stat(c.certFile); err == nil && !info.ModTime().Equal(c.from) {
			c.tryLoad()
		}
		c.looked = time.Now()
	}
	return c.loaded, nil
}

// reload reads the files at once. Connections that are open go on with the certificate that they began with.
func (c *certificate) reload() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tryLoad()
}

// tryLoad loads the files, or says why it cannot. mu is held.
func (c *certificate) tryLoad() {
	if err := c.load(); err != nil {
		c.log.Warn("the new certificate cannot be used; the old one stays", "file", c.certFile, "error", err)
		return
	}
	c.log.Info("the certificate was read", "file", c.certFile, "expires", c.loaded.Leaf.NotAfter)
}
