package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// process is a program that runs in a machine, is ended in all kinds of ways, and started again. Its methods may be called from any goroutine, but
// start, kill and stop of one process by one at a time.
type process struct {
	name    string
	logs    string // folder of its output
	command func() *exec.Cmd
	talks   bool         // its standard input and output are used
	died    func(string) // called when it ends without having been asked to

	mu     sync.Mutex
	cmd    *exec.Cmd // nil: it does not run
	asked  bool      // to end
	done   chan struct{}
	input  io.WriteCloser
	output io.ReadCloser
	starts int
}

// start starts the program; its output is appended to its log.
func (p *process) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd != nil {
		return fmt.Errorf("%s runs already", p.name)
	}
	log, err := os.OpenFile(filepath.Join(p.logs, p.name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() // the child has its own
	p.starts++
	fmt.Fprintf(log, "---- start %d at %s\n", p.starts, time.Now().Format(time.RFC3339Nano))
	cmd := p.command()
	cmd.Stderr = log
	if p.talks {
		if p.input, err = cmd.StdinPipe(); err != nil {
			return err
		}
		if p.output, err = cmd.StdoutPipe(); err != nil {
			return err
		}
	} else {
		cmd.Stdout = log
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	done := make(chan struct{})
	p.cmd, p.done, p.asked = cmd, done, false
	go p.wait(cmd, done)
	return nil
}

// wait waits for the end of the program. A program that talks closes its output with its end; who reads that is done by then, or does not care.
func (p *process) wait(cmd *exec.Cmd, done chan struct{}) {
	state, err := cmd.Process.Wait()
	p.mu.Lock()
	asked := p.asked
	p.cmd = nil
	if p.input != nil {
		_ = p.input.Close()
	}
	close(done)
	p.mu.Unlock()
	if !asked {
		p.died(fmt.Sprintf("%s ended by itself: %v %v; see %s.log", p.name, state, err, p.name))
	}
}

// running reports whether the program runs, and returns what tells of its end.
func (p *process) running() (*exec.Cmd, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd, p.done
}

// expectEnd notes that the program is to end, so that its end is no surprise.
func (p *process) expectEnd() (*exec.Cmd, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = true
	return p.cmd, p.done
}

// kill ends the program as kill -9 does, and waits for that.
func (p *process) kill() error {
	cmd, done := p.expectEnd()
	if cmd == nil {
		return nil
	}
	if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-done
	return nil
}

// stop asks the program to end with SIGTERM, and kills it after a while, which is an error.
func (p *process) stop(patience time.Duration) error {
	cmd, done := p.expectEnd()
	if cmd == nil {
		return nil
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return errors.Join(fmt.Errorf("%s still ran %s after SIGTERM, and was killed", p.name, patience), p.kill())
	}
}

// pause stops the program as SIGSTOP does, and resume lets it go on.
func (p *process) pause() error  { return p.signal("STOP") }
func (p *process) resume() error { return p.signal("CONT") }

// signal sends a signal that only some systems have, by the program that knows it.
func (p *process) signal(name string) error {
	cmd, _ := p.running()
	if cmd == nil {
		return fmt.Errorf("%s does not run", p.name)
	}
	return execute("kill", "-"+name, strconv.Itoa(cmd.Process.Pid))
}
