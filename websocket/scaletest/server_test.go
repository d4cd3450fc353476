package scaletest

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/rpc"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// This file is the server's process. It obeys the test over its standard input
// and output, and ends with its input.

func serve() error {
	s := rpc.NewServer()
	if err := s.RegisterName("server", &Control{gate: make(chan struct{})}); err != nil {
		return err
	}
	s.ServeConn(struct {
		io.Reader
		io.WriteCloser
	}{os.Stdin, os.Stdout})
	return nil
}

// Setup configures the server.
type Setup struct {
	Variant          Variant
	Outbox           int
	Overflow         websocket.Overflow
	MaxMessage       int64
	HandshakeTimeout time.Duration
	CloseTimeout     time.Duration
	WriteTimeout     time.Duration
	PingInterval     time.Duration
	PongTimeout      time.Duration
}

// State is what a server tells about itself. Sizes are in bytes.
type State struct {
	Connections int // Server.Len
	Opened      int // calls of Handler.Open
	Closed      int // calls of Handler.Close
	Ends        map[websocket.StatusCode]int
	Entered     int // messages whose handler has begun
	Handled     int // and has returned

	Goroutines  int
	Descriptors int // -1 where the platform does not tell
	Heap        int // objects that are alive, or not collected yet
	Resident    int // -1 where the platform does not tell
}

// Control is what the test calls; it is the Handler as well.
type Control struct {
	server *websocket.Server
	site   *site
	log    syncBuffer

	opened, closed   atomic.Int64
	entered, handled atomic.Int64

	stop    sync.Once
	stopped error

	mu    sync.Mutex
	gate  chan struct{} // closed by Release, then replaced
	ends  map[websocket.StatusCode]int
	hoard []*os.File // what Exhaust has opened
}

var _ websocket.Handler = (*Control)(nil)

// Start starts the server and tells its address.
func (c *Control) Start(o Setup, addr *string) error {
	logger := slog.New(slog.NewTextHandler(&c.log, nil))
	slog.SetDefault(logger) // and so the standard logger's output
	c.ends = make(map[websocket.StatusCode]int)
	c.server = &websocket.Server{Handler: c, Accept: websocket.AcceptOptions{Options: websocket.Options{
		Outbox:           o.Outbox,
		Overflow:         o.Overflow,
		MaxMessage:       o.MaxMessage,
		HandshakeTimeout: o.HandshakeTimeout,
		CloseTimeout:     o.CloseTimeout,
		WriteTimeout:     o.WriteTimeout,
		PingInterval:     o.PingInterval,
		PongTimeout:      o.PongTimeout,
		Logger:           logger,
	}}}
	var err error
	if c.site, err = o.Variant.open(c.server, http.HandlerFunc(c.page)); err == nil {
		*addr = c.site.addr
	}
	return err
}

// Stop stops the server.
func (c *Control) Stop(bool, *bool) error {
	c.stop.Do(func() { c.stopped = c.site.stop() })
	return c.stopped
}

// Exhaust opens files until there are no descriptors left but the given number,
// or gives them back when that is negative.
func (c *Control) Exhaust(left int, opened *int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for left >= 0 && len(c.hoard) < 100_000 {
		f, err := os.Open(os.DevNull)
		if err != nil {
			break
		}
		c.hoard = append(c.hoard, f)
	}
	for keep := max(0, len(c.hoard)-left); len(c.hoard) > keep || left < 0 && len(c.hoard) > 0; {
		if err := c.hoard[len(c.hoard)-1].Close(); err != nil {
			return err
		}
		c.hoard = c.hoard[:len(c.hoard)-1]
	}
	*opened = len(c.hoard)
	return nil
}

// Log tells what was logged.
func (c *Control) Log(_ bool, text *string) error {
	*text = c.log.String()
	return nil
}

// Look tells the server's state. With collect, only what is alive is on the heap,
// and memory that is free is given back first.
func (c *Control) Look(collect bool, s *State) error {
	if collect {
		runtime.GC() // moves what pools hold to where the next one frees it
		debug.FreeOSMemory()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	*s = State{
		Connections: c.server.Len(),
		Opened:      int(c.opened.Load()),
		Closed:      int(c.closed.Load()),
		Ends:        make(map[websocket.StatusCode]int),
		Entered:     int(c.entered.Load()),
		Handled:     int(c.handled.Load()),
		Goroutines:  runtime.NumGoroutine(),
		Descriptors: descriptors(),
		Heap:        int(m.HeapAlloc),
		Resident:    resident(),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for code, n := range c.ends {
		s.Ends[code] = n
	}
	return nil
}

// Stacks tells what every goroutine does, for the log of a test that failed.
func (c *Control) Stacks(_ bool, text *string) error {
	buf := make([]byte, 1<<20)
	*text = string(buf[:runtime.Stack(buf, true)])
	return nil
}

// Release lets go of the handlers and pages that wait at the gate.
func (c *Control) Release(bool, *bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.gate)
	c.gate = make(chan struct{})
	return nil
}

func (c *Control) wait() {
	c.mu.Lock()
	gate := c.gate
	c.mu.Unlock()
	<-gate
}

// Burst is what Publish sends to every connection: messages of Size bytes that
// begin with their number.
type Burst struct{ First, Count, Size int }

// Published is what became of a burst.
type Published struct{ Sent, Full, Ended int }

// Publish sends to all without waiting for any.
func (c *Control) Publish(b Burst, p *Published) error {
	for i := range b.Count {
		m := websocket.NewPrepared(websocket.Binary, numbered(b.First+i, b.Size))
		c.server.Range(func(conn *websocket.Conn) bool {
			switch err := conn.SendPrepared(m); err {
			case nil:
				p.Sent++
			case websocket.ErrFull:
				p.Full++
			default:
				p.Ended++
			}
			return true
		})
	}
	return nil
}

// Fill sends to the connections of these clients, which do not read, until the
// network takes no more and some messages wait. It returns how many it sent to
// each.
func (c *Control) Fill(addrs []string, sent *map[string]int) error {
	*sent = make(map[string]int)
	c.server.Range(func(conn *websocket.Conn) bool {
		addr := conn.RemoteAddr().String()
		if !slices.Contains(addrs, addr) {
			return true
		}
		for i := 0; conn.Buffered() < fillWaiting; i++ {
			if conn.Write(context.Background(), websocket.Binary, numbered(i, fillSize)) != nil {
				break // the test sees that it is too few
			}
			(*sent)[addr]++
		}
		return true
	})
	return nil
}

const (
	fillSize    = 16 << 10
	fillWaiting = 32 << 10
)

// Box is the state of a connection's outbox.
type Box struct {
	Buffered int
	Dropped  uint64
}

// Boxes tells the connections' outboxes, by the clients' addresses.
func (c *Control) Boxes(_ bool, boxes *map[string]Box) error {
	*boxes = make(map[string]Box)
	c.server.Range(func(conn *websocket.Conn) bool {
		(*boxes)[conn.RemoteAddr().String()] = Box{conn.Buffered(), conn.Dropped()}
		return true
	})
	return nil
}

// The first byte of a message says what its handler does.
const (
	doEcho  = 'e' // answer with the same message
	doWait  = 'g' // the same, but wait at the gate first
	doSleep = 's' // the same, but sleep a second first
	doNap   = 'n' // the same, but sleep for about as long as a loop waits for a handler
	doWrite = 'w' // answer with bulkCount messages of bulkSize bytes, waiting for room
	doTake  = 't' // no answer
)

const (
	bulkCount = 256 // together 8 MiB, twice what the kernel takes for a reader that does not read
	bulkSize  = 32 << 10
)

// The query of a handshake may say that Open or Close waits at the gate.
const (
	openWaits  = "open-waits"
	closeWaits = "close-waits"
)

type queryKey struct{}

// Open implements websocket.Handler.
func (c *Control) Open(conn *websocket.Conn) {
	c.opened.Add(1)
	query := conn.Request().URL.RawQuery
	if query != "" {
		conn.SetAttribute(queryKey{}, query)
	}
	if query == openWaits {
		c.wait()
	}
}

// Message implements websocket.Handler.
func (c *Control) Message(conn *websocket.Conn, typ websocket.MessageType, p []byte) {
	c.entered.Add(1)
	defer c.handled.Add(1)
	switch p[0] {
	case doTake:
		return
	case doWait:
		c.wait()
	case doSleep:
		time.Sleep(time.Second)
	case doNap:
		time.Sleep(time.Duration(p[len(p)-1]) * 100 * time.Microsecond)
	case doWrite:
		for i := range bulkCount {
			if conn.Write(context.Background(), websocket.Binary, numbered(i, bulkSize)) != nil {
				return // the connection is over
			}
		}
		return
	}
	_ = conn.Write(context.Background(), typ, p) // the client notices when it fails
}

// Close implements websocket.Handler.
func (c *Control) Close(conn *websocket.Conn, err error) {
	if conn.Attribute(queryKey{}) == closeWaits {
		c.wait()
	}
	c.mu.Lock()
	c.ends[websocket.CloseStatus(err)]++
	c.mu.Unlock()
	c.closed.Add(1)
}

// page is package-level page but for one path, which waits at the gate.
func (c *Control) page(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/wait" {
		c.wait()
	}
	page(w, r)
}

// numbered makes a message of n bytes that begins with a number; the rest
// follows from it.
func numbered(i, n int) []byte {
	p := binary.BigEndian.AppendUint32(make([]byte, 0, n), uint32(i))
	for start := i % len(noise); len(p) < n; start = 0 {
		rest := noise[start:]
		p = append(p, rest[:min(len(rest), n-len(p))]...)
	}
	return p
}

// noise has a prime number of bytes, so that no part of a long message that
// computers like to move looks like another.
var noise = func() []byte {
	b := make([]byte, 65_521)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(random.Uint32())
	}
	return b
}()

// number is the reverse.
func number(p []byte) int { return int(binary.BigEndian.Uint32(p)) }

// syncBuffer collects a log.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// httpLog is where an http.Server of the program's own complains.
func httpLog(l *slog.Logger) *log.Logger {
	if l == nil {
		l = slog.Default()
	}
	return slog.NewLogLogger(l.Handler(), slog.LevelWarn)
}
