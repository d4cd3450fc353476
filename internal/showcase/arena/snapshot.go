package arena

import (
	"encoding/binary"
	"errors"
)

// A snapshot is what everybody sees, as bytes: all of it, or what is different from the tick before. One for each tick is published, so a
// message is made once however many watch. Numbers are unsigned varints unless it says otherwise; signed ones are zigzag varints.
//
//	full      1, tick, cost, number of ships, ships, number of gems, gems
//	delta     2, tick, number of changed ships, changes, number of changed gems, gems
//	ship      id (1 byte), owner (4 bytes, little-endian), flags, length of the name, name, x, y, vx and vy (signed), wait, score, ack
//	change    id (1 byte), mask, what the mask names in the order of its bits
//	gem       index, x, y; in a delta x is 0, and there is no y, if it is gone
//
// A delta leaves out what follows from the tick before: a ship moves by its speed, and its wait goes down by one.
const (
	kindFull  = 1
	kindDelta = 2

	hasSpeed = 1 << 0 // differences of vx and vy, signed
	hasPlace = 1 << 1 // differences of x and y from where the speed would have brought it, signed
	hasFlags = 1 << 2
	hasScore = 1 << 3 // the difference, signed
	hasAck   = 1 << 4 // how much further it is, modulo 65536
	hasWait  = 1 << 5
	isNew    = 1 << 6 // the whole ship, without its id, in the place of all others
	isGone   = 1 << 7 // nothing

	flagOut  = 1
	flagSafe = 2

	maxName = 96 // bytes: 24 characters
)

var errSnapshot = errors.New("arena: not a snapshot, or not one that follows")

// appendFull appends a snapshot of all that there is.
func appendFull(b []byte, v *view) []byte {
	b = append(b, kindFull)
	b = binary.AppendUvarint(b, uint64(v.Tick))
	b = binary.AppendUvarint(b, uint64(v.Cost))
	b = binary.AppendUvarint(b, uint64(len(v.Ships)))
	for i := range v.Ships {
		b = append(b, v.Ships[i].ID)
		b = appendShip(b, &v.Ships[i])
	}
	return appendGems(b, &[maxGems]gem{}, &v.Gems)
}

func appendShip(b []byte, s *ship) []byte {
	b = binary.LittleEndian.AppendUint32(b, s.Owner)
	b = append(b, s.flags(), byte(len(s.Name)))
	b = append(b, s.Name...)
	b = binary.AppendUvarint(b, uint64(s.X))
	b = binary.AppendUvarint(b, uint64(s.Y))
	b = binary.AppendVarint(b, int64(s.VX))
	b = binary.AppendVarint(b, int64(s.VY))
	b = binary.AppendUvarint(b, uint64(s.Wait))
	b = binary.AppendUvarint(b, uint64(s.Score))
	return binary.AppendUvarint(b, uint64(s.Ack))
}

func (s *ship) flags() (flags byte) {
	if s.Out {
		flags |= flagOut
	}
	if s.Safe {
		flags |= flagSafe
	}
	return flags
}

// appendDelta appends a snapshot for those who have the one of the tick before.
func appendDelta(b []byte, before, now *view) []byte {
	b = append(b, kindDelta)
	b = binary.AppendUvarint(b, uint64(now.Tick))
	var changes []byte
	count := 0
	old := before.Ships
	for i := range now.Ships {
		s := &now.Ships[i]
		for ; len(old) > 0 && old[0].ID < s.ID; old = old[1:] {
			changes, count = append(changes, old[0].ID, isGone), count+1
		}
		length := len(changes)
		if len(old) > 0 && old[0].ID == s.ID {
			changes = appendChange(changes, &old[0], s)
			old = old[1:]
		} else {
			changes = appendShip(append(changes, s.ID, isNew), s)
		}
		if len(changes) > length {
			count++
		}
	}
	for ; len(old) > 0; old = old[1:] {
		changes, count = append(changes, old[0].ID, isGone), count+1
	}
	b = binary.AppendUvarint(b, uint64(count))
	b = append(b, changes...)
	return appendGems(b, &before.Gems, &now.Gems)
}

// appendChange appends what of a ship does not follow, or nothing.
func appendChange(b []byte, old, now *ship) []byte {
	if old.Owner != now.Owner || old.Name != now.Name {
		return appendShip(append(b, now.ID, isNew), now)
	}
	var mask byte
	start := len(b)
	b = append(b, now.ID, 0)
	if old.VX != now.VX || old.VY != now.VY {
		mask |= hasSpeed
		b = binary.AppendVarint(b, int64(now.VX-old.VX))
		b = binary.AppendVarint(b, int64(now.VY-old.VY))
	}
	if x, y := old.X+now.VX, old.Y+now.VY; x != now.X || y != now.Y {
		mask |= hasPlace
		b = binary.AppendVarint(b, int64(now.X-x))
		b = binary.AppendVarint(b, int64(now.Y-y))
	}
	if old.flags() != now.flags() {
		mask |= hasFlags
		b = append(b, now.flags())
	}
	if old.Score != now.Score {
		mask |= hasScore
		b = binary.AppendVarint(b, int64(now.Score)-int64(old.Score))
	}
	if old.Ack != now.Ack {
		mask |= hasAck
		b = binary.AppendUvarint(b, uint64(now.Ack-old.Ack))
	}
	if max(0, old.Wait-1) != now.Wait {
		mask |= hasWait
		b = binary.AppendUvarint(b, uint64(now.Wait))
	}
	if mask == 0 {
		return b[:start]
	}
	b[start+1] = mask
	return b
}

func appendGems(b []byte, before, now *[maxGems]gem) []byte {
	count := 0
	for i := range now {
		if now[i] != before[i] {
			count++
		}
	}
	b = binary.AppendUvarint(b, uint64(count))
	for i, g := range now {
		if g == before[i] {
			continue
		}
		b = binary.AppendUvarint(b, uint64(i))
		b = binary.AppendUvarint(b, uint64(g.X))
		if g != (gem{}) {
			b = binary.AppendUvarint(b, uint64(g.Y))
		}
	}
	return b
}
