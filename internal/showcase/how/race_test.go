package how

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// query asks for a race that began a while ago.
func query(run, perMinute int, ago time.Duration, after int) string {
	return fmt.Sprintf("race=%s&run=%d&pace=%d&start=%d&after=%d", testID, run, perMinute, time.Now().Add(-ago).UnixMilli(), after)
}

// ask sends a request and returns the answer's body and all bytes of it.
func (r *raw) ask(path string) (request, body string, whole int) {
	r.t.Helper()
	request = "GET " + path + " HTTP/1.1\r\nHost: example.com\r\n\r\n"
	r.write(request)
	var copied bytes.Buffer
	response, err := http.ReadResponse(newTee(r, &copied), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	content, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return request, string(content), copied.Len()
}

func numbers(messages []json.RawMessage) (all []int) {
	for _, data := range messages {
		var m message
		if err := json.Unmarshal(data, &m); err == nil {
			all = append(all, m.Number)
		}
	}
	return all
}

func TestAllTransportsDeliverTheSame(t *testing.T) {
	s := newSite(t)
	const pace = 60
	start := query(1, pace, 3500*time.Millisecond, 0) // three messages are there, the fourth comes in half a second

	_, body, _ := s.dial().ask("/how/poll?" + start)
	var polled batch
	if err := json.Unmarshal([]byte(body), &polled); err != nil || fmt.Sprint(numbers(polled.Messages)) != "[1 2 3]" || polled.Over {
		t.Fatalf("polling: %s, %v", body, err)
	}

	_, body, _ = s.dial().ask("/how/wait?" + strings.Replace(start, "after=0", "after=3", 1))
	var waited batch
	if err := json.Unmarshal([]byte(body), &waited); err != nil || fmt.Sprint(numbers(waited.Messages)) != "[4]" {
		t.Fatalf("long polling: %s, %v", body, err)
	}

	c := s.dial()
	c.write("GET /how/events?" + start + " HTTP/1.1\r\nHost: example.com\r\nLast-Event-ID: 1\r\n\r\n")
	response, err := http.ReadResponse(c.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("id: 2\ndata: %s\n\nid: 3\ndata: %s\n\n", polled.Messages[1], polled.Messages[2])
	got := make([]byte, len(want))
	if n, err := io.ReadFull(response.Body, got); err != nil || string(got) != want {
		t.Fatalf("events: %q, %v; want %q", got[:n], err, want)
	}

	c = s.dial()
	c.write(strings.Replace(oddRequest(start, ""), "/how/socket", "/how/stream", 1))
	c.head()
	for _, m := range polled.Messages {
		c.read(fmt.Sprintf("\x81%c%s", len(m), m))
	}
}

func TestWhatARaceCostsIsCountedExactly(t *testing.T) {
	s := newSite(t)
	next := watch[counted](s, prefix+testID+counts)
	c := s.dial()
	var in, out int
	for i := range 5 { // on one connection
		request, _, whole := c.ask("/how/poll?" + query(2, 1200, 2*time.Second, 10*i))
		in, out = in+len(request), out+whole
	}
	s.dial().ask("/how/poll?" + query(3, 60, time.Second, 0)) // another race of the same page

	c = s.dial()
	request := strings.Replace(oddRequest(query(2, 1200, 2*time.Second, 38), ""), "/how/socket", "/how/stream", 1)
	c.write(request)
	socketOut := len(c.head())
	for range 2 {
		header := make([]byte, 2)
		if _, err := io.ReadFull(c.in, header); err != nil {
			t.Fatal(err)
		}
		if _, err := c.in.Discard(int(header[1])); err != nil {
			t.Fatal(err)
		}
		socketOut += 2 + int(header[1])
	}
	c.write("\x89\x80\x00\x00\x00\x00") // it counts too

	for {
		got := next()
		if got.Run != 2 {
			continue
		}
		poll, socket := got.Transports[polling], got.Transports[frames]
		if poll.Requests > 5 || poll.In > int64(in) || poll.Out > int64(out) || got.Estimate {
			t.Fatalf("polling was counted as %+v, want 5 requests, %d bytes in, %d out", poll, in, out)
		}
		if poll == (cost{"poll", 5, int64(in), int64(out)}) && socket.Requests == 1 && socket.In == int64(len(request)+6) && socket.Out > int64(socketOut) {
			return
		}
	}
}

func TestNonsenseIsRefused(t *testing.T) {
	s := newSite(t)
	good := query(1, 60, 0, 0)
	for _, change := range []string{"race=", "race=short", "race=" + strings.Repeat("x", 65), "run=0", "run=x", "pace=5", "pace=1201", "after=-1", "after=1201",
		"start=0", "start=99999999999999999999", fmt.Sprint("start=", time.Now().Add(time.Minute).UnixMilli())} {
		values, err := url.ParseQuery(good)
		if err != nil {
			t.Fatal(err)
		}
		name, value, _ := strings.Cut(change, "=")
		values.Set(name, value)
		for _, path := range []string{"poll", "wait", "events"} {
			_, body, _ := s.dial().ask("/how/" + path + "?" + values.Encode())
			var refused struct{ Code hub.Code }
			if err := json.Unmarshal([]byte(body), &refused); err != nil || refused.Code != codeBadRace {
				t.Errorf("%s with %s: %s", path, change, body)
			}
		}
		c := s.dial()
		c.write(strings.Replace(oddRequest(values.Encode(), ""), "/how/socket", "/how/stream", 1))
		if head := c.head(); !strings.HasPrefix(head, "HTTP/1.1 400 ") {
			t.Errorf("stream with %s: %s", change, head)
		}
	}
}

func TestRacesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &how{races: make(map[raceKey]*tally)}
		const one, another = "192.0.2.1", "192.0.2.2"
		r := race{id: testID}
		var leave []func()
		for range mostAtOnce {
			_, done, err := h.enter(&r, waiting, one, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			leave = append(leave, done)
		}
		if _, _, err := h.enter(&r, waiting, one, time.Now()); err == nil || err.Code != codeTooFast {
			t.Errorf("one more at the same time: %v", err)
		}
		for range requestBurst - mostAtOnce {
			_, done, err := h.enter(&r, polling, one, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			done()
		}
		if _, _, err := h.enter(&r, polling, one, time.Now()); err == nil || err.Code != codeTooFast {
			t.Errorf("one more in the same second: %v", err)
		}
		for r.run = 1; r.run < maxFromOne; r.run++ {
			_, done, err := h.enter(&r, polling, one, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			done()
		}
		if _, _, err := h.enter(&r, polling, one, time.Now()); err == nil || err.Code != codeBusy {
			t.Errorf("one race more from the same address: %v", err)
		}
		for ; r.run < maxRaces; r.run++ {
			_, done, err := h.enter(&r, polling, fmt.Sprint(another, r.run), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			done()
		}
		if _, _, err := h.enter(&r, polling, another, time.Now()); err == nil || err.Code != codeBusy {
			t.Errorf("one race more: %v", err)
		}

		h.changed(time.Now())
		time.Sleep(2 * raceKept)
		h.changed(time.Now())
		if len(h.races) != 1 {
			t.Errorf("%d races are remembered, want the one that is on", len(h.races))
		}
		for _, done := range leave {
			done()
		}
		time.Sleep(2 * raceKept)
		h.changed(time.Now())
		if len(h.races) != 0 {
			t.Errorf("%d races are remembered, want none", len(h.races))
		}
	})
}

func TestARaceEnds(t *testing.T) {
	s := newSite(t)
	over := query(1, 6, raceTime, 5)
	for _, path := range []string{"poll", "wait"} {
		_, body, _ := s.dial().ask("/how/" + path + "?" + over)
		var got batch
		if err := json.Unmarshal([]byte(body), &got); err != nil || !got.Over || fmt.Sprint(numbers(got.Messages)) != "[6]" {
			t.Errorf("%s: %s, %v", path, body, err)
		}
	}
	_, body, _ := s.dial().ask("/how/events?" + over)
	if !strings.HasPrefix(body, "id: 6\n") || !strings.HasSuffix(body, "\n\nevent: over\ndata:\n\n") {
		t.Errorf("events: %q", body)
	}
	c := s.dial()
	c.write(strings.Replace(oddRequest(over, ""), "/how/socket", "/how/stream", 1))
	c.head()
	header := make([]byte, 2)
	if _, err := io.ReadFull(c.in, header); err != nil {
		t.Fatal(err)
	}
	if _, err := c.in.Discard(int(header[1])); err != nil {
		t.Fatal(err)
	}
	c.read("\x88\x12\x03\xe8the race is over")
}

// TestOverTLSTheCountIsComputed compares what is computed with what was counted for the same requests in the clear.
func TestOverTLSTheCountIsComputed(t *testing.T) {
	plain, secret := newSite(t), newSiteOverTLS(t)
	var costs [2]counted
	for i, s := range []*site{plain, secret} {
		next := watch[counted](s, prefix+testID+counts)
		for _, path := range []string{"poll", "events", "wait"} {
			response, err := s.client.Get(s.url + "/how/" + path + "?" + query(1, 1200, raceTime, 1190))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, response.Body); err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
		}
		for costs[i].Transports[waiting].Out == 0 { // before that the others are complete
			costs[i] = next()
		}
	}
	if costs[0].Estimate || !costs[1].Estimate {
		t.Errorf("estimated: %v in the clear, %v over TLS", costs[0].Estimate, costs[1].Estimate)
	}
	for _, by := range []transport{polling, events} {
		exact, computed := costs[0].Transports[by], costs[1].Transports[by]
		if computed.Out != exact.Out || computed.In < exact.In-40 || computed.In > exact.In+40 { // the port, and how HTTP/2 names things
			t.Errorf("computed were %+v, counted %+v", computed, exact)
		}
	}
}
