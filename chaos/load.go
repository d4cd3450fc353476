package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/duplex-websocket/duplex/hub"
)

// topicKinds are the kinds of topics, by the first part of their names, with the share of each.
var topicKinds = []struct {
	name  string
	share int // in percent
	rules string
}{
	{"kept", 60, "history: {messages: 100000, bytes: 64MiB, age: 1h}"},
	{"short", 16, "history: {messages: 20, age: 1h}"}, // resuming often finds that messages were dropped for newer ones
	{"brief", 12, "history: {messages: 1000, age: 4s}"},
	{"live", 12, ""}, // no history: every interruption is a gap
}

// room is the topic with presence.
const room = "here.room"

// rulesYAML is the part "topics" of the nodes' configuration.
func rulesYAML() string {
	var b strings.Builder
	b.WriteString("topics:\n")
	for _, k := range topicKinds {
		fmt.Fprintf(&b, "  - pattern: %s.>\n", k.name)
		if k.rules != "" {
			fmt.Fprintf(&b, "    %s\n", k.rules)
		}
	}
	fmt.Fprintf(&b, "  - pattern: here.>\n    presence: full\n    history: {messages: 1000}\n")
	return b.String()
}

// makeTopics returns the names of n topics of all kinds.
func makeTopics(n int) []string {
	topics := make([]string, 0, n)
	for _, k := range topicKinds[1:] {
		for range max(1, n*k.share/100) {
			topics = append(topics, fmt.Sprintf("%s.t%d", k.name, len(topics)))
		}
	}
	for len(topics) < n {
		topics = append(topics, fmt.Sprintf("%s.t%d", topicKinds[0].name, len(topics)))
	}
	return topics
}

const (
	subsOfClient  = 3  // exact topics of each client
	patternEvery  = 15 // one client of so many has a pattern too
	presenceEvery = 10 // and is in the room
)

var patterns = []string{"kept.*", "short.>", "brief.*", "live.>"}

// makeClients plans what all clients do; the first half is for the agent in Go.
func makeClients(o *options, r *rand.Rand, url string, token func(user string) (string, error)) ([]clientSpec, error) {
	topics := makeTopics(o.topics)
	specs := make([]clientSpec, o.clients)
	for i := range specs {
		language := "go"
		if i >= o.clients/2 {
			language = "ts"
		}
		s := &specs[i]
		*s = clientSpec{
			Name: fmt.Sprintf("%s%03d", language, i), URL: url, Patient: i%2 == 0, Seed: r.Uint32(),
			Every: int64(1000 * float64(o.clients) / o.rate),
		}
		var err error
		if s.Token, err = token(s.Name); err != nil {
			return nil, err
		}
		for _, n := range r.Perm(len(topics))[:subsOfClient] {
			s.Subs = append(s.Subs, subSpec{Topic: topics[n], Covers: topics[n : n+1]})
		}
		for _, n := range r.Perm(len(topics))[:subsOfClient] {
			s.Publish = append(s.Publish, topics[n])
		}
		if i%patternEvery == 0 {
			s.Subs = append(s.Subs, patternSub(patterns[i/patternEvery%len(patterns)], topics))
		}
		if i%presenceEvery == 0 {
			s.Subs = append(s.Subs, subSpec{Topic: room, Covers: []string{room}})
		}
	}
	return specs, nil
}

func patternSub(pattern string, topics []string) subSpec {
	s := subSpec{Topic: pattern}
	for _, t := range topics {
		if hub.Covers(pattern, t) {
			s.Covers = append(s.Covers, t)
		}
	}
	return s
}

// inRoom returns the users that are in the room.
func inRoom(specs []clientSpec) []string {
	var users []string
	for i := range specs {
		if slices.ContainsFunc(specs[i].Subs, func(s subSpec) bool { return s.Topic == room }) {
			users = append(users, specs[i].Name)
		}
	}
	return users
}

// signer returns what makes tokens with a secret.
func signer(secret []byte) func(user string) (string, error) {
	return func(user string) (string, error) {
		now := time.Now()
		return jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
			"sub": user, "iat": now.Unix(), "exp": now.Add(24 * time.Hour).Unix(),
		}).SignedString(secret)
	}
}

// agent is a process with clients, as this one sees it.
type agent struct {
	process
	told chan struct{} // closed when its output has ended

	state  sync.Mutex
	latest status
}

// startAgent starts an agent. It hears from its process until that ends.
func startAgent(name, logs string, died func(string), command func() *exec.Cmd) (*agent, error) {
	a := &agent{process: process{name: name, logs: logs, talks: true, died: died, command: command}, told: make(chan struct{})}
	if err := a.start(); err != nil {
		return nil, err
	}
	go a.listen()
	return a, nil
}

func (a *agent) listen() {
	defer close(a.told)
	lines := bufio.NewScanner(a.output)
	for lines.Scan() {
		var s status
		if err := json.Unmarshal(lines.Bytes(), &s); err != nil {
			continue // what is not a status is for the log, and missing afterwards
		}
		a.state.Lock()
		a.latest = s
		a.state.Unlock()
	}
}

func (a *agent) status() status {
	a.state.Lock()
	defer a.state.Unlock()
	return a.latest
}

// do gives the agent an order.
func (a *agent) do(o order) error {
	text, err := json.Marshal(&o)
	if err != nil {
		return err
	}
	if _, err := a.input.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("%s does not listen: %w", a.name, err)
	}
	return nil
}

// exit ends the agent, with its logs written.
func (a *agent) exit() error {
	_, done := a.expectEnd()
	err := a.do(order{Do: "exit"})
	timer := time.NewTimer(20 * time.Second)
	defer timer.Stop()
	select {
	case <-done:
		return err
	case <-timer.C:
		return cmp.Or(err, a.kill(), fmt.Errorf("%s does not exit", a.name))
	}
}

// sum adds up what the agents say.
func sum(agents []*agent) status {
	var all status
	for _, a := range agents {
		s := a.status()
		all.Online += s.Online
		all.Begun += s.Begun
		all.OnTheWay += s.OnTheWay
		all.Acked += s.Acked
		all.Delivered += s.Delivered
		all.Awaits = append(all.Awaits, s.Awaits...)
	}
	slices.Sort(all.Awaits)
	all.Awaits = slices.Compact(all.Awaits)
	return all
}

// nodeCommand is the agent in TypeScript.
func nodeCommand(repository string) *exec.Cmd {
	return exec.Command("node", filepath.Join(repository, "chaos", "agent.mjs"), repository)
}
