package load

import (
	"context"
	"errors"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

var ownPID = os.Getpid()

func TestBroadcast(t *testing.T) {
	for transport, portable := range transports {
		for _, mode := range compressions {
			for who, toSender := range map[string]bool{"all": true, "others": false} {
				t.Run(strings.Join([]string{transport, compressionNames[mode], who}, "/"), func(t *testing.T) {
					config := Config{
						URL: serve(t, broadcastServer(mode, toSender)), Mode: Broadcast, Connections: 10, InFlight: 4, Size: 200, Text: true, Compression: mode,
						WarmUp: -1, Messages: 2000, Duration: patience, portable: portable,
					}
					r := must(t, config)
					if r.Messages < 2000 || r.Connect.Opened != 11 || r.Latency.Count > r.Messages || r.Latency.Count < r.Messages*9/11 {
						t.Errorf("%d deliveries, %d latencies, %d connections", r.Messages, r.Latency.Count, r.Connect.Opened)
					}
					config.InFlight, config.Rate, config.Messages, config.Duration = 0, 500, 0, 500*time.Millisecond
					r = must(t, config)
					if want := 500 * r.Seconds * 10; float64(r.Scheduled) < 0.8*want || float64(r.Scheduled) > 1.2*want || r.Latency.Count != r.Scheduled || r.Unanswered != 0 {
						t.Errorf("open loop: %d scheduled in %f s, %d measured, %d unanswered", r.Scheduled, r.Seconds, r.Latency.Count, r.Unanswered)
					}
				})
			}
		}
	}
}

// A subscriber that leaves is an error of its own; the others go on.
func TestBroadcastLosesSubscriber(t *testing.T) {
	var s *websocket.Server
	var seen atomic.Int64
	s = handled(websocket.CompressionOff, func(from *websocket.Conn, typ websocket.MessageType, p []byte) {
		leaves := seen.Add(1) == 50
		s.Range(func(c *websocket.Conn) bool {
			if leaves && c != from {
				leaves = false
				go func() { _ = c.Close(context.Background(), websocket.StatusGoingAway, "that was it") }()
			}
			_ = c.Send(typ, p)
			return true
		})
	})
	r := try(t, Config{URL: serve(t, s), Mode: Broadcast, Connections: 5, InFlight: 3, WarmUp: -1, Messages: 2000, Duration: patience})
	if len(r.Errors) != 1 || r.Errors[0].Kind != Closed || r.Errors[0].Count != 1 || !strings.Contains(r.Errors[0].First, `1001 (going away): "that was it"`) {
		t.Errorf("errors: %+v", r.Errors)
	}
	if r.Messages < 2000 {
		t.Errorf("%d deliveries", r.Messages)
	}
}

func TestBroadcastLosesPublisher(t *testing.T) {
	var seen atomic.Int64
	s := handled(websocket.CompressionOff, func(from *websocket.Conn, _ websocket.MessageType, _ []byte) {
		if seen.Add(1) == 2 {
			_ = from.CloseNow()
		}
	})
	began := time.Now()
	r := try(t, Config{URL: serve(t, s), Mode: Broadcast, Connections: 5, InFlight: 3, Duration: patience})
	if len(r.Errors) != 1 || r.Errors[0].Kind != Lost || time.Since(began) > patience {
		t.Errorf("errors after %s: %+v", time.Since(began), r.Errors)
	}
}

func TestIdle(t *testing.T) {
	for transport, portable := range transports {
		t.Run(transport, func(t *testing.T) {
			url := serve(t, echoServer(websocket.CompressionTakeover))
			r := must(t, Config{URL: url, Mode: Idle, Connections: 300, Size: 1000, Text: true, Compression: websocket.CompressionTakeover, Churn: 64,
				Duration: 100 * time.Millisecond, PID: ownPID, portable: portable})
			// The server is this process, so its memory means little; it is there.
			if r.Idle == nil || r.Messages != 300 || r.Compressed != 1 || r.Latency.Count != 300 || r.Connect.Opened != 300 {
				t.Fatalf("%+v; %d messages, %d latencies, %d connections", r.Idle, r.Messages, r.Latency.Count, r.Connect.Opened)
			}
			if n := len(r.Idle.Curve); n < 2 || r.Idle.Curve[n-1].Connections < 200 || r.Idle.Curve[n-1].Bytes <= 0 {
				t.Errorf("curve: %+v", r.Idle.Curve)
			}
		})
	}
}

func TestIdleWithoutExchange(t *testing.T) {
	var messages atomic.Int64
	url := serve(t, handled(websocket.CompressionOff, func(*websocket.Conn, websocket.MessageType, []byte) { messages.Add(1) }))
	r := must(t, Config{URL: url, Mode: Idle, Connections: 20, NoExchange: true, ConnectRate: 200, Parallel: 3, Duration: 50 * time.Millisecond})
	if r.Messages != 0 || messages.Load() != 0 || r.Connect.Opened != 20 || r.Idle != nil {
		t.Errorf("%d messages, %d at the server, %d connections, %+v", r.Messages, messages.Load(), r.Connect.Opened, r.Idle)
	}
	if r.Connect.Seconds < 16.0/200 { // in two steps, the first of each at once
		t.Errorf("20 connections at 200 a second took %f s", r.Connect.Seconds)
	}
}

// Idle connections answer the server's pings, and one that the server closes is
// an error.
func TestIdleStaysAlive(t *testing.T) {
	s := echoServer(websocket.CompressionOff)
	s.Accept.PingInterval, s.Accept.PongTimeout = 50*time.Millisecond, 100*time.Millisecond
	if r := must(t, Config{URL: serve(t, s), Mode: Idle, Connections: 10, Duration: 600 * time.Millisecond}); r.Connect.Opened != 10 {
		t.Errorf("%+v", r.Connect)
	}
	s = echoServer(websocket.CompressionOff)
	s.Accept.MaxLifetime = 100 * time.Millisecond
	r := try(t, Config{URL: serve(t, s), Mode: Idle, Connections: 10, Duration: patience})
	if len(r.Errors) != 1 || r.Errors[0].Kind != Closed || r.Errors[0].Count != 10 {
		t.Errorf("errors: %+v", r.Errors)
	}
}

func TestHandshakes(t *testing.T) {
	s := echoServer(websocket.CompressionOff)
	var shown atomic.Int64
	s.Accept.Subprotocols = []string{"b"}
	s.Accept.Interceptors = []func(*websocket.Upgrade) error{func(u *websocket.Upgrade) error {
		shown.Add(1)
		if u.Request.Header.Get("X-Test") != "yes" || u.Request.URL.RequestURI() != "/?a=b%20c" {
			return errors.New("not the request that was asked for")
		}
		return nil
	}}
	url := serve(t, s) + "?a=b%20c"
	config := Config{URL: url, Mode: Handshake, Connections: 10, WarmUp: 10 * time.Millisecond, Messages: 300, Duration: patience,
		Header: http.Header{"X-Test": {"yes"}}, Subprotocols: []string{"a", "b"}}
	r := must(t, config)
	if r.Messages != 300 || r.Latency.Count != 300 || shown.Load() < 301 {
		t.Errorf("%d handshakes, %d latencies, %d seen", r.Messages, r.Latency.Count, shown.Load())
	}
	config.Rate, config.Messages, config.Duration = 200, 0, 500*time.Millisecond
	if r = must(t, config); r.Messages < 10 || r.Messages > 110 || r.Latency.Count != r.Messages {
		t.Errorf("%d handshakes at 200 a second in half of one, %d latencies", r.Messages, r.Latency.Count)
	}
}

func TestProgress(t *testing.T) {
	for _, mode := range []Mode{Echo, Handshake} {
		var phases []string
		config := Config{URL: serve(t, echoServer(websocket.CompressionOff)), Mode: mode, Connections: 2, WarmUp: 600 * time.Millisecond, Duration: 600 * time.Millisecond}
		config.Progress = func(p Progress) {
			if !slices.Contains(phases, p.Phase) {
				phases = append(phases, p.Phase)
			}
			if p.Phase == "measuring" && (p.Messages == 0 || p.PerSecond <= 0 || p.Total != config.Duration || p.Elapsed <= 0 || p.Wanted != 2) {
				t.Errorf("%+v", p)
			}
		}
		must(t, config)
		if !slices.Equal(phases, []string{"warming up", "measuring"}) {
			t.Errorf("%s: %v", mode, phases)
		}
	}
}

// When the context ends, the run does, and reports.
func TestInterrupted(t *testing.T) {
	for _, mode := range []Mode{Echo, Broadcast, Idle, Handshake} {
		t.Run(string(mode), func(t *testing.T) {
			s := echoServer(websocket.CompressionOff)
			if mode == Broadcast {
				s = broadcastServer(websocket.CompressionOff, true)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			began := time.Now()
			r, err := Run(ctx, Config{URL: serve(t, s), Mode: mode, Connections: 3, WarmUp: -1, Duration: time.Hour,
				Progress: func(p Progress) { cancel() }})
			if err != nil {
				t.Fatal(err)
			}
			if !r.Interrupted || time.Since(began) > patience || len(r.Errors) > 0 {
				t.Errorf("interrupted %v after %s: %+v", r.Interrupted, time.Since(began), r.Errors)
			}
			if mode != Idle && (r.Messages == 0 || r.Latency.Count == 0 || r.PerSecond <= 0) {
				t.Errorf("%d messages, %f/s, %d latencies", r.Messages, r.PerSecond, r.Latency.Count)
			}
		})
	}
}
