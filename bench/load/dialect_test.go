package main

import (
	"strings"
	"testing"
	"time"
)

// Our servers with topics and socket.io's, the real ones: everybody gets everything, in order, and the load counts it.
func TestTopics(t *testing.T) {
	for dialect, start := range map[string]func(t *testing.T) (string, int){
		"": func(t *testing.T) (string, int) { return startServer(t, "-lib", "hub", "-mode", "broadcast") },
		"session": func(t *testing.T) (string, int) {
			return startServer(t, "-lib", "session", "-mode", "broadcast")
		},
		"socketio": func(t *testing.T) (string, int) {
			return startProgram(t, "node", "../socketio/server.mjs", "--mode", "broadcast")
		},
	} {
		t.Run("dialect "+dialect, func(t *testing.T) {
			addr, pid := start(t)
			cfg := config{Mode: "broadcast", Addr: addr, Path: "/", Conns: 20, Size: 128, InFlight: 8, Type: "binary", Compression: "off",
				Dialect: dialect, Duration: 10 * time.Second, Count: 2100, PID: pid}
			r, err := run(cfg)
			if err != nil {
				t.Fatal(err)
			}
			if r.Messages < 2100 || r.ReplyBytes < 128 || r.ServerNs <= 0 {
				t.Errorf("%+v", r)
			}
			cfg.Rate, cfg.Count = 50, 210
			if r, err = run(cfg); err != nil || r.Messages < 210 {
				t.Errorf("at a rate: %+v, %v", r, err)
			}
		})
	}
}

func TestDialectRefused(t *testing.T) {
	for want, cfg := range map[string]config{
		"want session or socketio":                            {Mode: "broadcast", Compression: "off", Dialect: "nosuch"},
		"dialect session: want mode broadcast or idle":        {Mode: "echo", Compression: "off", Dialect: "session"},
		"dialect socketio: want mode broadcast or idle, with": {Mode: "idle", Compression: "takeover", Dialect: "socketio"},
	} {
		cfg.Addr = "127.0.0.1:9"
		if _, err := run(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", cfg, err, want)
		}
	}
}

// What servers say, literally, and what the load makes of it.
func TestDialects(t *testing.T) {
	for _, c := range []struct{ dialect, text, data, answer, ready, err string }{
		{"session", `{"type":"message","topic":"bench.room","offset":7,"time":1763726400000,"from":{"user":"~a"},"data":"abc"}`, `"abc"`, "", "", ""},
		{"session", `{"type":"reply","id":1,"topic":"bench.room","epoch":"k3f9","offset":0}`, "", "", "ready", ""},
		{"session", `{"type":"gap","topic":"bench.room","reason":"slow"}`, "", "", "", "slow"},
		{"session", `{"type":"message","topic":"bench.room","offset":7,"time":1}`, "", "", "", "offset"},
		{"session", ``, "", "", "", "says"},
		{"socketio", `0{"sid":"x","upgrades":[],"pingInterval":25000}`, "", "40", "", ""},
		{"socketio", `40{"sid":"y"}`, "", `421["subscribe","bench.room"]`, "", ""},
		{"socketio", `431[]`, "", "", "ready", ""},
		{"socketio", `42["message","abc"]`, `"abc"`, "", "", ""},
		{"socketio", `2`, "", "3", "", ""},
		{"socketio", `44{"message":"no"}`, "", "", "", "no"},
	} {
		got, err := dialects[c.dialect].read([]byte(c.text))
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s %s: %v, want an error about %q", c.dialect, c.text, err, c.err)
			}
			continue
		}
		if err != nil || string(got.data) != c.data || got.answer != c.answer || got.ready != (c.ready != "") {
			t.Errorf("%s %s: %+v, %v", c.dialect, c.text, got, err)
		}
	}
}

// A delivery that differs from what was published ends the run.
func TestWrongDelivery(t *testing.T) {
	texts := letters(2, 8)
	s := newTopicStream(socketioDialect{}, texts)
	frame := func(text string) []byte { return append([]byte{0x81, byte(len(text))}, text...) }
	c := &conn{fd: -1, stream: s, dialect: socketioDialect{}}
	var all tally
	for i, want := range []string{"", "differs"} {
		n, err := c.feed(frame(`42["message","`+string(texts[0])+`"]`), &all)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) || err == nil && n != 1 {
			t.Errorf("delivery %d: %d, %v", i, n, err)
		}
	}
}
