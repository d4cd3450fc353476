package protocol

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/duplex-websocket/duplex/websocket/deflate"
)

// fuzzLimits are small enough that the fuzzer meets them.
var fuzzLimits = Limits{HeaderCount: 12, HeaderBytes: 200, TotalBytes: 600}

// outcome is what a parser says once it has decided.
type outcome struct {
	value any
	n     int
	err   string
}

// decide calls parse with longer and longer prefixes of data until it has
// decided; step gives the length of each piece, in turn.
func decide(data, step []byte, parse func([]byte) (any, int, error)) outcome {
	end := len(data)
	if len(step) > 0 {
		end = 0
	}
	for i := 0; ; i++ {
		if len(step) > 0 {
			end = min(len(data), end+int(step[i%len(step)]%32)+1)
		}
		value, n, err := parse(data[:end:end])
		if err != nil {
			return outcome{nil, n, err.Error()}
		}
		if n > 0 || end == len(data) {
			return outcome{value, n, ""}
		}
	}
}

func parseAnyRequest(b []byte) (any, int, error)  { return asAny(ParseRequest(b, fuzzLimits)) }
func parseAnyResponse(b []byte) (any, int, error) { return asAny(ParseResponse(b, fuzzLimits)) }

func asAny[T any](value T, n int, err error) (any, int, error) { return value, n, err }

func requestSeeds(f *testing.F) [][]byte {
	terms := &Terms{Subprotocols: []string{"chat", "v2"}, Deflate: &deflate.Options{}}
	raw, err := AppendRequest(nil, "/chat?room=1", "h:80", terms.RequestHeader(sampleKey))
	if err != nil {
		f.Fatal(err)
	}
	seeds := [][]byte{raw}
	for _, s := range []string{
		sample + "\r\n",
		"\r\nGET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n\x81\x80abcd",
		"GET / HTTP/1.0\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n",
		"CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n c\r\n\r\n",
		"GET / HTTP/1.1\r\nHost : h\r\n\r\n",
		"GET / HTTP/1.1\nHost: h\n\n",
		"GET / HTTP/1.1\r\nHost: h\r\nA: \x00\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("A: b\r\n", 13),
		"GET /" + strings.Repeat("a", 300),
		"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
	} {
		seeds = append(seeds, []byte(s))
	}
	return seeds
}

// Any split of the input gives what one piece gives, and what the parser
// accepts net/http understands in the same way.
func FuzzHandshakeRequest(f *testing.F) {
	for _, seed := range requestSeeds(f) {
		f.Add(seed, []byte{0})
		f.Add(seed, []byte{30, 0, 7})
	}
	f.Fuzz(func(t *testing.T, data, step []byte) {
		whole := decide(data, nil, parseAnyRequest)
		if split := decide(data, step, parseAnyRequest); !reflect.DeepEqual(whole, split) {
			t.Fatalf("in one piece: %+v\nin pieces: %+v", whole, split)
		}
		if whole.n > fuzzLimits.TotalBytes+len("\r\n") {
			t.Fatalf("took %d bytes", whole.n)
		}
		if whole.err == "" && whole.n > 0 {
			req := whole.value.(Request)
			compareWithNetHTTP(t, bytes.TrimPrefix(data[:whole.n], []byte("\r\n")), req)
			(&Terms{Subprotocols: []string{"chat"}, Deflate: &deflate.Options{}}).Answer(&req)
		}
	})
}

// compareWithNetHTTP demands that net/http reads the same request, where it
// reads one: it also understands bodies and URLs, which are not ours.
func compareWithNetHTTP(t *testing.T, head []byte, req Request) {
	theirs, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		target := req.Target
		if req.Method == "CONNECT" {
			target = "http://" + target
		}
		_, badURL := url.ParseRequestURI(target)
		body := len(req.Header["Content-Length"])+len(req.Header["Transfer-Encoding"])+len(req.Header["Trailer"]) > 0
		if badURL == nil && !body {
			t.Fatalf("net/http refuses %q: %v", head, err)
		}
		return
	}
	if theirs.Method != req.Method || theirs.RequestURI != req.Target || theirs.ProtoMajor != req.Major || theirs.ProtoMinor != req.Minor {
		t.Fatalf("net/http reads %s %s, we read %+v", theirs.Method, theirs.RequestURI, req)
	}
	if theirs.Host != req.Host && req.Method != "CONNECT" {
		t.Fatalf("net/http reads host %q, we read %q", theirs.Host, req.Host)
	}
	ours := http.Header(req.Header).Clone()
	for _, name := range []string{"Content-Length", "Transfer-Encoding", "Trailer", "Cache-Control", "Pragma"} {
		ours.Del(name) // net/http moves or adds these
		theirs.Header.Del(name)
	}
	if !reflect.DeepEqual(ours, theirs.Header) {
		t.Fatalf("net/http reads %q\nwe read %q", theirs.Header, ours)
	}
}

// Any split of the input gives what one piece gives, and what the parser
// accepts net/http understands in the same way.
func FuzzHandshakeResponse(f *testing.F) {
	raw, err := AppendResponse(nil, &Agreement{AcceptKey: AcceptKey(sampleKey), Subprotocol: "chat", Extensions: "permessage-deflate"},
		Header{"Set-Cookie": {"a", "b"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw, []byte{0})
	for _, seed := range []string{
		sampleAnswer + "\r\n\x81\x00",
		"HTTP/1.1 426\r\nSec-WebSocket-Version: 8\r\n\r\n",
		"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"HTTP/1.1 101 x\nUpgrade: websocket\n\n",
		"HTTP/1.1 101 " + strings.Repeat("x", 300),
	} {
		f.Add([]byte(seed), []byte{3, 9})
	}
	f.Fuzz(func(t *testing.T, data, step []byte) {
		whole := decide(data, nil, parseAnyResponse)
		if split := decide(data, step, parseAnyResponse); !reflect.DeepEqual(whole, split) {
			t.Fatalf("in one piece: %+v\nin pieces: %+v", whole, split)
		}
		if whole.err != "" || whole.n == 0 {
			return
		}
		resp := whole.value.(Response)
		(&Terms{Subprotocols: []string{"chat"}, Deflate: &deflate.Options{}}).Check(&resp, sampleKey)
		theirs, err := textproto.NewReader(bufio.NewReader(bytes.NewReader(data[:whole.n]))).ReadLine()
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(theirs, "HTTP/") {
			t.Fatalf("accepted the status line %q", theirs)
		}
		compareFields(t, data[:whole.n], resp.Header)
	})
}

// compareFields demands that net/textproto reads the same fields.
func compareFields(t *testing.T, head []byte, ours Header) {
	r := textproto.NewReader(bufio.NewReader(bytes.NewReader(head)))
	if _, err := r.ReadLine(); err != nil {
		t.Fatal(err)
	}
	theirs, err := r.ReadMIMEHeader()
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("net/textproto refuses %q: %v", head, err)
	}
	if !reflect.DeepEqual(map[string][]string(theirs), map[string][]string(ours)) {
		t.Fatalf("net/textproto reads %q\nwe read %q", theirs, ours)
	}
}

// What is accepted, written down again and parsed again, is the same.
func FuzzHandshakeExtensions(f *testing.F) {
	for _, seed := range []string{
		(&deflate.Options{}).Offer(), `a; b="1\0"; c, d`, ", ,", "a;;", `a;b="`, "__proto__; constructor=1",
	} {
		f.Add(seed, "x")
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		list, err := ParseExtensions([]string{one, two})
		joined, joinedErr := ParseExtensions([]string{one + "," + two})
		if !strings.ContainsRune(one+two, '"') && ((err == nil) != (joinedErr == nil) || !reflect.DeepEqual(list, joined)) {
			t.Fatalf("two lines give %v, %v; joined they give %v, %v", list, err, joined, joinedErr)
		}
		if err != nil {
			return
		}
		again, err := ParseExtensions([]string{writeExtensions(list)})
		if err != nil || !reflect.DeepEqual(again, list) {
			t.Fatalf("%q gives %v, %v; it was %v", writeExtensions(list), again, err, list)
		}
	})
}

func writeExtensions(list []Extension) string {
	var b strings.Builder
	for _, e := range list {
		b.WriteString(", " + e.Name)
		for _, p := range e.Params {
			b.WriteString("; " + p.Name)
			if p.HasValue {
				b.WriteString("=" + p.Value)
			}
		}
	}
	return b.String()
}
