package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// side is one end of a connection; as a bit set, the ends that a case can test.
type side uint8

const (
	serverSide side = 1 << iota
	clientSide
	bothSides = serverSide | clientSide
)

// session is one connection of one case. The steps of the case run in one goroutine; another one reads all the time, so
// that a peer that answers while we still send never blocks us.
type session struct {
	// Immutable.
	tested   side // who is judged; we are the other one
	conn     net.Conn
	r        *bufio.Reader
	ctx      context.Context // ends with the case's time
	began    time.Time
	patience time.Duration // how long a peer may take to fail a connection or to end TCP
	quiet    time.Duration // how long nothing must happen to be sure that nothing will
	dial     *dialer       // testing a server: how to reach it
	offered  string        // testing a client: its Sec-WebSocket-Extensions

	// Owned by the goroutine of the steps.
	keys      *rand.Rand
	req       request  // testing a server: what was sent; testing a client: what came
	resp      response // testing a server: what came
	notes     []string // why the verdict is not Strict
	remarks   []string // why it is only Informational
	closeSent bool
	closeCode int  // what the close frame said; 0: nothing
	over      bool // TCP has ended
	deflate   *agreement
	squeeze   *compressor
	seenKeys  [][4]byte
	held      []byte // bytes that a step kept back for a later one

	// Guarded by mu.
	mu     sync.Mutex
	log    []LogEntry
	logged int
	queue  []event
	wake   chan struct{}
	pumped bool
	done   chan struct{} // closed when the pump has ended
}

// eventKind tells what the peer did.
type eventKind uint8

const (
	evMessage eventKind = iota // a whole data message
	evPing
	evPong
	evClose
	evEnd    // TCP ended
	evBroken // the peer broke the protocol itself
)

// event is one thing that the peer did.
type event struct {
	kind       eventKind
	opcode     byte
	payload    []byte
	compressed bool // the message came with RSV1
	parts      int  // frames of the message
	why        string
	key        [4]byte // mask key of the (first) frame
	wire       []byte  // payload of a compressed message as it came
}

func (e event) String() string {
	switch e.kind {
	case evMessage:
		return fmt.Sprintf("a %s message of %d bytes", opcodeName(e.opcode), len(e.payload))
	case evPing:
		return "a ping"
	case evPong:
		return fmt.Sprintf("a pong of %d bytes", len(e.payload))
	case evClose:
		return "a close frame with " + closeText(e.payload)
	case evEnd:
		return "the end of the TCP connection"
	}
	return "a broken frame: " + e.why
}

func closeText(p []byte) string {
	if len(p) < 2 {
		return "no code"
	}
	s := fmt.Sprintf("code %d", binary.BigEndian.Uint16(p))
	if len(p) > 2 {
		s += fmt.Sprintf(" and reason %q", p[2:])
	}
	return s
}

// newSession prepares a session. Mask keys come from a generator seeded with the case's ID, so that two runs put the same
// bytes on the wire; nobody attacks a conformance test, so they need not be unpredictable.
func newSession(ctx context.Context, tested side, id string, timeout time.Duration) *session {
	h := fnv.New64a()
	_, _ = io.WriteString(h, id)
	return &session{
		tested: tested, ctx: ctx, began: time.Now(), patience: timeout * 2 / 5, quiet: quiet(timeout),
		keys: rand.New(rand.NewPCG(h.Sum64(), 6455)),
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// use gives the session its connection. The case's deadline ends all reads and writes on it.
func (s *session) use(conn net.Conn, r *bufio.Reader) {
	s.conn, s.r = conn, r
	if deadline, ok := s.ctx.Deadline(); ok {
		_ = conn.SetDeadline(deadline.Add(time.Second)) // the steps notice first and say what they waited for
	}
}

// note records something allowed that could be better.
func (s *session) note(format string, args ...any) {
	s.notes = append(s.notes, fmt.Sprintf(format, args...))
}

// remark records something that the RFC leaves open.
func (s *session) remark(format string, args ...any) {
	s.remarks = append(s.remarks, fmt.Sprintf(format, args...))
}

func (s *session) record(dir, note string, p []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.logged++
	e := LogEntry{AtMillis: time.Since(s.began).Milliseconds(), Dir: dir, Note: note, Hex: hexHead(p), Bytes: len(p)}
	if len(s.log) >= logEntries { // keep the beginning and the end
		s.log = append(s.log[:logEntries/2], s.log[logEntries/2+1:]...)
	}
	s.log = append(s.log, e)
}

// wireLog is the log so far, with a line for what was left out.
func (s *session) wireLog() []LogEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.logged <= len(s.log) {
		return s.log
	}
	out := append([]LogEntry{}, s.log[:logEntries/2]...)
	out = append(out, LogEntry{Dir: "=", Note: fmt.Sprintf("%d entries left out", s.logged-len(s.log))})
	return append(out, s.log[logEntries/2:]...)
}

// write sends bytes. It reports no error: a peer that has failed the connection may already have closed it, and what it
// did is judged by what it sent.
func (s *session) write(note string, p []byte) {
	s.record(">", note, p)
	if _, err := s.conn.Write(p); err != nil {
		s.record("=", "sending ended: "+err.Error(), nil)
	}
}

func (s *session) nextKey() (key [4]byte) {
	binary.BigEndian.PutUint32(key[:], s.keys.Uint32())
	return key
}

// encode writes frames as our role sends them.
func (s *session) encode(frames []frame) ([]byte, string) {
	var out []byte
	var names []string
	for _, f := range frames {
		out = f.append(out, s.tested == serverSide, s.nextKey())
		names = append(names, f.String())
		if f.opcode == opClose && !s.closeSent {
			s.closeSent = true
			if len(f.payload) >= 2 {
				s.closeCode = int(binary.BigEndian.Uint16(f.payload))
			}
		}
	}
	if len(names) > 6 {
		names = append(names[:5], fmt.Sprintf("and %d more", len(names)-5))
	}
	return out, strings.Join(names, " | ")
}

func (s *session) send(frames ...frame) {
	p, note := s.encode(frames)
	s.write(note, p)
}

// start begins reading frames.
func (s *session) start() {
	s.pumped = true
	go s.pump()
}

// finish closes the connection and waits for the reader.
func (s *session) finish() {
	if s.conn == nil {
		return
	}
	_ = s.conn.Close()
	if s.pumped {
		<-s.done
	}
}

func (s *session) push(e event) {
	s.mu.Lock()
	s.queue = append(s.queue, e)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// unread puts an event back.
func (s *session) unread(e event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append([]event{e}, s.queue...)
}

// pump reads frames, puts messages together and queues events until the connection ends.
func (s *session) pump() {
	defer close(s.done)
	var open *event // the unfinished message
	var inflate *decompressor
	if s.deflate != nil {
		inflate = s.deflate.decompressor(s.tested)
	}
	for {
		f, err := readFrame(s.r)
		if err != nil {
			s.record("=", "receiving ended: "+err.Error(), nil)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				return // our time is up; the peer did nothing
			}
			s.push(event{kind: evEnd, why: endText(err)})
			return
		}
		s.record("<", f.String(), append(f.header[:len(f.header):len(f.header)], maskedHead(&f)...))
		why := s.violation(&f, open)
		if why == "" {
			open, why = s.accept(&f, open, inflate)
		}
		if why != "" {
			s.push(event{kind: evBroken, why: why})
			_, _ = io.Copy(io.Discard, s.r) // the peer must not block on us
			return
		}
	}
}

// maskedHead is the beginning of the payload as it was on the wire.
func maskedHead(f *received) []byte {
	p := bytes.Clone(f.payload[:min(len(f.payload), logBytes)])
	if f.masked {
		for i := range p {
			p[i] ^= f.key[i&3]
		}
	}
	return p
}

func endText(err error) string {
	switch {
	case errors.Is(err, io.EOF):
		return "ended"
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "ended inside a frame"
	}
	return err.Error()
}

// accept adds a lawful frame to the message it belongs to and queues what is complete.
func (s *session) accept(f *received, open *event, inflate *decompressor) (*event, string) {
	switch f.opcode {
	case opPing:
		s.push(event{kind: evPing, payload: f.payload, key: f.key})
		return open, ""
	case opPong:
		s.push(event{kind: evPong, payload: f.payload, key: f.key})
		return open, ""
	case opClose:
		s.push(event{kind: evClose, payload: f.payload, key: f.key})
		return open, ""
	}
	if open == nil {
		open = &event{kind: evMessage, opcode: f.opcode, compressed: f.rsv&rsv1 != 0, key: f.key, payload: f.payload}
	} else {
		open.payload = append(open.payload, f.payload...)
	}
	open.parts++
	if !f.fin {
		return open, ""
	}
	if open.compressed {
		plain, err := inflate.message(open.payload)
		if err != nil {
			return nil, "a compressed message that cannot be inflated: " + err.Error()
		}
		open.wire, open.payload = open.payload, plain
	}
	s.push(*open)
	return nil, ""
}

// violation says which rule the peer's frame breaks, or nothing. The peer is judged on every frame it sends, whatever
// the case is about.
func (s *session) violation(f *received, open *event) string {
	control := f.opcode&0x8 != 0
	switch {
	case s.tested == serverSide && f.masked:
		return "a masked frame from a server (section 5.1)"
	case s.tested == clientSide && !f.masked:
		return "an unmasked frame from a client (section 5.1)"
	case opcodeNames[f.opcode] == "":
		return fmt.Sprintf("reserved opcode 0x%X (section 5.2)", f.opcode)
	case !f.minimal():
		return fmt.Sprintf("the length %d not in its shortest form (section 5.2)", len(f.payload))
	case control && !f.fin:
		return "a fragmented control frame (section 5.5)"
	case control && len(f.payload) > 125:
		return fmt.Sprintf("a control frame of %d bytes (section 5.5)", len(f.payload))
	case f.rsv&(rsv2|rsv3) != 0, f.rsv != 0 && (s.deflate == nil || control):
		return fmt.Sprintf("reserved bits %03b that nobody negotiated (section 5.2)", f.rsv>>4)
	case f.rsv != 0 && f.opcode == opContinuation:
		return "RSV1 on a continuation frame (RFC 7692 section 6.1)"
	case f.opcode == opContinuation && open == nil:
		return "a continuation of nothing (section 5.4)"
	case !control && f.opcode != opContinuation && open != nil:
		return "a new message inside an unfinished one (section 5.4)"
	case f.opcode == opClose && !lawfulClose(f.payload):
		return "a close frame with " + closeText(f.payload) + ", which must not be sent (section 5.5.1, 7.4)"
	}
	return ""
}

// next takes the next event, or reports false when none comes within limit.
func (s *session) next(limit time.Duration) (event, bool) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		s.mu.Lock()
		if len(s.queue) > 0 {
			e := s.queue[0]
			s.queue = s.queue[1:]
			s.mu.Unlock()
			return e, true
		}
		s.mu.Unlock()
		select {
		case <-s.wake:
		case <-timer.C:
			return event{}, false
		case <-s.ctx.Done():
			return event{}, false
		}
	}
}

// await is next for a peer that may send pings of its own: they are answered and not shown.
func (s *session) await(limit time.Duration) (event, bool) {
	for {
		e, ok := s.next(limit)
		if !ok {
			return e, false
		}
		if s.tested == clientSide && e.kind != evEnd && e.kind != evBroken {
			s.seenKeys = append(s.seenKeys, e.key)
		}
		s.over = s.over || e.kind == evEnd
		if e.kind != evPing {
			return e, true
		}
		if !s.closeSent {
			s.send(pong(string(e.payload)))
		}
	}
}

// untilDeadline is the time that the case has left.
func (s *session) untilDeadline() time.Duration {
	if deadline, ok := s.ctx.Deadline(); ok {
		return time.Until(deadline)
	}
	return s.patience
}
