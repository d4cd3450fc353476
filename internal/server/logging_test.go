package server

import (
	"encoding/json"
	"strings"
	"testing"
)

// TestLogJSON: one line says what runs where.
func TestLogJSON(t *testing.T) {
	log := newLogbook()
	address := start(t, Config{Settings: configured(t, "log: {format: json}\n"), Log: log, Version: "v1.2.3"})
	var line map[string]any
	if err := json.Unmarshal([]byte(log.await(t, "listening")), &line); err != nil {
		t.Fatal(err)
	}
	if line["level"] != "INFO" || line["address"] != address || line["version"] != "v1.2.3" || line["mode"] != "open on loopback" {
		t.Errorf("%v", line)
	}
}

func TestLogLevel(t *testing.T) {
	var b strings.Builder
	c := configured(t, "log: {level: warn}").Log
	log := newLogger(&b, c)
	log.Info("quiet")
	log.level.Set(logLevels["debug"])
	log.Debug("loud")
	log.Warn("odd")
	if lines, _ := log.journal.Lines(); len(lines) != 1 || lines[0].Text != "odd" {
		t.Errorf("the journal has %v", lines)
	}
	if strings.Contains(b.String(), "quiet") || !strings.Contains(b.String(), "msg=loud") {
		t.Error(b.String())
	}
}
