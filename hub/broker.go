package hub

import (
	"context"
	"time"
)

// Broker keeps the messages of topics and carries them to the hubs, the nodes, that are attached to it. A hub knows who may
// do what, and who gets what; a broker knows neither. hubtest.TestBroker is the contract as tests.
//
// All topics share one line of offsets: a message that is stored later has a higher offset than any before. A node's Deliver
// is called for every message, in the order of offsets and one at a time. Methods may be called from any goroutine, except
// from within Deliver and PresenceChanged. They return *Error: CodeUnavailable when the broker cannot do it now, and the context's error when that ends first.
type Broker interface {
	// Attach makes node receive what is published from now on. It leaves when detach is called; then nothing is being delivered to
	// it any more, and whoever was present through it has left.
	Attach(node Node) (detach func(), err error)

	// Publish stores a message in its topic, within the topic's Retention, and delivers it to all nodes before or after it
	// returns. Position and Duplicate are as in Receipt; a duplicate is neither stored nor delivered. m is complete but for Offset and
	// Time, and belongs to the broker from now on; what is delivered may be m itself.
	Publish(ctx context.Context, m *Message, r Retention) (Receipt, error)

	// Read returns messages of a topic or of all topics that a pattern matches.
	Read(ctx context.Context, q ReadQuery) (Log, error)

	Roster
}

// Roster is who is in which topic, over all nodes. A connection of a user is present through the node at which it is. All
// that are present through a node leave when that node is detached, and when it has not called Renew for LeaseTime.
type Roster interface {
	// Enter adds one connection of a user to a topic, and Leave takes one away. A user's first and last connection over
	// all nodes are told to every node's PresenceChanged, in order. info replaces what the user's earlier connections gave.
	Enter(ctx context.Context, node Node, topic string, who Publisher) error
	Leave(ctx context.Context, node Node, topic string, user string) error
	// Present returns who is in a topic; at most limit users, but all of them counted.
	Present(ctx context.Context, topic string, limit int) (Present, error)
	// Renew keeps the node's lease. kept is false when it was over already: then all have left, and the node has to enter them anew.
	Renew(ctx context.Context, node Node) (kept bool, err error)
}

// LeaseTime is how long somebody may stay present through a node that has died. A node renews its lease three times as often.
const LeaseTime = 30 * time.Second

// Node is a hub as its broker sees it. Its methods must not block and not call the broker.
type Node interface {
	Deliver(m *Message)
	PresenceChanged(topic string, who Publisher, here bool)
}

// Retention says what a topic keeps. The zero value keeps nothing.
type Retention struct {
	Messages  int
	Age       time.Duration
	Bytes     int64
	Window    time.Duration // how long IDs are remembered
	WindowIDs int           // and how many of them
}

// ReadQuery says what to read.
type ReadQuery struct {
	Topic string // a topic or a pattern

	// Since: everything after this position, oldest first. A position of another epoch stands for the beginning.
	Since *Position

	// Otherwise the last Limit messages before the offset Before (0: the end), or with Forward the first Limit ones
	// behind the offset After.
	Limit   int
	Before  uint64
	After   uint64
	Forward bool
}

// Log is a part of a topic, or of the topics of a pattern.
type Log struct {
	Messages []*Message // ascending by offset; not to be changed
	// Top is up to where this reading is complete: a message with a higher offset was published later, and is delivered.
	Top Position
	// Lost is, for Since, how far messages behind it have been forgotten; zero if none was. LostTopic is the only topic concerned,
	// or empty for any.
	Lost      Position
	LostTopic string
	More      bool // there are further messages beyond the Limit
}
