package quotes

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

// exchange is a hub with the app.
type exchange struct {
	*hub.Hub
	show *showcase.Showcase
}

func open(t *testing.T, broker hub.Broker, operator bool) *exchange {
	t.Helper()
	env := &showcase.Env{Logger: slog.New(slog.DiscardHandler), Operators: &showcase.Operators{
		Everybody: func() bool { return operator }, Valid: func(string) bool { return false },
	}}
	show, err := showcase.New(env, New)
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Options{Topics: show.Rules(), Hooks: show.Hooks(hub.Hooks{}), Broker: broker, Logger: env.Logger})
	if err != nil {
		t.Fatal(err)
	}
	if err := show.Start(h); err != nil {
		t.Fatal(err)
	}
	return &exchange{h, show}
}

func (e *exchange) close() {
	e.show.Close()
	e.Close()
}

// viewer is a subscriber that keeps what it gets, and has no room while it is shut.
type viewer struct {
	*hub.Subscriber
	mu   sync.Mutex
	shut bool
	got  []*hub.Message
}

func (v *viewer) Deliver(m *hub.Message) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.shut {
		v.got = append(v.got, m)
	}
	return !v.shut
}

func (v *viewer) End(hub.End) {}

func (v *viewer) setShut(shut bool) {
	v.mu.Lock()
	v.shut = shut
	v.mu.Unlock()
	if !shut {
		v.Ready()
	}
}

// take returns what came, and forgets it.
func (v *viewer) take() []*hub.Message {
	v.mu.Lock()
	defer v.mu.Unlock()
	got := v.got
	v.got = nil
	return got
}

// seen returns what has come so far.
func (v *viewer) seen() []*hub.Message {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.got)
}

func (e *exchange) join(t *testing.T, name string, topics ...string) *viewer {
	t.Helper()
	v := &viewer{}
	var err error
	if v.Subscriber, err = e.Connect(hub.Connecting{Session: name, Identity: hub.Identity{User: "~" + name, Anonymous: true}, Sink: v}); err != nil {
		t.Fatal(err)
	}
	for _, topic := range topics {
		s, err := v.Subscribe(t.Context(), topic, hub.SubscribeOptions{})
		if err != nil {
			t.Fatal(err)
		}
		s.Begin()
	}
	return v
}

// newest is the last board of each sector.
func newest(got []*hub.Message) map[string][]byte {
	boards := make(map[string][]byte)
	for _, m := range got {
		if m.Kind == hub.KindData && m.Topic == topicBoard {
			boards[m.Key] = m.Data
		}
	}
	return boards
}

func (v *viewer) ask(t *testing.T, method, question string, into any) error {
	t.Helper()
	pending, err := v.Request(t.Context(), prefix+method, []byte(question), false)
	if err != nil {
		return err
	}
	reply, err := pending.Wait()
	if err != nil {
		return err
	}
	return json.Unmarshal(reply.Data, into)
}

// TestSlowViewerHasTheNewest, however long it could not be reached, and is told how much it has not seen.
func TestSlowViewerHasTheNewest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := open(t, nil, true)
		defer e.close()
		fast, slow := e.join(t, "fast", topicBoard), e.join(t, "slow", topicBoard)
		time.Sleep(2 * time.Second)
		slow.setShut(true)
		time.Sleep(10 * time.Second)
		if err := fast.ask(t, "halt", `{"seconds":5}`, &struct{}{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		slow.setShut(false)
		synctest.Wait()
		seen, late := newest(fast.take()), newest(slow.take())
		if len(seen) != len(sectors) || len(late) != len(sectors) {
			t.Fatalf("%d and %d sectors", len(seen), len(late))
		}
		for sector, board := range seen {
			if !bytes.Equal(board, late[sector]) {
				t.Errorf("%s is not the newest", sector)
			}
		}
		var counted struct{ Superseded, Deliveries, Published uint64 }
		if err := fast.ask(t, "meter", `{}`, &counted); err != nil || counted.Superseded < 90*25 || counted.Deliveries <= counted.Published {
			t.Errorf("%+v %v", counted, err)
		}
	})
}

// TestGap says how many messages newer ones took the place of.
func TestGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := open(t, nil, true)
		defer e.close()
		v := e.join(t, "v", topicBoard)
		time.Sleep(time.Second)
		v.setShut(true)
		v.take()
		time.Sleep(3050 * time.Millisecond)
		v.setShut(false)
		synctest.Wait()
		got := v.take()
		if len(got) == 0 || got[0].Kind != hub.KindGap || got[0].Gap.Reason != hub.GapSuperseded || got[0].Gap.Count < 28*25 || got[0].Gap.Count > 30*25 {
			t.Fatalf("%d messages, the first %+v", len(got), got[0])
		}
		if rest := got[1:]; len(rest) != 25 {
			t.Errorf("%d messages behind it", len(rest))
		}
	})
}

// TestOpenWhileWatched: nothing is published when nobody is there, and a pause is made good.
func TestOpenWhileWatched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := open(t, nil, true)
		defer e.close()
		published := func() (n uint64) {
			for _, r := range e.Stats().Rules {
				n += r.Published
			}
			return n
		}
		time.Sleep(time.Minute)
		if n := published(); n != 0 {
			t.Fatalf("%d messages for nobody", n)
		}
		v := e.join(t, "v", topicSymbol+listing[0].Symbol)
		time.Sleep(5 * time.Second)
		if n := len(v.take()); n < 20 || n > 50 {
			t.Errorf("%d prices of one symbol in 5 s", n)
		}
		if len(newest(v.take())) > 0 {
			t.Error("there are boards for nobody")
		}
		v.Subscriber.Close()
		time.Sleep(2 * patience)
		n := published()
		time.Sleep(time.Hour / 2)
		if published() != n {
			t.Error("it does not close")
		}
		v = e.join(t, "w", topicBoard)
		time.Sleep(time.Second)
		var chart struct {
			Times  []int64
			Prices []uint32
		}
		if err := v.ask(t, "chart", `{"symbol":"`+listing[7].Symbol+`"}`, &chart); err != nil || len(chart.Prices) != keepBars {
			t.Fatalf("%d prices; %v", len(chart.Prices), err)
		}
		for i := range chart.Times[1:] {
			if step := chart.Times[i+1] - chart.Times[i]; step != barTime.Milliseconds() {
				t.Fatalf("%d ms between two bars", step)
			}
		}
		if late := time.Now().UnixMilli() - chart.Times[keepBars-1]; late < 0 || late > barTime.Milliseconds() {
			t.Errorf("the newest is %d ms old", late)
		}
	})
}

// TestGoesOnAfterRestart with the last prices, where the broker has kept them.
func TestGoesOnAfterRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := hub.NewMemoryBroker(hub.MemoryOptions{})
		e := open(t, broker, true)
		v := e.join(t, "v", topicBoard)
		time.Sleep(7 * time.Second)
		e.close()
		before := newest(v.take())

		e = open(t, broker, true)
		defer e.close()
		bars, err := (&archive{}).read(t.Context(), e.Hub)
		if err != nil {
			t.Fatal(err)
		}
		last := &market{prices: bars[len(bars)-1].prices}
		for i, sector := range sectors {
			for s := range perSector {
				if was, is := before[sector][8*s:8*s+4], last.board(i)[8*s:8*s+4]; !bytes.Equal(was, is) {
					t.Fatalf("%s: a price was %v and is %v", sector, was, is)
				}
			}
		}
		v = e.join(t, "w", topicBoard)
		time.Sleep(150 * time.Millisecond)
		for sector, board := range newest(v.take()) {
			for s := range perSector {
				was, is := price(before[sector], s), price(board, s)
				if is < 0.98*was || is > 1.02*was {
					t.Errorf("%s: a price went from %v to %v", sector, was, is)
				}
			}
		}
	})
}

func price(board []byte, i int) float64 {
	var m market
	for n, c := range board[8*i : 8*i+4] {
		m.prices[0] |= uint32(c) << (24 - 8*n)
	}
	return float64(m.prices[0])
}

// TestBadInput is refused with words.
func TestBadInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := open(t, nil, false)
		defer e.close()
		v := e.join(t, "v")
		for topic, code := range map[string]hub.Code{
			topicSymbol + "NOPE": codeUnknownSymbol, topicSymbol + "*": hub.CodeForbidden, prefix + ">": hub.CodeForbidden,
			topicBars: codeUnknownTopic, prefix + "x": codeUnknownTopic,
		} {
			if _, err := v.Subscribe(t.Context(), topic, hub.SubscribeOptions{}); !errors.Is(err, &hub.Error{Code: code}) {
				t.Errorf("%s: %v", topic, err)
			}
		}
		for _, topic := range []string{topicBoard, topicBars, topicStatus, topicSymbol + listing[0].Symbol} {
			if _, err := v.Publish(t.Context(), topic, hub.Publication{Data: []byte("1")}); !errors.Is(err, &hub.Error{Code: hub.CodeForbidden}) {
				t.Errorf("publishing to %s: %v", topic, err)
			}
		}
		for question, code := range map[string]hub.Code{
			`{"symbol":"<b>"}`: codeUnknownSymbol, `{}`: codeUnknownSymbol, `[]`: hub.CodeBadRequest, `{"symbol":7}`: hub.CodeBadRequest,
		} {
			if err := v.ask(t, "chart", question, &struct{}{}); !errors.Is(err, &hub.Error{Code: code}) {
				t.Errorf("chart %s: %v", question, err)
			}
		}
		if err := v.ask(t, "halt", `{"seconds":5}`, &struct{}{}); !errors.Is(err, &hub.Error{Code: "demo.not-operator"}) {
			t.Errorf("a visitor halts trading: %v", err)
		}
	})
}

func TestHalt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := open(t, nil, true)
		defer e.close()
		v := e.join(t, "v", topicBoard, topicStatus)
		for _, question := range []string{`{}`, `{"seconds":-1}`, `{"seconds":61}`} {
			if err := v.ask(t, "halt", question, &struct{}{}); !errors.Is(err, &hub.Error{Code: codeBadHalt}) {
				t.Errorf("%s: %v", question, err)
			}
		}
		time.Sleep(time.Second)
		if err := v.ask(t, "halt", `{"seconds":10}`, &struct{}{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		halted := v.take()
		if i := len(halted) - 1; i < 0 || len(newest(halted)) != len(sectors) {
			t.Fatal("nothing came")
		}
		time.Sleep(5 * time.Second)
		for sector, board := range newest(v.take()) {
			if !bytes.Equal(board, newest(halted)[sector]) {
				t.Errorf("%s goes on in a halt", sector)
			}
		}
		if err := v.ask(t, "halt", `{"seconds":0}`, &struct{}{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(300 * time.Millisecond)
		if board := newest(v.take())["Air"]; board == nil || bytes.Equal(board, newest(halted)["Air"]) {
			t.Error("it does not go on")
		}
		late := e.join(t, "late")
		s, err := late.Subscribe(t.Context(), topicStatus, hub.SubscribeOptions{Last: 1})
		if err != nil {
			t.Fatal(err)
		}
		s.Begin()
		if got := late.take(); len(got) != 1 {
			t.Errorf("whoever comes late is told %d times how it is", len(got))
		}
	})
}

// TestConcurrentViewers come and go while everything happens.
func TestConcurrentViewers(t *testing.T) {
	e := open(t, nil, true)
	defer e.close()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 400*time.Millisecond)
			defer cancel()
			for n := 0; ctx.Err() == nil; n++ {
				v := e.join(t, string(rune('a'+i)), topicBoard, topicSymbol+listing[(i*31+n)%symbols].Symbol)
				if err := v.ask(t, "chart", `{"symbol":"`+listing[n%symbols].Symbol+`"}`, &struct{}{}); err != nil {
					t.Error(err)
				}
				v.Subscriber.Close()
			}
		})
	}
	wg.Wait()
}

// far is a broker that is not in this process, as far as the hubs can tell.
type far struct{ hub.Broker }

// TestTwoNodes: one of them has the exchange, whichever node its viewers are at, and the other one goes on when it is gone.
func TestTwoNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := far{hub.NewMemoryBroker(hub.MemoryOptions{})}
		nodes := []*exchange{open(t, broker, true), open(t, broker, true)}
		viewers := []*viewer{nodes[0].join(t, "a", topicBoard), nodes[1].join(t, "b", topicBoard)}
		time.Sleep(15 * time.Second)
		for _, v := range viewers {
			v.take()
		}
		time.Sleep(4 * time.Second)
		has := 1 // which node has the exchange
		for i, e := range nodes {
			for _, r := range e.Stats().Rules {
				if r.Pattern == topicBoard && r.Published > 0 {
					has = i
				}
			}
		}
		got := [][]*hub.Message{viewers[0].take(), viewers[1].take()}
		for i := range got {
			if n := len(got[i]); n < 39*25 || n > 41*25 {
				t.Errorf("%d messages in 4 s at node %d", n, i)
			}
		}
		nodes[has].close()
		rest := viewers[1-has]
		time.Sleep(30 * time.Second)
		rest.take()
		time.Sleep(2 * time.Second)
		last := newest(rest.take())
		if len(last) != len(sectors) {
			t.Fatalf("%d sectors when the node is gone that had the exchange", len(last))
		}
		for sector, board := range newest(got[1-has]) {
			for s := range perSector {
				if was, is := price(board, s), price(last[sector], s); is < 0.9*was || is > 1.1*was {
					t.Errorf("%s: a price went from %v to %v", sector, was, is)
				}
			}
		}
		nodes[1-has].close()
	})
}
