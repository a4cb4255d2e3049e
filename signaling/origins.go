package signaling

import (
	"net/http"
	"net/url"
	"strings"
)

// Origins are the pages that may use a server beside its own.
type Origins struct {
	any bool
	all map[string]bool // in lower case
}

// NewOrigins takes origins as browsers send them ("https://chat.example", RFC 6454 section 6.1), or * for any.
func NewOrigins(origins []string) Origins {
	o := Origins{all: make(map[string]bool, len(origins))}
	for _, origin := range origins {
		o.all[strings.ToLower(strings.TrimSuffix(origin, "/"))] = true
	}
	o.any = o.all["*"]
	return o
}

// Allow reports whether the page that a browser sends r for may do so: one of the same host, or of these origins.
// Programs that are no browser name none, and may.
func (o Origins) Allow(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || o.any || o.all[strings.ToLower(origin)] {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}
