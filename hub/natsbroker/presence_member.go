package natsbroker

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/duplex-websocket/duplex/hub"
)

const (
	maxWriters = 128                    // entries of a node that are being written at one time
	retryAfter = time.Second            // when an entry that could not be written is tried again
	countEvery = 500 * time.Millisecond // how often those who are only counted are told at most

	// entryLife bounds how long an entry is kept that its node has forgotten, as when it was killed while it believed in a lease that was over.
	// Entries of connections that last longer are written anew every half of it.
	entryLife    = 24 * time.Hour
	refreshEvery = time.Hour
)

// member is a node under one lease: the entries of those who are present through it. What changes is written by some writers at a time;
// changes of an entry that is being written or waits for it are written together. What could not be written is tried again until it is.
type member struct {
	r       *roster // immutable
	id      string  // immutable
	writing sync.WaitGroup

	mu      sync.Mutex
	all     map[entryKey]*local // guarded by mu, as is what follows
	ready   []*local            // that are to be written
	failed  []*local            // that are to be tried again
	retry   *time.Timer         // for failed
	writers int
	wrote   bool // there may be entries in the bucket
	over    bool
	fresh   time.Time // when entries that are old were last written again
}

// local is one entry of this node, as it should be in the bucket.
type local struct {
	key         entryKey // immutable
	connections int
	info        []byte
	since       uint64         // the sequence with which the info was written
	users       map[string]int // connections of those who are only counted; nil otherwise

	version  uint64 // counts changes
	informed uint64 // the version with which the info came
	written  uint64 // the version that is in the bucket
	at       time.Time
	queued   bool // it waits to be written, or is being written
	tried    bool // it may be in the bucket
	waiters  []waiter
}

// waiter wants to know when a version has been written.
type waiter struct {
	version uint64
	done    chan error // has room for one
}

var errLeaseOver = errors.New("the node's lease is over")

func newMember(r *roster, id string) *member {
	return &member{r: r, id: id, all: make(map[entryKey]*local), fresh: r.now()}
}

func (m *member) key(topic, user string) entryKey { return entryKey{token(topic), m.id, token(user)} }

// enter adds a connection of a user, and returns when that is stored. After an error it has not been added.
func (m *member) enter(ctx context.Context, topic string, who hub.Publisher) error {
	key := m.key(topic, who.User)
	m.mu.Lock()
	if m.over {
		m.mu.Unlock()
		return errLeaseOver
	}
	l := m.open(key)
	before := l.info
	l.connections++
	l.info = who.Info
	done := m.change(l)
	mine := l.version
	l.informed = mine
	m.mu.Unlock()
	err := wait(ctx, done)
	if err == nil {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over {
		return err
	}
	l.connections--
	m.change(l)
	if l.informed == mine {
		l.info, l.informed = before, l.version
	}
	return err
}

// leave takes a connection of a user away, and returns when that is stored. After an error it will be. Somebody who is not there is
// perhaps one of those who are only counted.
func (m *member) leave(ctx context.Context, topic, user string) error {
	m.mu.Lock()
	l := m.all[m.key(topic, user)]
	if m.over || l == nil || l.connections == 0 {
		m.uncount(topic, user)
		m.mu.Unlock()
		return nil
	}
	l.connections--
	done := m.change(l)
	m.mu.Unlock()
	return wait(ctx, done)
}

// count adds a connection of a user who is only counted.
func (m *member) count(topic, user string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over {
		return errLeaseOver
	}
	l := m.open(entryKey{token(topic), m.id, countToken})
	if l.users == nil {
		l.users = make(map[string]int)
	}
	l.users[user]++
	l.connections++
	l.version++
	m.enqueue(l)
	return nil
}

// uncount takes such a connection away. The caller holds mu.
func (m *member) uncount(topic, user string) {
	l := m.all[entryKey{token(topic), m.id, countToken}]
	if m.over || l == nil || l.users[user] == 0 {
		return
	}
	if l.users[user]--; l.users[user] == 0 {
		delete(l.users, user)
	}
	l.connections--
	l.version++
	m.enqueue(l)
}

func (m *member) open(key entryKey) *local {
	l := m.all[key]
	if l == nil {
		l = &local{key: key}
		m.all[key] = l
	}
	return l
}

// change has an entry that was changed written. The caller holds mu, and may wait for the result.
func (m *member) change(l *local) (done <-chan error) {
	l.version++
	result := make(chan error, 1)
	l.waiters = append(l.waiters, waiter{l.version, result})
	m.enqueue(l)
	return result
}

func wait(ctx context.Context, done <-chan error) error {
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enqueue has an entry written, unless it is going to be already. Counts wait for their time. The caller holds mu.
func (m *member) enqueue(l *local) {
	if l.queued {
		return
	}
	l.queued = true
	if pause := countEvery - m.r.now().Sub(l.at); l.users != nil && !l.at.IsZero() && pause > 0 {
		time.AfterFunc(pause, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.push(l)
		})
		return
	}
	m.push(l)
}

func (m *member) push(l *local) {
	if m.over {
		return
	}
	m.ready = append(m.ready, l)
	if m.writers < maxWriters {
		m.writers++
		m.writing.Go(m.write)
	}
}

// write writes what is ready, until nothing is.
func (m *member) write() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.ready) > 0 {
		l := m.ready[0]
		m.ready = m.ready[1:]
		if l.connections == 0 && !l.tried {
			m.settle(l, l.version, nil)
			continue
		}
		version, news := l.version, l.informed > l.written
		data := l.value(news)
		connected := m.r.b.nc.IsConnected()
		l.tried = l.tried || connected
		m.wrote = m.wrote || connected
		m.mu.Unlock()
		var options []jetstream.PublishOpt
		if len(data) > 0 {
			options = append(options, jetstream.WithMsgTTL(entryLife))
		}
		sequence, err := uint64(0), nats.ErrConnectionClosed
		if connected {
			sequence, err = m.r.bucket.put(m.r.b.life, l.key.String(), data, options...)
		}
		if err == nil {
			m.r.acknowledged(l.key.topic, sequence)
		}
		m.mu.Lock()
		if err == nil && news {
			l.since = sequence
		}
		m.settle(l, version, err)
	}
	m.ready = nil
	m.writers--
}

// value is the entry as it is in the bucket. news says that the info has not been written yet.
func (l *local) value(news bool) []byte {
	var data []byte
	switch {
	case l.connections == 0:
		return nil
	case l.users != nil:
		data, _ = json.Marshal(countedValue{len(l.users), l.connections}) // these have nothing that could fail
	default:
		value := presentValue{Connections: l.connections, Info: l.info, Since: l.since}
		if news {
			value.Since = 0
		}
		data, _ = json.Marshal(value)
	}
	return data
}

// settle takes note of the end of an attempt to write a version. The caller holds mu.
func (m *member) settle(l *local, version uint64, err error) {
	later := l.waiters[:0]
	for _, w := range l.waiters {
		if w.version <= version {
			w.done <- err
		} else {
			later = append(later, w)
		}
	}
	clear(l.waiters[len(later):])
	l.waiters = later
	switch {
	case m.over:
	case err != nil:
		m.failed = append(m.failed, l)
		if m.retry == nil {
			m.retry = time.AfterFunc(retryAfter, m.tryAgain)
		}
	default:
		l.written, l.at, l.queued = version, m.r.now(), false
		if l.version > version {
			m.enqueue(l)
		} else if l.connections == 0 {
			delete(m.all, l.key)
		}
	}
}

// tryAgain has written what could not be.
func (m *member) tryAgain() {
	m.mu.Lock()
	defer m.mu.Unlock()
	failed := m.failed
	m.failed, m.retry = nil, nil
	for _, l := range failed {
		m.push(l)
	}
}

// refresh has entries written again before they are too old, and looks for those now and then.
func (m *member) refresh() {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.r.now()
	if now.Sub(m.fresh) < refreshEvery {
		return
	}
	m.fresh = now
	for _, l := range m.all {
		if !l.queued && now.Sub(l.at) > entryLife/2 {
			l.version++
			m.enqueue(l)
		}
	}
}

// rewrite has all entries written as if they were new.
func (m *member) rewrite() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.all {
		l.version++
		l.informed = l.version
		m.enqueue(l)
	}
}

// close ends the member: nothing is written any more, nor being written. It reports whether there may be entries of it in the bucket.
func (m *member) close() (wrote bool) {
	m.mu.Lock()
	m.over = true
	for _, l := range m.all {
		for _, w := range l.waiters {
			w.done <- errLeaseOver
		}
		l.waiters = nil
	}
	m.all, m.ready, m.failed = nil, nil, nil
	if m.retry != nil {
		m.retry.Stop()
	}
	m.mu.Unlock()
	m.writing.Wait()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wrote
}
