package websocket

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
)

func redirectTo(location string) func(net.Conn, string) {
	return func(conn net.Conn, _ string) {
		fmt.Fprintf(conn, "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 3\r\n\r\n", location)
	}
}

// RFC 9110, section 15.4, and the limit on how many are followed.
func TestDialRedirects(t *testing.T) {
	server := startDialServer(t, func(conn net.Conn, request string) {
		path := strings.Fields(request)[1]
		var left int
		if n, _ := fmt.Sscanf(path, "/%d", &left); n == 1 && left > 0 {
			status := []int{301, 302, 303, 307, 308}[left%5]
			fmt.Fprintf(conn, "HTTP/1.1 %d Go\r\nLocation: %d\r\n\r\n", status, left-1)
			return
		}
		acceptAll(conn, request)
	})
	for _, c := range []struct {
		max, needed int
		ok          bool
	}{{0, 5, true}, {0, 6, false}, {1, 1, true}, {1, 2, false}, {9, 9, true}, {-1, 0, true}, {-1, 1, false}} {
		o := direct()
		o.MaxRedirects = c.max
		e, err := shake(t.Context(), fmt.Sprintf("ws://%s/%d", server.address(), c.needed), o)
		if (err == nil) != c.ok {
			t.Errorf("MaxRedirects %d, %d redirects: %v", c.max, c.needed, err)
		}
		if err == nil {
			e.conn.Close()
			continue
		}
		refused, ok := errors.AsType[*HandshakeError](err)
		if !ok || !isRedirect(refused.Status) || !strings.Contains(err.Error(), "MaxRedirects") {
			t.Errorf("MaxRedirects %d: error is %v", c.max, err)
		}
	}
	server.waitClosed()
}

func TestDialRedirectTargets(t *testing.T) {
	for _, c := range []struct{ base, location, want string }{
		{"ws://h/a/b?q", "c", "ws://h/a/c"},
		{"ws://h/a/b?q", "/c?d", "ws://h/c?d"},
		{"ws://h/a/b?q", "?d", "ws://h/a/b?d"},
		{"ws://h/a", "//other/x", "ws://other/x"},
		{"wss://h/a", "//other:444/x", "wss://other:444/x"},
		{"ws://h/a", "https://h/x", "wss://h/x"},
		{"ws://h/a", "wss://h/x#frag", "wss://h/x"},
		{"ws://h/a", "ws://evil:pw@other/x", "ws://other/x"},
		{"ws://[fe80::1%25eth0]/a", "b", "ws://[fe80::1]/b"},
	} {
		base, err := parseTarget(c.base)
		if err != nil {
			t.Fatal(err)
		}
		next, err := base.resolve(c.location)
		if err != nil {
			t.Errorf("%s: %v", c.location, err)
			continue
		}
		if got := next.scheme("ws", "wss") + "://" + next.hostHeader() + next.request; got != c.want || next.user != nil {
			t.Errorf("%s from %s is %s (user %v), want %s", c.location, c.base, got, next.user, c.want)
		}
		if next.serverName() == base.serverName() && next.host != base.host {
			t.Errorf("%s lost the zone of %s: %s", c.location, base.host, next.host)
		}
	}
}

func TestDialRedirectRefused(t *testing.T) {
	for _, c := range []struct{ location, says string }{
		{"", "Location"},
		{"ftp://h/", `scheme "ftp"`},
		{"ws://h:99999/", "port"},
		{"http://%zz/", "invalid Location"},
	} {
		server := startDialServer(t, redirectTo(c.location))
		_, err := shake(t.Context(), "ws://"+server.address()+"/", direct())
		if refused, ok := errors.AsType[*HandshakeError](err); !ok || refused.Status != 302 || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: error is %v, want one about %q", c.location, err, c.says)
		}
		server.waitClosed()
	}
}

// What was meant for one origin must not reach another, nor come back once a
// stranger led the way.
func TestDialRedirectKeepsSecrets(t *testing.T) {
	var home *dialServer
	stranger := startDialServer(t, func(conn net.Conn, request string) {
		if strings.HasPrefix(request, "GET /back ") {
			redirectTo("ws://"+home.address()+"/end")(conn, request)
			return
		}
		acceptAll(conn, request)
	})
	home = startDialServer(t, func(conn net.Conn, request string) {
		switch strings.Fields(request)[1] {
		case "/near":
			redirectTo("/end")(conn, request)
		case "/away":
			redirectTo("ws://x:y@"+stranger.address()+"/end")(conn, request)
		case "/there-and-back":
			redirectTo("ws://"+stranger.address()+"/back")(conn, request)
		default:
			acceptAll(conn, request)
		}
	})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	jar.SetCookies(&url.URL{Scheme: "http", Host: "127.0.0.1"}, []*http.Cookie{{Name: "jar", Value: "1"}})
	secrets := []string{"Authorization: ", "own-cookie", "X-Api-Key: ", "Host: virtual.example"}
	check := func(request, where string, want bool) {
		t.Helper()
		for _, secret := range secrets {
			if strings.Contains(request, secret) != want {
				t.Errorf("%s: %q in the request is %v, want %v", where, secret, !want, want)
			}
		}
		if !strings.Contains(request, "Origin: http://o.example") || !strings.Contains(request, "User-Agent: mine") {
			t.Errorf("%s: Origin and User-Agent are missing in %q", where, request)
		}
	}
	for _, path := range []string{"/near", "/away", "/there-and-back"} {
		o := direct()
		o.Jar = jar
		o.Header = http.Header{"Cookie": {"own-cookie=1"}, "X-Api-Key": {"k"}, "Host": {"virtual.example"}, "Origin": {"http://o.example"}, "User-Agent": {"mine"}}
		mustShake(t, "ws://user:pass@"+home.address()+path, o)
		atHome, away := home.seen(), stranger.seen()
		switch path {
		case "/near":
			check(atHome[0], "before the redirect", true)
			check(atHome[1], "same origin", true)
		case "/away":
			check(away[0], "another port", false)
		case "/there-and-back":
			check(away[1], "the stranger", false)
			check(atHome[len(atHome)-1], "back home", false)
		}
	}
	// The jar decides for itself; its cookies know no port (RFC 6265, section 8.5).
	if got := requestField(stranger.seen()[0], "Cookie"); got != "jar=1" {
		t.Errorf("Cookie at the stranger is %q", got)
	}
}

func TestDialRedirectNeverDowngrades(t *testing.T) {
	plain := startDialServer(t, acceptAll)
	secure, roots := startTLSDialServer(t, redirectTo("ws://"+plain.address()+"/"))
	o := direct()
	o.TLS = roots
	_, err := shake(t.Context(), "wss://"+secure.address()+"/", o)
	if refused, ok := errors.AsType[*HandshakeError](err); !ok || refused.Status != 302 || !strings.Contains(err.Error(), "not encrypted") {
		t.Errorf("error is %v", err)
	}
	if len(plain.seen()) != 0 {
		t.Error("the plain server was asked")
	}
	secure.waitClosed()
}

func TestDialRedirectUpgrades(t *testing.T) {
	secure, roots := startTLSDialServer(t, acceptAll)
	plain := startDialServer(t, redirectTo("https://"+secure.address()+"/x"))
	o := direct()
	o.TLS = roots
	mustShake(t, "ws://user:pass@"+plain.address()+"/", o)
	if got := secure.seen()[0]; !strings.HasPrefix(got, "GET /x ") || strings.Contains(got, "Authorization") {
		t.Errorf("request is %q", got)
	}
}

// A proxy's answer must not send the client elsewhere.
func TestDialProxyCannotRedirect(t *testing.T) {
	elsewhere := startDialServer(t, acceptAll)
	portal := startDialServer(t, redirectTo("ws://"+elsewhere.address()+"/"))
	o := &DialOptions{Proxy: fixedProxy("http://" + portal.address())}
	_, err := shake(t.Context(), "ws://h.example/", o)
	if refused, ok := errors.AsType[*HandshakeError](err); !ok || refused.Status != 302 || !strings.Contains(err.Error(), "proxy") {
		t.Errorf("error is %v", err)
	}
	if len(elsewhere.seen()) != 0 {
		t.Error("the redirect was followed")
	}
}

// A body that never comes does not delay a redirect.
func TestDialRedirectIgnoresBody(t *testing.T) {
	server := startDialServer(t, func(conn net.Conn, request string) {
		if strings.HasPrefix(request, "GET / ") {
			io.WriteString(conn, "HTTP/1.1 307 Go\r\nLocation: /x\r\nContent-Length: 100\r\n\r\n")
			return
		}
		acceptAll(conn, request)
	})
	mustShake(t, "ws://"+server.address()+"/", direct())
}
