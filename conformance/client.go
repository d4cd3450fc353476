package conformance

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Client tests clients: it is a server that offers cases, as the package comment describes. The zero value is ready to
// use; the fields must not change after Serve.
type Client struct {
	Options
	OnReport func(*Report) // called when an agent says that it is done; nil: not called
	OnError  func(error)   // told about requests that are no part of the protocol; nil: they are ignored

	serial sync.Mutex // held by OnResult

	// Guarded by mu.
	mu     sync.Mutex
	idle   *sync.Cond // signals that a case has ended
	agents map[string]*agentRun
	cases  []*Case
}

// agentRun is what one client has done so far.
type agentRun struct {
	began   time.Time
	running int // cases under way
	results map[int]Result
}

// handshakeTime is how long a client may take to send its request.
const handshakeTime = 10 * time.Second

// Serve offers the cases on the listener until ctx ends; then it closes the listener, waits for the cases under way and
// returns nil. At most 64 connections are served at a time.
func (c *Client) Serve(ctx context.Context, ln net.Listener) error {
	o, err := c.withDefaults()
	if err != nil {
		_ = ln.Close()
		return err
	}
	c.mu.Lock()
	c.cases = o.choose(clientSide)
	c.agents = map[string]*agentRun{}
	c.idle = sync.NewCond(&c.mu)
	c.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	places := make(chan struct{}, 64)
	for {
		conn, err := ln.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("conformance: %w", err)
		}
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			defer func() { _ = conn.Close() }()
			// A case that has begun is finished: its client may be the last one and already gone.
			if err := c.serve(context.WithoutCancel(ctx), o, conn); err != nil && c.OnError != nil {
				c.OnError(err)
			}
		})
	}
}

// serve handles one connection of a client.
func (c *Client) serve(ctx context.Context, o *Options, conn net.Conn) error {
	began := time.Now()
	_ = conn.SetDeadline(began.Add(handshakeTime))
	r := bufio.NewReaderSize(conn, 16<<10)
	req, parsed, rawHead, err := readRequest(r)
	if err != nil {
		_, _ = conn.Write([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
		return fmt.Errorf("conformance: request of %v: %w", conn.RemoteAddr(), err)
	}
	query := parsed.URL.Query()
	agent, n := query.Get("agent"), caseNumber(query)
	tell := func(message string) error { return c.tell(ctx, o, conn, r, &req, message) }
	switch parsed.URL.Path {
	case "/cases", "/getCaseCount":
		return tell(strconv.Itoa(len(c.cases)))
	case "/case", "/runCase":
		if n < 1 || n > len(c.cases) {
			return c.refuse(conn, parsed.URL)
		}
		c.runCase(ctx, o, conn, r, &req, rawHead, agent, n)
		return nil
	case "/getCaseInfo":
		if n < 1 || n > len(c.cases) {
			return c.refuse(conn, parsed.URL)
		}
		info, _ := json.Marshal(map[string]string{"id": c.cases[n-1].ID, "description": c.cases[n-1].Title})
		return tell(string(info))
	case "/getCaseStatus":
		status, _ := json.Marshal(map[string]string{"behavior": c.status(agent, n)})
		return tell(string(status))
	case "/report", "/updateReports":
		err := tell("")
		c.awaitIdle(agent)
		if c.OnReport != nil {
			c.OnReport(c.Report(agent))
		}
		return err
	}
	return c.refuse(conn, parsed.URL)
}

func caseNumber(q url.Values) int {
	v := q.Get("case")
	if v == "" {
		v = q.Get("n")
	}
	n, _ := strconv.Atoi(v)
	return n
}

func (c *Client) refuse(conn net.Conn, u *url.URL) error {
	const body = "Duplex conformance: see /cases, /case?n=1&agent=NAME, /report?agent=NAME\n"
	_, _ = fmt.Fprintf(conn, "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	return fmt.Errorf("conformance: a client asked for %s, which is neither a path nor a case of the suite", u)
}

// tell completes the handshake, sends one message if there is one, and closes.
func (c *Client) tell(ctx context.Context, o *Options, conn net.Conn, r *bufio.Reader, req *request, message string) error {
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	if req.value("Sec-WebSocket-Key") == "" {
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(message), message)
		return nil
	}
	s := newSession(ctx, clientSide, "tell", o.Timeout)
	s.use(conn, r)
	defer s.finish()
	resp := req.goodResponse()
	s.write("handshake", head(resp.line, resp.lines))
	s.start()
	if message != "" {
		s.send(text(message))
	}
	return goodbye().do(s)
}

// runCase runs case n with the client that asked for it.
func (c *Client) runCase(ctx context.Context, o *Options, conn net.Conn, r *bufio.Reader, req *request, rawHead []byte, agent string, n int) {
	k := c.cases[n-1]
	s, cancel := k.newSession(ctx, clientSide, o)
	defer cancel()
	s.use(conn, r)
	s.req = *req
	s.record("<", "handshake: "+req.line, rawHead)
	for i, v := range req.values("Sec-WebSocket-Extensions") {
		if i > 0 {
			s.offered += ", "
		}
		s.offered += v
	}
	c.mu.Lock()
	run := c.agents[agent]
	if run == nil {
		run = &agentRun{began: s.began, results: map[int]Result{}}
		c.agents[agent] = run
	}
	run.running++
	c.mu.Unlock()
	result := k.run(s)
	c.mu.Lock()
	run.results[n] = result
	run.running--
	c.idle.Broadcast()
	c.mu.Unlock()
	if o.OnResult != nil {
		c.serial.Lock()
		o.OnResult(result)
		c.serial.Unlock()
	}
}

// awaitIdle waits until the agent's cases have ended: a client can be done with a case, and with all of them, before the judge
// is. Every case has its time, so this ends.
func (c *Client) awaitIdle(agent string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for run := c.agents[agent]; run != nil && run.running > 0; {
		c.idle.Wait()
	}
}

func (c *Client) status(agent string, n int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if run := c.agents[agent]; run != nil {
		if r, ok := run.results[n]; ok {
			return behaviours[r.Verdict]
		}
	}
	return "MISSING"
}

// Report is what the agent has shown so far. Cases that it did not ask for are missing.
func (c *Client) Report(agent string) *Report {
	c.mu.Lock()
	defer c.mu.Unlock()
	report := &Report{Tested: "client", Agent: agent, Began: time.Now()}
	run := c.agents[agent]
	if run == nil {
		return report
	}
	for i := range c.cases {
		if r, ok := run.results[i+1]; ok {
			report.Results = append(report.Results, r)
		}
	}
	report.Began, report.Seconds = run.began, time.Since(run.began).Seconds()
	return report
}

// EchoFunc connects to the URL with the client under test and echoes every message, with its type, until the connection
// ends. A handshake that fails is part of some cases, so what it returns is not looked at.
type EchoFunc func(ctx context.Context, url string) error

// TestClient tests a Go client: it offers the cases on a loopback port and has echo ask for every one of them. At most
// Options.Parallel cases run at a time.
func TestClient(ctx context.Context, echo EchoFunc, o *Options) (*Report, error) {
	defaults, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("conformance: %w", err)
	}
	agent := defaults.Agent
	if agent == "" {
		agent = "unknown"
	}
	c := &Client{Options: *defaults}
	serving, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- c.Serve(serving, ln) }()
	driveErr := Drive(ctx, "ws://"+ln.Addr().String(), agent, echo, defaults)
	stop()
	if err := errors.Join(driveErr, <-served); err != nil {
		return nil, err
	}
	report := c.Report(agent)
	if n := len(defaults.choose(clientSide)); len(report.Results) != n {
		return report, fmt.Errorf("conformance: the client asked for %d of %d cases", len(report.Results), n)
	}
	return report, nil
}

// Drive leads a Go client through all cases that a server like Client offers at the base URL (ws, no path), and says at the
// end that the agent is done.
func Drive(ctx context.Context, base, agent string, echo EchoFunc, o *Options) error {
	o, err := o.withDefaults()
	if err != nil {
		return err
	}
	count, err := ask(ctx, base+"/cases", o)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(count)
	if err != nil {
		return fmt.Errorf("conformance: the number of cases is %q", count)
	}
	numbers := make(chan int)
	var wg sync.WaitGroup
	for range o.Parallel {
		wg.Go(func() {
			for i := range numbers {
				u := fmt.Sprintf("%s/case?n=%d&agent=%s", base, i, url.QueryEscape(agent))
				_ = echo(ctx, u)
			}
		})
	}
	for i := range n {
		select {
		case numbers <- i + 1:
		case <-ctx.Done():
		}
	}
	close(numbers)
	wg.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	_, err = ask(ctx, base+"/report?agent="+url.QueryEscape(agent), o)
	return err
}

// ask connects, returns the first message and closes.
func ask(ctx context.Context, rawURL string, o *Options) (string, error) {
	d, err := newDialer(rawURL, o)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, o.Timeout)
	defer cancel()
	s := newSession(ctx, serverSide, rawURL, o.Timeout)
	s.dial = d
	defer s.finish()
	if err := s.open(nil, 0, nil); err != nil {
		return "", fmt.Errorf("conformance: %s: %w", rawURL, err)
	}
	if _, err := s.upgraded(nil); err != nil {
		return "", fmt.Errorf("conformance: %s: %w", rawURL, err)
	}
	s.begin(nil)
	e, ok := s.await(o.Timeout)
	if !ok || !slices.Contains([]eventKind{evMessage, evClose}, e.kind) {
		return "", fmt.Errorf("conformance: %s: no message came", rawURL)
	}
	if e.kind == evClose {
		s.send(closing(1000, ""))
		return "", nil
	}
	return string(e.payload), goodbye().do(s)
}
