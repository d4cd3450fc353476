package protocol

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestMask(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 3, 4, 7, 8, 9, 63, 64, 65, 511, 512, 1023, 1024, 1025, 1536, 4099, 70000} {
		for offset := range int64(5) {
			key := [4]byte{1, 2, 3, 4}
			binary.LittleEndian.PutUint32(key[:], r.Uint32())
			p := make([]byte, n)
			for i := range p {
				p[i] = byte(r.Uint32())
			}
			want := bytes.Clone(p)
			for i := range want {
				want[i] ^= key[(int64(i)+offset)%4]
			}
			got := bytes.Clone(p)
			Mask(got, key, offset)
			if !bytes.Equal(got, want) {
				t.Fatalf("Mask of %d bytes at %d is wrong", n, offset)
			}
			if rotated := rotatedKey(key, int(offset)); rotated[0] != key[offset%4] {
				t.Fatalf("rotatedKey(%x, %d) = %x", key, offset, rotated)
			}
		}
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	for _, length := range []int64{0, 1, 125, 126, 65535, 65536, 1<<63 - 1} {
		for _, masked := range []bool{false, true} {
			h := FrameHeader{Fin: masked, Rsv: RSV1 | RSV3, Opcode: OpBinary, Masked: masked, Length: length}
			if masked {
				h.Key = testKey
			}
			wire := AppendHeader(nil, h)
			for i := range wire {
				if _, n, err := ParseHeader(wire[:i]); n != 0 || err != nil {
					t.Errorf("%d of %d bytes: n %d, %v", i, len(wire), n, err)
				}
			}
			got, n, err := ParseHeader(append(wire, 0xff))
			if got != h || n != len(wire) || err != nil {
				t.Errorf("%+v became %+v, %d, %v", h, got, n, err)
			}
		}
	}
}

// utf8Checker agrees with the standard library on every text and at every
// split, and fails no later than the byte that makes the text hopeless.
func TestUTF8Checker(t *testing.T) {
	texts := []string{"", "a", "é", "€", "😀", "\u0000", "\u07ff\u0800\uffff\U00010000\U0010ffff", "\ufffe\uffff", "κόσμε", strings.Repeat("日本語😀", 50),
		"\x80", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xf8", "ab\xe2\x82", "\xe2\x28\xa1", "\xf0\x9f\x98", "\xc3\xc3\xa9"}
	for _, text := range texts {
		for cut := 0; cut <= len(text); cut++ {
			for cut2 := cut; cut2 <= len(text); cut2++ {
				var c utf8Checker
				ok := c.write([]byte(text[:cut])) && c.write([]byte(text[cut:cut2])) && c.write([]byte(text[cut2:])) && c.complete()
				if ok != utf8.ValidString(text) {
					t.Fatalf("%q cut at %d and %d: %v", text, cut, cut2, ok)
				}
			}
		}
		var c utf8Checker
		for i := range len(text) {
			if ok := c.write([]byte{text[i]}); ok != hopeful([]byte(text[:i+1])) {
				t.Fatalf("%q: after byte %d the checker says %v", text, i, ok)
			}
			if !hopeful([]byte(text[:i+1])) {
				break
			}
		}
	}
}

// hopeful reports whether some continuation makes p valid, by trying.
func hopeful(p []byte) bool {
	if utf8.Valid(p) {
		return true
	}
	for _, tail := range []string{"\x80", "\x90", "\xa0", "\x80\x80", "\x90\x80", "\xa0\x80", "\x80\x80\x80", "\x90\x80\x80"} {
		if utf8.Valid(slices.Concat(p, []byte(tail))) {
			return true
		}
	}
	return false
}

func TestBufferClasses(t *testing.T) {
	for _, n := range []int{0, 1, 512, 513, 1024, 4097, 1 << 20, 1<<22 - 1, 1 << 22, 1<<22 + 1, 5 << 20} {
		b := GetBuffer(n)
		if cap(b.B) < n || len(b.B) != 0 {
			t.Errorf("GetBuffer(%d): len %d, cap %d", n, len(b.B), cap(b.B))
		}
		b.B = append(b.B, "kept"...)
		b.Grow(3*n+10, 1<<30)
		if cap(b.B) < 3*n+14 || string(b.B) != "kept" {
			t.Errorf("Grow lost %q or is small: %d", b.B, cap(b.B))
		}
		b.Release()
	}
	(*Buffer)(nil).Release()
	for range 100 { // whatever capacity comes back, what goes out fits
		odd := &Buffer{make([]byte, 0, 512+rand.IntN(5000))}
		odd.Release()
		n := rand.IntN(6000)
		if b := GetBuffer(n); cap(b.B) < n || len(b.B) != 0 {
			t.Fatalf("GetBuffer(%d) has len %d, cap %d", n, len(b.B), cap(b.B))
		}
	}
}

func TestNames(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{Server.String(), "server"}, {Client.String(), "client"}, {OpPing.String(), "ping"}, {Opcode(3).String(), "opcode 0x3"},
		{StateClosing.String(), "closing"}, {State(9).String(), "invalid"}, {StatusGoingAway.String(), "1001 (going away)"}, {StatusCode(4000).String(), "4000"},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}

func BenchmarkEcho64(b *testing.B) {
	var p Endpoint
	p.Init(&Config{Role: Server}, nil, nil)
	wire := sent(Client, FrameHeader{Fin: true, Opcode: OpBinary}, make([]byte, 64))
	out := make([]byte, 0, 1024)
	for b.Loop() {
		ev, _, reply := p.Next(wire, out[:0])
		if _, err := p.AppendMessage(reply, ev.Opcode, ev.Payload, false); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMask(b *testing.B) {
	for _, n := range []int{64, 1 << 10, 16 << 10, 1 << 20} {
		b.Run(byteSize(n), func(b *testing.B) {
			p := make([]byte, n)
			b.SetBytes(int64(n))
			for b.Loop() {
				Mask(p, testKey, 0)
			}
		})
	}
}

func byteSize(n int) string {
	if n >= 1<<20 {
		return "1MiB"
	}
	if n >= 1<<10 {
		return string(rune('0'+n>>10%10)) + "KiB"
	}
	return "64B"
}
