package protocol

import (
	"math/bits"
	"sync"
)

// Buffer is a pooled byte slice. It grows by moving to a larger size class, so
// that what a connection gives back fits the next one. A Buffer belongs to one
// goroutine at a time.
type Buffer struct{ B []byte }

// Size classes are powers of two. Larger buffers are rare enough to be left to
// the garbage collector.
const (
	minBufferBits = 9  // 512 bytes
	maxBufferBits = 22 // 4 MiB
)

var bufferPools [maxBufferBits - minBufferBits + 1]sync.Pool

// GetBuffer returns an empty Buffer with room for at least n bytes.
func GetBuffer(n int) *Buffer {
	class := bufferClass(n)
	if class >= len(bufferPools) {
		return &Buffer{make([]byte, 0, n)}
	}
	if b, ok := bufferPools[class].Get().(*Buffer); ok {
		return b
	}
	return &Buffer{make([]byte, 0, 1<<(class+minBufferBits))}
}

// Release gives the buffer back; neither b nor b.B may be used afterwards.
// A nil Buffer may be released.
func (b *Buffer) Release() {
	if b == nil {
		return
	}
	c := cap(b.B)
	if c < 1<<minBufferBits || c > 1<<maxBufferBits {
		return
	}
	b.B = b.B[:0]
	bufferPools[bits.Len(uint(c))-1-minBufferBits].Put(b) // the class that c fills
}

// Grow makes room for n more bytes; most is what the buffer is known to need
// in the end, so that doubling does not overshoot it.
func (b *Buffer) Grow(n, most int) {
	need := len(b.B) + n
	if need <= cap(b.B) {
		return
	}
	larger := GetBuffer(max(need, min(2*cap(b.B), most)))
	larger.B = append(larger.B, b.B...)
	b.B, larger.B = larger.B, b.B
	larger.Release()
}

// bufferClass returns the smallest class that holds n bytes.
func bufferClass(n int) int {
	if n <= 1<<minBufferBits {
		return 0
	}
	return bits.Len(uint(n-1)) - minBufferBits
}
