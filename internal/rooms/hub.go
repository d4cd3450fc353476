package rooms

import (
	"container/list"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// What a caller can do wrong, or run into. Compare with errors.Is; the errors returned may say more.
var (
	ErrTopicName     = errors.New("rooms: not a topic name")
	ErrMemberID      = errors.New("rooms: not a member id")
	ErrTaken         = errors.New("rooms: somebody with this id is in the topic already")
	ErrTopicFull     = errors.New("rooms: the topic has as many members as it may have")
	ErrTooManyTopics = errors.New("rooms: there are as many topics as there may be")
	ErrNotMember     = errors.New("rooms: no longer a member of the topic")
)

const (
	defaultMaxName    = 255
	defaultMaxTopics  = 100_000
	defaultMaxMembers = 100_000
	defaultTotalBytes = 256 << 20
	defaultLinger     = 10 * time.Minute
	defaultRemember   = 256
)

// Options are the bounds of a hub. The zero value is usable: no history, no notices, and the defaults named below.
type Options struct {
	MaxTopics  int // topics at one time; default 100,000
	MaxMembers int // members of one topic; default 100,000
	MaxName    int // bytes of a topic's name and of a member's id; default 255

	// Presence sends every member of a topic a notice (KindJoin, KindLeave) when another one joins or leaves, and lists
	// the members in Welcome.
	Presence bool

	HistoryMessages int           // last messages that a topic keeps for newcomers; default 0: none
	HistoryBytes    int64         // bytes of Data that these may hold; default: a tenth of TotalBytes
	TotalBytes      int64         // bytes of Data in the histories of all topics; default 256 MiB
	Linger          time.Duration // how long a topic that nobody is in keeps its history; default 10 minutes
	Remember        int           // ids of publications that a topic remembers to recognise retries; default 256
}

func (o Options) withDefaults() Options {
	for _, d := range []struct {
		field *int
		value int
	}{
		{&o.MaxTopics, defaultMaxTopics}, {&o.MaxMembers, defaultMaxMembers},
		{&o.MaxName, defaultMaxName}, {&o.Remember, defaultRemember},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if o.TotalBytes == 0 {
		o.TotalBytes = defaultTotalBytes
	}
	if o.HistoryBytes == 0 {
		o.HistoryBytes = o.TotalBytes / 10
	}
	if o.Linger == 0 {
		o.Linger = defaultLinger
	}
	return o
}

// Hub is a set of topics. All its methods may be called from any goroutine, but not from within Subscriber.Deliver,
// Joining.Welcome or Joining.Replace.
//
// Locks are taken in the order mu, then topic.mu; nobody takes mu while holding a topic.
type Hub struct {
	options Options      // immutable
	kept    atomic.Int64 // bytes of Data in all histories

	mu     sync.Mutex
	topics map[string]*topic // guarded by mu
	idle   list.List         // of *topic; nobody in them, longest idle first; guarded by mu
}

// New returns a hub without topics.
func New(o Options) *Hub {
	return &Hub{options: o.withDefaults(), topics: make(map[string]*topic)}
}

// Subscriber receives the messages of the topics that it has joined.
type Subscriber interface {
	// Deliver takes one message. It is called while the topic is held, which is what gives all members the same order,
	// so it must never block and never call the hub. A subscriber that cannot keep up decides itself what to drop; the
	// hub neither waits for it nor learns of it.
	Deliver(m *Message)
}

// Joining is what Join asks for.
type Joining struct {
	Presence
	Subscriber Subscriber

	// Replace is asked when the id is taken: true puts the newcomer in the place of old, without notices to the other
	// members; the old membership has ended. Nil: ErrTaken.
	Replace func(old Subscriber) bool

	// Welcome is called before the subscriber's first message, while the topic is held (see Subscriber.Deliver). Nil is allowed.
	Welcome func(Welcome)
}

// Welcome is the state of a topic at the moment of joining. Everything that comes later arrives through Deliver.
type Welcome struct {
	Members  []Presence // with Options.Presence: everybody, the newcomer included, in no particular order
	History  []*Message // oldest first
	Replaced Subscriber // whose place the newcomer has taken, or nil
}

// Join makes a subscriber a member of a topic, which comes into being if need be. The errors are ErrTopicName, ErrMemberID,
// ErrTaken, ErrTopicFull and ErrTooManyTopics.
func (h *Hub) Join(name string, j Joining) (*Membership, error) {
	if err := CheckTopic(name, h.options.MaxName); err != nil {
		return nil, err
	}
	if err := checkMember(j.ID, h.options.MaxName); err != nil {
		return nil, err
	}
	t, err := h.acquire(name)
	if err != nil {
		return nil, err
	}
	m, replaced, err := t.join(j)
	if err != nil || replaced {
		h.release(t) // the one replaced leaves its hold on the topic to the newcomer
	}
	return m, err
}

// Publish sends a message to all members of a topic on behalf of the program itself. It reports whether the message was
// delivered: false without an error means that it was a retry of one that had been. A topic that nobody is in keeps the
// message if it has a history.
func (h *Hub) Publish(name string, p Publication) (bool, error) {
	if err := CheckTopic(name, h.options.MaxName); err != nil {
		return false, err
	}
	t, err := h.acquire(name)
	if err != nil {
		return false, err
	}
	defer h.release(t)
	return t.publish(nil, p)
}

// Members returns who is in a topic, in no particular order.
func (h *Hub) Members(name string) []Presence {
	if t := h.lookup(name); t != nil {
		return t.presences()
	}
	return nil
}

// Member returns the subscriber that is in a topic under an id, or nil.
func (h *Hub) Member(name, id string) Subscriber {
	if t := h.lookup(name); t != nil {
		return t.member(id)
	}
	return nil
}

// Count returns how many members a topic has.
func (h *Hub) Count(name string) int {
	if t := h.lookup(name); t != nil {
		return t.count()
	}
	return 0
}

// Len returns the number of topics, those included that only keep a history.
func (h *Hub) Len() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.topics)
}

func (h *Hub) lookup(name string) *topic {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.topics[name]
}

// acquire finds or makes a topic and holds it, so that it is not freed before release.
func (h *Hub) acquire(name string) (*topic, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.topics[name]
	if t == nil {
		if len(h.topics) >= h.options.MaxTopics && !h.freeOldest() {
			return nil, ErrTooManyTopics
		}
		t = newTopic(h, name)
		h.topics[name] = t
	}
	t.holds++
	if t.idle != nil {
		h.idle.Remove(t.idle)
		t.expiry.Stop()
		t.idle, t.expiry = nil, nil
	}
	return t, nil
}

// release undoes acquire. A topic that nobody holds is freed, at once or, when it has a history, after Options.Linger.
func (h *Hub) release(t *topic) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t.holds--
	switch {
	case t.holds > 0:
	case !t.hasHistory():
		delete(h.topics, t.name)
	default:
		element := h.idle.PushBack(t)
		t.idle = element
		t.expiry = time.AfterFunc(h.options.Linger, func() { h.expire(t, element) })
	}
}

// expire frees t unless somebody has used it since: then it is no longer idle, or idle under another element.
func (h *Hub) expire(t *topic, element *list.Element) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if t.idle == element {
		h.free(t)
	}
}

// freeOldest makes room by giving up the topic that has been idle for longest. The caller holds mu.
func (h *Hub) freeOldest() bool {
	front := h.idle.Front()
	if front == nil {
		return false
	}
	h.free(front.Value.(*topic))
	return true
}

// free gives up an idle topic. The caller holds mu.
func (h *Hub) free(t *topic) {
	h.idle.Remove(t.idle)
	t.expiry.Stop()
	t.idle, t.expiry = nil, nil
	delete(h.topics, t.name)
	t.dropHistory()
}

// makeRoom gives up idle topics until n more bytes of history fit, or none is left.
func (h *Hub) makeRoom(n int64) {
	if h.kept.Load()+n <= h.options.TotalBytes {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for h.kept.Load()+n > h.options.TotalBytes && h.freeOldest() {
	}
}

// reserve books n bytes of history if they fit.
func (h *Hub) reserve(n int64) bool {
	if h.kept.Add(n) <= h.options.TotalBytes {
		return true
	}
	h.kept.Add(-n)
	return false
}
