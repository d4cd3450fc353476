package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A server is one column of the table.
type server struct {
	name string
	args []string // before those of the scenario
	ours bool
	// What it cannot do, by the scenario's compression.
	without []string

	topics  bool          // it has topics, and takes part where there is something to deliver
	dialect string        // of the load
	script  bool          // args are Node's
	warmup  time.Duration // at least
}

// serves reports whether a scenario is for this server.
func (v server) serves(s scenario) bool {
	switch {
	case slices.Contains(v.without, s.deflate()):
		return false
	case s.topics:
		return v.dialect != ""
	}
	return !v.topics || s.mode == "broadcast"
}

var servers = []server{
	{name: "duplex", ours: true, args: []string{"echo"}},
	{name: "duplex-loop", ours: true, args: []string{"echo", "--driver", "loop"}},
	{name: "duplex-goroutine", ours: true, args: []string{"echo", "--driver", "goroutine"}},
	{name: "gws", args: []string{"-lib", "gws"}},
	{name: "gorilla", args: []string{"-lib", "gorilla"}, without: []string{"takeover"}},
	{name: "coder", args: []string{"-lib", "coder"}},
	{name: "gobwas", args: []string{"-lib", "gobwas"}, without: []string{"takeover", "no-takeover"}},
	{name: "nbio", args: []string{"-lib", "nbio"}, without: []string{"takeover"}},
	{name: "duplex-hub", args: []string{"-lib", "hub"}, topics: true},
	{name: "duplex-session", args: []string{"-lib", "session"}, topics: true, dialect: "session"},
	{name: "socket.io", args: []string{socketioFolder + "/server.mjs"}, script: true, topics: true, dialect: "socketio",
		warmup: 3 * time.Second},
}

func pickServers(list string) ([]server, error) {
	var out []server
	for name := range strings.SplitSeq(list, ",") {
		i := slices.IndexFunc(servers, func(s server) bool { return s.name == name })
		if i < 0 {
			return nil, fmt.Errorf("no server %q", name)
		}
		out = append(out, servers[i])
	}
	return out, nil
}

// programs are the paths of the built binaries.
type programs struct{ duplex, rivals, load string }

// build compiles what is needed into dir. Nothing is stripped or tuned: all of them get the compiler's defaults.
func build(dir string, p *programs, chosen []server) error {
	compile := func(out *string, name, from, pkg string) error {
		if *out != "" {
			return nil
		}
		*out = filepath.Join(dir, name)
		cmd := exec.Command("go", "build", "-o", *out, pkg)
		cmd.Dir = from
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", name, err, text)
		}
		return nil
	}
	if slices.ContainsFunc(chosen, func(s server) bool { return s.ours }) {
		if err := compile(&p.duplex, "duplex", "..", "./cmd/duplex"); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(chosen, func(s server) bool { return s.script }) {
		if err := checkSocketio(); err != nil {
			return err
		}
	}
	return errors.Join(compile(&p.rivals, "servers", ".", "./servers"), compile(&p.load, "load", ".", "./load"))
}

// startPinned starts a command whose threads all stay on one core. A child inherits the affinity of the thread that forks it.
func startPinned(cmd *exec.Cmd, core int) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return err
	}
	only.Set(core)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return fmt.Errorf("pin to core %d: %w", core, err)
	}
	defer unix.SchedSetaffinity(0, &before)
	return cmd.Start()
}

// environment gives every Go server the same conditions: one thread runs Go code. The memory scenarios also set a tiny
// GOMEMLIMIT, equal for all, so that the collector runs often and gives pages back: what is left is what connections hold.
func environment(s scenario) []string {
	env := append(os.Environ(), "GOMAXPROCS=1", "GOGC=100", "NODE_ENV=production")
	if s.mode == "idle" {
		return append(env, "GOMEMLIMIT=4MiB")
	}
	return env
}

// measurement is the part of load's JSON that the table uses.
type measurement struct {
	Messages   int     `json:"messages"`
	ServerNs   float64 `json:"server_cpu_ns_per_message"`
	ServerBusy float64 `json:"server_busy"`
	LoadBusy   float64 `json:"load_busy"`
	ReplyBytes float64 `json:"reply_payload_bytes"`
	IdleFresh  float64 `json:"idle_bytes_fresh"`
	IdleUsed   float64 `json:"idle_bytes_after_message"`
}

// measure runs one scenario against one server, both fresh processes.
func measure(p plan, s scenario, srv server) (m measurement, err error) {
	addr, err := freeAddress()
	if err != nil {
		return m, err
	}
	program, args := p.programs.rivals, slices.Concat(srv.args, s.serverArgs(addr))
	switch {
	case srv.ours:
		program = p.programs.duplex
	case srv.script && s.mode == "idle":
		program, args = "node", append([]string{"--expose-gc"}, args...) // as GOMEMLIMIT: what is left is what connections hold
	case srv.script:
		program = "node"
	}
	var log bytes.Buffer
	cmd := exec.Command(program, args...)
	cmd.Env = environment(s)
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := startPinned(cmd, p.serverCore); err != nil {
		return m, err
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
		if err != nil {
			err = fmt.Errorf("%w\nserver said: %s", err, log.Bytes()[:min(log.Len(), 2000)])
		}
	}()
	if err := awaitListener(addr); err != nil {
		return m, err
	}
	var out, text bytes.Buffer
	load := exec.Command(p.programs.load, s.loadArgs(addr, cmd.Process.Pid, p, srv)...)
	load.Stdout, load.Stderr = &out, &text
	if err := startPinned(load, p.loadCore); err != nil {
		return m, err
	}
	if err := load.Wait(); err != nil {
		return m, fmt.Errorf("load: %w: %s", err, text.String())
	}
	return m, json.Unmarshal(out.Bytes(), &m)
}

func freeAddress() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// awaitListener waits until the server accepts connections.
func awaitListener(addr string) error {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(end) {
			return fmt.Errorf("the server does not listen after 10 seconds: %w", err)
		}
	}
}
