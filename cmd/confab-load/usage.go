package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A usage is what was used up to a moment.
type usage struct {
	at     time.Time
	own    time.Duration // CPU of this process
	known  bool          // what follows is
	cpu    float64       // seconds of the server's process
	memory float64       // bytes that it holds
}

// usage reads the server's metrics. Where they cannot be had, the rest is measured all the same.
func (l *load) usage(ctx context.Context) usage {
	u := usage{at: time.Now(), own: ownCPU()}
	if l.metrics == "" {
		return u
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, l.metrics, nil)
	if err != nil {
		return u
	}
	response, err := l.client.Do(request)
	if err != nil {
		return u
	}
	defer response.Body.Close()
	if response.StatusCode == http.StatusOK {
		u.read(io.LimitReader(response.Body, maxAnswer))
	}
	return u
}

// read takes in Prometheus's text format, in which both figures have no labels.
func (u *usage) read(metrics io.Reader) {
	wanted := map[string]*float64{"process_cpu_seconds_total": &u.cpu, "process_resident_memory_bytes": &u.memory}
	found := 0
	for lines := bufio.NewScanner(metrics); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		to := wanted[name]
		if to == nil {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err == nil {
			*to = n
			found++
		}
	}
	u.known = found == len(wanted)
}
