package conformance

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"
)

// upgrade sends a request with edits and judges the answer as one to a good request; then the connection must work.
func upgrade(edits ...edit) []step {
	return []step{{says: "upgrades, and the connection works", do: func(s *session) error {
		if err := s.open(edits, 0, nil); err != nil {
			return err
		}
		return s.worksNow()
	}}}
}

func (s *session) worksNow() error {
	if _, err := s.upgraded(nil); err != nil {
		return err
	}
	s.begin(nil)
	s.send(text("works"))
	return expect(text("works")).do(s)
}

// upgradeOrRefuse is for requests that the RFC allows but that a server may find too odd.
func upgradeOrRefuse(why string, edits ...edit) []step {
	return []step{{says: "upgrades, and the connection works", do: func(s *session) error {
		if err := s.open(edits, 0, nil); err != nil {
			return err
		}
		if s.resp.status >= 400 {
			s.note("refused with %q although %s", s.resp.line, why)
			return nil
		}
		return s.worksNow()
	}}}
}

// refuse sends a request with edits that no server may upgrade. A status of the list is best; TCP dropped without an
// answer is not.
func refuse(statuses []int, edits ...edit) []step {
	return []step{{says: "refuses with " + codeList(statuses), do: func(s *session) error {
		if err := s.open(edits, 0, nil); err != nil {
			return err
		}
		return s.refused(statuses)
	}}}
}

func (s *session) refused(statuses []int) error {
	switch status := s.resp.status; {
	case s.resp.err != nil:
		s.note("the connection was dropped without an HTTP answer (section 4.2.1: an appropriate error code)")
	case status == http.StatusSwitchingProtocols:
		return failed("the server upgraded: %q", s.resp.line)
	case status < 400:
		return failed("answered with %q, want an error", s.resp.line)
	case !slices.Contains(statuses, status):
		s.note("answered with %q, %s would be right", s.resp.line, codeList(statuses))
	}
	return nil
}

var badRequest = []int{400}

// serverHandshakeCases test what a server reads and answers, RFC 6455 sections 4.2.1, 4.2.2 and 4.4.
func serverHandshakeCases(t *table) {
	before := len(t.cases)
	requestLineCases(t)
	missingCases(t)
	keyHeaderCases(t)
	versionCases(t)
	variantCases(t)
	answerCases(t)
	for _, c := range t.cases[before:] {
		c.onlyServer().byHand()
	}
}

func requestLineCases(t *table) {
	const section = "6455-4.2.1"
	path := func(method, version string) edit {
		return func(line *string, _ *[]string) {
			parts := strings.Fields(*line)
			*line = method + " " + parts[1] + " " + version
		}
	}
	for _, method := range []string{"POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "FETCH"} {
		t.add(section, "method "+method, refuse([]int{405, 400, 501}, path(method, "HTTP/1.1"))...)
	}
	t.add(section, "POST with a body", refuse([]int{405, 400, 501}, path("POST", "HTTP/1.1"), with("Content-Length: 0"))...)
	t.add(section, "HTTP/1.0", refuse([]int{400, 426, 505}, path("GET", "HTTP/1.0"))...)
	t.add(section, "HTTP/0.9", refuse([]int{400, 426, 505}, path("GET", "HTTP/0.9"))...)
	t.add(section, "no HTTP version", refuse(badRequest, firstLine("GET /"))...)
	t.add(section, "not HTTP at all", refuse(badRequest, firstLine("\x16\x03\x01\x02\x00\x01\x00"))...)
	t.add(section, "lower-case method", refuse([]int{400, 405, 501}, path("get", "HTTP/1.1"))...)
}

func missingCases(t *table) {
	const section = "6455-4.2.1"
	t.add(section, "no Host", refuse(badRequest, without("Host"))...)
	t.add(section, "two Host fields", refuse(badRequest, with("Host: other.example"))...)
	t.add(section, "no Upgrade", refuse([]int{400, 426}, without("Upgrade"))...)
	t.add(section, "empty Upgrade", refuse([]int{400, 426}, replaced("Upgrade", "Upgrade:"))...)
	t.add(section, "Upgrade: websockets", refuse([]int{400, 426}, replaced("Upgrade", "Upgrade: websockets"))...)
	t.add(section, "Upgrade: h2c", refuse([]int{400, 426}, replaced("Upgrade", "Upgrade: h2c"))...)
	t.add(section, "no Connection", refuse([]int{400, 426}, without("Connection"))...)
	t.add(section, "Connection: keep-alive", refuse([]int{400, 426}, replaced("Connection", "Connection: keep-alive"))...)
	t.add(section, "Connection: close", refuse([]int{400, 426}, replaced("Connection", "Connection: close"))...)
	t.add(section, "Connection: NotUpgrade", refuse([]int{400, 426}, replaced("Connection", "Connection: NotUpgrade"))...)
	t.add(section, "a plain request for the page", step{says: "answers with an HTTP response that is not 101", do: func(s *session) error {
		edits := []edit{without("Upgrade"), without("Connection"), without("Sec-WebSocket-Key"), without("Sec-WebSocket-Version")}
		if err := s.open(edits, 0, nil); err != nil {
			return err
		}
		if s.resp.err != nil || s.resp.status == http.StatusSwitchingProtocols {
			return failed("answered with %q (%v)", s.resp.line, s.resp.err)
		}
		return nil
	}})
	t.add(section, "a header line without a colon", refuse(badRequest, with("nonsense"))...)
	t.add(section, "a header name with a space", refuse(badRequest, with("Bad Name: x"))...)
}

func keyHeaderCases(t *table) {
	const section = "6455-4.2.1"
	key := func(v string) edit { return replaced("Sec-WebSocket-Key", "Sec-WebSocket-Key: "+v) }
	encoded := func(n int) string { return base64.StdEncoding.EncodeToString(filler(opText, n)) }
	t.add(section, "no Key", refuse(badRequest, without("Sec-WebSocket-Key"))...)
	t.add(section, "an empty Key", refuse(badRequest, key(""))...)
	t.add(section, "a Key that is not base64", refuse(badRequest, key("!!!!!!!!!!!!!!!!!!!!!!=="))...)
	t.add(section, "a Key without padding", refuse(badRequest, key(strings.TrimRight(encoded(16), "=")))...)
	for _, n := range []int{1, 15, 17, 18, 32} {
		t.add(section, fmt.Sprintf("a Key of %d bytes", n), refuse(badRequest, key(encoded(n)))...)
	}
	t.add(section, "a Key with characters behind it", refuse(badRequest, key(encoded(16)+"x"))...)
	t.add("6455-11.3.1", "two Keys", refuse(badRequest, with("Sec-WebSocket-Key: "+encoded(16)))...)
	t.add(section, "a Key with spaces around it", upgrade(key("  "+encoded(16)+"  "))...)
}

func versionCases(t *table) {
	const section = "6455-4.4"
	for _, v := range []string{"0", "7", "8", "12", "14", "255", "1300", "-13", "13.0", "x", ""} {
		t.add(section, fmt.Sprintf("version %q", v), refuseVersion(replaced("Sec-WebSocket-Version", "Sec-WebSocket-Version: "+v)))
	}
	t.add(section, "no version", refuse([]int{426, 400}, without("Sec-WebSocket-Version"))...)
	t.add("6455-11.3.5", "two versions, 13 and 8", refuseOrIgnore("Sec-WebSocket-Version",
		"section 11.3.5 wants the field once", []int{400, 426}, with("Sec-WebSocket-Version: 8"))...)
}

// refuseVersion wants 426 and the list of versions that would do, sections 4.2.2 and 4.4.
func refuseVersion(e edit) step {
	return step{says: "refuses with 426 and Sec-WebSocket-Version: 13", do: func(s *session) error {
		if err := s.open([]edit{e}, 0, nil); err != nil {
			return err
		}
		if err := s.refused([]int{426}); err != nil {
			return err
		}
		if s.resp.err == nil && !hasToken(s.resp.header, "Sec-Websocket-Version", "13") {
			return failed("the refusal %q does not name Sec-WebSocket-Version: 13 (section 4.4: MUST)", s.resp.line)
		}
		return nil
	}}
}

// variantCases are good requests that look unusual.
func variantCases(t *table) {
	const section = "6455-4.2.1"
	up := func(v string) edit { return replaced("Upgrade", v) }
	co := func(v string) edit { return replaced("Connection", v) }
	t.add(section, "a good request", upgrade()...)
	t.add(section, "Upgrade: WebSocket", upgrade(up("Upgrade: WebSocket"))...)
	t.add(section, "UPGRADE: WEBSOCKET", upgrade(up("UPGRADE: WEBSOCKET"))...)
	t.add(section, "upgrade:websocket without a space", upgrade(up("upgrade:websocket"))...)
	t.add(section, "Connection: upgrade", upgrade(co("Connection: upgrade"))...)
	t.add(section, "connection: UPGRADE", upgrade(co("connection: UPGRADE"))...)
	t.add(section, "Connection: keep-alive, Upgrade", upgrade(co("Connection: keep-alive, Upgrade"))...)
	t.add(section, "Connection: Upgrade,keep-alive", upgrade(co("Connection: Upgrade,keep-alive"))...)
	t.add(section, "Connection: , ,Upgrade, with empty list elements",
		upgradeOrRefuse("empty list elements are to be ignored (RFC 9110 section 5.6.1)", co("Connection: , ,Upgrade,"))...)
	t.add(section, "two Connection fields, Upgrade in the second", upgrade(co("Connection: keep-alive"), with("Connection: Upgrade"))...)
	t.add(section, "tabs around the values", upgrade(co("Connection:\tUpgrade\t"), up("Upgrade:\twebsocket\t"))...)
	t.add(section, "header names in lower case", upgrade(func(_ *string, lines *[]string) {
		out := slices.Clone(*lines)
		for i, l := range out {
			name, value, _ := strings.Cut(l, ":")
			out[i] = strings.ToLower(name) + ":" + value
		}
		*lines = out
	})...)
	t.add(section, "header fields in reverse order", upgrade(func(_ *string, lines *[]string) {
		out := slices.Clone(*lines)
		slices.Reverse(out)
		*lines = out
	})...)
	t.add(section, "Upgrade: websocket, other", upgradeOrRefuse("Upgrade is a list (RFC 9110 section 7.8)", up("Upgrade: websocket, other"))...)
	t.add(section, "Upgrade: other/1.0, websocket", upgradeOrRefuse("Upgrade is a list (RFC 9110 section 7.8)", up("Upgrade: other/1.0, websocket"))...)
	t.add(section, "two Upgrade fields", upgradeOrRefuse("Upgrade is a list (RFC 9110 section 7.8)", up("Upgrade: other"), with("Upgrade: websocket"))...)
	t.add(section, "an absolute http URI as the target", upgradeOrRefuse("section 4.2.1 allows absolute URIs", func(line *string, lines *[]string) {
		q := request{lines: *lines}
		*line = strings.Replace(*line, "GET /", "GET http://"+q.value("Host")+"/", 1)
	})...)
	t.add(section, "unknown header fields", upgrade(with("X-Unknown: yes"), with("Cookie: a=b; c=d"), with("User-Agent: \"quoted\" (comment)"))...)
	t.add(section, "50 header fields of 100 bytes", upgrade(manyLines(50, 100))...)
	t.add(section, "the request in writes of one byte", step{says: "upgrades, and the connection works", do: func(s *session) error {
		if err := s.open(nil, 1, nil); err != nil {
			return err
		}
		return s.worksNow()
	}})
	t.add(section, "the first frame in the same write as the request", frameWithRequest())
}

// frameWithRequest: a client must wait for the answer (section 4.1), so refusing is right too; losing the frame is the
// worst of what is allowed.
func frameWithRequest() step {
	return step{says: "answers the frame, or refuses the impatient client", do: func(s *session) error {
		early := text("early").append(nil, true, [4]byte{1, 2, 3, 4})
		if err := s.open(nil, 0, early); err != nil {
			return err
		}
		if s.resp.err != nil || s.resp.status >= 400 {
			s.remark("the server refuses a client that sends before the answer (section 4.1 forbids it to the client)")
			return nil
		}
		if _, err := s.upgraded(nil); err != nil {
			return err
		}
		s.begin(nil)
		e, ok := s.await(s.patience)
		if !ok {
			s.note("the frame that came with the request was lost")
			return nil
		}
		s.unread(e)
		return expect(text("early")).do(s)
	}}
}

func manyLines(n, size int) edit {
	return func(_ *string, lines *[]string) {
		out := slices.Clone(*lines)
		for i := range n {
			out = append(out, fmt.Sprintf("X-Line-%d: %s", i, strings.Repeat("v", size)))
		}
		*lines = out
	}
}

// answerCases test what is negotiated, and the limits, RFC 6455 sections 4.2.2, 9.1 and 10.4.
func answerCases(t *table) {
	const section = "6455-4.2.2"
	proto := func(v string) edit { return with("Sec-WebSocket-Protocol: " + v) }
	for _, v := range []string{"no-such-protocol", "no-such-protocol, another-one", "a,b,c"} {
		t.add(section, "subprotocols "+v, offersProtocol(v))
	}
	t.add(section, "an empty subprotocol list", refuseOrIgnore("Sec-WebSocket-Protocol", "section 11.3.4 wants one or more tokens", badRequest, proto(""))...)
	t.add(section, "a subprotocol that is not a token", refuseOrIgnore("Sec-WebSocket-Protocol", "section 11.3.4 wants one or more tokens", badRequest, proto("bad/protocol,"))...)
	t.add("6455-9.1", "an unknown extension", upgrade(with("Sec-WebSocket-Extensions: x-unknown-extension"))...)
	t.add("6455-9.1", "several unknown extensions with parameters", upgrade(with(`Sec-WebSocket-Extensions: x-one; a=1; b="two", x-two; c`))...)
	t.add("6455-9.1", "unknown extensions in two fields", upgrade(with("Sec-WebSocket-Extensions: x-one"), with("Sec-WebSocket-Extensions: x-two"))...)
	for _, v := range []string{";", "x;;y", "x; =1", "x; a=", `x; a="`, `x; a="b c"`, "x y", "=", "x; a=b=c", "x/y", `x; a="\"`} {
		t.add("6455-9.1", "the malformed extension header "+v, refuseOrIgnore("Sec-WebSocket-Extensions", malformed, badRequest, with("Sec-WebSocket-Extensions: "+v))...)
	}
	t.add("6455-9.1", "an extension header of 4000 commas", refuseOrIgnore("Sec-WebSocket-Extensions", malformed, badRequest, with("Sec-WebSocket-Extensions: "+strings.Repeat(",", 4000)))...)
	// CVE-2023-43669, CVE-2024-37890 and CVE-2021-32640: long and many header fields were endless work or a crash.
	t.add("6455-10.4", "a header field of 4 KiB", upgrade(with("X-Long: "+strings.Repeat("v", 4<<10)))...)
	t.add("6455-10.4", "a header field of 2 MiB", hugeHead(with("X-Long: "+strings.Repeat("v", 2<<20))))
	t.add("6455-10.4", "20000 header fields", hugeHead(manyLines(20000, 60)))
	t.add("6455-10.4", "a target of 2 MiB", hugeHead(firstLine("GET /"+strings.Repeat("p", 2<<20)+" HTTP/1.1")))
	t.add("6455-10.4", "a subprotocol of 60000 spaces", hugeHead(proto("a"+strings.Repeat(" ", 60000)+"b")))
	t.add(section, "a refusal ends TCP", refusalCloses())
}

// offersProtocol: a server that knows none of the offered subprotocols answers without one.
func offersProtocol(value string) step {
	return step{says: "answers without a subprotocol, or with one that was offered", do: func(s *session) error {
		if err := s.open([]edit{with("Sec-WebSocket-Protocol: " + value)}, 0, nil); err != nil {
			return err
		}
		if s.resp.status >= 400 {
			s.remark("the server refuses a client whose subprotocols it does not know")
			return nil
		}
		for _, chosen := range s.resp.header.Values("Sec-Websocket-Protocol") {
			offered := strings.Split(strings.ReplaceAll(value, " ", ""), ",")
			if !slices.Contains(offered, chosen) {
				return failed("the server chose subprotocol %q, which was not offered (section 4.2.2)", chosen)
			}
			s.remark("the server takes any subprotocol (%q)", chosen)
		}
		return s.worksNow()
	}}
}

const malformed = "section 9.1 wants the handshake to fail"

// refuseOrIgnore: a malformed field should fail the handshake; many servers ignore what they do not look at.
func refuseOrIgnore(name, why string, statuses []int, edits ...edit) []step {
	return []step{{says: "refuses with " + codeList(statuses), do: func(s *session) error {
		if err := s.open(edits, 0, nil); err != nil {
			return err
		}
		if s.resp.status != http.StatusSwitchingProtocols {
			return s.refused(statuses)
		}
		if got := s.resp.header.Get(name); got != "" {
			return failed("the server answered %s: %q", name, got)
		}
		s.note("the wrong %s was ignored; %s", name, why)
		return s.worksNow()
	}}}
}

// hugeHead wants any sane end: the upgrade, an error, or a dropped connection, and a server that goes on.
func hugeHead(edits ...edit) step {
	return step{says: "refuses it, or upgrades; and serves others", do: func(s *session) error {
		if err := s.open(edits, 0, nil); err != nil {
			return err
		}
		if s.resp.status == http.StatusSwitchingProtocols {
			s.remark("the server accepts a request of this size")
		} else if s.resp.err == nil && s.resp.status < 400 {
			return failed("answered with %q", s.resp.line)
		}
		return stillServes().do(s)
	}}
}

// refusalCloses: a refused upgrade that keeps HTTP alive can be used to smuggle requests past a proxy that believes in
// the upgrade (kemal#767).
func refusalCloses() step {
	return step{says: "ends TCP behind the refusal", do: func(s *session) error {
		if err := s.open([]edit{replaced("Sec-WebSocket-Version", "Sec-WebSocket-Version: 99")}, 0, nil); err != nil {
			return err
		}
		if err := s.refused([]int{426}); err != nil || s.resp.err != nil {
			return err
		}
		_ = s.conn.SetReadDeadline(time.Now().Add(s.quiet))
		if _, err := io.Copy(io.Discard, s.r); !errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		s.remark("the refused connection is kept open for more requests; behind a proxy that is a way to smuggle them")
		return nil
	}}
}
