package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A scenario is one row of the table: what the load does, and what the servers are asked for.
type scenario struct {
	name        string
	what        string
	mode        string // of the load
	conns       int
	size        int
	inFlight    int
	text        bool
	compression string
	same        bool    // one message again and again, instead of 64 that differ
	topics      bool    // only for servers with topics, and not in the main table
	rate        float64 // messages a second on schedule, instead of inFlight
	longer      int     // times the usual duration
}

// Every figure of the table is CPU time of the server for one message, but for idle and idlect (bytes a connection).
var scenarios = []scenario{
	{name: "echo64", what: "200 connections, 64 B, 1 in flight", mode: "echo", conns: 200, size: 64, inFlight: 1},
	{name: "pipe64", what: "100 connections, 64 B, 32 in flight", mode: "echo", conns: 100, size: 64, inFlight: 32},
	{name: "many", what: "10,000 connections, 64 B, 1 in flight", mode: "echo", conns: 10000, size: 64, inFlight: 1},
	{name: "echo1k", what: "200 connections, 1 KiB binary", mode: "echo", conns: 200, size: 1 << 10, inFlight: 1},
	{name: "text1k", what: "200 connections, 1 KiB text, UTF-8 checked", mode: "echo", conns: 200, size: 1 << 10, inFlight: 1, text: true},
	{name: "echo16k", what: "100 connections, 16 KiB binary", mode: "echo", conns: 100, size: 16 << 10, inFlight: 1},
	{name: "echo1m", what: "8 connections, 1 MiB binary", mode: "echo", conns: 8, size: 1 << 20, inFlight: 1},
	{name: "bcast", what: "1 publisher, 2,000 subscribers, 128 B; a delivery", mode: "broadcast", conns: 2000, size: 128, inFlight: 1},
	{name: "bcastp", what: "the same, 8 in flight", mode: "broadcast", conns: 2000, size: 128, inFlight: 8},
	{name: "nct1k", what: "100 connections, 1 KiB JSON, deflate both ways, no takeover, always the same message", mode: "echo", conns: 100,
		size: 1 << 10, inFlight: 1, text: true, compression: "no-takeover", same: true},
	{name: "nct1kmix", what: "the same with 64 different messages", mode: "echo", conns: 100, size: 1 << 10, inFlight: 1, text: true,
		compression: "no-takeover"},
	{name: "ct1k", what: "100 connections, 1 KiB JSON, deflate both ways, context takeover, always the same message", mode: "echo", conns: 100,
		size: 1 << 10, inFlight: 1, text: true, compression: "takeover", same: true},
	{name: "ct1kmix", what: "the same with 64 different messages", mode: "echo", conns: 100, size: 1 << 10, inFlight: 1, text: true,
		compression: "takeover"},
	{name: "handshake", what: "upgrade and reset, 64 at a time", mode: "handshake", conns: 64, size: 64, inFlight: 1},
	{name: "idle", what: "bytes a connection of 10,000, fresh / after one message of 64 B", mode: "idle", conns: 10000, size: 64, inFlight: 1},
	{name: "idlect", what: "bytes a connection of 5,000 with deflate takeover, fresh / after one message of 1 KiB", mode: "idle", conns: 5000, size: 1 << 10,
		inFlight: 1, text: true, compression: "takeover"},
	{name: "fanout", what: "1 publisher of 10 messages a second, 2,000 subscribers, 128 B; a delivery", mode: "broadcast", conns: 2000, size: 128, rate: 10,
		inFlight: 1, topics: true, longer: 4},
	{name: "clients", what: "bytes a client of 5,000 that subscribe to one topic, fresh / after one message of 128 B to all", mode: "idle", conns: 5000, size: 128,
		inFlight: 1, topics: true},
}

// pick returns the scenarios of a comma-separated list; "all" is all.
func pick(list string) ([]scenario, error) {
	if list == "all" {
		return scenarios, nil
	}
	var out []scenario
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(scenarios, func(s scenario) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no scenario %q", name)
		}
		out = append(out, scenarios[i])
	}
	return out, nil
}

// deflate is the value of -compression for load and server.
func (s scenario) deflate() string {
	if s.compression == "" {
		return "off"
	}
	return s.compression
}

// serverArgs are the flags of duplex echo and of the rivals.
func (s scenario) serverArgs(listen string) []string {
	mode := "echo"
	if s.mode == "broadcast" || s.topics {
		mode = "broadcast"
	}
	return []string{"--listen", listen, "--compression", s.deflate(), "--mode", mode}
}

func (s scenario) loadArgs(addr string, pid int, p plan, srv server) []string {
	typ := "binary"
	if s.text {
		typ = "text"
	}
	longer := time.Duration(max(1, s.longer))
	return []string{"-same=" + strconv.FormatBool(s.same), "-addr", addr, "-pid", strconv.Itoa(pid), "-mode", s.mode, "-conns", strconv.Itoa(s.conns), "-size", strconv.Itoa(s.size),
		"-dialect", srv.dialect, "-rate", strconv.FormatFloat(s.rate, 'g', -1, 64),
		"-inflight", strconv.Itoa(s.inFlight), "-type", typ, "-compression", s.deflate(),
		"-warmup", max(longer*p.warmup, srv.warmup).String(), "-duration", (longer * p.duration).String()}
}
