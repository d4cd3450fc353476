// Package how is the server part of the page "How WebSocket works". It has two halves.
//
// The demonstration is a WebSocket whose bytes are recorded on their way through net.Conn, both ways, beginning with the HTTP request: the
// handshake and each frame are published to the topic demo.how.ID, where ID is a secret of the page that opened it, which sees there what a
// browser does not show (tap.go, frames.go, report.go), but for the values of cookies and of Authorization. Texts that begin with "/" tell the server to ping, to send fragments, to close or to
// misbehave; everything else is echoed (socket.go, instructions.go).
//
// The race delivers the same messages to a page over short polling, long polling, server-sent events and WebSocket (race.go, transports.go,
// stream.go), and publishes to demo.how.ID.counts how many bytes each has taken on its TCP connections (counts.go).
//
// Bounds: 256 demonstrations and 256 races at a time on a node, 32 of them from one address; messages of 64 KiB; of a frame, 4 KiB are
// shown; 100 frames a second and connection are shown, and 50 messages a second accepted; a demonstration ends after 15 minutes and a race
// after one; of what was shown, 300 frames or 512 KiB are kept for 5 minutes, for pages that come back.
package how

import (
	"context"
	"crypto/rand"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

const (
	prefix = "demo.how."
	counts = ".counts" // behind prefix and ID
)

const (
	keptReports = 300
	keptBytes   = 512 << 10
	keptFor     = 5 * time.Minute
)

// Codes of what is refused.
const (
	codePrivate hub.Code = "how.private"
	codeBadRace hub.Code = "how.bad-race"
	codeBusy    hub.Code = "how.busy"
	codeTooFast hub.Code = "how.too-fast"
	codeClosing hub.Code = "how.closing"
)

// New makes the app.
func New(env *showcase.Env) (*showcase.App, error) {
	h := &how{env: env, node: rand.Text(), races: make(map[raceKey]*tally), ending: make(chan struct{})}
	h.life, h.die = context.WithCancel(context.Background())
	return &showcase.App{
		Name: "how",
		Topics: []hub.Rule{
			{Pattern: prefix + "*", TopicOptions: hub.TopicOptions{
				Publish: hub.Nobody, HistoryMessages: keptReports, HistoryBytes: keptBytes, HistoryAge: keptFor,
			}},
			{Pattern: prefix + "*" + counts, TopicOptions: hub.TopicOptions{Publish: hub.Nobody, HistoryMessages: 8, HistoryAge: keptFor}},
		},
		Subscribe: mayWatch,
		Routes: map[string]http.Handler{
			"GET /how/time":   http.HandlerFunc(serveTime),
			"GET /how/poll":   h.exchange(polling, h.servePoll),
			"GET /how/wait":   h.exchange(waiting, h.serveWait),
			"GET /how/events": h.exchange(events, h.serveEvents),
		},
		Sockets: map[string]showcase.Socket{"/how/socket": h.newDemonstration(), "/how/stream": h.newStream()},
		Run:     h.publishCounts,
		Close:   h.close,
	}, nil
}

// how is the app.
type how struct {
	env  *showcase.Env // immutable
	node string        // immutable; others count for the same race, if there are other nodes

	life      context.Context // ends with close
	die       context.CancelFunc
	reporting sync.WaitGroup // reporters at work

	mu    sync.Mutex
	races map[raceKey]*tally // guarded by mu

	end    sync.Once
	ending chan struct{} // closed when the server stops: answers that take long end
}

func (h *how) close() {
	h.die()
	h.reporting.Wait()
}

// clientOf is the address from which a request comes, without its port.
func clientOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// isID holds for what a page makes of 16 random bytes, and for longer ones.
var isID = regexp.MustCompile(`^[A-Za-z0-9_-]{22,64}$`).MatchString

// mayWatch refuses patterns: who wants to see a connection has to know its ID.
func mayWatch(call *hub.SubscribeCall) error {
	id := strings.TrimSuffix(strings.TrimPrefix(call.Topic, prefix), counts)
	if !isID(id) {
		return hub.Errorf(codePrivate, "%s is not the topic of one connection: that is %s and an ID of 22 to 64 letters, digits, - or _, which "+
			"only the page knows that made it up", call.Topic, prefix)
	}
	return nil
}

const askTimeout = 2 * time.Second // for what other nodes know

// isWatched reports whether somebody has subscribed to the reports with this ID, at any node.
func (h *how) isWatched(ctx context.Context, id string) bool {
	if !isID(id) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	page, _ := h.env.Hub.Topics(ctx, hub.TopicQuery{Pattern: prefix + id, Limit: 1}) // has what is known also after an error
	return len(page.Topics) == 1 && page.Topics[0].Subscribers > 0
}

// milliseconds is a time as the pages have it.
func milliseconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1000 }

// allowance allows rate units a second on average and burst at once. It is not safe for concurrent use.
type allowance struct {
	rate, burst float64
	used        float64
	last        time.Time
}

func (a *allowance) take(now time.Time) bool {
	a.used = max(0, a.used-a.rate*now.Sub(a.last).Seconds())
	a.last = now
	if a.used+1 > a.burst {
		return false
	}
	a.used++
	return true
}
