package showcase

import (
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// Turnstile bounds how often something may be done that leaves something behind, on this node. Its methods may be called from any goroutine.
type Turnstile struct {
	Each     int           // times for one user in an interval; required
	All      int           // times for all together; required
	Interval time.Duration // required

	mu    sync.Mutex
	began time.Time      // of the present interval; guarded by mu, as is what follows
	times map[string]int // by user
	all   int
}

// Pass counts one time for a user, or refuses with hub.CodeRate and says when to try again.
func (t *Turnstile) Pass(user string) error {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if now.Sub(t.began) >= t.Interval {
		t.began, t.times, t.all = now, make(map[string]int), 0
	}
	if t.times[user] >= t.Each || t.all >= t.All {
		return &hub.Error{Code: hub.CodeRate, Message: "that is too often; please wait a moment", Retry: t.began.Add(t.Interval).Sub(now)}
	}
	t.times[user]++
	t.all++
	return nil
}
