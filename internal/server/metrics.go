package server

import (
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/server/webhook"
)

// metrics are the figures for Prometheus. Labels are patterns of rules and never topics, whose number has no bound.
type metrics struct {
	registry  *prometheus.Registry
	published *timings
	delivered *timings
	hooks     *timings
	failed    *prometheus.CounterVec // of webhooks
}

// latencyBuckets are in seconds.
var latencyBuckets = []float64{50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3, 0.1, 0.25, 0.5, 1, 2.5, 5, 10}

func newMetrics(version string) *metrics {
	m := &metrics{
		registry:  prometheus.NewRegistry(),
		published: newTimings("duplex_publish_seconds", "rule", "How long it took to store a message and to hand it to all subscribers here."),
		delivered: newTimings("duplex_delivery_seconds", "rule", "From when a message was taken until it was handed to the connections of its subscribers."),
		hooks:     newTimings("duplex_webhook_seconds", "hook", "How long webhooks took, with what they waited for their turn."),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "duplex_webhook_failures_total", Help: "Webhooks that were not answered as they should have been, so that a client was refused.",
		}, []string{"hook"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "duplex_build_info", Help: "1; the labels say what is running.",
		ConstLabels: prometheus.Labels{"version": version, "goversion": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(m.published.histogram, m.delivered.histogram, m.hooks.histogram, m.failed, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// watch adds the figures that are read when somebody asks.
func (m *metrics) watch(h *hub.Hub, connections func() int) {
	m.registry.MustRegister(&hubCollector{h, connections})
}

// meter is what the hub tells as it happens.
func (m *metrics) meter() hub.Meter {
	return hub.Meter{Published: m.published.observe, Delivered: m.delivered.observe}
}

// hookMeter is what webhooks tell.
func (m *metrics) hookMeter() webhook.Meter {
	return webhook.Meter{Called: m.hooks.observe, Failed: func(hook string) { m.failed.WithLabelValues(hook).Inc() }}
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}

// timings is a histogram for each value of one label. It remembers them, as finding one by its label costs more than observing.
type timings struct {
	histogram *prometheus.HistogramVec
	byLabel   sync.Map // of prometheus.Observer; there are as many as there have been rules, or hooks
}

func newTimings(name, label, help string) *timings {
	return &timings{histogram: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: latencyBuckets}, []string{label})}
}

func (t *timings) observe(label string, took time.Duration) {
	observer, known := t.byLabel.Load(label)
	if !known {
		observer, _ = t.byLabel.LoadOrStore(label, t.histogram.WithLabelValues(label))
	}
	observer.(prometheus.Observer).Observe(took.Seconds())
}

// figure is one of the hub's.
type figure struct {
	desc *prometheus.Desc
	read func(*hub.Stats, int) float64
}

func gauge(name, help string, read func(s *hub.Stats, connections int) float64) figure {
	return figure{prometheus.NewDesc(name, help, nil, nil), read}
}

// ruleFigure is one of those that the hub counts for each rule.
type ruleFigure struct {
	desc *prometheus.Desc
	read func(*hub.RuleStats) uint64
}

func counter(name, help string, read func(*hub.RuleStats) uint64) ruleFigure {
	return ruleFigure{prometheus.NewDesc(name, help, []string{"rule"}, nil), read}
}

var figures = []figure{
	gauge("duplex_connections", "WebSocket connections.", func(_ *hub.Stats, connections int) float64 { return float64(connections) }),
	gauge("duplex_sessions", "Clients of the session protocol that have connected.", func(s *hub.Stats, _ int) float64 { return float64(s.Subscribers) }),
	gauge("duplex_subscriptions", "Subscriptions to topics and patterns.", func(s *hub.Stats, _ int) float64 { return float64(s.Subscriptions) }),
	gauge("duplex_topics", "Topics with subscribers or history.", func(s *hub.Stats, _ int) float64 { return float64(s.Topics) }),
	gauge("duplex_queue_messages", "Messages that wait for slow subscribers.", func(s *hub.Stats, _ int) float64 { return float64(s.QueuedMessages) }),
	gauge("duplex_queue_bytes", "Bytes of these.", func(s *hub.Stats, _ int) float64 { return float64(s.QueuedBytes) }),
	gauge("duplex_history_bytes", "Bytes of the messages that topics keep.", func(s *hub.Stats, _ int) float64 { return float64(s.HistoryBytes) }),
}

var ruleFigures = []ruleFigure{
	counter("duplex_published_total", "Messages that were published and stored, retries not counted.", func(r *hub.RuleStats) uint64 { return r.Published }),
	counter("duplex_deliveries_total", "Messages handed to connections.", func(r *hub.RuleStats) uint64 { return r.Deliveries }),
	counter("duplex_dropped_total", "Messages that slow subscribers lost to the policy drop-oldest.", func(r *hub.RuleStats) uint64 { return r.Dropped }),
	counter("duplex_superseded_total", "Messages that slow subscribers lost to newer ones by the policy latest.", func(r *hub.RuleStats) uint64 { return r.Superseded }),
	counter("duplex_gaps_total", "Gaps told to subscribers.", func(r *hub.RuleStats) uint64 { return r.Gaps }),
	counter("duplex_slow_disconnects_total", "Subscribers ended by the policy disconnect.", func(r *hub.RuleStats) uint64 { return r.Slow }),
}

// hubCollector asks the hub for its figures whenever they are scraped. It implements prometheus.Collector.
type hubCollector struct {
	hub         *hub.Hub
	connections func() int
}

var _ prometheus.Collector = (*hubCollector)(nil)

func (c *hubCollector) Describe(out chan<- *prometheus.Desc) {
	for _, f := range figures {
		out <- f.desc
	}
	for _, f := range ruleFigures {
		out <- f.desc
	}
}

func (c *hubCollector) Collect(out chan<- prometheus.Metric) {
	stats, connections := c.hub.Stats(), c.connections()
	for _, f := range figures {
		out <- prometheus.MustNewConstMetric(f.desc, prometheus.GaugeValue, f.read(&stats, connections))
	}
	seen := map[string]bool{} // two rules of one pattern share their counters
	for i := range stats.Rules {
		r := &stats.Rules[i]
		if seen[r.Pattern] {
			continue
		}
		seen[r.Pattern] = true
		for _, f := range ruleFigures {
			out <- prometheus.MustNewConstMetric(f.desc, prometheus.CounterValue, float64(f.read(r)), r.Pattern)
		}
	}
}
