package loop_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/internal/loop"
)

// countedBuffers counts what is lent.
type countedBuffers struct{ lent atomic.Int64 }

func (b *countedBuffers) Get() []byte {
	b.lent.Add(1)
	return make([]byte, 64)
}

func (b *countedBuffers) Put([]byte) { b.lent.Add(-1) }

func TestSocketRead(t *testing.T) {
	server, client := connected(t, listen(t, "127.0.0.1:0"))
	defer server.Close()
	buffers := &countedBuffers{}
	s := loop.NewSocket(server, buffers)
	read := make(chan []byte)
	go func() {
		p, err := s.Read()
		if err != nil {
			t.Error(err)
		}
		read <- p
	}()
	soon(t, "it waits without a buffer", func() bool { return buffers.lent.Load() == 0 })
	say(t, client, "hello")
	p := <-read
	if string(p) != "hello" || buffers.lent.Load() != 1 {
		t.Errorf("%q, %d buffers lent", p, buffers.lent.Load())
	}
	buffers.Put(p)
	say(t, client, "into place")
	place := make([]byte, 32)
	if n, err := s.ReadInto(place); string(place[:n]) != "into place" || err != nil {
		t.Errorf("%q, %v", place[:n], err)
	}
	// A deadline interrupts, and reading goes on afterwards.
	for _, read := range []func() error{
		func() error { _, err := s.Read(); return err },
		func() error { _, err := s.ReadInto(place); return err },
	} {
		_ = server.SetReadDeadline(time.Now().Add(time.Millisecond))
		if err := read(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
		_ = server.SetReadDeadline(time.Time{})
	}
	say(t, client, "on")
	if p, err := s.Read(); string(p) != "on" || err != nil {
		t.Errorf("%q, %v", p, err)
	} else {
		buffers.Put(p)
	}
	_ = client.Close()
	if p, err := s.Read(); p != nil || err != io.EOF {
		t.Errorf("%q, %v", p, err)
	}
	if _, err := s.ReadInto(place); err != io.EOF {
		t.Error(err)
	}
	if n := buffers.lent.Load(); n != 0 {
		t.Errorf("%d buffers lent", n)
	}
}

func TestSocketReadAfterReset(t *testing.T) {
	server, client := connected(t, listen(t, "127.0.0.1:0"))
	defer server.Close()
	buffers := &countedBuffers{}
	s := loop.NewSocket(server, buffers)
	resetTCP(t, client)
	if p, err := s.Read(); p != nil || err == nil || err == io.EOF {
		t.Errorf("%q, %v", p, err)
	}
	if n, err := s.TryWrite([]byte("x")); n != 0 || err == nil || errors.Is(err, loop.ErrWouldBlock) {
		t.Error(n, err)
	}
	if n := buffers.lent.Load(); n != 0 {
		t.Errorf("%d buffers lent", n)
	}
}

// TryWrite takes what the kernel does and no more, and never waits.
func TestSocketTryWrite(t *testing.T) {
	server, client := connected(t, listen(t, "127.0.0.1:0"))
	defer server.Close()
	s := loop.NewSocket(server, &countedBuffers{})
	if n, err := s.TryWrite([]byte("all of it")); n != 9 || err != nil {
		t.Error(n, err)
	}
	want := bytes.Repeat([]byte("0123456789abcdef"), 1<<20)
	n, err := s.TryWrite(want)
	if n == 0 || n == len(want) || !errors.Is(err, loop.ErrWouldBlock) {
		t.Error(n, err)
	}
	if n, err := s.TryWrite(want); n != 0 && !errors.Is(err, loop.ErrWouldBlock) {
		t.Error(n, err)
	}
	if err := closeWrite(server); err != nil {
		t.Fatal(err)
	}
	all, err := io.ReadAll(client)
	if err != nil || len(all) < 9+n || !bytes.Equal(all[9:9+n], want[:n]) {
		t.Errorf("%d bytes arrived, %v", len(all), err)
	}
}

func TestSocketOfOthers(t *testing.T) {
	a, b := net.Pipe()
	defer a.Close()
	defer b.Close()
	server, _ := connected(t, listen(t, "127.0.0.1:0"))
	_ = server.Close()
	for _, c := range []net.Conn{a, server} {
		if loop.NewSocket(c, &countedBuffers{}) != nil {
			t.Errorf("a socket of %T", c)
		}
	}
}
