package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// natsConfig is what a NATS server is told on its command line, in JSON.
type natsConfig struct {
	Name   string
	Listen string   // HOST:PORT for clients
	Routes string   // HOST:PORT for the other servers
	Peers  []string // HOST:PORT at which this one finds them
	Store  string   // folder
	// Links says that others are found at Peers only: whoever hears from them of an address goes around the proxies.
	Links bool
}

// natsMaxStore is more than the disks of this suite have.
const natsMaxStore = 1 << 30

// natsPing is how soon a server misses a silent one; nats-server's own 2 minutes are for a wide area.
const natsPing = 3 * time.Second

func (c *natsConfig) options() (*server.Options, error) {
	o := &server.Options{
		ServerName: c.Name, JetStream: true, StoreDir: c.Store, NoSigs: true, NoLog: false, Logtime: true,
		PingInterval: natsPing, MaxPingsOut: 2, JetStreamMaxStore: natsMaxStore,
		Cluster: server.ClusterOpts{Name: "chaos", PingInterval: natsPing, MaxPingsOut: 2},
	}
	var err error
	if o.Host, o.Port, err = splitAddress(c.Listen); err != nil {
		return nil, err
	}
	if o.Cluster.Host, o.Cluster.Port, err = splitAddress(c.Routes); err != nil {
		return nil, err
	}
	if c.Links {
		o.Cluster.NoAdvertise = true
		o.Cluster.Advertise = "127.0.0.1:1" // where nobody listens
	}
	for _, p := range c.Peers {
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: p})
	}
	return o, nil
}

// runNATS is a NATS server until its input ends or SIGTERM comes. It answers questions, which are numbered lines, with lines of the same
// number and true or false:
//
//	1 ready          whether it takes part in JetStream
//	2 leader STREAM  whether it leads the stream
func runNATS(config string, in io.Reader, out io.Writer) error {
	var c natsConfig
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return err
	}
	o, err := c.options()
	if err != nil {
		return err
	}
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	s.ConfigureLogger() // to standard error
	s.Start()
	var once sync.Once
	end := func() { once.Do(s.Shutdown) }
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM)
	go func() {
		<-signals
		end()
	}()
	go func() {
		questions := bufio.NewScanner(in)
		for questions.Scan() {
			number, question, _ := strings.Cut(questions.Text(), " ")
			fmt.Fprintln(out, number, answer(s, strings.Fields(question)))
		}
		end()
	}()
	s.WaitForShutdown()
	return nil
}

func answer(s *server.Server, question []string) bool {
	switch {
	case len(question) == 1 && question[0] == "ready":
		return s.ReadyForConnections(time.Millisecond) && s.JetStreamIsCurrent()
	case len(question) == 2 && question[0] == "leader":
		return s.JetStreamIsStreamLeader(server.DEFAULT_GLOBAL_ACCOUNT, question[1])
	}
	return false
}

// natsServer is a NATS server in a machine.
type natsServer struct {
	process
	asking sync.Mutex // one question at a time
	number int
}

// natsPatience is how long an answer may take. A server that is stopped gives none.
const natsPatience = 300 * time.Millisecond

// ask asks the server a question; no answer is a no.
func (n *natsServer) ask(question string) bool {
	n.asking.Lock()
	defer n.asking.Unlock()
	n.mu.Lock()
	input, output, runs := n.input, n.output, n.cmd != nil
	n.mu.Unlock()
	pipe, is := output.(*os.File) // which has deadlines
	if !runs || !is {
		return false
	}
	n.number++
	if _, err := fmt.Fprintln(input, n.number, question); err != nil {
		return false
	}
	if pipe.SetReadDeadline(time.Now().Add(natsPatience)) != nil {
		return false
	}
	for {
		got, err := readLine(pipe)
		if err != nil {
			return false
		}
		if number, yes, _ := strings.Cut(got, " "); number == strconv.Itoa(n.number) { // others come late
			return yes == "true"
		}
	}
}

// readLine reads a short line and nothing behind it.
func readLine(r io.Reader) (string, error) {
	var got []byte
	for one := make([]byte, 1); ; got = append(got, one[0]) {
		if _, err := io.ReadFull(r, one); err != nil {
			return "", err
		}
		if one[0] == '\n' {
			return string(got), nil
		}
	}
}

func splitAddress(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err = strconv.Atoi(text)
	return host, port, err
}
