// Package loop is the only place with raw system calls and build tags: what
// lets a connection wait for bytes without holding a buffer, and write without
// ever waiting. Platforms without it return nil from NewSocket, and the
// library uses net.Conn there.
package loop

// Buffers hands out the buffers that Read fills.
type Buffers interface {
	Get() []byte
	Put([]byte)
}
