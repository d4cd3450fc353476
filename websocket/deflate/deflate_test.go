package deflate

import (
	"bytes"
	stdflate "compress/flate"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"strings"
	"testing"
)

const testLimit = 1 << 20

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// json returns a message of size bytes (at least 2) as an application would send it.
func json(r *rand.Rand, size int) []byte {
	b := fmt.Appendf(nil, `{"type":"update","channel":"market.BTC-USDT","seq":%d,"items":[`, r.Intn(1e6))
	for len(b) < size {
		b = fmt.Appendf(b, `{"id":%d,"user":"user%d","price":%.2f,"side":"%s","tags":["a","b"]},`,
			r.Intn(1e5), r.Intn(1000), r.Float64()*1000, []string{"buy", "sell"}[r.Intn(2)])
	}
	return append(b[:size-2], "]}"...)
}

// noise returns bytes that cannot be compressed.
func noise(r *rand.Rand, size int) []byte {
	b := make([]byte, size)
	r.Read(b)
	return b
}

// TestRFC7692Messages inflates the examples of section 7.2.3, and the other forms
// that peers are known to send, byte for byte.
func TestRFC7692Messages(t *testing.T) {
	cases := []struct {
		section, name string
		takeover      bool
		payloads      []string
		want          string // the messages, joined by "|"
	}{
		{"7.2.3.1", "one block", false, []string{"f2 48 cd c9 c9 07 00"}, "Hello"},
		{"7.2.3.2", "sharing the window", true, []string{"f2 48 cd c9 c9 07 00", "f2 00 11 00 00"}, "Hello|Hello"},
		{"7.2.3.2", "window kept but not used", true, []string{"f2 48 cd c9 c9 07 00", "f2 48 cd c9 c9 07 00"}, "Hello|Hello"},
		{"7.2.3.3", "no compression", false, []string{"00 05 00 fa ff 48 65 6c 6c 6f 00"}, "Hello"},
		{"7.2.3.4", "BFINAL", false, []string{"f3 48 cd c9 c9 07 00 00"}, "Hello"},
		{"7.2.3.4", "BFINAL, then the window", true, []string{"f3 48 cd c9 c9 07 00 00", "f2 00 11 00 00"}, "Hello|Hello"},
		{"7.2.3.5", "two blocks", false, []string{"f2 48 05 00 00 00 ff ff ca c9 c9 07 00"}, "Hello"},
		{"7.2.3.6", "empty", false, []string{"00"}, ""},
		{"7.2.3.6", "empty between others", true, []string{"f2 48 cd c9 c9 07 00", "00", "f2 00 11 00 00"}, "Hello||Hello"},

		{"7.2.2", "empty payload", false, []string{""}, ""},
		{"7.2.2", "empty fixed block", false, []string{"02 00"}, ""},
		{"7.2.2", "tail not removed", false, []string{"f2 48 cd c9 c9 07 00 00 00 ff ff"}, "Hello"},
		{"7.2.2", "stored without flush", false, []string{"00 05 00 fa ff 48 65 6c 6c 6f"}, "Hello"},
		{"7.2.3.4", "BFINAL, nothing behind", false, []string{"f3 48 cd c9 c9 07 00"}, "Hello"},
		{"7.2.3.4", "BFINAL ended by the tail", false, []string{"f3 48 cd c9 c9 07"}, "Hello"},
		{"7.2.3.4", "flush, empty final stored block cut by four", false, []string{"f2 48 cd c9 c9 07 00 00 00 ff ff 01"}, "Hello"},
		{"7.2.3.4", "flush, empty final stored block", false, []string{"f2 48 cd c9 c9 07 00 00 00 ff ff 01 00 00 ff ff"}, "Hello"},
		{"7.2.3.4", "flush, empty final fixed block (Go 1.27)", false, []string{"f2 48 cd c9 c9 07 00 00 00 ff ff 03 00"}, "Hello"},
		{"7.2.3.4", "data behind a final block", false, []string{"f3 48 cd c9 c9 07 00 f2 48 cd c9 c9 07 00"}, "HelloHello"},
		{"7.2.3.4", "reference across a final block", false, []string{"f3 48 cd c9 c9 07 00 f2 00 11 00 00"}, "HelloHello"},
		{"7.2.3.4", "reference across final blocks to the message before", true,
			[]string{"f2 48 cd c9 c9 07 00", "03 00 03 00 f3 00 11 00 f2 00 11 00 00"}, "Hello|HelloHello"},
	}
	for _, c := range cases {
		t.Run(c.section+" "+c.name, func(t *testing.T) {
			d := NewDecompressor(nil, 15, c.takeover)
			defer d.Close()
			var got []string
			for _, p := range c.payloads {
				out, err := d.AppendMessage([]byte("before"), unhex(t, p), testLimit)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, strings.TrimPrefix(string(out), "before"))
			}
			if s := strings.Join(got, "|"); s != c.want {
				t.Errorf("got %q, want %q", s, c.want)
			}
		})
	}
}

func TestCorruptMessages(t *testing.T) {
	for name, payload := range map[string]string{
		"reserved block type":             "06",
		"stored length does not match":    "00 05 00 fa fe 48 65 6c 6c 6f 00",
		"stored block cut":                "00 ff 00 00 ff 48 65",
		"fixed block cut":                 "f2 48 cd c9",
		"dynamic block cut":               "ec c1",
		"too many length codes":           "fc ff ff ff ff ff ff ff",
		"distance before the first byte":  "f2 00 11 00 00",
		"garbage behind a final block":    "f3 48 cd c9 c9 07 00 ff ff ff",
		"reference before after a final":  "03 00 f2 00 11 00 00",
		"more final blocks than are sane": strings.Repeat("03 00", 300),
	} {
		t.Run(name, func(t *testing.T) {
			d := NewDecompressor(nil, 15, false)
			out, err := d.AppendMessage([]byte("before"), unhex(t, payload), testLimit)
			if !errors.Is(err, ErrCorrupt) || string(out) != "before" {
				t.Errorf("got %q, %v", out, err)
			}
		})
	}
}

// TestTruncated cuts a message at every byte: never a panic, never more than the
// message, and what comes out without an error is a prefix of it.
func TestTruncated(t *testing.T) {
	msg := json(rand.New(rand.NewSource(1)), 700)
	payload := NewCompressor(nil, 15, false).AppendMessage(nil, msg)
	d := NewDecompressor(nil, 15, false)
	for n := range payload {
		out, err := d.AppendMessage(nil, payload[:n], testLimit)
		if err == nil && n > 0 && !bytes.HasPrefix(msg, out) {
			t.Errorf("cut at %d of %d: %d other bytes", n, len(payload), len(out))
		}
	}
}

// TestTakeoverNeedsAgreement: without takeover a reference to the message before
// is an error, on a decoder that the pool has just used for that message.
func TestTakeoverNeedsAgreement(t *testing.T) {
	d := NewDecompressor(nil, 15, false)
	if _, err := d.AppendMessage(nil, unhex(t, "f2 48 cd c9 c9 07 00"), testLimit); err != nil {
		t.Fatal(err)
	}
	if out, err := d.AppendMessage(nil, unhex(t, "f2 00 11 00 00"), testLimit); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %q, %v", out, err)
	}
}

// TestReceiveWindow: a peer may refer as far back as its window at the start of a
// message and no further; zlib's nine bits where eight were agreed are let through.
func TestReceiveWindow(t *testing.T) {
	for bits := 8; bits <= 15; bits++ {
		window := receiveHistory(bits)
		for _, behind := range []int{window - 8, window - 7} {
			d := NewDecompressor(nil, bits, true)
			peer, _ := stdflate.NewWriter(nil, 9)
			var wire bytes.Buffer
			peer.Reset(&wire)
			// A mark and then other bytes, so that a second mark is behind+8 back.
			first := append([]byte("the mark"), noise(rand.New(rand.NewSource(5)), behind)...)
			var errs [2]error
			for i, msg := range [][]byte{first, []byte("the mark")} {
				wire.Reset()
				peer.Write(msg)
				peer.Flush()
				_, errs[i] = d.AppendMessage(nil, bytes.TrimSuffix(wire.Bytes(), []byte(syncTail)), testLimit)
			}
			// The standard library does not refer to exactly the full 32 KiB.
			wantErr := behind+8 > window && bits < 15
			if errs[0] != nil || errors.Is(errs[1], ErrCorrupt) != wantErr {
				t.Errorf("%d bits, distance %d: %v", bits, behind+8, errs)
			}
			d.Close()
		}
	}
}

func TestEmptyMessageIsOneZeroByte(t *testing.T) {
	for _, takeover := range []bool{false, true} {
		c := NewCompressor(nil, 15, takeover)
		for range 2 {
			if got := c.AppendMessage([]byte("x"), nil); string(got) != "x\x00" {
				t.Errorf("takeover %v: %x", takeover, got)
			}
			c.AppendMessage(nil, []byte("something"))
		}
		c.Close()
	}
}

// TestRoundTrip sends messages of all kinds and sizes, whole and in parts, through
// every window, level and takeover, and has three readers: ours, the standard
// library's, and the checker, which sees the distances.
func TestRoundTrip(t *testing.T) {
	for bits := 8; bits <= 15; bits++ {
		for _, level := range []int{0, 2, 6, 9} {
			for _, takeover := range []bool{false, true} {
				t.Run(fmt.Sprintf("bits %d level %d takeover %v", bits, level, takeover), func(t *testing.T) {
					roundTrip(t, bits, level, takeover)
				})
			}
		}
	}
}

func roundTrip(t *testing.T, bits, level int, takeover bool) {
	o := &Options{Level: level, Budget: NewBudget(1 << 20)}
	r := rand.New(rand.NewSource(int64(bits)))
	c, d := NewCompressor(o, bits, takeover), NewDecompressor(o, bits, takeover)
	check, window := new(checker), 1<<bits
	block := noise(r, min(window, 4<<10))
	sizes := []int{1, 5, 40, 127, 128, 129, 200, window/2 - 1, window / 2, window/2 + 1, window, window + 1, 2*window + 100, 100, 0, 1000}
	for i, size := range sizes {
		msg := messageOfKind(r, i, size, block)
		payload := compressInParts(c, r, msg)
		got, err := d.AppendMessage(nil, payload, len(msg))
		if err != nil || !bytes.Equal(got, msg) {
			t.Fatalf("message %d of %d bytes: got %d, %v", i, size, len(got), err)
		}
		if !takeover {
			*check = checker{maxDistance: check.maxDistance}
			wire := append(payload[:len(payload):len(payload)], syncTail+finalTail...)
			std, err := io.ReadAll(stdflate.NewReader(bytes.NewReader(wire)))
			if err != nil || !bytes.Equal(std, msg) {
				t.Fatalf("message %d: the standard library reads %d bytes, %v", i, len(std), err)
			}
		}
		if got, err := check.message(payload); err != nil || !bytes.Equal(got, msg) {
			t.Fatalf("message %d: the checker reads %d bytes, %v", i, len(got), err)
		}
	}
	if check.maxDistance > window || check.maxDistance == 0 {
		t.Errorf("distance %d with a window of %d", check.maxDistance, window)
	}
	c.Close()
	d.Close()
	if used := o.Budget.Used(); used != 0 {
		t.Errorf("%d bytes of budget still used", used)
	}
}

// messageOfKind mixes noise, text, runs, and a block that comes again at distances
// around the window.
func messageOfKind(r *rand.Rand, kind, size int, block []byte) []byte {
	switch kind % 4 {
	case 0:
		return noise(r, size)
	case 1:
		return bytes.Repeat([]byte{byte(kind)}, size)
	case 2:
		return json(r, max(size, 2))
	default:
		var b []byte
		for len(b) < size {
			b = append(append(b, block...), noise(r, r.Intn(64))...)
		}
		return b[:size]
	}
}

// compressInParts compresses msg whole or in parts, some of them empty.
func compressInParts(c *Compressor, r *rand.Rand, msg []byte) []byte {
	var payload []byte
	for r.Intn(3) > 0 {
		n := r.Intn(len(msg) + 1)
		payload = c.AppendPart(payload, msg[:n], false)
		msg = msg[n:]
	}
	return c.AppendMessage(payload, msg)
}

// TestPartsAreReadable: after each part the receiver can have all of it, as a
// flush promises.
func TestPartsAreReadable(t *testing.T) {
	c := NewCompressor(nil, 15, false)
	defer c.Close()
	var wire, want []byte
	for i := range 20 {
		part := json(rand.New(rand.NewSource(int64(i))), 50*i+2)
		want = append(want, part...)
		wire = c.AppendPart(wire, part, false)
		if !bytes.HasSuffix(wire, []byte(syncTail)) {
			t.Fatalf("part %d ends with % x", i, wire[len(wire)-4:])
		}
		var got bytes.Buffer
		io.Copy(&got, stdflate.NewReader(bytes.NewReader(wire)))
		if !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("part %d: %d of %d bytes readable", i, got.Len(), len(want))
		}
	}
	if wire = c.AppendPart(wire, nil, true); !bytes.HasSuffix(wire, []byte(syncTail+"\x00")) {
		t.Errorf("ends with % x", wire[len(wire)-5:])
	}
}

// TestLargeMessages covers input that spans several DEFLATE blocks and windows.
func TestLargeMessages(t *testing.T) {
	r := rand.New(rand.NewSource(3))
	for _, msg := range [][]byte{json(r, 3<<20), noise(r, 3<<20), make([]byte, 3<<20)} {
		for _, bits := range []int{8, 12, 15} {
			c, d := NewCompressor(nil, bits, true), NewDecompressor(nil, bits, true)
			for range 2 {
				got, err := d.AppendMessage(nil, c.AppendMessage(nil, msg), len(msg))
				if err != nil || !bytes.Equal(got, msg) {
					t.Fatalf("%d bits: %d bytes, %v", bits, len(got), err)
				}
			}
			c.Close()
			d.Close()
		}
	}
}

// TestStandardLibraryPeer receives from compress/flate with takeover at all levels.
func TestStandardLibraryPeer(t *testing.T) {
	r := rand.New(rand.NewSource(4))
	for level := -2; level <= 9; level++ {
		d := NewDecompressor(nil, 15, true)
		var wire bytes.Buffer
		peer, err := stdflate.NewWriter(&wire, level)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 60 {
			msg := json(r, 2+r.Intn(3000))
			wire.Reset()
			peer.Write(msg)
			peer.Flush()
			got, err := d.AppendMessage(nil, bytes.TrimSuffix(wire.Bytes(), []byte(syncTail)), testLimit)
			if err != nil || !bytes.Equal(got, msg) {
				t.Fatalf("level %d message %d: %v", level, i, err)
			}
		}
		d.Close()
	}
}

// TestTakeoverPays: messages that resemble each other shrink, small ones too.
func TestTakeoverPays(t *testing.T) {
	for _, size := range []int{90, 1024} {
		for _, level := range []int{1, 5, 9} {
			var sum [2]int
			for i, takeover := range []bool{false, true} {
				r := rand.New(rand.NewSource(1))
				c := NewCompressor(&Options{Level: level}, 15, takeover)
				for range 50 {
					sum[i] += len(c.AppendMessage(nil, json(r, size)))
				}
				c.Close()
			}
			if sum[1]*5 > sum[0]*4 {
				t.Errorf("size %d level %d: %d bytes with takeover, %d without", size, level, sum[1], sum[0])
			}
		}
	}
}

func TestResetStartsAfresh(t *testing.T) {
	c := NewCompressor(nil, 15, true)
	defer c.Close()
	msg := json(rand.New(rand.NewSource(1)), 500)
	first := c.AppendMessage(nil, msg)
	if second := c.AppendMessage(nil, msg); len(second) >= len(first)/2 {
		t.Fatalf("%d bytes, then %d: no takeover", len(first), len(second))
	}
	c.Reset()
	if third := c.AppendMessage(nil, msg); !bytes.Equal(third, first) {
		t.Error("after Reset the message still refers to what was before")
	}
}
