package conformance

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"
)

// fault is one thing that the reference server does wrong.
type fault string

// reference is an echo server that obeys every rule, but for its fault. It is written for these tests alone: slow and plain.
type reference struct {
	fault  fault
	client bool      // it is a client
	dead   sync.Once // for the fault that takes the whole server down
	down   chan struct{}
}

// serveReference starts a reference server and returns its URL.
func serveReference(t *testing.T, f fault) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &reference{fault: f, down: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var mu sync.Mutex
	open := map[net.Conn]bool{}
	wg.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open[conn] = true
			mu.Unlock()
			wg.Go(func() {
				defer func() {
					_ = conn.Close()
					mu.Lock()
					delete(open, conn)
					mu.Unlock()
				}()
				srv.serve(ctx, conn)
			})
		}
	})
	t.Cleanup(func() {
		cancel()
		_ = ln.Close()
		mu.Lock()
		for c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return "ws://" + ln.Addr().String() + "/"
}

func (r *reference) has(f fault) bool { return r.fault == f }

// failure is a connection that has to be failed with a code.
type failure struct {
	code   int
	reason string
}

func (f *failure) Error() string { return f.reason }

func fail(code int, reason string) error { return &failure{code, reason} }

// refConn is one connection of the reference server.
type refConn struct {
	*reference
	conn    net.Conn
	r       *bufio.Reader
	agreed  *agreement
	squeeze *compressor
	expand  *decompressor
	op      byte // of the unfinished message; 0: none
	packed  bool
	parts   [][]byte
	text    []byte // the unfinished character
	late    []frame
	keys    byte
}

func (r *reference) serve(ctx context.Context, conn net.Conn) {
	br := bufio.NewReader(conn)
	q, hr, _, err := readRequest(br)
	select {
	case <-r.down:
		return
	default:
	}
	if err != nil {
		_, _ = io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, io.LimitReader(br, 8<<20))
		return
	}
	agreed, answer := r.answer(&q, hr)
	if _, err := conn.Write(answer); err != nil || agreed == nil {
		if r.has("keeps refused connections") {
			<-ctx.Done()
		}
		return
	}
	c := &refConn{reference: r, conn: conn, r: br}
	if agreed.serverBits != 0 {
		// The server's halves are those of a suite that tests a client.
		c.agreed, c.squeeze, c.expand = agreed, agreed.compressor(clientSide), agreed.decompressor(clientSide)
		if r.has("ignores the window") {
			c.squeeze.bits = 15
		}
		if r.has("keeps its context") {
			c.squeeze.takeover = true
		}
	}
	c.talk(ctx)
}

func refusal(status int, lines ...string) []byte {
	return head("HTTP/1.1 "+strconv.Itoa(status)+" "+http.StatusText(status), append(lines, "Connection: close", "Content-Length: 0"))
}

// answer is the response to a request; the agreement is nil when it is refused.
func (r *reference) answer(q *request, hr *http.Request) (*agreement, []byte) {
	h := hr.Header
	upgrade := func(want string) bool {
		if r.has("compares Upgrade with case") {
			return h.Get("Upgrade") == want
		}
		return hasToken(h, "Upgrade", want)
	}
	connection := hasToken(h, "Connection", "upgrade")
	if r.has("wants Connection alone") {
		connection = strings.EqualFold(h.Get("Connection"), "upgrade")
	}
	keys := h.Values("Sec-Websocket-Key")
	key, err := base64.StdEncoding.DecodeString(strings.Join(keys, ","))
	switch {
	case slices.ContainsFunc(q.lines, func(l string) bool { n, _, _ := strings.Cut(l, ":"); return strings.Contains(n, " ") }):
		return nil, refusal(400)
	case hr.Method != "GET" && !r.has("accepts any method"):
		return nil, refusal(405)
	case hr.Method == "HEAD":
		return nil, refusal(405)
	case !hr.ProtoAtLeast(1, 1) && !r.has("accepts HTTP/1.0"):
		return nil, refusal(400)
	case len(q.values("Host")) != 1 && !r.has("needs no Host"):
		return nil, refusal(400)
	case !upgrade("websocket") && !r.has("needs no Upgrade"), !connection && !r.has("needs no Connection"):
		return nil, refusal(400)
	case h.Get("Sec-Websocket-Version") != "13" && r.has("does not name its version"):
		return nil, refusal(426)
	case (h.Get("Sec-Websocket-Version") != "13" || len(h.Values("Sec-Websocket-Version")) != 1) && !r.has("accepts any version"):
		return nil, refusal(426, "Sec-WebSocket-Version: 13")
	case (err != nil || len(key) != 16 || len(keys) != 1) && !r.has("accepts any key"):
		return nil, refusal(400)
	}
	return r.accept(q, h)
}

func (r *reference) accept(q *request, h http.Header) (*agreement, []byte) {
	resp := q.goodResponse()
	for _, v := range h.Values("Sec-Websocket-Protocol") {
		if strings.TrimSpace(v) == "" || strings.ContainsAny(v, "/ ") && !strings.Contains(v, ", ") {
			return nil, refusal(400)
		}
	}
	value := strings.Join(h.Values("Sec-Websocket-Extensions"), ",")
	if len(h.Values("Sec-Websocket-Extensions")) > 0 && malformedList(value) {
		return nil, refusal(400)
	}
	agreed := &agreement{}
	if line := r.agree(value, agreed); line != "" {
		resp.lines = append(resp.lines, "Sec-WebSocket-Extensions: "+line)
	}
	switch r.fault {
	case "sends a wrong Accept":
		resp.lines[2] = "Sec-WebSocket-Accept: " + acceptKey("x")
	case "takes a subprotocol nobody offered":
		resp.lines = append(resp.lines, "Sec-WebSocket-Protocol: chat")
	case "names an extension nobody offered":
		resp.lines = append(resp.lines, "Sec-WebSocket-Extensions: x-mine")
	}
	return agreed, head(resp.line, resp.lines)
}

// malformedList knows the mistakes of section 9.1's grammar that the suite makes.
func malformedList(v string) bool {
	tokens := 0
	for element := range strings.SplitSeq(v, ",") {
		if strings.TrimSpace(element) == "" {
			continue
		}
		tokens++
		for i, part := range strings.Split(element, ";") {
			name, value, has := strings.Cut(strings.TrimSpace(part), "=")
			quoted := len(value) > 1 && value[0] == '"' && value[len(value)-1] == '"'
			if quoted {
				value = value[1 : len(value)-1]
			}
			if name == "" || strings.ContainsAny(name, " /=\"") || has && (i == 0 || value == "" || strings.ContainsAny(value, " /=\"\\")) {
				return true
			}
		}
	}
	return tokens == 0
}

// agree takes the first good offer of compression and returns the answer.
func (r *reference) agree(value string, a *agreement) string {
	if value == "" || r.has("has no compression") {
		return ""
	}
	for _, element := range elements(value) {
		if element[0].name != extension {
			continue
		}
		if t, ok := r.offer(element[1:]); ok {
			*a = *t.agreed()
			if r.has("forgets to answer server_no_context_takeover") {
				t.serverNoTakeover = false
			}
			if r.has("answers client_max_window_bits unasked") {
				t.clientBits = 12
			}
			return t.answer()
		}
	}
	return ""
}

func (r *reference) offer(params []param) (t terms, ok bool) {
	seen := map[string]bool{}
	for _, p := range params {
		bits, err := strconv.Atoi(p.value)
		inRange := err == nil && bits >= 8 && bits <= 15 && strconv.Itoa(bits) == p.value
		good := !seen[p.name]
		seen[p.name] = true
		switch p.name {
		case "server_no_context_takeover":
			t.serverNoTakeover, good = true, good && p.value == ""
		case "client_no_context_takeover":
			t.clientNoTakeover, good = true, good && p.value == ""
		case "server_max_window_bits":
			t.serverBits, good = bits, good && inRange
		case "client_max_window_bits":
			t.clientBits, good = bits, good && (inRange || p.value == "")
		default:
			good = false
		}
		if !good && !r.has("takes any parameter") {
			return t, false
		}
	}
	if t.serverBits < 8 || t.serverBits > 15 {
		t.serverBits = 0
	}
	return t, true
}

// talk echoes until the connection ends.
func (c *refConn) talk(ctx context.Context) {
	for {
		f, err := c.read()
		if err == nil {
			err = c.handle(&f)
		}
		var bad *failure
		switch {
		case err == nil:
			continue
		case errors.As(err, &bad) && c.has("takes the server down"):
			c.dead.Do(func() { close(c.down) })
			return
		case errors.As(err, &bad) && !c.has("drops TCP"):
			code := bad.code
			if c.has("always fails with 1011") {
				code = 1011
			}
			c.write(closing(code, bad.reason))
		case !errors.Is(err, errClosed):
			return
		}
		if c.has("keeps TCP open") {
			<-ctx.Done()
		}
		_ = c.conn.(*net.TCPConn).CloseWrite()
		_ = c.conn.SetReadDeadline(time.Now().Add(time.Second))
		_, _ = io.Copy(io.Discard, c.r) // or our close frame dies with a reset
		return
	}
}

func (c *refConn) write(frames ...frame) {
	var out []byte
	for _, f := range frames {
		if c.has("writes long lengths") && len(f.payload) < 126 {
			f.form = length16
		}
		masked := c.client != (c.has("masks its frames") || c.has("sends unmasked frames"))
		if c.keys++; c.has("uses one key") {
			c.keys = 1
		}
		out = f.append(out, masked, [4]byte{1, 2, 3, c.keys})
	}
	_, _ = c.conn.Write(out)
}

var errClosed = errors.New("closed")

// read reads one frame; text is looked at as it arrives.
func (c *refConn) read() (received, error) {
	var f received
	h, err := c.r.Peek(2)
	if err != nil {
		return f, err
	}
	f.fin, f.rsv, f.opcode = h[0]&0x80 != 0, h[0]&0x70, h[0]&0x0F
	f.masked = h[1]&0x80 != 0
	n, size := int64(h[1]&0x7F), 2
	switch n {
	case 126:
		f.form, size = length16, 4
	case 127:
		f.form, size = length64, 10
	}
	if h, err = c.r.Peek(size); err != nil {
		return f, err
	}
	switch f.form {
	case length16:
		n = int64(binary.BigEndian.Uint16(h[2:]))
	case length64:
		n = int64(binary.BigEndian.Uint64(h[2:]))
	}
	_, _ = c.r.Discard(size)
	if err := c.check(&f, n); err != nil {
		return f, err
	}
	if f.masked {
		if _, err := io.ReadFull(c.r, f.key[:]); err != nil {
			return f, err
		}
	}
	return f, c.payload(&f, n)
}

// check has the rules on headers.
func (c *refConn) check(f *received, n int64) error {
	control := f.opcode&8 != 0
	reserved := f.rsv
	if c.agreed != nil && !control && f.opcode != opContinuation || c.has("allows RSV1 everywhere") {
		reserved &^= rsv1
	}
	minimal := f.form == lengthMinimal || f.form == length16 && n > 125 || f.form == length64 && n > 0xFFFF
	switch {
	case f.masked == c.client && !c.has("accepts unmasked frames") && !c.has("accepts masked frames"):
		return fail(1002, "masking")
	case reserved != 0 && !c.has("ignores reserved bits"):
		return fail(1002, "reserved bits")
	case opcodeNames[f.opcode] == "" && !c.has("ignores reserved opcodes"):
		return fail(1002, "reserved opcode")
	case !minimal && !c.has("accepts long lengths"):
		return fail(1002, "length")
	case n < 0 || n > 64<<20:
		if c.has("waits for any length") {
			_, _ = io.Copy(io.Discard, c.r)
		}
		return fail(1009, "too big")
	case control && !f.fin && !c.has("accepts fragmented control frames"):
		return fail(1002, "fragmented control frame")
	case control && n > 125 && !c.has("accepts long control frames"):
		return fail(1002, "long control frame")
	case f.opcode == opContinuation && c.op == 0 && !c.has("accepts a continuation of nothing"):
		return fail(1002, "continuation of nothing")
	case (f.opcode == opText || f.opcode == opBinary) && c.op != 0 && !c.has("accepts a message in a message"):
		return fail(1002, "message in a message")
	}
	return nil
}

// payload reads the payload in the pieces in which it arrives.
func (c *refConn) payload(f *received, n int64) error {
	op := f.opcode
	if op == opContinuation {
		op = c.op
	}
	early := op == opText && f.opcode&8 == 0 && f.rsv == 0 && !c.packed && !c.has("looks at text at the end") && !c.has("skips UTF-8")
	for int64(len(f.payload)) < n {
		if _, err := c.r.Peek(1); err != nil {
			return err
		}
		p, _ := c.r.Peek(int(min(n-int64(len(f.payload)), int64(c.r.Buffered()))))
		at := len(f.payload)
		f.payload = append(f.payload, p...)
		_, _ = c.r.Discard(len(p))
		if f.masked {
			for i := at; i < len(f.payload); i++ {
				f.payload[i] ^= f.key[i&3]
			}
		}
		if early && !c.textSoFar(f.payload[at:]) {
			return fail(1007, "not UTF-8")
		}
	}
	if early && f.fin && len(c.text) > 0 {
		return fail(1007, "UTF-8 cut off")
	}
	return nil
}

// textSoFar keeps the beginning of an unfinished character.
func (c *refConn) textSoFar(p []byte) bool {
	p = append(c.text, p...)
	for len(p) > 0 {
		r, size := utf8.DecodeRune(p)
		if r == utf8.RuneError && size <= 1 {
			if utf8.FullRune(p) {
				return false
			}
			break
		}
		p = p[size:]
	}
	c.text = slices.Clone(p)
	return true
}

func (c *refConn) handle(f *received) error {
	switch f.opcode {
	case opPing:
		c.pong(f.payload)
		return nil
	case opPong:
		if c.has("answers pongs") {
			c.write(pong(string(f.payload)))
		}
		return nil
	case opClose:
		return c.closing(f.payload)
	case opText, opBinary, opContinuation:
		return c.data(f)
	}
	return nil // a reserved opcode that the fault lets through
}

func (c *refConn) pong(p []byte) {
	out := pong(string(p))
	switch c.fault {
	case "answers pings with nothing in it":
		out.payload = nil
	case "cuts pongs at 124":
		out.payload = p[:min(124, len(p))]
	case "sends RSV1 on pongs":
		if c.agreed != nil {
			out.rsv = rsv1
		}
	case "answers pings behind the message":
		if c.op != 0 {
			c.late = append(c.late, out)
			return
		}
	case "answers pings in pairs, the later first":
		if c.late = append([]frame{out}, c.late...); len(c.late) < 2 {
			return
		}
		c.write(c.late...)
		c.late = nil
		return
	}
	c.write(out)
}

func (c *refConn) closing(p []byte) error {
	code := 0
	if len(p) >= 2 {
		code = int(binary.BigEndian.Uint16(p))
	}
	switch {
	case len(p) == 1:
		return fail(1002, "half a code")
	case len(p) >= 2 && classOf(code) != codeDefined && !c.has("echoes any code"):
		return fail(1002, "bad code")
	case len(p) > 2 && !utf8.Valid(p[2:]) && !c.has("skips UTF-8 in reasons"):
		return fail(1007, "reason not UTF-8")
	}
	switch c.fault {
	case "answers every close with 1000":
		p = []byte{3, 232}
	case "answers no close":
		return io.EOF
	case "echoes any code":
	case "goes on behind the close frame":
		c.write(frame{fin: true, opcode: opClose, payload: p[:min(2, len(p))]})
		return nil
	}
	c.write(frame{fin: true, opcode: opClose, payload: p[:min(2, len(p))]})
	return errClosed
}

// data puts messages together and echoes them.
func (c *refConn) data(f *received) error {
	if f.opcode != opContinuation || c.op == 0 {
		c.op, c.packed, c.parts = f.opcode, f.rsv&rsv1 != 0 && c.agreed != nil, nil
	}
	c.parts = append(c.parts, f.payload)
	if !f.fin {
		return nil
	}
	if c.has("echoes fragments out of order") {
		slices.Reverse(c.parts)
	}
	m := frame{fin: true, opcode: c.op, payload: slices.Concat(c.parts...)}
	if c.packed {
		p, err := c.inflate(m.payload)
		if err != nil {
			return err
		}
		m.payload = p
	}
	late := c.has("looks at text at the end") || c.packed && !c.has("skips UTF-8 in compressed text")
	if m.opcode == opText && late && !utf8.Valid(m.payload) && !c.has("skips UTF-8") {
		return fail(1007, "not UTF-8")
	}
	c.op, c.text = 0, nil
	c.echo(m)
	return nil
}

func (c *refConn) inflate(p []byte) ([]byte, error) {
	if c.has("stops at a final block") {
		if s, err := scanDeflate(append(slices.Clone(p), 0, 0, 0xff, 0xff)); err == nil && strings.ContainsAny(string(s.kinds), "SFD") {
			return nil, nil
		}
	}
	out, err := c.expand.message(p)
	switch {
	case err != nil && c.has("delivers corrupt data"):
		return nil, nil
	case err != nil:
		return nil, fail(1007, "corrupt")
	case len(out) > 64<<20:
		return nil, fail(1009, "too big")
	}
	return out, nil
}

func (c *refConn) echo(m frame) {
	n := len(m.payload)
	switch c.fault {
	case "swaps text and binary":
		m.opcode ^= 3
	case "loses the last byte at 65536":
		if n == 65536 {
			m.payload = m.payload[:n-1]
		}
	case "answers empty messages with nothing":
		if n == 0 {
			return
		}
	case "changes a byte behind 32768":
		if n > 32768 {
			m.payload[32768] ^= 1
		}
	case "answers twice":
		c.write(m)
	}
	if c.agreed != nil {
		m.payload = c.squeeze.message(m.payload)
		m.rsv = rsv1
	}
	if c.has("sets RSV1 on continuations") && c.agreed != nil && n > 10 {
		parts := cut(m, 10)
		parts[1].rsv = rsv1
		c.write(parts...)
		return
	}
	if c.has("splits controls into messages") && n > 10 {
		parts := cut(m, len(m.payload)/2+1)
		c.write(slices.Concat(parts[:1], []frame{raw(opPing, "in between").more()}, parts[1:])...)
		return
	}
	c.write(append([]frame{m}, c.late...)...)
	c.late = nil
}
