package rooms

import "sync"

// Kind says what a Message is about. The zero value is ordinary data.
type Kind uint8

const (
	KindData  Kind = iota // somebody published Data
	KindJoin              // the publisher has joined the topic (only with Options.Presence)
	KindLeave             // the publisher has left the topic (only with Options.Presence)
)

var kindNames = [...]string{KindData: "data", KindJoin: "join", KindLeave: "leave"}

// String returns "data", "join" or "leave".
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Message is one event of a topic. All members of the topic receive the same *Message, so nobody may change it.
type Message struct {
	Topic     string
	Kind      Kind
	Publisher Presence // who published it, joined or left; the zero value when the program itself published
	Data      []byte   // what was published; nil for notices
	Binary    bool     // Data is bytes rather than text

	once    sync.Once
	encoded any
}

// Encoded returns the form in which the message goes over the wire. The first call makes it with encode and all calls
// return that same value, so a message costs one encoding however many members receive it. Every caller of one hub must
// therefore mean the same encoding. It may be called from any goroutine.
func (m *Message) Encoded(encode func(*Message) any) any {
	m.once.Do(func() { m.encoded = encode(m) })
	return m.encoded
}

// Presence is what the members of a topic may know about one of them.
type Presence struct {
	ID   string // unique in the topic
	Info string // free for the program, for instance the name to display
}

// Publication is what a program hands to Publish. The hub keeps Data, so it must not be changed afterwards.
type Publication struct {
	// ID makes a retry harmless: a second publication with the same publisher and ID is not delivered again as long as
	// the topic remembers the first (Options.Remember). Empty: every publication is new.
	ID     string
	Data   []byte
	Binary bool
}
