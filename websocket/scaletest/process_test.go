package scaletest

import (
	"bytes"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"
)

// patience is how long a test waits for what must come. It tells a stuck program
// from a slow one and nothing else.
const patience = 40 * time.Second

// process is a server in a process of its own.
type process struct {
	t    *testing.T
	addr string
	tls  bool
	ctl  *rpc.Client
	base State       // before any load
	lost atomic.Bool // it does not answer
}

// launch starts a server process that ends with the test. env adds to its
// environment.
func launch(t *testing.T, o Setup, env ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	// A process with the race detector would wait a second before it ends.
	race := "GORACE=atexit_sleep_ms=0 " + os.Getenv("GORACE")
	cmd.Env = append(append(os.Environ(), serverProcess+"=1", race), env...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &process{t: t, tls: o.Variant.TLS, ctl: rpc.NewClient(struct {
		io.Reader
		io.WriteCloser
	}{out, in})}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server's log: %.8000s", tell[string](s, "Log", false))
		}
		tell[bool](s, "Stop", false)
		_ = s.ctl.Close() // which ends the process
		if err := cmd.Wait(); err != nil || complaints.Len() > 0 {
			t.Errorf("the server process ended with %v: %s", err, &complaints)
		}
	})
	s.addr = tell[string](s, "Start", o)
	s.warmUp()
	return s
}

// warmUp lets the server start what it starts once, and notes its state then.
func (s *process) warmUp() {
	s.t.Helper()
	for i := range 64 {
		p := s.dial()
		s.must(p.echo(numberedEcho(i)))
		p.reset()
	}
	s.eventually("the first connections are gone", func(now *State) bool { return now.gone() })
	s.base = s.collected()
}

// tell calls a method of Control and returns its reply.
func tell[Reply any](s *process, method string, arg any) (reply Reply) {
	s.t.Helper()
	call := s.ctl.Go("server."+method, arg, &reply, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
		if call.Error != nil {
			s.lost.Store(true)
			s.t.Errorf("server process: %s: %v", method, call.Error)
		}
	case <-time.After(2 * patience):
		s.lost.Store(true)
		s.t.Errorf("server process: %s does not return", method)
	}
	return reply
}

// look returns the server's state as it is.
func (s *process) look() State { s.t.Helper(); return tell[State](s, "Look", false) }

// collected returns the server's state without garbage.
func (s *process) collected() State { s.t.Helper(); return tell[State](s, "Look", true) }

// eventually waits until the state is as it should be.
func (s *process) eventually(what string, ok func(*State) bool) State {
	s.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		now := s.look()
		if ok(&now) {
			return now
		}
		if time.Now().After(end) || s.lost.Load() {
			s.t.Fatalf("not seen within %v: %s; now %+v, at first %+v\n%.6000s", patience, what, now, s.base, tell[string](s, "Stacks", false))
		}
	}
}

// gone says that every connection has ended, for the Handler and for Len.
func (now *State) gone() bool { return now.Connections == 0 && now.Opened == now.Closed }

// background is how many goroutines may come and go whatever the connections do:
// the watch over corked output, the timer wheel, one that is just about to end.
const background = 4

// restored waits until everything has ended and nothing is left behind but heap
// bytes on the heap.
func (s *process) restored(heap int) State {
	s.t.Helper()
	s.eventually("no connection, goroutine or descriptor is left", func(now *State) bool {
		return now.gone() && now.Goroutines <= s.base.Goroutines+background && now.Descriptors <= s.base.Descriptors
	})
	now := s.collected()
	if more := now.Heap - s.base.Heap; more > heap {
		s.t.Errorf("%s are on the heap that were not before (%s); at most %s may be", mib(more), mib(s.base.Heap), mib(heap))
	}
	return now
}

// watchHeap looks at the heap until the returned function is called, which
// returns the most that it saw.
func (s *process) watchHeap() (peak func() int) {
	stop, most := make(chan struct{}), make(chan int)
	go func() {
		heap := 0
		for {
			heap = max(heap, s.look().Heap)
			select {
			case <-stop:
				most <- heap
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	return func() int { close(stop); return <-most }
}

// must ends the test with an error.
func (s *process) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
