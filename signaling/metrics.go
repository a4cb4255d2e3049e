package signaling

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"confab/signaling/wire"
)

// metrics are this package's. Every set of labels is closed, and the counters of the hot path are looked up
// once.
type metrics struct {
	connections *prometheus.CounterVec // by transport and outcome
	auths       *prometheus.CounterVec // by method and outcome
	closes      *prometheus.CounterVec // by code
	sessions    *prometheus.GaugeVec   // by transport
	slow        prometheus.Counter
	answers     prometheus.Histogram

	messages map[wire.Kind]prometheus.Counter // those that have a handler
	unknown  prometheus.Counter               // the others
	errors   map[wire.ErrorCode]prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, kinds mux, draining func() bool) (*metrics, error) {
	m := &metrics{
		connections: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "confab_connections_total",
			Help: "Connections by transport (websocket; events is Server-Sent Events and POST) and outcome: accepted, or why they were refused.",
		}, []string{"transport", "outcome"}),
		auths: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "confab_authentications_total",
			Help: "Authentications by method (message; url is the deprecated token in the URL) and outcome.",
		}, []string{"method", "outcome"}),
		closes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "confab_closes_total", Help: "Connections that the server closed, by close code.",
		}, []string{"code"}),
		sessions: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "confab_sessions", Help: "Authenticated connections that are open, by transport.",
		}, []string{"transport"}),
		slow: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "confab_slow_consumers_total", Help: "Clients closed because too much was waiting for them.",
		}),
		answers: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "confab_answer_seconds",
			Help:    "From the receipt of a request to its answer, where the room gives it.",
			Buckets: []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 5, 15},
		}),
		messages: make(map[wire.Kind]prometheus.Counter, len(kinds)),
		errors:   make(map[wire.ErrorCode]prometheus.Counter, len(wire.ErrorCodes)),
	}
	received := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "confab_messages_received_total", Help: "Messages from clients by type.",
	}, []string{"type"})
	failed := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "confab_errors_total", Help: "Requests that did not take effect, by error code.",
	}, []string{"code"})
	// What alerts divide by is there before the first client is.
	for _, transport := range []string{"websocket", "events"} {
		for _, outcome := range []string{"accepted", "refused", "draining", "origin", "address-limit"} {
			m.connections.WithLabelValues(transport, outcome)
		}
		m.sessions.WithLabelValues(transport)
	}
	m.connections.WithLabelValues("websocket", "subprotocol")
	for _, method := range []string{"message", "url"} {
		m.auths.WithLabelValues(method, "ok")
		m.auths.WithLabelValues(method, string(wire.CodeUnauthorized))
	}
	for kind := range kinds {
		m.messages[kind] = received.WithLabelValues(string(kind))
	}
	m.unknown = received.WithLabelValues("unknown")
	for _, code := range wire.ErrorCodes {
		m.errors[code] = failed.WithLabelValues(string(code))
	}
	drains := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "confab_draining", Help: "1 while the server takes no new connections, because it is about to end.",
	}, func() float64 {
		if draining() {
			return 1
		}
		return 0
	})
	for _, c := range []prometheus.Collector{drains, m.connections, m.auths, m.closes, m.sessions, m.slow, m.answers, received, failed} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) connection(transport, outcome string) {
	m.connections.WithLabelValues(transport, outcome).Inc()
}

// authenticated counts an attempt; outcome is ok or an error code.
func (m *metrics) authenticated(inURL bool, outcome string) {
	method := "message"
	if inURL {
		method = "url"
	}
	m.auths.WithLabelValues(method, outcome).Inc()
}

func (m *metrics) closed(code wire.CloseCode) {
	m.closes.WithLabelValues(strconv.Itoa(int(code))).Inc()
}

func (m *metrics) received(kind wire.Kind) {
	if c, ok := m.messages[kind]; ok {
		c.Inc()
		return
	}
	m.unknown.Inc()
}

func (m *metrics) failed(code wire.ErrorCode) {
	if c, ok := m.errors[code]; ok {
		c.Inc()
	}
}

func (m *metrics) answered(after time.Duration) { m.answers.Observe(after.Seconds()) }
