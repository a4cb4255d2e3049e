package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"
)

const healthTimeout = 4 * time.Second // below that of the HEALTHCHECK in deploy/Dockerfile

// healthcheckCommand is `confab healthcheck`, for a container that has no other program: it asks the server of the same
// settings whether it is ready.
type healthcheckCommand struct{}

// Run succeeds when the server answers that it is ready.
//
// Errors: one line with what the server, or the system, says instead.
func (healthcheckCommand) Run(p *process) error {
	listen, err := net.ResolveTCPAddr("tcp", p.settings.Listen)
	if err != nil || listen.Port == 0 {
		return &settingError{name: "listen", origin: p.origins["listen"], text: "it names no port to ask at"}
	}
	ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.settings.local(listen)+"/readyz", http.NoBody)
	if err != nil {
		return fmt.Errorf("asking whether the server is ready: %w", err)
	}
	client := &http.Client{}
	if p.settings.tls() {
		// It asks this machine, by a name that is not in the certificate, and tells it nothing.
		config := &tls.Config{InsecureSkipVerify: true}
		if len(p.settings.TLSDomain) > 0 {
			config.ServerName = p.settings.TLSDomain[0] // by which the server finds one of several certificates
		}
		client.Transport = &http.Transport{TLSClientConfig: config}
	}
	response, err := client.Do(request)
	if err != nil {
		return fmt.Errorf("the server does not answer: %w", err)
	}
	defer response.Body.Close()
	said, err := io.ReadAll(io.LimitReader(response.Body, 4<<10))
	if err != nil {
		return fmt.Errorf("the server does not answer: %w", err)
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the server is not ready: %s", strings.TrimSpace(string(said)))
	}
	return nil
}
