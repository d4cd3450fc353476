package server

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// readiness is a broker that can be out of reach, and says so.
type readiness interface {
	Ready(ctx context.Context) error
}

const (
	readyTimeout = 2 * time.Second // for the broker to say that it is there
	readyFresh   = time.Second     // how long its answer holds, as anybody may ask
)

// health answers whoever decides if this process is to be restarted (/healthz) or sent clients (/readyz).
type health struct {
	draining atomic.Bool
	broker   readiness // immutable; nil: always there

	mu    sync.Mutex
	asked time.Time // guarded by mu, as is what follows
	err   error
}

func newHealth(b hub.Broker) *health {
	h := &health{}
	h.broker, _ = b.(readiness)
	return h
}

// serveLive says that the process answers.
func (h *health) serveLive(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") }

// serveReady says whether clients can be served.
func (h *health) serveReady(w http.ResponseWriter, r *http.Request) {
	switch {
	case h.draining.Load():
		answer(w, http.StatusServiceUnavailable, "draining")
	case h.unavailable(r.Context()) != nil:
		answer(w, http.StatusServiceUnavailable, "the broker is unavailable")
	default:
		answer(w, http.StatusOK, "ok")
	}
}

// unavailable returns what the broker said last, if that is not long ago, or asks it.
func (h *health) unavailable(ctx context.Context) error {
	if h.broker == nil {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if now := time.Now(); h.asked.IsZero() || now.Sub(h.asked) > readyFresh {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTimeout)
		defer cancel()
		h.err = h.broker.Ready(ctx)
		h.asked = time.Now()
	}
	return h.err
}

func answer(w http.ResponseWriter, status int, text string) {
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // there is nobody to tell when it fails
}
