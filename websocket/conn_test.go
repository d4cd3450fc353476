package websocket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/nettest"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

func TestEcho(t *testing.T) {
	modes := map[string]CompressionMode{"plain": CompressionOff, "no takeover": CompressionNoTakeover, "takeover": CompressionTakeover}
	onWires(t, func(t *testing.T, w wire) {
		for name, mode := range modes {
			t.Run(name, func(t *testing.T) {
				o := &Options{MaxMessage: 8 << 20, Compression: Compression{Mode: mode}}
				server, client := blocking(t, w, o)
				go func() {
					for {
						typ, p, err := server.Read(context.Background())
						if err != nil || server.Write(context.Background(), typ, p) != nil {
							return
						}
					}
				}()
				sizes := []int{0, 1, 125, 126, 65535, 65536, 1 << 18}
				if mode == CompressionOff {
					sizes = append(sizes, 5<<20)
				}
				for _, n := range sizes {
					for _, typ := range []MessageType{Text, Binary} {
						want := bytes.Repeat([]byte("0123456789abcdef"), n/16+1)[:n]
						mustWrite(t, client, typ, want)
						if got, p := mustRead(t, client); got != typ || !bytes.Equal(p, want) {
							t.Fatalf("%v of %d bytes came back as %v of %d", typ, n, got, len(p))
						}
					}
				}
			})
		}
	})
}

// Every method from any goroutine: many write at once, whole and streamed, and
// every message arrives whole.
func TestConcurrentWriters(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		const writers, each = 8, 24
		server, client := blocking(t, w, &Options{Compression: Compression{Mode: CompressionTakeover}})
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				for j := range each {
					text := []byte(fmt.Sprintf("%d:%d:%s", i, j, strings.Repeat(string(rune('a'+i)), 1+j*997%40000)))
					var err error
					switch j % 4 {
					case 0:
						err = server.Write(context.Background(), Text, text)
					case 1:
						err = server.WritePrepared(context.Background(), NewPrepared(Text, text))
					case 2:
						err = server.Ping(within(t))
						if err == nil {
							err = server.Write(context.Background(), Text, text)
						}
					default:
						var s io.WriteCloser
						if s, err = server.Writer(context.Background(), Text); err == nil {
							_, err = s.Write(text)
							err = errors.Join(err, s.Close())
						}
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		next := make([]int, writers)
		for range writers * each {
			_, p := mustRead(t, client)
			var i, j int
			var rest string
			if n, err := fmt.Sscanf(string(p), "%d:%d:%s", &i, &j, &rest); n != 3 || err != nil {
				t.Fatalf("message %.40q", p)
			}
			if j != next[i] || rest != strings.Repeat(string(rune('a'+i)), 1+j*997%40000) {
				t.Fatalf("writer %d: message %d of %d bytes, want number %d", i, j, len(rest), next[i])
			}
			next[i]++
		}
		wg.Wait()
	})
}

func TestReadContextKeepsTheConnection(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		server, peer := raw(t, w, nil, nil)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := server.Read(ended); !errors.Is(err, context.Canceled) {
			t.Fatal("Read with an ended context:", err)
		}
		whole := frameFrom(protocol.OpText, "hello")
		half, cancelHalf := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, _, err := server.Read(half)
			done <- err
		}()
		peer.Write(whole[:8]) // in the middle of the payload
		cancelHalf()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Fatal("Read whose context ended:", err)
		}
		peer.Write(whole[8:])
		if typ, p := mustRead(t, server); typ != Text || string(p) != "hello" {
			t.Errorf("%v %q", typ, p)
		}
	})
}

func TestReaderStreams(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		server, client := blocking(t, w, nil)
		ctx := within(t)
		stream, err := client.Writer(ctx, Binary)
		if err != nil {
			t.Fatal(err)
		}
		first := bytes.Repeat([]byte{1}, fragmentSize)
		if _, err := stream.Write(first); err != nil {
			t.Fatal(err)
		}
		typ, r, err := server.Reader(ctx)
		if err != nil || typ != Binary {
			t.Fatal(typ, err)
		}
		got := make([]byte, len(first)) // arrives before the message has ended
		if _, err := io.ReadFull(r, got); err != nil || !bytes.Equal(got, first) {
			t.Fatal(err)
		}
		if err := client.Send(Text, []byte("after")); err != nil { // waits for the stream's end
			t.Fatal(err)
		}
		stream.Write([]byte("rest"))
		if err := stream.Close(); err != nil {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(r); err != nil || string(rest) != "rest" {
			t.Fatalf("%q, %v", rest, err)
		}
		if _, p := mustRead(t, server); string(p) != "after" {
			t.Errorf("%q", p)
		}

		mustWrite(t, client, Text, []byte("left unread"))
		mustWrite(t, client, Text, []byte("next"))
		if _, r, err = server.Reader(ctx); err != nil {
			t.Fatal(err)
		}
		r.Read(make([]byte, 4))
		if _, p := mustRead(t, server); string(p) != "next" {
			t.Errorf("%q", p)
		}
		if _, err := r.Read(make([]byte, 1)); !errors.Is(err, errReaderEnded) {
			t.Error("a reader after the next Read:", err)
		}
	})
}

func TestWriterGivenUp(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		server, client := blocking(t, w, &Options{Outbox: 1})
		ctx, cancel := context.WithCancel(t.Context())
		stream, _ := client.Writer(ctx, Text)
		stream.Write([]byte("never sent"))
		cancel()
		for client.Buffered() > 0 {
			time.Sleep(time.Millisecond)
		}
		// Nothing has left: the message is dropped, or sent whole if there was room.
		stream.Close()
		mustWrite(t, client, Text, []byte("fine"))
		for {
			if _, p := mustRead(t, server); string(p) == "fine" {
				break
			} else if string(p) != "never sent" {
				t.Fatalf("%q", p)
			}
		}
		if _, err := stream.Write([]byte("x")); !errors.Is(err, errWriterClosed) {
			t.Error("Write after Close:", err)
		}
	})
}

func TestWriterGivenUpHalfway(t *testing.T) {
	server, peer := raw(t, wires[0], nil, &Options{Outbox: 1 << 10})
	ctx, cancel := context.WithCancel(t.Context())
	stream, _ := server.Writer(ctx, Binary)
	done := make(chan error)
	go func() {
		_, err := stream.Write(make([]byte, 64<<20)) // nobody reads
		done <- err
	}()
	for server.Buffered() == 0 {
		time.Sleep(time.Millisecond)
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := stream.Close(); !errors.Is(err, context.Canceled) {
		t.Error("Close:", err)
	}
	var last protocol.Opcode
	var payload []byte
	for last != protocol.OpClose {
		var h protocol.FrameHeader
		h, payload = readFrame(t, peer)
		last = h.Opcode
		if h.Opcode != protocol.OpClose && h.Fin {
			t.Fatal("a part was passed off for the whole")
		}
	}
	if !bytes.HasPrefix(payload, []byte{3, 0xf3}) {
		t.Errorf("closed with %x", payload)
	}
}

func TestJSON(t *testing.T) {
	server, client := blocking(t, wires[0], nil)
	type quote struct{ Symbol string }
	if err := client.WriteJSON(within(t), quote{"日経"}); err != nil {
		t.Fatal(err)
	}
	var q quote
	if err := server.ReadJSON(within(t), &q); err != nil || q.Symbol != "日経" {
		t.Error(q, err)
	}
	mustWrite(t, client, Text, []byte("no json"))
	if err := server.ReadJSON(within(t), &q); err == nil || errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	if err := client.WriteJSON(within(t), make(chan int)); err == nil {
		t.Error("a channel became JSON")
	}
	mustWrite(t, client, Text, []byte(`{"Symbol":"after"}`))
	if err := server.ReadJSON(within(t), &q); err != nil || q.Symbol != "after" {
		t.Error("the connection must live on:", err)
	}
}

func TestPing(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		server, client := blocking(t, w, nil)
		for _, c := range []*Conn{server, client} { // nobody reads
			if err := c.Ping(within(t)); err != nil {
				t.Error(err)
			}
		}
		_, peer := raw(t, w, nil, nil)
		go io.Copy(io.Discard, peer)
		server2, peer2 := raw(t, w, nil, nil)
		go io.Copy(io.Discard, peer2)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := server2.Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error("a ping that nobody answers:", err)
		}
		peer2.Write(frameFrom(protocol.OpText, "alive"))
		if _, p := mustRead(t, server2); string(p) != "alive" {
			t.Error("the connection must live on")
		}
	})
}

func TestClose(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		for _, first := range []protocol.Role{protocol.Server, protocol.Client} {
			t.Run(first.String()+" first", func(t *testing.T) {
				server, client := blocking(t, w, nil)
				closer, other := server, client
				if first == protocol.Client {
					closer, other = client, server
				}
				mustWrite(t, closer, Text, []byte("last words"))
				if err := closer.Close(within(t), 4001, "done"); err != nil {
					t.Fatal(err)
				}
				if _, p := mustRead(t, other); string(p) != "last words" {
					t.Errorf("%q", p)
				}
				for range 2 {
					_, _, err := other.Read(within(t))
					wantStatus(t, err, 4001)
					if e, ok := errors.AsType[*CloseError](err); !ok || e.Local || e.Reason != "done" {
						t.Errorf("%#v", err)
					}
				}
				err := closer.Write(within(t), Text, nil)
				wantStatus(t, err, 4001)
				if e, ok := errors.AsType[*CloseError](err); !ok || !e.Local {
					t.Errorf("%#v", err)
				}
				if err := other.Close(within(t), StatusNormalClosure, ""); err != nil {
					t.Error("Close of what was closed rightly:", err)
				}
				if closer.State() != protocol.StateClosed || other.State() != protocol.StateClosed {
					t.Error(closer.State(), other.State())
				}
			})
		}
		t.Run("both at once", func(t *testing.T) {
			server, client := blocking(t, w, nil)
			errs := make(chan error, 2)
			for _, c := range []*Conn{server, client} {
				go func() { errs <- c.Close(within(t), StatusGoingAway, "") }()
			}
			if err := errors.Join(<-errs, <-errs); err != nil {
				t.Error(err)
			}
		})
	})
}

func TestCloseArgumentsAndContext(t *testing.T) {
	server, peer := raw(t, wires[0], nil, nil)
	for _, test := range []struct {
		code   StatusCode
		reason string
	}{{1005, "x"}, {1006, ""}, {99, ""}, {1000, strings.Repeat("x", 124)}} {
		if err := server.Close(within(t), test.code, test.reason); err == nil || errors.Is(err, net.ErrClosed) {
			t.Errorf("Close(%d): %v", test.code, err)
		}
	}
	if server.State() != protocol.StateOpen {
		t.Fatal("wrong arguments closed the connection")
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := server.Close(ctx, StatusNormalClosure, "bye"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if h, p := readFrame(t, peer); h.Opcode != protocol.OpClose || string(p) != "\x03\xe8bye" {
		t.Errorf("%v %x", h, p)
	}
	peer.Write(frameFrom(protocol.OpText, "not delivered any more"))
	peer.Write(frameFrom(protocol.OpClose, "\x03\xe8"))
	wantStatus(t, waitDone(t, server), StatusNormalClosure)
	if _, err := peer.Read(make([]byte, 1)); err != io.EOF { // section 7.1.1: the server ends TCP
		t.Error(err)
	}
}

func TestCloseNow(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		server, client := blocking(t, w, nil)
		if err := client.CloseNow(); err != nil {
			t.Error(err)
		}
		_, _, err := server.Read(within(t))
		wantStatus(t, err, StatusAbnormalClosure)
		_, _, err = client.Read(within(t))
		wantStatus(t, err, StatusAbnormalClosure)
		wantStatus(t, client.Send(Text, nil), StatusAbnormalClosure)
		wantStatus(t, client.CloseNow(), StatusAbnormalClosure)
		wantStatus(t, client.Ping(within(t)), StatusAbnormalClosure)
		if _, err := client.Writer(within(t), Text); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

func TestPeerBreaksTheProtocol(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		server, peer := raw(t, w, nil, nil)
		go peer.Write([]byte("\x81\x05Hello" + strings.Repeat("x", 100000))) // not masked, and much behind it
		h, p := readFrame(t, peer)
		if h.Opcode != protocol.OpClose || !bytes.HasPrefix(p, []byte{3, 0xea}) {
			t.Errorf("%v %q", h, p)
		}
		err := waitDone(t, server)
		wantStatus(t, err, StatusProtocolError)
		if e, ok := errors.AsType[*ProtocolError](err); !ok || !strings.Contains(e.Error(), "not masked") {
			t.Error(err)
		}
	})
}

// slowPeer is a connection whose peer does not read, with its kernel's buffers
// full.
func slowPeer(t *testing.T, w wire, o *Options) (*Conn, net.Conn) {
	server, peer := raw(t, w, nil, o)
	chunk := bytes.Repeat([]byte("x"), 32<<10)
	for server.Buffered() == 0 {
		if err := server.Send(Binary, chunk); err != nil {
			t.Fatal(err)
		}
	}
	return server, peer
}

func TestOverflowClose(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		server, peer := slowPeer(t, w, &Options{Outbox: 256 << 10})
		var err error
		for err == nil {
			err = server.Send(Binary, make([]byte, 32<<10))
			if b := server.Buffered(); b > 300<<10 {
				t.Fatalf("%d bytes in an outbox of 256 KiB", b)
			}
		}
		wantStatus(t, err, StatusTryAgainLater)
		for {
			if h, p := readFrame(t, peer); h.Opcode == protocol.OpClose {
				if !bytes.HasPrefix(p, []byte{3, 0xf5}) {
					t.Errorf("%x", p)
				}
				return
			}
		}
	})
}

func TestOverflowDrop(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		server, peer := slowPeer(t, w, &Options{Outbox: 256 << 10, Overflow: OverflowDrop})
		drained := make(chan struct{}, 1)
		server.OnDrain(func() { drained <- struct{}{} })
		for server.Dropped() < 3 {
			if err := server.Send(Binary, make([]byte, 32<<10)); err != nil && !errors.Is(err, ErrFull) {
				t.Fatal(err)
			}
		}
		go io.Copy(io.Discard, peer)
		select {
		case <-drained:
		case <-within(t).Done():
			t.Fatal("OnDrain was not called")
		}
		if err := server.Send(Text, []byte("again")); err != nil {
			t.Error(err)
		}
	})
}

func TestWriteWaitsForRoom(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		server, peer := slowPeer(t, w, &Options{Outbox: 64 << 10})
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		var err error
		for err == nil {
			err = server.Write(ctx, Binary, make([]byte, 32<<10))
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() { done <- server.Write(within(t), Text, []byte("after the flood")) }()
		for {
			h, p := readFrame(t, peer)
			if h.Opcode == protocol.OpText {
				if string(p) != "after the flood" {
					t.Errorf("%q", p)
				}
				break
			}
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A peer that pings and never reads must not make us hold its pongs.
func TestPongsAreBounded(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		server, peer := raw(t, w, nil, &Options{Outbox: 4 << 10})
		pings := bytes.Repeat(frameFrom(protocol.OpPing, strings.Repeat("p", 125)), 1000)
		peer.SetWriteDeadline(time.Now().Add(time.Second))
		for range 200 {
			if _, err := peer.Write(pings); err != nil {
				break
			}
			if b := server.Buffered(); b > 4<<10+2*maxReplies {
				t.Fatalf("%d bytes of pongs wait", b)
			}
		}
	})
}

func TestReadAheadStopsReading(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		server, peer := raw(t, w, nil, &Options{ReadAhead: 10000})
		flood := bytes.Repeat(frameFrom(protocol.OpBinary, strings.Repeat("f", 1000)), 1000)
		peer.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		sent, blocked := 0, false
		for range 100 {
			n, err := peer.Write(flood)
			sent += n
			if blocked = errors.Is(err, os.ErrDeadlineExceeded); blocked {
				break
			}
		}
		if !blocked {
			t.Fatalf("a peer could send %d bytes that nobody reads", sent)
		}
		in := server.sink.(*inbox)
		in.mu.Lock()
		held := in.bytes
		in.mu.Unlock()
		if held > 12000 {
			t.Errorf("the inbox holds %d bytes", held)
		}
		if _, p := mustRead(t, server); len(p) != 1000 {
			t.Error(len(p))
		}
	})
}

func TestAttributes(t *testing.T) {
	server, client := blocking(t, wires[0], nil)
	type key struct{}
	if server.Attribute(key{}) != nil {
		t.Error("an attribute from nowhere")
	}
	server.SetAttribute(key{}, "ann")
	if server.Attribute(key{}) != "ann" {
		t.Error(server.Attribute(key{}))
	}
	server.SetAttribute(key{}, nil)
	if server.Attribute(key{}) != nil {
		t.Error("not deleted")
	}
	if client.LocalAddr().String() != server.RemoteAddr().String() || client.Request() != nil || server.ResponseHeader() != nil {
		t.Error(client.LocalAddr(), server.RemoteAddr())
	}
}

// The standard contract of a net.Conn.
func TestNetConn(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		server, client := blocking(t, wires[0], &Options{Outbox: 16 << 10, ReadAhead: 16 << 10})
		return server.NetConn(Binary), client.NetConn(Binary), func() {
			server.Close(within(t), StatusNormalClosure, "") // lets a Close under way end well
			client.CloseNow()
		}, nil
	})
}

func TestNetConnWrongType(t *testing.T) {
	server, client := blocking(t, wires[0], nil)
	mustWrite(t, client, Text, []byte("text"))
	_, err := server.NetConn(Binary).Read(make([]byte, 10))
	wantStatus(t, err, StatusUnsupportedData)
	wantStatus(t, waitDone(t, client), StatusUnsupportedData)
}

func TestNetConnEOF(t *testing.T) {
	server, client := blocking(t, wires[0], nil)
	n := client.NetConn(Text)
	go func() {
		n.Write([]byte("all"))
		n.Close()
	}()
	if p, err := io.ReadAll(server.NetConn(Text)); err != nil || string(p) != "all" {
		t.Errorf("%q, %v", p, err)
	}
}

func TestPrepared(t *testing.T) {
	text := []byte(strings.Repeat("the same for all ", 100))
	m := NewPrepared(Text, text)
	for _, mode := range []CompressionMode{CompressionOff, CompressionNoTakeover, CompressionTakeover} {
		server, client := blocking(t, wires[0], &Options{Compression: Compression{Mode: mode}})
		for range 3 { // with takeover: before and after messages of the connection's own
			mustWrite(t, server, Text, text)
			if err := server.SendPrepared(m); err != nil {
				t.Fatal(err)
			}
			if err := client.WritePrepared(within(t), m); err != nil {
				t.Fatal(err)
			}
			for _, c := range []*Conn{client, client, server} {
				if typ, p := mustRead(t, c); typ != Text || !bytes.Equal(p, text) {
					t.Fatalf("mode %d: %v %.20q", mode, typ, p)
				}
			}
		}
	}
	if len(m.variants) != 1 {
		t.Errorf("%d compressed variants for one window and level", len(m.variants))
	}
}

func TestOnly(t *testing.T) {
	server, client := blocking(t, wires[0], &Options{Only: Text})
	mustWrite(t, client, Text, []byte("ok"))
	mustWrite(t, client, Binary, []byte("no"))
	if _, p := mustRead(t, server); string(p) != "ok" {
		t.Errorf("%q", p)
	}
	wantStatus(t, waitDone(t, client), StatusUnsupportedData)
}

// A large prepared message lies in memory once, however many outboxes it waits
// in, and keeps its place among the others.
func TestPreparedIsShared(t *testing.T) {
	onWires(t, func(t *testing.T, w wire) {
		picture := NewPrepared(Binary, bytes.Repeat([]byte("picture!"), 1<<17))
		server, peer := raw(t, w, nil, &Options{Outbox: 64 << 20})
		const n = 20
		for i := range n {
			if err := errors.Join(server.Send(Text, []byte{byte('a' + i)}), server.SendPrepared(picture)); err != nil {
				t.Fatal(err)
			}
		}
		server.mu.Lock()
		shared := 0
		for _, c := range server.ahead {
			if c.buf == nil {
				shared++
				if len(c.rest) > 0 && &c.rest[len(c.rest)-1] != &picture.plain[len(picture.plain)-1] {
					t.Error("a copy waits")
				}
			}
		}
		server.mu.Unlock()
		if shared < n/2 {
			t.Errorf("%d of %d large messages wait as themselves", shared, n)
		}
		for i := range n {
			if h, p := readFrame(t, peer); h.Opcode != protocol.OpText || p[0] != byte('a'+i) {
				t.Fatalf("message %d: %v", i, h)
			}
			if _, p := readFrame(t, peer); !bytes.Equal(p, picture.Payload()) {
				t.Fatalf("picture %d has %d bytes", i, len(p))
			}
		}
		for server.Buffered() > 0 { // until the flusher has looked
			time.Sleep(time.Millisecond)
		}
	})
}
