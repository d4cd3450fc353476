package webhook

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// counters are a Meter.
type counters struct {
	called, failed atomic.Int32
}

func (c *counters) meter() Meter {
	return Meter{
		Called: func(_ string, took time.Duration) {
			if took >= 0 {
				c.called.Add(1)
			}
		},
		Failed: func(string) { c.failed.Add(1) },
	}
}

// TestBackendsInTrouble: whatever a backend does wrong, no client gets through because of it.
func TestBackendsInTrouble(t *testing.T) {
	trap := answering(t, text(`{}`))
	status := func(code int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); _, _ = io.WriteString(w, `{}`) }
	}
	for name, handle := range map[string]http.HandlerFunc{
		"error":          status(500),
		"not found":      status(404),
		"created":        status(201),
		"unauthorized":   status(401),
		"empty":          text(``),
		"null":           text(`null`),
		"list":           text(`[]`),
		"page":           text(`<html>{}</html>`),
		"more behind it": text(`{} {}`),
		"cut": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9")
			_, _ = io.WriteString(w, `{}`)
		},
		"huge": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(append([]byte(`{}`), bytes.Repeat([]byte(" "), 1000)...))
		},
		"not UTF-8":              text("{\"data\":\"\xff\"}"),
		"misspelt":               text(`{"eror":{"code":"forbidden"}}`),
		"error without code":     text(`{"error":{"message":"no"}}`),
		"error is text":          text(`{"error":"no"}`),
		"code of another kind":   text(`{"error":{"code":"already-subscribed"}}`),
		"code that nobody knows": text(`{"error":{"code":"nope"}}`),
		"long message":           text(`{"error":{"code":"forbidden","message":"` + strings.Repeat("x", 1025) + `"}}`),
		"long retry":             text(`{"error":{"code":"forbidden","retry":1e9}}`),
		"negative retry":         text(`{"error":{"code":"forbidden","retry":-1}}`),
		"hang up":                func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, trap.URL, http.StatusTemporaryRedirect)
		},
		"redirect, see other": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, trap.URL, http.StatusSeeOther) },
	} {
		t.Run(name, func(t *testing.T) {
			b := answering(t, handle)
			c := all(t, b.URL)
			c.MaxResponse = 1000 + 400
			if name == "huge" {
				c.MaxResponse = 1000
			}
			var n counters
			for hook, try := range tries(t, newHooks(t, c, Options{Meter: n.meter()})) {
				if why := refused(t, try(t.Context()), hub.CodeUnavailable, "does not answer"); why.Retry == 0 {
					t.Errorf("%s: no retry", hook)
				}
			}
			if n.called.Load() == 0 || n.called.Load() != n.failed.Load() {
				t.Errorf("%d calls, %d failures", n.called.Load(), n.failed.Load())
			}
		})
	}
	if trap.count() > 0 {
		t.Error("a redirect was followed")
	}
	for name, wrong := range map[string]string{
		eventConnect + " user": `{"user":"a\nb"}`, eventConnect + " anonymous user": `{"user":"~a"}`, eventConnect + " info": `{"info":[]}`,
		eventConnect + " topics": `{"topics":{"a..b":["publish"]}}`, eventConnect + " action": `{"topics":{"a":["fly"]}}`,
		eventConnect + " past": `{"expires":1}`, eventConnect + " expires": `{"expires":"soon"}`, eventConnect + " field": `{"usr":"bob"}`,
		eventSubscribe + " field": `{"allow":false}`, eventPublish + " two": `{"data":1,"base64":"AA=="}`,
		eventPublish + " base64": `{"base64":"!"}`,
		eventPublish + " meta":   `{"meta":[]}`, eventPublish + " large meta": `{"meta":{"a":"` + strings.Repeat("x", 1024) + `"}}`,
		eventPublish + " key": `{"key":7}`, eventPublish + " long key": `{"data":1,"key":"` + strings.Repeat("x", 256) + `"}`,
		eventPublish + " topic":     `{"data":1,"topic":"other"}`,
		eventPublish + " meta type": `{"data":1,"meta":7}`, eventRequest + " field": `{"result":1}`,
		eventRequest + " two": `{"data":1,"base64":"AA=="}`,
	} {
		t.Run(name, func(t *testing.T) {
			hook, _, _ := strings.Cut(name, " ")
			h := newHooks(t, all(t, answering(t, text(wrong)).URL), Options{})
			refused(t, tries(t, h)[hook](t.Context()), hub.CodeUnavailable, "does not answer")
		})
	}
	t.Run("nobody there", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := "http://" + listener.Addr().String()
		listener.Close()
		for _, try := range tries(t, newHooks(t, all(t, address), Options{})) {
			refused(t, try(t.Context()), hub.CodeUnavailable, "does not answer")
		}
	})
	t.Run("no content", func(t *testing.T) {
		for name, try := range tries(t, newHooks(t, all(t, answering(t, func(w http.ResponseWriter,
			_ *http.Request) {
			w.WriteHeader(204)
		}).URL), Options{})) {
			if err := try(t.Context()); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestSlowBackend: a call has an end, whoever's patience ends first.
func TestSlowBackend(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	b := answering(t, func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	c := all(t, b.URL)
	c.Timeout = 50 * time.Millisecond
	for name, try := range tries(t, newHooks(t, c, Options{})) {
		began := time.Now()
		refused(t, try(t.Context()), hub.CodeUnavailable, "does not answer")
		if took := time.Since(began); took < c.Timeout || took > patience {
			t.Errorf("%s took %v", name, took)
		}
	}
	c.Timeout = 0
	var n counters
	for name, try := range tries(t, newHooks(t, c, Options{Meter: n.meter()})) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := try(ctx); name == eventRequest && !errors.Is(err, context.DeadlineExceeded) || name != eventRequest &&
			!errors.Is(err, &hub.Error{Code: hub.CodeUnavailable}) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
	if n.failed.Load() != 0 {
		t.Error("a client's own timeout counts as a failure of the backend")
	}
}

// answers is a backend without a socket, so that a test knows when everybody waits.
type answers func() *http.Response

func (f answers) RoundTrip(*http.Request) (*http.Response, error) { return f(), nil }

// TestTurns: so many calls at once, so many that wait, and no more.
func TestTurns(t *testing.T) {
	c := all(t, "https://app.example.com")
	c.Concurrency, c.Queue, c.Timeout = 2, 3, maxTimeout
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var now, most, calls atomic.Int32
		h := newHooks(t, c, Options{Transport: answers(func() *http.Response {
			calls.Add(1)
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			<-release
			now.Add(-1)
			return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(`{}`))}
		})})
		try := tries(t, h)[eventSubscribe]
		results := make(chan error, 5)
		for range 5 {
			go func() { results <- try(t.Context()) }()
		}
		synctest.Wait()
		if now.Load() != 2 || h.caller.Load().waiting.Load() != 3 {
			t.Errorf("%d at once, %d wait", now.Load(), h.caller.Load().waiting.Load())
		}
		began := time.Now()
		refused(t, try(t.Context()), hub.CodeUnavailable, "")
		gone, leave := context.WithCancel(t.Context())
		leave()
		refused(t, try(gone), hub.CodeUnavailable, "")
		if time.Since(began) != 0 {
			t.Error("who finds the queue full has to wait")
		}
		close(release)
		for range 5 {
			if err := <-results; err != nil {
				t.Error(err)
			}
		}
		if most.Load() != 2 || calls.Load() != 5 || h.caller.Load().waiting.Load() != 0 {
			t.Errorf("%d at once, %d calls", most.Load(), calls.Load())
		}
	})
}

// TestPatienceInTheQueue: waiting for a turn counts.
func TestPatienceInTheQueue(t *testing.T) {
	c := all(t, "https://app.example.com")
	c.Concurrency = 1
	synctest.Test(t, func(t *testing.T) {
		h := newHooks(t, c, Options{Transport: answers(func() *http.Response {
			time.Sleep(defaultTimeout - time.Second)
			return &http.Response{StatusCode: 200, Body: io.NopCloser(strings.NewReader(`{}`))}
		})})
		try := tries(t, h)[eventSubscribe]
		began := time.Now()
		results := make(chan error, 3)
		for range 3 {
			go func() { results <- try(t.Context()) }()
		}
		var failed int
		for range 3 {
			if err := <-results; err != nil {
				failed++
			}
		}
		if failed != 1 || time.Since(began) > 2*defaultTimeout {
			t.Errorf("%d failed after %v", failed, time.Since(began))
		}
	})
}

// TestConnectionsAreReused: calls one after another take one connection.
func TestConnectionsAreReused(t *testing.T) {
	b := answering(t, text(`{"data":1}`))
	try := tries(t, newHooks(t, all(t, b.URL), Options{}))[eventPublish]
	for range 20 {
		if err := try(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	peers := map[string]bool{}
	for _, q := range b.calls {
		peers[q.peer] = true
	}
	if len(peers) != 1 || len(b.calls) != 20 {
		t.Errorf("%d connections for %d calls", len(peers), len(b.calls))
	}
}

// TestFailuresAreLoggedSeldom: a backend that is down does not fill the log.
func TestFailuresAreLoggedSeldom(t *testing.T) {
	var log bytes.Buffer
	var mu sync.Mutex
	b := answering(t, text(`[]`))
	h := newHooks(t, all(t, b.URL), Options{Logger: slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil))})
	try := tries(t, h)[eventSubscribe]
	for range 50 {
		refused(t, try(t.Context()), hub.CodeUnavailable, "")
	}
	h.lastTold.Add(-int64(time.Second))
	refused(t, try(t.Context()), hub.CodeUnavailable, "")
	mu.Lock()
	defer mu.Unlock()
	if n := strings.Count(log.String(), "a webhook failed"); n > 5 || n < 2 || !strings.Contains(log.String(), "no JSON object") ||
		!strings.Contains(log.String(), "failures before") {
		t.Errorf("%d lines:\n%s", n, &log)
	}
}

type lockedWriter struct {
	mu *sync.Mutex
	w  io.Writer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
