package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

func seconds(numbers ...float64) []time.Duration {
	var all []time.Duration
	for _, n := range numbers {
		all = append(all, time.Duration(n*float64(time.Second)))
	}
	return all
}

func TestBackoff(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.plays(func(p *peer) {
			p.greet(`{"type":"connect"}`)
			time.Sleep(9 * time.Second)
			p.cut()
		}, func(p *peer) {
			p.greet(`{"type":"connect","resume":"r1"}`)
			time.Sleep(11 * time.Second)
			p.cut()
		}, func(p *peer) { p.greet(`{"type":"connect","resume":"r1"}`) })
		s.net.setDown(true)
		var r statuses
		online := make(chan struct{}, 3)
		s.dial(Options{OnStatus: func(st Status) {
			r.add(st)
			if len(r.waits()) == 7 {
				s.net.setDown(false)
			}
			if st.State == Online {
				online <- struct{}{}
			}
		}})
		for range 3 {
			<-online
		}
		if got, want := r.waits(), seconds(1, 2, 4, 8, 16, 30, 30, 30, 1); !slices.Equal(got, want) {
			t.Errorf("waits are %v, want %v", got, want)
		}
	})
}

// The server's hint is the least wait, and the jitter comes on top.
func TestHints(t *testing.T) {
	refuses := func(status int, after string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", after)
			http.Error(w, "no", status)
		}
	}
	bubble(t, func(t *testing.T, s *script) {
		s.plays(refuses(503, "7"), func(p *peer) {
			p.greet(`{"type":"connect"}`)
			p.say(`{"type":"disconnect","code":"restart","message":"bye","reconnect":true,"after":1500}`)
			p.close(1012, "retry-after=1500ms")
		}, func(p *peer) {
			p.greet(`{"type":"connect","resume":"r1"}`)
			p.close(1012, "retry-after=5s")
		}, func(p *peer) {
			p.refuse(p.ask(`{"type":"connect","resume":"r1"}`), "unavailable", 9000)
		}, func(p *peer) {
			p.say(`{"type":"disconnect","code":"full","reconnect":true,"after":36000000}`)
			p.close(4503, "")
		}, func(p *peer) { p.greet(`{"type":"connect","resume":"r1"}`) })
		var r statuses
		c := s.dial(Options{OnStatus: r.add, MaxDelay: time.Second})
		for c.Status().State != Online || len(r.waits()) < 5 {
			time.Sleep(time.Second)
		}
		if got, want := r.waits(), seconds(8, 2.5, 6, 10, 3601); !slices.Equal(got, want) {
			t.Errorf("waits are %v, want %v", got, want)
		}
	})
}

// TestVerdicts is the table of the specification: what ends a connection, and whether the client comes back.
func TestVerdicts(t *testing.T) {
	bye := func(code string, reconnect bool) func(*peer) {
		return func(p *peer) {
			p.greet(`{"type":"connect"}`)
			p.say(fmt.Sprintf(`{"type":"disconnect","code":%q,"message":"bye","reconnect":%v}`, code, reconnect))
		}
	}
	closes := func(code websocket.StatusCode) func(*peer) {
		return func(p *peer) {
			p.greet(`{"type":"connect"}`)
			p.close(code, "bye")
		}
	}
	refuses := func(code string) func(*peer) {
		return func(p *peer) { p.refuse(p.ask(`{"type":"connect"}`), code, 0) }
	}
	says := func(text string) func(*peer) {
		return func(p *peer) {
			p.ask(`{"type":"connect"}`)
			p.say(text)
		}
	}
	for _, c := range []struct {
		name string
		step any
		back bool
		code Code // or empty
	}{
		{"restart", bye("restart", true), true, CodeRestart},
		{"slow", bye("slow", true), true, CodeSlow},
		{"full", bye("full", true), true, CodeFull},
		{"flood", bye("flood", false), false, CodeFlood},
		{"replaced", bye("replaced", false), true, CodeReplaced},
		{"disconnected", bye("disconnected", false), false, CodeDisconnected},
		{"disconnected for now", bye("disconnected", true), true, CodeDisconnected},
		{"forbidden", bye("forbidden", false), false, CodeForbidden},
		{"token without another", bye("token-expired", true), false, CodeTokenExpired},
		{"refused token", refuses("token-invalid"), false, CodeTokenInvalid},
		{"refused", refuses("too-large"), false, CodeTooLarge},
		{"refused for now", refuses("internal"), true, CodeInternal},
		{"1000", closes(1000), true, ""},
		{"1001", closes(1001), true, ""},
		{"1008", closes(1008), false, CodeFlood},
		{"1009", closes(1009), false, CodeTooLarge},
		{"1011", closes(1011), true, ""},
		{"1013", closes(1013), true, ""},
		{"4400", closes(4400), false, CodeBadFrame},
		{"4401", closes(4401), false, CodeTokenInvalid},
		{"4403", closes(4403), false, CodeDisconnected},
		{"4408", closes(4408), true, CodeConnectTimeout},
		{"4409", closes(4409), true, CodeReplaced},
		{"4503", closes(4503), true, CodeUnavailable},
		{"4999", closes(4999), true, ""},
		{"not a frame", says("hello"), true, ""},
		{"too big", says(`"` + strings.Repeat("x", 2000) + `"`), false, ""},
		{"404", http.HandlerFunc(http.NotFound), false, ""},
		{"502", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) }), true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *script) {
				s.plays(c.step)
				back := make(chan error, 1)
				var o Options
				o.Dial.MaxMessage = 1000
				o.OnStatus = func(st Status) {
					if st.State == Waiting {
						back <- st.Err
					}
				}
				client := s.dial(o)
				var err error
				select {
				case err = <-back:
					if !c.back {
						t.Errorf("comes back after %v", err)
					}
				case <-client.Done():
					if err = client.Err(); c.back {
						t.Errorf("ends with %v", err)
					}
				}
				if c.code != "" {
					isCode(t, err, c.code)
				}
			})
		})
	}
}

// A connection that was given up may arrive late and take the session over; but not for ever.
func TestReplaced(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.plays(func(p *peer) {
			p.greet(`{"type":"connect"}`)
			p.say(`{"type":"disconnect","code":"replaced","reconnect":false}`)
		}, func(p *peer) {
			p.greet(`{"type":"connect","resume":"r1"}`)
			p.say(`{"type":"disconnect","code":"replaced","reconnect":false}`)
		})
		var r statuses
		c := s.dial(Options{OnStatus: r.add})
		<-c.Done()
		isCode(t, c.Err(), CodeReplaced)
		if n := len(r.waits()); n != maxReplaced {
			t.Errorf("came back %d times", n)
		}
	})
}

func TestWrongServer(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.plays(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, err := websocket.Accept(w, r, nil)
			if err == nil {
				_, _, _ = conn.Read(context.Background())
			}
		}))
		if _, err := Dial(t.Context(), "ws://h/echo", s.options(Options{})); !errors.Is(err, errWrongServer) {
			t.Error(err)
		}
	})
}

func TestDial(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.net.setDown(true)
		if _, err := Dial(t.Context(), "ws://h/", s.options(Options{})); !errors.Is(err, errNetworkDown) {
			t.Error(err)
		}
		s.net.setDown(false)
		s.plays(func(p *peer) { p.ask(`{"type":"connect"}`) }, func(p *peer) { p.ask(`{"type":"connect"}`) }, func(p *peer) { p.greet(`{"type":"connect"}`) })
		if _, err := Dial(t.Context(), "ws://h/", s.options(Options{})); err == nil || !strings.Contains(err.Error(), "does not answer connect") {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Dial(ctx, "ws://h/", s.options(Options{})); err != context.DeadlineExceeded {
			t.Error(err)
		}
		c := must(Dial(t.Context(), "ws://h/", s.options(Options{})))(t)
		if st := c.Status(); st.State != Online || st.User != "ann" || st.Session != "s1" {
			t.Errorf("%+v", st)
		}
		c.Close(t.Context())
	})
}

func TestMaxFailures(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.net.setDown(true)
		var r statuses
		c := s.dial(Options{MaxFailures: 3, OnStatus: r.add})
		_, err := c.Subscribe(t.Context(), "a", nil)
		<-c.Done()
		if !errors.Is(err, errNetworkDown) || c.Err() != err {
			t.Errorf("%v, %v", err, c.Err())
		}
		if got := r.states(); !slices.Equal(got, []State{Connecting, Waiting, Connecting, Waiting, Connecting, Closed}) {
			t.Errorf("states are %v", got)
		}
	})
}

// tokens are handed out one by one; the last one for ever.
func tokens(list ...string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		token := list[0]
		if len(list) > 1 {
			list = list[1:]
		}
		if token == "" {
			return "", errors.New("no token today")
		}
		return token, nil
	}
}

// A token that lives for 100 s is refreshed within its last 50; what fails is tried again.
func TestRefresh(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		const life = `"session":"s1","user":"ann","time":5000000,"expires":5100000`
		s.plays(func(p *peer) {
			p.reply(p.ask(`{"type":"connect","token":"t1"}`), life)
			start := time.Now()
			p.refuse(p.ask(`{"type":"refresh","token":"t2"}`), "token-invalid", 0)
			if after := time.Since(start); after != 50*time.Second {
				t.Errorf("refreshed after %v", after)
			}
			p.reply(p.ask(`{"type":"refresh","token":"t4"}`), `"expires":5200000`)
			first := time.Since(start)
			p.reply(p.ask(`{"type":"refresh","token":"t5"}`), ``)
			if after := time.Since(start) - first; after < 60*time.Second || after > 137*time.Second {
				t.Errorf("refreshed again after %v", after)
			}
		})
		c := s.dial(Options{Token: tokens("t1", "t2", "", "t2", "t4", "t4", "t5", "t6")})
		time.Sleep(time.Hour)
		if st := c.Status(); st.State != Online {
			t.Errorf("%+v", st)
		}
	})
}

func TestAnotherToken(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.plays(func(p *peer) {
			p.reply(p.ask(`{"type":"connect","token":"t1"}`), hello)
			p.say(`{"type":"disconnect","code":"token-expired","message":"it is over","reconnect":true}`)
			p.close(4401, "")
		}, func(p *peer) {
			p.refuse(p.ask(`{"type":"connect","token":"t3","resume":"r1"}`), "token-invalid", 0)
			p.close(4401, "")
		}, func(p *peer) { p.reply(p.ask(`{"type":"connect","token":"t4","resume":"r1"}`), hello) })
		c := s.dial(Options{Token: tokens("t1", "", "t3", "t3", "t4")})
		for c.Status().User != "ann" || c.Status().State != Online || c.Status().Failures < 4 {
			time.Sleep(time.Second)
			if c.Err() != nil {
				t.Fatal(c.Err())
			}
		}
	})
	bubble(t, func(t *testing.T, s *script) {
		s.plays(func(p *peer) {
			p.refuse(p.ask(`{"type":"connect","token":"t1"}`), "token-revoked", 0)
			p.close(4401, "")
		})
		c := s.dial(Options{Token: tokens("t1")})
		<-c.Done()
		isCode(t, c.Err(), CodeTokenInvalid)
	})
}

// A subscription that the server refuses for now is asked for again; for good, it ends.
func TestResubscribeRefused(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.plays(func(p *peer) {
			p.greet(`{"type":"connect"}`)
			for _, topic := range []string{"a", "b"} {
				p.reply(p.ask(fmt.Sprintf(`{"type":"subscribe","topic":%q}`, topic)), `"epoch":"e","offset":7`)
			}
			p.cut()
		}, func(p *peer) {
			p.greet(`{"type":"connect","resume":"r1"}`)
			var last command
			for range 2 {
				cmd := p.ask(`{"type":"subscribe","topic":"?","since":{"epoch":"e","offset":7}}`)
				if cmd.Topic == "a" {
					p.refuse(cmd, "forbidden", 0)
				} else {
					last = cmd
				}
			}
			start := time.Now()
			p.refuse(last, "rate", 250)
			p.reply(p.ask(`{"type":"subscribe","topic":"b","since":{"epoch":"e","offset":7}}`), `"epoch":"f","offset":3,"recovered":false`)
			if after := time.Since(start); after != 250*time.Millisecond {
				t.Errorf("asked again after %v", after)
			}
			p.say(`{"type":"gap","topic":"b","reason":"epoch","since":{"epoch":"e","offset":7},"until":{"epoch":"f","offset":3}}`, message("b", 4, "1"))
		})
		c := s.dial(Options{})
		a := must(c.Subscribe(t.Context(), "a", nil))(t)
		b := must(c.Subscribe(t.Context(), "b", nil))(t)
		_, err := a.Next(t.Context())
		isCode(t, err, CodeForbidden)
		wantEvents(t, b, "resubscribed false f/3", "gap epoch e/7 to f/3", "message b f/4 1")
	})
}

// Who gives up waiting for Subscribe has no subscription, whatever the server says later.
func TestSubscribeGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.plays(func(p *peer) {
			p.greet(`{"type":"connect"}`)
			cmd := p.ask(`{"type":"subscribe","topic":"a"}`)
			time.Sleep(2 * time.Second)
			p.reply(cmd, `"epoch":"e","offset":7`)
			p.refuse(p.ask(`{"type":"unsubscribe","topic":"a"}`), "rate", 100)
			p.reply(p.ask(`{"type":"unsubscribe","topic":"a"}`), "")
			p.refuse(p.ask(`{"type":"subscribe","topic":"a"}`), "rate", 100)
			p.reply(p.ask(`{"type":"subscribe","topic":"a"}`), `"epoch":"e","offset":8`)
		})
		c := s.dial(Options{})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Subscribe(ctx, "a", nil); err != context.DeadlineExceeded {
			t.Error(err)
		}
		_, err := c.Subscribe(t.Context(), "a", nil) // waits for the end of the first one
		isCode(t, err, CodeRate)
		must(c.Subscribe(t.Context(), "a", nil))(t)
	})
}

// A consumer that is slow makes the client stop reading.
func TestSlowConsumer(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		sent := 0
		s.plays(func(p *peer) {
			p.greet(`{"type":"connect"}`)
			p.reply(p.ask(`{"type":"subscribe","topic":"a"}`), `"epoch":"e","offset":0`)
			for sent < 100 {
				sent++
				p.say(message("a", sent, `"`+strings.Repeat("x", 10_000)+`"`))
			}
		})
		o := Options{Buffer: 4, Patience: time.Hour}
		c := s.dial(o)
		sub := must(c.Subscribe(t.Context(), "a", nil))(t)
		time.Sleep(10 * time.Second)
		if sub.mu.Lock(); len(sub.queue) != 4 {
			t.Errorf("%d wait", len(sub.queue))
		}
		sub.mu.Unlock()
		for i := range 100 {
			if e := must(sub.Next(t.Context()))(t); e.(*Message).Position.Offset != uint64(i+1) {
				t.Fatal(describe(e))
			}
		}
	})
}

// A consumer that waits for an answer while its events fill the buffer gets the answer: the subscription is left and caught up with.
func TestConsumerMayPublish(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.plays(func(p *peer) {
			p.greet(`{"type":"connect"}`)
			p.reply(p.ask(`{"type":"subscribe","topic":"a"}`), `"epoch":"e","offset":0`)
			p.say(message("a", 1, "1"))
			cmd := p.ask(`{"type":"publish","topic":"a","messageId":"?","data":1}`)
			for i := 2; i <= 9; i++ {
				p.say(message("a", i, fmt.Sprint(i)))
			}
			p.reply(cmd, `"epoch":"e","offset":9`)
			p.reply(p.ask(`{"type":"unsubscribe","topic":"a"}`), "")
			p.reply(p.ask(`{"type":"subscribe","topic":"a","since":{"epoch":"e","offset":5}}`), `"epoch":"e","offset":5,"recovered":true`)
			p.say(message("a", 6, "6"))
		})
		c := s.dial(Options{Buffer: 4})
		sub := must(c.Subscribe(t.Context(), "a", nil))(t)
		wantEvents(t, sub, "message a e/1 1")
		must(c.Publish(t.Context(), "a", Publication{Data: []byte("1")}))(t)
		wantEvents(t, sub, "message a e/2 2", "message a e/3 3", "message a e/4 4", "message a e/5 5", "resubscribed true e/5", "message a e/6 6")
	})
}

// A subscription that nobody reads does not hold up another for more than Patience.
func TestParked(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.plays(func(p *peer) {
			p.greet(`{"type":"connect"}`)
			p.reply(p.ask(`{"type":"subscribe","topic":"a"}`), `"epoch":"e","offset":0`)
			p.reply(p.ask(`{"type":"subscribe","topic":"b"}`), `"epoch":"e","offset":0`)
			p.say(message("a", 1, "1"), message("a", 2, "2"), message("a", 3, "3"), message("b", 4, "4"))
			p.refuse(p.ask(`{"type":"unsubscribe","topic":"a"}`), "rate", 100)
			p.reply(p.ask(`{"type":"unsubscribe","topic":"a"}`), "")
			p.cut()
		}, func(p *peer) {
			p.greet(`{"type":"connect","resume":"r1"}`)
			p.reply(p.ask(`{"type":"subscribe","topic":"b","since":{"epoch":"e","offset":4}}`), `"epoch":"e","offset":4,"recovered":true`)
			p.reply(p.ask(`{"type":"subscribe","topic":"a","since":{"epoch":"e","offset":2}}`), `"epoch":"e","offset":2,"recovered":true`)
			p.say(message("a", 3, "3"))
		})
		c := s.dial(Options{Buffer: 2, Patience: 300 * time.Millisecond})
		a := must(c.Subscribe(t.Context(), "a", nil))(t)
		b := must(c.Subscribe(t.Context(), "b", nil))(t)
		start := time.Now()
		wantEvents(t, b, "message b e/4 4")
		if after := time.Since(start); after != 300*time.Millisecond {
			t.Errorf("after %v", after)
		}
		wantEvents(t, b, "resubscribed true e/4")
		synctest.Wait()
		wantEvents(t, a, "message a e/1 1", "message a e/2 2", "resubscribed true e/2", "message a e/3 3")
	})
}

// A server that ends a session may still refuse what comes meanwhile; that is no answer, but a server that stays is believed.
func TestUnavailable(t *testing.T) {
	bubble(t, func(t *testing.T, s *script) {
		s.plays(func(p *peer) {
			p.greet(`{"type":"connect"}`)
			p.refuse(p.ask(`{"type":"publish","topic":"a","messageId":"?","data":null}`), "unavailable", 0)
			p.refuse(p.ask(`{"type":"subscribe","topic":"a"}`), "unavailable", 0)
			p.say(`{"type":"disconnect","code":"replaced"}`)
		}, func(p *peer) {
			p.greet(`{"type":"connect","resume":"r1"}`)
			p.reply(p.ask(`{"type":"subscribe","topic":"a"}`), `"epoch":"e","offset":1`)
			p.reply(p.ask(`{"type":"publish","topic":"a","messageId":"?","data":null}`), `"epoch":"e","offset":1`)
			p.cut()
		}, func(p *peer) {
			p.greet(`{"type":"connect","resume":"r1"}`)
			p.refuse(p.ask(`{"type":"subscribe","topic":"a","since":{"epoch":"e","offset":1}}`), "unavailable", 0)
			p.reply(p.ask(`{"type":"subscribe","topic":"a","since":{"epoch":"e","offset":1}}`), `"epoch":"e","offset":1,"recovered":true`)
			p.refuse(p.ask(`{"type":"presence","topic":"a"}`), "unavailable", 0)
			p.refuse(p.ask(`{"type":"subscribe","topic":"b"}`), "unavailable", 0)
		})
		c := s.dial(Options{})
		sent := must(c.Send(t.Context(), "a", Publication{}))(t)
		synctest.Wait()
		sub := must(c.Subscribe(t.Context(), "a", nil))(t)
		must(sent.Receipt(t.Context()))(t)
		wantEvents(t, sub, "resubscribed true e/1")
		_, err := c.Presence(t.Context(), "a")
		isCode(t, err, CodeUnavailable)
		_, err = c.Subscribe(t.Context(), "b", nil)
		isCode(t, err, CodeUnavailable)
	})
}
