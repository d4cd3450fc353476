package hub

import (
	"context"
	"time"
)

// Broker keeps the messages of topics and carries them to the hubs, the nodes, that are attached to it. A hub knows who may
// do what, and who gets what; a broker knows neither. hubtest.TestBroker is the contract as tests.
//
// All topics share one line of offsets: a message that is stored later has a higher offset than any before. Methods may be
// called from any goroutine, except from within a Node's. They return *Error: CodeUnavailable when the broker cannot do it now, and the
// context's error when that ends first.
type Broker interface {
	// Attach makes a node known, so that it can follow topics and is told what concerns all nodes. It leaves when detach is
	// called; then nothing is being delivered to it any more, and whoever was present through it has left.
	Attach(node Node) (detach func(), err error)

	// Follow makes what is published to a topic or a pattern reach the node: what a Read after it returns, together with what
	// is delivered with higher offsets than its Log.Top, is everything. A node that follows something twice has to Unfollow it twice.
	Follow(ctx context.Context, node Node, at string) error
	Unfollow(node Node, at string)

	// Publish stores a message in its topic, within the topic's Retention, and delivers it to the nodes that follow it, before or
	// after it returns. Position and Duplicate are as in Receipt; a duplicate is neither stored nor delivered. m is complete but for
	// Offset and Time, and belongs to the broker from now on; what is delivered may be m itself. Between nodes, a topic that keeps
	// nothing may have messages with offset 0, which are in the order of each publishing node only.
	//
	// After an error the message may have been stored all the same: whoever wants to be sure publishes it again with the same ID.
	Publish(ctx context.Context, m *Message, r Retention) (Receipt, error)

	// Read returns messages of a topic or of all topics that a pattern matches.
	Read(ctx context.Context, q ReadQuery) (Log, error)

	Roster
	Bus
}

// Roster is who is in which topic, over all nodes. A connection of a user is present through the node at which it is. All
// that are present through a node leave when that node is detached, and when it has not called Renew for LeaseTime.
type Roster interface {
	// Watch makes the node be told by PresenceChanged who comes to a topic and goes, from now on.
	Watch(ctx context.Context, node Node, topic string) error
	Unwatch(node Node, topic string)

	// Enter adds one connection of a user to a topic, and Leave takes one away. A user's first and last connection over
	// all nodes are told to every node that watches, in order. info replaces what the user's earlier connections gave.
	// With counted, nobody will ask who it is: Present has to know how many there are, about, and nobody is told.
	Enter(ctx context.Context, node Node, topic string, who Publisher, counted bool) error
	// Leave whose context ends before it is done is done later all the same.
	Leave(ctx context.Context, node Node, topic string, user string) error
	// Present returns who is in a topic; at most limit users, but all of them counted. With limit 0 it counts those who entered as counted.
	Present(ctx context.Context, topic string, limit int) (Present, error)
	// Renew keeps the node's lease. kept is false when it was over already: then all have left, and the node has to enter them anew.
	Renew(ctx context.Context, node Node) (kept bool, err error)
}

// Bus carries commands between nodes.
type Bus interface {
	// Cast has every other node do a command, and returns what they answered. The error names those that did not in time; the
	// answers of the rest come with it.
	Cast(ctx context.Context, node Node, command string, data []byte) (answers [][]byte, err error)

	// Offer says that the node answers requests with this method, until withdraw is called.
	Offer(node Node, method string) (withdraw func(), err error)
	// Call has one of the other nodes that offer the method answer. The error has CodeUnknownMethod if none does.
	Call(ctx context.Context, node Node, method string, data []byte) (answer []byte, err error)
}

// LeaseTime is how long somebody may stay present through a node that has died. A node renews its lease three times as often.
const LeaseTime = 30 * time.Second

// Node is a hub as its broker sees it. None of its methods may call the broker, and only Do and Answer may block.
type Node interface {
	// Deliver hands over a message for those who follow at, a topic or a pattern; with an empty at for all whom it concerns. For one at
	// it is called in the order of offsets and one at a time.
	Deliver(at string, m *Message)
	// Missed says that messages to those who follow at, or anything if it is empty, are lost: those up to until, which is of another
	// epoch than before if the broker has forgotten everything. It has the place of what is missing in the order of Deliver.
	Missed(at string, reason GapReason, until Position)
	PresenceChanged(topic string, who Publisher, here bool)
	// Keeps reports whether every topic of at, a topic or a pattern, has history from which what was missed can be fetched.
	Keeps(at string) bool
	// Do does a command of another node's Cast, and Answer answers a Call.
	Do(command string, data []byte) (answer []byte)
	Answer(ctx context.Context, method string, data []byte) (answer []byte)
}

// Retention says what a topic keeps. The zero value keeps nothing.
type Retention struct {
	Messages  int
	Age       time.Duration
	Bytes     int64         // as Message.Size counts them
	Window    time.Duration // how long IDs are remembered; a broker may remember them longer
	WindowIDs int           // and how many of them; a broker may remember more
}

// ReadQuery says what to read.
type ReadQuery struct {
	Topic string // a topic or a pattern

	// Keeps says what a topic keeps now. Brokers that do not apply a Retention when they store apply this one when they read.
	Keeps func(topic string) Retention
	// Least is the shortest that any topic that Topic matches keeps messages; zero if one keeps none.
	Least time.Duration

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
	// Lost is, for Since, how far messages behind it have been forgotten; zero if none was. A broker that cannot tell for a position
	// from before anything that it keeps says that some were. LostTopic is the only topic concerned, or empty for any.
	Lost      Position
	LostTopic string
	More      bool // there are further messages beyond the Limit
}
