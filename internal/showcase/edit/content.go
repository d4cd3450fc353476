package edit

import (
	"encoding/json"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase/edit/yjs"
)

// content is what a room knows of its document. Updates are merged only when somebody needs the whole.
type content struct {
	index yjs.Index
	parts []*yjs.Update // the document is all of them
	size  int           // bytes of parts, as they came
	cost  int           // structs of parts
	whole []byte        // parts[0], if there is nothing else

	epoch       string
	last        uint64  // offset of the newest update
	covered     uint64  // offset up to which the snapshot goes
	snapshot    int     // bytes of it
	behind      []entry // updates behind it, oldest first
	behindBytes int
}

// entry is an update in the log.
type entry struct {
	offset uint64
	bytes  int
}

// restart is for reading the topics from the beginning. What was known stays known.
func (c *content) restart(epoch string) {
	c.epoch, c.last, c.covered, c.snapshot, c.behind, c.behindBytes = epoch, 0, 0, 0, nil, 0
}

// isEmpty reports whether nothing was ever written.
func (c *content) isEmpty() bool { return len(c.parts) == 0 }

func (c *content) add(data []byte) bool {
	u, err := yjs.Parse(data, yjs.Limits{Bytes: 4 * maxDocument})
	if err != nil {
		return false // it was not taken by a room
	}
	c.index.Add(u)
	c.parts = append(c.parts, u)
	c.size += len(data)
	c.cost += u.Structs()
	c.whole = nil
	return true
}

// addUpdate takes an update of the log, and reports whether it is new.
func (c *content) addUpdate(m *hub.Message) bool {
	if m.Offset <= c.last || !m.Binary || !c.add(m.Data) {
		return false
	}
	c.last = m.Offset
	c.behind = append(c.behind, entry{m.Offset, len(m.Data)})
	c.behindBytes += len(m.Data)
	return true
}

// addSnapshot takes a snapshot from the history.
func (c *content) addSnapshot(m *hub.Message) {
	if c.add(m.Data) {
		c.compacted(m)
		c.last = max(c.last, c.covered)
	}
}

// compacted takes note of a snapshot that was published.
func (c *content) compacted(m *hub.Message) {
	var a about
	if json.Unmarshal(m.Meta, &a) == nil {
		c.cover(a, len(m.Data))
	}
}

// cover takes note of up to where there is a snapshot.
func (c *content) cover(a about, size int) {
	if a.Epoch != c.epoch || a.Offset < c.covered {
		return
	}
	c.covered, c.snapshot = a.Offset, size
	for len(c.behind) > 0 && c.behind[0].offset <= a.Offset {
		c.behindBytes -= c.behind[0].bytes
		c.behind = c.behind[1:]
	}
}

// merged returns the whole document as one update, without what was deleted. It must not be changed.
func (c *content) merged() []byte {
	if c.whole != nil {
		return c.whole
	}
	whole := yjs.Merge(c.parts, true)
	if u, err := yjs.Parse(whole, yjs.Limits{Bytes: len(whole)}); err == nil { // always: we have written it
		c.parts, c.size, c.cost, c.whole = []*yjs.Update{u}, len(whole), u.Structs(), whole
	}
	return whole
}

// lacks returns what somebody lacks who has a state vector.
func (c *content) lacks(v yjs.StateVector) []byte {
	c.merged()
	if c.isEmpty() {
		return yjs.Merge(nil, false)
	}
	return c.parts[0].Diff(v)
}

// fits reports whether the document with an update is not too large. Deleting is possible in a document that is full.
func (c *content) fits(u *yjs.Update, size int) bool {
	small := func() bool { return c.size+size <= maxDocument && c.cost+u.Structs() <= maxStructs }
	if small() || u.OnlyDeletes() && c.cost+u.Structs() <= 2*maxStructs {
		return true
	}
	if c.merged(); small() {
		return true
	}
	if !u.Deletes() { // nothing of the document goes away by it
		return false
	}
	both := yjs.Merge(append(c.parts[:len(c.parts):len(c.parts)], u), true)
	_, err := yjs.Parse(both, yjs.Limits{Bytes: maxDocument, Structs: maxStructs})
	return err == nil
}
