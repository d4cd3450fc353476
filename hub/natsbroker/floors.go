package natsbroker

import (
	"fmt"
	"math"
	"strings"
)

// floor says that the stream kept fewer messages of a topic than now, namely limit, until it had reached a sequence. What it removed then is not
// known.
type floor struct {
	limit int
	until uint64 // math.MaxUint64: not known yet
}

// floors are the limits that the stream has had, the oldest first.
type floors []floor

// of returns up to which sequence messages of a topic that keeps so many may have been removed although it keeps them.
func (f floors) of(keeps int) (until uint64) {
	for _, each := range f {
		if keeps >= each.limit {
			until = max(until, each.until)
		}
	}
	return until
}

// unknown reports whether it has not been settled yet until when some limit was in force.
func (f floors) unknown() bool { return len(f) > 0 && f[len(f)-1].until == math.MaxUint64 }

// String is how floors are written in the stream's metadata, and parseFloors reads it.
func (f floors) String() string {
	var text []string
	for _, each := range f {
		text = append(text, fmt.Sprintf("%d:%d", each.limit, each.until))
	}
	return strings.Join(text, " ")
}

// parseFloors takes what it cannot read for a limit of which nothing is known.
func parseFloors(text string) (f floors) {
	for part := range strings.FieldsSeq(text) {
		each := floor{until: math.MaxUint64}
		if _, err := fmt.Sscanf(part, "%d:%d", &each.limit, &each.until); err != nil {
			each = floor{until: math.MaxUint64}
		}
		f = append(f, each)
	}
	return f
}
