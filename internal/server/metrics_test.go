package server

import (
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// scrape reads the figures as Prometheus does.
func scrape(t *testing.T, address string) map[string]*dto.MetricFamily {
	t.Helper()
	response, body := get(t, address+"metrics", nil)
	if response.StatusCode != 200 {
		t.Fatalf("metrics: %d %s", response.StatusCode, body)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return families
}

// value finds one figure; rule is its label, or "".
func value(t *testing.T, all map[string]*dto.MetricFamily, name, rule string) float64 {
	t.Helper()
	family := all[name]
	if family == nil {
		t.Errorf("there is no %s", name)
		return -1
	}
	for _, m := range family.Metric {
		if labelOf(m, "rule") != rule {
			continue
		}
		switch {
		case m.Gauge != nil:
			return m.Gauge.GetValue()
		case m.Counter != nil:
			return m.Counter.GetValue()
		case m.Histogram != nil:
			return float64(m.Histogram.GetSampleCount())
		}
	}
	t.Errorf("%s has no rule %q", name, rule)
	return -1
}

func labelOf(m *dto.Metric, name string) string {
	for _, l := range m.Label {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

func TestMetrics(t *testing.T) {
	address := start(t, Config{
		Settings: configured(t, "demo: off\ntopics: [{pattern: chat.*, history: {messages: 10}}, {pattern: chat.*}]\n"), Version: "v1.2.3",
	})
	ann, bob := join(t, address, ""), join(t, address, "")
	ann.ask(map[string]any{"type": "subscribe", "topic": "chat.lobby"})
	bob.ask(map[string]any{"type": "subscribe", "topic": "chat.>"})
	bob.ask(map[string]any{"type": "subscribe", "topic": "other"})
	for range 3 {
		ann.ask(map[string]any{"type": "publish", "topic": "chat.lobby", "data": "secret topic"})
	}
	ann.ask(map[string]any{"type": "publish", "topic": "other", "data": 1})
	all := scrape(t, address)
	for _, c := range []struct {
		name, rule string
		want       float64
	}{
		{"duplex_connections", "", 2}, {"duplex_sessions", "", 2}, {"duplex_subscriptions", "", 3}, {"duplex_topics", "", 2},
		{"duplex_queue_messages", "", 0}, {"duplex_queue_bytes", "", 0},
		{"duplex_published_total", "chat.*", 3}, {"duplex_published_total", "", 1},
		{"duplex_deliveries_total", "chat.*", 6}, {"duplex_deliveries_total", "", 1},
		{"duplex_dropped_total", "chat.*", 0}, {"duplex_superseded_total", "chat.*", 0}, {"duplex_gaps_total", "chat.*", 0}, {"duplex_slow_disconnects_total", "", 0},
		{"duplex_publish_seconds", "chat.*", 3}, {"duplex_delivery_seconds", "chat.*", 3},
	} {
		if got := value(t, all, c.name, c.rule); got != c.want {
			t.Errorf("%s of rule %q is %v, want %v", c.name, c.rule, got, c.want)
		}
	}
	if got := value(t, all, "duplex_history_bytes", ""); got <= 0 {
		t.Errorf("%v bytes of history", got)
	}
	build := all["duplex_build_info"]
	if build == nil || labelOf(build.Metric[0], "version") != "v1.2.3" || !strings.HasPrefix(labelOf(build.Metric[0], "goversion"), "go1") {
		t.Errorf("%v", build)
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes", "process_open_fds"} {
		if all[name] == nil {
			t.Errorf("there is no %s", name)
		}
	}
	for _, family := range all {
		for _, m := range family.Metric {
			if strings.Contains(m.String(), "lobby") {
				t.Errorf("%s tells a topic", family.GetName())
			}
		}
	}
}

// TestMetricsElsewhere: operators' listener has them, and then the first one has not.
func TestMetricsElsewhere(t *testing.T) {
	log := newLogbook()
	address := start(t, Config{Settings: configured(t, "admin: {listen: '127.0.0.1:0'}\n"), Log: log})
	admin := attribute(t, log.await(t, "listening"), "admin")
	scrape(t, admin)
	if response, _ := get(t, address+"metrics", nil); response.StatusCode != 404 {
		t.Errorf("%d", response.StatusCode)
	}
	if response, body := get(t, admin+"healthz", nil); response.StatusCode != 200 || body != "ok\n" {
		t.Errorf("%d %q", response.StatusCode, body)
	}
	none := start(t, Config{Settings: configured(t, "metrics: false\n")})
	if response, _ := get(t, none+"metrics", nil); response.StatusCode != 404 {
		t.Errorf("%d", response.StatusCode)
	}
}
