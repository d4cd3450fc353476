package protocol

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"sync"
)

// maskBlock is the length of a repeated key that long payloads are XORed
// with: long enough for subtle.XORBytes to run at memory speed, short enough
// to build on the stack. A multiple of 4, so that blocks keep the key's phase.
const maskBlock = 512

// maskLong is the length from which building the block pays.
const maskLong = 1024

// Mask XORs p with key as RFC 6455, section 5.3 says, in place. offset is the
// position of p's first byte in the frame's payload; masking twice is the
// identity.
func Mask(p []byte, key [4]byte, offset int64) {
	k := rotateKey(key, offset)
	if len(p) >= maskLong {
		p = maskBlocks(p, k)
	}
	k64 := uint64(k)<<32 | uint64(k)
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^k64)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= byte(k)
		k = k>>8 | k<<24
	}
}

// rotateKey returns the key as a little-endian word whose first byte applies
// to payload position offset.
func rotateKey(key [4]byte, offset int64) uint32 {
	k := binary.LittleEndian.Uint32(key[:])
	s := uint(offset&3) * 8
	return k>>s | k<<(32-s)
}

// maskBlocks masks all whole blocks of p and returns what is left.
func maskBlocks(p []byte, k uint32) []byte {
	var block [maskBlock]byte
	for i := 0; i < maskBlock; i += 4 {
		binary.LittleEndian.PutUint32(block[i:], k)
	}
	for len(p) >= maskBlock {
		subtle.XORBytes(p[:maskBlock], p[:maskBlock], block[:])
		p = p[maskBlock:]
	}
	return p
}

// keyBatch holds random bytes that were read but not yet used as keys. A key
// is never used twice; what a dropped batch still held is lost.
type keyBatch struct {
	bytes [512]byte
	used  int
}

var keyBatches = sync.Pool{New: func() any { return &keyBatch{used: len(keyBatch{}.bytes)} }}

// newMaskKey returns a fresh key from the system's cryptographic source, as
// section 10.3 demands: a key that an attacker can guess lets a page write
// chosen bytes on the wire. Keys are drawn in batches, for one call to the
// source per 128 frames.
func newMaskKey() (key [4]byte) {
	b := keyBatches.Get().(*keyBatch)
	if b.used == len(b.bytes) {
		_, _ = rand.Read(b.bytes[:]) // never fails: it ends the program instead (package doc)
		b.used = 0
	}
	copy(key[:], b.bytes[b.used:])
	b.used += len(key)
	keyBatches.Put(b)
	return key
}

// rotatedKey returns the key as it applies n bytes further on.
func rotatedKey(key [4]byte, n int) [4]byte {
	return [4]byte{key[n&3], key[(n+1)&3], key[(n+2)&3], key[(n+3)&3]}
}
