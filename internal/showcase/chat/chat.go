// Package chat is the server part of the chat page: rooms in which people talk. docs/chat.md describes it for authors of other clients.
//
// A room is the topic chat.<room>, with history and presence. What is said besides messages has topics of its own, so that clients which know
// only the room are not disturbed:
//
//	chat.<room>        messages: texts, pictures, replies; the last 500 of 24 hours
//	chat.<room>.live   who is typing; kept nowhere
//	chat.<room>.read   up to where who has read; the last 200 marks of 24 hours
//	chat.<room>.news   from the server: something was said, for those who look at another room
//
// The requests chat.unread and chat.search count and find what a room remembers.
package chat

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
	"github.com/duplex-websocket/duplex/internal/showcase/picture"
)

// Codes of the chat, besides those of the session protocol. docs/chat.md has them for authors of clients.
const (
	codeRoomMalformed    hub.Code = "chat.room-malformed"
	codeRoomFull         hub.Code = "chat.room-full"
	codeNameMalformed    hub.Code = "chat.name-malformed"
	codeNameTaken        hub.Code = "chat.name-taken"
	codeNotHere          hub.Code = "chat.not-here"
	codeBadMessage       hub.Code = "chat.bad-message"
	codeEmpty            hub.Code = "chat.empty"
	codeTextTooLong      hub.Code = "chat.text-too-long"
	codeBadBase64        hub.Code = "chat.bad-base64"
	codeNotAPicture      hub.Code = "chat.not-a-picture"
	codePictureTooLarge  hub.Code = "chat.picture-too-large"
	codePictureTooMany   hub.Code = "chat.picture-too-many-pixels"
	codeUnknownMessage   hub.Code = "chat.unknown-message"
	codeBadSignal        hub.Code = "chat.bad-signal"
	codeSearchTooShort   hub.Code = "chat.search-too-short"
	codeTooManyQuestions hub.Code = "chat.too-many-questions"
)

const (
	prefix      = "chat." // then the room, and for some topics a dot and one of:
	live        = "live"
	read        = "read"
	news        = "news"
	roomPattern = prefix + "*"
	newsPattern = roomPattern + "." + news
)

const (
	frameOverhead = 64 << 10 // what a frame has besides the picture that it carries, at most
	maxSignal     = 512      // bytes of what is said about typing and reading
	keptMarks     = 200
)

// Options bound the chat. The zero value stands for the defaults.
type Options struct {
	Rooms       []string       // rooms that are offered to everybody; default lobby, tea-house and pictures
	RoomMembers int            // people in one room; default 500, at most 1,000
	TextRunes   int            // characters of a text; default 4,000
	Picture     picture.Limits // default: its own; less where frames are too small for that

	HistoryMessages int           // last messages that a room remembers; default 500
	HistoryBytes    int64         // bytes that these may have, pictures included; default 16 MiB
	HistoryAge      time.Duration // how long a room remembers them; default 24 h

	MessageRate  float64 // messages a second that one connection may send to a room on average; default 5
	MessageBurst int     // and at once; default 20
	ByteRate     float64 // bytes a second that one connection may send to all rooms on average; default 2 MiB
	ByteBurst    float64 // and at once; default four pictures of the largest size and 256 KiB
	QuestionRate float64 // searches and counts a second that one connection may ask for on average; default 2, and 20 at once
}

// withDefaults makes pictures fit into frames of that many bytes; 0: of any.
func (o Options) withDefaults(frame int) Options {
	if o.Rooms == nil {
		o.Rooms = []string{"lobby", "tea-house", "pictures"}
	}
	o.RoomMembers = min(cmp.Or(o.RoomMembers, 500), 1000) // the hub lists no more
	o.TextRunes = cmp.Or(o.TextRunes, 4000)
	o.Picture.Bytes = cmp.Or(o.Picture.Bytes, 8<<20)
	if frame > 0 {
		o.Picture.Bytes = min(o.Picture.Bytes, max(1, frame-frameOverhead))
	}
	o.HistoryMessages = cmp.Or(o.HistoryMessages, 500)
	o.HistoryBytes = cmp.Or(o.HistoryBytes, 16<<20)
	o.HistoryAge = cmp.Or(o.HistoryAge, 24*time.Hour)
	o.MessageRate = cmp.Or(o.MessageRate, 5)
	o.MessageBurst = cmp.Or(o.MessageBurst, 20)
	o.ByteRate = cmp.Or(o.ByteRate, 2<<20)
	o.ByteBurst = cmp.Or(o.ByteBurst, 4*float64(o.Picture.Bytes)+256<<10)
	o.QuestionRate = cmp.Or(o.QuestionRate, 2)
	return o
}

// chat decides who comes into a room under which name, and what is passed on. Its methods may be called from any goroutine.
type chat struct {
	options Options       // immutable, as is what follows
	env     *showcase.Env // its Hub is set before anybody comes
	app     *showcase.App

	bytes     *rations      // what sessions publish
	questions *rations      // what they ask
	wanted    chan struct{} // has something after somebody has come to a topic of news

	mu       sync.Mutex
	entering map[string]map[string]*reservation // by topic and name; guarded by mu
}

// New makes the app with the default options.
func New(env *showcase.Env) (*showcase.App, error) { return With(Options{})(env) }

// With makes the app with other ones.
func With(o Options) showcase.Maker {
	return func(env *showcase.Env) (*showcase.App, error) { return newChat(env, o).app, nil }
}

func newChat(env *showcase.Env, o Options) *chat {
	c := &chat{
		options: o.withDefaults(env.MaxFrame), env: env,
		entering: make(map[string]map[string]*reservation), wanted: make(chan struct{}, 1),
	}
	c.bytes = newRations(c.options.ByteRate, c.options.ByteBurst)
	c.questions = newRations(c.options.QuestionRate, questionBurst)
	c.app = &showcase.App{
		Name: "chat", Prefix: prefix,
		Topics:    c.rules(),
		Subscribe: c.subscribe,
		Publish:   c.publish,
		Requests: map[string]hub.RequestHandler{
			"search": showcase.Answering(c.search),
			"unread": showcase.Answering(c.unread),
		},
		Routes: map[string]http.Handler{"GET /chat/rooms": http.HandlerFunc(c.serveRooms)},
		Run:    c.announce,
	}
	return c
}

// rules are those for the topics of a room. The hub counts the bytes of a message twice, because the wire holds them a second time.
func (c *chat) rules() []hub.Rule {
	o := &c.options
	room := hub.TopicOptions{
		HistoryMessages: o.HistoryMessages, HistoryAge: o.HistoryAge, HistoryBytes: 2*o.HistoryBytes + int64(o.HistoryMessages)<<10,
		Presence:       hub.PresenceFull,
		MaxSubscribers: 4 * o.RoomMembers, // a user may have several tabs
		MaxBytes:       max(o.Picture.Bytes*4/3+frameOverhead, maxTextBytes),
		PublishRate:    o.MessageRate, PublishBurst: o.MessageBurst,
		Slow: hub.SlowDropOldest, SlowMessages: 256, SlowBytes: 2 * (4*int64(o.Picture.Bytes) + 1<<20),
	}
	// Of what somebody says about itself, who is slow needs the newest.
	signals := hub.TopicOptions{
		MaxSubscribers: room.MaxSubscribers, MaxBytes: maxSignal, PublishRate: 2, PublishBurst: 10, Slow: hub.SlowLatest, SlowMessages: 64,
	}
	marks, told := signals, signals
	marks.HistoryMessages, marks.HistoryAge, marks.HistoryBytes = keptMarks, o.HistoryAge, keptMarks<<11
	told.Publish = hub.Nobody
	return []hub.Rule{
		{Pattern: roomPattern, TopicOptions: room},
		{Pattern: roomPattern + "." + live, TopicOptions: signals},
		{Pattern: roomPattern + "." + read, TopicOptions: marks},
		{Pattern: newsPattern, TopicOptions: told},
	}
}

// place is a topic of the chat, taken apart.
type place struct {
	room string
	part string // empty for the messages
}

// placeOf reports what of a room a topic is. Other topics below chat. are nobody's.
func placeOf(topic string) (p place, ok bool) {
	rest, ok := strings.CutPrefix(topic, prefix)
	if !ok {
		return p, false
	}
	p.room, p.part, _ = strings.Cut(rest, ".")
	return p, p.part == "" || p.part == live || p.part == read || p.part == news
}

// topic is that of the room's messages.
func (p place) topic() string { return prefix + p.room }

type roomInfo struct {
	Name    string `json:"name"`
	Members int    `json:"members"`
}

type limits struct {
	Text    int `json:"text"`    // characters
	Picture int `json:"picture"` // bytes
}

// serveRooms answers GET /chat/rooms: the rooms that are offered to everybody, and what a message may be. Other rooms are known only to
// whom their name was told.
func (c *chat) serveRooms(w http.ResponseWriter, r *http.Request) {
	rooms := make([]roomInfo, len(c.options.Rooms))
	for i, room := range c.options.Rooms {
		rooms[i] = roomInfo{room, c.members(r.Context(), room)}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(mustJSON(map[string]any{"rooms": rooms, "limits": limits{c.options.TextRunes, c.options.Picture.Bytes}}), '\n'))
}

// members counts who is in a room; 0 if that is not known now.
func (c *chat) members(ctx context.Context, room string) int {
	if c.app.Claimed() {
		return 0
	}
	present, err := c.env.Hub.Presence(ctx, prefix+room)
	if err != nil {
		c.env.Logger.Debug("it is not known who is in a room", "room", room, "error", err)
	}
	return present.Count
}

// mustJSON is for what has a form in JSON. It leaves < and the like as they are, since nobody puts it into a page as markup.
func mustJSON(v any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(fmt.Sprintf("%T: %v", v, err))
	}
	return bytes.TrimSpace(b.Bytes())
}
