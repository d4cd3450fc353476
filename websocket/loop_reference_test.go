package websocket

import (
	"bytes"
	"fmt"
	"time"

	"github.com/duplex-websocket/duplex/websocket/protocol"
)

func message(typ MessageType, p []byte) string { return fmt.Sprintf("%v %q", typ, p) }

// act is one thing that the run's handler does about a message.
type act struct {
	kind  actKind
	typ   MessageType
	p     []byte
	pause time.Duration
}

type actKind uint8

const (
	actSend actKind = iota
	actPrepared
	actStream // with another message meanwhile
	actOther  // send on another goroutine
	actWait
	actClose
	actPanic
	actExit
	actCloseNow
)

// acts says what the handler does about a message: its first byte decides. Most
// are echoed.
func acts(typ MessageType, p []byte) []act {
	echo := act{kind: actSend, typ: typ, p: p}
	if len(p) == 0 {
		return []act{echo}
	}
	switch p[0] {
	case 'b': // a burst
		var burst []act
		for _, n := range []int{0, 1, 125, 126, 5000, 70_000, 3} {
			burst = append(burst, act{kind: actSend, typ: Binary, p: bytes.Repeat(p[:1], n)})
		}
		return burst
	case 'p': // prepared ones, small and to be shared, between others
		return []act{echo, {kind: actPrepared, typ: typ, p: p}, echo,
			{kind: actPrepared, typ: Text, p: bytes.Repeat([]byte("share "), 4000)}, echo}
	case 's': // streamed, in more than one frame
		return []act{echo, {kind: actStream, typ: Binary, p: bytes.Repeat(p[:1], fragmentSize+5)}, echo}
	case 'o':
		return []act{echo, {kind: actOther, typ: typ, p: p}, echo}
	case 'w': // the Loop passes on
		return []act{echo, {kind: actWait, pause: 3 * time.Millisecond}, echo}
	case 'W': // and becomes cautious
		return []act{echo, {kind: actWait, pause: 30 * time.Millisecond}, echo}
	case 'c':
		return []act{echo, {kind: actClose}, echo}
	case '!':
		return []act{echo, {kind: actPanic}}
	case 'x':
		return []act{echo, {kind: actExit}}
	case 'n':
		return []act{echo, {kind: actCloseNow}}
	}
	return []act{echo}
}

// loopReference is what an input gives without any I/O.
type loopReference struct {
	*Conn // without a driver: only its protocol is used
	out   []byte
	log   []string
	end   StatusCode
}

// refer works through an input as a whole.
func (run *loopRun) refer(wire []byte, agreement protocol.Agreement, shutdown bool) *loopReference {
	o := run.server.acceptor.options
	e := established{role: protocol.Server, options: o, agreement: agreement}
	ref := &loopReference{Conn: newConn(e, nil, run.server.config), log: []string{"open"}}
	defer func() {
		ref.receiver.Close()
		ref.sender.Close()
		ref.log = append(ref.log, fmt.Sprint("close ", int(ref.end)))
	}()
	ref.do(act{kind: actSend, typ: Text, p: []byte("welcome")})
	if run.is(runOpenPanics) {
		ref.do(act{kind: actPanic})
	}
	for wire = bytes.Clone(wire); ref.end == 0; {
		ev, n := ref.receiver.Next(wire)
		wire = wire[n:]
		switch ev.Kind {
		case protocol.EventNone:
			if shutdown {
				ref.out, _ = ref.sender.AppendClose(ref.out, StatusGoingAway, "the server is shutting down")
			}
			ref.end = StatusAbnormalClosure // the client ends without a close frame
		case protocol.EventData:
			ref.message(MessageType(ev.Opcode), ev.Payload)
		default:
			ref.out = ref.sender.Reply(ref.out, &ev)
			if ev.Kind == protocol.EventClose {
				ref.end = ev.Code
			} else if ev.Kind == protocol.EventFailed {
				ref.end = ev.Err.Code
			}
		}
	}
	return ref
}

// message does what the handler does about a message.
func (ref *loopReference) message(typ MessageType, p []byte) {
	if ref.sender.State() != protocol.StateOpen {
		return
	}
	ref.log = append(ref.log, message(typ, p))
	for _, a := range acts(typ, p) {
		ref.do(a)
	}
}

func (ref *loopReference) do(a act) {
	compress := len(a.p) >= ref.options.Compression.Threshold
	switch a.kind {
	case actSend:
		ref.out, _ = ref.sender.AppendMessage(ref.out, protocol.Opcode(a.typ), a.p, compress) // fails when closing
	case actPrepared:
		m := NewPrepared(a.typ, a.p)
		framed, compressed := m.plain, false
		if ref.sender.Compresses() && compress {
			framed, compressed = m.compressed(ref.options, ref.details.agreement.Deflate.ServerMaxWindowBits), true
		}
		ref.out, _ = ref.sender.AppendFramed(ref.out, framed, compressed)
	case actStream:
		if ref.sender.State() == protocol.StateOpen {
			ref.out, _ = ref.sender.AppendFragment(ref.out, protocol.Opcode(a.typ), a.p[:fragmentSize], false, true)
			ref.out, _ = ref.sender.AppendFragment(ref.out, protocol.Opcode(a.typ), a.p[fragmentSize:], true, true)
			ref.out, _ = ref.sender.AppendAside(ref.out, protocol.OpText, []byte("aside"))
		}
	case actOther:
		ref.do(act{kind: actSend, typ: a.typ, p: a.p})
	case actClose:
		ref.out, _ = ref.sender.AppendClose(ref.out, 4000, "asked for")
	case actPanic:
		ref.out, _ = ref.sender.AppendClose(ref.out, StatusInternalError, "internal error")
		ref.end = StatusInternalError
	case actExit, actCloseNow:
		ref.end = StatusAbnormalClosure
	}
}
