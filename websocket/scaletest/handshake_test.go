package scaletest

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// get asks for a page on a connection that goes on.
func (p *peer) get(path string) (*http.Response, string, error) {
	if err := p.send("GET " + path + " HTTP/1.1\r\nHost: test\r\n\r\n"); err != nil {
		return nil, "", err
	}
	return p.response()
}

// responsive checks that a page, a new socket and an open one are served.
func (s *process) responsive(open *peer) error {
	p, err := connect(s.addr, s.tls)
	if err != nil {
		return err
	}
	defer p.reset()
	if _, body, err := p.get("/page"); err != nil || body != "GET /page " {
		return fmt.Errorf("the page was answered with %q, %w", body, err)
	}
	if p, err = dialPeer(s.addr, s.tls); err != nil {
		return err
	}
	defer p.reset()
	if err := p.echo(numberedEcho(1)); err != nil {
		return fmt.Errorf("a new socket: %w", err)
	}
	open.waitFor(patience)
	if err := open.echo(numberedEcho(2)); err != nil {
		return fmt.Errorf("the open socket: %w", err)
	}
	return nil
}

const shortHandshake = time.Second

// Thousands who never finish a request are ended in bounded time, cost bounded
// memory, and keep nobody else from being served.
func TestSlowHandshakes(t *testing.T) {
	for _, v := range everyWay {
		t.Run(v.String(), func(t *testing.T) { slowHandshakes(t, v) })
	}
}

// slowly are the beginnings that slow clients make, and go on with, byte by byte.
var slowly = []struct{ begin, goOn string }{
	{"", ""},
	{"", upgrade[:len(upgrade)-2]},
	{upgrade[:len(upgrade)/2], ""},
	{upgrade[:len(upgrade)-2], strings.Repeat("X-More: and more\r\n", 100)},
	{"GET /page HTTP/1.1\r\nHost: test\r\nX-Long: ", strings.Repeat("long", 500)},
	{"\r\n", strings.Repeat("\r\n", 500)},
	{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", strings.Repeat("\x00", 400)}, // half a TLS hello
}

func slowHandshakes(t *testing.T, v Variant) {
	s := launch(t, Setup{Variant: v, HandshakeTimeout: shortHandshake})
	n := scale(t, "slow clients", 2_000, 400)
	open := s.dial()
	defer open.reset()

	var ended atomic.Int64
	slow := make([]*peer, n)
	s.must(inParallel(n, func(i int) (err error) {
		if slow[i], err = connect(s.addr, false); err != nil { // also where the server waits for TLS
			return err
		}
		return slow[i].send(slowly[i%len(slowly)].begin)
	}))
	full := s.look()
	var ending sync.WaitGroup
	for i, p := range slow {
		ending.Go(func() {
			defer ended.Add(1)
			defer p.reset()
			if err := p.drip(slowly[i%len(slowly)].goOn); err != nil {
				t.Errorf("slow client %d: %v", i%len(slowly), err)
			}
		})
	}
	rounds := 0
	for ; ended.Load() < int64(n); rounds++ {
		s.must(s.responsive(open))
	}
	ending.Wait()
	// A slow client may cost net/http's goroutine and its read buffer of 4 KiB.
	if more := full.Heap - s.base.Heap; more > n*10<<10+4<<20 {
		t.Errorf("%d slow clients have %s on the heap", n, mib(more))
	}
	open.reset()
	s.restored(n*560 + 1<<20)
	log := tell[string](s, "Log", false)
	t.Logf("served %d times meanwhile; %d bytes a slow client on the heap, garbage included; %d lines of log",
		rounds, (full.Heap-s.base.Heap)/n, strings.Count(log, "\n"))
	checkLog(t, log, n)
}

// drip sends bytes one at a time until the server ends the connection.
func (p *peer) drip(bytes string) error {
	for begin := time.Now(); ; {
		p.waitFor(50 * time.Millisecond)
		_, err := io.Copy(io.Discard, p.in) // an answer such as 408 is welcome
		if !isTimeout(err) {
			return nil
		}
		if time.Since(begin) > patience {
			return fmt.Errorf("still connected after %v", patience)
		}
		if bytes != "" {
			if p.send(bytes[:1]) != nil {
				return nil
			}
			bytes = bytes[1:]
		}
	}
}

// checkLog wants no more lines than bad clients, and no panic.
func checkLog(t *testing.T, log string, clients int) {
	t.Helper()
	if n := strings.Count(log, "\n"); n > clients+2 {
		t.Errorf("%d lines of log for %d bad clients; the first: %.2000s", n, clients, log)
	}
	if strings.Contains(log, "panic") || strings.Contains(log, "goroutine ") {
		t.Errorf("the log shows a crash: %.4000s", log)
	}
}

// header makes an upgrade request with more header lines.
func header(lines ...string) string {
	return strings.TrimSuffix(upgrade, "\r\n") + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func lines(n, size int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("X-Line-%d: %s", i, strings.Repeat("x", size))
	}
	return list
}

// What is no handshake, or too large for one, is refused or cut off; it costs
// bounded memory, and nobody else notices.
func TestBadHandshakes(t *testing.T) {
	for _, v := range plain {
		t.Run(v.String(), func(t *testing.T) { badHandshakes(t, v) })
	}
}

// badRequest is a request and what may be the answer; 0 stands for an end without
// one.
type badRequest struct {
	name    string
	request string
	status  []int
}

// badRequests makes them anew, because they would weigh on the server's process.
func badRequests() []badRequest {
	return []badRequest{
		{"a long line", header(lines(1, 20<<10)...), []int{431}},
		{"many lines", header(lines(200, 10)...), []int{431}},
		{"a large head", header(lines(8, 6<<10)...), []int{431}},
		{"a long target", "GET " + socketPath + "?" + strings.Repeat("x", 2<<20) + upgrade[len("GET "+socketPath):], []int{400, 414, 431}},
		{"a huge head", header(lines(400, 7<<10)...), []int{0, 400, 431}},
		{"a line without end", "GET / HTTP/1.1\r\nHost: test\r\nX-Long: " + strings.Repeat("x", 16<<20), []int{0, 400, 431}},
		{"a head without end", "GET / HTTP/1.1\r\nHost: test\r\n" + strings.Repeat("X-More: more\r\n", 1<<20), []int{0, 400, 431}},
		{"a request line without end", strings.Repeat("x", 16<<20), []int{0, 400, 414, 431}},
		{"noise", string(noise), []int{0, 400}},
		{"zeros", strings.Repeat("\x00", 64<<10), []int{0, 400}},
		{"empty lines", strings.Repeat("\r\n", 64<<10), []int{0, 400}},
		{"a TLS hello", "\x16\x03\x01\x00\x8a\x01\x00\x00\x86\x03\x03" + string(noise[:127]), []int{0, 400}},
		{"HTTP/2", "GET / HTTP/2.0\r\nHost: test\r\n\r\n", []int{0, 400, 505}},
		{"SSH", "SSH-2.0-OpenSSH_9.6\r\n", []int{0, 400}},
		{"HTTP/1.0", strings.Replace(upgrade, "HTTP/1.1", "HTTP/1.0", 1), []int{400, 426, 505}},
		{"two lengths", "POST " + socketPath + " HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", []int{400}},
		{"no host", strings.Replace(upgrade, "Host: test\r\n", "", 1), []int{400}},
		{"a body", strings.Replace(upgrade, "Host: test", "Host: test\r\nContent-Length: 5", 1) + "hello", []int{400}},
		{"another version and a request behind it", strings.Replace(upgrade, "Version: 13", "Version: 12", 1) + "GET /page HTTP/1.1\r\nHost: test\r\n\r\n", []int{426}},
		{"a space in a name", strings.Replace(upgrade, "Host: test", "Host: test\r\nX Y: z", 1), []int{400}},
	}
}

func badHandshakes(t *testing.T, v Variant) {
	s := launch(t, Setup{Variant: v, HandshakeTimeout: shortHandshake, CloseTimeout: shortHandshake})
	open := s.dial()
	defer open.reset()
	var statuses sync.Map
	bad := badRequests()
	n := 4 * len(bad)
	peak := s.watchHeap()
	s.must(inParallel(n, func(i int) error {
		b := &bad[i%len(bad)]
		status, err := s.attempt(b.request)
		if err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
		statuses.Store(b.name, status)
		for _, allowed := range b.status {
			if status == allowed {
				return nil
			}
		}
		return fmt.Errorf("%s: answered with %d, want one of %v", b.name, status, b.status)
	}))
	// net/http takes a megabyte of head from each of those at work, which grows by
	// doubling; garbage counts too.
	most := peak() - s.base.Heap
	if most > clients*4<<20 {
		t.Errorf("%d bad clients made %s of heap", clients, mib(most))
	}
	s.must(s.responsive(open))
	if now := s.look(); now.Opened != s.base.Opened+2 {
		t.Errorf("%d connections were opened", now.Opened-s.base.Opened)
	}
	open.reset()
	s.restored(1 << 20)
	seen := ""
	for _, b := range bad {
		status, _ := statuses.Load(b.name)
		seen += fmt.Sprintf("%s %v, ", b.name, status)
	}
	t.Logf("%sat most %s on the heap", seen, mib(most))
	checkLog(t, tell[string](s, "Log", false), n)
}

// attempt sends a request and returns the status of the only answer, 0 if there is
// none, behind which the server must end TCP.
func (s *process) attempt(request string) (status int, err error) {
	p, err := connect(s.addr, false)
	if err != nil {
		return 0, err
	}
	defer p.reset()
	sent := make(chan error, 1)
	go func() { sent <- p.send(request) }() // which fails when the server does not want all
	r, _, err := p.response()
	switch {
	case isTimeout(err):
		return 0, err
	case err == nil:
		status = r.StatusCode
		err = p.ended()
	default:
		err = nil
	}
	p.reset()
	<-sent
	return status, err
}

// Requests and at last a handshake arrive on one connection, with frames behind
// it, in any pieces.
func TestRequestsBeforeUpgrade(t *testing.T) {
	for _, v := range everyWay {
		t.Run(v.String(), func(t *testing.T) { requestsBeforeUpgrade(t, v) })
	}
}

var requests = []struct{ raw, want string }{
	{"GET /a HTTP/1.1\r\nHost: test\r\n\r\n", "GET /a "},
	{"POST /b HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello", "POST /b hello"},
	{"POST /c HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n\r\n\r\n\r\n3\r\nbye\r\n0\r\n\r\n", "POST /c \r\n\r\nbye"},
	{"\r\nGET /d HTTP/1.1\r\nHost: test\r\nConnection: keep-alive\r\n\r\n", "GET /d "},
}

func requestsBeforeUpgrade(t *testing.T, v Variant) {
	s := launch(t, Setup{Variant: v})
	large := numbered(1, 100_000)
	large[0] = doEcho
	frames := [][]byte{numberedEcho(1), large, numberedEcho(2)}
	var behind []byte
	for _, m := range frames {
		behind = append(behind, frame(protocol.OpBinary, m)...)
	}
	for before := range len(requests) + 1 {
		var raw string
		for _, r := range requests[:before] {
			raw += r.raw
		}
		for _, all := range []string{raw + upgrade, raw + upgrade + string(behind[:3]), raw + upgrade + string(behind[:1000]), raw + upgrade + string(behind)} {
			for _, piece := range []int{len(all), 1, 7, 500} {
				if piece < 10 && len(all) > 5000 {
					continue // slow, and nothing new
				}
				err := s.converse(all, piece, string(behind[len(all)-len(raw)-len(upgrade):]), before, frames)
				if err != nil {
					t.Fatalf("%d requests, %d bytes in pieces of %d: %v", before, len(all), piece, err)
				}
			}
		}
		s.must(s.takeTurns(before))
	}
	now := s.eventually("the connections are gone", func(now *State) bool { return now.gone() })
	if bad := now.Ends[websocket.StatusNormalClosure]; bad == 0 {
		t.Errorf("ends %v", now.Ends)
	}
}

// converse sends all in pieces, and reads the answers.
func (s *process) converse(all string, piece int, rest string, before int, frames [][]byte) error {
	p, err := connect(s.addr, s.tls)
	if err != nil {
		return err
	}
	defer p.end()
	sent := make(chan error, 1)
	go func() {
		for len(all) > 0 {
			n := min(piece, len(all))
			if err := p.send(all[:n]); err != nil {
				sent <- err
				return
			}
			all = all[n:]
		}
		sent <- nil
	}()
	for _, r := range requests[:before] {
		if err := p.answered(r.want); err != nil {
			return err
		}
	}
	if err := p.upgraded(); err != nil {
		return err
	}
	if err := <-sent; err != nil {
		return err
	}
	if err := p.send(rest); err != nil {
		return err
	}
	for _, m := range frames {
		if err := p.expect(m); err != nil {
			return err
		}
	}
	_, err = p.leave(protocol.StatusNormalClosure)
	return err
}

// takeTurns waits for each answer before the next request.
func (s *process) takeTurns(before int) error {
	p, err := connect(s.addr, s.tls)
	if err != nil {
		return err
	}
	defer p.end()
	for _, r := range requests[:before] {
		if err := p.send(r.raw); err != nil {
			return err
		}
		if err := p.answered(r.want); err != nil {
			return err
		}
	}
	if err := p.send(upgrade); err != nil {
		return err
	}
	if err := p.upgraded(); err != nil {
		return err
	}
	if err := p.echo(numberedEcho(before)); err != nil {
		return err
	}
	_, err = p.leave(protocol.StatusNormalClosure)
	return err
}

// answered reads the answer of page.
func (p *peer) answered(want string) error {
	r, body, err := p.response()
	if err != nil {
		return err
	}
	if r.StatusCode != http.StatusOK || body != want {
		return fmt.Errorf("%s %q instead of %q", r.Status, body, want)
	}
	return nil
}

// Pages that take their time, by the dozen, hold up nobody.
func TestLongPolling(t *testing.T) {
	for _, v := range plain {
		t.Run(v.String(), func(t *testing.T) {
			s := launch(t, Setup{Variant: v})
			open := s.dial()
			defer open.reset()
			polling := make([]*peer, 100)
			for i := range polling {
				p, err := connect(s.addr, false)
				s.must(err)
				defer p.reset()
				s.must(p.send("GET /wait HTTP/1.1\r\nHost: test\r\n\r\n"))
				polling[i] = p
			}
			s.eventually("the pages wait", func(now *State) bool { return now.Goroutines >= s.base.Goroutines+len(polling) })
			for range 20 {
				s.must(s.responsive(open))
			}
			tell[bool](s, "Release", false)
			for _, p := range polling {
				s.must(p.answered("GET /wait "))
			}
			// The connection may become a socket after that.
			s.must(polling[0].send(upgrade))
			s.must(polling[0].upgraded())
			s.must(polling[0].echo(numberedEcho(1)))
		})
	}
}

// An adopted connection's handshake has gone through the middleware; what it says
// is in every answer.
func TestMiddleware(t *testing.T) {
	for _, v := range everyWay {
		if !v.Adopted {
			continue
		}
		t.Run(v.String(), func(t *testing.T) {
			s := launch(t, Setup{Variant: v})
			for _, request := range []string{upgrade, requests[0].raw, strings.Replace(upgrade, "Version: 13", "Version: 12", 1)} {
				p, err := connect(s.addr, s.tls)
				s.must(err)
				s.must(p.send(request))
				r, err := http.ReadResponse(p.in, nil)
				s.must(err)
				if r.Header.Get(middlewareHeader) == "" {
					t.Errorf("%s without the middleware's header: %v", r.Status, r.Header)
				}
				p.reset()
			}
		})
	}
}
