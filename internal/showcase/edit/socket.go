package edit

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase/edit/yjs"
	"github.com/duplex-websocket/duplex/websocket"
)

const (
	socketPath = "/edit/yjs/" // then the name of the document

	// What a client may send: a second on average, and at once. One that sends more is read more slowly.
	socketRate  = 30
	socketBurst = 300
)

// Close codes with which clients of y-websocket do not come back: they are like those of HTTP.
const (
	closeMalformed websocket.StatusCode = 4400
	closeRefused   websocket.StatusCode = 4413
)

// socket serves y-websocket's protocol on the same documents.
func (e *editor) socket() *websocket.Server {
	accept := e.env.Accept
	accept.MaxMessage = maxDocument + 64
	accept.Outbox = 4 * maxDocument
	accept.Only = websocket.Binary
	accept.Interceptors = append(slices.Clone(accept.Interceptors), func(u *websocket.Upgrade) error {
		if problem := nameProblem(documentOf(u.Request)); problem != "" {
			return &websocket.HandshakeError{Status: http.StatusBadRequest, Reason: problem}
		}
		return nil
	})
	return &websocket.Server{
		Accept: accept, DrainCode: websocket.StatusServiceRestart,
		Handler: &websocket.HandlerFuncs{OnOpen: e.openPeer, OnMessage: takePeer, OnClose: closePeer},
	}
}

func documentOf(r *http.Request) string { return strings.TrimPrefix(r.URL.Path, socketPath) }

// peer is a client of y-websocket. Its fields are those of the connection's handler, but for what room.mu guards.
type peer struct {
	conn   *websocket.Conn // immutable
	room   *room           // immutable
	id     string          // immutable; its updates have IDs that begin with it
	sent   uint64          // updates
	budget float64         // messages that it may send
	filled time.Time       // when budget was filled
}

type peerKey struct{}

func (e *editor) openPeer(c *websocket.Conn) {
	r, err := e.enter(context.Background(), documentOf(c.Request()))
	if err != nil {
		_ = c.Close(context.Background(), websocket.StatusTryAgainLater, "the document cannot be opened now")
		return
	}
	p := &peer{conn: c, room: r, id: rand.Text(), budget: socketBurst, filled: time.Now()}
	c.SetAttribute(peerKey{}, p)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sockets[p] = struct{}{}
	p.send(yjs.AppendSync(nil, yjs.SyncStep1, r.content.index.StateVector().Append(nil)))
	if r.people.count() > 0 {
		p.send(yjs.AppendAwarenessMessage(nil, r.people.all()))
	}
}

func closePeer(c *websocket.Conn, _ error) {
	p, _ := c.Attribute(peerKey{}).(*peer)
	if p == nil {
		return
	}
	defer p.room.leave()
	p.room.mu.Lock()
	delete(p.room.sockets, p)
	gone := p.room.people.leave(socketOwner(p.id), time.Now())
	if len(gone) > 0 {
		p.room.tell(gone)
	}
	p.room.mu.Unlock()
	if len(gone) > 0 {
		p.publishStates(gone)
	}
}

func (r *room) closeSockets() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for p := range r.sockets {
		_ = p.conn.CloseNow()
	}
}

// send never waits: a client that does not read is disconnected, and gets what it lacks when it comes back.
func (p *peer) send(wire []byte) { _ = p.conn.Send(websocket.Binary, wire) }

// update passes an update of the log on, unless it is the client's own.
func (p *peer) update(m *hub.Message, wire []byte) {
	if m.From.User == "" && strings.HasPrefix(m.ID, p.id) {
		return
	}
	p.send(wire)
}

func takePeer(c *websocket.Conn, _ websocket.MessageType, data []byte) {
	p, _ := c.Attribute(peerKey{}).(*peer)
	if p == nil {
		return
	}
	p.pace()
	m, err := yjs.ParseMessage(data)
	if err == nil {
		err = p.take(m)
	}
	if err == nil {
		return
	}
	var refused *hub.Error
	switch code := closeMalformed; {
	case errors.As(err, &refused) && (refused.Code == codeFull || refused.Code == codeMany):
		code = closeRefused
		fallthrough
	case !errors.As(err, &refused) || refused.Code == codeMalformed:
		p.send(yjs.AppendDenied(nil, err.Error()))
		_ = c.Close(context.Background(), code, reason(err))
	default: // it comes back, and brings again what was not taken
		_ = c.Close(context.Background(), websocket.StatusTryAgainLater, reason(err))
	}
}

// reason makes a text fit into a close frame.
func reason(err error) string {
	const most = 120
	text := err.Error()
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "")
	}
	return text
}

// pace waits when a client sends more than it should. Nothing more of its connection is read meanwhile.
func (p *peer) pace() {
	now := time.Now()
	p.budget = min(socketBurst, p.budget+socketRate*now.Sub(p.filled).Seconds()) - 1
	p.filled = now
	if p.budget >= 0 {
		return
	}
	wait := time.NewTimer(time.Duration(-p.budget / socketRate * float64(time.Second)))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-p.conn.Done():
	}
}

// take does what a message asks for.
func (p *peer) take(m yjs.Message) error {
	switch m.Kind {
	case yjs.SyncStep1:
		has, err := yjs.ParseStateVector(m.Data)
		if err != nil {
			return err
		}
		p.room.mu.Lock()
		defer p.room.mu.Unlock()
		p.send(yjs.AppendSync(nil, yjs.SyncStep2, p.room.content.lacks(has)))
	case yjs.SyncStep2, yjs.SyncUpdate:
		return p.publish(m.Data)
	case yjs.AwarenessKind:
		states, err := yjs.ParseAwareness(m.Data, maxPeople)
		if err != nil {
			return err
		}
		p.tellStates(states)
	case yjs.QueryAwareness:
		p.room.mu.Lock()
		defer p.room.mu.Unlock()
		p.send(yjs.AppendAwarenessMessage(nil, p.room.people.all()))
	case yjs.Auth: // a client has nothing to permit
	}
	return nil
}

// publish adds an update to the log, if there is anything new in it.
func (p *peer) publish(data []byte) error {
	ctx, cancel := context.WithTimeout(p.room.ctx, patience)
	defer cancel()
	data = slices.Clone(data) // the hub keeps it
	err := p.room.editor.admit(ctx, p.room.name, data)
	if errors.Is(err, &hub.Error{Code: codeKnown}) {
		return nil
	}
	if err != nil {
		return err
	}
	p.sent++
	_, err = p.room.editor.env.Hub.Publish(ctx, topic(p.room.name, partLog), hub.Publication{
		ID: fmt.Sprintf("%s-%d", p.id, p.sent), Data: data, Binary: true,
	})
	if err != nil && ctx.Err() != nil {
		return &hub.Error{Code: hub.CodeUnavailable, Message: "the server could not store it in time"}
	}
	return err
}

// tellStates passes on what the client tells about itself. Clients of y-websocket also repeat what they have heard of others: that, and
// what is not fit for others to see, is left out.
func (p *peer) tellStates(states []yjs.Awareness) {
	p.room.mu.Lock()
	own := states[:0]
	for _, s := range states {
		if stateProblem(s.State) == "" && len(s.State) <= maxStates/2 && len(own) < maxOwn && p.room.people.mayTell(s.Client, socketOwner(p.id), time.Now()) {
			s.State = slices.Clone(s.State)
			own = append(own, s)
		}
	}
	own = p.room.people.take(own, socketOwner(p.id), time.Now())
	if len(own) > 0 {
		p.room.tell(own)
	}
	p.room.mu.Unlock()
	if len(own) > 0 {
		p.publishStates(own)
	}
}

// publishStates tells the clients of the hub, and the other nodes. That may fail: states are renewed every 15 s.
func (p *peer) publishStates(states []yjs.Awareness) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := p.room.editor.env.Hub.Publish(ctx, topic(p.room.name, partLive), hub.Publication{
		Key: p.id, Data: yjs.AppendAwareness(nil, states), Binary: true,
	})
	if err != nil {
		p.room.editor.env.Logger.Debug("the state of a client could not be published", "document", p.room.name, "error", err)
	}
}
