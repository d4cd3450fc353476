package server

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/internal/rooms"
	"github.com/duplex-websocket/duplex/websocket"
)

const (
	maxNameRunes  = 24
	maxRoomRunes  = 32
	minTokenBytes = 16
	maxTokenBytes = 64
)

// refusal is why somebody may not enter a room. It is the same whether it answers a handshake or GET /chat/check, which is
// how a page learns the reason: browsers do not show a script what a refused handshake was answered.
type refusal struct {
	Status  int    `json:"-"`
	Code    string `json:"error"`
	Message string `json:"message"`
}

func (r *refusal) body() []byte {
	b, err := json.Marshal(r)
	if err != nil {
		panic(err) // two strings
	}
	return append(b, '\n')
}

func (r *refusal) handshakeError() *websocket.HandshakeError {
	return &websocket.HandshakeError{
		Status: r.Status, Reason: r.Message, Body: r.body(),
		Header: http.Header{"Content-Type": {"application/json"}, "Cache-Control": {"no-store"}},
	}
}

// admission is who wants to enter which room, taken from the query of the handshake and checked.
type admission struct {
	room  string
	name  string // as it is shown
	id    string // as it is compared: "Ann" and "ann" are one name
	token string // whoever knows it may take over the name; empty: nobody
}

func (a *admission) topic() string { return topicOf(a.room) }

func topicOf(room string) string { return "chat." + room }

// readAdmission checks what the query says by itself; whether the name is free is another question (chat.admit).
func readAdmission(query url.Values) (*admission, *refusal) {
	a := &admission{room: query.Get("room"), name: query.Get("name"), token: query.Get("token")}
	if problem := roomProblem(a.room); problem != "" {
		return nil, &refusal{http.StatusBadRequest, "room-malformed", problem}
	}
	if problem := personProblem(a.name); problem != "" {
		return nil, &refusal{http.StatusBadRequest, "name-malformed", problem}
	}
	if a.token != "" && !validToken(a.token) {
		return nil, &refusal{http.StatusBadRequest, "token-malformed",
			fmt.Sprintf("a token has %d to %d characters out of A-Z a-z 0-9 - and _", minTokenBytes, maxTokenBytes)}
	}
	a.id = strings.ToLower(a.name)
	return a, nil
}

func roomProblem(room string) string {
	switch {
	case room == "":
		return "a room is needed: add ?room=lobby"
	case !utf8.ValidString(room):
		return "the room's name is not UTF-8"
	case utf8.RuneCountInString(room) > maxRoomRunes:
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
		return "a name is needed: add &name=..."
	case !utf8.ValidString(name):
		return "the name is not UTF-8"
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

// validToken is also the form of the ids that clients give to their messages, at any length.
func validToken(s string) bool {
	return len(s) >= minTokenBytes && len(s) <= maxTokenBytes && isURLSafe(s)
}

func isURLSafe(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// mayReplace reports whether the newcomer is the same tab as old, whose connection the network has not yet noticed to be dead.
func (a *admission) mayReplace(old rooms.Subscriber) bool {
	v, ok := old.(*visitor)
	return ok && a.token != "" && subtle.ConstantTimeCompare([]byte(a.token), []byte(v.token)) == 1
}

// admit answers whether somebody may enter now. It does not hold the place: between this and joining another may take it.
func (c *chat) admit(query url.Values) (*admission, *refusal) {
	a, refused := readAdmission(query)
	if refused != nil {
		return nil, refused
	}
	old := c.hub.Member(a.topic(), a.id)
	if old != nil && !a.mayReplace(old) {
		return nil, nameTaken(a)
	}
	if old == nil && c.hub.Count(a.topic()) >= c.config.RoomMembers {
		return nil, roomFull(a)
	}
	return a, nil
}

func nameTaken(a *admission) *refusal {
	return &refusal{http.StatusConflict, "name-taken", fmt.Sprintf("somebody called %s is in %s already", a.name, a.room)}
}

func roomFull(a *admission) *refusal {
	return &refusal{http.StatusServiceUnavailable, "room-full", fmt.Sprintf("%s has as many people as it can hold", a.room)}
}

// intercept is the handshake's hook: it refuses, or leaves the admission where Open finds it.
func (c *chat) intercept(u *websocket.Upgrade) error {
	a, refused := c.admit(u.Request.URL.Query())
	if refused != nil {
		return refused.handshakeError()
	}
	u.SetAttribute(admissionKey{}, a)
	return nil
}

type admissionKey struct{}

// serveCheck answers GET /chat/check: what the handshake with the same query would be answered.
func (c *chat) serveCheck(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if _, refused := c.admit(r.URL.Query()); refused != nil {
		w.WriteHeader(refused.Status)
		_, _ = w.Write(refused.body())
		return
	}
	_, _ = w.Write([]byte("{}\n"))
}
