package hub

import (
	"context"
	"time"
)

// SubscribeCall is what the Subscribe hook decides about. The hub's own rules have allowed it.
type SubscribeCall struct {
	Context  context.Context
	Session  string
	Identity *Identity // not to be changed
	Topic    string    // a topic or a pattern
}

// PublishCall is what the Publish hook decides about. The hub's own rules have allowed it.
type PublishCall struct {
	Context     context.Context
	Session     string
	Identity    *Identity // not to be changed
	Topic       string
	Publication *Publication // may be changed; limits on sizes have been checked before, and are not again
}

// RequestHandler answers requests. ctx ends at the request's timeout and with the subscriber. A handler may block; it holds
// up nobody. It refuses with an *Error, of CodeRefused or of a code of its own that contains a dot. Any other error is logged and
// answered with CodeInternal, as is a panic.
type RequestHandler func(ctx context.Context, r *Request) (Reply, error)

// Request is one request of a client.
type Request struct {
	Method   string // as a topic
	Session  string
	Identity *Identity // not to be changed
	Data     []byte    // JSON, or any bytes if Binary; nil if there was none
	Binary   bool
}

// Reply is the answer to a request.
type Reply struct {
	Data   []byte // valid JSON unless Binary; nil stands for none
	Binary bool
}

// HistoryQuery asks for messages that a topic keeps.
type HistoryQuery struct {
	Limit   int    // 1 to 1,000; default 100
	Before  uint64 // the last Limit messages before this offset; default 0: before the end
	After   uint64 // with Forward: the first Limit messages behind this offset
	Forward bool
	Epoch   string // that of the offsets; empty: the present one
}

// HistoryPage answers a HistoryQuery.
type HistoryPage struct {
	Epoch    string
	Messages []*Message // ascending by offset, not to be changed
	More     bool       // the topic keeps further messages in the direction of paging
	Lost     bool       // messages that were asked for have been forgotten: after After, or because the epoch is another
}

// Present is who is in a topic.
type Present struct {
	Users       []PresentUser // sorted by user; at most 1,000; nil where the topic only counts
	Count       int           // users
	Connections int
}

// PresentUser is a user in a topic, with at least one connection.
type PresentUser struct {
	Publisher
	Connections int
}

// Selector picks subscribers. At least one of User and Session must be set; if both are, both must match.
type Selector struct {
	User    string
	Session string
	Here    bool // only those of this node; default: of all nodes of the broker
}

// SessionQuery asks for subscribers.
type SessionQuery struct {
	Selector        // default: all
	After    string // continue behind this session id
	Limit    int    // 1 to 1,000; default 100
}

// SessionInfo describes a subscriber.
type SessionInfo struct {
	ID        string
	User      string
	Anonymous bool
	Since     time.Time
	Topics    []string // topics and patterns, sorted; at most 1,000
	Queued    int      // messages that wait because it is slow
}

// SessionPage answers a SessionQuery, sorted by ID. It has fewer than Limit sessions, and More, when they have very many topics.
type SessionPage struct {
	Sessions []SessionInfo
	More     bool
}

// TopicQuery asks for topics with subscribers or history.
type TopicQuery struct {
	Pattern string // default ">"
	After   string // continue behind this name
	Limit   int    // 1 to 1,000; default 100
}

// TopicInfo describes a topic.
type TopicInfo struct {
	Name        string
	Rule        string // the Pattern of its Rule, or ""
	Subscribers int    // subscriptions on all nodes, those through patterns not included
	Messages    int    // kept in its history
	Offset      uint64 // of its last message, or 0
}

// TopicPage answers a TopicQuery, sorted by name.
type TopicPage struct {
	Topics []TopicInfo
	More   bool
}

// Stats are a hub's figures: what there is now, and what has happened since it was made.
type Stats struct {
	Subscribers    int
	Subscriptions  int
	Topics         int // with subscribers or history
	QueuedMessages int // waiting for slow subscribers
	QueuedBytes    int64
	HistoryBytes   int64
	Rules          []RuleStats // in the order of Options.Topics; then, with Pattern "", topics without a rule
}

// RuleStats count for all topics of a rule.
type RuleStats struct {
	Pattern    string
	Published  uint64 // publications that were stored, duplicates not counted
	Deliveries uint64 // messages handed to connections
	Dropped    uint64 // messages dropped by SlowDropOldest
	Superseded uint64 // messages dropped by SlowLatest
	Gaps       uint64 // gaps told
	Slow       uint64 // subscribers ended by SlowDisconnect
}
