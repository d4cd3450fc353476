package client

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// What the server could not make sure of is sent again with the same id, and nothing of its topic goes before it.
func TestDoubted(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		publish := func(topic string, data int) string {
			return fmt.Sprintf(`{"type":"publish","topic":%q,"messageId":"?","data":%d}`, topic, data)
		}
		s.plays(func(p *peer) {
			p.greet(`{"type":"connect"}`)
			first := p.ask(publish("a", 1))
			p.refuse(first, "unavailable", 0)
			p.reply(p.ask(publish("b", 3)), `"epoch":"e","offset":1`) // another topic does not wait
			again := p.ask(publish("a", 1))
			if again.MessageID != first.MessageID {
				t.Errorf("sent again with another id")
			}
			p.refuse(again, "unavailable", 3000)
			p.reply(p.ask(publish("a", 1)), `"epoch":"e","offset":2,"duplicate":true`)
			p.reply(p.ask(publish("a", 2)), `"epoch":"e","offset":3`)
		})
		c := s.dial(Options{})
		began := time.Now()
		send := func(topic, data string) *Publishing {
			return must(c.Send(t.Context(), topic, Publication{Data: []byte(data)}))(t)
		}
		one := send("a", "1")
		synctest.Wait()
		two, three := send("a", "2"), send("b", "3")
		must(three.Receipt(t.Context()))(t)
		if got := must(one.Receipt(t.Context()))(t); !got.Duplicate || got.Offset != 2 {
			t.Errorf("%+v", got)
		}
		must(two.Receipt(t.Context()))(t)
		if took := time.Since(began); took != farewellGrace+doubtAfter+3*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}

// It ends when it would come too late, or when the server may have forgotten the id.
func TestDoubtedForTooLong(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.plays(func(p *peer) {
			p.greet(`{"type":"connect"}`)
			one := p.ask(`{"type":"publish","topic":"a","messageId":"?","data":1}`)
			two := p.ask(`{"type":"publish","topic":"a","messageId":"?","data":2}`)
			p.refuse(one, "unavailable", 0)
			p.reply(two, `"epoch":"e","offset":2`) // later, but already on its way
			for range 9 {
				p.refuse(p.ask(`{"type":"publish","topic":"a","messageId":"?","data":3}`), "unavailable", 10_000)
			}
			p.ask(`{"type":"publish","topic":"b","messageId":"?","data":null}`)
		})
		c := s.dial(Options{})
		one := must(c.Send(t.Context(), "a", Publication{Data: []byte("1")}))(t)
		two := must(c.Send(t.Context(), "a", Publication{Data: []byte("2")}))(t)
		_, err := one.Receipt(t.Context())
		isCode(t, err, CodeUncertain)
		must(two.Receipt(t.Context()))(t)
		began := time.Now()
		_, err = c.Publish(t.Context(), "a", Publication{Data: []byte("3")})
		isCode(t, err, CodeUncertain)
		if took := time.Since(began); took > defaultResendFor {
			t.Errorf("it took %v", took)
		}
		if c.desk.doubts != 0 {
			t.Errorf("%d doubts are left", c.desk.doubts)
		}
		// The caller's patience counts as well.
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Publish(ctx, "b", Publication{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

// Messages without a place in the line come, and leave the position alone; a new epoch in the middle begins at its position.
func TestWithoutPlace(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		without := `{"type":"message","topic":"a","time":1000,"data":"x"}`
		s.plays(func(p *peer) {
			p.greet(`{"type":"connect"}`)
			p.reply(p.ask(`{"type":"subscribe","topic":"a"}`), `"epoch":"e","offset":4`)
			p.say(without, message("a", 5, "5"), without, without)
			p.reply(p.ask(`{"type":"publish","topic":"a","messageId":"?","data":null}`), `"epoch":"e"`)
			p.cut()
		}, func(p *peer) {
			p.greet(`{"type":"connect","resume":"r1"}`)
			p.reply(p.ask(`{"type":"subscribe","topic":"a","since":{"epoch":"e","offset":5}}`), `"epoch":"e","offset":5,"recovered":true`)
			p.say(without, `{"type":"gap","topic":"a","reason":"lost","since":{"epoch":"e","offset":5},"until":{"epoch":"e","offset":9}}`, without,
				message("a", 7, "7"), `{"type":"gap","topic":"a","reason":"epoch","since":{"epoch":"e","offset":7},"until":{"epoch":"f","offset":3}}`)
			p.cut()
		}, func(p *peer) {
			p.greet(`{"type":"connect","resume":"r1"}`)
			p.reply(p.ask(`{"type":"subscribe","topic":"a","since":{"epoch":"f","offset":3}}`), `"epoch":"f","offset":3,"recovered":true`)
			p.say(message("a", 4, "4"))
		})
		c := s.dial(Options{})
		sub := must(c.Subscribe(t.Context(), "a", nil))(t)
		got := must(c.Publish(t.Context(), "a", Publication{}))(t)
		if got.Offset != 0 || got.Epoch != "e" {
			t.Errorf("%+v", got)
		}
		wantEvents(t, sub, `message a /0 "x"`, "message a e/5 5", `message a /0 "x"`, `message a /0 "x"`)
		if sub.Position() != (Position{"e", 5}) {
			t.Errorf("at %v", sub.Position())
		}
		wantEvents(t, sub, "resubscribed true e/5", `message a /0 "x"`, "gap lost e/5 to e/9", `message a /0 "x"`, "message a e/7 7", "gap epoch e/7 to f/3",
			"resubscribed true f/3", "message a f/4 4")
	})
}

// What the server could not make sure of waits for the fate of those that were sent behind it, whatever that is.
func TestDoubtedBeforeOthers(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		publish := func(data int) string {
			return fmt.Sprintf(`{"type":"publish","topic":"a","messageId":"?","data":%d}`, data)
		}
		s.plays(func(p *peer) {
			p.greet(`{"type":"connect"}`)
			one, two, three := p.ask(publish(1)), p.ask(publish(2)), p.ask(publish(3))
			p.refuse(one, "unavailable", 1000)
			p.ask(`{"type":"presence","topic":"wait"}`) // long after the time to send the first again
			p.refuse(two, "unavailable", 1000)
			p.refuse(three, "unavailable", 500)
			for i := range 3 { // in their order
				p.reply(p.ask(publish(i+1)), fmt.Sprintf(`"epoch":"e","offset":%d`, i+1))
			}
			four, five := p.ask(publish(4)), p.ask(publish(5))
			p.refuse(four, "unavailable", 1000)
			p.ask(`{"type":"presence","topic":"wait"}`)
			p.reply(five, `"epoch":"e","offset":4`) // so that the fourth would come too late
		})
		c := s.dial(Options{})
		var sent []*Publishing
		send := func(i int) {
			sent = append(sent, must(c.Send(t.Context(), "a", Publication{Data: fmt.Append(nil, i)}))(t))
		}
		wait := func() {
			time.Sleep(5 * time.Second)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, _ = c.Presence(ctx, "wait")
		}
		for i := range 3 {
			send(i + 1)
		}
		wait()
		for i, p := range sent {
			if got := must(p.Receipt(t.Context()))(t); got.Offset != uint64(i+1) {
				t.Errorf("%d got %v", i, got)
			}
		}
		send(4)
		send(5)
		wait()
		_, err := sent[3].Receipt(t.Context())
		isCode(t, err, CodeUncertain)
		must(sent[4].Receipt(t.Context()))(t)
		if c.desk.doubts != 0 || len(c.desk.queue) != 0 {
			t.Errorf("%d doubts are left, %d calls", c.desk.doubts, len(c.desk.queue))
		}
	})
}

// When the connection is lost, nobody knows whether what was sent behind it has been taken.
func TestDoubtedAndLost(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.plays(func(p *peer) {
			p.greet(`{"type":"connect"}`)
			one := p.ask(`{"type":"publish","topic":"a","messageId":"?","data":1}`)
			p.ask(`{"type":"publish","topic":"a","messageId":"?","data":2}`)
			other := p.ask(`{"type":"publish","topic":"b","messageId":"?","data":3}`)
			p.refuse(one, "unavailable", 1000)
			p.refuse(other, "unavailable", 1000)
			p.cut()
		}, func(p *peer) {
			p.greet(`{"type":"connect","resume":"r1"}`)
			p.reply(p.ask(`{"type":"publish","topic":"a","messageId":"?","data":2}`), `"epoch":"e","offset":1`)
			p.reply(p.ask(`{"type":"publish","topic":"b","messageId":"?","data":3}`), `"epoch":"e","offset":2`)
		})
		c := s.dial(Options{BaseDelay: time.Millisecond})
		var sent []*Publishing
		for i, topic := range []string{"a", "a", "b"} {
			sent = append(sent, must(c.Send(t.Context(), topic, Publication{Data: fmt.Append(nil, i+1)}))(t))
		}
		_, err := sent[0].Receipt(t.Context())
		isCode(t, err, CodeUncertain)
		must(sent[1].Receipt(t.Context()))(t)
		must(sent[2].Receipt(t.Context()))(t)
	})
}
