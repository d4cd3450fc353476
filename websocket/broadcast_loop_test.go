package websocket

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/internal/loop/looptest"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// Everything that many goroutines send to many connections arrives, in each
// sender's order, whatever the network and the connections' own handlers do
// meanwhile.
func TestBroadcastOverTroubledNetwork(t *testing.T) {
	for seed := range uint64(6) {
		synctest.Test(t, func(t *testing.T) {
			const clients, senders, messages = 12, 3, 150
			long := strings.Repeat(" and so on", 3000) // shared, not copied
			r := newRig(t, looptest.Seeded(seed), 2, &HandlerFuncs{OnMessage: func(c *Conn, typ MessageType, p []byte) {
				if len(p)%7 == 0 {
					time.Sleep(time.Duration(seed) * time.Millisecond)
				}
				_ = c.Send(typ, p)
			}}, AcceptOptions{Options: Options{PingInterval: -1, Outbox: 1 << 30, Logger: quietLogger}})
			var peers []*looptest.Peer
			for range clients {
				_, peer := r.adopt(end(t, nil, protocol.Server, r.server.acceptor.options), nil)
				peers = append(peers, peer)
			}
			synctest.Wait()
			var done sync.WaitGroup
			for s := range senders {
				done.Go(func() {
					for n := range messages {
						text := fmt.Sprintf("%d:%d", s, n)
						if n%10 == 0 {
							text += long
						}
						m := NewPrepared(Text, []byte(text))
						r.server.Range(func(c *Conn) bool {
							if s == 0 {
								_ = c.Send(Text, []byte(text))
							} else {
								_ = c.SendPrepared(m)
							}
							return true
						})
						if n%16 == 0 {
							time.Sleep(time.Millisecond)
						}
					}
				})
			}
			for i, peer := range peers {
				done.Go(func() {
					for n := range messages {
						_, _ = peer.Write(frameFrom(protocol.OpText, fmt.Sprintf("%d:%d", senders, n)))
						if n%(i+1) == 0 {
							time.Sleep(time.Millisecond)
						}
					}
				})
			}
			done.Wait()
			time.Sleep(10 * time.Second)
			for i, peer := range peers {
				wantInOrder(t, fmt.Sprintf("seed %d, client %d", seed, i), peer.Taken()[len(response):], senders+1, messages)
				peer.Reset()
			}
			synctest.Wait()
			r.wantNothingLeft()
		})
	}
}

// wantInOrder checks that the frames in wire are "sender:number" for all senders and
// numbers, each sender's in order.
func wantInOrder(t *testing.T, who string, wire []byte, senders, messages int) {
	t.Helper()
	next := make([]int, senders)
	for len(wire) > 0 {
		h, n, err := protocol.ParseHeader(wire)
		if err != nil || n == 0 || int64(len(wire)-n) < h.Length {
			t.Fatalf("%s: not a whole frame: %.40q", who, wire)
		}
		payload := string(wire[n : n+int(h.Length)])
		wire = wire[n+int(h.Length):]
		var sender, number int
		if _, err := fmt.Sscanf(payload, "%d:%d", &sender, &number); err != nil || sender >= senders || number != next[sender] {
			t.Fatalf("%s: %.40q, after %v", who, payload, next)
		}
		next[sender]++
	}
	for sender, n := range next {
		if n != messages {
			t.Errorf("%s: %d of %d messages of sender %d", who, n, messages, sender)
		}
	}
}
