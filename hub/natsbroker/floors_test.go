package natsbroker

import (
	"math"
	"testing"
)

func TestFloors(t *testing.T) {
	f := parseFloors("256:1000 512:2000")
	for keeps, want := range map[int]uint64{0: 0, 255: 0, 256: 1000, 511: 1000, 512: 2000, math.MaxInt: 2000} {
		if got := f.of(keeps); got != want {
			t.Errorf("of a topic that keeps %d, messages up to %d may be gone, want %d", keeps, got, want)
		}
	}
	if f.unknown() || f.String() != "256:1000 512:2000" {
		t.Errorf("read as %v", f)
	}
	if f := parseFloors(""); f.unknown() || f.of(math.MaxInt) != 0 {
		t.Errorf("nothing is read as %v", f)
	}
	for _, bad := range []string{"x", "256", "256:", "256:-1"} {
		if f := parseFloors(bad); !f.unknown() || f.of(0) != math.MaxUint64 {
			t.Errorf("%q is read as %v", bad, f)
		}
	}
}
