// Package call is the server part of the call page: two browsers talk over WebRTC, and the hub carries only the signalling.
//
// A room is a topic, demo.call.room.NAME, for two people: a third one is refused. What they publish there is addressed to each other (see
// signal), is kept nowhere, and is limited to 64 KiB and 50 a second; the hub's presence tells who has come and who has left.
package call

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

const (
	prefix       = "demo.call.room."
	maxPeople    = 2
	maxRoomRunes = 32
	// A seat is kept for whoever is coming in until their presence is known, and no longer than this.
	seatTime = 5 * time.Second
	maxSeats = 10_000 // of all rooms
)

// Codes of refusals. The page says them in its visitor's language.
const (
	codeBadRoom   hub.Code = "call.bad-room"
	codeBusy      hub.Code = "call.busy"
	codeNotHere   hub.Code = "call.not-here"
	codeBadSignal hub.Code = "call.bad-signal"
)

// New makes the app.
func New(env *showcase.Env) (*showcase.App, error) {
	c := &call{env: env, seats: make(map[seat]time.Time)}
	return &showcase.App{
		Name: "call",
		Topics: []hub.Rule{{Pattern: prefix + "*", TopicOptions: hub.TopicOptions{
			Presence: hub.PresenceFull, MaxBytes: maxSignal, PublishRate: 50, PublishBurst: 200,
			SlowMessages: 256, SlowBytes: 4 << 20,
		}}},
		Subscribe: c.subscribe, Publish: c.publish,
	}, nil
}

// call is the service. Its methods may be called from any goroutine.
type call struct {
	env *showcase.Env

	mu    sync.Mutex
	seats map[seat]time.Time // taken by who is not present yet, and when; guarded by mu
}

type seat struct{ topic, user string }

func (c *call) subscribe(call *hub.SubscribeCall) error {
	if err := checkTopic(call.Topic); err != nil {
		return err
	}
	if _, err := showcase.NameOf(call.Identity); err != nil {
		return err
	}
	return c.take(call.Context, seat{call.Topic, call.Identity.User}, time.Now())
}

// checkTopic refuses what is no room, and patterns: what two people say to each other is nobody else's.
func checkTopic(topic string) error {
	name, isRoom := strings.CutPrefix(topic, prefix)
	fits := isRoom && name != "" && utf8.RuneCountInString(name) <= maxRoomRunes
	for _, r := range name {
		fits = fits && (showcase.IsWordRune(r) || strings.ContainsRune("-_", r))
	}
	if !fits {
		return hub.Errorf(codeBadRoom, "a room is %s followed by 1 to %d letters, digits, - and _", prefix, maxRoomRunes)
	}
	return nil
}

// take gives somebody a seat, unless two others have those of the room. mu makes those who come at the same time one after the other.
func (c *call) take(ctx context.Context, s seat, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	here, err := c.env.Hub.Presence(ctx, s.topic)
	if err != nil {
		return err
	}
	var others []string
	for _, user := range here.Users {
		others = append(others, user.User)
	}
	for taken, when := range c.seats {
		switch {
		case now.Sub(when) > seatTime || taken.topic == s.topic && slices.Contains(others, taken.user):
			delete(c.seats, taken)
		case taken.topic == s.topic:
			others = append(others, taken.user)
		}
	}
	others = slices.DeleteFunc(others, func(user string) bool { return user == s.user })
	if len(others) >= maxPeople {
		return hub.Errorf(codeBusy, "two people talk in this room already: try another one, or come back later")
	}
	if len(c.seats) >= maxSeats {
		return hub.Errorf(hub.CodeUnavailable, "too many people come at the same time: try again in %s", seatTime)
	}
	c.seats[s] = now
	return nil
}

func (c *call) publish(call *hub.PublishCall) error {
	if err := checkTopic(call.Topic); err != nil {
		return err
	}
	if !c.env.Hub.IsSubscribed(call.Session, call.Topic) {
		return hub.Errorf(codeNotHere, "only who is in the room can signal to it: subscribe to %s first", call.Topic)
	}
	c.mu.Lock()
	delete(c.seats, seat{call.Topic, call.Identity.User}) // whoever is in is present
	c.mu.Unlock()
	if call.Publication.Binary {
		return badSignal("signals are JSON, not bytes")
	}
	call.Publication.Meta, call.Publication.Key = nil, ""
	return checkSignal(call.Publication.Data)
}
