package load

import "math"

// schedule is when the messages of an open loop are due: message i at begin plus
// i times the gap. No message needs a note of its own.
type schedule struct {
	gap    float64 // nanoseconds
	begin  int64
	end    int64 // no message is due at or after it
	issued int64 // messages that were due so far
}

func newSchedule(rate float64, begin int64) schedule {
	return schedule{gap: 1e9 / rate, begin: begin, end: never}
}

// at is when message i is due.
func (s *schedule) at(i int64) int64 { return s.begin + int64(math.Ceil(float64(i)*s.gap)) }

// before is how many messages are due before t.
func (s *schedule) before(t int64) int64 {
	if t <= s.begin {
		return 0
	}
	n := int64(float64(t-s.begin) / s.gap)
	for n > 0 && s.at(n-1) >= t { // rounding is off by one at most
		n--
	}
	for s.at(n) < t {
		n++
	}
	return n
}

// take returns the messages that became due until now, first to the one before
// last.
func (s *schedule) take(now int64) (first, last int64) {
	first, last = s.issued, max(s.issued, s.before(min(now+1, s.end)))
	s.issued = last
	return first, last
}

// next is when the next message is due.
func (s *schedule) next() int64 {
	if at := s.at(s.issued); at < s.end {
		return at
	}
	return never
}
