package client

import (
	"cmp"
	"slices"
	"time"
)

// doubtAfter is how long a publication waits that the server could not make sure of, if it does not say how long.
const doubtAfter = time.Second

// take takes the next call that may be sent off its queue: no publication before an earlier one of its topic of which the server could
// not make sure, and none of these while a later one is on its way, since that may be taken first. mu is held.
func (d *desk) take() *call {
	if len(d.ahead) > 0 {
		c := d.ahead[0]
		d.ahead[0] = nil
		d.ahead = d.ahead[1:]
		return c
	}
	doubted := d.doubted()
	for i, c := range d.queue {
		if first, is := doubted[c.topic]; is && c.fate == fateWithin && (c.id > first || c.doubted && d.laterIsOpen(c)) {
			continue
		}
		if i == 0 {
			d.queue[0] = nil
			d.queue = d.queue[1:]
		} else {
			d.queue = slices.Delete(d.queue, i, i+1)
		}
		return c
	}
	return nil
}

// laterIsOpen reports whether a later publication to the same topic is on its way. mu is held.
func (d *desk) laterIsOpen(c *call) bool {
	for _, other := range d.open {
		if other.fate == fateWithin && other.topic == c.topic && other.id > c.id {
			return true
		}
	}
	return false
}

// doubted returns the ids of the first publications, by topic, that others have to wait for. mu is held.
func (d *desk) doubted() map[string]uint64 {
	var first map[string]uint64
	note := func(c *call) {
		if !c.doubted || c.over {
			return
		}
		if first == nil {
			first = make(map[string]uint64)
		}
		if id, is := first[c.topic]; !is || c.id < id {
			first[c.topic] = c.id
		}
	}
	if d.doubts == 0 {
		return nil
	}
	for _, c := range d.open {
		note(c)
	}
	for c := range d.later {
		note(c)
	}
	for _, c := range d.queue {
		note(c)
	}
	return first
}

// doubt notes that the server could not make sure of a publication. mu is held.
func (d *desk) doubt(c *call) {
	if !c.doubted {
		c.doubted = true
		d.doubts++
	}
}

// overtake notes that the server has taken a publication: earlier ones of its topic would come too late now. mu is held.
func (d *desk) overtake(c *call) {
	if d.doubts == 0 || c.fate != fateWithin {
		return
	}
	for _, other := range d.open {
		if other.doubted && other.topic == c.topic && other.id < c.id {
			other.overtaken = true
		}
	}
	tooLate := func(other *call) bool {
		if !other.doubted || other.topic != c.topic || other.id > c.id {
			return false
		}
		d.finish(other, errorf(CodeUncertain, "the server could not make sure of it, and has taken later ones since"))
		return true
	}
	for other := range d.later {
		tooLate(other)
	}
	d.queue = slices.DeleteFunc(d.queue, tooLate)
}

// giveUpOvertaken ends, when the connection is lost, those behind which later ones of their topic were on their way: these may have been taken.
// mu is held.
func (d *desk) giveUpOvertaken() {
	if d.doubts == 0 {
		return
	}
	overtaken := func(c *call) bool {
		if !c.doubted || c.over || !d.laterIsOpen(c) {
			return false
		}
		d.finish(c, errorf(CodeUncertain, "the server could not make sure of it, and may have taken later ones before the connection was lost"))
		return true
	}
	for c := range d.later {
		overtaken(c)
	}
	for _, c := range d.open {
		overtaken(c)
	}
	d.queue = slices.DeleteFunc(d.queue, overtaken)
}

// again has a publication sent again of which the server could not make sure, within bounds. mu is held.
func (d *desk) again(c *call, refusal *Error) {
	wait := cmp.Or(refusal.Retry, doubtAfter)
	if c.overtaken || time.Since(c.sentFirst)+wait >= d.resendFor {
		d.finish(c, errorf(CodeUncertain, "the server could not make sure of it: %s", refusal.Message))
		return
	}
	d.doubt(c)
	c.resent = true
	delete(d.open, c.id)
	d.later[c] = true
	time.AfterFunc(wait, func() { d.requeue(c) })
}
