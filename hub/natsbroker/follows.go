package natsbroker

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/duplex-websocket/duplex/hub"
)

const (
	inboxMessages = 64 << 10 // that NATS has delivered and nobody has looked at; what comes beyond that is fetched later

	lingerTime   = time.Minute
	maxLingering = 10_000 // topics that are followed on at one time; others end at once

	guardEvery  = 10 * time.Second // after how long a topic is checked on which nothing comes; then after twice as long each time
	guardMost   = time.Minute      // but at least so often
	guardPace   = 500              // topics checked a second
	guardAtOnce = 32               // at one time, after an alarm
)

// follows is what the nodes of this broker follow.
type follows struct {
	b      *Broker
	inbox  chan *nats.Msg
	alarms chan struct{} // holds one when anything may have been missed
	recent atomic.Int64  // bytes of recent messages of all topics

	// linger is how long a topic is followed on when nobody wants it any more: whoever lost a connection is back by then, and is answered from what
	// the node remembers. Changed by tests only, before anything is followed.
	linger time.Duration

	mu        sync.Mutex
	lingering int                            // guarded by mu
	at        map[string]*follow             // guarded by mu
	bySub     map[*nats.Subscription]*follow // guarded by mu
}

func newFollows(b *Broker) (*follows, error) {
	fs := &follows{
		b: b, inbox: make(chan *nats.Msg, inboxMessages), alarms: make(chan struct{}, 1), linger: lingerTime,
		at: make(map[string]*follow), bySub: make(map[*nats.Subscription]*follow),
	}
	b.nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		b.logger.Warn("NATS", "error", err)
		if errors.Is(err, nats.ErrSlowConsumer) {
			fs.missed(false)
		}
	})
	for _, subject := range []string{b.names.loss, leaderAdvisory + b.names.stream} {
		if _, err := b.nc.ChanSubscribe(subject, fs.inbox); err != nil {
			return nil, err
		}
	}
	return fs, nil
}

// Follow implements hub.Broker.
func (b *Broker) Follow(ctx context.Context, n hub.Node, at string) error {
	fs := b.follows
	fs.mu.Lock()
	f := fs.at[at]
	if f == nil {
		f = newFollow(b, at)
		f.bare = !f.pattern && !n.Keeps(at)
		fs.at[at] = f
		go fs.open(f)
	}
	f.add(n)
	fs.mu.Unlock()
	select {
	case <-f.ready:
	case <-ctx.Done():
		b.Unfollow(n, at)
		return ctx.Err()
	}
	if f.failed != nil { // it is forgotten already
		return unavailable("the topic cannot be followed", f.failed)
	}
	return nil
}

// Unfollow implements hub.Broker.
func (b *Broker) Unfollow(n hub.Node, at string) {
	fs := b.follows
	fs.mu.Lock()
	f := fs.at[at]
	switch {
	case f == nil || !f.remove(n, 1):
		fs.mu.Unlock()
	case f.pattern || f.bare || fs.lingering >= maxLingering:
		fs.forget(f)
		fs.mu.Unlock()
		f.close()
	default:
		fs.lingering++
		fs.mu.Unlock()
		time.AfterFunc(fs.linger, func() { fs.endIdle(f) })
	}
}

// endIdle ends a follow that nobody has wanted for a while.
func (fs *follows) endIdle(f *follow) {
	fs.mu.Lock()
	fs.lingering--
	idle := fs.at[f.at] == f && f.idleFor(fs.linger)
	if idle {
		fs.forget(f)
	}
	fs.mu.Unlock()
	if idle {
		f.close()
	}
}

// detach makes a node follow nothing any more.
func (fs *follows) detach(n hub.Node) {
	var over []*follow
	fs.mu.Lock()
	for _, f := range fs.at {
		if f.remove(n, -1) {
			fs.forget(f)
			over = append(over, f)
		}
	}
	fs.mu.Unlock()
	for _, f := range over {
		f.close()
	}
}

// forget takes a follow away. The caller holds mu.
func (fs *follows) forget(f *follow) {
	if fs.at[f.at] == f {
		delete(fs.at, f.at)
	}
	delete(fs.bySub, f.sub)
}

// open subscribes in NATS, sees to it that the stream's leader knows, and only then asks how far the topic is: so whatever the leader stores
// after the answer is delivered here.
func (fs *follows) open(f *follow) {
	ctx, cancel := context.WithTimeout(fs.b.life, fs.b.options.PublishTimeout)
	defer cancel()
	err := fs.subscribe(f)
	if err == nil {
		err = f.begin(ctx)
	}
	if err != nil {
		f.failed = err
		fs.mu.Lock()
		fs.forget(f)
		fs.mu.Unlock()
		f.close()
	}
	close(f.ready)
}

var errOver = errors.New("nobody follows any more")

// subscribe subscribes in NATS.
func (fs *follows) subscribe(f *follow) error {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if fs.at[f.at] != f {
		return errOver
	}
	sub, err := fs.b.nc.ChanSubscribe(f.subscription(), fs.inbox)
	if err != nil {
		return err
	}
	f.mu.Lock()
	f.sub = sub
	f.mu.Unlock()
	fs.bySub[sub] = f
	return nil
}

// dispatch passes on what NATS delivers.
func (fs *follows) dispatch() {
	for {
		select {
		case <-fs.b.life.Done():
			return
		case m := <-fs.inbox:
			switch {
			case m.Subject == fs.b.names.loss:
				if string(m.Data) != fs.b.live.node {
					fs.missed(false)
				}
				continue
			case strings.HasPrefix(m.Subject, leaderAdvisory): // the one before it may not have republished everything
				fs.alarm()
				continue
			}
			fs.mu.Lock()
			f := fs.bySub[m.Sub]
			fs.mu.Unlock()
			if f != nil {
				f.receive(m)
			}
		}
	}
}

// of returns what is followed under a name, or nil.
func (fs *follows) of(at string) *follow {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.at[at]
}

// all returns what is followed.
func (fs *follows) all() []*follow {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	all := make([]*follow, 0, len(fs.at))
	for _, f := range fs.at {
		all = append(all, f)
	}
	return all
}

// missed is called when anything may have been missed. What the stream keeps is fetched; of the rest it is told.
func (fs *follows) missed(long bool) {
	for _, f := range fs.all() {
		f.missedBare(long)
	}
	fs.alarm()
}

// alarm has all topics checked now.
func (fs *follows) alarm() {
	fs.b.stream.caughtUp.Store(nil)
	select {
	case fs.alarms <- struct{}{}:
	default:
	}
}

// publishLoss lets all nodes, but the one that it comes from, know that messages which are stored nowhere may be lost.
func (b *Broker) publishLoss(from string) {
	if err := b.nc.Publish(b.names.loss, []byte(from)); err != nil {
		b.logger.Warn("other nodes are not told that messages may be lost", "error", err)
	}
}

// guard sees to it that the last message of a topic is not missed, behind which no other shows it: topics on which nothing comes are
// checked from time to time, and all of them when NATS was away.
func (fs *follows) guard() {
	status := fs.b.nc.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.DISCONNECTED)
	defer fs.b.nc.RemoveStatusListener(status)
	every := time.NewTicker(guardEvery)
	defer every.Stop()
	var away time.Time
	for {
		select {
		case <-fs.b.life.Done():
			return
		case now := <-status:
			switch {
			case now != nats.CONNECTED && away.IsZero():
				away = time.Now()
				fs.b.logger.Warn("the connection to NATS is lost")
			case now == nats.CONNECTED && !away.IsZero():
				fs.b.logger.Info("the connection to NATS is back", "after", time.Since(away).Round(time.Millisecond))
				fs.missed(time.Since(away) > slack/2)
				fs.b.publishLoss(fs.b.live.node)
				away = time.Time{}
			}
		case <-fs.alarms:
			// If the leader cannot be told of our subscriptions now, there will be another alarm, or the next round finds what is missing.
			_ = fs.b.reaches.wait(fs.b.life)
			fs.checkAll(0)
		case <-every.C:
			fs.checkAll(time.Second / guardPace)
		}
	}
}

// checkAll checks the topics on which nothing has come for some time, at some pace; or, at any pace, all of them.
func (fs *follows) checkAll(pace time.Duration) {
	slots := make(chan struct{}, guardAtOnce)
	var checks sync.WaitGroup
	defer checks.Wait()
	for _, f := range fs.all() {
		if f.pattern || f.bare || !f.due(pace == 0) {
			continue
		}
		select {
		case <-fs.b.life.Done():
			return
		case slots <- struct{}{}:
		}
		checks.Go(func() {
			f.check()
			<-slots
		})
		if pace > 0 {
			time.Sleep(pace)
		}
	}
}

// restart lets everybody know that the stream has begun anew.
func (fs *follows) restart() {
	for _, f := range fs.all() {
		go f.restart()
	}
}
