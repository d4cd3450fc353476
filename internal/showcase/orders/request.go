package orders

import (
	"context"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

// listed answers demo.orders.list.
type listed struct {
	Orders   []Order `json:"orders"`
	Place    string  `json:"place"`          // the table, as in Change
	Database string  `json:"database"`       // "sqlite" or "postgres"
	File     string  `json:"file,omitempty"` // of SQLite, for whoever sits at this machine
}

func (s *service) list(ctx context.Context, _ *hub.Request, _ struct{}) (listed, error) {
	db, err := s.open(ctx)
	if err != nil {
		return listed{}, s.failed(ctx, err)
	}
	l := listed{Place: db.place(), Database: "postgres"}
	if lite, is := db.(*sqlite); is {
		l.Database = "sqlite"
		if !s.env.Exposed {
			l.File = lite.file
		}
	}
	l.Orders, err = db.list(ctx)
	return l, s.failed(ctx, err)
}

// edit is the question of add (an order), change (with ID and Version) and remove (nothing but these).
type edit struct {
	ID      int64 `json:"id"`
	Version int64 `json:"version"` // the one that was edited
	draft
}

// outcome answers them.
type outcome struct {
	Done  bool   `json:"done"`            // false: somebody was quicker; nothing was changed
	Order *Order `json:"order,omitempty"` // what it is now
}

// begin returns the database and who asks.
func (s *service) begin(ctx context.Context, r *hub.Request) (store, string, error) {
	by, err := showcase.NameOf(r.Identity)
	if err != nil {
		return nil, "", err
	}
	if err := s.writes.Pass(r.Identity.User); err != nil {
		return nil, "", err
	}
	db, err := s.open(ctx)
	return db, by, s.failed(ctx, err)
}

func (s *service) add(ctx context.Context, r *hub.Request, e edit) (outcome, error) {
	if err := e.check(); err != nil {
		return outcome{}, err
	}
	db, by, err := s.begin(ctx, r)
	if err != nil {
		return outcome{}, err
	}
	o, err := db.add(ctx, e.draft, by)
	return outcome{err == nil, &o}, s.failed(ctx, err)
}

func (s *service) change(ctx context.Context, r *hub.Request, e edit) (outcome, error) {
	if err := e.check(); err != nil {
		return outcome{}, err
	}
	db, by, err := s.begin(ctx, r)
	if err != nil {
		return outcome{}, err
	}
	done, now, err := db.change(ctx, e.ID, e.Version, e.draft, by)
	if err == nil && now == nil {
		err = errGone
	}
	return outcome{done, now}, s.failed(ctx, err)
}

func (s *service) remove(ctx context.Context, r *hub.Request, e edit) (outcome, error) {
	db, by, err := s.begin(ctx, r)
	if err != nil {
		return outcome{}, err
	}
	done, now, err := db.remove(ctx, e.ID, e.Version, by)
	if err == nil && !done && now == nil {
		err = errGone
	}
	return outcome{done, now}, s.failed(ctx, err)
}
