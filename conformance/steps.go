package conformance

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"time"
)

// step is one thing that a case does. says describes what it expects, for reports; steps that only send say nothing.
type step struct {
	says string
	do   func(*session) error
}

// splitPause lies between two writes that shall arrive apart. On loopback the peer wakes up at once; a peer that gets the
// pieces together anyway is tested a little less, never wrongly.
const splitPause = 2 * time.Millisecond

func (s *session) writeChopped(note string, p []byte, n int) {
	s.record(">", fmt.Sprintf("%s, in writes of %d bytes", note, n), p)
	for len(p) > 0 {
		k := min(n, len(p))
		if _, err := s.conn.Write(p[:k]); err != nil {
			s.record("=", "sending ended: "+err.Error(), nil)
			return
		}
		p = p[k:]
	}
}

// send writes all frames at once.
func send(frames ...frame) step {
	return step{do: func(s *session) error { s.send(frames...); return nil }}
}

// sendEach writes every frame on its own.
func sendEach(frames ...frame) step {
	return step{do: func(s *session) error {
		for _, f := range frames {
			s.send(f)
		}
		return nil
	}}
}

// sendChopped writes the frames in pieces of n bytes.
func sendChopped(n int, frames ...frame) step {
	return step{do: func(s *session) error {
		p, note := s.encode(frames)
		s.writeChopped(note, p, n)
		return nil
	}}
}

// sendSplit writes the frame in two writes, the first of n bytes, with a pause between them.
func sendSplit(n int, f frame) step {
	return step{do: func(s *session) error {
		p, note := s.encode([]frame{f})
		n := min(n, len(p))
		s.write(fmt.Sprintf("the first %d bytes of %s", n, note), p[:n])
		time.Sleep(splitPause)
		s.write("the rest", p[n:])
		return nil
	}}
}

// sendHead writes the frame without its last n bytes.
func sendHead(n int, f frame) step {
	return step{do: func(s *session) error {
		p, note := s.encode([]frame{f})
		s.write(fmt.Sprintf("%s, without the last %d bytes", note, n), p[:len(p)-n])
		return nil
	}}
}

// sendBytes writes literal bytes.
func sendBytes(p ...byte) step {
	return step{do: func(s *session) error { s.write("literal bytes", p); return nil }}
}

// expect waits for these messages and pongs. Messages must come in order and pongs must come in order; a pong that comes
// later than a message that was sent behind its ping is late, which section 5.5.2 only advises against.
func expect(frames ...frame) step {
	return step{says: expectText(frames), do: func(s *session) error {
		messages, pongs := frames, frames
		for {
			messages, pongs = nextData(messages), nextPong(pongs)
			if len(messages) == 0 && len(pongs) == 0 {
				return nil
			}
			e, ok := s.await(s.untilDeadline())
			if !ok {
				return failed("nothing came, expected %s", describe(slices.Concat(head1(messages), head1(pongs))))
			}
			switch {
			case e.kind == evMessage && len(messages) > 0:
				if len(pongs) > len(messages) {
					s.note("the message came before the pong to an earlier ping (section 5.5.2: as soon as is practical)")
				}
				if err := sameMessage(messages[0], e); err != nil {
					return err
				}
				messages = messages[1:]
			case e.kind == evPong && len(pongs) > 0:
				var err error
				if pongs, err = s.samePong(e.payload, pongs); err != nil {
					return err
				}
			case e.kind == evClose && s.closeSent: // the case said goodbye behind the messages
				s.note("closed without answering what came before the close frame (section 5.5.1 lets it answer at once): %s",
					describe(slices.Concat(head1(messages), head1(pongs))))
				s.unread(e)
				return nil
			case tooBig(e):
				return informational("the peer refuses a message of %d bytes with 1009", len(firstPayload(messages)))
			default:
				return failed("got %s, expected %s", e, describe(slices.Concat(head1(messages), head1(pongs))))
			}
		}
	}}
}

// samePong takes the pong off the list. A peer may leave out all but the newest one, section 5.5.3.
func (s *session) samePong(payload []byte, pongs []frame) ([]frame, error) {
	for i, f := range pongs {
		if f.opcode == opPong && bytes.Equal(f.payload, payload) {
			if i > 0 && slices.ContainsFunc(pongs[:i], func(f frame) bool { return f.opcode == opPong }) {
				s.note("the pong to an earlier ping was left out (section 5.5.3 allows it)")
			}
			return pongs[i+1:], nil
		}
	}
	want := pongs[0].payload
	return nil, failed("the pong carries %d bytes %q, the ping carried %d bytes %q", len(payload), clip(payload), len(want), clip(want))
}

func nextData(f []frame) []frame {
	for len(f) > 0 && f[0].opcode == opPong {
		f = f[1:]
	}
	return f
}

func nextPong(f []frame) []frame {
	for len(f) > 0 && f[0].opcode != opPong {
		f = f[1:]
	}
	return f
}

func head1(f []frame) []frame { return f[:min(1, len(f))] }

func firstPayload(f []frame) []byte {
	if len(f) == 0 {
		return nil
	}
	return f[0].payload
}

func tooBig(e event) bool { return e.kind == evClose && closeCode(e.payload) == 1009 }

// closeCode is the code of a close frame; 0: it carries none.
func closeCode(payload []byte) int {
	if len(payload) < 2 {
		return 0
	}
	return int(binary.BigEndian.Uint16(payload))
}

func describe(frames []frame) string {
	var out []string
	for _, f := range frames {
		kind := "a " + opcodeName(f.opcode) + " message"
		if f.opcode == opPong {
			kind = "a pong"
		}
		out = append(out, fmt.Sprintf("%s of %d bytes", kind, len(f.payload)))
	}
	if len(out) > 3 {
		out = append(out[:3], fmt.Sprintf("%d more", len(out)-3))
	}
	return strings.Join(out, ", ")
}

func expectText(frames []frame) string { return "answers with " + describe(frames) }

func clip(p []byte) []byte {
	if len(p) > 40 {
		return append(bytes.Clone(p[:40]), "..."...)
	}
	return p
}

func sameMessage(want frame, got event) error {
	if got.opcode != want.opcode {
		return failed("a %s message came back as %s", opcodeName(want.opcode), opcodeName(got.opcode))
	}
	if bytes.Equal(got.payload, want.payload) {
		return nil
	}
	i := 0
	for i < min(len(got.payload), len(want.payload)) && got.payload[i] == want.payload[i] {
		i++
	}
	return failed("the message of %d bytes came back with %d bytes, different from byte %d on: %q instead of %q", len(want.payload),
		len(got.payload), i, clip(got.payload[i:]), clip(want.payload[i:]))
}

// expectFailure waits until the peer fails the connection, RFC 6455 section 7.1.7, with one of the codes.
func expectFailure(codes ...int) step {
	return expectFailureAfter(nil, codes...)
}

// expectFailureAfter first waits for the echo of what was sent before the mistake. A peer that fails without it has thrown
// the message away, which is allowed but not the best.
func expectFailureAfter(before []frame, codes ...int) step {
	says := "fails the connection with " + codeList(codes)
	if len(before) > 0 {
		says = expectText(before) + ", then " + says
	}
	return step{says: says, do: func(s *session) error {
		rest := before
		for {
			e, ok := s.await(s.patience)
			switch {
			case !ok:
				return failed("the connection is still open after %v, expected that the peer fails it with %s", s.patience, codeList(codes))
			case e.kind == evBroken:
				return failed("the peer sent %s", e.why)
			case e.kind == evMessage && len(rest) > 0 && rest[0].opcode != opPong:
				if err := sameMessage(rest[0], e); err != nil {
					return err
				}
				rest = rest[1:]
			case e.kind == evPong && len(rest) > 0 && rest[0].opcode == opPong:
				rest = rest[1:]
			case e.kind == evMessage:
				return failed("the peer accepted it: it answered with %s", e)
			case e.kind == evPong:
				s.note("a ping behind the mistake was still answered")
			default:
				if len(rest) > 0 {
					s.note("failed without answering what came before the mistake: %s", describe(head1(rest)))
				}
				return s.judgeFailure(e, codes)
			}
		}
	}}
}

func codeList(codes []int) string {
	var out []string
	for _, c := range codes {
		out = append(out, fmt.Sprint(c))
	}
	return strings.Join(out, " or ")
}

// judgeFailure judges how the peer failed the connection; e is a close frame or the end.
func (s *session) judgeFailure(e event, codes []int) error {
	if e.kind == evEnd {
		s.note("TCP was dropped without a close frame; %s would say why (section 7.1.7: SHOULD)", codeList(codes))
		return nil
	}
	switch code := closeCode(e.payload); {
	case len(e.payload) < 2:
		s.note("the close frame carries no code, %s would say why", codeList(codes))
	case code == s.closeCode && !slices.Contains(codes, code):
		return failed("the peer accepted the wrong close frame: it answered with the same code %d", code)
	case !slices.Contains(codes, code):
		s.note("the close frame carries %s, %s would say why", closeText(e.payload), codeList(codes))
	}
	return s.finishClose(e.payload)
}

// finishClose answers the peer's close frame if that has not happened and waits for the end of TCP. A server closes TCP
// first (section 7.1.1); a client may wait for us.
func (s *session) finishClose(payload []byte) error {
	if !s.closeSent {
		s.send(frame{fin: true, opcode: opClose, payload: payload[:min(2, len(payload))]})
	}
	if s.tested == clientSide {
		return nil
	}
	for {
		e, ok := s.await(s.patience)
		switch {
		case !ok:
			s.note("the server keeps TCP open after the closing handshake (section 7.1.1)")
			return nil
		case e.kind == evEnd:
			return nil
		case e.kind == evClose:
			return failed("a second close frame, with %s", closeText(e.payload))
		default:
			return failed("%s after the close frame (section 5.5.1)", e)
		}
	}
}

// expectClose waits for the close frame that answers ours, RFC 6455 section 5.5.1; code 0 stands for a close frame
// without a code.
func expectClose(code int) step {
	says := fmt.Sprintf("answers with a close frame with code %d and ends TCP", code)
	if code == 0 {
		says = "answers with an empty close frame (or 1000) and ends TCP"
	}
	return step{says: says, do: func(s *session) error {
		e, ok := s.await(s.patience)
		switch {
		case !ok:
			return failed("no close frame came within %v", s.patience)
		case e.kind == evEnd:
			return failed("TCP ended without a close frame in answer (section 5.5.1)")
		case e.kind != evClose:
			return failed("got %s instead of a close frame", e)
		}
		s.judgeEcho(e.payload, code)
		return s.finishClose(e.payload)
	}}
}

func (s *session) judgeEcho(payload []byte, code int) {
	switch got := closeCode(payload); {
	case got == code, code == 0 && got == 1000:
	case code == 0:
		s.note("an empty close frame was answered with %s", closeText(payload))
	default:
		s.note("code %d was answered with %s (section 5.5.1: typically echoes the code)", code, closeText(payload))
	}
}

// expectFailureOrClose is for close frames that are wrong without a rule for the receiver, as codes that nobody assigned:
// refusing them with 1002 is best, echoing them is allowed.
func expectFailureOrClose(code int) step {
	return step{says: fmt.Sprintf("fails the connection with 1002, or at least echoes %d", code), do: func(s *session) error {
		e, ok := s.await(s.patience)
		switch {
		case !ok:
			return failed("no close frame came within %v", s.patience)
		case e.kind != evClose && e.kind != evEnd:
			return failed("got %s instead of a close frame", e)
		case closeCode(e.payload) == code:
			s.note("code %d was echoed; 1002 is best here", code)
			return s.finishClose(e.payload)
		}
		return s.judgeFailure(e, []int{1002})
	}}
}

// goodbye ends a connection that is still good. How the peer closes is judged by the cases of section 7 alone, but
// anything it sends that nobody asked for fails the case.
func goodbye() step {
	return step{do: func(s *session) error {
		if s.closeSent || s.over {
			return nil
		}
		s.send(closing(1000, ""))
		for {
			e, ok := s.await(s.patience)
			switch {
			case !ok, e.kind == evEnd, e.kind == evClose:
				return nil
			case e.kind == evBroken:
				return failed("the peer sent %s", e.why)
			case e.kind == evMessage:
				return failed("the peer sent %s that nobody asked for", e)
			}
		}
	}}
}

// failsEarly looks whether the peer fails the connection before the rest of the frame or message is there. It waits only
// a moment; a peer that fails later is non-strict. rest is what completes the message.
func failsEarly(codes []int, rest func(*session)) step {
	return step{says: "fails the connection with " + codeList(codes) + " at once, before the rest is there", do: func(s *session) error {
		if e, ok := s.await(s.quiet); ok {
			s.unread(e)
		} else {
			s.note("the mistake was not found before the rest was there (section 8.1; early failure is best)")
			rest(s)
		}
		return expectFailure(codes...).do(s)
	}}
}

// quiet is how long a case waits to see that nothing happens: 150 ms of the usual 5 s. A peer that does something in time
// does not cost it.
func quiet(timeout time.Duration) time.Duration { return timeout * 3 / 100 }
