// Package edit is the server part of the shared editing page: documents of Yjs, a library with which any number of people change the
// same text at the same time, also while they are offline, and all end up with the same.
//
// A document has three topics. demo.edit.NAME is its log: each message is an update of Yjs, as bytes, in its history for 30 days.
// demo.edit.NAME.snapshot keeps the newest snapshot, which is all updates up to an offset of the log as one: whoever opens the document
// reads that, and subscribes to the log from that offset on. demo.edit.NAME.live carries where people's cursors are, and is not kept.
//
// A node opens a room for a document while something happens to it: the room follows the log, refuses what is no update or does not fit,
// and publishes a new snapshot after every 100 updates or 64 KiB. All nodes come to the same snapshot at the same offset, so that it
// does not matter which of them publishes it, and under its ID only the first one counts. What has been deleted is left out.
//
// A document has at most 512 KiB and 20,000 structs, and there are at most 200 documents. Other programs open the same documents with any client of
// y-websocket, at /edit/yjs/NAME.
package edit

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
	"github.com/duplex-websocket/duplex/internal/showcase/edit/yjs"
)

const (
	prefix = "demo.edit." // then the name of the document

	maxName      = 40        // characters of a document's name
	maxDocuments = 200       // that are kept
	maxDocument  = 512 << 10 // bytes of a document, and so of an update
	maxStructs   = 20_000    // of a document: Yjs has one for each place where somebody wrote, and each takes some 200 bytes of memory
	maxStates    = 4 << 10   // bytes of what somebody tells about a cursor

	keep           = 30 * 24 * time.Hour
	compactUpdates = 100      // updates behind a snapshot before the next one
	compactBytes   = 64 << 10 // bytes of them
	logFull        = 600      // updates behind a snapshot at which no more are taken until there is a new one,
	logFullBytes   = 1 << 20  // or bytes of them
	logMessages    = 1000     // that the history keeps: more than there can be behind a snapshot

	maxRooms = 500             // open on a node
	idle     = 2 * time.Minute // how long a room stays open for nothing
	patience = 10 * time.Second
)

// What is refused, and why. The page says it in the visitor's language.
const (
	codeName      hub.Code = "edit.name-malformed"
	codeTopic     hub.Code = "edit.unknown-topic"
	codeMalformed hub.Code = "edit.update-malformed"
	codeKnown     hub.Code = "edit.known"
	codeFull      hub.Code = "edit.document-full"
	codeMany      hub.Code = "edit.too-many-documents"
	codeStates    hub.Code = "edit.states-malformed"
	codeNotYours  hub.Code = "edit.not-yours"
)

// New makes the app.
func New(env *showcase.Env) (*showcase.App, error) {
	return newEditor(env).app(), nil
}

func newEditor(env *showcase.Env) *editor {
	return &editor{env: env, rooms: make(map[string]*room)}
}

// editor is the documents of this node.
type editor struct {
	env *showcase.Env // immutable

	work sync.WaitGroup // rooms, and what they publish

	mu     sync.Mutex
	rooms  map[string]*room // by the document's name; guarded by mu
	closed bool             // guarded by mu

	listing  sync.Mutex // held while the list is made
	list     []document // guarded by listing
	listedAt time.Time  // guarded by listing
}

func (e *editor) app() *showcase.App {
	return &showcase.App{
		Name: "edit",
		Topics: []hub.Rule{
			{Pattern: prefix + "*.live", TopicOptions: hub.TopicOptions{
				MaxBytes: maxStates, Presence: hub.PresenceFull, PublishRate: 30, PublishBurst: 60, Slow: hub.SlowLatest,
			}},
			{Pattern: prefix + "*.snapshot", TopicOptions: hub.TopicOptions{
				HistoryMessages: 1, HistoryAge: keep, HistoryBytes: 8 * maxDocument, MaxBytes: 4 * maxDocument, Publish: hub.Nobody,
				SlowBytes: 8 * maxDocument,
			}},
			{Pattern: prefix + "*", TopicOptions: hub.TopicOptions{
				HistoryMessages: logMessages, HistoryAge: keep, HistoryBytes: 8 * maxDocument, MaxBytes: maxDocument, PublishRate: 30, PublishBurst: 120,
				SlowMessages: logMessages, SlowBytes: 4 * maxDocument,
			}},
		},
		Subscribe: e.subscribe,
		Publish:   e.publish,
		Requests: map[string]hub.RequestHandler{
			"state":     showcase.Answering(e.state),
			"documents": showcase.Answering(e.documents),
		},
		Sockets: map[string]showcase.Socket{socketPath: e.socket()},
		Run:     e.run,
		Close:   e.close,
	}
}

// part is which of a document's topics one is.
type part string

const (
	partLog      part = ""
	partSnapshot part = ".snapshot"
	partLive     part = ".live"
)

func topic(name string, p part) string { return prefix + name + string(p) }

// parseTopic returns which document a topic is about.
func parseTopic(topic string) (name string, p part, err error) {
	name, rest, more := strings.Cut(strings.TrimPrefix(topic, prefix), ".")
	if more {
		p = part("." + rest)
	}
	if problem := nameProblem(name); problem != "" {
		return "", "", hub.Errorf(codeName, "%s", problem)
	}
	if p != partLog && p != partSnapshot && p != partLive {
		return "", "", hub.Errorf(codeTopic, "a document has the topics %s, %s and %s, and no %s", name, name+string(partSnapshot), name+string(partLive), topic)
	}
	return name, p, nil
}

// nameProblem says what is wrong with the name of a document, or nothing.
func nameProblem(name string) string {
	switch {
	case name == "":
		return "a document needs a name"
	case utf8.RuneCountInString(name) > maxName:
		return fmt.Sprintf("the name of a document has at most %d characters", maxName)
	}
	for _, r := range name {
		if !showcase.IsWordRune(r) && r != '-' && r != '_' {
			return fmt.Sprintf("the name of a document consists of letters, digits, - and _, so %q cannot be in it", r)
		}
	}
	return ""
}

// subscribe refuses what is not a topic of a document, and so all patterns.
func (e *editor) subscribe(call *hub.SubscribeCall) error {
	_, _, err := parseTopic(call.Topic)
	return err
}

func (e *editor) publish(call *hub.PublishCall) error {
	name, p, err := parseTopic(call.Topic)
	if err != nil {
		return err
	}
	call.Publication.Meta = nil
	if p == partLive {
		return e.publishStates(call, name)
	}
	if !call.Publication.Binary {
		return hub.Errorf(codeMalformed, "an update of Yjs is bytes, not JSON")
	}
	return e.admit(call.Context, name, call.Publication.Data)
}

// admit reports whether an update may become part of a document's log.
func (e *editor) admit(ctx context.Context, name string, data []byte) error {
	u, err := yjs.Parse(data, yjs.Limits{Bytes: maxDocument, Structs: maxStructs})
	if err != nil {
		return hub.Errorf(codeMalformed, "%s", err)
	}
	r, err := e.enter(ctx, name)
	if err != nil {
		return err
	}
	defer r.leave()
	if r.isNew() {
		if count, err := e.count(ctx); err != nil {
			return err
		} else if count >= maxDocuments {
			return hub.Errorf(codeMany, "there are %d documents already, which is as many as are kept: take one of them", count)
		}
	}
	return r.admit(ctx, u, len(data))
}

// state is the answer to demo.edit.state: what this node knows of a document, so that a client can bring what it lacks.
type state struct {
	Vector   []byte `json:"vector"`   // Yjs' state vector
	States   []byte `json:"states"`   // of those who are there, as y-protocols writes them
	Updates  int    `json:"updates"`  // in the log behind the snapshot
	Snapshot int    `json:"snapshot"` // bytes of it; 0: there is none
	Offset   uint64 `json:"offset"`   // of the log, up to where the snapshot goes
	Limit    int    `json:"limit"`    // bytes of a document
}

func (e *editor) state(ctx context.Context, _ *hub.Request, question struct{ Document string }) (state, error) {
	if problem := nameProblem(question.Document); problem != "" {
		return state{}, hub.Errorf(codeName, "%s", problem)
	}
	r, err := e.enter(ctx, question.Document)
	if err != nil {
		return state{}, err
	}
	defer r.leave()
	return r.state(), nil
}

// enter returns the room of a document, which it opens if it is not open. Whoever has entered has to leave.
func (e *editor) enter(ctx context.Context, name string) (*room, error) {
	r, err := e.open(name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case <-r.ready:
		err = r.err
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		r.leave()
		e.env.Logger.Debug("a document cannot be opened", "document", name, "error", err)
		return nil, &hub.Error{Code: hub.CodeUnavailable, Message: "the document cannot be opened now; try again", Retry: time.Second}
	}
	return r, nil
}

func (e *editor) open(name string) (*room, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r := e.rooms[name]
	if r == nil {
		if e.closed || len(e.rooms) >= maxRooms && !e.makeRoom() {
			return nil, &hub.Error{Code: hub.CodeUnavailable, Message: "too many documents are open at this server; try again in a minute", Retry: time.Minute}
		}
		r = newRoom(e, name)
		e.rooms[name] = r
		e.work.Go(r.run)
	}
	r.use()
	return r, nil
}

// makeRoom closes a room of a document that nobody has written, and reports whether there was one: asking for names that do not exist
// must not keep others out. mu is held.
func (e *editor) makeRoom() bool {
	for name, r := range e.rooms {
		if r.isVain() {
			delete(e.rooms, name)
			r.end()
			return true
		}
	}
	return false
}

// peek returns the room of a document if it is open.
func (e *editor) peek(name string) *room {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.rooms[name]
}

// forget is called by a room that has ended.
func (e *editor) forget(r *room) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.rooms[r.name] == r {
		delete(e.rooms, r.name)
	}
}

// run closes rooms that nobody has needed for a while.
func (e *editor) run(ctx context.Context) {
	tick := time.NewTicker(idle / 4)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			e.sweep()
		case <-ctx.Done():
			return
		}
	}
}

func (e *editor) sweep() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for name, r := range e.rooms {
		if r.rest() {
			delete(e.rooms, name) // in one step with finding it unused
		}
	}
}

func (e *editor) close() {
	e.mu.Lock()
	e.closed = true
	for _, r := range e.rooms {
		r.end()
	}
	e.mu.Unlock()
	e.work.Wait()
}
