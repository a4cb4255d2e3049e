package main

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"confab/bots"
	"confab/bots/builtin"
	"confab/bots/hearing"
	"confab/bots/provider"
	"confab/bots/provider/catalog"
	"confab/bots/provider/resilient"
	"confab/bots/tool"
	"confab/bots/tool/mcp"
	"confab/rooms"
	"confab/signaling/wire"
)

// botsOff is --bots for a server without bots.
const botsOff = "off"

// crew is the bots of this server; its zero value is none.
type crew struct {
	service *bots.Service
	models  *catalog.Catalog
	servers *mcp.Servers // of tools
}

// openBots makes the bots of the settings: the default ones, or those of a file.
func openBots(s *Settings, from origins, metrics prometheus.Registerer, calls sfu, log *slog.Logger) (c crew, err error) {
	if s.Bots == botsOff {
		return crew{}, nil
	}
	file := &bots.File{Bots: bots.DefaultPersonas()}
	if s.Bots != "" {
		if file, err = bots.ReadFile(s.Bots); err != nil {
			return crew{}, &settingError{name: "bots", origin: from["bots"], text: err.Error()}
		}
	}
	m := newBotMetrics()
	if err = m.register(metrics); err != nil {
		return crew{}, err
	}
	c.models, err = catalog.Open(file.Providers, catalog.Options{Last: builtin.Engine{}, Meter: meter{m}, Logger: log})
	if err != nil {
		return crew{}, &settingError{name: "bots", origin: from["bots"], text: err.Error()}
	}
	if c.servers, err = mcp.Open(file.MCP, mcp.Options{Logger: log}); err != nil {
		return crew{}, &settingError{name: "bots", origin: from["bots"], text: err.Error()}
	}
	opts := bots.Options{
		Personas: file.Bots, Models: map[string]provider.Model{}, Engines: map[string]string{}, BuiltIn: builtin.Engine{},
		Tools: tool.ForRoom(), Servers: c.servers, Metrics: m, Logger: log,
	}
	for _, name := range c.models.Names() {
		opts.Models[name], _ = c.models.Model(name)
		opts.Engines[name] = file.Providers[name].Model
	}
	if file.Speech != nil {
		if opts.Voice, err = calls.openVoices(file.Speech, speechMeter{m}, log); err != nil {
			return crew{}, &settingError{name: "bots", origin: from["bots"], text: err.Error()}
		}
	}
	if file.Hearing != nil {
		if opts.Hearing, err = calls.openEars(file.Hearing, m, log); err != nil {
			return crew{}, &settingError{name: "bots", origin: from["bots"], text: err.Error()}
		}
	}
	if calls.server != nil {
		opts.Spoken = calls.server.Spoken
		opts.Connection = func(room wire.RoomID, who wire.ParticipantID) (tool.Connection, bool) {
			found, known := calls.server.Downlink(room, who)
			return tool.Connection{RoundTrip: found.RTT, Loss: found.Loss, Bitrate: found.Target}, known
		}
	}
	if file.Profiles != "" {
		opts.Profile = bots.ProfilesAt(file.Profiles, &http.Client{})
	}
	if c.service, err = bots.New(opts); err != nil {
		c.servers.Close()
		return crew{}, &settingError{name: "bots", origin: from["bots"], text: err.Error()}
	}
	return c, nil
}

// forRooms is the bots as rooms take them: nil when there are none.
func (c crew) forRooms() rooms.Bots {
	if c.service == nil {
		return nil
	}
	return c.service
}

// close ends the bots, after the rooms.
func (c crew) close(ctx context.Context) error {
	if c.service == nil {
		return nil
	}
	defer c.models.Close()
	err := wrap("ending the bots", c.service.Close(ctx))
	c.servers.Close()
	return err
}

// botMetrics tell Prometheus of bots and of what answers for them.
type botMetrics struct {
	runs      *prometheus.CounterVec
	first     *prometheus.HistogramVec
	whole     *prometheus.HistogramVec
	tokens    *prometheus.CounterVec
	degraded  prometheus.Counter
	cache     *prometheus.CounterVec
	tools     *prometheus.CounterVec
	toolTime  prometheus.Histogram
	providers *prometheus.CounterVec
	firstPart *prometheus.HistogramVec
	breakers  *prometheus.GaugeVec
	segments  *prometheus.CounterVec
	heard     prometheus.Counter
	writing   prometheus.Histogram
	speech    *prometheus.CounterVec
	sound     prometheus.Histogram
	speechOut prometheus.Gauge
}

var _ bots.Metrics = (*botMetrics)(nil)
var _ hearing.Metrics = (*botMetrics)(nil)
var _, _ resilient.Meter = meter{}, speechMeter{}

func newBotMetrics() *botMetrics {
	seconds := []float64{.01, .05, .1, .25, .5, 1, 2, 5, 10, 30, 60}
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: seconds}, labels)
	}
	return &botMetrics{
		runs:      counter("confab_bot_runs_total", "Answers of bots that have ended, by how.", "bot", "status"),
		first:     histogram("confab_bot_first_word_seconds", "From a question to the first word of its answer.", "bot"),
		whole:     histogram("confab_bot_run_seconds", "From a question to the end of its answer.", "bot"),
		tokens:    counter("confab_bot_tokens_total", "Tokens that answers have used, as their providers count them.", "bot", "direction"),
		degraded:  prometheus.NewCounter(prometheus.CounterOpts{Name: "confab_bot_degraded_total", Help: "Answers by another engine than the bot's own, which could not."}),
		cache:     counter("confab_bot_cache_total", "Questions whose answer might be at hand, by whether it was.", "result"),
		tools:     counter("confab_bot_tools_total", "Uses of tools, by what became of them.", "tool", "result"),
		toolTime:  prometheus.NewHistogram(prometheus.HistogramOpts{Name: "confab_bot_tool_seconds", Help: "How long uses of tools took.", Buckets: seconds}),
		providers: counter("confab_bot_provider_requests_total", "Requests to providers of models, by what became of them.", "provider", "outcome"),
		firstPart: histogram("confab_bot_provider_first_seconds", "From a request to a provider to the first piece of its answer.", "provider"),
		breakers:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "confab_bot_provider_breaker_open", Help: "1 while a provider is not asked, because it failed too often."}, []string{"provider"}),
		segments:  counter("confab_bot_heard_segments_total", "Pieces of speech in calls that bots hear, by what became of them.", "outcome"),
		heard:     prometheus.NewCounter(prometheus.CounterOpts{Name: "confab_bot_heard_seconds_total", Help: "Seconds of speech that were sent to be written down."}),
		writing:   prometheus.NewHistogram(prometheus.HistogramOpts{Name: "confab_bot_transcription_seconds", Help: "From the end of a piece of speech to its text.", Buckets: seconds}),
		speech:    counter("confab_bot_speech_requests_total", "Sentences that the speech endpoint was asked for, by what became of them.", "outcome"),
		sound:     prometheus.NewHistogram(prometheus.HistogramOpts{Name: "confab_bot_speech_first_seconds", Help: "From a request to the speech endpoint to the first sound.", Buckets: seconds}),
		speechOut: prometheus.NewGauge(prometheus.GaugeOpts{Name: "confab_bot_speech_breaker_open", Help: "1 while the speech endpoint is not asked, because it failed too often."}),
	}
}

func (m *botMetrics) register(registry prometheus.Registerer) error {
	for _, c := range []prometheus.Collector{
		m.runs, m.first, m.whole, m.tokens, m.degraded, m.cache, m.tools, m.toolTime, m.providers, m.firstPart, m.breakers,
		m.segments, m.heard, m.writing,
		m.speech, m.sound, m.speechOut,
	} {
		if err := registry.Register(c); err != nil {
			return wrap("registering metrics of bots", err)
		}
	}
	return nil
}

// Run implements bots.Metrics.
func (m *botMetrics) Run(bot wire.BotID, status wire.RunStatus, first, whole time.Duration, usage provider.Usage, degraded bool) {
	m.runs.WithLabelValues(string(bot), string(status)).Inc()
	m.whole.WithLabelValues(string(bot)).Observe(whole.Seconds())
	if first > 0 {
		m.first.WithLabelValues(string(bot)).Observe(first.Seconds())
	}
	m.tokens.WithLabelValues(string(bot), "in").Add(float64(usage.Input))
	m.tokens.WithLabelValues(string(bot), "out").Add(float64(usage.Output))
	if degraded {
		m.degraded.Inc()
	}
}

// Asked implements bots.Metrics.
func (m *botMetrics) Asked(cached bool) {
	result := "miss"
	if cached {
		result = "hit"
	}
	m.cache.WithLabelValues(result).Inc()
}

// Tool implements bots.Metrics.
func (m *botMetrics) Tool(name string, ok bool, took time.Duration) {
	result := "ok"
	if !ok {
		result = "failed"
	}
	m.tools.WithLabelValues(name, result).Inc()
	m.toolTime.Observe(took.Seconds())
}

// Segment implements hearing.Metrics.
func (m *botMetrics) Segment(outcome hearing.Outcome, length, took time.Duration) {
	m.segments.WithLabelValues(string(outcome)).Inc()
	switch outcome {
	case hearing.Short, hearing.Dropped: // nobody was asked
		return
	case hearing.Written, hearing.Empty:
		m.writing.Observe(took.Seconds())
	case hearing.Failed:
	}
	m.heard.Add(length.Seconds())
}

// meter is botMetrics as providers tell them, whose method has the name of another one's.
type meter struct{ *botMetrics }

// Asked implements resilient.Meter.
func (m meter) Asked(a resilient.Attempt) {
	m.providers.WithLabelValues(a.Provider, a.Outcome).Inc()
	if a.First > 0 {
		m.firstPart.WithLabelValues(a.Provider).Observe(a.First.Seconds())
	}
}

// Breaker implements resilient.Meter.
func (m meter) Breaker(name string, open bool) {
	m.breakers.WithLabelValues(name).Set(gauge(open))
}

// gauge is a yes as Prometheus has it.
func gauge(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// speechMeter is botMetrics as the speech endpoint tells them.
type speechMeter struct{ *botMetrics }

// Asked implements resilient.Meter.
func (m speechMeter) Asked(a resilient.Attempt) {
	m.speech.WithLabelValues(a.Outcome).Inc()
	if a.First > 0 {
		m.sound.Observe(a.First.Seconds())
	}
}

// Breaker implements resilient.Meter.
func (m speechMeter) Breaker(_ string, open bool) { m.speechOut.Set(gauge(open)) }
