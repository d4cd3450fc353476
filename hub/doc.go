// Package hub carries messages to those who subscribe to their topics, and loses nothing in silence.
//
// A Hub knows topics, positions and bytes, never sockets. Whoever wants to receive connects with an Identity and a Sink and
// becomes a Subscriber. It sees every message of a topic in one order that is the same for everybody, or a gap that says which
// messages it does not see: because it was away for longer than the topic's history lasts, because it was slow and the
// topic's policy dropped some, or because the broker forgot. A Broker keeps the messages; the MemoryBroker serves one process.
//
// Everything is bounded: names, sizes, subscriptions, history, what waits for slow subscribers, rates. The rules for topics say
// who may do what; the defaults let everybody do everything and keep nothing.
//
// Locks are taken in the order: a broker's own, then Hub.mu. The hub never calls its broker while it holds mu. Methods of Sink
// are called while mu is held, so they must neither block nor call the hub, except for Sink.End.
package hub
