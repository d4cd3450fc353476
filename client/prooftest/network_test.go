package prooftest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/client"
	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/faulty"
	"github.com/duplex-websocket/duplex/internal/ledger"
	"github.com/duplex-websocket/duplex/session"
)

// trial is a hub in this process behind a bad network.
type trial struct {
	seed    uint64
	history int // messages that each topic keeps
	slow    int // messages that wait for a slow subscription
	buffer  int // events that wait in a client
	plan    func(n int, r *rand.Rand) faulty.Plan

	url   string
	hub   *hub.Hub
	proxy *faulty.Proxy
}

const (
	trialClients = 24
	trialTopics  = 4
	trialSubs    = 3 // of each client
	trialRounds  = 12
	trialBurst   = 8 // publications that each client has on their way at once in a round
)

func trialTopic(n int) string { return fmt.Sprintf("net.%d", n%trialTopics) }

func (tr *trial) start(t *testing.T) {
	t.Helper()
	h, err := hub.New(hub.Options{Topics: []hub.Rule{{Pattern: ">", TopicOptions: hub.TopicOptions{
		HistoryMessages: tr.history, HistoryBytes: 64 << 20, SlowMessages: tr.slow, SlowBytes: 64 << 20,
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	tr.hub = h
	web := httptest.NewServer(session.New(h, session.Options{
		Authenticate: func(_ context.Context, a *session.Attempt) (hub.Identity, error) {
			return hub.Identity{User: a.Token}, nil
		},
		Limits: session.Limits{CommandRate: 10_000, CommandBurst: 10_000}, Logger: slog.New(slog.DiscardHandler),
	}))
	tr.proxy, err = faulty.Start(faulty.Options{Target: strings.TrimPrefix(web.URL, "http://"), Seed: tr.seed, Plan: tr.plan})
	if err != nil {
		t.Fatal(err)
	}
	tr.url = "ws://" + tr.proxy.Addr() + "/"
	t.Cleanup(func() {
		tr.proxy.Close()
		h.Close()
		web.Close()
	})
}

// client makes the client of a user. What is told in silence is found quickly.
func (tr *trial) client(t *testing.T, user int) *client.Client {
	t.Helper()
	o := &client.Options{
		Token:     func(context.Context) (string, error) { return fmt.Sprintf("user%d", user), nil },
		BaseDelay: 5 * time.Millisecond, MaxDelay: 100 * time.Millisecond, ConnectTimeout: time.Second,
		Buffer: tr.buffer, Logger: slog.New(slog.DiscardHandler),
	}
	o.Dial.HandshakeTimeout = time.Second
	o.Dial.PingInterval, o.Dial.PongTimeout = 400*time.Millisecond, 400*time.Millisecond
	o.Dial.CloseTimeout = 100 * time.Millisecond
	c, err := client.New(tr.url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

// run lets everybody publish and subscribe and returns what they know.
func (tr *trial) run(t *testing.T) (*records, []*ledger.Journal) {
	t.Helper()
	tr.start(t)
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var publishing, following group
	var l records
	var journals []*ledger.Journal
	for user := range trialClients {
		lives := []*client.Client{tr.client(t, user)}
		if user%2 == 0 {
			lives = append(lives, tr.client(t, user))
		}
		subscribed := make(chan error, trialSubs)
		for k := range trialSubs {
			j := &ledger.Journal{Name: fmt.Sprintf("client %d", user), Topic: trialTopic(user + k)}
			journals = append(journals, j)
			following.run(func() error { return followLives(ctx, lives, j, subscribed) })
		}
		publishing.run(func() error {
			for range trialSubs {
				if err := <-subscribed; err != nil {
					return err
				}
			}
			return tr.publish(ctx, lives, user, &l)
		})
	}
	publishing.wait(t, "publishing")
	for i := range trialTopics {
		end := theEnd(trialTopic(i))
		receipt, err := tr.hub.Publish(ctx, end.Topic, hub.Publication{ID: end.ID, Data: publication(end).Data})
		if err := l.note(end, client.Position(receipt.Position), err); err != nil {
			t.Fatal(err)
		}
	}
	following.wait(t, "subscribers")
	t.Logf("%+v, hub %+v", tr.proxy.Stats(), tr.hub.Stats().Rules)
	return &l, journals
}

// followLives follows a topic through the lives of a user: when a client was closed, the next one goes on at its position.
func followLives(ctx context.Context, lives []*client.Client, j *ledger.Journal, subscribed chan<- error) error {
	var since client.Position
	for life, c := range lives {
		s, err := c.Subscribe(ctx, j.Topic, &client.SubscribeOptions{Since: since})
		if life == 0 {
			subscribed <- err
		}
		if err != nil {
			return err
		}
		if err := follow(ctx, s, j); err == nil || life == len(lives)-1 || !errors.Is(err, client.ErrClosed) {
			return err
		}
		since = s.Position()
	}
	return nil
}

// publish publishes in bursts, whose order must be kept too; half of them in each life.
func (tr *trial) publish(ctx context.Context, lives []*client.Client, user int, l *records) error {
	c := lives[0]
	for round := range trialRounds {
		if round == trialRounds/2 && len(lives) > 1 {
			if err := c.Close(ctx); err != nil {
				return err
			}
			c = lives[1]
		}
		var sent [trialBurst]*client.Publishing
		var known [trialBurst]ledger.Publication
		for i := range sent {
			known[i] = of(trialTopic(user+round), user, round*trialBurst+i+1)
			var err error
			if sent[i], err = c.Send(ctx, known[i].Topic, publication(known[i])); err != nil {
				return err
			}
		}
		for i := range sent {
			receipt, err := sent[i].Receipt(ctx)
			if err := l.note(known[i], receipt.Position, err); err != nil {
				return err
			}
		}
	}
	return nil
}

// badNetwork is every fault there is, for the first connections; then the weather clears up, so that the trial ends.
func badNetwork(n int, r *rand.Rand) faulty.Plan {
	if n >= 12*trialClients {
		return faulty.Plan{}
	}
	var p faulty.Plan
	cutAt := func() int64 { return 300 + r.Int64N(20_000) }
	switch r.IntN(10) {
	case 0, 1:
		p.Up = faulty.Line{CutAfter: cutAt(), Cut: faulty.CutReset}
	case 2, 3:
		p.Down = faulty.Line{CutAfter: cutAt(), Cut: faulty.CutReset}
	case 4:
		p.Down = faulty.Line{CutAfter: cutAt(), Cut: faulty.CutFinish}
	case 5:
		p.Down = faulty.Line{CutAfter: cutAt(), Cut: faulty.CutSilent}
	case 6, 7:
		p.Up.CutAfter = 300 + r.Int64N(3_000) // what a client sends is less
		p.Hold, p.Late = 20*time.Millisecond, time.Duration(1+r.IntN(100))*time.Millisecond
	case 8:
		p.Up = faulty.Line{CutAfter: cutAt(), Cut: faulty.CutReset}
		p.Replay = time.Duration(r.IntN(3)-1) * 20 * time.Millisecond // at the same time, never, or later
	case 9:
		p.Up = faulty.Line{Delay: time.Millisecond, Jitter: 5 * time.Millisecond, MaxPiece: 500}
		p.Down = faulty.Line{CutAfter: cutAt(), Cut: faulty.CutReset, Gather: 5 * time.Millisecond, StallAfter: 1000, Stall: 50 * time.Millisecond}
	}
	return p
}

// TestBadNetwork: with little history and small buffers messages are lost, but nobody is told twice, and no hole is without a gap.
func TestBadNetwork(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			tr := &trial{seed: seed, history: 50, slow: 20, buffer: 4, plan: badNetwork}
			l, journals := tr.run(t)
			report(t, l, journals)
			if len(l.epochs()) != 1 {
				t.Errorf("acknowledged in epochs: %v", l.epochs())
			}
			gaps := 0
			for _, j := range journals {
				if !j.Complete() {
					gaps++
				}
			}
			st := tr.proxy.Stats()
			if gaps == 0 || st.Cuts == 0 || st.Late == 0 || st.Replays == 0 {
				t.Errorf("the trial was too easy: %d of %d journals have gaps, %+v", gaps, len(journals), st)
			}
		})
	}
}

// TestNothingIsLost: the same network, with history for all of it: no gap, and everything arrives.
func TestNothingIsLost(t *testing.T) {
	tr := &trial{seed: 7, history: 1 << 20, slow: 1 << 20, buffer: 64, plan: badNetwork}
	l, journals := tr.run(t)
	report(t, l, journals)
	for _, j := range journals {
		if !j.Complete() {
			t.Errorf("%s of %s was told of a gap", j.Name, j.Topic)
		}
	}
	if st := tr.proxy.Stats(); st.Cuts == 0 || st.Late == 0 || st.Replays == 0 {
		t.Errorf("the trial was too easy: %+v", st)
	}
}
