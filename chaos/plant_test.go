package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func frame(payload string) string {
	head := []byte{0x81, 0}
	switch n := len(payload); {
	case n < 126:
		head[1] = byte(n)
	case n < 1<<16:
		head[1] = 126
		head = binary.BigEndian.AppendUint16(head, uint16(n))
	default:
		head[1] = 127
		head = binary.BigEndian.AppendUint64(head, uint64(n))
	}
	return string(head) + payload
}

// TestLoser: of the messages every third is lost, nothing else changes, and how the bytes are divided does not matter.
func TestLoser(t *testing.T) {
	head := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
	in, want := head, head
	for i, size := range []int{1, 100, 200, 70_000, 5, 80_000, 300} {
		message := frame(fmt.Sprintf(`{"type":"message","data":"%s"}`, strings.Repeat("x", size)))
		other := frame(fmt.Sprintf(`{"type":"reply","id":%d}`, i))
		in += message + other
		if (i+1)%3 != 0 {
			want += message
		}
		want += other
	}
	r := rand.New(rand.NewPCG(1, 1))
	for _, most := range []int{1, 7, 1000, 1 << 20} {
		var out bytes.Buffer
		l := &loser{to: &out, every: 3}
		for rest := in; rest != ""; {
			n := min(len(rest), 1+r.IntN(most))
			if k, err := l.Write([]byte(rest[:n])); k != n || err != nil {
				t.Fatal(k, err)
			}
			rest = rest[n:]
		}
		if out.String() != want {
			t.Errorf("in pieces of up to %d bytes it passes on %d bytes, want %d", most, out.Len(), len(want))
		}
	}
}
