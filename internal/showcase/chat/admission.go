package chat

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

const maxRoomRunes = 32

// reservation holds a name in a room for somebody whose presence does not hold it yet.
type reservation struct {
	user  string
	count int           // of subscribes that are under way
	done  chan struct{} // closed when there are none any more
}

// subscribe is the hub's hook: it decides who may enter a room. It comes behind all other hooks, for the name that it reserves is
// held only until the command has been worked through.
func (c *chat) subscribe(call *hub.SubscribeCall) error {
	if strings.ContainsAny(call.Topic, "*>") {
		if call.Identity.Anonymous && c.env.Operators.Check(call.Session) != nil {
			return hub.Errorf(hub.CodeForbidden, "%s matches rooms of the chat, which nobody hears without being seen there: "+
				"subscribe to them one by one, or with a token", call.Topic)
		}
		return nil
	}
	at, ok := placeOf(call.Topic)
	if !ok {
		return nil
	}
	if problem := roomProblem(at.room); problem != "" {
		return hub.Errorf(codeRoomMalformed, "%s", problem)
	}
	switch at.part {
	case live, read:
		return c.mustBeIn(call.Session, at)
	case news:
		wake(c.wanted)
		return nil // it tells that something was said, not what
	}
	name, chosen := showcase.ShownName(call.Identity.User, call.Identity.Info)
	if problem := showcase.NameProblem(name); chosen && call.Identity.Anonymous && problem != "" {
		return hub.Errorf(codeNameMalformed, "%s", problem)
	}
	return c.admit(call, at.room, name)
}

// mustBeIn refuses a session that is not seen in the room.
func (c *chat) mustBeIn(session string, at place) error {
	if c.env.Hub.IsSubscribed(session, at.topic()) {
		return nil
	}
	return hub.Errorf(codeNotHere, "enter %s first: subscribe to %s", at.room, at.topic())
}

// admit reserves the name, and lets its owner in unless the name or the last place has gone. On several nodes, two who come to two
// of them in the same moment may both get in.
func (c *chat) admit(call *hub.SubscribeCall, room, name string) error {
	id, user := strings.ToLower(name), call.Identity.User
	entering, err := c.reserve(call.Context, call.Topic, id, user)
	if err != nil {
		return &hub.Error{Code: hub.CodeUnavailable, Message: "it took too long to decide who is called " + name, Retry: time.Second}
	}
	present, err := c.env.Hub.Presence(call.Context, call.Topic)
	if err != nil {
		return err
	}
	here := false
	for _, u := range present.Users {
		delete(entering, u.User) // counted already
		if u.User == user {
			here = true // another tab, or the same one after the network lost it
			continue
		}
		if other, _ := showcase.ShownName(u.User, u.Info); strings.ToLower(other) == id {
			return hub.Errorf(codeNameTaken, "somebody called %s is in %s already", name, room)
		}
	}
	if !here && present.Count+len(entering) >= c.options.RoomMembers {
		return hub.Errorf(codeRoomFull, "%s has as many people as it can hold", room)
	}
	return nil
}

// reserve holds a name in a room until ctx ends, as that of a subscribe command does when the command has been worked through. If
// somebody else is just coming in under that name, it waits until that is decided. It also returns which others are entering the room,
// or have just done so; the error is that of ctx.
func (c *chat) reserve(ctx context.Context, topic, id, user string) (others map[string]bool, err error) {
	for {
		others, rival := c.tryReserve(ctx, topic, id, user)
		if rival == nil {
			return others, nil
		}
		select {
		case <-rival:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// tryReserve returns, if another user has reserved the name, what tells when that is over.
func (c *chat) tryReserve(ctx context.Context, topic, id, user string) (others map[string]bool, rival <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	at := c.entering[topic]
	if at == nil {
		at = make(map[string]*reservation)
		c.entering[topic] = at
	}
	r := at[id]
	if r == nil {
		r = &reservation{user: user, done: make(chan struct{})}
		at[id] = r
	} else if r.user != user {
		return nil, r.done
	}
	r.count++
	context.AfterFunc(ctx, func() { c.release(topic, id, r) })
	others = make(map[string]bool)
	for _, other := range at {
		if other.user != user {
			others[other.user] = true
		}
	}
	return others, nil
}

func (c *chat) release(topic, id string, r *reservation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.count--; r.count > 0 {
		return
	}
	close(r.done)
	delete(c.entering[topic], id)
	if len(c.entering[topic]) == 0 {
		delete(c.entering, topic)
	}
}

// isHere reports whether a user is in a room, and so holds its name there.
func (c *chat) isHere(ctx context.Context, topic, user string) (bool, error) {
	present, err := c.env.Hub.Presence(ctx, topic)
	if err != nil {
		return false, err
	}
	_, here := slices.BinarySearchFunc(present.Users, user, func(u hub.PresentUser, user string) int { return strings.Compare(u.User, user) })
	return here, nil
}

// roomProblem says what is wrong with the name of a room, or nothing.
func roomProblem(room string) string {
	if utf8.RuneCountInString(room) > maxRoomRunes {
		return fmt.Sprintf("a room's name has at most %d characters", maxRoomRunes)
	}
	for _, r := range room {
		if !showcase.IsWordRune(r) && r != '-' && r != '_' {
			return fmt.Sprintf("a room's name consists of letters, digits, - and _, so %q cannot be in it", r)
		}
	}
	return ""
}
