// Package live is the server part of the live page: broadcasts of pictures as binary messages, and comments that fly over them.
//
// A channel has five topics, which end in its name:
//
//   - demo.live.channel.NAME has the newest state of the channel, so that all together are the list of channels.
//   - demo.live.video.NAME carries the frames (see frame), of the last 30 s at most 128 and 8 MiB: whoever comes late begins with the last
//     key frame. A slow viewer has at most 16 frames waiting, or the newest JPEG, and is told of the gap.
//   - demo.live.control.NAME asks the broadcaster for key frames. Only the broadcaster subscribes, so its presence is the broadcaster's.
//   - demo.live.comments.NAME has the comments, the last 200 of an hour.
//   - demo.live.house.NAME has the newest rules of the house: slow mode, blocked words, who is muted, and which comments are not to be
//     shown; these stay in the history of the comments, since a hub does not take back what it has delivered.
//
// All state is in these topics, so any node of a cluster can answer, and what is kept with the server's data survives a restart.
package live

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

const prefix = "demo.live."

// Kinds of topics, between the prefix and the channel's name.
const (
	kindChannel  = "channel"
	kindVideo    = "video"
	kindControl  = "control"
	kindComments = "comments"
	kindHouse    = "house"
)

var kinds = []string{kindChannel, kindVideo, kindControl, kindComments, kindHouse}

// Codes of refusals. The page says them in its visitor's language.
const (
	codeBadChannel    hub.Code = "live.bad-channel"
	codeBadStart      hub.Code = "live.bad-start"
	codeTaken         hub.Code = "live.taken"
	codeFull          hub.Code = "live.full"
	codeElsewhere     hub.Code = "live.elsewhere"
	codeNotLive       hub.Code = "live.not-live"
	codeNotYours      hub.Code = "live.not-yours"
	codeBadFrame      hub.Code = "live.bad-frame"
	codeBadComment    hub.Code = "live.bad-comment"
	codeTooFast       hub.Code = "live.too-fast"
	codeSlowMode      hub.Code = "live.slow-mode"
	codeMuted         hub.Code = "live.muted"
	codeBlockedWord   hub.Code = "live.blocked-word"
	codeBadModeration hub.Code = "live.bad-moderation"
)

func topic(kind, name string) string { return prefix + kind + "." + name }

// live is the service. Its methods may be called from any goroutine.
type live struct {
	env      *showcase.Env
	channels *latest[channel]
	houses   *latest[house]
	speakers speakers

	writing sync.Mutex        // held while a channel or a house is changed
	mine    map[string]string // channels begun at this node, with their broadcasters; guarded by writing

	askedMu sync.Mutex
	asked   map[string]time.Time // when channels were asked for a key frame last; guarded by askedMu

	crowdMu   sync.Mutex
	crowds    map[string]context.CancelFunc // simulated audiences of this node, by channel; guarded by crowdMu
	audiences sync.WaitGroup                // of all in crowds
}

// New makes the app.
func New(env *showcase.Env) (*showcase.App, error) {
	l := &live{
		env: env, channels: newLatest[channel](env, kindChannel), houses: newLatest[house](env, kindHouse),
		mine: make(map[string]string), asked: make(map[string]time.Time), crowds: make(map[string]context.CancelFunc),
	}
	return &showcase.App{
		Name: "live", Topics: rules(), Subscribe: l.subscribe, Publish: l.publish, Solo: l.census, Close: l.close,
		Requests: map[string]hub.RequestHandler{
			"start":    showcase.Answering(l.start),
			"stop":     showcase.Answering(l.stop),
			"key":      showcase.Answering(l.askForKey),
			"clock":    showcase.Answering(clock),
			"moderate": showcase.Answering(l.moderate),
			"audience": showcase.Answering(l.audience),
		},
	}, nil
}

func rules() []hub.Rule {
	state := hub.TopicOptions{HistoryMessages: 1, HistoryAge: time.Hour, HistoryBytes: 64 << 10, Publish: hub.Nobody}
	return []hub.Rule{
		{Pattern: topic(kindChannel, "*"), TopicOptions: state},
		{Pattern: topic(kindHouse, "*"), TopicOptions: state},
		{Pattern: topic(kindControl, "*"), TopicOptions: hub.TopicOptions{Presence: hub.PresenceCount, Publish: hub.Nobody}},
		{Pattern: topic(kindVideo, "*"), TopicOptions: hub.TopicOptions{
			HistoryMessages: maxEvery, HistoryAge: 30 * time.Second, HistoryBytes: 8 << 20,
			Presence: hub.PresenceCount, MaxBytes: headerBytes + maxFrame, PublishRate: maxFrames, PublishBurst: maxFrames,
			// What is behind is of no use to anybody: the hook gives all JPEGs one key, so that of these only the newest waits.
			Slow: hub.SlowLatest, SlowMessages: 16, SlowBytes: 2 << 20,
		}},
		{Pattern: topic(kindComments, "*"), TopicOptions: hub.TopicOptions{
			HistoryMessages: 200, HistoryAge: time.Hour, MaxBytes: 1 << 10,
		}},
	}
}

func (l *live) close() {
	l.crowdMu.Lock()
	for _, end := range l.crowds {
		end()
	}
	l.crowdMu.Unlock()
	l.audiences.Wait()
}

// split takes a topic of the app apart. Patterns are refused, as they would hear what only broadcasters are told, and names that are none.
func split(at string) (kind, name string, err error) {
	kind, name, _ = strings.Cut(strings.TrimPrefix(at, prefix), ".")
	if !slices.Contains(kinds, kind) {
		return "", "", hub.Errorf(hub.CodeForbidden, "topics here are %s followed by %s, and the channel", prefix, strings.Join(kinds, ", "))
	}
	return kind, name, checkName(name)
}

func (l *live) subscribe(call *hub.SubscribeCall) error {
	if call.Topic == topic(kindChannel, "*") {
		return nil
	}
	kind, name, err := split(call.Topic)
	if err != nil || kind != kindControl {
		return err
	}
	_, err = l.own(call.Context, name, call.Identity.User)
	return err
}

func (l *live) publish(call *hub.PublishCall) error {
	kind, name, err := split(call.Topic)
	if err != nil {
		return err
	}
	call.Publication.Meta = nil
	switch kind {
	case kindVideo:
		if _, err := l.own(call.Context, name, call.Identity.User); err != nil {
			return err
		}
		return admitFrame(call.Publication, time.Now())
	case kindComments:
		return l.admitComment(call, name)
	default:
		return hub.Errorf(hub.CodeForbidden, "there is nothing to publish to in %s", call.Topic)
	}
}

// own returns a channel that this user broadcasts on.
func (l *live) own(ctx context.Context, name, user string) (channel, error) {
	c, err := l.channels.get(ctx, name)
	switch {
	case err != nil:
		return channel{}, err
	case !c.Live:
		return channel{}, hub.Errorf(codeNotLive, "nobody broadcasts on %s: begin with %sstart", name, prefix)
	case c.User != user:
		return channel{}, hub.Errorf(codeNotYours, "%s broadcasts on %s; only the broadcaster may do this", c.Name, name)
	}
	return c, nil
}

// now answers demo.live.clock. Broadcaster and viewers find out by it how far their clocks are from the server's.
type now struct {
	Time int64 `json:"time"` // milliseconds since 1970
}

func clock(context.Context, *hub.Request, struct{}) (now, error) {
	return now{time.Now().UnixMilli()}, nil
}
