package live

import (
	"context"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/hub"
)

const (
	maxSlow      = 60  // seconds between two comments of one person
	maxWords     = 50  // blocked words
	maxWordRunes = 30  // of each
	maxMuted     = 200 // people, the newest
	maxRemoved   = 200 // comments, the newest: as many as the topic keeps
)

// house is the rules of a channel's house: one message of its topic, which everybody may read.
type house struct {
	Slow    int      `json:"slow"`    // seconds between two comments of one person; 0: no slow mode
	Words   []string `json:"words"`   // that no comment may contain, in lower case
	Muted   []person `json:"muted"`   // who may not comment
	Removed []uint64 `json:"removed"` // offsets of comments that are not to be shown
}

type person struct {
	User string `json:"user"`
	Name string `json:"name"`
}

// admit refuses what the rules forbid.
func (h *house) admit(user, name, text string) error {
	if slices.ContainsFunc(h.Muted, func(p person) bool { return p.User == user }) {
		return hub.Errorf(codeMuted, "a moderator has muted you on this channel")
	}
	said := strings.ToLower(name + "\n" + text)
	if i := slices.IndexFunc(h.Words, func(word string) bool { return strings.Contains(said, word) }); i >= 0 {
		return hub.Errorf(codeBlockedWord, "%q is a word that this channel does not allow", h.Words[i])
	}
	return nil
}

// moderation is what a moderator does.
type moderation struct {
	Channel string   `json:"channel"`
	Action  string   `json:"action"` // remove, mute, unmute, slow or words
	Offset  uint64   `json:"offset"` // of the comment to remove
	User    string   `json:"user"`   // to mute or unmute
	Name    string   `json:"name"`   // under which they were muted
	Seconds int      `json:"seconds"`
	Words   []string `json:"words"`
}

// moderate changes the rules of a house. Operators may do so everywhere, and broadcasters on their channel.
func (l *live) moderate(ctx context.Context, r *hub.Request, m moderation) (house, error) {
	if err := checkName(m.Channel); err != nil {
		return house{}, err
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	if _, err := l.own(ctx, m.Channel, r.Identity.User); err != nil {
		if err := l.env.Operators.Check(r.Session); err != nil {
			return house{}, err
		}
	}
	h, err := l.houses.read(ctx, m.Channel)
	if err != nil {
		return house{}, err
	}
	if err := h.apply(m); err != nil {
		return house{}, err
	}
	_, err = l.houses.write(ctx, m.Channel, "", h)
	return h, err
}

func (h *house) apply(m moderation) error {
	switch m.Action {
	case "remove":
		if m.Offset == 0 {
			return badModeration("offset says which comment to remove")
		}
		h.Removed = newest(append(without(h.Removed, m.Offset), m.Offset), maxRemoved)
	case "mute", "unmute":
		if m.User == "" || len(m.User) > hub.MaxName || utf8.RuneCountInString(m.Name) > hub.MaxName {
			return badModeration("user says whom to mute")
		}
		h.Muted = slices.DeleteFunc(slices.Clone(h.Muted), func(p person) bool { return p.User == m.User })
		if m.Action == "mute" {
			h.Muted = newest(append(h.Muted, person{m.User, m.Name}), maxMuted)
		}
	case "slow":
		if m.Seconds < 0 || m.Seconds > maxSlow {
			return badModeration("seconds are 0 to %d", maxSlow)
		}
		h.Slow = m.Seconds
	case "words":
		words, err := cleanWords(m.Words)
		if err != nil {
			return err
		}
		h.Words = words
	default:
		return badModeration("action is remove, mute, unmute, slow or words")
	}
	return nil
}

func badModeration(format string, args ...any) error {
	return hub.Errorf(codeBadModeration, format, args...)
}

func cleanWords(words []string) ([]string, error) {
	var clean []string
	for _, word := range words {
		word = strings.ToLower(strings.TrimSpace(word))
		if utf8.RuneCountInString(word) > maxWordRunes || strings.ContainsFunc(word, isUnseen) {
			return nil, badModeration("a blocked word has at most %d characters", maxWordRunes)
		}
		if word != "" && !slices.Contains(clean, word) {
			clean = append(clean, word)
		}
	}
	if len(clean) > maxWords {
		return nil, badModeration("at most %d words can be blocked", maxWords)
	}
	return clean, nil
}

func newest[T any](list []T, limit int) []T { return list[max(0, len(list)-limit):] }

func without(list []uint64, one uint64) []uint64 {
	return slices.DeleteFunc(slices.Clone(list), func(other uint64) bool { return other == one })
}
