package chat

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/hub"
)

const (
	questionBurst = 20
	maxRooms      = 20  // asked about at once
	maxUnread     = 100 // more are not counted
	maxMatches    = 50
	maxSearch     = 100 // characters
	searchPage    = 100 // messages that are looked through before others get their turn
	beforeMatch   = 40  // characters of a text that are shown before what was found in it
	maxExcerpt    = 160 // and in all
)

// ration refuses who asks too much at once.
func (c *chat) ration(r *hub.Request) error {
	if wait := c.questions.take(r.Session, 1, time.Now()); wait > 0 {
		return &hub.Error{Code: codeTooManyQuestions, Message: "these are too many questions at once", Retry: wait}
	}
	return nil
}

// unreadQuestion asks how much was said in rooms behind a position.
type unreadQuestion struct {
	Rooms []struct {
		Room string `json:"room"`
		position
	} `json:"rooms"`
}

type unreadAnswer struct {
	Rooms []unreadRoom `json:"rooms"`
}

type unreadRoom struct {
	Room   string `json:"room"`
	Unread int    `json:"unread"` // messages of others; maxUnread stands for that many and more
}

// unread answers chat.unread. A position that the room has forgotten, or of another epoch, stands for its beginning.
func (c *chat) unread(ctx context.Context, r *hub.Request, question unreadQuestion) (unreadAnswer, error) {
	if len(question.Rooms) > maxRooms {
		return unreadAnswer{}, hub.Errorf(hub.CodeBadRequest, "chat.unread takes at most %d rooms", maxRooms)
	}
	if err := c.ration(r); err != nil {
		return unreadAnswer{}, err
	}
	answer := unreadAnswer{Rooms: make([]unreadRoom, len(question.Rooms))}
	for i, asked := range question.Rooms {
		if problem := roomProblem(asked.Room); problem != "" {
			return unreadAnswer{}, hub.Errorf(codeRoomMalformed, "%s", problem)
		}
		page, err := c.env.Hub.History(ctx, prefix+asked.Room, hub.HistoryQuery{After: asked.Offset, Forward: true, Limit: maxUnread, Epoch: asked.Epoch})
		if err != nil {
			return unreadAnswer{}, err
		}
		answer.Rooms[i].Room = asked.Room
		for _, m := range page.Messages {
			if m.From.User != r.Identity.User {
				answer.Rooms[i].Unread++
			}
		}
	}
	return answer, nil
}

type searchQuestion struct {
	Room string `json:"room"`
	Text string `json:"text"`
}

type searchAnswer struct {
	Matches []match `json:"matches"` // the newest first
	More    bool    `json:"more"`    // there are older ones
}

type match struct {
	position
	Time    int64  `json:"time"` // milliseconds since 1970
	From    string `json:"from,omitempty"`
	Text    string `json:"text"` // what is around the place, or the name of a picture's file
	Picture bool   `json:"picture,omitempty"`
}

// search answers chat.search: in which of the messages that a room remembers a text occurs, whatever the case.
func (c *chat) search(ctx context.Context, r *hub.Request, question searchQuestion) (searchAnswer, error) {
	answer := searchAnswer{Matches: []match{}}
	wanted := strings.ToLower(strings.TrimSpace(question.Text))
	if problem := roomProblem(question.Room); problem != "" {
		return answer, hub.Errorf(codeRoomMalformed, "%s", problem)
	}
	if n := utf8.RuneCountInString(wanted); n == 0 || n > maxSearch {
		return answer, hub.Errorf(codeSearchTooShort, "what is searched for has 1 to %d characters", maxSearch)
	}
	if err := c.ration(r); err != nil {
		return answer, err
	}
	for before, more := uint64(0), true; more; {
		page, err := c.env.Hub.History(ctx, prefix+question.Room, hub.HistoryQuery{Before: before, Limit: searchPage})
		if err != nil {
			return answer, err
		}
		for i := len(page.Messages) - 1; i >= 0; i-- {
			m := page.Messages[i]
			s := saidIn(m)
			text, found := excerpt(s.text, wanted)
			if !found {
				continue
			}
			if len(answer.Matches) == maxMatches {
				answer.More = true
				return answer, nil
			}
			answer.Matches = append(answer.Matches,
				match{position{page.Epoch, m.Offset}, m.Time.UnixMilli(), shorten(s.from, maxAuthorRunes), text, s.picture})
		}
		more = page.More && len(page.Messages) > 0
		if more {
			before = page.Messages[0].Offset
		}
	}
	return answer, nil
}

// excerpt reports whether wanted, which is in lower case, occurs in a text, and returns one line of what is around it.
func excerpt(text, wanted string) (around string, found bool) {
	lower := strings.ToLower(text)
	at := strings.Index(lower, wanted)
	if at < 0 {
		return "", false
	}
	skip := max(0, utf8.RuneCountInString(lower[:at])-beforeMatch) // characters, as case may change how many bytes one has
	if skip > 0 {
		text = "…" + string([]rune(text)[skip:])
	}
	if short := shorten(text, maxExcerpt); len(short) < len(text) {
		text = short + "…"
	}
	return visible(text), true
}
