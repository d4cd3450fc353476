package live

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

const (
	maxCommentRunes = 60
	commentRate     = 1.0 // comments a second of one person, on average
	commentBurst    = 5   // and at once
	maxSpeakers     = 10_000
)

var (
	colors = []string{"white", "red", "orange", "yellow", "green", "cyan", "blue", "purple"}
	modes  = []string{"scroll", "top"}
)

// comment is one message of a channel's comments. Name is there only if the program has published it, for the simulated audience.
type comment struct {
	Text  string `json:"text"`
	Color string `json:"color"`
	Mode  string `json:"mode"`
	Name  string `json:"name,omitempty"`
}

func badComment(format string, args ...any) error { return hub.Errorf(codeBadComment, format, args...) }

func parseComment(data []byte) (comment, error) {
	var c comment
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(&c); err != nil {
		return comment{}, badComment(`a comment is {"text":"...","color":"white","mode":"scroll"}`)
	}
	c.Text = strings.TrimSpace(c.Text)
	switch {
	case c.Text == "" || utf8.RuneCountInString(c.Text) > maxCommentRunes:
		return comment{}, badComment("a comment has 1 to %d characters", maxCommentRunes)
	case strings.ContainsFunc(c.Text, isUnseen):
		return comment{}, badComment("a comment is one line without control characters")
	case !slices.Contains(colors, c.Color):
		return comment{}, badComment("color is one of %s", strings.Join(colors, ", "))
	case !slices.Contains(modes, c.Mode):
		return comment{}, badComment("mode is one of %s", strings.Join(modes, ", "))
	case c.Name != "":
		return comment{}, badComment("the name comes from the connection's info")
	}
	return c, nil
}

// isUnseen is true for what would break the line, or turn around what stands beside it. Emoji are made with U+200D.
func isUnseen(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp) || unicode.Is(unicode.Cf, r) && r != '\u200d'
}

// admitComment decides about what is published as a comment.
func (l *live) admitComment(call *hub.PublishCall, name string) error {
	if call.Publication.Binary {
		return badComment("comments are JSON, not bytes")
	}
	speaker, err := showcase.NameOf(call.Identity)
	if err != nil {
		return err
	}
	c, err := parseComment(call.Publication.Data)
	if err != nil {
		return err
	}
	on, err := l.channels.get(call.Context, name)
	if err != nil {
		return err
	}
	if !on.Live {
		return hub.Errorf(codeNotLive, "nobody broadcasts on %s now", name)
	}
	h, err := l.houses.get(call.Context, name)
	if err != nil {
		return err
	}
	if err := h.admit(call.Identity.User, speaker, c.Text); err != nil {
		return err
	}
	if err := l.speakers.admit(call.Identity.User, h.Slow, time.Now()); err != nil {
		return err
	}
	call.Publication.Key = ""
	call.Publication.Data, err = json.Marshal(c)
	return err
}

// speakers counts what people say. The zero value knows nobody. Its methods may be called from any goroutine.
type speakers struct {
	mu    sync.Mutex
	known map[string]speaker // by user; guarded by mu
}

type speaker struct {
	spent float64   // comments that count against the burst
	last  time.Time // when the last one was
}

// admit counts a comment of a user, or refuses it. slow are the seconds between two, or 0.
func (s *speakers) admit(user string, slow int, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	who, known := s.known[user]
	since := now.Sub(who.last)
	if wait := time.Duration(slow)*time.Second - since; known && wait > 0 {
		return refuse(codeSlowMode, wait, "slow mode: one comment in %d s; wait %s more", slow, spoken(wait))
	}
	who.spent = max(0, who.spent-since.Seconds()*commentRate)
	if over := who.spent + 1 - commentBurst; over > 0 {
		wait := time.Duration(over / commentRate * float64(time.Second))
		return refuse(codeTooFast, wait, "that is faster than anybody reads: wait %s", spoken(wait))
	}
	if s.known == nil {
		s.known = make(map[string]speaker)
	}
	if !known && len(s.known) >= maxSpeakers {
		s.makeRoom(now)
	}
	s.known[user] = speaker{who.spent + 1, now}
	return nil
}

func refuse(code hub.Code, retry time.Duration, format string, args ...any) error {
	err := hub.Errorf(code, format, args...)
	err.Retry = retry
	return err
}

func spoken(wait time.Duration) time.Duration {
	return max(wait.Round(100*time.Millisecond), 100*time.Millisecond)
}

// makeRoom forgets who has been silent for long, and else anybody: they may say a little more.
func (s *speakers) makeRoom(now time.Time) {
	for user, who := range s.known {
		if now.Sub(who.last) > maxSlow*time.Second {
			delete(s.known, user)
		}
	}
	for user := range s.known {
		if len(s.known) < maxSpeakers {
			return
		}
		delete(s.known, user)
	}
}
