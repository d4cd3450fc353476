package edit

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
	"github.com/duplex-websocket/duplex/internal/showcase/edit/yjs"
)

const (
	maxPeople = 200              // of a document whose states are known
	maxOwn    = 4                // states in a message, and of a connection: whoever edits has one
	lifetime  = 45 * time.Second // of a state: clients renew theirs every 15 s
)

// people is who has a document open, and where their cursors are, by Yjs' number of a client: y-protocols' awareness. A state belongs
// to whoever was the first to tell it, so that nobody moves the cursor of somebody else. The zero value is nobody.
type people struct {
	known map[uint64]person
}

type person struct {
	clock uint64
	state []byte // nil: has gone
	owner string
	seen  time.Time
}

// mayTell reports whether owner may tell the state of a client.
func (p *people) mayTell(client uint64, owner string, now time.Time) bool {
	k, known := p.known[client]
	return !known || k.owner == owner || k.state == nil || now.Sub(k.seen) > lifetime
}

// take takes note of states, and returns those that count.
func (p *people) take(states []yjs.Awareness, owner string, now time.Time) (taken []yjs.Awareness) {
	if p.known == nil {
		p.known = make(map[uint64]person)
	}
	for _, s := range states {
		k, known := p.known[s.Client]
		newer := !known || s.Clock > k.clock || s.Clock == k.clock && s.State == nil && k.state != nil
		if !newer || !p.mayTell(s.Client, owner, now) || !known && (s.State == nil || len(p.known) >= maxPeople) {
			continue
		}
		if !known && strings.HasPrefix(owner, "~") { // a visitor without a token is one tab: what it was before a reload is gone
			taken = append(taken, p.leave(owner, now)...)
		}
		p.known[s.Client] = person{s.Clock, s.State, owner, now}
		taken = append(taken, s)
	}
	return taken
}

// leave returns what to tell when an owner has gone.
func (p *people) leave(owner string, now time.Time) (gone []yjs.Awareness) {
	for client, k := range p.known {
		if k.owner == owner && k.state != nil {
			gone = append(gone, yjs.Awareness{Client: client, Clock: k.clock + 1})
			p.known[client] = person{k.clock + 1, nil, owner, now}
		}
	}
	return gone
}

// expire forgets those of whom nothing has been heard.
func (p *people) expire(now time.Time) {
	for client, k := range p.known {
		if now.Sub(k.seen) > lifetime {
			delete(p.known, client)
		}
	}
}

// all returns the states of all who are there, as y-protocols writes them.
func (p *people) all() []byte {
	var states []yjs.Awareness
	for client, k := range p.known {
		if k.state != nil {
			states = append(states, yjs.Awareness{Client: client, Clock: k.clock, State: k.state})
		}
	}
	return yjs.AppendAwareness(nil, states)
}

// count returns how many are there.
func (p *people) count() (n int) {
	for _, k := range p.known {
		if k.state != nil {
			n++
		}
	}
	return n
}

// stateProblem says what is wrong with what somebody tells about itself, or nothing.
func stateProblem(state []byte) string {
	var s struct{ User struct{ Name *string } }
	if state == nil {
		return ""
	}
	if json.Unmarshal(state, &s) != nil {
		return "the user of a state is an object with a name and a color"
	}
	if s.User.Name != nil {
		return showcase.NameProblem(*s.User.Name)
	}
	return ""
}

// publishStates decides about what a client of the hub tells about itself.
func (e *editor) publishStates(call *hub.PublishCall, name string) error {
	if !call.Publication.Binary {
		return hub.Errorf(codeStates, "states of clients are bytes, as y-protocols writes them")
	}
	states, err := yjs.ParseAwareness(call.Publication.Data, maxOwn)
	if err != nil {
		return hub.Errorf(codeStates, "%s", err)
	}
	r := e.peek(name)
	for _, s := range states {
		if problem := stateProblem(s.State); problem != "" {
			return hub.Errorf(codeStates, "%s", problem)
		}
		if r != nil && !r.mayTell(s.Client, call.Identity.User) {
			return hub.Errorf(codeNotYours, "the client %d is somebody else", s.Client)
		}
	}
	return nil
}

func (r *room) mayTell(client uint64, owner string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.people.mayTell(client, owner, time.Now())
}

// takeStates takes note of what somebody tells about itself, and passes it on to the clients of y-websocket.
func (r *room) takeStates(m *hub.Message) {
	states, err := yjs.ParseAwareness(m.Data, maxPeople)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if taken := r.people.take(states, ownerOf(m), time.Now()); len(taken) > 0 {
		r.tell(taken)
	}
}

// left is called when a user has closed the document or lost the connection.
func (r *room) left(user string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if gone := r.people.leave(user, time.Now()); len(gone) > 0 {
		r.tell(gone)
	}
}

// tell sends states to the clients of y-websocket. mu is held.
func (r *room) tell(states []yjs.Awareness) {
	wire := yjs.AppendAwarenessMessage(nil, yjs.AppendAwareness(nil, states))
	for p := range r.sockets {
		p.send(wire)
	}
}

// ownerOf returns who tells a state: a user, or a connection of y-websocket, for which the server publishes under the key of that.
func ownerOf(m *hub.Message) string {
	if m.From.User != "" {
		return m.From.User
	}
	return socketOwner(m.Key)
}

func socketOwner(id string) string { return "yjs " + id } // no user's name: that has no space
