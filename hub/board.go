package hub

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	boardBytes = 4 << 10 // of a note, at most
	boardAge   = 10 * 365 * 24 * time.Hour
	boardRetry = time.Second // until a board that could not be read is read again
	boardRead  = 30 * time.Second

	boardShelves = 256 // into which the notes of a board are put, since a broker reads only so many in one go
	boardReaders = 16  // at one time
)

// Board is what the nodes of a broker tell each other besides messages: notes, which the broker keeps for as long as each is good for, so
// that nodes that start later know them too. Its notes are kept under topics that begin with "$", which nobody else can reach.
type Board struct {
	hub   *Hub                                // immutable
	name  string                              // immutable: the first part of its topics
	at    string                              // immutable: the pattern of its topics
	taken func(data []byte, posted time.Time) // immutable

	reading sync.Mutex // held while the board is read
	known   Position   // everything up to here has been taken; guarded by reading

	mu      sync.Mutex
	pending bool // it is to be read anew, and somebody sees to it; guarded by mu
}

// boards are those of a hub, by the first part of their topics.
type boards struct {
	mu  sync.RWMutex
	all map[string]*Board
}

// reserved reports whether a topic or a pattern is the hub's own.
func reserved(name string) bool { return strings.HasPrefix(name, "$") }

// Board opens the board with a name, a part of a topic. taken is called with every note that any node has posted and the broker still
// has, and then with every new one, from any goroutine, more than once, and in the order in which they were posted only for the same
// key; it must neither block nor call the hub, other than ending subscribers of this node. The error is the broker's: then nothing is known.
func (h *Hub) Board(ctx context.Context, name string, taken func(data []byte, posted time.Time)) (*Board, error) {
	b := &Board{hub: h, name: "$" + name, at: "$" + name + ".*.*", taken: taken}
	if err := CheckTopic(name); err != nil || strings.Contains(name, ".") {
		return nil, Errorf(CodeBadTopic, "a board is named as a part of a topic is, not %q", name)
	}
	h.boards.mu.Lock()
	if h.boards.all == nil {
		h.boards.all = make(map[string]*Board)
	}
	h.boards.all[b.name] = b
	h.boards.mu.Unlock()
	err := h.broker.Follow(ctx, h, b.at) // it ends with the hub's detaching
	if err == nil {
		if err = b.read(ctx); err != nil {
			h.broker.Unfollow(h, b.at)
		}
	}
	if err == nil {
		return b, nil
	}
	h.boards.mu.Lock()
	defer h.boards.mu.Unlock()
	delete(h.boards.all, b.name)
	return nil, err
}

// Post posts a note of at most 4 KiB, which takes the place of an earlier one with the same key, and is kept for as long as life.
func (b *Board) Post(ctx context.Context, key string, data []byte, life time.Duration) error {
	_, err := b.post(ctx, key, "", data, life)
	return err
}

// PostFirst posts a note unless one with this key was posted, by any node, in the last two minutes; for what is older whoever
// takes the notes knows. After an error it may have been posted all the same.
func (b *Board) PostFirst(ctx context.Context, key string, data []byte, life time.Duration) (first bool, err error) {
	got, err := b.post(ctx, key, "first", data, life)
	return err == nil && !got.Duplicate, err
}

func (b *Board) post(ctx context.Context, key, id string, data []byte, life time.Duration) (Receipt, error) {
	if len(data) > boardBytes {
		return Receipt{}, Errorf(CodeTooLarge, "a note has at most %d bytes, not %d", boardBytes, len(data))
	}
	sum := sha256.Sum256([]byte(key)) // keys may have any length and characters
	topic := b.shelf(int(sum[0])) + hex.EncodeToString(sum[1:20])
	keep := boardKeeps(topic)
	if life > 0 {
		keep.Age = min(life, boardAge)
	}
	return b.hub.broker.Publish(ctx, &Message{Topic: topic, ID: id, Data: data, Binary: true}, keep)
}

// shelf is what the topics of one shelf begin with.
func (b *Board) shelf(i int) string { return fmt.Sprintf("%s.%02x.", b.name, i%boardShelves) }

// boardKeeps is what topics of boards keep.
func boardKeeps(string) Retention {
	return Retention{Messages: 1, Age: boardAge, Bytes: 4 * boardBytes, Window: defaultWindow, WindowIDs: 1}
}

// read takes what has been posted since the last reading.
func (b *Board) read(ctx context.Context) error {
	b.reading.Lock()
	defer b.reading.Unlock()
	tops, errs := make([]Position, boardShelves), make([]error, boardShelves)
	next := make(chan int, boardShelves)
	for i := range boardShelves {
		next <- i
	}
	close(next)
	var readers sync.WaitGroup
	for range boardReaders {
		readers.Go(func() {
			for i := range next {
				tops[i], errs[i] = b.readShelf(ctx, i)
			}
		})
	}
	readers.Wait()
	if err := cmp.Or(errs...); err != nil {
		return err
	}
	first := slices.MinFunc(tops, func(a, b Position) int { return cmp.Compare(a.Offset, b.Offset) })
	if slices.ContainsFunc(tops, func(p Position) bool { return p.Epoch != first.Epoch }) {
		first = Position{} // the broker has forgotten everything meanwhile
	}
	b.known = first
	return nil
}

// readShelf takes what is on one shelf, and returns up to where that is known.
func (b *Board) readShelf(ctx context.Context, i int) (top Position, err error) {
	log, err := b.hub.broker.Read(ctx, ReadQuery{Topic: b.shelf(i) + "*", Keeps: boardKeeps, Least: boardAge, Since: new(b.known)})
	if err != nil {
		return Position{}, err
	}
	for _, m := range log.Messages {
		b.taken(m.Data, m.Time)
	}
	return log.Top, nil
}

// missed has the board read again, for as long as it takes.
func (b *Board) missed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.pending {
		b.pending = true
		go b.catchUp()
	}
}

func (b *Board) catchUp() {
	h := b.hub
	for {
		b.mu.Lock()
		b.pending = false // what is missed from now on needs another reading
		b.mu.Unlock()
		ctx, cancel := context.WithTimeout(context.Background(), boardRead)
		err := b.read(ctx)
		cancel()
		if err == nil {
			return
		}
		h.mu.Lock()
		closed := h.closed
		h.mu.Unlock()
		if closed {
			return
		}
		h.options.Logger.Warn("what other nodes have posted is not known", "board", b.at, "error", err)
		b.mu.Lock()
		again := !b.pending
		b.pending = true
		b.mu.Unlock()
		if !again {
			return // somebody else does
		}
		time.Sleep(boardRetry)
	}
}

// posted takes a message of a board: one that was delivered for it, or for everything.
func (h *Hub) posted(at string, m *Message) {
	name, _, _ := strings.Cut(m.Topic, ".")
	h.boards.mu.RLock()
	b := h.boards.all[name]
	h.boards.mu.RUnlock()
	if b != nil && (at == "" || at == b.at) {
		b.taken(m.Data, m.Time)
	}
}

// missedPosts has the boards read again for which at is, which may be all of them.
func (h *Hub) missedPosts(at string) {
	h.boards.mu.RLock()
	defer h.boards.mu.RUnlock()
	for _, b := range h.boards.all {
		if at == "" || at == b.at {
			b.missed()
		}
	}
}
