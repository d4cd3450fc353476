package deflate

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzRoundTrip: any message, cut anywhere, with any window, level and takeover,
// arrives; twice, so that the second can refer to the first; and no distance is
// larger than the window.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("Hello"), uint(2), uint8(0), uint8(0), true)
	f.Add(bytes.Repeat([]byte("abcdefghij"), 60), uint(300), uint8(1), uint8(1), true)
	f.Add(bytes.Repeat([]byte{0}, 1000), uint(1), uint8(7), uint8(9), false)
	f.Add([]byte{}, uint(0), uint8(3), uint8(5), true)
	f.Fuzz(func(t *testing.T, msg []byte, cut uint, bits, level uint8, takeover bool) {
		o := &Options{Level: int(level % 10), Budget: NewBudget(1 << 20)}
		size := 8 + int(bits%8)
		c, d := NewCompressor(o, size, takeover), NewDecompressor(o, size, takeover)
		check := new(checker)
		at := int(cut % uint(len(msg)+1))
		for range 2 {
			payload := c.AppendPart(nil, msg[:at], false)
			payload = c.AppendPart(payload, msg[at:], true)
			got, err := d.AppendMessage(nil, payload, len(msg))
			if err != nil || !bytes.Equal(got, msg) {
				t.Fatalf("got %d of %d bytes, %v", len(got), len(msg), err)
			}
			if got, err := check.message(payload); err != nil || !bytes.Equal(got, msg) {
				t.Fatalf("checker: %d of %d bytes, %v", len(got), len(msg), err)
			}
		}
		if check.maxDistance > 1<<size {
			t.Errorf("distance %d with %d bits", check.maxDistance, size)
		}
		c.Close()
		d.Close()
		if used := o.Budget.Used(); used != 0 {
			t.Errorf("%d bytes still used", used)
		}
	})
}

// FuzzDecompress: arbitrary bytes never panic, never give more than the limit and
// leave no trace when they fail; where they are plain DEFLATE the checker agrees.
func FuzzDecompress(f *testing.F) {
	f.Add([]byte{0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00}, uint16(100))
	f.Add([]byte{0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0xf2, 0x00, 0x11, 0x00, 0x00}, uint16(100))
	f.Add([]byte{0x00, 0x05, 0x00, 0xfa, 0xff, 'H', 'e', 'l', 'l', 'o', 0x00}, uint16(5))
	f.Add(bytes.Repeat([]byte{0x03, 0x00}, 300), uint16(0))
	f.Add(NewCompressor(nil, 15, false).AppendMessage(nil, bytes.Repeat([]byte("window "), 500)), uint16(65535))
	f.Fuzz(func(t *testing.T, src []byte, limit uint16) {
		d := NewDecompressor(&Options{Budget: NewBudget(0)}, 15, true)
		defer d.Close()
		input := bytes.Clone(src)
		var all []byte
		for range 2 {
			out, err := d.AppendMessage([]byte("before"), src, int(limit))
			if !bytes.Equal(src, input) {
				t.Fatal("the input was written to")
			}
			if !bytes.HasPrefix(out, []byte("before")) || len(out) > len("before")+int(limit) {
				t.Fatalf("%d bytes with a limit of %d", len(out), limit)
			}
			if err != nil {
				if len(out) != len("before") || errors.Is(err, ErrCorrupt) == errors.Is(err, ErrTooLarge) {
					t.Fatalf("%d bytes with %v", len(out), err)
				}
				return
			}
			check := &checker{out: bytes.Clone(all)}
			want, err := check.message(src)
			if err == nil && check.pos == 8*len(check.in) && !bytes.Equal(out[len("before"):], want) {
				t.Fatalf("%d bytes, the checker has %d", len(out)-len("before"), len(want))
			}
			all = append(all, out[len("before"):]...)
		}
	})
}
