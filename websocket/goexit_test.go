package websocket

import (
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// A handler that ends its goroutine, as a failing test does, ends its connection;
// Close is called once, and nothing is left.
func TestGoexitInHandler(t *testing.T) {
	onDrivers(t, func(t *testing.T, w wire) {
		for _, where := range []string{"open", "message", "close"} {
			t.Run(where, func(t *testing.T) {
				exit := func(here string) {
					if here == where {
						runtime.Goexit()
					}
				}
				var closes atomic.Int64
				s, c := w.make(t)
				server := w.handledConn(t, s, &HandlerFuncs{
					OnOpen:    func(*Conn) { exit("open") },
					OnMessage: func(*Conn, MessageType, []byte) { exit("message") },
					OnClose:   func(*Conn, error) { closes.Add(1); exit("close") },
				}, &Options{Logger: quietLogger})
				gone := make(chan struct{})
				server.release = func() { close(gone) }
				client := startBlocking(end(t, c, protocol.Client, nil))
				cleanup(t, server, client)
				go server.begin()
				_ = client.Send(Text, []byte("x"))
				if where == "close" {
					_ = client.Close(within(t), StatusNormalClosure, "")
				}
				waitDone(t, client)
				waitDone(t, server)
				select {
				case <-gone:
				case <-within(t).Done():
					t.Error("the connection holds on to what it has")
				}
				if n := closes.Load(); n != 1 {
					t.Errorf("Close was called %d times", n)
				}
			})
		}
	})
}
