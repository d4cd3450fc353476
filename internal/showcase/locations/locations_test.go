package locations

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

type fixture struct {
	t    *testing.T
	hub  *hub.Hub
	show *showcase.Showcase
}

func newFixture(t *testing.T) *fixture {
	env := &showcase.Env{Logger: slog.New(slog.DiscardHandler), Operators: &showcase.Operators{Everybody: func() bool { return true }}}
	s, err := showcase.New(env, New)
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Options{Topics: s.Rules(), Hooks: s.Hooks(hub.Hooks{}), Logger: env.Logger})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(h); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		h.Close()
	})
	return &fixture{t, h, s}
}

// visitor is a page: it knows who is where, as far as it has been told.
type visitor struct {
	*hub.Subscriber
	t *testing.T

	mu   sync.Mutex
	seen map[string]map[string]bool // cell to ids
	last counts
}

func (v *visitor) Deliver(m *hub.Message) bool {
	if m.Kind != hub.KindData {
		return true
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if m.Topic == countsTopic {
		v.last = counts{}
		if err := json.Unmarshal(m.Data, &v.last); err != nil {
			v.t.Error(err)
		}
		return true
	}
	id, _, gone := decodeReport(m.Data)
	if v.seen[m.Topic] == nil {
		v.seen[m.Topic] = make(map[string]bool)
	}
	if v.seen[m.Topic][id] = true; gone {
		delete(v.seen[m.Topic], id)
	}
	return true
}

func (v *visitor) End(hub.End) {}

func (v *visitor) sees(id string, at place) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.seen[cellOf(at).topic()][id]
}

// counted is what the map said last.
func (v *visitor) counted() counts {
	synctest.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.last
}

// shown is how many are shown, in all cells.
func (v *visitor) shown() (n int) {
	synctest.Wait()
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, ids := range v.seen {
		n += len(ids)
	}
	return n
}

func (f *fixture) connect(user string) *visitor {
	f.t.Helper()
	v := &visitor{t: f.t, seen: make(map[string]map[string]bool)}
	var err error
	v.Subscriber, err = f.hub.Connect(hub.Connecting{Session: user, Sink: v, Identity: hub.Identity{
		User: user, Anonymous: true, Info: fmt.Appendf(nil, `{"name":"%s"}`, user[1:]),
	}})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(v.Close)
	return v
}

func (v *visitor) subscribe(topics ...string) {
	v.t.Helper()
	for _, topic := range topics {
		s, err := v.Subscribe(context.Background(), topic, hub.SubscribeOptions{Last: keptReports})
		if err != nil {
			v.t.Fatal(err)
		}
		s.Begin()
	}
	synctest.Wait()
}

func (v *visitor) ask(method, data string) error {
	pending, err := v.Request(context.Background(), prefix+method, []byte(data), false)
	if err == nil {
		_, err = pending.Wait()
	}
	synctest.Wait()
	return err
}

func (v *visitor) share(p place) error {
	return v.ask("share", fmt.Sprintf(`{"lat":%g,"lon":%g}`, p.Lat, p.Lon))
}

func refused(t *testing.T, err error, code hub.Code) {
	t.Helper()
	if !errors.Is(err, &hub.Error{Code: code}) {
		t.Errorf("%v, want %s", err, code)
	}
}

func TestCouriersRideWhileSomebodyLooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		ann := f.connect("~ann")
		ann.subscribe(allCells)
		time.Sleep(20 * time.Second)
		if ann.shown() > 0 {
			t.Error("couriers ride for nobody") // who takes everything by a pattern is not present
		}
		ann.subscribe(countsTopic)
		time.Sleep(5 * time.Second)
		bob := f.connect("~bob") // comes later, and sees all at once
		for x := range columns {
			for y := range rows {
				bob.subscribe(cell{x, y}.topic())
			}
		}
		if n := bob.shown(); n != couriers {
			t.Errorf("%d couriers are shown at once", n)
		}
		if n := ann.counted(); n.Couriers != couriers || n.People != 0 {
			t.Errorf("counted: %+v", n)
		}
	})
}

func TestAPersonOnTheMap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		ann, bob := f.connect("~ann"), f.connect("~bob")
		here, next := place{0.0005, 0.0055}, place{0.0005, 0.0065} // in cells that touch
		bob.subscribe(cellOf(here).topic(), cellOf(next).topic(), countsTopic)
		if err := ann.share(here); err != nil {
			t.Fatal(err)
		}
		if !bob.sees("~ann", here) || bob.sees("~ann", next) {
			t.Error("Bob does not see Ann")
		}
		time.Sleep(4 * time.Second)
		if err := ann.share(next); err != nil {
			t.Fatal(err)
		}
		if bob.sees("~ann", here) || !bob.sees("~ann", next) {
			t.Error("Bob does not see Ann in the next cell alone")
		}
		time.Sleep(1500 * time.Millisecond)
		if n := bob.counted().People; n != 1 {
			t.Errorf("%d people", n)
		}
		if err := ann.ask("stop", "{}"); err != nil || bob.sees("~ann", next) {
			t.Errorf("she is still there (%v)", err)
		}
		if err := ann.ask("stop", ""); err != nil {
			t.Errorf("stopping twice: %v", err)
		}
		if err := ann.share(here); err != nil { // elsewhere: she has begun anew
			t.Error(err)
		}
		time.Sleep(silence + 2*time.Second)
		if bob.sees("~ann", here) {
			t.Error("she has gone without a word, and is still there")
		}
		time.Sleep(time.Second)
		if n := bob.counted().People; n != 0 {
			t.Errorf("%d people are counted", n)
		}
	})
}

func TestPositionsThatAreRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFixture(t)
		eve, bob := f.connect("~eve"), f.connect("~bob")
		bob.subscribe(allCells)
		for data, code := range map[string]hub.Code{
			`{}`: codeNoPosition, `{"lat":1}`: codeNoPosition, `{"lat":91,"lon":0}`: codeNoPosition, `{"lat":0,"lon":1e300}`: codeNoPosition,
			`{"lat":1e999,"lon":0}`: hub.CodeBadRequest, `{"lat":"0","lon":0}`: hub.CodeBadRequest, `[]`: hub.CodeBadRequest,
			`{"lat":52.52,"lon":13.4}`: codeOffMap, `{"lat":0.0271,"lon":0}`: codeOffMap, `{"lat":0,"lon":-0.0361}`: codeOffMap,
		} {
			refused(t, eve.ask("share", data), code)
		}
		if err := eve.share(place{0, 0}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		refused(t, eve.share(place{0.01, 0}), codeTooFast)
		var last error
		for range 10 {
			last = eve.share(place{0.0001, 0})
		}
		refused(t, last, codeTooOften)
		markup := f.connect("~<b>")
		refused(t, markup.share(place{0, 0}), "demo.name-malformed")
		if !bob.sees("~eve", place{0, 0}) || bob.shown() != 1 {
			t.Errorf("Bob sees %v", bob.seen)
		}
		for _, topic := range []string{"demo.map.cell.99.0", "demo.map.>", "demo.map.cell.>", "demo.map.other", "demo.map.cell.1.*"} {
			_, err := eve.Subscribe(t.Context(), topic, hub.SubscribeOptions{})
			refused(t, err, codeNoCell)
		}
		_, err := eve.Publish(t.Context(), cellOf(place{0, 0}).topic(), hub.Publication{Data: []byte(`{"id":"c1","gone":true}`)})
		refused(t, err, hub.CodeForbidden)
	})
}

func TestSharingAndStoppingAtTheSameTime(t *testing.T) {
	f := newFixture(t)
	visitors := []*visitor{f.connect("~ann"), f.connect("~bob")}
	var work sync.WaitGroup
	for _, v := range visitors {
		for range 4 {
			work.Go(func() {
				for range 50 {
					for _, method := range []string{"share", "stop"} {
						pending, err := v.Request(t.Context(), prefix+method, []byte(`{"lat":0,"lon":0}`), false)
						if err == nil {
							_, err = pending.Wait()
						}
						if err != nil && !errors.Is(err, &hub.Error{Code: codeTooOften}) {
							t.Error(err)
						}
					}
				}
			})
		}
	}
	work.Wait()
}

func TestTheMapIsServed(t *testing.T) {
	f := newFixture(t)
	mux := http.NewServeMux()
	f.show.Register(mux, func(string, showcase.Socket) {})
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/map/city.json", nil))
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "application/json" || !json.Valid(w.Body.Bytes()) {
		t.Errorf("%d, %v", w.Code, w.Header())
	}
	again := httptest.NewRequest(http.MethodGet, "/map/city.json", nil)
	again.Header.Set("If-None-Match", w.Header().Get("ETag"))
	w = httptest.NewRecorder()
	if mux.ServeHTTP(w, again); w.Code != http.StatusNotModified || w.Body.Len() > 0 {
		t.Errorf("the second time: %d with %d bytes", w.Code, w.Body.Len())
	}
}
