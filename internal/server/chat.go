package server

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// Codes of the chat, besides those of the session protocol. docs/chat.md has them for authors of clients.
const (
	codeRoomMalformed   hub.Code = "chat.room-malformed"
	codeRoomFull        hub.Code = "chat.room-full"
	codeNameMalformed   hub.Code = "chat.name-malformed"
	codeNameTaken       hub.Code = "chat.name-taken"
	codeNotHere         hub.Code = "chat.not-here"
	codeBadMessage      hub.Code = "chat.bad-message"
	codeEmpty           hub.Code = "chat.empty"
	codeTextTooLong     hub.Code = "chat.text-too-long"
	codeBadBase64       hub.Code = "chat.bad-base64"
	codeNotAPicture     hub.Code = "chat.not-a-picture"
	codePictureTooLarge hub.Code = "chat.picture-too-large"
)

const (
	roomPrefix  = "chat."
	roomPattern = "chat.*"
)

// chatFrame is the largest frame of the session protocol where the chat is served and nothing else is configured: a picture of 8 MiB
// as base64, which is how mini-programs read files.
const chatFrame = 11 << 20

// frameOverhead is what a frame has besides the picture that it carries, at most.
const frameOverhead = 64 << 10

// ChatConfig bounds the chat. The zero value stands for the defaults.
type ChatConfig struct {
	Rooms        []string // rooms that are offered to everybody; default lobby, tea-house and pictures
	RoomMembers  int      // people in one room; default 500, at most 1,000
	TextRunes    int      // characters of a text; default 4,000
	PictureBytes int      // bytes of a picture; default 8 MiB

	HistoryMessages int           // last messages shown to a newcomer; default 50
	HistoryBytes    int64         // bytes that these may have, pictures included; default 16 MiB
	HistoryAge      time.Duration // how long a room remembers them; default 24 h

	MessageRate  float64 // messages a second that one connection may send to a room on average; default 5
	MessageBurst int     // and at once; default 20
	ByteRate     float64 // bytes a second that one connection may send to all rooms on average; default 2 MiB
	ByteBurst    float64 // and at once; default four pictures of the largest size and 256 KiB
}

func (c ChatConfig) withDefaults() ChatConfig {
	if c.Rooms == nil {
		c.Rooms = []string{"lobby", "tea-house", "pictures"}
	}
	c.RoomMembers = min(cmp.Or(c.RoomMembers, 500), 1000) // the hub lists no more
	c.TextRunes = cmp.Or(c.TextRunes, 4000)
	c.PictureBytes = cmp.Or(c.PictureBytes, 8<<20)
	c.HistoryMessages = cmp.Or(c.HistoryMessages, 50)
	c.HistoryBytes = cmp.Or(c.HistoryBytes, 16<<20)
	c.HistoryAge = cmp.Or(c.HistoryAge, 24*time.Hour)
	c.MessageRate = cmp.Or(c.MessageRate, 5)
	c.MessageBurst = cmp.Or(c.MessageBurst, 20)
	c.ByteRate = cmp.Or(c.ByteRate, 2<<20)
	c.ByteBurst = cmp.Or(c.ByteBurst, 4*float64(c.PictureBytes)+256<<10)
	return c
}

// fitting makes pictures fit into frames of that many bytes.
func (c ChatConfig) fitting(frame int) ChatConfig {
	c = c.withDefaults()
	c.PictureBytes = min(c.PictureBytes, max(0, frame-frameOverhead))
	return c
}

// chat is the service behind the chat page. Its rooms are topics of the hub, chat.<room>; it decides who comes in under which name,
// and what is passed on. Its methods may be called from any goroutine.
type chat struct {
	config  ChatConfig
	logger  *slog.Logger
	hub     *hub.Hub    // set before anybody comes, as is exposed
	exposed bool        // others than this machine reach the server
	claimed atomic.Bool // the configuration has rules of its own for topics of that name: then they are no rooms

	mu       sync.Mutex
	entering map[string]map[string]*reservation // by topic and name; guarded by mu
	volumes  map[string]*bucket                 // by session; guarded by mu
}

func newChat(config ChatConfig, logger *slog.Logger) *chat {
	return &chat{
		config: config.withDefaults(), logger: logger,
		entering: make(map[string]map[string]*reservation), volumes: make(map[string]*bucket),
	}
}

// rules returns the configured rules with that for rooms before them, unless the configuration says itself how topics chat.… are.
func (c *chat) rules(configured []hub.Rule) []hub.Rule {
	claimed := false
	for _, r := range configured {
		claimed = claimed || strings.HasPrefix(r.Pattern, roomPrefix)
	}
	c.claimed.Store(claimed)
	if claimed {
		return configured
	}
	return append([]hub.Rule{{Pattern: roomPattern, TopicOptions: c.options()}}, configured...)
}

// options are those of a room. The hub counts the bytes of a message twice, because the wire holds them a second time.
func (c *chat) options() hub.TopicOptions {
	o := &c.config
	return hub.TopicOptions{
		HistoryMessages: o.HistoryMessages, HistoryAge: o.HistoryAge, HistoryBytes: 2*o.HistoryBytes + int64(o.HistoryMessages)<<10,
		Presence:       hub.PresenceFull,
		MaxSubscribers: 4 * o.RoomMembers, // a user may have several tabs
		MaxBytes:       max(o.PictureBytes*4/3+frameOverhead, maxTextBytes),
		PublishRate:    o.MessageRate, PublishBurst: o.MessageBurst,
		Slow: hub.SlowDropOldest, SlowMessages: 256, SlowBytes: 2 * (4*int64(o.PictureBytes) + 1<<20),
	}
}

// hooks returns those of the chat, behind others that are asked first.
func (c *chat) hooks(first hub.Hooks) hub.Hooks {
	both := first
	both.Subscribe = func(call *hub.SubscribeCall) error {
		if first.Subscribe != nil {
			if err := first.Subscribe(call); err != nil {
				return err
			}
		}
		return c.subscribe(call)
	}
	both.Publish = func(call *hub.PublishCall) error {
		if first.Publish != nil {
			if err := first.Publish(call); err != nil {
				return err
			}
		}
		return c.publish(call)
	}
	return both
}

// roomOf returns the room that a topic is.
func (c *chat) roomOf(topic string) (room string, ok bool) {
	if c.claimed.Load() || !hub.Match(roomPattern, topic) {
		return "", false
	}
	return strings.TrimPrefix(topic, roomPrefix), true
}

type roomInfo struct {
	Name    string `json:"name"`
	Members int    `json:"members"`
}

type chatLimits struct {
	Text    int `json:"text"`    // characters
	Picture int `json:"picture"` // bytes
}

// serveRooms answers GET /chat/rooms: the rooms that are offered to everybody, and what a message may be. Other rooms are known only to
// whom their name was told.
func (c *chat) serveRooms(w http.ResponseWriter, r *http.Request) {
	rooms := make([]roomInfo, len(c.config.Rooms))
	for i, room := range c.config.Rooms {
		present, err := c.hub.Presence(r.Context(), roomPrefix+room)
		if err != nil {
			c.logger.Debug("it is not known who is in a room", "room", room, "error", err)
		}
		rooms[i] = roomInfo{room, present.Count}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	limits := chatLimits{c.config.TextRunes, c.config.PictureBytes}
	_, _ = w.Write(append(mustJSON(map[string]any{"rooms": rooms, "limits": limits}), '\n'))
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("%T: %v", v, err)) // only ever called with what has a form in JSON
	}
	return b
}
