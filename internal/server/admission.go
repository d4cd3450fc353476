package server

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/hub"
)

const (
	maxNameRunes = 24
	maxRoomRunes = 32
)

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
		if c.exposed && call.Identity.Anonymous && !c.claimed.Load() && meetsRooms(call.Topic) {
			return hub.Errorf(hub.CodeForbidden, "%s matches rooms of the chat, which nobody hears without being seen there: "+
				"subscribe to them one by one, or with a token", call.Topic)
		}
		return nil
	}
	room, ok := c.roomOf(call.Topic)
	if !ok {
		return nil
	}
	if problem := roomProblem(room); problem != "" {
		return hub.Errorf(codeRoomMalformed, "%s", problem)
	}
	name, chosen := shownName(call.Identity.User, call.Identity.Info)
	if problem := personProblem(name); chosen && call.Identity.Anonymous && problem != "" {
		return hub.Errorf(codeNameMalformed, "%s", problem)
	}
	return c.admit(call, room, name)
}

// admit reserves the name, and lets its owner in unless the name or the last place has gone. On several nodes, two who come to two
// of them in the same moment may both get in.
func (c *chat) admit(call *hub.SubscribeCall, room, name string) error {
	id, user := strings.ToLower(name), call.Identity.User
	entering, err := c.reserve(call.Context, call.Topic, id, user)
	if err != nil {
		return &hub.Error{Code: hub.CodeUnavailable, Message: "it took too long to decide who is called " + name, Retry: time.Second}
	}
	present, err := c.hub.Presence(call.Context, call.Topic)
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
		if other, _ := shownName(u.User, u.Info); strings.ToLower(other) == id {
			return hub.Errorf(codeNameTaken, "somebody called %s is in %s already", name, room)
		}
	}
	if !here && present.Count+len(entering) >= c.config.RoomMembers {
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
	present, err := c.hub.Presence(ctx, topic)
	if err != nil {
		return false, err
	}
	_, here := slices.BinarySearchFunc(present.Users, user, func(u hub.PresentUser, user string) int { return strings.Compare(u.User, user) })
	return here, nil
}

// shownName is how others see a user: the name in its info, or else the user itself, which the server has chosen for who is anonymous.
func shownName(user string, info []byte) (name string, chosen bool) {
	var i struct {
		Name *string `json:"name"`
	}
	if json.Unmarshal(info, &i) != nil || i.Name == nil {
		return user, false
	}
	return *i.Name, true
}

// meetsRooms reports whether a pattern matches topics of rooms.
func meetsRooms(pattern string) bool {
	first, rest, more := strings.Cut(pattern, ".")
	return first == ">" || more && (first == "*" || first+"." == roomPrefix) && (rest == ">" || !strings.Contains(rest, "."))
}

func roomProblem(room string) string {
	if utf8.RuneCountInString(room) > maxRoomRunes {
		return fmt.Sprintf("a room's name has at most %d characters", maxRoomRunes)
	}
	for _, r := range room {
		if !isWordRune(r) && r != '-' && r != '_' {
			return fmt.Sprintf("a room's name consists of letters, digits, - and _, so %q cannot be in it", r)
		}
	}
	return ""
}

func personProblem(name string) string {
	switch {
	case name == "":
		return "a name is needed: connect with info {\"name\":\"...\"}"
	case utf8.RuneCountInString(name) > maxNameRunes:
		return fmt.Sprintf("a name has at most %d characters", maxNameRunes)
	case strings.TrimSpace(name) != name || strings.Contains(name, "  "):
		return "a name neither begins nor ends with a space, and has no two in a row"
	}
	if first, _ := utf8.DecodeRuneInString(name); unicode.IsMark(first) || !isWordRune(first) {
		return "a name begins with a letter or a digit"
	}
	for _, r := range name {
		if !isWordRune(r) && !strings.ContainsRune(" -_.'·", r) {
			return fmt.Sprintf("a name consists of letters, digits, spaces and - _ . ' ·, so %q cannot be in it", r)
		}
	}
	return ""
}

func isWordRune(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r) }
