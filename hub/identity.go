package hub

import "time"

// Identity is who a subscriber is and what it may do.
type Identity struct {
	User      string    // 1 to 255 bytes of UTF-8, without control characters
	Anonymous bool      // nobody vouches for User
	Info      []byte    // a JSON object that others see, or nil
	Grants    []Grant   // what it may do besides what TopicOptions allow
	Expires   time.Time // when it ends; zero: never

	program bool // it is the program itself (Hub.Listen)
}

// Grant allows a user to do something to the topics that match Pattern.
type Grant struct {
	Pattern string
	Actions Actions
}

// Actions is a set of what can be done to a topic.
type Actions uint8

// What can be done to a topic.
const (
	ActSubscribe Actions = 1 << iota
	ActPublish
	ActHistory
	ActPresence

	ActAll = ActSubscribe | ActPublish | ActHistory | ActPresence
)

// granted reports whether one of the identity's grants allows an action on a topic or on everything a pattern matches.
func (i *Identity) granted(action Actions, topic string) bool {
	for _, g := range i.Grants {
		if g.Actions&action != 0 && Covers(g.Pattern, topic) {
			return true
		}
	}
	return false
}

// may decides about one action on a topic or pattern.
func (i *Identity) may(action Actions, level Access, topic string) bool {
	switch {
	case i.program:
		return true
	case level == Nobody:
		return false
	case level == Anyone, level == Users && !i.Anonymous:
		return true
	}
	return i.granted(action, topic)
}
