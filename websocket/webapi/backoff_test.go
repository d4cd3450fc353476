package webapi

import (
	"errors"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

func refusedWith(status int, retryAfter string) error {
	h := http.Header{}
	if retryAfter != "" {
		h.Set("Retry-After", retryAfter)
	}
	return &websocket.HandshakeError{Status: status, Header: h}
}

func closedWith(code websocket.StatusCode, reason string) error {
	return &websocket.CloseError{Code: code, Reason: reason}
}

func TestBackoff(t *testing.T) {
	for _, c := range []struct {
		random     float64
		base, most time.Duration
		want       []time.Duration
	}{
		{0, time.Second, 30 * time.Second, []time.Duration{0, 0, 0, 0}},
		{0.5, time.Second, 30 * time.Second, []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 15 * time.Second, 15 * time.Second}},
		{0.5, 20 * time.Second, 30 * time.Second, []time.Duration{10 * time.Second, 15 * time.Second, 15 * time.Second}},
		{0.5, 1 << 61, 1<<63 - 1, []time.Duration{1 << 60, 1 << 61, 1 << 62, 1 << 62}},
	} {
		b := backoff{base: c.base, most: c.most, mostHint: time.Minute, random: func() float64 { return c.random }}
		for i, want := range c.want {
			if got := b.delay(i+1, errors.New("x")); got != want {
				t.Errorf("random %v, base %v: delay after %d failures is %v, want %v", c.random, c.base, i+1, got, want)
			}
		}
	}
	b := backoff{base: time.Second, most: 30 * time.Second, mostHint: time.Minute, random: func() float64 { return 0.5 }}
	if got := b.delay(2, refusedWith(503, "7")); got != 8*time.Second {
		t.Errorf("with a hint of 7 s the delay is %v, want the hint and the jitter on top", got)
	}
	if got := b.delay(1, refusedWith(503, "999999")); got != time.Minute+500*time.Millisecond {
		t.Errorf("with a hint of days the delay is %v, want MaxHint and the jitter on top", got)
	}
}

// Full jitter uses the whole range.
func TestBackoffIsRandom(t *testing.T) {
	b := newBackoff(&ReconnectOptions{BaseDelay: time.Second, MaxDelay: time.Second})
	low, high := 0, 0
	for range 1000 {
		switch d := b.delay(1, errors.New("x")); {
		case d < 0 || d >= time.Second:
			t.Fatalf("delay is %v", d)
		case d < 250*time.Millisecond:
			low++
		case d > 750*time.Millisecond:
			high++
		}
	}
	if low < 100 || high < 100 {
		t.Errorf("of 1,000 delays %d are in the first and %d in the last quarter", low, high)
	}
}

func TestRetryAfter(t *testing.T) {
	const none = -1
	for _, c := range []struct {
		err  error
		want time.Duration
	}{
		{refusedWith(503, "7"), 7 * time.Second},
		{refusedWith(429, "0"), 0},
		{refusedWith(503, "99999999999999999999"), 1<<63 - 1},
		{refusedWith(503, "9999999999999"), 1<<63 - 1},
		{refusedWith(503, ""), none},
		{refusedWith(503, "-1"), none},
		{refusedWith(503, "1.5"), none},
		{refusedWith(503, "soon"), none},
		{refusedWith(404, "7"), none},
		{fmt.Errorf("wrapped: %w", refusedWith(503, "7")), 7 * time.Second},
		{closedWith(1012, "retry-after=5s"), 5 * time.Second},
		{closedWith(1013, "new version; retry-after=1500ms"), 1500 * time.Millisecond},
		{closedWith(1013, "retry-after=2s,really"), 2 * time.Second},
		{closedWith(1013, "retry-after=0s"), 0},
		{closedWith(1013, "retry-after=5"), none},
		{closedWith(1013, "retry-after=s"), none},
		{closedWith(1013, "retry-after=ms"), none},
		{closedWith(1013, "retry-after=5m"), none},
		{closedWith(1013, "retry-after=-5s"), none},
		{closedWith(1013, "xretry-after=5s"), none},
		{closedWith(1013, "later"), none},
		{closedWith(1001, "retry-after=5s"), none},
		{&websocket.CloseError{Code: 1013, Reason: "retry-after=5s", Local: true}, none},
		{errNetworkDown, none},
	} {
		got, ok := RetryAfter(c.err)
		if ok != (c.want != none) || ok && got != c.want {
			t.Errorf("%v: hint %v, %v; want %v", c.err, got, ok, c.want)
		}
	}
}

func TestRetryAfterDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if d, ok := RetryAfter(refusedWith(503, time.Now().Add(time.Minute).UTC().Format(http.TimeFormat))); !ok || d != time.Minute {
			t.Errorf("hint is %v, %v", d, ok)
		}
		if d, ok := RetryAfter(refusedWith(503, time.Now().Add(-time.Minute).UTC().Format(http.TimeFormat))); !ok || d != 0 {
			t.Errorf("hint of the past is %v, %v", d, ok)
		}
	})
}

func FuzzRetryAfter(f *testing.F) {
	f.Add("new version; retry-after=5s", "120")
	f.Add("retry-after=99999999999999999999999ms", "Fri, 31 Dec 1999 23:59:59 GMT")
	f.Fuzz(func(t *testing.T, reason, value string) {
		for _, parse := range []func() (time.Duration, bool){
			func() (time.Duration, bool) { return parseRetryReason(reason) },
			func() (time.Duration, bool) { return parseRetryAfter(value) },
		} {
			if d, ok := parse(); d < 0 || !ok && d != 0 {
				t.Errorf("%q, %q: %v, %v", reason, value, d, ok)
			}
		}
	})
}

func TestFatal(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{refusedWith(400, ""), true}, {refusedWith(401, ""), true}, {refusedWith(403, ""), true}, {refusedWith(404, ""), true},
		{refusedWith(407, ""), true}, {refusedWith(410, ""), true}, {refusedWith(426, ""), true}, {refusedWith(302, ""), true},
		{refusedWith(501, ""), true}, {refusedWith(505, ""), true},
		{refusedWith(408, ""), false}, {refusedWith(425, ""), false}, {refusedWith(429, ""), false},
		{refusedWith(500, ""), false}, {refusedWith(502, ""), false}, {refusedWith(503, ""), false}, {refusedWith(504, ""), false},
		{refusedWith(200, ""), false}, {refusedWith(101, ""), false}, {refusedWith(0, ""), false},
		{closedWith(1000, ""), true}, {closedWith(1003, ""), true}, {closedWith(1008, ""), true}, {closedWith(1010, ""), true},
		{closedWith(1001, ""), false}, {closedWith(1005, ""), false}, {closedWith(1006, ""), false}, {closedWith(1011, ""), false},
		{closedWith(1012, ""), false}, {closedWith(1013, ""), false}, {closedWith(4000, ""), false},
		{&websocket.CloseError{Code: 1008, Local: true}, false},
		{&websocket.ProtocolError{Code: 1002}, false},
		{errNetworkDown, false},
	} {
		if got := Fatal(c.err); got != c.want {
			t.Errorf("%v is fatal: %v, want %v", c.err, got, c.want)
		}
	}
}
