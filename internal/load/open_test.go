package load

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// stall is how long the server of these tests stops answering, once.
const stall = 400 * time.Millisecond

// stallingServer echoes, but for one message, that it answers a stall late; what
// comes on that connection meanwhile waits.
func stallingServer(after int64) *websocket.Server {
	var seen atomic.Int64
	return handled(websocket.CompressionOff, func(c *websocket.Conn, typ websocket.MessageType, p []byte) {
		if seen.Add(1) == after {
			time.Sleep(stall) // the handler blocks: the fault that the test is about
		}
		_ = c.Write(context.Background(), typ, p)
	})
}

// A closed loop does not send while the server stalls, so one message out of
// very many is slow and p99 hides it. An open loop has a message due every
// millisecond all the while, and each of them waits.
func TestCoordinatedOmission(t *testing.T) {
	for transport, portable := range transports {
		t.Run(transport, func(t *testing.T) {
			config := Config{Connections: 1, Size: 16, WarmUp: -1, Duration: time.Second, portable: portable}
			config.URL = serve(t, stallingServer(100))
			closed := must(t, config)
			config.URL, config.Rate = serve(t, stallingServer(100)), 1000
			open := must(t, config)

			least := float64(stall.Microseconds())
			for name, r := range map[string]*Result{"closed": closed, "open": open} {
				if r.Latency.Max < least {
					t.Errorf("%s: the stall of %s is not in the maximum of %.0f µs", name, stall, r.Latency.Max)
				}
			}
			if closed.Messages < 200 || closed.Latency.P99 >= least {
				t.Errorf("closed loop: %d messages, p99 of %.0f µs: one message in %d does not make the p99", closed.Messages, closed.Latency.P99, closed.Messages)
			}
			// 400 of 1,000 messages were due in the stall: 40 % waited, evenly up to all of it.
			if l := open.Latency; l.P999 < 0.9*least || l.P90 < least/2 {
				t.Errorf("open loop: p90 %.0f µs, p99.9 %.0f µs, and 40 %% of the messages met the stall of %.0f µs", l.P90, l.P999, least)
			}
			if due := 1000 * open.Seconds; float64(open.Scheduled) < 0.8*due || float64(open.Scheduled) > 1.2*due || open.Unanswered != 0 || open.Latency.Count != open.Scheduled {
				t.Errorf("open loop: %d scheduled, %d unanswered, %d measured", open.Scheduled, open.Unanswered, open.Latency.Count)
			}
		})
	}
}

func TestOpenLoop(t *testing.T) {
	url := serve(t, echoServer(websocket.CompressionOff))
	r := must(t, Config{URL: url, Connections: 7, Rate: 2000, WarmUp: 100 * time.Millisecond, Duration: time.Second})
	if due := 2000 * r.Seconds; float64(r.Scheduled) < 0.8*due || float64(r.Scheduled) > 1.2*due || r.Unanswered != 0 || r.Latency.Count != r.Scheduled {
		t.Errorf("%d scheduled, %d unanswered, %d measured", r.Scheduled, r.Unanswered, r.Latency.Count)
	}
}

// What a server never answers counts with the time that it has been waiting.
func TestOpenLoopOfSilentServer(t *testing.T) {
	var seen atomic.Int64
	url := serve(t, handled(websocket.CompressionOff, func(c *websocket.Conn, typ websocket.MessageType, p []byte) {
		if seen.Add(1) <= 10 {
			_ = c.Write(context.Background(), typ, p)
		}
	}))
	r := try(t, Config{URL: url, Connections: 1, Rate: 100, WarmUp: -1, Duration: time.Second, Timeout: 300 * time.Millisecond})
	if len(r.Errors) != 1 || r.Errors[0].Kind != NoAnswer {
		t.Errorf("errors: %+v", r.Errors)
	}
	if r.Unanswered < 20 || r.Latency.Count != r.Scheduled || r.Latency.P90 < 300_000 {
		t.Errorf("%d of %d unanswered; %+v", r.Unanswered, r.Scheduled, r.Latency)
	}
}

func TestSchedule(t *testing.T) {
	for _, rate := range []float64{0.5, 1, 3, 7.7, 1000, 333_333, 10_000_000} {
		s := newSchedule(rate, 1000)
		s.end = 1000 + int64(2e9)
		var taken int64
		for now := int64(0); s.next() != never; now = s.next() {
			first, last := s.take(now)
			if first != taken || now > 0 && last <= first {
				t.Fatalf("rate %g at %d: messages %d to %d, %d taken before", rate, now, first, last, taken)
			}
			for i := first; i < last; i++ {
				if due := s.at(i); due > now || s.before(due) != i || s.before(due+1) <= i {
					t.Fatalf("rate %g: message %d is due at %d, with %d before and %d until then; it is %d", rate, i, due, s.before(due), s.before(due+1), now)
				}
			}
			taken = last
			if taken > 100_000 {
				break
			}
		}
		if want := int64(2 * rate); taken != want && taken <= 100_000 && taken != want+1 {
			t.Errorf("rate %g: %d messages in two seconds", rate, taken)
		}
	}
}
