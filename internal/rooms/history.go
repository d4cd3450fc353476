package rooms

import "slices"

// history is the last messages of a topic, oldest first, within the bounds of the topic and of the hub.
type history struct {
	messages []*Message
	bytes    int64
}

// add keeps m and gives up the oldest messages for it. A message that is larger than the bounds allow is not kept, and then
// nothing older is either: a newcomer sees the end of the conversation without holes, or nothing.
func (l *history) add(h *Hub, m *Message) {
	size := int64(len(m.Data))
	for len(l.messages) > 0 && (len(l.messages) >= h.options.HistoryMessages || l.bytes+size > h.options.HistoryBytes) {
		l.dropOldest(h)
	}
	if size > h.options.HistoryBytes {
		return
	}
	for !h.reserve(size) {
		if len(l.messages) == 0 {
			return
		}
		l.dropOldest(h)
	}
	l.messages = append(l.messages, m)
	l.bytes += size
}

func (l *history) dropOldest(h *Hub) {
	size := int64(len(l.messages[0].Data))
	l.messages = slices.Delete(l.messages, 0, 1) // clears what it frees, so that the message can be collected
	l.bytes -= size
	h.kept.Add(-size)
}

func (l *history) snapshot() []*Message { return slices.Clone(l.messages) }

// publicationKey includes the publisher, so that nobody can block another's message by using its id first.
type publicationKey struct{ publisher, id string }

// recent remembers the last keys added, at most limit of them.
type recent struct {
	limit int
	keys  map[publicationKey]struct{}
	order []publicationKey // a ring once it is full
	next  int              // the oldest in a full ring
}

// add reports whether key is new.
func (r *recent) add(key publicationKey) bool {
	if _, known := r.keys[key]; known {
		return false
	}
	if r.keys == nil {
		r.keys = make(map[publicationKey]struct{})
	}
	r.keys[key] = struct{}{}
	if len(r.order) < r.limit {
		r.order = append(r.order, key)
		return true
	}
	delete(r.keys, r.order[r.next])
	r.order[r.next] = key
	r.next = (r.next + 1) % r.limit
	return true
}
