package how

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

const (
	raceTime     = time.Minute
	raceSlack    = 5 * time.Second // between a clock that has been compared and ours
	slowestPace  = 6               // messages a minute
	fastestPace  = 1200
	mostMessages = fastestPace // of a race
)

// race is a row of messages, each of which exists from its moment on: number n is made n intervals after the start. As everything follows
// from what the page says in each request, any node can deliver any part of it, and one that was restarted goes on.
type race struct {
	id        string // that of the page
	run       int    // the page's number for the race
	start     time.Time
	perMinute int
	after     int // the number of the last message that the page has
}

// message is one message of a race.
type message struct {
	Number int    `json:"n"`
	Made   int64  `json:"made"` // milliseconds since 1970
	Text   string `json:"text"`
}

// parseRace reads the parameters race, run, start (milliseconds since 1970), pace (messages a minute) and after.
func parseRace(query url.Values, now time.Time) (race, error) {
	r := race{id: query.Get("race")}
	if !isID(r.id) {
		return r, hub.Errorf(codeBadRace, "race is an ID of 22 to 64 letters, digits, - or _, not %.80q", r.id)
	}
	var start int
	for _, p := range []struct {
		name        string
		into        *int
		least, most int
	}{
		{"run", &r.run, 1, maxNumber},
		{"pace", &r.perMinute, slowestPace, fastestPace},
		{"after", &r.after, 0, mostMessages},
		{"start", &start, int(now.Add(-raceTime - raceSlack).UnixMilli()), int(now.Add(raceSlack).UnixMilli())},
	} {
		n, err := strconv.Atoi(query.Get(p.name))
		if err != nil || n < p.least || n > p.most {
			return r, hub.Errorf(codeBadRace, "%s is a whole number from %d to %d, not %.40q", p.name, p.least, p.most, query.Get(p.name))
		}
		*p.into = n
	}
	r.start = time.UnixMilli(int64(start))
	return r, nil
}

// interval is the time from one message to the next.
func (r *race) interval() time.Duration { return time.Minute / time.Duration(r.perMinute) }

// made is the moment of message n.
func (r *race) made(n int) time.Time { return r.start.Add(time.Duration(n) * r.interval()) }

// last is the number of the last message.
func (r *race) last() int { return int(raceTime / r.interval()) }

// newest is the number of the newest message; 0: there is none yet.
func (r *race) newest(now time.Time) int {
	return min(max(int(now.Sub(r.start)/r.interval()), 0), r.last())
}

// message returns message n as all transports deliver it.
func (r *race) message(n int) []byte {
	m := message{Number: n, Made: r.made(n).UnixMilli(), Text: fmt.Sprintf("message %d of %d", n, r.last())}
	data, _ := json.Marshal(m) // of numbers and a string it cannot fail
	return data
}

// refuse answers a request with what is wrong with it.
func refuse(w http.ResponseWriter, status int, err *hub.Error) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"code": string(err.Code), "message": err.Message}) // it may have hung up
}

// serveTime tells our clock, so that a page can tell how old a message is.
func serveTime(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]float64{"now": milliseconds(time.Now())}) // it may have hung up
}
