package natsbroker

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/duplex-websocket/duplex/hub"
)

// A message in NATS is a version, flags, and what the flags say is there: texts, each with its length in front as an unsigned varint,
// in the order of the flags. Data is the rest. What is not here is known from elsewhere: topic, offset and time.
//
// Data that a release has written stays readable, so a version is never changed; a new one is added. See testdata.
const version = 1

// The flags of version 1.
const (
	hasUser = 1 << iota
	hasInfo
	hasID
	hasKey
	hasMeta
	hasExcept
	hasRun // of messages that are not stored: see live
	isBinary
)

// run says where in the line of messages that one node has published to a topic, without storing them, a message is.
type run struct {
	id     string
	number uint64 // 1 for the first
	quiet  uint64 // milliseconds since the one before it was sent; 0 for the first
}

// encode returns m as it is in NATS.
func encode(m *hub.Message, r run) []byte {
	size := 2 + 6*binary.MaxVarintLen16 + 3*binary.MaxVarintLen64 + len(r.id) + len(m.Data)
	size += len(m.From.User) + len(m.From.Info) + len(m.ID) + len(m.Key) + len(m.Meta) + len(m.Except)
	p := append(make([]byte, 0, size), version, 0)
	var flags byte
	add := func(flag byte, text string) {
		if text != "" {
			flags |= flag
			p = append(binary.AppendUvarint(p, uint64(len(text))), text...)
		}
	}
	add(hasUser, m.From.User)
	add(hasInfo, string(m.From.Info))
	add(hasID, m.ID)
	add(hasKey, m.Key)
	add(hasMeta, string(m.Meta))
	add(hasExcept, m.Except)
	add(hasRun, r.id)
	if r.id != "" {
		p = binary.AppendUvarint(binary.AppendUvarint(p, r.number), r.quiet)
	}
	if m.Binary {
		flags |= isBinary
	}
	p[1] = flags
	return append(p, m.Data...)
}

var errShort = errors.New("it is shorter than it says")

// decode reads what encode has written. The message shares p.
func decode(p []byte) (*hub.Message, run, error) {
	if len(p) < 2 {
		return nil, run{}, errShort
	}
	if p[0] != version {
		return nil, run{}, fmt.Errorf("version %d is not known here; %d is", p[0], version)
	}
	flags, rest := p[1], p[2:]
	bad := false
	number := func() uint64 {
		n, size := binary.Uvarint(rest)
		if size <= 0 {
			bad = true
			return 0
		}
		rest = rest[size:]
		return n
	}
	take := func(flag byte) []byte {
		if flags&flag == 0 || bad {
			return nil
		}
		n := number()
		if bad = bad || n > uint64(len(rest)); bad {
			return nil
		}
		text := rest[:n:n]
		rest = rest[n:]
		return text
	}
	m := &hub.Message{Binary: flags&isBinary != 0}
	m.From.User = string(take(hasUser))
	m.From.Info = take(hasInfo)
	m.ID = string(take(hasID))
	m.Key = string(take(hasKey))
	m.Meta = take(hasMeta)
	m.Except = string(take(hasExcept))
	r := run{id: string(take(hasRun))}
	if r.id != "" && !bad {
		r.number, r.quiet = number(), number()
	}
	if bad {
		return nil, run{}, errShort
	}
	m.Data = rest
	return m, r, nil
}
