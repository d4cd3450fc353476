package how

import (
	"context"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/internal/showcase"
)

const (
	reportRate     = 100 // frames a second
	reportBurst    = 200
	reportsWaiting = 256 // for the broker
	publishTimeout = 5 * time.Second
	askAgain       = 30 * time.Second // whether somebody watches
)

// Kinds of reports.
const (
	kindOpen  = "open"
	kindFrame = "frame"
	kindEnd   = "end"
)

// report is what is published about a connection. Bytes are in base64.
type report struct {
	Kind       string  `json:"kind"`
	Connection int     `json:"connection"`        // the page's number for it
	At         float64 `json:"at"`                // milliseconds since 1970
	Skipped    int     `json:"skipped,omitempty"` // frames before this one that are not shown, because there were too many

	// With "open".
	Request     []byte       `json:"request,omitempty"`
	Exact       bool         `json:"exact,omitempty"` // that is how the request came; otherwise it is what net/http made of it
	Response    []byte       `json:"response,omitempty"`
	Compression *compression `json:"compression,omitempty"`

	// With "frame".
	Number   int    `json:"number,omitempty"` // from 1, in both directions together
	Server   bool   `json:"server,omitempty"` // it comes from the server
	Header   []byte `json:"header,omitempty"`
	Payload  []byte `json:"payload,omitempty"`  // its beginning
	Length   int64  `json:"length"`             // of all of the payload
	Message  []byte `json:"message,omitempty"`  // the beginning of what it inflates to, with the last frame of a compressed message
	Inflated *int   `json:"inflated,omitempty"` // and the length of all of that
}

// compression is what was agreed on.
type compression struct {
	ServerBits     int  `json:"serverBits"`
	ClientBits     int  `json:"clientBits"`
	ServerTakeover bool `json:"serverTakeover"`
	ClientTakeover bool `json:"clientTakeover"`
}

// reporter publishes what a tap sees, without ever holding it up: what is too much is counted and left out. Its methods may be called from
// any goroutine.
type reporter struct {
	app        *how
	id         string
	connection int
	queue      chan report

	mu      sync.Mutex
	frames  allowance
	number  int
	skipped int
	ended   bool
}

func (h *how) newReporter(id string, connection int) *reporter {
	r := &reporter{app: h, id: id, connection: connection, queue: make(chan report, reportsWaiting)}
	r.frames = allowance{rate: reportRate, burst: reportBurst}
	h.reporting.Go(r.run)
	return r
}

// tell queues a report.
func (r *reporter) tell(what report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return
	}
	now := time.Now()
	what.Connection, what.At = r.connection, milliseconds(now)
	if what.Kind == kindFrame {
		r.number++
		what.Number = r.number
		if !r.frames.take(now) {
			r.skipped++
			return
		}
	}
	what.Skipped = r.skipped
	select {
	case r.queue <- what:
		r.skipped = 0
	default:
		r.skipped++
	}
}

// close tells that the connection is over.
func (r *reporter) close() {
	r.tell(report{Kind: kindEnd})
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ended {
		r.ended = true
		close(r.queue)
	}
}

// run publishes in order, as long as somebody watches.
func (r *reporter) run() {
	watched, asked := true, time.Now()
	for {
		select {
		case what, more := <-r.queue:
			if !more {
				return
			}
			if time.Since(asked) > askAgain {
				watched, asked = r.app.isWatched(r.app.life, r.id), time.Now()
			}
			if watched {
				r.publish(what)
			}
		case <-r.app.life.Done():
			return
		}
	}
}

func (r *reporter) publish(what report) {
	ctx, cancel := context.WithTimeout(r.app.life, publishTimeout)
	defer cancel()
	if _, err := showcase.JSON(ctx, r.app.env.Hub, prefix+r.id, "", what); err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.skipped++
	}
}
