package client

import "time"

// Position says up to where somebody knows a topic: everything with an Offset up to this one, in this Epoch. A server that has
// forgotten its history begins a new Epoch. The zero Position is no position.
type Position struct {
	Epoch  string `json:"epoch"`
	Offset uint64 `json:"offset"`
}

// IsZero reports whether p is no position.
func (p Position) IsZero() bool { return p == Position{} }

// Event is what Subscription.Next returns: a *Message, *Join, *Leave, *Gap or *Resubscribed.
type Event interface{ isEvent() }

// Message is what somebody published.
type Message struct {
	Topic   string
	Pattern string // the pattern through which it came, or empty
	// Position is the place of the message; zero if it has none, as in topics without history of a server with several nodes.
	Position Position
	Time     time.Time // when the server took it
	From     *User     // who published it; nil: the program behind the server
	ID       string    // Publication.ID
	Key      string    // Publication.Key
	Meta     []byte    // Publication.Meta, or nil
	Data     []byte    // JSON, or any bytes if Binary
	Binary   bool
}

// User is somebody as others see him.
type User struct {
	Name string
	Info []byte // a JSON object, or nil
}

// Join says that the first connection of a user has subscribed to the topic.
type Join struct {
	Topic string
	User  User
}

// Leave says that the last connection of a user has gone from the topic.
type Leave struct {
	Topic string
	User  User
}

// GapReason says why messages are lost to a subscription.
type GapReason string

// The reasons of a gap (docs/protocol.md, "gap").
const (
	GapExpired    GapReason = "expired"    // the topic's history did not reach back to the position
	GapEpoch      GapReason = "epoch"      // the server has forgotten what it knew; Until is in the new epoch, and is the position now
	GapSlow       GapReason = "slow"       // this client did not read fast enough
	GapSuperseded GapReason = "superseded" // the same, and newer messages with the same key took the place of older ones
	GapLost       GapReason = "lost"       // lost between the nodes of a cluster, of a topic or pattern without history to fetch them from
)

// Gap says that messages after Since and up to Until are lost to this subscription, except those in between that still come.
type Gap struct {
	Topic    string // empty: it may concern any topic of Pattern
	Pattern  string // of the subscription, or empty
	Reason   GapReason
	Since    Position
	Until    Position
	Count    uint64 // messages lost, for GapSlow and GapSuperseded; else unknown and 0
	Presence bool   // Joins or Leaves were lost as well: ask for Presence again
}

// Resubscribed says that the subscription goes on after it was interrupted, because the connection was lost or because
// events were not taken for too long. Joins and Leaves of the meantime are not told: ask for Presence again.
type Resubscribed struct {
	Topic     string // the topic or pattern of the subscription
	Recovered bool   // no message was lost; otherwise a Gap follows
	Position  Position
}

func (*Message) isEvent()      {}
func (*Join) isEvent()         {}
func (*Leave) isEvent()        {}
func (*Gap) isEvent()          {}
func (*Resubscribed) isEvent() {}

// Publication is what is handed to Publish. Data and Meta must not be changed until the call has returned.
type Publication struct {
	Data   []byte // JSON, or any bytes if Binary; nil JSON is null
	Binary bool
	// ID makes sending it again harmless: the server takes one publication for each user, topic and ID within 2 minutes. At
	// most 64 characters out of A-Z a-z 0-9 - _ . ~; default: a random one.
	ID string
	// Key says what the message is about; topics with the policy "latest" keep the newest of each key for a slow reader. At
	// most 255 bytes.
	Key  string
	Meta []byte // a JSON object of at most 1 KiB, passed on; or nil
	// NotToMe leaves out the subscriptions of this client.
	NotToMe bool
}

// Receipt says that a publication has its place in the topic: whoever is subscribed or comes back gets it, or a Gap.
type Receipt struct {
	Position         // with Offset 0 if it has no place in the line; see Message.Position
	ID        string // of the publication
	Duplicate bool   // it had that place already: this was a second sending
}
