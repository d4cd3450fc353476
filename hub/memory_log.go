package hub

import (
	"slices"
	"time"
)

// memLog is what a MemoryBroker knows of one topic.
type memLog struct {
	name  string
	index int      // in MemoryBroker.order
	kept  []*entry // the history, ascending by offset
	bytes int64    // of kept
	last  uint64   // offset of the last message, kept or not
	lost  uint64   // offset of the last message that has been forgotten, or may have been
	age   time.Duration
	used  time.Time
	ids   idWindow
}

// entry is a kept message. All entries of a broker are in one list besides.
type entry struct {
	message    *Message
	log        *memLog
	size       int64
	prev, next *entry
}

type entries struct{ first, last *entry }

func (l *entries) push(e *entry) {
	e.prev = l.last
	if l.last != nil {
		l.last.next = e
	} else {
		l.first = e
	}
	l.last = e
}

func (l *entries) remove(e *entry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		l.first = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		l.last = e.prev
	}
	e.prev, e.next = nil, nil
}

// behind returns the kept messages with offsets after one and not above another.
func (l *memLog) behind(after, top uint64) []*Message {
	from, to := l.find(after), l.find(top)
	return messages(l.kept[from:to])
}

// find returns how many kept messages have an offset up to this one.
func (l *memLog) find(offset uint64) int {
	i, found := slices.BinarySearchFunc(l.kept, offset, func(e *entry, offset uint64) int {
		switch {
		case e.message.Offset < offset:
			return -1
		case e.message.Offset > offset:
			return 1
		}
		return 0
	})
	if found {
		i++
	}
	return i
}

func messages(kept []*entry) []*Message {
	all := make([]*Message, len(kept))
	for i, e := range kept {
		all[i] = e.message
	}
	return all
}

// Size estimates how many bytes a message takes in memory: the wire holds its data a second time once somebody has received it.
func (m *Message) Size() int64 {
	const overhead = 320
	return int64(2*(len(m.Data)+len(m.Meta)+len(m.From.Info)) + len(m.Topic) + len(m.Key) + len(m.ID) + overhead)
}

// publicationKey includes the publisher, so that nobody can block another's message by using its id first.
type publicationKey struct{ user, id string }

func (k publicationKey) size() int64 {
	const overhead = 150
	return int64(len(k.user)+len(k.id)) + overhead
}

// idWindow remembers the ids of the last publications of a topic.
type idWindow struct {
	window  time.Duration
	offsets map[publicationKey]uint64
	order   []idEntry // oldest first
}

type idEntry struct {
	key  publicationKey
	time time.Time
}

func (w *idWindow) find(key publicationKey) (uint64, bool) {
	offset, known := w.offsets[key]
	return offset, known
}

// add remembers an id and returns by how much that has grown the window, in bytes.
func (w *idWindow) add(key publicationKey, offset uint64, now time.Time, limit int) (grown int64) {
	for len(w.order) >= limit && len(w.order) > 0 {
		grown -= w.drop()
	}
	if w.offsets == nil {
		w.offsets = make(map[publicationKey]uint64)
	}
	w.offsets[key] = offset
	w.order = append(w.order, idEntry{key, now})
	return grown + key.size()
}

// expire forgets ids older than window, or than the window used last if that is 0, and returns how many bytes that frees.
func (w *idWindow) expire(now time.Time, window time.Duration) (freed int64) {
	if window > 0 {
		w.window = window
	}
	for len(w.order) > 0 && now.Sub(w.order[0].time) >= w.window {
		freed += w.drop()
	}
	return freed
}

func (w *idWindow) drop() int64 {
	key := w.order[0].key
	delete(w.offsets, key)
	w.order[0] = idEntry{}
	w.order = w.order[1:]
	if len(w.order) == 0 {
		w.order, w.offsets = nil, nil
	}
	return key.size()
}

func (w *idWindow) empty() bool { return len(w.order) == 0 }
