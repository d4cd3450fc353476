// Package scaletest has the tests of sessions that need thousands of connections.
package scaletest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/session"
	"github.com/duplex-websocket/duplex/websocket"
)

const (
	published   = 80 // messages to each topic
	keys        = 5
	mayWait     = 10       // messages for a slow subscription
	fillSize    = 32 << 10 // of a message that only fills what lies between the hub and slow clients
	mostFill    = 2000     // of them
	smallBuffer = 4 << 10  // of the kernel, to send from; it rounds that up
	outbox      = 16 << 10 // of each connection
	patience    = time.Minute
)

// rules has a topic for each policy.
var rules = []hub.Rule{
	{Pattern: "drop", TopicOptions: hub.TopicOptions{SlowMessages: mayWait}},
	{Pattern: "latest", TopicOptions: hub.TopicOptions{SlowMessages: mayWait, Slow: hub.SlowLatest}},
	{Pattern: "cut", TopicOptions: hub.TopicOptions{SlowMessages: mayWait, Slow: hub.SlowDisconnect, HistoryMessages: published}},
	{Pattern: "fill", TopicOptions: hub.TopicOptions{SlowMessages: 1}},
}

// TestSlowSubscribers has thousands of clients of which some do not read. Under each policy the fast ones get everything, and what each
// slow one gets and is told of adds up to what was published, and to what the hub counts.
func TestSlowSubscribers(t *testing.T) {
	n := 5000
	if raceDetector() {
		n = 500
	}
	f := newFixture(t, n, n/50)
	t.Run("drop-oldest", f.drop)
	t.Run("latest", f.latest)
	t.Run("disconnect", f.disconnect)
}

// raceDetector reports whether it watches, which makes everything slower by an order of magnitude.
func raceDetector() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

type fixture struct {
	hub        *hub.Hub
	url        string
	ctx        context.Context
	fast, slow []*client
	delivered  atomic.Int64 // messages that fast clients have read
	gaps       atomic.Int64 // gaps that they were told of
}

// client is one connection. A slow one reads only when it is told to.
type client struct {
	conn     *websocket.Conn
	session  string // with which it resumes
	position map[string]any
}

// cramped is a listener whose connections have small buffers in the kernel to send from, so that a client that does not read is felt
// soon.
type cramped struct{ net.Listener }

func (l cramped) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		err = errors.Join(err, tcp.SetWriteBuffer(smallBuffer))
	}
	return c, err
}

func newFixture(t *testing.T, n, slow int) *fixture {
	h, err := hub.New(hub.Options{Topics: rules})
	if err != nil {
		t.Fatal(err)
	}
	server := session.New(h, session.Options{Outbox: outbox, Accept: websocket.AcceptOptions{Options: websocket.Options{
		WriteTimeout: -1, PingInterval: -1, CloseTimeout: 4 * patience, // it is not about those who read nothing for ever
	}}})
	web := httptest.NewUnstartedServer(http.Handler(server))
	web.Listener = cramped{web.Listener}
	web.Start()
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	f := &fixture{hub: h, url: web.URL, ctx: ctx}
	t.Cleanup(func() {
		for _, c := range slices.Concat(f.fast, f.slow) {
			_ = c.conn.CloseNow()
		}
		h.Close()
		_ = server.Shutdown(ctx)
		web.Close()
		cancel()
	})
	all := make([]*client, n)
	inParallel(n, func(i int) {
		c, err := f.dial(i < slow, "")
		if err != nil {
			t.Error(err)
		}
		all[i] = c
	})
	if t.Failed() {
		t.FailNow()
	}
	f.slow, f.fast = all[:slow], all[slow:]
	for _, c := range f.slow {
		if _, err := c.ask(ctx, `{"type":"subscribe","id":2,"topic":"fill"}`); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range f.fast {
		go f.readAll(c)
	}
	return f
}

func inParallel(n int, do func(i int)) {
	var wg sync.WaitGroup
	next := atomic.Int64{}
	for range 16 {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(int(i))
			}
		})
	}
	wg.Wait()
}

func (f *fixture) dial(slow bool, resume string) (*client, error) {
	o := &websocket.DialOptions{Options: websocket.Options{Subprotocols: []string{session.Subprotocol}}}
	if slow {
		o.ReadAhead = 1
	}
	conn, err := websocket.Dial(f.ctx, f.url, o)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn}
	reply, err := c.ask(f.ctx, `{"type":"connect","id":1,"resume":"`+resume+`"}`)
	if err == nil {
		c.session, _ = reply["resume"].(string)
	}
	return c, err
}

// ask sends a command of a client that nobody reads from at the moment, and returns the answer.
func (c *client) ask(ctx context.Context, command string) (map[string]any, error) {
	if err := c.conn.Write(ctx, websocket.Text, []byte(command)); err != nil {
		return nil, err
	}
	for {
		_, p, err := c.conn.Read(ctx)
		if err != nil {
			return nil, err
		}
		var frame map[string]any
		if err := json.Unmarshal(p, &frame); err != nil {
			return nil, err
		}
		switch frame["type"] {
		case "reply":
			return frame, nil
		case "error":
			return nil, fmt.Errorf("%s: %s", command, p)
		}
	}
}

// readAll counts what a fast client gets.
func (f *fixture) readAll(c *client) {
	for {
		_, p, err := c.conn.Read(f.ctx)
		switch {
		case err != nil:
			return
		case bytes.HasPrefix(p, []byte(`{"type":"message"`)):
			f.delivered.Add(1)
		case bytes.HasPrefix(p, []byte(`{"type":"gap"`)):
			f.gaps.Add(1)
		}
	}
}

// run subscribes everybody to a topic and publishes to it; whoever is fast gets each message before the next one comes.
func (f *fixture) run(t *testing.T, topic string) {
	subscribe := `{"type":"subscribe","id":2,"topic":"` + topic + `"}`
	inParallel(len(f.fast), func(i int) {
		if err := f.fast[i].conn.Write(f.ctx, websocket.Text, []byte(subscribe)); err != nil {
			t.Error(err)
		}
	})
	inParallel(len(f.slow), func(i int) {
		var err error
		if f.slow[i].position, err = f.slow[i].ask(f.ctx, subscribe); err != nil {
			t.Error(err)
		}
	})
	f.wait(t, "subscriptions", func() bool {
		page, err := f.hub.Topics(f.ctx, hub.TopicQuery{Pattern: topic})
		return err == nil && page.Topics[0].Subscribers == len(f.fast)+len(f.slow)
	})
	f.fill(t)
	begun := f.delivered.Load()
	for i := range published {
		if _, err := f.hub.Publish(f.ctx, topic, hub.Publication{Key: fmt.Sprint(i % keys), Data: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
		f.wait(t, "deliveries", func() bool { return f.delivered.Load()-begun == int64((i+1)*len(f.fast)) })
	}
	if n := f.gaps.Load(); n > 0 {
		t.Errorf("fast clients were told of %d gaps", n)
	}
}

// fill publishes to the slow clients alone until none of them has room for more.
func (f *fixture) fill(t *testing.T) {
	t.Helper()
	data := fmt.Appendf(nil, "%q", strings.Repeat("x", fillSize))
	full := 0 // how often nobody had room, one message after the other
	for range mostFill {
		if _, err := f.hub.Publish(f.ctx, "fill", hub.Publication{Data: data}); err != nil {
			t.Fatal(err)
		}
		if f.hub.Stats().QueuedMessages < len(f.slow) {
			full = 0
			continue
		}
		time.Sleep(50 * time.Millisecond) // what is on its way may make room, and so may a kernel that packs what nobody reads
		if f.hub.Stats().QueuedMessages != len(f.slow) {
			full = 0
		} else if full++; full == 5 {
			return
		}
	}
	t.Fatalf("%d messages do not fill the slow clients: %+v", mostFill, f.hub.Stats())
}

func (f *fixture) wait(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("%s did not come: %+v", what, f.hub.Stats())
		}
	}
}

// account is what a slow client got of a topic.
type account struct {
	got          []int // numbers of messages
	keys         map[string]int
	gaps, missed int
}

// catchUp reads until the last message.
func (c *client) catchUp(ctx context.Context, t *testing.T) (a account) {
	a.keys = make(map[string]int)
	for {
		_, p, err := c.conn.Read(ctx)
		if err != nil {
			t.Errorf("after %d messages: %v", len(a.got), err)
			return a
		}
		var frame struct {
			Type, Topic, Key string
			Data             json.RawMessage
			Count            int
		}
		if err := json.Unmarshal(p, &frame); err != nil {
			t.Errorf("%.100s: %v", p, err)
			return a
		}
		switch {
		case frame.Topic == "fill":
		case frame.Type == "gap":
			a.gaps++
			a.missed += frame.Count
		case frame.Type == "message":
			n, err := strconv.Atoi(string(frame.Data))
			if err != nil {
				t.Error(err)
				return a
			}
			a.got = append(a.got, n)
			a.keys[frame.Key] = n
			if n == published-1 {
				return a
			}
		}
	}
}

// settle lets all slow clients read, and holds what they got against what the hub counts.
func (f *fixture) settle(t *testing.T, rule int) (all []account) {
	all = make([]account, len(f.slow))
	inParallel(len(f.slow), func(i int) { all[i] = f.slow[i].catchUp(f.ctx, t) })
	gaps, missed := 0, 0
	for i, a := range all {
		if len(a.got)+a.missed != published || a.missed == 0 || !slices.IsSorted(a.got) || len(slices.Compact(a.got)) != len(a.got) {
			t.Fatalf("slow client %d got %v and was told that %d are missing", i, a.got, a.missed)
		}
		gaps += a.gaps
		missed += a.missed
	}
	counts := f.hub.Stats().Rules[rule]
	if int(counts.Dropped+counts.Superseded) != missed || int(counts.Gaps) != gaps {
		t.Errorf("the hub counts %+v; clients were told of %d messages in %d gaps", counts, missed, gaps)
	}
	if want := published*(len(f.fast)+len(f.slow)) - missed; int(counts.Deliveries) != want {
		t.Errorf("the hub counts %d deliveries, not %d", counts.Deliveries, want)
	}
	return all
}

func (f *fixture) drop(t *testing.T) {
	f.run(t, "drop")
	for i, a := range f.settle(t, 0) {
		if tail := a.got[len(a.got)-mayWait:]; tail[0] != published-mayWait {
			t.Errorf("slow client %d ends with %v", i, tail)
		}
	}
	if n := f.hub.Stats().Rules[0].Superseded; n > 0 {
		t.Errorf("%d were superseded", n)
	}
}

func (f *fixture) latest(t *testing.T) {
	f.run(t, "latest")
	for i, a := range f.settle(t, 1) {
		for k := range keys {
			if got := a.keys[fmt.Sprint(k)]; got != published-keys+k {
				t.Errorf("slow client %d has %d as the newest of key %d", i, got, k)
			}
		}
	}
	if n := f.hub.Stats().Rules[1].Dropped; n > 0 {
		t.Errorf("%d were dropped, with fewer keys than may wait", n)
	}
}

// disconnect has slow clients cut off, which then recover everything.
func (f *fixture) disconnect(t *testing.T) {
	f.run(t, "cut")
	f.wait(t, "the end of the slow ones", func() bool { return int(f.hub.Stats().Rules[2].Slow) == len(f.slow) })
	inParallel(len(f.slow), func(i int) {
		old := f.slow[i]
		got := 0
		var ended *websocket.CloseError
		for {
			_, p, err := old.conn.Read(f.ctx)
			if err != nil {
				if !errors.As(err, &ended) || ended.Code != websocket.StatusTryAgainLater {
					t.Errorf("slow client %d ended with %v", i, err)
				}
				break
			}
			if bytes.HasPrefix(p, []byte(`{"type":"message","topic":"cut"`)) {
				got++
			}
		}
		again, err := f.dial(false, old.session)
		if err != nil {
			t.Error(err)
			return
		}
		f.slow[i] = again
		since := fmt.Sprintf(`{"epoch":%q,"offset":%d}`, old.position["epoch"], uint64(old.position["offset"].(float64))+uint64(got))
		if err := again.conn.Write(f.ctx, websocket.Text, fmt.Appendf(nil, `{"type":"subscribe","id":3,"topic":"cut","since":%s}`, since)); err != nil {
			t.Error(err)
			return
		}
		if a := again.catchUp(f.ctx, t); got+len(a.got) != published || a.gaps > 0 || a.got[0] != got {
			t.Errorf("slow client %d got %d and then %v", i, got, a.got)
		}
	})
}
