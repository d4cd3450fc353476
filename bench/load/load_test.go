package main

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// startServer runs one of the rivals, the real program, and returns its address and process.
func startServer(t *testing.T, args ...string) (addr string, pid int) {
	t.Helper()
	return startProgram(t, serverBinary, args...)
}

func startProgram(t *testing.T, program string, args ...string) (addr string, pid int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr = ln.Addr().String()
	ln.Close()
	cmd := exec.Command(program, append(args, "--listen", addr)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return addr, cmd.Process.Pid
		}
	}
	t.Fatalf("%v does not listen", args)
	return "", 0
}

var serverBinary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "load")
	if err != nil {
		panic(err)
	}
	serverBinary = filepath.Join(dir, "servers")
	if out, err := exec.Command("go", "build", "-o", serverBinary, "../servers").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build ../servers: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

func TestEcho(t *testing.T) {
	for _, lib := range []string{"gorilla", "gws", "coder", "gobwas", "nbio"} {
		addr, pid := startServer(t, "-lib", lib)
		for size, typ := range map[int]string{0: "binary", 1: "text", 125: "binary", 126: "binary", 1024: "text", 65536: "binary", 1 << 20: "binary"} {
			if size == 0 && lib == "nbio" {
				continue // nbio 1.6.8 does not answer empty messages
			}
			t.Run(fmt.Sprintf("%s %d %s", lib, size, typ), func(t *testing.T) {
				cfg := config{Mode: "echo", Addr: addr, Path: "/", Conns: 4, Size: size, InFlight: 3, Type: typ, Compression: "off",
					Duration: 5 * time.Second, Count: 50, PID: pid}
				r, err := run(cfg)
				if err != nil {
					t.Fatal(err)
				}
				if r.Messages < 50 || r.ReplyBytes != float64(size) || r.ServerNs <= 0 {
					t.Errorf("%+v", r)
				}
			})
		}
	}
}

func TestEchoCompressed(t *testing.T) {
	for lib, modes := range map[string][]string{"gorilla": {"no-takeover"}, "gws": {"no-takeover", "takeover"}, "coder": {"no-takeover", "takeover"}, "nbio": {"no-takeover"}} {
		for _, mode := range modes {
			addr, pid := startServer(t, "-lib", lib, "-compression", mode)
			// 300 messages a connection: several times round the 64 different ones, so the takeover's loop is entered.
			cfg := config{Mode: "echo", Addr: addr, Path: "/", Conns: 2, Size: 1024, InFlight: 4, Type: "text", Compression: mode,
				Duration: 10 * time.Second, Count: 600, PID: pid}
			r, err := run(cfg)
			if err != nil {
				t.Fatalf("%s %s: %v", lib, mode, err)
			}
			if r.Messages < 600 || r.CompressedShare != 1 || r.ReplyBytes > 500 {
				t.Errorf("%s %s: %+v", lib, mode, r)
			}
		}
	}
}

func TestBroadcast(t *testing.T) {
	for _, lib := range []string{"gorilla", "gws", "coder", "gobwas", "nbio"} {
		addr, pid := startServer(t, "-lib", lib, "-mode", "broadcast")
		cfg := config{Mode: "broadcast", Addr: addr, Path: "/", Conns: 20, Size: 128, InFlight: 8, Type: "binary", Compression: "off",
			Duration: 5 * time.Second, Count: 2100, PID: pid}
		r, err := run(cfg)
		if err != nil {
			t.Fatalf("%s: %v", lib, err)
		}
		if r.Messages < 2100 {
			t.Errorf("%s: %+v", lib, r)
		}
	}
}

// Our own server, as the benchmark starts it.
func TestDuplex(t *testing.T) {
	program := filepath.Join(t.TempDir(), "duplex")
	build := exec.Command("go", "build", "-o", program, "./cmd/duplex")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build duplex: %v\n%s", err, out)
	}
	for _, driver := range []string{"auto", "goroutine", "loop"} {
		for _, mode := range []string{"off", "no-takeover", "takeover"} {
			addr, pid := startProgram(t, program, "echo", "--driver", driver, "--compression", mode)
			for _, size := range []int{0, 1024, 1 << 20} {
				cfg := config{Mode: "echo", Addr: addr, Path: "/", Conns: 2, Size: size, InFlight: 4, Type: "text", Compression: mode,
					Duration: 10 * time.Second, Count: 300, PID: pid}
				if r, err := run(cfg); err != nil || r.Messages < 300 {
					t.Errorf("%s %s, %d bytes: %+v, %v", driver, mode, size, r, err)
				}
			}
		}
		addr, pid := startProgram(t, program, "echo", "--driver", driver, "--mode", "broadcast")
		cfg := config{Mode: "broadcast", Addr: addr, Path: "/", Conns: 20, Size: 128, InFlight: 8, Type: "binary", Compression: "off",
			Duration: 5 * time.Second, Count: 2100, PID: pid}
		if r, err := run(cfg); err != nil || r.Messages < 2100 {
			t.Errorf("%s broadcast: %+v, %v", driver, r, err)
		}
	}
}

func TestHandshakeAndIdle(t *testing.T) {
	addr, pid := startServer(t, "-lib", "gws", "-compression", "takeover")
	r, err := run(config{Mode: "handshake", Addr: addr, Path: "/", Conns: 1, InFlight: 1, Compression: "takeover", Duration: 5 * time.Second, Count: 128, PID: pid})
	if err != nil || r.Messages != 128 || r.ServerNs <= 0 {
		t.Errorf("handshake: %+v, %v", r, err)
	}
	r, err = run(config{Mode: "idle", Addr: addr, Path: "/", Conns: 500, Size: 1024, InFlight: 1, Type: "text", Compression: "takeover", PID: pid})
	if err != nil || r.Messages != 500 || r.CompressedShare != 1 {
		t.Errorf("idle: %+v, %v", r, err)
	}
}

func TestCompressionRefused(t *testing.T) {
	addr, _ := startServer(t, "-lib", "gorilla")
	_, err := run(config{Mode: "echo", Addr: addr, Path: "/", Conns: 1, InFlight: 1, Compression: "takeover"})
	if err == nil || !strings.Contains(err.Error(), "permessage-deflate agreed is false") {
		t.Errorf("a server without compression: %v", err)
	}
}

// The checks of the replies must find what is wrong. Each case is what a server sends after the text "hello" came.
func TestWrongReplies(t *testing.T) {
	s, err := newStream([][]byte{[]byte("hello")}, opText, agreement{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ reply, want string }{
		"right":                      {"\x81\x05hello", ""},
		"right, in fragments":        {"\x01\x02he\x89\x00\x80\x03llo", ""},
		"other content":              {"\x81\x05hellO", "differs"},
		"shorter":                    {"\x81\x04hell", "4 bytes, 5 were sent"},
		"longer":                     {"\x81\x06hello!", "longer"},
		"masked":                     {"\x81\x85....hello", "masked"},
		"compressed without consent": {"\xc1\x05hello", "no compression was agreed"},
		"continuation of nothing":    {"\x80\x05hello", "continuation"},
		"message inside a message":   {"\x01\x02he\x81\x03llo", "inside"},
		"closed":                     {"\x88\x05\x03\xf1bad", "closed: 1009 bad"},
		"unknown opcode":             {"\x83\x00", "opcode 3"},
	} {
		for step := 1; step <= len(c.reply); step++ { // in every piece size
			conn := &conn{fd: -1, stream: s}
			var tally tally
			var err error
			for rest := []byte(c.reply); len(rest) > 0 && err == nil; rest = rest[min(step, len(rest)):] {
				_, err = conn.feed(rest[:min(step, len(rest))], &tally)
			}
			if name == "right, in fragments" && err != nil && strings.Contains(err.Error(), "pong") {
				continue // no socket to answer the ping on: it was understood
			}
			switch {
			case c.want == "" && (err != nil || tally.messages != 1):
				t.Errorf("%s, %d bytes at a time: %d messages, %v", name, step, tally.messages, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%s, %d bytes at a time: error %v, want one about %q", name, step, err, c.want)
			}
		}
	}
}

func TestWrongCompressedReplies(t *testing.T) {
	s, err := newStream([][]byte{[]byte("hello hello hello")}, opText, agreement{deflate: true, clientNoTakeover: true, clientBits: 15})
	if err != nil {
		t.Fatal(err)
	}
	reply := func(text string) []byte {
		z := deflateAll([][]byte{[]byte(text)}, 15)[0]
		return append([]byte{0xc1, byte(len(z))}, z...)
	}
	for text, good := range map[string]bool{"hello hello hello": true, "hello hello hellO": false, "hello hello": false, "hello hello hello!": false} {
		c := &conn{fd: -1, stream: s, inflate: &inflater{active: true}}
		if _, err := c.feed(reply(text), &tally{}); (err == nil) != good {
			t.Errorf("%q: %v", text, err)
		}
	}
	c := &conn{fd: -1, stream: s, inflate: &inflater{active: true}}
	if _, err := c.feed([]byte("\xc1\x03\xff\xff\xff"), &tally{}); err == nil {
		t.Error("garbage passes")
	}
}

// Literal bytes of RFC 6455 section 5.7, and the three length forms.
func TestAppendFrame(t *testing.T) {
	got := appendFrame(nil, 0x81, []byte("Hello"), 0x3d21fa37)
	if want := []byte{0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58}; !bytes.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
	for size, head := range map[int]string{125: "\x82\xfd", 126: "\x82\xfe\x00\x7e", 65535: "\x82\xfe\xff\xff", 65536: "\x82\xff\x00\x00\x00\x00\x00\x01\x00\x00"} {
		if got := appendFrame(nil, 0x82, make([]byte, size), 0); !strings.HasPrefix(string(got), head) || len(got) != len(head)+4+size {
			t.Errorf("%d bytes: % x", size, got[:min(len(got), 14)])
		}
	}
}

func TestPayloadsAreValid(t *testing.T) {
	for _, size := range []int{0, 1, 40, 64, 1024, 4096} {
		seen := map[string]bool{}
		for _, p := range payloads(64, size, true) {
			if len(p) != size || !bytes.Equal(p, []byte(strings.ToValidUTF8(string(p), ""))) {
				t.Fatalf("size %d: %d bytes %q", size, len(p), p)
			}
			seen[string(p)] = true
		}
		if size >= 128 && len(seen) != 64 {
			t.Errorf("size %d: only %d different payloads", size, len(seen))
		}
	}
}
