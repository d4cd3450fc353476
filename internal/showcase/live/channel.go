package live

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

const (
	maxChannels  = 50  // broadcasts that were begun at one node and go on
	maxEvery     = 128 // frames from one key frame to the next; the history of a channel has as many
	maxNameRunes = 32
	keyPause     = 300 * time.Millisecond // between two requests for a key frame that the broadcaster is bothered with
	look         = time.Second            // how often it is looked at who is there
	lookQuiet    = 5                      // looks that are left out while nobody broadcasts, since each asks all nodes
	absences     = 3                      // looks in a row that a broadcaster may be away
	retell       = 20 * time.Minute       // after which an unchanged state is told again, before the topic forgets it
)

var codecs = []string{"jpeg", "vp8", "vp9", "h264"}

// channel is the state of a channel: one message of its topic.
type channel struct {
	Channel string    `json:"channel"`
	N       int       `json:"n"` // its broadcasts, this one included
	Live    bool      `json:"live"`
	User    string    `json:"user"` // the broadcaster
	Name    string    `json:"name"`
	Codec   string    `json:"codec"`
	Every   int       `json:"every"` // at most so many frames from one key frame to the next: as many as a viewer has to begin with
	Viewers int       `json:"viewers"`
	Since   time.Time `json:"since"`
	Told    time.Time `json:"told"`
}

func checkName(name string) error {
	fits := name != "" && utf8.RuneCountInString(name) <= maxNameRunes
	for _, r := range name {
		fits = fits && (showcase.IsWordRune(r) || strings.ContainsRune("-_", r))
	}
	if !fits {
		return hub.Errorf(codeBadChannel, "a channel's name has 1 to %d letters, digits, - and _; this has not: %q", maxNameRunes, shorten(name))
	}
	return nil
}

func shorten(s string) string {
	if runes := []rune(s); len(runes) > maxNameRunes {
		return string(runes[:maxNameRunes]) + "…"
	}
	return s
}

type startQuestion struct {
	Channel string `json:"channel"`
	Codec   string `json:"codec"`
	Every   int    `json:"every"`
}

func (q *startQuestion) check() error {
	if err := checkName(q.Channel); err != nil {
		return err
	}
	if !slices.Contains(codecs, q.Codec) {
		return hub.Errorf(codeBadStart, "codec is one of %s, not %q", strings.Join(codecs, ", "), shorten(q.Codec))
	}
	if q.Every < 1 || q.Every > maxEvery {
		return hub.Errorf(codeBadStart, "every is the number of frames from one key frame to the next, 1 to %d, not %d", maxEvery, q.Every)
	}
	return nil
}

// start begins a broadcast, or changes one's own, or takes it up again after a lost connection.
func (l *live) start(ctx context.Context, r *hub.Request, q startQuestion) (channel, error) {
	if err := q.check(); err != nil {
		return channel{}, err
	}
	name, err := showcase.NameOf(r.Identity)
	if err != nil {
		return channel{}, err
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	c, err := l.channels.read(ctx, q.Channel)
	if err != nil {
		return channel{}, err
	}
	if c.Live && c.User != r.Identity.User {
		return channel{}, taken(c)
	}
	now, id := time.Now().UTC(), "" // whoever has the channel may change it as often as they like
	if !c.Live {
		if err := l.admitBroadcast(ctx, q.Channel, r.Identity.User); err != nil {
			return channel{}, err
		}
		// Two nodes may be asked at the same time by two people: then the id is the same, and the first one has it.
		id = fmt.Sprintf("start-%d", c.N+1)
		c = channel{Channel: q.Channel, N: c.N + 1, Live: true, User: r.Identity.User, Since: now}
	}
	c.Name, c.Codec, c.Every, c.Told = name, q.Codec, q.Every, now
	won, err := l.channels.write(ctx, q.Channel, id, c)
	if err != nil {
		return channel{}, err
	}
	if !won {
		return channel{}, taken(c)
	}
	l.mine[q.Channel] = r.Identity.User
	return c, nil
}

func taken(c channel) error {
	return hub.Errorf(codeTaken, "somebody broadcasts on %s already: watch, or choose another channel", c.Channel)
}

// admitBroadcast refuses one too many.
func (l *live) admitBroadcast(ctx context.Context, name, user string) error {
	for other, broadcaster := range l.mine {
		if broadcaster != user && len(l.mine) < maxChannels {
			continue
		}
		c, err := l.channels.read(ctx, other)
		switch {
		case err != nil:
			return err
		case !c.Live || c.User != broadcaster:
			delete(l.mine, other)
		case broadcaster == user && other != name:
			return hub.Errorf(codeElsewhere, "you broadcast on %s: stop that first", other)
		}
	}
	if len(l.mine) >= maxChannels {
		return hub.Errorf(codeFull, "there are %d broadcasts already, which is as many as there may be: wait until one ends", maxChannels)
	}
	return nil
}

type channelQuestion struct {
	Channel string `json:"channel"`
}

// stop ends one's own broadcast.
func (l *live) stop(ctx context.Context, r *hub.Request, q channelQuestion) (struct{}, error) {
	if err := checkName(q.Channel); err != nil {
		return struct{}{}, err
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	if _, err := l.own(ctx, q.Channel, r.Identity.User); err != nil {
		return struct{}{}, err
	}
	return struct{}{}, l.end(ctx, q.Channel)
}

// end tells that a broadcast is over. writing is held.
func (l *live) end(ctx context.Context, name string) error {
	c, err := l.channels.read(ctx, name)
	if err != nil || !c.Live {
		return err
	}
	c.Live, c.Viewers, c.Told = false, 0, time.Now().UTC()
	_, err = l.channels.write(ctx, name, fmt.Sprintf("end-%d", c.N), c)
	delete(l.mine, name)
	return err
}

// askForKey passes on that a viewer needs a key frame, because it has just come or has missed something.
func (l *live) askForKey(ctx context.Context, _ *hub.Request, q channelQuestion) (struct{}, error) {
	if err := checkName(q.Channel); err != nil {
		return struct{}{}, err
	}
	if c, err := l.channels.get(ctx, q.Channel); err != nil || !c.Live || !l.mayAsk(q.Channel) {
		return struct{}{}, err
	}
	_, err := showcase.JSON(ctx, l.env.Hub, topic(kindControl, q.Channel), "", map[string]string{"ask": "key"})
	return struct{}{}, err
}

// mayAsk makes one request of many that come together: the key frame that follows is for all.
func (l *live) mayAsk(name string) bool {
	l.askedMu.Lock()
	defer l.askedMu.Unlock()
	if time.Since(l.asked[name]) < keyPause {
		return false
	}
	if len(l.asked) >= maxLatest {
		clear(l.asked)
	}
	l.asked[name] = time.Now()
	return true
}

// census counts the viewers of all channels, and ends the broadcasts of those who have gone.
func (l *live) census(ctx context.Context) {
	away := make(map[string]int)
	tick := time.NewTicker(look)
	defer tick.Stop()
	for quiet := 0; ; quiet-- {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		if quiet > 0 {
			continue
		}
		quiet = lookQuiet
		page, err := l.env.Hub.Topics(ctx, hub.TopicQuery{Pattern: topic(kindChannel, "*"), Limit: 1000})
		for _, info := range page.Topics {
			if _, name, bad := split(info.Name); bad == nil && err == nil {
				var on bool
				if on, err = l.count(ctx, name, away); on {
					quiet = 0
				}
			}
		}
		if err != nil && ctx.Err() == nil {
			l.env.Logger.Debug("channels are not counted now", "error", err) // and will be at the next look
		}
	}
}

// count looks at one channel, and reports whether somebody broadcasts on it.
func (l *live) count(ctx context.Context, name string, away map[string]int) (bool, error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	c, err := l.channels.read(ctx, name)
	if err != nil || !c.Live {
		delete(away, name)
		return false, err
	}
	broadcaster, err := l.env.Hub.Presence(ctx, topic(kindControl, name))
	if err != nil {
		return true, err
	}
	if broadcaster.Count > 0 {
		delete(away, name)
	} else if away[name]++; away[name] >= absences {
		delete(away, name)
		return false, l.end(ctx, name)
	}
	watching, err := l.env.Hub.Presence(ctx, topic(kindVideo, name))
	if err != nil || watching.Count == c.Viewers && time.Since(c.Told) < retell {
		return true, err
	}
	c.Viewers, c.Told = watching.Count, time.Now().UTC()
	_, err = l.channels.write(ctx, name, "", c)
	return true, err
}
