package conformance

import (
	"fmt"
	"strings"
	"time"
)

// definedCodes may be on the wire: RFC 6455 section 7.4.1, and 1012 to 1014 from IANA's registry.
var definedCodes = []int{1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999}

// forbiddenCodes must never be on the wire.
var forbiddenCodes = []int{0, 1, 999, 1005, 1006, 1015, 5000, 32768, 65535}

// unassignedCodes are kept for future versions of the protocol.
var unassignedCodes = []int{1004, 1016, 1100, 2000, 2999}

// closeCases test RFC 6455 sections 5.5.1 and 7.
func closeCases(t *table) {
	const section = "6455-5.5.1"
	empty := raw(opClose, "")
	t.add(section, "a close frame without a code", send(empty), expectClose(0))
	t.add(section, "a close frame without a code, in single bytes", sendChopped(1, empty), expectClose(0))
	t.add(section, "a close frame with a code, split in the code", sendSplit(7, closing(1000, "bye")), expectClose(1000))
	t.add(section, "a payload of one byte", send(raw(opClose, "\x03")), expectFailure(1002))
	for _, n := range []int{0, 1, 122, 123} {
		t.add(section, fmt.Sprintf("a reason of %d bytes", n), send(closing(1000, strings.Repeat("r", n))), expectClose(1000))
	}
	t.add(section, "a reason of 124 bytes", send(closing(1000, strings.Repeat("r", 124))), expectFailure(1002))
	for _, reason := range []string{"tschüß", "再见", "\U0001F44B", "\ufeff", strings.Repeat("\U0001F44B", 30)} {
		t.add(section, fmt.Sprintf("the reason %q", clip([]byte(reason))), send(closing(1000, reason)), expectClose(1000))
	}
	for _, reason := range []string{"\xff", "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", "\xc0\xaf", "cut \xe2\x82", "\xf4\x90\x80\x80", "\x80"} {
		t.add(section, fmt.Sprintf("the reason % x, which is not UTF-8", reason), send(closing(1000, reason)), expectFailure(1007))
	}
	hello := text("late")
	t.add(section, "a text behind the close frame is ignored", send(closing(1000, ""), hello), expectClose(1000))
	t.add(section, "a ping behind the close frame is ignored", send(closing(1000, ""), ping("late")), expectClose(1000))
	t.add(section, "a second close frame is ignored", send(closing(1000, ""), closing(1001, "")), expectClose(1000))
	t.add(section, "a broken frame behind the close frame is ignored", send(closing(1000, ""), raw(3, "x")), expectClose(1000))
	t.add(section, "a large message behind the close frame is ignored", send(closing(1000, ""), message(opBinary, 200000)), expectClose(1000), stillServes())
	t.add(section, "a message that ends behind the close frame", send(text("a").more(), closing(1000, ""), cont("b")), expectClose(1000))
	t.add(section, "texts are answered before the close frame", send(text("1"), text("2"), closing(1000, "")), expect(text("1"), text("2")), expectClose(1000))
	t.add(section, "a ping is answered before the close frame", send(ping("1"), closing(1000, "")), expectPongOrClose("1", 1000))
	t.add(section, "a close frame behind an answered message", send(hello), expect(hello), send(closing(1000, "done")), expectClose(1000))
	t.add(section, "a large message, then a close frame", send(message(opText, 100000), closing(1000, "")), expect(message(opText, 100000)), expectClose(1000))
	codeCases(t)
	endCases(t)
}

// expectPongOrClose allows a peer to leave out a pong when a close frame came behind the ping: section 5.5.2 makes the
// pong a duty unless a close frame was received.
func expectPongOrClose(payload string, code int) step {
	return step{says: "answers with a pong, then with a close frame", do: func(s *session) error {
		e, ok := s.await(s.patience)
		if ok && e.kind == evPong {
			if string(e.payload) != payload {
				return failed("the pong carries %q, the ping carried %q", clip(e.payload), payload)
			}
		} else if ok {
			s.note("the ping before the close frame was not answered (section 5.5.2 allows it)")
			s.unread(e)
		}
		return expectClose(code).do(s)
	}}
}

func codeCases(t *table) {
	for _, code := range definedCodes {
		section := "6455-7.4.1"
		if code >= 3000 {
			section = "6455-7.4.2"
		}
		t.add(section, fmt.Sprintf("code %d", code), send(closing(code, "")), expectClose(code))
		t.add(section, fmt.Sprintf("code %d with a reason", code), send(closing(code, "reason")), expectClose(code))
	}
	for _, code := range forbiddenCodes {
		t.add("6455-7.4.2", fmt.Sprintf("code %d, which must not be sent", code), send(closing(code, "")), expectFailure(1002))
		t.add("6455-7.4.2", fmt.Sprintf("code %d with a reason", code), send(closing(code, "reason")), expectFailure(1002))
	}
	for _, code := range unassignedCodes {
		t.add("6455-7.4.2", fmt.Sprintf("code %d, which has no meaning", code), send(closing(code, "")), expectFailureOrClose(code))
	}
}

// endCases are about the end of TCP, RFC 6455 section 7.1.
func endCases(t *table) {
	const section = "6455-7.1"
	t.add(section, "TCP ends in the middle of a frame", sendHead(3, text("hello")), hangUp(), stillServes()).onlyServer()
	t.add(section, "TCP ends in the middle of a message", send(text("a").more()), hangUp(), stillServes()).onlyServer()
	t.add(section, "TCP ends in the middle of a header", sendBytes(0x81), hangUp(), stillServes()).onlyServer()
	t.add(section, "TCP ends behind the handshake", hangUp(), stillServes()).onlyServer()
	t.add(section, "TCP ends with the echo of a large message under way", send(message(opBinary, 1<<20)), hangUp(), stillServes()).onlyServer()
	t.add(section, "TCP is reset", send(text("a").more()), reset(), stillServes()).onlyServer()
	t.add(section, "the client closes its sending half", send(text("half")), expect(text("half")), closeWrite(), expectEnd()).onlyServer()
	t.add(section, "the server ends TCP soon after the closing handshake", send(closing(1000, "")), expectClose(1000), endedBy(time.Second)).onlyServer()
}

func hangUp() step {
	return step{do: func(s *session) error {
		s.record("=", "TCP closed by the suite", nil)
		s.over = true
		return s.conn.Close()
	}}
}

// reset closes so that the peer sees an error and not an end.
func reset() step {
	return step{do: func(s *session) error {
		if c, ok := s.conn.(interface{ SetLinger(int) error }); ok {
			_ = c.SetLinger(0)
		}
		return hangUp().do(s)
	}}
}

func closeWrite() step {
	return step{do: func(s *session) error {
		if c, ok := s.conn.(interface{ CloseWrite() error }); ok {
			s.record("=", "sending half closed by the suite", nil)
			_ = c.CloseWrite()
		}
		return nil
	}}
}

// expectEnd waits for the end of TCP, with or without a close frame before it.
func expectEnd() step {
	return step{says: "ends TCP", do: func(s *session) error {
		for {
			e, ok := s.await(s.patience)
			switch {
			case !ok:
				return failed("TCP is still open after %v", s.patience)
			case e.kind == evEnd:
				return nil
			case e.kind != evClose:
				return failed("got %s", e)
			}
		}
	}}
}

// endedBy judges how long the whole case took: finishClose has already seen the end.
func endedBy(limit time.Duration) step {
	return step{says: fmt.Sprintf("ends TCP within %v", limit), do: func(s *session) error {
		if !s.over {
			return failed("TCP is still open")
		}
		if took := time.Since(s.began); took > limit {
			s.note("TCP ended after %v", took.Round(time.Millisecond))
		}
		return nil
	}}
}

// stillServes opens another connection to a server: what the case did to one connection must not hurt others.
func stillServes() step {
	return step{says: "still serves others", do: func(s *session) error {
		if s.tested == clientSide {
			return nil
		}
		other := newSession(s.ctx, s.tested, "another", s.patience*5/2)
		other.dial = s.dial
		defer other.finish()
		defer func() {
			s.mu.Lock()
			s.log = append(s.log, other.wireLog()...)
			s.mu.Unlock()
		}()
		if err := other.open(nil, 0, nil); err != nil {
			return failed("the server accepts no other connection: %v", err)
		}
		if _, err := other.upgraded(nil); err != nil {
			return failed("the server accepts no other connection: %v", err)
		}
		other.begin(nil)
		other.send(text("alive"))
		if err := expect(text("alive")).do(other); err != nil {
			return failed("another connection: %v", err)
		}
		return goodbye().do(other)
	}}
}
