// Package orders is the server part of the orders page: a table of a real database that several people change at the same time, here or
// with any other program. The database is the only truth. Triggers write down what happened to which row (order_changes); one node reads
// that, in the order in which it was done to each row, and publishes it, and every page replaces the row. Nothing is lost while nobody
// reads, since what is written down stays there: for a day. Several servers share a table of PostgreSQL. With SQLite each has a file of its
// own, and its pages leave out what happens to the others'.
//
// Every row has a version, the number of the change that made it what it is. An edit names the version that it was made of; if the row has
// another one by now, nothing is changed, and the answer is what the row is.
//
// What an order may be is for the database to say (orders_quantity and the other constraints), for it is asked by other programs, too. Here its
// refusals get words. Requests: demo.orders.list, add, change, remove. The table holds at most 1,000 orders; the topic demo.orders.changes
// keeps the last 200 changes of a day. A visitor may write 120 times
// a minute, and all together 600 times.
package orders

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

const (
	topic     = "demo.orders.changes"
	markTopic = "demo.orders.mark." // how far the changes of a place have been published, for whoever goes on with it

	maxOrders   = 1000 // in the table, as far as this program adds them; and in a list
	keepChanges = 200
	keepFor     = 24 * time.Hour
	maxWritten  = 100_000 // changes that the database keeps, if there are more within that time
	pruneEvery  = time.Hour
	writesEach  = 120             // a minute, of one visitor
	writesAll   = 600             // and of all at this server
	maxPause    = 5 * time.Second // between attempts to reach the database
)

// New makes the app. It does not touch the database before it runs.
func New(env *showcase.Env) (*showcase.App, error) {
	dsn := env.Postgres
	if env.PostgresFile != "" {
		content, err := os.ReadFile(env.PostgresFile)
		if err != nil {
			return nil, err
		}
		dsn = strings.TrimSpace(string(content))
	}
	if dsn != "" || env.PostgresFile != "" {
		if err := CheckDSN(dsn); err != nil {
			return nil, err
		}
	}
	s := &service{env: env, dsn: dsn, writes: showcase.Turnstile{Each: writesEach, All: writesAll, Interval: time.Minute}}
	app := &showcase.App{
		Name: "orders",
		Topics: []hub.Rule{
			{Pattern: topic, TopicOptions: hub.TopicOptions{
				HistoryMessages: keepChanges, HistoryAge: keepFor, Publish: hub.Nobody, SlowMessages: 4 * maxOrders, SlowBytes: 4 << 20,
			}},
			{Pattern: markTopic + "*", TopicOptions: hub.TopicOptions{
				HistoryMessages: 1, HistoryAge: 365 * 24 * time.Hour, Publish: hub.Nobody, Subscribe: hub.Nobody, ReadHistory: hub.Nobody,
			}},
		},
		Subscribe: func(call *hub.SubscribeCall) error {
			if call.Topic != topic {
				return hub.Errorf(hub.CodeForbidden, "subscribe to %s", topic)
			}
			return nil
		},
		Requests: map[string]hub.RequestHandler{
			"list":   showcase.Answering(s.list),
			"add":    showcase.Answering(s.add),
			"change": showcase.Answering(s.change),
			"remove": showcase.Answering(s.remove),
		},
		Close: s.close,
	}
	if dsn != "" {
		app.Solo = s.publish
	} else {
		app.Run = s.publish
	}
	return app, nil
}

// service answers requests and publishes changes. Its methods may be called from any goroutine.
type service struct {
	env *showcase.Env
	dsn string // of PostgreSQL; empty: SQLite

	writes showcase.Turnstile // each leaves something behind

	mu     sync.Mutex
	store  store // nil: not opened yet; guarded by mu, as is closed
	closed bool
}

// store is a database with the table in it. Both kinds pass the same tests.
type store interface {
	place() string // which table it is, as part of a topic

	list(ctx context.Context) ([]Order, error) // the newest first, at most maxOrders
	add(ctx context.Context, d draft, by string) (Order, error)
	// change and remove do nothing if the row has another version, and return what it is now. It is nil if there is no such row.
	change(ctx context.Context, id, version int64, d draft, by string) (done bool, now *Order, err error)
	remove(ctx context.Context, id, version int64, by string) (done bool, now *Order, err error)

	// follow hands over what happens, and after each batch with which mark to go on after it, until ctx ends or something fails. An
	// empty mark stands for the last keepChanges. What is handed over may have been handed over before.
	follow(ctx context.Context, mark string, take func(changes []Change, mark string) error) error
	prune(ctx context.Context, age time.Duration, most int64) error // forgets older changes, and all but so many
	close()
}

// open returns the database, which it opens if that has not succeeded yet.
func (s *service) open(ctx context.Context) (store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.store != nil {
		return s.store, nil
	}
	if s.closed {
		return nil, errors.New("the server stops")
	}
	opened, err := s.opened(ctx)
	if err == nil {
		s.store = opened
	}
	return opened, err
}

func (s *service) opened(ctx context.Context) (store, error) {
	if s.dsn != "" {
		return openPostgres(ctx, s.dsn)
	}
	dir, err := s.env.Dir("orders")
	if err != nil {
		return nil, err
	}
	return openSQLite(ctx, filepath.Join(dir, fileName))
}

func (s *service) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	if s.store != nil {
		s.store.close()
		s.store = nil
	}
}

// publish tells everybody what happens to the table.
func (s *service) publish(ctx context.Context) {
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() { s.keepShort(ctx) })
	pause := 100 * time.Millisecond
	for ctx.Err() == nil {
		began := time.Now()
		err := s.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > maxPause {
			pause = 100 * time.Millisecond
		}
		s.env.Logger.Warn("changes of orders are not seen at the moment", "error", err, "retry", pause)
		showcase.Wait(ctx, pause)
		pause = min(2*pause, maxPause)
	}
}

func (s *service) follow(ctx context.Context) error {
	db, err := s.open(ctx)
	if err != nil {
		return err
	}
	place := db.place()
	page, err := s.env.Hub.History(ctx, markTopic+place, hub.HistoryQuery{Limit: 1})
	if err != nil {
		return err
	}
	mark := ""
	if len(page.Messages) == 1 {
		mark = string(page.Messages[0].Data)
		mark = mark[1 : len(mark)-1] // a string in JSON without anything to escape
	}
	return db.follow(ctx, mark, func(changes []Change, mark string) error { return s.tell(ctx, place, changes, mark) })
}

// tell publishes changes, and then that this has been done. Their IDs make it harmless to publish some of them again.
func (s *service) tell(ctx context.Context, place string, changes []Change, mark string) error {
	for i := range changes {
		c := &changes[i]
		c.Place = place
		if err := s.say(ctx, topic, fmt.Sprintf("%s-%d", place, c.Version), fmt.Sprint(c.ID), c); err != nil {
			return err
		}
	}
	return s.say(ctx, markTopic+place, "", "", mark)
}

func (s *service) say(ctx context.Context, topic, id, key string, value any) error {
	data, err := encode(value)
	if err != nil {
		return err
	}
	_, err = s.env.Hub.Publish(ctx, topic, hub.Publication{ID: id, Key: key, Data: data})
	return err
}

// keepShort forgets changes that everybody has seen.
func (s *service) keepShort(ctx context.Context) {
	for showcase.Wait(ctx, pruneEvery) {
		db, err := s.open(ctx)
		if err == nil {
			err = db.prune(ctx, keepFor, maxWritten)
		}
		if err != nil && ctx.Err() == nil {
			s.env.Logger.Warn("old changes of orders are still there", "error", err)
		}
	}
}

// failed makes an answer of what a database says.
func (s *service) failed(ctx context.Context, err error) error {
	if refused := new(hub.Error); err == nil || errors.As(err, &refused) {
		return err
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return ctx.Err()
	}
	if ctx.Err() != nil {
		return hub.Errorf(hub.CodeUnavailable, "nobody waits for the answer any more")
	}
	s.env.Logger.Warn("the database of orders does not do what it should", "error", err)
	return &hub.Error{Code: codeUnavailable, Retry: time.Second,
		Message: "the database cannot be reached at the moment; look whether it was done before you try again"}
}
