package deflate

import (
	"bytes"
	"errors"
	"testing"
)

// TestSecurity names the faults that others had, and shows that they are not here.
func TestSecurity(t *testing.T) {
	for _, name := range []string{
		"nats-server GHSA-qrvq-68c2-7grw", "nats-server GHSA-8r68-gvr4-jh7j", "undici CVE-2026-1526",
		"Bandit GHSA-frh3-6pv6-rc8j", "nbio issue 421",
	} {
		t.Run(name+" inflating without bound", inflatesWithoutBound)
	}
	t.Run("centrifugo PR 1162 limit on compressed bytes only", limitOnCompressedBytesOnly)
	t.Run("undici CVE-2026-2229 window bits out of range", windowBitsOutOfRange)
	t.Run("final blocks that make the decoder restart", manyFinalBlocks)
}

// inflatesWithoutBound sends bomb after bomb on one connection, as a peer may before
// anybody has looked at who it is.
func inflatesWithoutBound(t *testing.T) {
	payload := bomb(t, 20)
	d := NewDecompressor(nil, 15, true)
	defer d.Close()
	used := allocated(func() {
		for range 5 {
			if _, err := d.AppendMessage(nil, payload, 64<<10); !errors.Is(err, ErrTooLarge) {
				t.Errorf("got %v", err)
			}
		}
	})
	if used > 1<<20 {
		t.Errorf("%d bytes allocated for five refusals", used)
	}
}

// limitOnCompressedBytesOnly: 64 KB of zeros pass any limit on the wire.
func limitOnCompressedBytesOnly(t *testing.T) {
	payload := NewCompressor(nil, 15, false).AppendMessage(nil, make([]byte, 64<<10))
	if len(payload) >= 1024 {
		t.Fatalf("%d bytes on the wire", len(payload))
	}
	if _, err := NewDecompressor(nil, 15, false).AppendMessage(nil, payload, 10<<10); !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

// windowBitsOutOfRange: a server's answer must not bring the client down, nor a
// size that slipped past negotiation the two halves.
func windowBitsOutOfRange(t *testing.T) {
	for _, value := range []string{"0", "7", "16", "99", "1000", "-1", "2147483648", "abc", ""} {
		for _, name := range []string{serverMaxWindowBits, clientMaxWindowBits} {
			params := []Param{{Name: name, Value: value, HasValue: true}}
			if p, err := (*Options)(nil).Confirm(params); err == nil {
				t.Errorf("%s=%s: client agreed to %v", name, value, p)
			}
			if p, ok := (*Options)(nil).Accept(params); ok {
				t.Errorf("%s=%s: server agreed to %v", name, value, p)
			}
		}
	}
	for _, bits := range []int{-1, 0, 7, 16, 1 << 30} {
		c, d := NewCompressor(nil, bits, true), NewDecompressor(nil, bits, true)
		out, err := d.AppendMessage(nil, c.AppendMessage(nil, []byte("Hello, Hello")), testLimit)
		if err != nil || string(out) != "Hello, Hello" {
			t.Errorf("%d bits: %q, %v", bits, out, err)
		}
		c.Close()
		d.Close()
	}
}

// manyFinalBlocks: each costs its sender two bytes, and us a window.
func manyFinalBlocks(t *testing.T) {
	d := NewDecompressor(nil, 15, false)
	if _, err := d.AppendMessage(nil, bytes.Repeat([]byte{0x03, 0x00}, maxFinalBlocks), 0); err != nil {
		t.Errorf("%d final blocks: %v", maxFinalBlocks, err)
	}
	used := allocated(func() {
		if _, err := d.AppendMessage(nil, bytes.Repeat([]byte{0x03, 0x00}, 1<<20), 0); !errors.Is(err, ErrCorrupt) {
			t.Errorf("got %v", err)
		}
	})
	if used > 4<<20 { // the message itself has two
		t.Errorf("%d bytes allocated", used)
	}
}
