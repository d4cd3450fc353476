package arena

// What moves and how: the part of the rules that the page has as well (web/src/arena/rules.ts), where it is run ahead of the server. Both are
// held to the same vectors (testdata/steps.json). All of it is whole numbers and divisions that round to zero, so that they agree to the bit.

const (
	unit   = 32          // positions are in 1/32 of a point, speeds in that for each tick
	field  = 2000 * unit // the arena is a square of this
	radius = 20 * unit   // of a ship

	full     = 100 // the longest that an input's direction may be
	thrust   = 52  // speed that a tick at full thrust adds
	drag     = 8   // and what a tick takes away: one part in so many
	kick     = 900 // speed that a dash adds
	cooldown = 40  // ticks from one dash to the next
	dashing  = 9   // ticks in which a dash bursts others
)

// body is what of a ship moves.
type body struct {
	X, Y   int32 // the middle
	VX, VY int32
	Wait   int32 // ticks until it may dash again
}

// input is what a pilot does in one tick: a direction no longer than full, and whether to dash there.
type input struct {
	X, Y int32
	Dash bool
}

// isValid reports whether a pilot can do this. A direction may be longer by what rounding adds.
func (i input) isValid() bool {
	return i.X >= -full && i.X <= full && i.Y >= -full && i.Y <= full && i.X*i.X+i.Y*i.Y <= (full+1)*(full+1)
}

// step moves a body by one tick.
func (b body) step(in input) body {
	if b.Wait > 0 {
		b.Wait--
	}
	if in.Dash && b.Wait == 0 && (in.X != 0 || in.Y != 0) {
		b.VX += in.X * kick / full
		b.VY += in.Y * kick / full
		b.Wait = cooldown
	}
	b.X, b.VX = move(b.X, b.VX+in.X*thrust/full)
	b.Y, b.VY = move(b.Y, b.VY+in.Y*thrust/full)
	return b
}

// move is a step in one direction: drag, and walls that give back half of the speed.
func move(at, speed int32) (int32, int32) {
	speed -= speed/drag + sign(speed) // the latter brings it to rest
	at += speed
	switch {
	case at < radius:
		return radius, -speed / 2
	case at > field-radius:
		return field - radius, -speed / 2
	}
	return at, speed
}

func sign(n int32) int32 {
	switch {
	case n > 0:
		return 1
	case n < 0:
		return -1
	}
	return 0
}

// isDashing reports whether it bursts whom it hits.
func (b body) isDashing() bool { return b.Wait > cooldown-dashing }
