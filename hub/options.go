package hub

import (
	"log/slog"
	"time"
)

// Options configures a Hub. The zero value is usable: one rule for all topics, with the defaults of TopicOptions.
type Options struct {
	// Topics are the rules for topics; the first whose Pattern matches a topic holds for it. Topics that none matches
	// have the defaults of TopicOptions. Hub.SetTopics changes them later.
	Topics []Rule

	// Broker keeps the messages and carries them between nodes. Default: a MemoryBroker of this hub's own.
	Broker Broker

	MaxSubscriptions int // subscriptions of one subscriber; default 1,000
	MaxRequests      int // requests of one subscriber that wait for their answer; default 16

	Hooks  Hooks
	Meter  Meter
	Logger *slog.Logger // what no caller can be told; default slog.Default()
}

// Rule gives the topics that match Pattern their options.
type Rule struct {
	Pattern string // as in a subscription: "chat.lobby", "chat.*", "quotes.>"; ">" matches every topic
	TopicOptions
}

// TopicOptions are the options of a topic. The zero value stands for the defaults that each field names.
type TopicOptions struct {
	HistoryMessages int           // last messages that a topic keeps; default 0: none
	HistoryAge      time.Duration // how long it keeps them; default 1 hour if HistoryMessages is set
	HistoryBytes    int64         // bytes that these may hold; default 1 MiB if HistoryMessages is set

	Presence PresenceMode // whether it is known who is there; default PresenceOff

	Subscribe    Access // who may subscribe; default Anyone
	Publish      Access // who may publish; default Anyone
	ReadHistory  Access // who may read history, and resume; default Anyone
	ReadPresence Access // who may ask who is there, and be told; default Anyone

	MaxSubscribers int // subscriptions at one time; default 0: no limit

	MaxBytes     int           // bytes of Data in one publication; default 64 KiB
	PublishRate  float64       // publications of one subscriber to one topic, a second on average; default 0: no limit
	PublishBurst int           // and at once; default PublishRate rounded up, at least 1
	Window       time.Duration // how long a publication's ID is remembered; default 2 minutes
	WindowIDs    int           // at most so many for each topic, the newest; default 10,000

	Slow         SlowPolicy // what a slow subscriber gets; default SlowDropOldest
	SlowMessages int        // messages that wait for one slow subscription before Slow is applied; default 256
	SlowBytes    int64      // and bytes of them; default 1 MiB
}

// PresenceMode says what is known about who is in a topic.
type PresenceMode uint8

// The modes of presence.
const (
	PresenceOff   PresenceMode = iota // nothing
	PresenceCount                     // how many users and connections: for big topics
	PresenceFull                      // who they are; joins and leaves are told to those who ask for them
)

// Access says who may do something to a topic without being granted it (Identity.Grants). What somebody may not do to one topic it may not do to a
// pattern that matches it either: a rule with Subscribe: Nobody closes ">" to everybody but Hub.Listen.
type Access uint8

// The levels of access. Who has a grant for it may do it at every level but Nobody.
const (
	Anyone  Access = iota // every subscriber
	Users                 // every subscriber that is not anonymous
	Granted               // only who has a grant
	Nobody                // only the program itself
)

// SlowPolicy says what happens when more messages wait for a slow subscription than TopicOptions.SlowMessages and SlowBytes
// allow. Whatever is dropped is counted and told as a gap. Other subscribers feel nothing.
//
// With SlowLatest, a newer message waits behind all others, since order is kept: who publishes all keys round and round should begin with
// another one each time, or the last ones hardly ever reach the slowest.
type SlowPolicy uint8

// The policies for slow subscribers.
const (
	SlowDropOldest SlowPolicy = iota // drop what has waited longest
	SlowLatest                       // keep the newest message of each Key, as soon as any have to wait; then drop what has waited longest
	SlowDisconnect                   // end the subscriber with EndSlow; it recovers by resuming
)

// Hooks let a program decide. A hook may block; it holds up the subscriber that asked, and nobody else. An *Error is passed on to the
// client, any other error is logged and answered with CodeInternal. Nil hooks allow.
type Hooks struct {
	Subscribe func(*SubscribeCall) error
	Publish   func(*PublishCall) error
	// Request answers the requests for which no handler is registered (Hub.Handle). What it answers with CodeUnknownMethod, or all if it is
	// nil, another node is asked that has a handler.
	Request RequestHandler
}

// Meter is told what happens, for metrics. Its functions are called often, from any goroutine, and must neither block nor call the hub. Nil ones
// are not called. rule is the Pattern of the topic's rule, or "" for topics without one.
type Meter struct {
	Published func(rule string, took time.Duration) // a publication has been stored and handed to all subscribers here
	Delivered func(rule string, lag time.Duration)  // a message has been handed to the connection of the last subscriber that had room, or later to that of a slow one
}
