package server

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/internal/rooms"
	"github.com/duplex-websocket/duplex/websocket"
)

// Codes of the chat's own close frames. A page must not come back by itself after the first two.
const (
	closeReplaced  websocket.StatusCode = 4001 // the same tab has come back on another connection
	closeNameTaken websocket.StatusCode = 4009 // another took the name between the check and the joining
	closeRoomFull  websocket.StatusCode = 4013 // the room or the server filled up in the same moment
)

// tooManyRefusals in a row end a connection: whoever does not heed a rate limit for that long is not going to.
const tooManyRefusals = 100

// ChatConfig bounds the chat. The zero value stands for the defaults.
type ChatConfig struct {
	Rooms        []string // rooms that are offered to everybody; default lobby, tea-house and pictures
	RoomMembers  int      // people in one room; default 500
	People       int      // people in all rooms; default 10,000
	TextRunes    int      // characters of a text; default 4,000
	PictureBytes int      // bytes of a picture; default 8 MiB

	HistoryMessages int   // last messages shown to a newcomer; default 50
	HistoryBytes    int64 // bytes that these may have, pictures included; default 16 MiB

	MessageRate  float64 // messages a second that one connection may send on average; default 5
	MessageBurst float64 // and at once; default 20
	ByteRate     float64 // bytes a second that one connection may send on average; default 2 MiB
	ByteBurst    float64 // and at once; default four pictures of the largest size and 256 KiB
}

func (c ChatConfig) withDefaults() ChatConfig {
	if c.Rooms == nil {
		c.Rooms = []string{"lobby", "tea-house", "pictures"}
	}
	c.RoomMembers = cmp.Or(c.RoomMembers, 500)
	c.People = cmp.Or(c.People, 10_000)
	c.TextRunes = cmp.Or(c.TextRunes, 4000)
	c.PictureBytes = cmp.Or(c.PictureBytes, 8<<20)
	c.HistoryMessages = cmp.Or(c.HistoryMessages, 50)
	c.HistoryBytes = cmp.Or(c.HistoryBytes, 16<<20)
	c.MessageRate = cmp.Or(c.MessageRate, 5)
	c.MessageBurst = cmp.Or(c.MessageBurst, 20)
	c.ByteRate = cmp.Or(c.ByteRate, 2<<20)
	c.ByteBurst = cmp.Or(c.ByteBurst, 4*float64(c.PictureBytes)+256<<10)
	return c
}

// outbox is what may wait for a slow visitor: the whole history and then some pictures, which lie in memory once however many
// they wait for. Beyond that it is disconnected with 1013, comes back and gets the history again; the others never wait for it.
func (c *ChatConfig) outbox() int { return int(c.HistoryBytes) + 2*c.PictureBytes + 1<<20 }

// maxMessage leaves room for a picture as base64 in JSON, and for one that is a little too large to be told so.
func (c *ChatConfig) maxMessage() int64 { return int64(c.PictureBytes)*4/3 + 256<<10 }

// chat is the service behind the chat page: it admits people to rooms and passes on what they say. It implements
// websocket.Handler.
type chat struct {
	config ChatConfig
	hub    *rooms.Hub
	socket *websocket.Server
	logger *slog.Logger
}

var _ websocket.Handler = (*chat)(nil)

func newChat(config ChatConfig, logger *slog.Logger) *chat {
	config = config.withDefaults()
	c := &chat{config: config, logger: logger, hub: rooms.New(rooms.Options{
		MaxTopics: 10_000, MaxMembers: config.RoomMembers, Presence: true,
		HistoryMessages: config.HistoryMessages, HistoryBytes: config.HistoryBytes,
	})}
	c.socket = &websocket.Server{Handler: c, DrainCode: websocket.StatusServiceRestart, Accept: websocket.AcceptOptions{
		Options:      websocket.Options{MaxMessage: config.maxMessage(), Outbox: config.outbox(), Logger: logger},
		Interceptors: []func(*websocket.Upgrade) error{c.intercept},
		Limit:        &websocket.ConnLimit{Total: config.People},
	}}
	return c
}

// visitor is one connection in one room. It implements rooms.Subscriber.
type visitor struct {
	admission
	conn *websocket.Conn // immutable
	chat *chat           // immutable

	// Set in Open, then owned by the calls of Message, which come one at a time.
	membership *rooms.Membership
	messages   bucket
	volume     bucket
	refused    int // in a row
}

var _ rooms.Subscriber = (*visitor)(nil)

type visitorKey struct{}

// Open joins the room for which the handshake admitted the connection.
func (c *chat) Open(conn *websocket.Conn) {
	a, ok := conn.Attribute(admissionKey{}).(*admission)
	if !ok {
		_ = conn.CloseNow() // only a server wired without the interceptor comes here
		return
	}
	v := &visitor{
		admission: *a, chat: c, conn: conn,
		messages: bucket{rate: c.config.MessageRate, burst: c.config.MessageBurst},
		volume:   bucket{rate: c.config.ByteRate, burst: c.config.ByteBurst},
	}
	var replaced *visitor
	membership, err := c.hub.Join(a.topic(), rooms.Joining{
		Presence: rooms.Presence{ID: a.id, Info: a.name}, Subscriber: v, Replace: a.mayReplace,
		Welcome: func(w rooms.Welcome) {
			replaced, _ = w.Replaced.(*visitor)
			v.welcome(w)
		},
	})
	if replaced != nil {
		go closeConn(replaced.conn, closeReplaced, "you have come back on another connection")
	}
	if err != nil {
		code, reason := closeRoomFull, roomFull(a)
		if errors.Is(err, rooms.ErrTaken) {
			code, reason = closeNameTaken, nameTaken(a)
		}
		go closeConn(conn, code, reason.Code)
		return
	}
	v.membership = membership
	conn.SetAttribute(visitorKey{}, v)
}

// closeConn waits for the closing handshake, so it gets a goroutine of its own.
func closeConn(conn *websocket.Conn, code websocket.StatusCode, reason string) {
	_ = conn.Close(context.Background(), code, reason) // Options.CloseTimeout bounds it
}

// Close leaves the room.
func (c *chat) Close(conn *websocket.Conn, _ error) {
	if v := visitorOf(conn); v != nil {
		v.membership.Leave()
	}
}

// Message passes on one message, or tells the sender why not.
func (c *chat) Message(conn *websocket.Conn, typ websocket.MessageType, p []byte) {
	v := visitorOf(conn)
	if v == nil {
		return // being closed by Open
	}
	problem := v.receive(typ, p)
	if problem == nil {
		v.refused = 0
		return
	}
	v.refused++
	v.sendJSON(problem)
	if v.refused >= tooManyRefusals {
		go closeConn(conn, websocket.StatusPolicyViolation, problem.Code)
	}
}

func visitorOf(conn *websocket.Conn) *visitor {
	v, _ := conn.Attribute(visitorKey{}).(*visitor)
	return v
}

// welcome sends the state of the room. The hub calls it before any other message of the room.
func (v *visitor) welcome(w rooms.Welcome) {
	names := make([]string, len(w.Members))
	for i, m := range w.Members {
		names[i] = m.Info
	}
	slices.Sort(names)
	v.sendJSON(welcome{
		Type: "welcome", Room: v.room, Name: v.name, Members: names, History: len(w.History),
		Limits: limits{Text: v.chat.config.TextRunes, Picture: v.chat.config.PictureBytes},
	})
	for _, m := range w.History {
		v.send(m)
	}
}

// Deliver sends a message of the room. Its sender need not get a whole picture back: in its place, and so in its order, it
// gets the word that the picture was accepted.
func (v *visitor) Deliver(m *rooms.Message) {
	if m.Binary && m.Publisher.ID == v.id {
		if header, _, err := parsePicture(m.Data); err == nil {
			v.sendJSON(accepted{"accepted", header.ID, header.Time})
			return
		}
	}
	v.send(m)
}

// send never waits. An error is not reported: the connection's Close follows.
func (v *visitor) send(m *rooms.Message) {
	_ = v.conn.SendPrepared(m.Encoded(encode).(*websocket.Prepared))
}

func (v *visitor) sendJSON(value any) { _ = v.conn.Send(websocket.Text, mustJSON(value)) }

// receive handles one message; the result is what the sender is told if it was not passed on.
func (v *visitor) receive(typ websocket.MessageType, p []byte) *problem {
	id, wait := "", v.allow(len(p))
	if typ == websocket.Binary {
		header, picture, err := parsePicture(p)
		switch {
		case wait > 0:
			return tooFast(header.ID, wait)
		case err != nil:
			return reject("", "bad-frame", err.Error())
		}
		return v.picture(header.ID, header.Name, picture)
	}
	var in incoming
	err := json.Unmarshal(p, &in)
	if len(in.ID) <= maxTokenBytes {
		id = in.ID
	}
	switch {
	case wait > 0:
		return tooFast(id, wait)
	case err != nil:
		return reject("", "bad-json", "a text frame holds one JSON object: "+err.Error())
	case in.Type == "ping":
		v.sendJSON(map[string]string{"type": "pong"})
		return nil
	case in.Type == "text":
		return v.text(in.ID, in.Text)
	case in.Type == "picture":
		picture, err := decodeBase64(in.Data)
		if err != nil {
			return reject(id, "bad-base64", err.Error())
		}
		return v.picture(in.ID, in.Name, picture)
	}
	return reject(id, "unknown-type", fmt.Sprintf("the type %.40q is not known: use text or picture", in.Type))
}

// allow books a message of n bytes, or says when it may be sent again.
func (v *visitor) allow(n int) time.Duration {
	now := time.Now()
	if wait := max(v.messages.wait(1, now), v.volume.wait(float64(n), now)); wait > 0 {
		return wait
	}
	v.messages.take(1)
	v.volume.take(float64(n))
	return 0
}

func tooFast(id string, wait time.Duration) *problem {
	return &problem{Type: "error", Code: "rate", ID: id, Retry: max(1, wait.Milliseconds()),
		Message: "too much at once: send this again after the time in retry (milliseconds)"}
}

func reject(id, code, message string) *problem {
	return &problem{Type: "error", Code: code, Message: message, ID: id}
}

func (v *visitor) text(id, text string) *problem {
	id, refused := v.messageID(id)
	switch {
	case refused != nil:
		return refused
	case strings.TrimSpace(text) == "":
		return reject(id, "empty", "there is nothing in the text")
	case utf8.RuneCountInString(text) > v.chat.config.TextRunes:
		return reject(id, "text-too-long", fmt.Sprintf("a text has at most %d characters", v.chat.config.TextRunes))
	}
	data := mustJSON(textMessage{Type: "message", ID: id, From: v.name, Time: milliseconds(), Text: text})
	return v.publish(id, rooms.Publication{ID: id, Data: data})
}

func (v *visitor) picture(id, name string, picture []byte) *problem {
	id, refused := v.messageID(id)
	if refused != nil {
		return refused
	}
	limit := v.chat.config.PictureBytes
	if len(picture) > limit {
		return reject(id, "picture-too-large", fmt.Sprintf("the picture has %d bytes, at most %d are allowed", len(picture), limit))
	}
	mime := pictureType(picture)
	if mime == "" {
		return reject(id, "not-a-picture", "only PNG, JPEG, GIF, WebP and AVIF pictures are passed on")
	}
	header := pictureHeader{ID: id, From: v.name, Time: milliseconds(), MIME: mime, Name: shorten(name, 100)}
	// The hub keeps what is published, and p is only borrowed from the connection: this makes the copy.
	data, err := appendPicture(make([]byte, 0, len(picture)+picturePreamble+maxPictureHeader), header, picture)
	if err != nil {
		return reject(id, "bad-frame", err.Error())
	}
	return v.publish(id, rooms.Publication{ID: id, Data: data, Binary: true})
}

// messageID checks the id that a client gave to a message, or makes one.
func (v *visitor) messageID(id string) (string, *problem) {
	if id == "" {
		return rand.Text(), nil
	}
	if len(id) > maxTokenBytes || !isURLSafe(id) {
		return "", reject("", "bad-id", fmt.Sprintf("an id has at most %d characters out of A-Z a-z 0-9 - and _", maxTokenBytes))
	}
	return id, nil
}

func (v *visitor) publish(id string, p rooms.Publication) *problem {
	delivered, err := v.membership.Publish(p)
	switch {
	case err != nil:
		return nil // replaced by a newer connection; this one is being closed
	case !delivered:
		v.sendJSON(accepted{Type: "accepted", ID: id}) // a retry: the room has it already
	}
	return nil
}

// shorten cuts s to at most n characters.
func shorten(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

type roomInfo struct {
	Name    string `json:"name"`
	Members int    `json:"members"`
}

// serveRooms answers GET /chat/rooms: the rooms that are offered to everybody. Others are known only to whom their name was told.
func (c *chat) serveRooms(w http.ResponseWriter, _ *http.Request) {
	rooms := make([]roomInfo, len(c.config.Rooms))
	for i, room := range c.config.Rooms {
		rooms[i] = roomInfo{room, c.hub.Count(topicOf(room))}
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(mustJSON(map[string]any{"rooms": rooms}), '\n'))
}
