package hub

import (
	"sync"
	"time"
)

// Position says up to where somebody knows a topic: everything with an Offset up to this one, in this Epoch. Offsets of a
// topic grow from message to message, by one or more; all topics of a broker share one line of offsets, so a position is
// good for a pattern too. A broker that has forgotten its history begins a new Epoch. The zero Position is no position.
type Position struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}

// IsZero reports whether p is no position.
func (p Position) IsZero() bool { return p == Position{} }

// Kind says what a Message is about. The zero value is what somebody published.
type Kind uint8

// The kinds of messages.
const (
	KindData         Kind = iota // somebody published Data
	KindJoin                     // User has come into the topic with a first connection
	KindLeave                    // User's last connection has gone from the topic
	KindGap                      // messages are lost to this subscription; see Message.Gap
	KindUnsubscribed             // the hub has ended this subscription; see Message.Reason
)

var kindNames = [...]string{KindData: "data", KindJoin: "join", KindLeave: "leave", KindGap: "gap", KindUnsubscribed: "unsubscribed"}

// String returns the name of the kind in lower case.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Message is one event of a topic. All its subscribers receive the same *Message, so nobody may change it.
type Message struct {
	Kind    Kind
	Topic   string    // empty for a gap that may concern any topic of Pattern
	Pattern string    // the pattern through which it comes, or empty for a subscription to Topic itself
	Offset  uint64    // of KindData: its place in the topic; 0 if it has none (Broker.Publish)
	Time    time.Time // when the broker took it
	From    Publisher // who published it, joined or left
	Data    []byte    // what was published: JSON, or any bytes if Binary
	Binary  bool
	ID      string // the publication's, or empty
	Key     string // the publication's, or empty
	Meta    []byte // the publication's, or nil
	Gap     *Gap   // of KindGap
	Reason  *Error // of KindUnsubscribed
	Except  string // the session that does not get it (Publication.NotToMe), or empty

	mu      sync.Mutex
	encoded any // guarded by mu
}

// Encoded returns the form in which the message goes over the wire. The first call makes it with encode and all calls
// return that same value, so a message costs one encoding however many subscribers receive it. Every caller of one hub must
// therefore mean the same encoding. It may be called from any goroutine.
func (m *Message) Encoded(encode func(*Message) any) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.encoded == nil {
		m.encoded = encode(m)
	}
	return m.encoded
}

// through returns the message as those receive it who subscribe to a pattern. Data is shared.
func (m *Message) through(pattern string) *Message {
	return &Message{
		Kind: m.Kind, Topic: m.Topic, Pattern: pattern, Offset: m.Offset, Time: m.Time, From: m.From,
		Data: m.Data, Binary: m.Binary, ID: m.ID, Key: m.Key, Meta: m.Meta, Except: m.Except,
	}
}

// Publisher is what others may know about a user. The zero value stands for the program itself.
type Publisher struct {
	User string
	Info []byte // JSON, or nil
}

// GapReason says why messages are lost to a subscription.
type GapReason string

// The reasons of a gap.
const (
	GapExpired    GapReason = "expired"    // the topic's history did not reach back to the position
	GapEpoch      GapReason = "epoch"      // the broker has forgotten its history
	GapSlow       GapReason = "slow"       // the subscriber did not keep up (SlowDropOldest)
	GapSuperseded GapReason = "superseded" // the same, and newer messages took the place of older ones (SlowLatest)
	GapLost       GapReason = "lost"       // between the nodes of a cluster, for a topic or pattern of which the missing messages cannot be fetched
)

// Gap says that messages after Since and up to Until are lost to a subscription, except those in between that it
// still gets.
type Gap struct {
	Reason   GapReason
	Since    Position
	Until    Position // of another epoch than Since for GapEpoch
	Count    uint64   // messages lost, for GapSlow and GapSuperseded; else unknown and 0
	Presence bool     // joins or leaves were lost as well
}

// Publication is what is handed to Publish. The hub keeps Data and Meta, so they must not be changed afterwards.
type Publication struct {
	// ID makes a retry harmless: a second publication with the same user, topic and ID within TopicOptions.Window is
	// not delivered, and is answered with the position of the first. Empty: every publication is new.
	ID string
	// Key says what the message is about; SlowLatest keeps the newest of each key. At most 255 bytes.
	Key    string
	Data   []byte // valid JSON unless Binary
	Binary bool
	Meta   []byte // a JSON object for whoever receives it, or nil
	// NotToMe leaves out the subscriber that publishes.
	NotToMe bool
}

// Receipt says that a publication has its place in its topic.
type Receipt struct {
	Position
	Duplicate bool // it had that place already: this was a retry
}
