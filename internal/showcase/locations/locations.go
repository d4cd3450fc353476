// Package locations is the server part of the map page: couriers in a made-up city, and whoever shares a position. The map is divided into
// cells, each of which is a topic, so that a page gets only what is in its view.
//
//	demo.map.cell.X.Y  what moves in a cell: {"id","name","kind","lat","lon"}, by the key of its id, every second or two; who leaves the
//	                   cell or the map: {"id","gone":true}. Keeps three seconds: everything that is there now.
//	demo.map.counts    {"cells":{"X.Y":n},"couriers":n,"people":n} every second, for views that are too large for cells
//
// Requests: demo.map.share {"lat","lon"}, at most five a second, and demo.map.stop {}. The map is at GET /map/city.json. Slow readers get
// the newest position of each (hub.SlowLatest). Couriers ride while somebody looks.
package locations

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"net/http"
	"strings"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

const (
	prefix      = "demo.map."
	cellPrefix  = prefix + "cell."
	allCells    = cellPrefix + "*.*"
	countsTopic = prefix + "counts"

	beat        = time.Second // between two positions of a courier
	kept        = 3 * time.Second
	keptReports = 500 // of a cell
)

// New makes the app.
func New(env *showcase.Env) (*showcase.App, error) {
	streets := newNetwork()
	drawn, err := drawCity(streets)
	if err != nil {
		return nil, err
	}
	people := &sharers{env: env, all: make(map[string]*sharer)}
	return &showcase.App{
		Name: "map",
		Topics: []hub.Rule{
			{Pattern: cellPrefix + ">", TopicOptions: hub.TopicOptions{
				HistoryMessages: keptReports, HistoryAge: kept, Publish: hub.Nobody, Slow: hub.SlowLatest,
			}},
			{Pattern: countsTopic, TopicOptions: hub.TopicOptions{
				HistoryMessages: 1, HistoryAge: kept, Publish: hub.Nobody, Slow: hub.SlowLatest, Presence: hub.PresenceCount,
			}},
		},
		Subscribe: subscribe,
		Requests: map[string]hub.RequestHandler{
			"share": showcase.Answering(people.share),
			"stop":  showcase.Answering(people.stop),
		},
		Routes: map[string]http.Handler{"GET /map/city.json": serve(drawn)},
		Run:    people.expire,
		Solo: func(ctx context.Context) {
			showcase.WhileWatched(ctx, env.Hub, countsTopic, func(ctx context.Context) { ride(ctx, env, streets) })
		},
	}, nil
}

// subscribe refuses cells that are not on the map.
func subscribe(call *hub.SubscribeCall) error {
	if call.Topic == countsTopic || call.Topic == allCells || isCell(call.Topic) {
		return nil
	}
	last := cell{columns - 1, rows - 1}
	return hub.Errorf(codeNoCell, "%s is not on the map: its cells are %s to %s", call.Topic, cell{}.topic(), last.topic())
}

// serve gives the map, once to each browser.
func serve(drawn []byte) http.Handler {
	tag := fmt.Sprintf("%q", fmt.Sprintf("%08x", crc32.ChecksumIEEE(drawn)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("ETag", tag)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(drawn)))
	})
}

// report says where somebody is, or with Gone that somebody is not in the cell any more.
type report struct {
	ID   string `json:"id"`
	Name string `json:"name"`
	Kind string `json:"kind"`
	place
}

func publishReport(ctx context.Context, h *hub.Hub, r report) error {
	_, err := showcase.JSON(ctx, h, cellOf(r.place).topic(), r.ID, r)
	return err
}

func publishGone(ctx context.Context, h *hub.Hub, id string, from cell) error {
	_, err := showcase.JSON(ctx, h, from.topic(), id, map[string]any{"id": id, "gone": true})
	return err
}

// ride moves all couriers until ctx ends, and counts what is on the map.
func ride(ctx context.Context, env *showcase.Env, streets *network) {
	census, err := takeCensus(ctx, env.Hub)
	if err != nil {
		env.Logger.Debug("the couriers wait for their broker", "error", err)
		return // and are sent out again in a moment
	}
	defer census.Close()
	all := newCouriers(streets)
	were := make([]cell, len(all))
	ticker := time.NewTicker(beat / 10)
	defer ticker.Stop()
	for n := 0; ; n++ {
		// A tenth of them at a time, so that not everything comes at once.
		for i := n % 10; i < len(all); i += 10 {
			at := all[i].where(time.Now())
			if err := move(ctx, env.Hub, &all[i], at, were[i], n < 10); err != nil && ctx.Err() == nil {
				env.Logger.Debug("a courier was not seen for a moment", "error", err)
			}
			were[i] = cellOf(at)
		}
		if n%10 == 9 {
			if _, err := showcase.JSON(ctx, env.Hub, countsTopic, "counts", census.count(time.Now())); err != nil && ctx.Err() == nil {
				env.Logger.Debug("the city was not counted", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// move says where a courier is; and in the cell that it has left that it is there no more.
func move(ctx context.Context, h *hub.Hub, c *courier, at place, was cell, first bool) error {
	if now := cellOf(at); now != was && !first {
		if err := publishGone(ctx, h, c.id, was); err != nil {
			return err
		}
	}
	return publishReport(ctx, h, report{ID: c.id, Name: c.name, Kind: c.kind, place: at})
}

// decodeReport reads what was published to a cell.
func decodeReport(data []byte) (id, kind string, gone bool) {
	var r struct {
		ID, Kind string
		Gone     bool
	}
	if json.Unmarshal(data, &r) != nil {
		return "", "", false
	}
	return r.ID, r.Kind, r.Gone
}
