package arena

import (
	"encoding/binary"
	"slices"
	"unicode/utf8"
)

// decode reads a snapshot; before is what the tick before looked like, nil if that is not known. What it returns shares nothing with before.
// The server needs it to go on with what was published before it was started; the page has the same in web/src/arena/snapshot.ts.
func decode(data []byte, before *view) (*view, error) {
	r := &reader{rest: data}
	v := &view{}
	switch kind := r.byte(); {
	case kind == kindFull:
		v.Tick, v.Cost = uint32(r.number(1<<32-1)), uint16(r.number(1<<16-1))
		r.ships(v)
	case kind == kindDelta && before != nil:
		*v = view{Tick: uint32(r.number(1<<32 - 1)), Cost: before.Cost, Ships: slices.Clone(before.Ships), Gems: before.Gems}
		if v.Tick != before.Tick+1 {
			return nil, errSnapshot
		}
		r.changes(v)
	default:
		return nil, errSnapshot
	}
	r.gems(v)
	if r.broken || len(r.rest) > 0 {
		return nil, errSnapshot
	}
	return v, nil
}

// reader takes a snapshot apart. Once something is wrong it is broken, and everything is 0.
type reader struct {
	rest   []byte
	broken bool
}

func (r *reader) fail() {
	r.rest, r.broken = nil, true
}

func (r *reader) bytes(n int) []byte {
	if n > len(r.rest) {
		r.fail()
		return make([]byte, n)
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) byte() byte { return r.bytes(1)[0] }

// number reads a number that is at most so large.
func (r *reader) number(most uint64) uint64 {
	n, length := binary.Uvarint(r.rest)
	if length <= 0 || n > most {
		r.fail()
		return 0
	}
	r.rest = r.rest[length:]
	return n
}

// signed reads a difference of numbers of 16 bits, or less.
func (r *reader) signed() int32 {
	n, length := binary.Varint(r.rest)
	if length <= 0 || n < -2*field || n > 2*field {
		r.fail()
		return 0
	}
	r.rest = r.rest[length:]
	return int32(n)
}

func (r *reader) ships(v *view) {
	for range r.number(256) {
		s := ship{ID: r.byte()}
		r.ship(&s)
		if n := len(v.Ships); n > 0 && v.Ships[n-1].ID >= s.ID {
			r.fail()
		}
		v.Ships = append(v.Ships, s)
	}
}

func (r *reader) ship(s *ship) {
	s.Owner = binary.LittleEndian.Uint32(r.bytes(4))
	r.flags(s)
	name := r.bytes(int(r.byte()))
	if s.Name = string(name); len(name) > maxName || !utf8.Valid(name) {
		r.fail()
	}
	s.X, s.Y = int32(r.number(field)), int32(r.number(field))
	s.VX, s.VY = r.signed(), r.signed()
	s.Wait = int32(r.number(cooldown))
	s.Score, s.Ack = uint16(r.number(maxScore)), uint16(r.number(1<<16-1))
	s.check(r)
}

// check refuses a ship that no world has.
func (s *ship) check(r *reader) {
	within := func(n, most int32) bool { return n >= -most && n <= most }
	if s.X < 0 || s.X > field || s.Y < 0 || s.Y > field || !within(s.VX, field) || !within(s.VY, field) {
		r.fail()
	}
}

func (r *reader) flags(s *ship) {
	flags := r.byte()
	s.Out, s.Safe = flags&flagOut != 0, flags&flagSafe != 0
}

// changes moves ships by what follows from the tick before, and then by what is different.
func (r *reader) changes(v *view) {
	for i := range v.Ships {
		v.Ships[i].Wait = max(0, v.Ships[i].Wait-1)
	}
	changed := make([]bool, 256)
	for range r.number(256) {
		id, mask := r.byte(), r.byte()
		i, known := slices.BinarySearchFunc(v.Ships, id, func(s ship, id uint8) int { return int(s.ID) - int(id) })
		changed[id] = true
		switch {
		case mask == isGone && known:
			v.Ships = slices.Delete(v.Ships, i, i+1)
		case mask == isNew:
			s := ship{ID: id}
			if r.ship(&s); known {
				v.Ships[i] = s
			} else {
				v.Ships = slices.Insert(v.Ships, i, s)
			}
		case mask&(isGone|isNew) == 0 && known:
			r.change(&v.Ships[i], mask)
		default:
			r.fail()
			return
		}
	}
	for i := range v.Ships {
		if s := &v.Ships[i]; !changed[s.ID] {
			s.X, s.Y = s.X+s.VX, s.Y+s.VY
			s.check(r)
		}
	}
}

func (r *reader) change(s *ship, mask byte) {
	if mask&hasSpeed != 0 {
		s.VX, s.VY = s.VX+r.signed(), s.VY+r.signed()
	}
	s.X, s.Y = s.X+s.VX, s.Y+s.VY
	if mask&hasPlace != 0 {
		s.X, s.Y = s.X+r.signed(), s.Y+r.signed()
	}
	if mask&hasFlags != 0 {
		r.flags(s)
	}
	if mask&hasScore != 0 {
		score := int32(s.Score) + r.signed()
		if score < 0 || score > maxScore {
			r.fail()
		}
		s.Score = uint16(score)
	}
	if mask&hasAck != 0 {
		s.Ack += uint16(r.number(1<<16 - 1))
	}
	if mask&hasWait != 0 {
		s.Wait = int32(r.number(cooldown))
	}
	s.check(r)
}

func (r *reader) gems(v *view) {
	for range r.number(maxGems) {
		i := r.number(maxGems - 1)
		x := r.number(field / unit)
		var y uint64
		if x != 0 {
			y = r.number(field / unit)
		}
		v.Gems[i] = gem{uint16(x), uint16(y)}
	}
}
