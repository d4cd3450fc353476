// Package rooms keeps topics in memory: who is in a topic, the order of what is published to it, and its last messages.
//
// A Hub knows bytes and names, never sockets. Whoever wants to receive gives it a Subscriber, joins a topic and from then
// on sees every message of that topic, in one order that is the same for all its members. A message is encoded once for
// all of them (Message.Encoded). A newcomer gets the history and then everything that follows, without a hole and without
// a message twice, because both happen while the topic is held.
//
// What is bounded: the number of topics, the members of a topic, the length of names, the history of a topic (messages and
// bytes), the history of all topics together (bytes), and how long a topic that nobody is in keeps its history.
package rooms
