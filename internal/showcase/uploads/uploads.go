// Package uploads is the server part of the uploads page: files of any size come in chunks over the WebSocket, each a binary request that is
// answered when its bytes are written. So the sender always knows how far it is, and goes on there after a lost connection, a reload, or a
// restart of the server (with --data). Both sides compute SHA-256; a file whose sums differ is not kept.
//
// An upload belongs to whoever knows the key with which it was begun, a secret that each browser makes up for itself. The requests, below
// demo.uploads.:
//
//	list    {key}                                  -> what there is, and the limits
//	begin   {key, name, size, modified, head}      -> {id, offset, chunk, name}: also to go on with an unfinished one, which is known by these
//	chunk   16 bytes id, 8 bytes offset, the bytes -> {offset}: up to where everything is written; at most 1 MiB each
//	finish  {key, id, sha256}                      -> the file
//	cancel  {key, id}                              -> {}: nothing is left of it
//	remove  {key, id}                              -> {}: the same for a finished file of one's own
//
// Chunks may be under way at the same time: one that comes too early waits for those before it. The topic demo.uploads.done has what is
// finished and what has been removed, demo.uploads.progress how far the others are. Finished files are served at /uploads/files/ID, as
// attachments. In a cluster each server has files of its own, and its pages
// leave out the others'.
package uploads

import (
	"context"
	"crypto/rand"
	"net/http"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

const (
	doneTopic     = "demo.uploads.done"
	progressTopic = "demo.uploads.progress"

	maxChunk   = 1 << 20
	tellEvery  = 300 * time.Millisecond // how often the progress of one upload is told
	purgeEvery = time.Minute
)

// limits bound what visitors can cost.
type limits struct {
	File    int64 // bytes of one file
	Total   int64 // of all files on disk, with what those that move at the moment will still need
	PerKey  int   // unfinished uploads of one browser
	Uploads int   // unfinished uploads in all
	Files   int   // finished files

	Rest    time.Duration // an upload that has not moved for so long keeps no room any more for what is still to come
	Abandon time.Duration // and after so long nothing is left of it; if nothing has arrived yet, after Rest already
	Keep    time.Duration // how long a finished file is there
}

var defaults = limits{
	File: 2 << 30, Total: 5 << 30, PerKey: 20, Uploads: 200, Files: 1000,
	Rest: 10 * time.Minute, Abandon: 24 * time.Hour, Keep: 7 * 24 * time.Hour,
}

// New makes the app.
func New(env *showcase.Env) (*showcase.App, error) { return newApp(env, defaults) }

func newApp(env *showcase.Env, l limits) (*showcase.App, error) {
	s := &service{env: env, limits: l, place: rand.Text(), uploads: map[string]*upload{}, files: map[string]*meta{}}
	return &showcase.App{
		Name: "uploads",
		Topics: []hub.Rule{
			{Pattern: doneTopic, TopicOptions: hub.TopicOptions{
				HistoryMessages: 200, HistoryAge: 24 * time.Hour, Publish: hub.Nobody, SlowMessages: 2000,
			}},
			{Pattern: progressTopic, TopicOptions: hub.TopicOptions{Publish: hub.Nobody, Slow: hub.SlowLatest}},
		},
		Requests: map[string]hub.RequestHandler{
			"list":   showcase.Answering(s.list),
			"begin":  showcase.Answering(s.begin),
			"chunk":  s.chunk,
			"finish": showcase.Answering(s.finish),
			"cancel": showcase.Answering(s.cancel),
			"remove": showcase.Answering(s.remove),
		},
		Routes: map[string]http.Handler{"GET /uploads/files/{id}": http.HandlerFunc(s.download)},
		Run:    s.run,
		Close:  s.close,
	}, nil
}

// run removes what nobody has gone on with, and what is old.
func (s *service) run(ctx context.Context) {
	tick := time.NewTicker(purgeEvery)
	defer tick.Stop()
	for {
		if err := s.open(); err != nil {
			s.env.Logger.Warn("there is no place for uploads", "error", err)
		} else {
			s.purge(ctx, time.Now())
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// event is what is published at demo.uploads.done.
type event struct {
	Op    string `json:"op"` // "done" or "gone"
	ID    string `json:"id"`
	Place string `json:"place"` // the server that has it; there is no way to it through others
	File  *file  `json:"file,omitempty"`
}

// tell publishes what has happened, whether or not the one who did it still waits. Whoever misses it finds out with list.
func (s *service) tell(ctx context.Context, topic, key string, value any) {
	if _, err := showcase.JSON(context.WithoutCancel(ctx), s.env.Hub, topic, key, value); err != nil {
		s.env.Logger.Debug("what happened to an upload could not be told", "error", err)
	}
}
