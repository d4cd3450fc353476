package conformance

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// referenceClient is an echo client that obeys every rule, but for its fault. It shares the reference server's half of the
// protocol behind the handshake.
func referenceClient(f fault) EchoFunc {
	srv := &reference{fault: f, down: make(chan struct{}), client: true}
	return func(ctx context.Context, rawURL string) error {
		u, err := url.Parse(rawURL)
		if err != nil {
			return err
		}
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		c := &refConn{reference: srv, conn: conn, r: bufio.NewReader(conn)}
		if err := c.handshake(u); err != nil {
			return err
		}
		c.talk(ctx)
		return nil
	}
}

const referenceKey = "MDEyMzQ1Njc4OWFiY2RlZg=="

func (c *refConn) handshake(u *url.URL) error {
	q := request{line: "GET " + u.RequestURI() + " HTTP/1.1", lines: []string{
		"Host: " + u.Host, "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: " + referenceKey, "Sec-WebSocket-Version: 13",
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
	}}
	edits := map[fault]edit{
		"sends a short key":     replaced("Sec-WebSocket-Key", "Sec-WebSocket-Key: c2hvcnQ="),
		"asks for version 8":    replaced("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8"),
		"sends no Host port":    replaced("Host", "Host: 127.0.0.1"),
		"forgets Connection":    replaced("Connection", "Connection: close"),
		"offers no compression": without("Sec-WebSocket-Extensions"),
	}
	if e := edits[c.fault]; e != nil {
		e(&q.line, &q.lines)
	}
	if _, err := c.conn.Write(head(q.line, q.lines)); err != nil {
		return err
	}
	raw, err := readHead(c.r)
	if err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(string(raw))), nil)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	return c.check101(&q, resp)
}

// check101 has the rules of section 4.1 on the answer.
func (c *refConn) check101(q *request, resp *http.Response) error {
	h := resp.Header
	switch {
	case resp.StatusCode != 101 && !c.has("accepts any status"):
		return errors.New("status")
	case !strings.EqualFold(h.Get("Upgrade"), "websocket") && !c.has("needs no Upgrade"):
		return errors.New("upgrade")
	case !hasToken(h, "Connection", "upgrade") && !c.has("needs no Connection"):
		return errors.New("connection")
	case h.Get("Sec-Websocket-Accept") != acceptKey(q.value("Sec-WebSocket-Key")) && !c.has("takes any Accept"):
		return errors.New("accept")
	case h.Get("Sec-Websocket-Protocol") != "" && !c.has("takes any subprotocol"):
		return errors.New("subprotocol")
	}
	answer := h.Get("Sec-Websocket-Extensions")
	if answer == "" {
		return nil
	}
	if _, params, _ := strings.Cut(answer, ";"); strings.Contains(params, "client_max_window_bits") && !strings.Contains(params, "client_max_window_bits=") && !c.has("takes any extension") {
		return errors.New("client_max_window_bits without a value")
	}
	agreed, err := (&terms{clientHint: true}).confirm(answer)
	switch {
	case err != nil && c.has("takes any extension"):
		return nil
	case err != nil:
		return err
	}
	c.agreed, c.squeeze, c.expand = agreed, agreed.compressor(serverSide), agreed.decompressor(serverSide)
	if c.has("ignores the window") {
		c.squeeze.bits = 15
	}
	return nil
}

func TestReferenceClientIsStrict(t *testing.T) {
	report, err := TestClient(context.Background(), referenceClient(""), &Options{SkipLarge: true, Agent: "reference"})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range report.Compare(Expected{
		"7692-7.1-68": {Unimplemented, "the reference client offers client_max_window_bits"},
	}) {
		t.Error(d)
	}
	t.Log(report.Summary())
}

// clientMutants are faults of clients.
var clientMutants = []struct {
	fault fault
	only  string
	want  Verdict
}{
	{"sends a short key", "6455-4.1-*", Failed},
	{"asks for version 8", "6455-4.1-*", Failed},
	{"sends no Host port", "6455-4.1-*", Failed},
	{"forgets Connection", "6455-4.1-*", Failed},
	{"offers no compression", "7692-7.2-*", Unimplemented},
	{"accepts any status", "6455-4.1-*", Failed},
	{"needs no Upgrade", "6455-4.1-*", Failed},
	{"needs no Connection", "6455-4.1-*", Failed},
	{"takes any Accept", "6455-4.1-*", Failed},
	{"takes any subprotocol", "6455-4.1-*", Failed},
	{"takes any extension", "7692-7.1-*", Failed},
	{"accepts masked frames", "6455-5.1-*", Failed},
	{"sends unmasked frames", "6455-5.2-0*", Failed},
	{"uses one key", "6455-5.3-*", Failed},
	{"skips UTF-8", "6455-8.1-*", Failed},
	{"looks at text at the end", "6455-8.1-*", NonStrict},
	{"drops TCP", "6455-5.4-*", NonStrict},
	{"answers every close with 1000", "6455-7.4.1-*", NonStrict},
	{"answers no close", "6455-5.5.1-*", Failed},
	{"echoes any code", "6455-7.4.2-*", Failed},
	{"answers pings with nothing in it", "6455-5.5.2-*", Failed},
	{"echoes fragments out of order", "6455-5.4-*", Failed},
	{"ignores reserved bits", "6455-5.2-1*", Failed},
	{"accepts a message in a message", "6455-5.4-*", Failed},
	{"ignores the window", "7692-7.1.2-*", Failed},
	{"stops at a final block", "7692-7.2.3-*", Failed},
	{"delivers corrupt data", "7692-7.2.2-*", Failed},
}

func TestClientMutantsAreFound(t *testing.T) {
	for _, m := range clientMutants {
		t.Run(string(m.fault), func(t *testing.T) {
			t.Parallel()
			report, err := TestClient(context.Background(), referenceClient(m.fault), quick(m.only))
			if err != nil {
				t.Fatal(err)
			}
			if report.Count(m.want) == 0 {
				t.Errorf("no case of %s is %s: %s", m.only, m.want, report.Summary())
			}
		})
	}
}

// The paths that existing test clients use.
func TestPathsOfExistingClients(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	reports := make(chan *Report, 1)
	c := &Client{Options: Options{Only: []string{"6455-5.5.3-0[12]"}}, OnReport: func(r *Report) { reports <- r }}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- c.Serve(ctx, ln) }()
	base := "ws://" + ln.Addr().String()
	o, _ := (&Options{}).withDefaults()
	get := func(path string) string {
		t.Helper()
		s, err := ask(ctx, base+path, o)
		if err != nil {
			t.Fatal(path, err)
		}
		return s
	}
	if n := get("/getCaseCount"); n != "2" {
		t.Errorf("getCaseCount: %q", n)
	}
	if info := get("/getCaseInfo?case=2"); info != `{"description":"a pong of 125 bytes that nobody asked for","id":"6455-5.5.3-02"}` {
		t.Errorf("getCaseInfo: %s", info)
	}
	if s := get("/getCaseStatus?case=1&agent=a"); s != `{"behavior":"MISSING"}` {
		t.Errorf("getCaseStatus before: %s", s)
	}
	if err := referenceClient("")(ctx, base+"/runCase?case=1&agent=a"); err != nil {
		t.Error(err)
	}
	if err := referenceClient("")(ctx, base+"/case?n=2&agent=a"); err != nil {
		t.Error(err)
	}
	get("/updateReports?agent=a")
	if r := <-reports; r.Agent != "a" || len(r.Results) != 2 || !r.OK() {
		t.Errorf("report %+v", r)
	}
	if s := get("/getCaseStatus?case=1&agent=a"); s != `{"behavior":"OK"}` {
		t.Errorf("getCaseStatus after: %s", s)
	}
	for _, bad := range []string{"/case?n=3&agent=a", "/case?n=0&agent=a", "/case", "/elsewhere"} {
		if _, err := ask(ctx, base+bad, o); err == nil {
			t.Errorf("%s was served", bad)
		}
	}
	resp, err := http.Get("http://" + ln.Addr().String() + "/cases")
	if err != nil {
		t.Fatal(err)
	}
	p, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	if string(p) != "2" {
		t.Errorf("cases over plain HTTP: %q", p)
	}
	cancel()
	if err := <-served; err != nil {
		t.Error(err)
	}
}
