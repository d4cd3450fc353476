// Package arena is the server part of the arena page: a game for many, of which the server alone decides what happens. It takes twenty
// steps a second, and publishes after each what has changed (snapshot.go), as one message for everybody; each second all that there is, so
// that who comes late, or has missed something, knows everything within a second. The topic keeps a second of them: newcomers see the game
// at once, and a node that takes over, or a server that was started again with its data, goes on with it.
//
//	demo.arena.ticks  snapshots: binary, 20 a second
//	demo.arena.in     what pilots do. Text: {"do":"join"} or {"do":"leave"}. Binary, at most 30 a second: the number of the input (2 bytes,
//	                  little-endian, growing), its direction x and y (1 byte each, signed, together no longer than 100), 1 to dash or else 0.
//
// An input is one step of a ship, so no input, and no number of them, makes one faster than the rules (rules.go) allow. The page computes
// the same step at once, and corrects itself by the number of the last input that a snapshot counts in. The game hears demo.arena.in as a
// subscriber of its own hub, so it does not matter which node of a cluster a pilot is connected to. It runs while somebody watches.
package arena

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"hash/fnv"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

const (
	ticksTopic = "demo.arena.ticks"
	inTopic    = "demo.arena.in"

	perSecond = 20
	tickTime  = time.Second / perSecond
	keep      = perSecond + 2 // snapshots, so that there is always a full one among them

	inputRate  = 1.5 * perSecond // of one pilot; the rest is for clocks that differ
	inputBurst = 3 * perSecond
	maxOrder   = 64   // bytes
	inboxSize  = 4096 // what came between two ticks; beyond that it is lost, as on a bad network

	codeMalformed hub.Code = "arena.input-malformed"
	codePattern   hub.Code = "arena.pattern"
)

// New makes the app.
func New(env *showcase.Env) (*showcase.App, error) {
	g := &game{env: env, inbox: make(inbox, inboxSize)}
	return &showcase.App{
		Name: "arena",
		Topics: []hub.Rule{
			{Pattern: ticksTopic, TopicOptions: hub.TopicOptions{
				HistoryMessages: keep, HistoryAge: time.Minute, Presence: hub.PresenceCount, Publish: hub.Nobody,
				SlowMessages: keep, // who is slow jumps, rather than see what was
			}},
			{Pattern: inTopic, TopicOptions: hub.TopicOptions{
				Subscribe: hub.Granted, MaxBytes: maxOrder, PublishRate: inputRate, PublishBurst: inputBurst,
				Window: time.Second, WindowIDs: 100, // inputs are not sent again
			}},
		},
		Subscribe: subscribe,
		Publish:   publish,
		Solo: func(ctx context.Context) {
			showcase.WhileWatched(ctx, env.Hub, ticksTopic, g.play)
		},
	}, nil
}

// subscribe refuses patterns: the game runs for those who watch its topic, and a pattern does not say who watches.
func subscribe(call *hub.SubscribeCall) error {
	if call.Topic != ticksTopic && call.Topic != inTopic {
		return hub.Errorf(codePattern, "there is nothing at %s: the arena is at %s", call.Topic, ticksTopic)
	}
	return nil
}

// publish refuses, at the node where a pilot is, what is no input. How much of it may come says the topic's rule.
func publish(call *hub.PublishCall) error {
	p := call.Publication
	if p.Binary {
		if o, ok := readOrder(p.Data); !ok || !o.isValid() {
			return hub.Errorf(codeMalformed,
				"an input has 5 bytes: number (2), x and y (1 each, signed, together no longer than %d), 1 to dash or 0", full)
		}
		return nil
	}
	switch readWish(p.Data) {
	case join:
		_, err := showcase.NameOf(call.Identity)
		return err
	case leave:
		return nil
	}
	return hub.Errorf(codeMalformed, `{"do":"join"} and {"do":"leave"} are understood, and inputs of 5 bytes`)
}

// What one can wish for.
const (
	join  = "join"
	leave = "leave"
)

func readWish(data []byte) string {
	var wish struct{ Do string }
	if json.Unmarshal(data, &wish) != nil {
		return ""
	}
	return wish.Do
}

func readOrder(data []byte) (order, bool) {
	if len(data) != 5 || data[4] > 1 {
		return order{}, false
	}
	return order{
		seq:   binary.LittleEndian.Uint16(data),
		input: input{X: int32(int8(data[2])), Y: int32(int8(data[3])), Dash: data[4] == 1},
	}, true
}

// ownerOf is how a snapshot says whose a ship is: a hash of the user, never 0.
func ownerOf(user string) uint32 {
	hash := fnv.New32a()
	hash.Write([]byte(user))
	return max(1, hash.Sum32())
}

// inbox is the sink of the game's own subscription. What does not fit is lost.
type inbox chan *hub.Message

func (in inbox) Deliver(m *hub.Message) bool {
	if m.Kind == hub.KindData {
		select {
		case in <- m:
		default:
		}
	}
	return true
}

func (in inbox) End(hub.End) {}

// game runs the world.
type game struct {
	env   *showcase.Env
	inbox inbox
}

// play runs the world until ctx ends.
func (g *game) play(ctx context.Context) {
	subscriber, err := g.listen(ctx)
	if err != nil {
		g.env.Logger.Debug("the arena waits for its broker", "error", err)
		return // and is played again in a moment
	}
	defer subscriber.Close()
	run := &run{game: g, world: g.begin(ctx)}
	ticker := time.NewTicker(tickTime)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			run.tick(ctx)
		}
	}
}

// listen subscribes to what pilots do, on whichever node they are.
func (g *game) listen(ctx context.Context) (*hub.Subscriber, error) {
	s, err := g.env.Hub.Listen(g.inbox)
	if err != nil {
		return nil, err
	}
	subscribed, err := s.Subscribe(ctx, inTopic, hub.SubscribeOptions{})
	if err != nil {
		s.Close()
		return nil, err
	}
	subscribed.Begin()
	return s, nil
}

// begin goes on with the world that was published last, if that was moments ago: this node takes over, or was started again.
func (g *game) begin(ctx context.Context) *world {
	now := time.Now()
	seed := uint64(now.UnixNano())
	page, err := g.env.Hub.History(ctx, ticksTopic, hub.HistoryQuery{Limit: keep})
	if err != nil {
		g.env.Logger.Debug("the arena begins anew", "error", err)
	}
	var last *view
	for _, m := range page.Messages {
		if v, err := decode(m.Data, last); err == nil {
			last = v
		}
	}
	if last != nil {
		return resume(last, seed)
	}
	return newWorld(seed, uint32(now.UnixMilli()/tickTime.Milliseconds()))
}

// run is the world from when it begins on this node.
type run struct {
	*game
	world *world
	shown *view // what has been published last; nil: nobody can tell, so the next one is full
	cost  time.Duration
}

// tick takes a step and publishes it.
func (r *run) tick(ctx context.Context) {
	start := time.Now()
	for n := len(r.inbox); n > 0; n-- {
		r.take(<-r.inbox)
	}
	r.world.step()
	view := r.world.view(uint16(min(r.cost.Microseconds(), 1<<16-1)))
	data := r.encode(view)
	r.cost += (time.Since(start) - r.cost) / perSecond // an average of about a second

	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	r.shown = view
	if _, err := r.env.Hub.Publish(ctx, ticksTopic, hub.Publication{Data: data, Binary: true}); err != nil {
		r.shown = nil
		r.env.Logger.Debug("a tick of the arena was not published", "error", err)
	}
}

func (r *run) encode(v *view) []byte {
	if r.shown == nil || v.Tick%perSecond == 0 {
		return appendFull(nil, v)
	}
	return appendDelta(nil, r.shown, v)
}

// take does what a pilot wants.
func (r *run) take(m *hub.Message) {
	owner := ownerOf(m.From.User)
	if m.Binary {
		if o, ok := readOrder(m.Data); ok {
			r.world.order(owner, o)
		}
		return
	}
	switch readWish(m.Data) {
	case join:
		name, _ := showcase.ShownName(m.From.User, m.From.Info)
		if runes := []rune(name); len(runes) > 24 {
			name = string(runes[:24])
		}
		r.world.join(owner, name)
	case leave:
		r.world.leave(owner)
	}
}
