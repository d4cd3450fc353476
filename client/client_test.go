package client

import (
	"context"
	"errors"
	"fmt"
	"net"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

func TestSubscription(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.plays(func(p *peer) {
			p.greet(`{"type":"connect","info":{"name":"Ann"}}`)
			p.reply(p.ask(`{"type":"subscribe","topic":"a","presence":true,"since":{"epoch":"e","offset":4}}`), `"epoch":"e","offset":4,"recovered":true`)
			p.say(message("a", 5, "1"), message("a", 5, "1"), message("a", 3, "0"), message("b", 9, "0"), `{"type":"news"}`,
				`{"type":"join","topic":"a","user":"bob","info":{"n":1}}`, `{"type":"leave","topic":"a","user":"bob"}`,
				`{"type":"gap","topic":"a","reason":"slow","since":{"epoch":"e","offset":5},"until":{"epoch":"e","offset":7},"count":1}`,
				message("a", 7, "2"),
				`{"type":"gap","topic":"a","reason":"epoch","since":{"epoch":"e","offset":7},"until":{"epoch":"f","offset":3}}`,
				message("a", 4, "3"),
				`{"type":"unsubscribed","topic":"a","code":"forbidden","message":"your token no longer allows it"}`)
		})
		c := s.dial(Options{Info: []byte(`{"name":"Ann"}`)})
		sub := must(c.Subscribe(t.Context(), "a", &SubscribeOptions{Since: Position{"e", 4}, Presence: true}))(t)
		if sub.Topic() != "a" || sub.Position() != (Position{"e", 4}) {
			t.Errorf("begins as %q at %v", sub.Topic(), sub.Position())
		}
		wantEvents(t, sub, "message a e/5 1", `join bob {"n":1}`, "leave bob", "gap slow e/5 to e/7")
		if sub.Position() != (Position{"e", 5}) {
			t.Errorf("a gap changed the position to %v", sub.Position())
		}
		wantEvents(t, sub, "message a e/7 2", "gap epoch e/7 to f/3", "message a f/4 3")
		_, err := sub.Next(t.Context())
		isCode(t, err, CodeForbidden)
		if sub.Position() != (Position{"f", 4}) {
			t.Errorf("ends at %v", sub.Position())
		}
	})
}

func TestPatternAndLast(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.plays(func(p *peer) {
			p.greet(`{"type":"connect"}`)
			p.reply(p.ask(`{"type":"subscribe","topic":"q.>","last":3}`), `"epoch":"e","offset":0`)
			p.say(`{"type":"message","topic":"q.x","sub":"q.>","offset":1,"time":5,"data":1}`, message("q.x", 2, "1"))
			p.reply(p.ask(`{"type":"unsubscribe","topic":"q.>"}`), "")
			p.reply(p.ask(`{"type":"subscribe","topic":"q.>"}`), `"epoch":"e","offset":9`)
		})
		c := s.dial(Options{})
		sub := must(c.Subscribe(t.Context(), "q.>", &SubscribeOptions{Last: 3}))(t)
		_, err := c.Subscribe(t.Context(), "q.>", nil)
		isCode(t, err, CodeAlreadySubscribed)
		wantEvents(t, sub, "message q.x e/1 1")
		if err := sub.Unsubscribe(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := sub.Next(t.Context()); err != ErrUnsubscribed {
			t.Error(err)
		}
		must(c.Subscribe(t.Context(), "q.>", nil))(t)
	})
}

// What was published and not acknowledged is sent again with the same id and in order, behind the subscriptions, which go on at
// their positions.
func TestReconnect(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		var ids [3]string
		s.plays(func(p *peer) {
			p.greet(`{"type":"connect"}`)
			p.reply(p.ask(`{"type":"subscribe","topic":"a"}`), `"epoch":"e","offset":0`)
			p.say(message("a", 1, "1"))
			for i := range ids {
				ids[i] = p.ask(fmt.Sprintf(`{"type":"publish","topic":"a","messageId":"?","data":%d}`, i)).MessageID
			}
			p.cut()
		}, func(p *peer) {
			p.greet(`{"type":"connect","resume":"r1"}`)
			p.reply(p.ask(`{"type":"subscribe","topic":"a","since":{"epoch":"e","offset":1}}`), `"epoch":"e","offset":1,"recovered":true`)
			for i, id := range ids {
				cmd := p.ask(fmt.Sprintf(`{"type":"publish","topic":"a","messageId":%q,"data":%d}`, id, i))
				p.reply(cmd, fmt.Sprintf(`"epoch":"e","offset":%d,"duplicate":%v`, i+2, i == 0))
			}
			p.say(message("a", 1, "1"), message("a", 2, "0"))
		})
		c := s.dial(Options{})
		sub := must(c.Subscribe(t.Context(), "a", nil))(t)
		wantEvents(t, sub, "message a e/1 1")
		var sent []*Publishing
		for i := range 3 {
			sent = append(sent, must(c.Send(t.Context(), "a", Publication{Data: fmt.Append(nil, i)}))(t))
		}
		for i, p := range sent {
			got := must(p.Receipt(t.Context()))(t)
			if got != (Receipt{Position: Position{"e", uint64(i + 2)}, ID: ids[i], Duplicate: i == 0}) {
				t.Errorf("receipt %d is %+v", i, got)
			}
		}
		wantEvents(t, sub, "resubscribed true e/1", "message a e/2 0")
	})
}

func TestPublishFields(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.plays(func(p *peer) {
			p.greet(`{"type":"connect"}`)
			p.reply(p.ask(`{"type":"publish","topic":"a","messageId":"m","key":"k","echo":false,"meta":{"x":1},"data":null}`), `"epoch":"e","offset":1`)
			typ, b, err := p.conn.Read(context.Background())
			if err != nil || typ != websocket.Binary || !strings.HasSuffix(string(b), "}\x01\x02") {
				p.t.Errorf("got %v %q, %v", typ, b, err)
			}
		})
		c := s.dial(Options{})
		must(c.Publish(t.Context(), "a", Publication{ID: "m", Key: "k", NotToMe: true, Meta: []byte(`{"x":1}`)}))(t)
		must(c.Send(t.Context(), "a", Publication{Data: []byte{1, 2}, Binary: true}))(t)
		_, err := c.Publish(t.Context(), "a", Publication{Data: []byte("{")})
		isCode(t, err, CodeBadRequest)
		synctest.Wait()
	})
}

// A frame above the server's limit would cost the connection, again and again.
func TestTooLarge(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.plays(func(p *peer) { p.reply(p.ask(`{"type":"connect"}`), `"session":"s","user":"u","limits":{"frame":100}`) })
		c := s.dial(Options{})
		_, err := c.Publish(t.Context(), "a", Publication{Data: []byte(`"` + strings.Repeat("x", 100) + `"`)})
		isCode(t, err, CodeTooLarge)
	})
}

func TestQuestions(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.plays(func(p *peer) {
			p.greet(`{"type":"connect"}`)
			cmd := p.ask(`{"type":"history","topic":"a","limit":2,"after":0,"epoch":"e"}`)
			for i := 1; i <= 2; i++ {
				p.say(fmt.Sprintf(`{"type":"message","topic":"a","offset":%d,"time":5,"data":%d,"reply":%d}`, i, i, cmd.ID))
			}
			p.reply(cmd, `"epoch":"e","messages":2,"more":true,"lost":true`)
			p.reply(p.ask(`{"type":"history","topic":"a","before":7}`), `"epoch":"e","messages":0,"more":false`)
			p.reply(p.ask(`{"type":"presence","topic":"a"}`), `"count":2,"connections":3,"users":[{"user":"ann","info":{"n":1},"connections":2},{"user":"bob","connections":1}]`)
			p.reply(p.ask(`{"type":"request","method":"m","timeout":1500,"data":1}`), `"data":{"x":1}`)
			p.refuse(p.ask(`{"type":"request","method":"n"}`), "shop.sold-out", 0)
		})
		c := s.dial(Options{})
		page := must(c.History(t.Context(), "a", HistoryQuery{Limit: 2, Forward: true, Epoch: "e"}))(t)
		if len(page.Messages) != 2 || describe(page.Messages[1]) != "message a e/2 2" || !page.More || !page.Lost || page.Epoch != "e" {
			t.Errorf("page is %+v", page)
		}
		if page = must(c.History(t.Context(), "a", HistoryQuery{Before: 7}))(t); len(page.Messages) != 0 || page.More || page.Lost {
			t.Errorf("page is %+v", page)
		}
		for _, q := range []HistoryQuery{{Forward: true, Before: 1}, {After: 1}} {
			_, err := c.History(t.Context(), "a", q)
			isCode(t, err, CodeBadRequest)
		}
		who := must(c.Presence(t.Context(), "a"))(t)
		want := Present{Count: 2, Connections: 3, Users: []PresentUser{{User{"ann", []byte(`{"n":1}`)}, 2}, {User{Name: "bob"}, 1}}}
		if !reflect.DeepEqual(who, want) {
			t.Errorf("present are %+v", who)
		}
		if r := must(c.Request(t.Context(), Request{Method: "m", Timeout: 1500 * time.Millisecond, Data: []byte("1")}))(t); string(r.Data) != `{"x":1}` {
			t.Errorf("reply %s", r.Data)
		}
		_, err := c.Request(t.Context(), Request{Method: "n"})
		isCode(t, err, "shop.sold-out")
	})
}

// What cannot be known is said, not guessed.
func TestUncertain(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.plays(func(p *peer) {
			p.greet(`{"type":"connect"}`)
			p.ask(`{"type":"request","method":"m"}`)
			p.ask(`{"type":"publish","topic":"a","messageId":"?","data":null}`)
			p.ask(`{"type":"history","topic":"a"}`)
			s.net.setDown(true)
			p.cut()
		}, func(p *peer) {
			p.greet(`{"type":"connect","resume":"r1"}`)
			p.reply(p.ask(`{"type":"history","topic":"a"}`), `"epoch":"e","messages":0`)
			p.reply(p.ask(`{"type":"request","method":"n"}`), "")
		})
		c := s.dial(Options{MaxDelay: time.Second})
		failed := make(chan error, 3)
		go func() {
			_, err := c.Request(t.Context(), Request{Method: "m"})
			failed <- err
			_, err = c.Request(t.Context(), Request{Method: "n"}) // not sent before there is a connection
			failed <- err
		}()
		synctest.Wait()
		p := must(c.Send(t.Context(), "a", Publication{}))(t)
		go func() {
			_, err := c.History(t.Context(), "a", HistoryQuery{})
			failed <- err
		}()
		isCode(t, <-failed, CodeUncertain)
		time.Sleep(defaultResendFor + time.Second)
		s.net.setDown(false)
		_, err := p.Receipt(t.Context())
		isCode(t, err, CodeUncertain)
		if err := errors.Join(<-failed, <-failed); err != nil {
			t.Error(err)
		}
	})
}

// A refusal for now of what was sent before says nothing about the first time.
func TestResentIsNotRefused(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.plays(func(p *peer) {
			p.greet(`{"type":"connect"}`)
			p.refuse(p.ask(`{"type":"publish","topic":"a","messageId":"?","data":0}`), "rate", 200)
			p.ask(`{"type":"publish","topic":"a","messageId":"?","data":1}`)
			p.cut()
		}, func(p *peer) {
			p.greet(`{"type":"connect","resume":"r1"}`)
			p.refuse(p.ask(`{"type":"publish","topic":"a","messageId":"?","data":1}`), "rate", 300)
			p.reply(p.ask(`{"type":"publish","topic":"a","messageId":"?","data":1}`), `"epoch":"e","offset":1`)
		})
		c := s.dial(Options{})
		_, err := c.Publish(t.Context(), "a", Publication{Data: []byte("0")})
		isCode(t, err, CodeRate)
		if e := new(Error); !errors.As(err, &e) || e.Retry != 200*time.Millisecond {
			t.Errorf("%+v", e)
		}
		start := time.Now()
		must(c.Publish(t.Context(), "a", Publication{Data: []byte("1")}))(t)
		if took := time.Since(start); took != 1300*time.Millisecond {
			t.Errorf("took %v", took)
		}
	})
}

// Send waits for room, and what is given up frees it.
func TestPendingIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.net.setDown(true)
		c := s.dial(Options{Pending: 2})
		ctx, cancel := context.WithCancel(t.Context())
		first := must(c.Send(ctx, "a", Publication{}))(t)
		must(c.Send(t.Context(), "a", Publication{}))(t)
		short, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if _, err := c.Send(short, "a", Publication{}); err != context.DeadlineExceeded {
			t.Error(err)
		}
		cancel()
		must(c.Send(t.Context(), "a", Publication{}))(t)
		if _, err := first.Receipt(t.Context()); err != context.Canceled {
			t.Error(err)
		}
	})
}

func TestRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoom(10, 100)
		if err := r.enter(t.Context(), 1000); err != nil { // larger than all there is, but alone
			t.Fatal(err)
		}
		in, out := make(chan int, 5), make(chan error, 1)
		impatient, cancel := context.WithCancel(t.Context())
		for i, bytes := range []int{100, 99, 50, 95, 10} {
			go func() {
				if i == 1 {
					out <- r.enter(impatient, bytes)
				} else if r.enter(t.Context(), bytes) == nil {
					in <- i
				}
			}()
			synctest.Wait() // they stand in line
		}
		cancel()
		if err := <-out; err != context.Canceled {
			t.Error(err)
		}
		for _, step := range []struct{ leave, next int }{{1000, 0}, {100, 2}, {50, 3}, {95, 4}} {
			r.leave(step.leave)
			synctest.Wait()
			if len(in) != 1 {
				t.Fatalf("%d came in after %d had left", len(in), step.leave)
			}
			if got := <-in; got != step.next {
				t.Errorf("%d came in, want %d", got, step.next)
			}
		}
	})
}

func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		ended := make(chan error, 1)
		s.plays(func(p *peer) {
			p.greet(`{"type":"connect"}`)
			p.reply(p.ask(`{"type":"subscribe","topic":"a"}`), `"epoch":"e","offset":0`)
			p.say(message("a", 1, "1"))
			p.ask(`{"type":"presence","topic":"a"}`)
			_, _, err := p.conn.Read(context.Background())
			ended <- err
		})
		c := s.dial(Options{})
		sub := must(c.Subscribe(t.Context(), "a", nil))(t)
		asked := make(chan error)
		go func() {
			_, err := c.Presence(t.Context(), "a")
			asked <- err
		}()
		synctest.Wait()
		if c.Err() != nil {
			t.Error(c.Err())
		}
		go c.Close(t.Context())
		if err := <-asked; err != ErrClosed {
			t.Error(err)
		}
		<-c.Done()
		if err := <-ended; websocket.CloseStatus(err) != websocket.StatusNormalClosure {
			t.Errorf("the server saw %v", err)
		}
		wantEvents(t, sub, "message a e/1 1", "end: "+ErrClosed.Error())
		if c.Err() != ErrClosed || !errors.Is(c.Err(), net.ErrClosed) || c.Status().State != Closed {
			t.Errorf("%v, %v", c.Err(), c.Status())
		}
		if _, err := c.Subscribe(t.Context(), "b", nil); err != ErrClosed {
			t.Error(err)
		}
		if _, err := c.Publish(t.Context(), "b", Publication{}); err != ErrClosed {
			t.Error(err)
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	for _, c := range []struct {
		url  string
		o    Options
		says string
	}{
		{"ws://h/", Options{BaseDelay: -1}, "BaseDelay is negative"},
		{"ws://h/", Options{BaseDelay: 5, MaxDelay: 2}, "MaxDelay is less"},
		{"ws://h/", Options{Info: []byte("x")}, "Info is not JSON"},
		{"ws://h/", Options{Dial: websocket.DialOptions{Options: websocket.Options{Subprotocols: []string{"x"}}}}, "must be empty"},
		{"localhost:8080", Options{}, "no WebSocket URL"},
		{"ws:///x", Options{}, "has a host"},
		{"ws://h/#x", Options{}, "no fragment"},
		{"ws://h:x/", Options{}, "port"},
	} {
		if _, err := New(c.url, &c.o); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s %+v: %v, want %q", c.url, c.o, err, c.says)
		}
	}
}

// What is on its way is bounded, so that a server's refusals do not come in thousands.
func TestOpenIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.plays(func(p *peer) {
			p.greet(`{"type":"connect"}`)
			var open []command
			for range maxOpen {
				open = append(open, p.ask(`{"type":"presence","topic":"a"}`))
			}
			early, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			if _, b, err := p.conn.Read(early); err != context.DeadlineExceeded {
				t.Errorf("sent %s, %v", b, err)
			}
			p.reply(open[0], "")
			open = append(open[1:], p.ask(`{"type":"presence","topic":"a"}`))
			for _, cmd := range open {
				p.reply(cmd, "")
			}
		})
		c := s.dial(Options{})
		failed := make(chan error)
		for range maxOpen + 1 {
			go func() {
				_, err := c.Presence(t.Context(), "a")
				failed <- err
			}()
		}
		for range maxOpen + 1 {
			if err := <-failed; err != nil {
				t.Error(err)
			}
		}
	})
}

// Close ends what waits to be sent again, too.
func TestCloseEndsWhatWaits(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.plays(func(p *peer) {
			p.greet(`{"type":"connect"}`)
			p.ask(`{"type":"publish","topic":"a","messageId":"?","data":null}`)
			p.cut()
		}, func(p *peer) {
			p.greet(`{"type":"connect","resume":"r1"}`)
			p.refuse(p.ask(`{"type":"publish","topic":"a","messageId":"?","data":null}`), "rate", 3_600_000)
		})
		c := s.dial(Options{})
		sent := must(c.Send(t.Context(), "a", Publication{}))(t)
		time.Sleep(10 * time.Second)
		start := time.Now()
		c.Close(t.Context())
		if _, err := sent.Receipt(t.Context()); err != ErrClosed || time.Since(start) > time.Minute {
			t.Errorf("%v after %v", err, time.Since(start))
		}
	})
}
