package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"confab/rooms"
	"confab/rooms/bus"
	"confab/signaling/webhook"
)

const (
	maxWebhooks       = 8
	maxWebhookTimeout = time.Minute
	// After a request may have taken its time the queue waits so much longer before it takes the event for lost.
	hookSlack = 2 * time.Second
)

// hooks tells programs elsewhere what happens in rooms. A nil one tells nobody.
type hooks struct{ sender *webhook.Sender }

func (s *Settings) checkWebhooks(bad func(name, format string, args ...any)) {
	seen := map[string]bool{}
	for _, text := range s.WebhookURL {
		u, err := url.Parse(text)
		switch {
		case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
			bad("webhook-url", "it is no http or https URL; write one such as https://example.org/hooks")
		case seen[text]:
			bad("webhook-url", "the one at %s stands there twice", u.Host)
		}
		seen[text] = true
	}
	for _, text := range s.WebhookSecret {
		if _, err := webhook.ParseSecret(text); err != nil {
			bad("webhook-secret", "%v", err)
		}
	}
	switch {
	case len(s.WebhookURL) > maxWebhooks:
		bad("webhook-url", "%d addresses; at most %d", len(s.WebhookURL), maxWebhooks)
	case len(s.WebhookURL) > 0 && len(s.WebhookSecret) == 0:
		bad("webhook-secret", "requests are signed, so there must be one; make it with: echo whsec_$(openssl rand -base64 32)")
	}
	if s.WebhookTimeout < time.Second || s.WebhookTimeout > maxWebhookTimeout {
		bad("webhook-timeout", "%v is not within 1s and 1m", s.WebhookTimeout)
	}
}

// maskPath hides what stands behind the host of a URL, which may be as good as a password.
func maskPath(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return mask
	}
	if strings.Trim(u.Path, "/") == "" && u.RawQuery == "" && u.User == nil {
		return text
	}
	return u.Scheme + "://" + u.Host + "/" + mask
}

// openHooks starts to deliver what waits in the outbox, nil when there is nobody to tell.
func openHooks(ctx context.Context, s *Settings, records *bus.Bus, log *slog.Logger) (*hooks, error) {
	if len(s.WebhookURL) == 0 {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	outbox, err := records.OpenOutbox(ctx, s.WebhookTimeout+hookSlack)
	if err != nil {
		return nil, fmt.Errorf("the queue of webhooks cannot be opened: %w", err)
	}
	opts := webhook.Options{
		Queue: hookQueue{outbox}, URLs: s.WebhookURL, Text: s.WebhookText == "on", Timeout: s.WebhookTimeout, Logger: log,
	}
	for _, text := range s.WebhookSecret {
		if secret, err := webhook.ParseSecret(text); err == nil { // they were checked
			opts.Secrets = append(opts.Secrets, secret)
		}
	}
	return &hooks{webhook.Open(opts)}, nil
}

// forRooms is what rooms tell, nil when nobody wants to know.
func (h *hooks) forRooms() func(rooms.Event) {
	if h == nil {
		return nil
	}
	return h.sender.Tell
}

// close keeps what was told for the next process. Rooms are closed before it, the log after it.
func (h *hooks) close(ctx context.Context) {
	if h != nil {
		h.sender.Close(ctx)
	}
}

// register has /metrics tell of the deliveries. Receivers are numbered as in the settings: their addresses may be secrets.
func (h *hooks) register(metrics prometheus.Registerer) error {
	if h == nil {
		return nil
	}
	all := []prometheus.Collector{prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "confab_webhook_dropped_total", Help: "Events that were not told to a receiver because the queue was full or did not answer.",
	}, func() float64 { return float64(h.sender.Dropped()) })}
	for number := 1; number <= h.sender.Receivers(); number++ {
		labels := prometheus.Labels{"receiver": strconv.Itoa(number)}
		s := &survey[webhook.Stats]{look: func() (webhook.Stats, bool) { return h.sender.Stats(number), true }}
		s.gauge("confab_webhook_waiting", "Events that wait to be delivered, as of a look every two seconds.", labels, func(s webhook.Stats) float64 { return float64(s.Waiting) })
		s.gauge("confab_webhook_oldest_seconds", "How long the event that is tried has waited; of the oldest, 0 = none fails.", labels, func(s webhook.Stats) float64 { return s.Oldest.Seconds() })
		for outcome, name := range webhook.Outcomes {
			s.counter("confab_webhook_attempts_total", "Attempts to deliver an event, by what came of them: delivered, failed, expired after a day, disabled by 410.",
				prometheus.Labels{"receiver": strconv.Itoa(number), "outcome": name}, func(s webhook.Stats) float64 { return float64(s.Outcomes[outcome]) })
		}
		all = append(all, s)
	}
	for _, c := range all {
		if err := metrics.Register(c); err != nil {
			return fmt.Errorf("registering the metrics of webhooks: %w", err)
		}
	}
	return nil
}

// hookQueue is the outbox as webhooks see it.
type hookQueue struct{ *bus.Outbox }

// Lanes implements webhook.Queue.
func (hookQueue) Lanes() int { return bus.OutboxLanes }

// Lane implements webhook.Queue.
func (hookQueue) Lane(room string) int { return bus.OutboxLane(room) }

// Put implements webhook.Queue.
func (q hookQueue) Put(ctx context.Context, destination string, lane int, id string, body []byte) error {
	err := q.Outbox.Put(ctx, destination, lane, id, body)
	if errors.Is(err, bus.ErrOutboxFull) {
		err = fmt.Errorf("%w: %w", webhook.ErrFull, err)
	}
	return err
}

// Next implements webhook.Queue.
func (q hookQueue) Next(ctx context.Context, destination string, lane int) (webhook.Parcel, error) {
	p, err := q.Outbox.Next(ctx, destination, lane)
	if err != nil {
		return webhook.Parcel{}, err
	}
	return webhook.Parcel{Body: p.Payload, Stored: p.Stored, Attempt: p.Attempt, Done: p.Done, Retry: p.Retry}, nil
}
