package edit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase/edit/yjs"
)

// room follows one document on this node.
type room struct {
	// immutable
	editor *editor
	name   string
	ctx    context.Context // ends with the room
	end    func()
	inbox  *inbox
	ready  chan struct{} // closed when the document is read, or cannot be
	err    error         // why it cannot be; set before ready is closed

	sub *hub.Subscriber // owned by run

	mu         sync.Mutex
	content    content            // guarded by mu
	people     people             // guarded by mu
	sockets    map[*peer]struct{} // clients of y-websocket; guarded by mu
	uses       int                // guarded by mu
	lastUse    time.Time          // guarded by mu
	compacting bool               // a snapshot is being published; guarded by mu
	moved      chan struct{}      // closed when the next update has been taken; guarded by mu
}

func newRoom(e *editor, name string) *room {
	r := &room{
		editor: e, name: name, inbox: newInbox(),
		ready: make(chan struct{}), moved: make(chan struct{}), sockets: make(map[*peer]struct{}),
	}
	r.ctx, r.end = context.WithCancel(context.Background())
	return r
}

func (r *room) use() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.uses++
	r.lastUse = time.Now()
}

func (r *room) leave() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.uses--
	r.lastUse = time.Now()
}

// rest does what a room has time for when nobody needs it, and reports whether it has ended.
func (r *room) rest() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.people.expire(time.Now())
	if r.uses > 0 || time.Since(r.lastUse) < idle || r.compacting {
		return false
	}
	if len(r.content.behind) > 0 { // so that the log does not reach back for longer than its history
		r.compact("")
		return false
	}
	r.end()
	return true
}

// isVain reports whether nobody is in the room, and nothing in the document.
func (r *room) isVain() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.uses == 0 && r.content.isEmpty()
}

// run follows the document's topics until the room ends.
func (r *room) run() {
	defer r.editor.forget(r)
	defer r.end()
	defer r.closeSockets()
	r.err = r.follow()
	if r.sub != nil {
		defer r.sub.Close()
	}
	if r.err == nil {
		r.err = r.read()
	}
	close(r.ready)
	for r.err == nil {
		select {
		case <-r.inbox.wake:
			batch, refused := r.inbox.take()
			for _, m := range batch {
				r.deliver(m)
			}
			if refused {
				r.sub.Ready()
			}
		case <-r.inbox.ended:
			return
		case <-r.ctx.Done():
			return
		}
	}
}

// follow subscribes to what comes from now on.
func (r *room) follow() (err error) {
	r.sub, err = r.editor.env.Hub.Listen(r.inbox)
	if err != nil {
		return err
	}
	for _, p := range []part{partLog, partSnapshot, partLive} {
		begun, err := r.sub.Subscribe(r.ctx, topic(r.name, p), hub.SubscribeOptions{Presence: p == partLive})
		if err != nil {
			return err
		}
		begun.Begin()
	}
	return nil
}

// about is what goes with a snapshot: up to where it goes.
type about struct {
	Epoch   string `json:"epoch"`
	Offset  uint64 `json:"offset"`
	Updates int    `json:"updates"` // since the one before it
}

// read reads the snapshot and the log behind it. What comes meanwhile waits in the inbox, and does no harm if it is read as well.
func (r *room) read() error {
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	page, err := r.editor.env.Hub.History(ctx, topic(r.name, partSnapshot), hub.HistoryQuery{Limit: 1})
	if err != nil {
		return err
	}
	r.mu.Lock()
	r.content.restart(page.Epoch)
	var newest time.Time
	for _, m := range page.Messages {
		r.content.addSnapshot(m)
		newest = m.Time
	}
	from := r.content.last
	r.mu.Unlock()
	for more := true; more; {
		page, err = r.editor.env.Hub.History(ctx, topic(r.name, partLog), hub.HistoryQuery{Forward: true, After: from, Limit: logMessages})
		if err != nil {
			return err
		}
		r.mu.Lock()
		for _, m := range page.Messages {
			r.content.addUpdate(m)
			from = m.Offset
		}
		r.mu.Unlock()
		more = page.More && len(page.Messages) > 0
	}
	if !newest.IsZero() && time.Since(newest) > keep/2 {
		r.mu.Lock()
		r.compact(fmt.Sprint(newest.Unix())) // before the old one expires
		r.mu.Unlock()
	}
	return nil
}

// deliver takes one message of a topic.
func (r *room) deliver(m *hub.Message) {
	_, p, err := parseTopic(m.Topic)
	switch {
	case err != nil:
	case m.Kind == hub.KindGap && p == partLog:
		r.reread()
	case m.Kind == hub.KindLeave:
		r.left(m.From.User)
	case m.Kind != hub.KindData:
	case p == partSnapshot:
		r.mu.Lock()
		defer r.mu.Unlock()
		r.content.compacted(m)
	case p == partLog:
		r.take(m)
	case p == partLive && m.Binary:
		r.takeStates(m)
	}
}

// take adds an update to the document and passes it on.
func (r *room) take(m *hub.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.content.addUpdate(m) {
		return
	}
	close(r.moved)
	r.moved = make(chan struct{})
	wire := yjs.AppendSync(nil, yjs.SyncUpdate, m.Data)
	for p := range r.sockets {
		p.update(m, wire)
	}
	if len(r.content.behind) >= compactUpdates || r.content.behindBytes >= compactBytes {
		r.compact("")
	}
}

// reread is for a gap: the broker has lost messages, or all that it knew. The room still has them, so they become part of a snapshot.
func (r *room) reread() {
	err := r.read()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.editor.env.Logger.Warn("a document cannot be read anew", "document", r.name, "error", err)
		r.end() // whoever needs it opens it again
		return
	}
	r.compact(fmt.Sprint("gap-", time.Now().UnixNano()))
	whole := yjs.AppendSync(nil, yjs.SyncUpdate, r.content.merged())
	for p := range r.sockets {
		p.send(whole)
	}
}

// compact publishes a snapshot, unless one is on its way. Nodes that come to the same offset give it the same ID, so that there is one.
// mu is held.
func (r *room) compact(reason string) {
	if r.compacting || r.content.isEmpty() {
		return
	}
	r.compacting = true
	a := about{r.content.epoch, r.content.last, len(r.content.behind)}
	data := r.content.merged()
	id := fmt.Sprintf("%s-%d%s", a.Epoch, a.Offset, reason)
	r.editor.work.Go(func() {
		published := r.publishSnapshot(id, a, data)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.compacting = false
		if published {
			r.content.cover(a, len(data)) // which the inbox may not have said yet
		}
	})
}

// note tells those who have the document open that its log was compacted, as JSON in its live topic.
type note struct {
	Snapshot int    `json:"snapshot"` // bytes
	Updates  int    `json:"updates"`  // that it took in
	Offset   uint64 `json:"offset"`
}

// publishSnapshot reports whether there is such a snapshot now. If not, the next update leads to another attempt.
func (r *room) publishSnapshot(id string, a about, data []byte) bool {
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	meta, err := json.Marshal(a)
	if err != nil {
		return false
	}
	receipt, err := r.editor.env.Hub.Publish(ctx, topic(r.name, partSnapshot), hub.Publication{ID: id, Data: data, Binary: true, Meta: meta})
	if err != nil {
		if r.ctx.Err() == nil {
			r.editor.env.Logger.Warn("a snapshot of a document could not be published", "document", r.name, "error", err)
		}
		return false
	}
	if said, err := json.Marshal(note{len(data), a.Updates, a.Offset}); err == nil && !receipt.Duplicate {
		// Nobody needs this to be told: it is for the curious.
		_, _ = r.editor.env.Hub.Publish(ctx, topic(r.name, partLive), hub.Publication{Data: said})
	}
	return true
}

// isNew reports whether nobody has ever written anything.
func (r *room) isNew() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.content.isEmpty()
}

// admit reports whether an update may become part of the log.
func (r *room) admit(ctx context.Context, u *yjs.Update, size int) error {
	err := r.judge(u, size)
	if errors.Is(err, &hub.Error{Code: codeFull}) && r.catchUp(ctx) { // what somebody has just deleted may be on its way to the room
		err = r.judge(u, size)
	}
	return err
}

func (r *room) judge(u *yjs.Update, size int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.content.index.Has(u) {
		return hub.Errorf(codeKnown, "the document has all of this already")
	}
	if len(r.content.behind) >= logFull || r.content.behindBytes >= logFullBytes {
		r.compact("")
		return &hub.Error{Code: hub.CodeUnavailable, Message: "the document's log is being compacted; try again", Retry: time.Second}
	}
	if !r.content.fits(u, size) {
		return hub.Errorf(codeFull, "the document is full: with this it would have more than %d bytes; delete something", maxDocument)
	}
	return nil
}

// catchUp waits until the room has taken everything that is in the log now, and reports whether it has.
func (r *room) catchUp(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, patience/5)
	defer cancel()
	page, err := r.editor.env.Hub.History(ctx, topic(r.name, partLog), hub.HistoryQuery{Limit: 1})
	if err != nil || len(page.Messages) == 0 {
		return false
	}
	for {
		r.mu.Lock()
		there, moved := r.content.epoch != page.Epoch || r.content.last >= page.Messages[0].Offset, r.moved
		r.mu.Unlock()
		if there {
			return true
		}
		select {
		case <-moved:
		case <-r.ctx.Done():
			return false
		case <-ctx.Done():
			return false
		}
	}
}

func (r *room) state() state {
	r.mu.Lock()
	defer r.mu.Unlock()
	return state{
		Vector: r.content.index.StateVector().Append(nil), States: r.people.all(), Updates: len(r.content.behind),
		Snapshot: r.content.snapshot, Offset: r.content.covered, Limit: maxDocument,
	}
}
