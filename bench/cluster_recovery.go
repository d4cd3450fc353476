package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/duplex-websocket/duplex/bench/figures"
)

// swarmPlan is what ./swarm is told.
type swarmPlan struct {
	clients, topics      int
	rate                 float64
	baseDelay, steady    time.Duration
	serverCore, loadCore int
}

// swarmConfig is that of duplex serve. One client publishes everything; presence would be one more thing to measure.
const swarmConfig = `limits: {commands-rate: 1000000, commands-burst: 1000000}
topics:
  - pattern: room.*
    history: {messages: 100, age: 1h}
`

// serving is three processes of duplex serve that form a cluster.
type serving struct {
	started   []*exec.Cmd
	addresses []string
	log       bytes.Buffer
}

// stop may be called twice.
func (s *serving) stop() {
	for _, cmd := range s.started {
		_ = cmd.Process.Kill() // its data is thrown away
		_ = cmd.Wait()
	}
}

// start returns when all can store messages. Whatever it returns, stop comes after it.
func (s *serving) start(dir, program string, core int) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	config := filepath.Join(dir, "duplex.yaml")
	if err := os.WriteFile(config, []byte(swarmConfig), 0o600); err != nil {
		return err
	}
	peers, err := clusterPeers()
	if err != nil {
		return err
	}
	for _, name := range nodeNames {
		address, err := freeAddress()
		if err != nil {
			return err
		}
		cmd := exec.Command(program, "serve", "--config", config, "--listen", address, "--data", filepath.Join(dir, name), "--cluster", peers, "--node", name,
			"--log-level", "error")
		cmd.Stderr = &s.log
		if err := startPinned(cmd, core); err != nil {
			return err
		}
		s.started, s.addresses = append(s.started, cmd), append(s.addresses, address)
	}
	for _, address := range s.addresses {
		if err := awaitReady(address); err != nil {
			return err
		}
	}
	return nil
}

// recovered measures what happens when one of three servers dies.
func (p clusterPlan) recovered(s swarmPlan, programs *programs) (r figures.Recovery, err error) {
	dir, err := os.MkdirTemp(p.dir, "recovery")
	if err != nil {
		return r, err
	}
	var servers *serving
	for try := range 3 { // a port may have been taken meanwhile
		servers = &serving{}
		if err = servers.start(filepath.Join(dir, strconv.Itoa(try)), programs.duplex, s.serverCore); err == nil {
			r, err = p.swarm(s, servers)
			break
		}
		servers.stop()
	}
	servers.stop()
	if err != nil {
		return r, fmt.Errorf("%w\nservers said: %s", err, servers.log.Bytes()[:min(servers.log.Len(), 2000)])
	}
	p.say("recovery of %d clients, base delay %v: %+v", s.clients, s.baseDelay, r)
	return r, nil
}

// swarm lets the clients go.
func (p clusterPlan) swarm(s swarmPlan, servers *serving) (r figures.Recovery, err error) {
	var pids []string
	for _, cmd := range servers.started {
		pids = append(pids, strconv.Itoa(cmd.Process.Pid))
	}
	var out, text bytes.Buffer
	swarm := exec.Command(filepath.Join(p.dir, "swarm"), "-servers", strings.Join(servers.addresses, ","), "-pids", strings.Join(pids, ","),
		"-clients", strconv.Itoa(s.clients), "-topics", strconv.Itoa(s.topics), "-rate", strconv.FormatFloat(s.rate, 'g', -1, 64),
		"-base-delay", s.baseDelay.String(), "-steady", s.steady.String())
	swarm.Stdout, swarm.Stderr = &out, &text
	if err := startPinned(swarm, s.loadCore); err != nil {
		return r, err
	}
	if err := swarm.Wait(); err != nil {
		return r, errors.Join(err, errors.New(text.String()))
	}
	return r, json.Unmarshal(out.Bytes(), &r)
}

const readyWithin = 40 * time.Second

// awaitReady waits until a server can store messages.
func awaitReady(address string) error {
	var last string
	for end := time.Now().Add(readyWithin); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		answer, err := http.Get("http://" + address + "/readyz")
		if err != nil {
			last = err.Error()
			continue
		}
		body, _ := io.ReadAll(io.LimitReader(answer.Body, 1000))
		_ = answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return nil
		}
		last = string(body)
	}
	return fmt.Errorf("the server at %s is not ready after %s: %s", address, readyWithin, last)
}
