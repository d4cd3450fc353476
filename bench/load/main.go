// Command load puts load on a WebSocket server that echoes or broadcasts, on loopback, and measures the CPU time that the
// server spends for each message, or the memory that it holds for each connection. It is part of the benchmark and runs on Linux
// only: one thread, epoll, frames encoded beforehand, many frames to a system call. Every reply is checked: its length and, but
// for most of the big ones, every byte; compressed replies are inflated on one connection in 64.
//
// The result is one JSON object on standard output.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

func main() {
	var cfg config
	flag.StringVar(&cfg.Mode, "mode", "echo", "echo, broadcast, idle or handshake")
	flag.StringVar(&cfg.Addr, "addr", "127.0.0.1:9001", "IPv4 loopback `address` of the server")
	flag.StringVar(&cfg.Path, "path", "/", "request `path`")
	flag.IntVar(&cfg.Conns, "conns", 200, "connections; for broadcast: subscribers")
	flag.IntVar(&cfg.Size, "size", 64, "payload `bytes` of a message")
	flag.IntVar(&cfg.InFlight, "inflight", 1, "messages under way on each connection")
	flag.StringVar(&cfg.Type, "type", "binary", "text or binary")
	flag.StringVar(&cfg.Compression, "compression", "off", "off, no-takeover or takeover")
	flag.DurationVar(&cfg.Warmup, "warmup", 300*time.Millisecond, "before measuring")
	flag.DurationVar(&cfg.Duration, "duration", time.Second, "of the measurement, at most a minute")
	flag.IntVar(&cfg.Count, "count", 0, "stop after so many messages; 0: no limit")
	flag.BoolVar(&cfg.Same, "same", false, "send the same message again and again instead of 64 different ones")
	flag.StringVar(&cfg.Dialect, "dialect", "", "what clients of a server with topics say: session or socketio; empty: messages and nothing around them")
	flag.Float64Var(&cfg.Rate, "rate", 0, "broadcast: publish so many messages a second, on schedule; 0: as -inflight says")
	flag.IntVar(&cfg.PID, "pid", 0, "process `id` of the server, to measure its CPU time and memory")
	flag.Parse()
	cfg.Duration = min(cfg.Duration, time.Minute)
	if cfg.Conns < 1 || cfg.InFlight < 1 || cfg.Size < 0 || (cfg.Type != "text" && cfg.Type != "binary") {
		fmt.Fprintln(os.Stderr, "load: want -conns and -inflight of at least 1, -size of at least 0, -type text or binary")
		os.Exit(2)
	}
	runtime.LockOSThread()
	debug.SetGCPercent(400) // little is allocated after the start
	r, err := run(cfg)
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	json.NewEncoder(os.Stdout).Encode(r)
}
