package websocket

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/internal/loop/looptest"
	"github.com/duplex-websocket/duplex/websocket/deflate"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// What a run of FuzzServerOverPoller does differently, bit by bit.
const (
	runNoTakeover  = 1 << iota // compress each message by itself
	runTakeover                // compress with what came before
	runGreeting                // on the server's own listener, else adopted from an HTTP server
	runNoHandshake             // and what the client sends is not even a handshake
	runEarlyEnd                // the client ends its output at once
	runTwice                   // two clients
	runTwoLoops                //
	runPieces                  // the client sends in pieces, with pauses
	runGulps                   // the client reads slowly
	runOpenPanics              // Open panics
	runResetIn                 // the connection breaks when the server has read reset bytes
	runResetOut                // or written them
	runBuffered                // a part of the input arrives with the handshake
	runClosePanics             // Close panics
	runShutdown                // at last the server shuts down
	runCloseExits              // Close ends its goroutine
)

const fuzzHead = "GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"

// FuzzServerOverPoller: whatever a client sends, and however the network splits,
// stalls, reorders and resets, the server's output is what the same input gives
// without any I/O, or the beginning of that if the connection broke. Its handler
// hears the same, in order, with one Open and one Close; afterwards nothing is left.
func FuzzServerOverPoller(f *testing.F) {
	for _, s := range loopSeeds() {
		f.Add(s.flags, s.reset, s.wire, s.script)
	}
	f.Fuzz(func(t *testing.T, flags, reset uint16, wire, script []byte) {
		if len(wire) > 128<<10 {
			return
		}
		synctest.Test(t, func(t *testing.T) { newLoopRun(t, flags, int(reset), wire, looptest.Scripted(script)).run() })
	})
}

// TestServerOverTroubledNetwork is the same on a network where trouble never ends.
func TestServerOverTroubledNetwork(t *testing.T) {
	for i, s := range loopSeeds() {
		seed := uint64(i)
		random := rand.New(rand.NewPCG(seed, 1))
		flags := uint16(random.Uint32()) &^ runNoHandshake
		synctest.Test(t, func(t *testing.T) {
			newLoopRun(t, flags, random.IntN(2*len(s.wire)+1000), s.wire, looptest.Seeded(seed)).run()
			if t.Failed() {
				t.Fatalf("seed %d, flags %b, input %.200q", seed, flags, s.wire)
			}
		})
	}
}

// loopRun is one run of the fuzz target.
type loopRun struct {
	*rig
	flags   uint16
	reset   int
	wire    []byte
	budget  *deflate.Budget
	limit   *ConnLimit
	options Options

	mu      sync.Mutex
	clients map[string]*loopClient // by address
}

// loopClient is one of a run's clients, and what is known of its connection.
type loopClient struct {
	peer     *looptest.Peer
	conn     *Conn // from Open on
	log      []string
	out      []byte
	released int
}

func newLoopRun(t *testing.T, flags uint16, reset int, wire []byte, choose looptest.Choice) *loopRun {
	run := &loopRun{flags: flags, reset: reset, wire: wire, budget: deflate.NewBudget(1 << 30), limit: &ConnLimit{Total: 2},
		clients: make(map[string]*loopClient)}
	run.options = Options{PingInterval: -1, Outbox: 1 << 30, MaxMessage: 100 << 10, Logger: quietLogger}
	run.options.Compression.Budget = run.budget
	switch {
	case flags&runTakeover != 0:
		run.options.Compression.Mode = CompressionTakeover
	case flags&runNoTakeover != 0:
		run.options.Compression.Mode = CompressionNoTakeover
	}
	loops := 1
	if flags&runTwoLoops != 0 {
		loops = 2
	}
	run.rig = newRig(t, choose, loops, run, AcceptOptions{Options: run.options, Limit: run.limit})
	return run
}

func (run *loopRun) is(flag uint16) bool { return run.flags&flag != 0 }

func (run *loopRun) run() {
	clients := []*loopClient{run.connect()}
	if run.is(runTwice) {
		clients = append(clients, run.connect())
	}
	time.Sleep(2 * time.Second) // handlers are through, but no deadline has passed
	quiet := make([]bool, len(clients))
	for i, c := range clients {
		run.mu.Lock()
		quiet[i] = c.conn != nil && c.conn.Err() == nil
		run.mu.Unlock()
	}
	if run.is(runShutdown) {
		go run.server.Shutdown(context.Background())
		time.Sleep(time.Second)
	}
	for _, c := range clients {
		c.peer.CloseWrite()
	}
	time.Sleep(30 * time.Second)
	synctest.Wait()
	for i, c := range clients {
		if !run.is(runGulps) {
			c.out = c.peer.Taken()
		}
		run.judge(c, quiet[i])
	}
	for _, fd := range run.net.Open() {
		if !run.is(runNoHandshake) { // which an HTTP server would have answered, if there were one
			break
		}
		run.net.Forget(fd)
	}
	var conns []*Conn
	for _, c := range clients {
		if c.conn != nil {
			conns = append(conns, c.conn)
		}
	}
	run.wantNothingLeft(conns...)
	if n := run.budget.Used(); n != 0 {
		run.t.Errorf("%d bytes of windows left", n)
	}
	if n := run.limit.Len(); n != 0 {
		run.t.Errorf("%d places left taken", n)
	}
}

// connect begins a connection and sends what its client has to say.
func (run *loopRun) connect() *loopClient {
	c := &loopClient{}
	wire := bytes.Clone(run.wire)
	run.mu.Lock()
	if run.is(runGreeting) || run.is(runNoHandshake) {
		c.peer = run.greet()
		if !run.is(runNoHandshake) {
			wire = append([]byte(fuzzHead), wire...)
		}
	} else {
		var buffered []byte
		if run.is(runBuffered) {
			buffered, wire = bytes.Clone(wire[:len(wire)/3]), wire[len(wire)/3:]
		}
		e := end(run.t, nil, protocol.Server, run.server.acceptor.options)
		e.release = func() { c.released++ }
		_, c.peer = run.adopt(e, buffered)
	}
	run.clients[c.peer.LocalAddr().String()] = c
	run.mu.Unlock()
	in, out := -1, -1
	if run.is(runResetIn) {
		in = run.reset
	}
	if run.is(runResetOut) {
		out = run.reset
	}
	c.peer.ResetAfter(in, out)
	if run.is(runGulps) {
		c.peer.Window(1000)
		go c.gulp()
	}
	for run.is(runPieces) && len(wire) > 1 {
		n := 1 + len(wire)/3
		_, _ = c.peer.Write(wire[:n])
		wire = wire[n:]
		time.Sleep(time.Millisecond)
	}
	_, _ = c.peer.Write(wire) // fails when the connection is broken
	if run.is(runEarlyEnd) {
		c.peer.CloseWrite()
	}
	return c
}

func (c *loopClient) gulp() {
	for buf := make([]byte, 700); ; {
		n, err := c.peer.Read(buf)
		c.out = append(c.out, buf[:n]...)
		if err != nil {
			return
		}
	}
}

// Open implements Handler.
func (run *loopRun) Open(conn *Conn) {
	run.mu.Lock()
	c := run.clients[conn.RemoteAddr().String()]
	c.conn = conn
	run.mu.Unlock()
	c.log = append(c.log, "open")
	_ = conn.Send(Text, []byte("welcome"))
	if run.is(runOpenPanics) {
		panic("Open panics")
	}
}

// Message implements Handler.
func (run *loopRun) Message(conn *Conn, typ MessageType, p []byte) {
	run.mu.Lock()
	c := run.clients[conn.RemoteAddr().String()]
	run.mu.Unlock()
	c.log = append(c.log, message(typ, p))
	for _, a := range acts(typ, p) {
		switch a.kind {
		case actSend:
			_ = conn.Send(a.typ, a.p)
		case actPrepared:
			_ = conn.SendPrepared(NewPrepared(a.typ, a.p))
		case actStream:
			if w, err := conn.Writer(context.Background(), a.typ); err == nil {
				_, _ = w.Write(a.p)
				_ = conn.Send(Text, []byte("aside"))
				_ = w.Close()
			}
		case actOther:
			var done sync.WaitGroup
			done.Go(func() { _ = conn.Send(a.typ, a.p) })
			done.Wait()
		case actWait:
			time.Sleep(a.pause)
		case actClose:
			_ = conn.Close(context.Background(), 4000, "asked for") // does not wait, in a handler
		case actPanic:
			panic("asked for")
		case actExit:
			runtime.Goexit()
		case actCloseNow:
			_ = conn.CloseNow()
		}
	}
}

// Close implements Handler.
func (run *loopRun) Close(conn *Conn, err error) {
	run.mu.Lock()
	c := run.clients[conn.RemoteAddr().String()]
	run.mu.Unlock()
	c.log = append(c.log, fmt.Sprint("close ", int(CloseStatus(err))))
	if run.is(runClosePanics) {
		panic("Close panics")
	}
	if run.is(runCloseExits) {
		runtime.Goexit()
	}
}

// judge compares what a client has seen with what it should have.
func (run *loopRun) judge(c *loopClient, quiet bool) {
	t := run.t
	if c.conn == nil { // it ended before it was open, or was never meant to be
		if len(c.log) > 0 || len(c.out) > 0 && !run.is(runNoHandshake) && !c.peer.WasReset() {
			t.Errorf("without Open: %v, %q", c.log, c.out)
		}
		if len(c.out) > 0 && !strings.HasPrefix("HTTP/1.1 ", string(c.out[:min(len(c.out), 9)])) {
			t.Errorf("an answer that is not HTTP: %q", c.out)
		}
		return
	}
	wire := run.wire
	if run.is(runNoHandshake) {
		_, wire, _ = bytes.Cut(wire, []byte("\r\n\r\n")) // it was one after all
	}
	want := run.refer(wire, c.conn.detailed().agreement, quiet && run.is(runShutdown))
	ends := want.log[len(want.log)-1]
	broken := c.peer.WasReset()
	// What a connection had to say is complete when it ended with a close frame,
	// and while it is open.
	partial := broken || !quiet && (ends == "close 1006" || run.is(runCloseExits))
	head, out, whole := bytes.Cut(c.out, []byte("\r\n\r\n"))
	switch {
	case !whole && !partial, whole && !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")):
		t.Errorf("the response is %q", c.out)
	case whole && !bytes.HasPrefix(want.out, out), !partial && len(out) != len(want.out):
		i := 0
		for i < min(len(out), len(want.out)) && out[i] == want.out[i] {
			i++
		}
		t.Errorf("%d bytes came out instead of %d; from byte %d: %.60q instead of %.60q", len(out), len(want.out), i, out[i:], want.out[i:])
	}
	got, wanted := strings.Join(c.log, "\n"), strings.Join(want.log, "\n")
	if last := len(c.log) - 1; broken && c.log[last] == "close 1006" {
		if !strings.HasPrefix(wanted+"\n", strings.Join(c.log[:last], "\n")+"\n") {
			t.Errorf("the handler heard\n%.300s\ninstead of a beginning of\n%.300s", got, wanted)
		}
	} else if got != wanted {
		t.Errorf("the handler heard\n%.300s\ninstead of\n%.300s", got, wanted)
	}
	if n := c.peer.Unread(); n > 0 && !partial {
		t.Errorf("closed with %d bytes unread: a real network would reset the connection", n)
	}
	if !run.is(runGreeting) && !run.is(runNoHandshake) && c.released != 1 {
		t.Errorf("released %d times", c.released)
	}
}

// loopSeed is one seed of the fuzz target.
type loopSeed struct {
	flags, reset uint16
	wire, script []byte
}

// frame builds a frame of a client whose masking key is 0, so that a fuzzer can see
// through it.
func frame(first byte, payload string) []byte {
	h := protocol.FrameHeader{Fin: first&0x80 != 0, Rsv: first & 0x70, Opcode: protocol.Opcode(first & 0xf), Masked: true, Length: int64(len(payload))}
	return append(protocol.AppendHeader(nil, h), payload...)
}

func frames(of ...[]byte) []byte { return bytes.Join(of, nil) }

// loopSeeds has one input for each interesting path, on every kind of network.
func loopSeeds() (seeds []loopSeed) {
	closing := frame(0x88, "\x03\xe8bye")
	inputs := [][]byte{
		frames(frame(0x81, "hello"), frame(0x82, "\x00\xff"), frame(0x89, "ping"), frame(0x8a, "pong"), closing),
		frames(frame(0x01, "hé"), frame(0x89, "between"), frame(0x00, "llo "), frame(0x80, "wörld"), frame(0x81, "open end")),
		frames(frame(0x81, "burst"), frame(0x81, "prepared"), frame(0x82, "p"), closing),
		frames(frame(0x81, "stream"), frame(0x81, "other"), frame(0x82, "s"), frame(0x82, "o")),
		frames(frame(0x81, "wait"), frame(0x81, "behind"), frame(0x81, "Wait long"), frame(0x81, "behind"), closing),
		frames(frame(0x81, "burst"), frame(0x81, "close"), frame(0x81, "not delivered"), frame(0x89, "ping"), closing),
		frames(frame(0x81, "burst"), frame(0x81, "! panic"), frame(0x81, "not delivered")),
		frames(frame(0x81, "a"), frame(0x81, "x exit"), frame(0x81, "not delivered")),
		frames(frame(0x81, "a"), frame(0x81, "now"), frame(0x81, "not delivered")),
		frames(frame(0x81, "burst"), frame(0x83, "reserved opcode"), frame(0x81, "not delivered")),
		frames(frame(0x81, "a"), frame(0x81, "\xff\xfe")),
		frames(frame(0x82, strings.Repeat("large ", 8000)), frame(0x02, "f"), frame(0x80, strings.Repeat("fragment", 5000)), closing),
		frames(frame(0xc2, "\xf2\x48\xcd\xc9\xc9\x07\x00"), frame(0xc1, "\xf2\x00\x11\x00\x00"), frame(0x81, strings.Repeat("compress ", 100)), closing),
		binary.BigEndian.AppendUint64([]byte{0x82, 0xff}, 1<<40),
		closing,
		nil,
	}
	scripts := [][]byte{nil, bytes.Repeat([]byte{3, 2, 7, 1}, 60), []byte(strings.Repeat("\x05\x01\x03\x02\x09\x06\x04\x0b\x07\x0f\x00\x02\x33\x81", 40))}
	for i, wire := range inputs {
		for j, script := range scripts {
			n := uint16(i + j)
			seeds = append(seeds,
				loopSeed{runCloseExits | runGreeting*(n%2), 0, wire, script},
				loopSeed{n % 3, 0, wire, script},
				loopSeed{runGreeting | runTwice | n%3, 0, wire, script},
				loopSeed{runTwoLoops | runTwice | runPieces | runGulps | runBuffered, 0, wire, script},
				loopSeed{runEarlyEnd | runGulps | runGreeting, 0, wire, script},
				loopSeed{runShutdown | runClosePanics | runGreeting*(n%2), 0, wire, script},
				loopSeed{runResetIn | runPieces, uint16(len(wire) / 2), wire, script},
				loopSeed{runResetOut | runTwice | runGreeting | runTakeover, 7 * n * n, wire, script})
		}
	}
	seeds = append(seeds, loopSeed{runOpenPanics, 0, inputs[0], scripts[2]})
	for _, script := range scripts {
		for _, text := range []string{fuzzHead, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", fuzzHead[:60], "\x16\x03\x01 TLS", strings.Replace(fuzzHead, "13", "12", 1)} {
			seeds = append(seeds, loopSeed{runNoHandshake, 0, []byte(text), script})
		}
	}
	return seeds
}
