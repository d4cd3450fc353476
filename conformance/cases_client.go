package conformance

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// requestCases test what a client asks, RFC 6455 section 4.1. Each runs on a connection that works.
func requestCases(t *table) {
	const section = "6455-4.1"
	hello := text("hello")
	check := func(title string, judge func(s *session) error) {
		t.add(section, title, step{says: title, do: judge}, send(hello), expect(hello)).onlyClient()
	}
	has := func(name, want string) func(*session) error {
		return func(s *session) error {
			if got := s.req.values(name); len(got) != 1 || !strings.EqualFold(got[0], want) {
				return failed("%s is %q, want %q once", name, got, want)
			}
			return nil
		}
	}
	check("the request is GET over HTTP/1.1", func(s *session) error {
		if parts := strings.Fields(s.req.line); len(parts) != 3 || parts[0] != "GET" || parts[2] != "HTTP/1.1" {
			return failed("the request line is %q", s.req.line)
		}
		return nil
	})
	check("the target keeps the query", func(s *session) error {
		if !strings.Contains(s.req.line, "?") {
			return failed("the request line %q lost the query", s.req.line)
		}
		return nil
	})
	check("there is one Host, with the port", func(s *session) error {
		want := s.conn.LocalAddr().String()
		_, port, _ := strings.Cut(want[strings.LastIndex(want, ":"):], ":")
		if got := s.req.values("Host"); len(got) != 1 || !strings.HasSuffix(got[0], ":"+port) {
			return failed("Host is %q, the port is %s", got, port)
		}
		return nil
	})
	check("Upgrade is websocket", has("Upgrade", "websocket"))
	check("Connection has the token Upgrade", func(s *session) error {
		if !hasToken(http.Header{"Connection": s.req.values("Connection")}, "Connection", "upgrade") {
			return failed("Connection is %q", s.req.values("Connection"))
		}
		return nil
	})
	check("Sec-WebSocket-Version is 13", has("Sec-WebSocket-Version", "13"))
	check("Sec-WebSocket-Key is 16 bytes in base64", func(s *session) error {
		got := s.req.values("Sec-WebSocket-Key")
		if len(got) != 1 {
			return failed("%d Sec-WebSocket-Key fields", len(got))
		}
		if p, err := base64.StdEncoding.DecodeString(got[0]); err != nil || len(p) != 16 {
			return failed("Sec-WebSocket-Key %q is %d bytes (%v)", got[0], len(p), err)
		}
		return nil
	})
	check("there is no body", func(s *session) error {
		if n := s.req.values("Content-Length"); len(n) > 0 && n[0] != "0" || len(s.req.values("Transfer-Encoding")) > 0 {
			return failed("the request announces a body")
		}
		return nil
	})
}

// answer writes a response with edits, and behind directly after it.
func answer(behind []frame, edits ...edit) step {
	return step{do: func(s *session) error {
		resp := s.req.goodResponse()
		for _, e := range edits {
			e(&resp.line, &resp.lines)
		}
		p, note := s.encode(behind)
		if note != "" {
			note = ", then " + note
		}
		s.write("handshake: "+resp.line+note, append(head(resp.line, resp.lines), p...))
		s.start()
		return nil
	}}
}

// gone waits for the client to end TCP. It has not been upgraded, so it must not send a frame.
func gone() step {
	return step{says: "fails the connection without sending anything", do: func(s *session) error {
		e, ok := s.await(s.patience)
		switch {
		case !ok:
			s.note("the client sends nothing, but keeps the connection open for more than %v", s.patience)
			return hangUp().do(s)
		case e.kind == evEnd:
			return nil
		case e.kind == evClose:
			s.note("the client sent a close frame over a connection that was never established (section 7.1.7)")
			return nil
		case e.kind == evBroken:
			return failed("the client sent %s", e.why)
		}
		return failed("the client took the handshake as good: it sent %s", e)
	}}
}

// notUpgraded is for answers that are complete HTTP responses: a client may keep the connection for other requests, but must
// not speak WebSocket on it.
func notUpgraded() step {
	return step{says: "does not speak WebSocket on the connection", do: func(s *session) error {
		e, ok := s.await(s.quiet)
		if !ok {
			return hangUp().do(s)
		}
		s.unread(e)
		return gone().do(s)
	}}
}

// clientHandshakeCases test how a client checks the answer, RFC 6455 section 4.1 and 4.2.2.
func clientHandshakeCases(t *table) {
	const section = "6455-4.1"
	before := len(t.cases)
	hello := text("hello")
	bad := func(title string, edits ...edit) {
		t.add(section, "answer: "+title, answer([]frame{hello, ping("")}, edits...), gone())
	}
	good := func(title string, edits ...edit) {
		t.add(section, "answer: "+title, answer(nil, edits...), send(hello), expect(hello))
	}
	status := func(code int) edit { return firstLine(fmt.Sprintf("HTTP/1.1 %d %s", code, http.StatusText(code))) }
	for _, code := range []int{200, 204, 400, 403, 404, 426, 500, 503} {
		t.add(section, fmt.Sprintf("answer: status %d", code), answer([]frame{hello, ping("")}, status(code), with("Content-Length: 0")), notUpgraded())
	}
	bad("no Upgrade", without("Upgrade"))
	bad("Upgrade: h2c", replaced("Upgrade", "Upgrade: h2c"))
	bad("Upgrade: websockets", replaced("Upgrade", "Upgrade: websockets"))
	bad("no Connection", without("Connection"))
	bad("Connection: close", replaced("Connection", "Connection: close"))
	acceptCases(bad)
	bad("a subprotocol that was not offered", with("Sec-WebSocket-Protocol: no-such-protocol"))
	bad("an extension that was not offered", with("Sec-WebSocket-Extensions: x-unknown-extension"))
	bad("a malformed extension header", with("Sec-WebSocket-Extensions: ;;="))
	bad("a header line without a colon", with("nonsense"))
	bad("not HTTP at all", firstLine("SSH-2.0-OpenSSH_9.7"))
	good("the right one")
	good("Upgrade: WebSocket", replaced("Upgrade", "Upgrade: WebSocket"))
	good("connection: upgrade", replaced("Connection", "connection: upgrade"))
	good("Connection: keep-alive, Upgrade", replaced("Connection", "Connection: keep-alive, Upgrade"))
	good("no reason phrase", firstLine("HTTP/1.1 101 "))
	good("another reason phrase", firstLine("HTTP/1.1 101 Web Socket Protocol Handshake"))
	good("unknown header fields", with("X-Unknown: yes"), with("Server: somebody/1.0"), with("Date: Thu, 01 Jan 1970 00:00:00 GMT"))
	good("header fields in reverse order", func(_ *string, lines *[]string) {
		out := slices.Clone(*lines)
		slices.Reverse(out)
		*lines = out
	})
	good("header names in upper case", func(_ *string, lines *[]string) {
		out := slices.Clone(*lines)
		for i, l := range out {
			name, value, _ := strings.Cut(l, ":")
			out[i] = strings.ToUpper(name) + ":" + value
		}
		*lines = out
	})
	t.add(section, "answer: the first frame in the same write", answer([]frame{hello}), expect(hello))
	t.add(section, "answer: three frames in the same write", answer([]frame{hello, ping("p"), text("third")}), expect(hello, pong("p"), text("third")))
	t.add(section, "answer: a message of 100000 bytes in the same write", answer([]frame{message(opBinary, 100000)}), expect(message(opBinary, 100000)))
	t.add(section, "answer: a close frame in the same write", answer([]frame{closing(1000, "")}), expectClose(1000))
	t.add(section, "answer: half a frame in the same write", answerWithHalf(), expect(hello))
	t.add(section, "answer: in writes of one byte", answerChopped(), send(hello), expect(hello))
	t.add(section, "answer: 1 MiB of header", answer([]frame{hello}, with("X-Long: "+strings.Repeat("v", 1<<20))), goneOrNot())
	t.add(section, "answer: TCP ends inside the header", step{do: func(s *session) error {
		s.write("half an answer", []byte("HTTP/1.1 101 Switching Protocols\r\nUpgra"))
		s.over = true
		return s.conn.Close()
	}})
	for _, c := range t.cases[before:] {
		c.onlyClient().byHand()
	}
}

func acceptCases(bad func(string, ...edit)) {
	bad("no Sec-WebSocket-Accept", without("Sec-WebSocket-Accept"))
	bad("an empty Sec-WebSocket-Accept", replaced("Sec-WebSocket-Accept", "Sec-WebSocket-Accept:"))
	bad("Sec-WebSocket-Accept of another key", replaced("Sec-WebSocket-Accept", "Sec-WebSocket-Accept: "+acceptKey("dGhlIHNhbXBsZSBub25jZQ==")))
	bad("Sec-WebSocket-Accept in lower case", func(_ *string, lines *[]string) {
		out := slices.Clone(*lines)
		for i, l := range out {
			if name, value, _ := strings.Cut(l, ":"); name == "Sec-WebSocket-Accept" {
				out[i] = name + ":" + strings.ToLower(value)
			}
		}
		*lines = out
	})
	bad("the Key sent back as Sec-WebSocket-Accept", func(_ *string, lines *[]string) {
		out := slices.Clone(*lines)
		for i, l := range out {
			if name, _, _ := strings.Cut(l, ":"); name == "Sec-WebSocket-Accept" {
				out[i] = name + ": dGhlIHNhbXBsZSBub25jZQ=="
			}
		}
		*lines = out
	})
}

func answerWithHalf() step {
	return step{do: func(s *session) error {
		resp := s.req.goodResponse()
		p, note := s.encode([]frame{text("hello")})
		s.write("handshake and the first 3 bytes of "+note, append(head(resp.line, resp.lines), p[:3]...))
		s.start()
		time.Sleep(splitPause)
		s.write("the rest", p[3:])
		return nil
	}}
}

func answerChopped() step {
	return step{do: func(s *session) error {
		resp := s.req.goodResponse()
		s.writeChopped("handshake", head(resp.line, resp.lines), 1)
		s.start()
		return nil
	}}
}

// goneOrNot: a client may take a long header or refuse it.
func goneOrNot() step {
	return step{says: "refuses it, or works", do: func(s *session) error {
		e, ok := s.await(s.patience)
		switch {
		case !ok:
			return failed("nothing happened")
		case e.kind == evEnd:
			return nil
		case e.kind == evMessage:
			s.remark("the client accepts an answer of this size")
			return nil
		}
		return failed("the client sent %s", e)
	}}
}
