package how

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httputil"
	"strconv"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase/wire"
)

// exchange makes a handler of a transport over HTTP: what is asked for is checked and counted first.
func (h *how) exchange(by transport, serve func(http.ResponseWriter, *http.Request, *race)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		now := time.Now()
		what, err := parseRace(r.URL.Query(), now)
		if err != nil {
			refuse(w, http.StatusBadRequest, asRefusal(err))
			return
		}
		t, leave, refused := h.enter(&what, by, clientOf(r), now)
		if refused != nil {
			refuse(w, statusOf(refused), refused)
			return
		}
		defer leave()
		w.Header().Set("Cache-Control", "no-store")
		w, done := t.counting(by, w, r)
		defer done()
		serve(w, r, &what)
	})
}

func statusOf(err *hub.Error) int {
	if err.Code == codeTooFast {
		return http.StatusTooManyRequests
	}
	return http.StatusServiceUnavailable
}

// counting counts an exchange: on its TCP connection, or where that has TLS, as HTTP/1.1 would write it. done is called when it is over.
func (t *tally) counting(by transport, w http.ResponseWriter, r *http.Request) (counted http.ResponseWriter, done func()) {
	meter := &t.meters[by]
	if c := wire.Of(r.Context()); c != nil {
		c.Count(meter)
		return w, func() {}
	}
	t.estimate.Store(true)
	head, _ := httputil.DumpRequest(r, false) // without the body it cannot fail
	meter.In.Add(int64(len(head)))
	e := &estimating{ResponseWriter: w, meter: meter}
	return e, e.done
}

// batch answers a poll.
type batch struct {
	Messages []json.RawMessage `json:"messages"`
	Over     bool              `json:"over,omitempty"` // there will be no more
}

// answer sends what the page does not have yet.
func answer(w http.ResponseWriter, what *race, now time.Time) {
	b := batch{Messages: []json.RawMessage{}}
	newest := what.newest(now)
	for n := what.after + 1; n <= newest; n++ {
		b.Messages = append(b.Messages, what.message(n))
	}
	b.Over = newest == what.last()
	body, _ := json.Marshal(b) // of what was marshalled before it cannot fail
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // it may have hung up
}

// servePoll answers at once, mostly with nothing.
func (h *how) servePoll(w http.ResponseWriter, _ *http.Request, what *race) {
	answer(w, what, time.Now())
}

// serveWait answers when there is something.
func (h *how) serveWait(w http.ResponseWriter, r *http.Request, what *race) {
	next := what.after + 1
	if next <= what.last() && !h.sleepUntil(r, what.made(next)) {
		refuse(w, http.StatusServiceUnavailable, hub.Errorf(codeClosing, "the server is shutting down; ask again in a moment"))
		return
	}
	answer(w, what, time.Now())
}

// sleepUntil reports whether the moment has come before the page has hung up or the server stops.
func (h *how) sleepUntil(r *http.Request, moment time.Time) bool {
	timer := time.NewTimer(time.Until(moment))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
	case <-h.ending:
	}
	return false
}

// serveEvents sends each message as an event, as soon as it is made. A browser that has lost the connection says what it has seen last.
func (h *how) serveEvents(w http.ResponseWriter, r *http.Request, what *race) {
	if last, err := strconv.Atoi(r.Header.Get("Last-Event-ID")); err == nil {
		what.after = max(what.after, last)
	}
	w.Header().Set("Content-Type", "text/event-stream")
	control := http.NewResponseController(w)
	for n := what.after + 1; n <= what.last(); n++ {
		if !h.sleepUntil(r, what.made(n)) {
			return
		}
		var event bytes.Buffer
		fmt.Fprintf(&event, "id: %d\ndata: %s\n\n", n, what.message(n))
		if _, err := w.Write(event.Bytes()); err != nil {
			return
		}
		if err := control.Flush(); err != nil {
			return
		}
	}
	fmt.Fprint(w, "event: over\ndata:\n\n")
}
