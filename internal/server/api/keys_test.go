package api

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/duplex-websocket/duplex/hub"
)

func TestKeys(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(file, []byte("# of the shop\nkey-of-the-shop-0123456789\n\n  key-of-the-bank-0123456789\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := serve(t, func(c *Config, o *Options) {
		c.KeyFile = file
		o.Local = func() bool { return true } // does not matter when there are keys
	})
	for _, c := range []struct {
		name   string
		header []string
		code   hub.Code // empty: let in
	}{
		{"bearer", nil, ""},
		{"bearer in small letters", []string{"Authorization", "bearer " + apiKey}, ""},
		{"header", []string{"Authorization", "", "X-API-Key", apiKey}, ""},
		{"from the file", []string{"Authorization", "Bearer key-of-the-shop-0123456789"}, ""},
		{"from the file, with white space around", []string{"Authorization", "Bearer key-of-the-bank-0123456789"}, ""},
		{"a page with a key", []string{"Origin", "https://evil.example"}, ""},
		{"none", []string{"Authorization", ""}, codeKeyMissing},
		{"basic", []string{"Authorization", "Basic " + apiKey}, codeKeyMissing},
		{"wrong", []string{"Authorization", "Bearer " + apiKey + "x"}, codeKeyInvalid},
		{"beginning", []string{"Authorization", "Bearer " + apiKey[:23]}, codeKeyInvalid},
		{"comment", []string{"Authorization", "Bearer # of the shop"}, codeKeyInvalid},
		{"large", []string{"Authorization", "Bearer " + strings.Repeat("x", 10000)}, codeKeyInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.T = t
			a := s.do("GET", "/api/topics", nil, c.header...)
			if c.code == "" {
				if a.StatusCode != 200 {
					t.Errorf("%s %s", a.Status, a.body)
				}
				return
			}
			s.wantError(a, 401, c.code, "key")
			if a.Header.Get("WWW-Authenticate") == "" || strings.Contains(a.body, apiKey[:8]) {
				t.Errorf("%v %s", a.Header, a.body)
			}
			// Whoever has no key learns nothing else either.
			s.wantError(s.do("GET", "/api/nothing", nil, c.header...), 401, c.code, "key")
			s.wantError(s.do("PUT", "/api/topics", nil, c.header...), 401, c.code, "key")
		})
	}
}

func TestGuard(t *testing.T) {
	s := serve(t, nil)
	guarded := s.api.Guard(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	for key, status := range map[string]int{apiKey: http.StatusTeapot, "": 401, "wrong": 401} {
		r := httptest.NewRequest("GET", "/metrics", nil)
		r.Header.Set("X-API-Key", key)
		w := httptest.NewRecorder()
		if guarded.ServeHTTP(w, r); w.Code != status {
			t.Errorf("%q: %d", key, w.Code)
		}
	}
}

func TestReload(t *testing.T) {
	s := serve(t, nil)
	if err := s.api.Reload(Config{Keys: []string{"new-key-0123456789abcdef"}}); err != nil {
		t.Fatal(err)
	}
	s.wantError(s.do("GET", "/api/topics", nil), 401, codeKeyInvalid, "")
	if err := s.api.Reload(Config{Keys: []string{"short"}}); err == nil {
		t.Error("a short key was accepted")
	}
	if a := s.do("GET", "/api/topics", nil, "X-API-Key", "new-key-0123456789abcdef", "Authorization", ""); a.StatusCode != 200 {
		t.Errorf("after a failed reload: %s", a.Status)
	}
}

// TestWithoutKeys: nobody comes in, but for programs on this machine if the server lets anyone in there.
func TestWithoutKeys(t *testing.T) {
	local := true
	s := serve(t, func(c *Config, o *Options) {
		c.Keys = nil
		o.Local = func() bool { return local }
	})
	_, port, err := net.SplitHostPort(strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	for name, header := range map[string][]string{
		"address": nil, "name": {"Host", "localhost:" + port}, "IPv6": {"Host", "[::1]:" + port}, "no port": {"Host", "127.0.0.1"},
		"capital": {"Host", "LocalHost"},
	} {
		if a := s.do("GET", "/api/topics", nil, append(header, "Authorization", "")...); a.StatusCode != 200 {
			t.Errorf("%s: %s %s", name, a.Status, a.body)
		}
	}
	for name, header := range map[string][]string{
		"rebound name": {"Host", "evil.example:" + port}, "rebound name like ours": {"Host", "localhost.evil.example"},
		"0.0.0.0":           {"Host", "0.0.0.0:" + port},
		"address elsewhere": {"Host", "192.168.1.2:" + port}, "page": {"Origin", "http://127.0.0.1:" + port}, "file": {"Origin", "null"},
		"navigation": {"Sec-Fetch-Site", "none"}, "image": {"Sec-Fetch-Mode", "no-cors"}, "link": {"Referer", "http://evil.example/"},
		"cookie": {"Cookie", "a=b"},
		"proxy":  {"X-Forwarded-For", "203.0.113.7"}, "proxy 2": {"Forwarded", "for=203.0.113.7"}, "proxy 3": {"Via", "1.1 x"},
		"proxy 4": {"X-Real-IP", "203.0.113.7"},
	} {
		s.wantError(s.do("POST", "/api/publish", `{"topic":"a","data":1}`, header...), 403, codeNoKeys,
			"configure one with api.keys or api.key-file")
		s.wantError(s.do("GET", "/api/topics", nil, header...), 403, codeNoKeys, name[:0])
	}
	for name, change := range map[string]func(*http.Request){
		"another machine":       func(r *http.Request) { r.RemoteAddr = "203.0.113.7:1234" },
		"another machine, IPv6": func(r *http.Request) { r.RemoteAddr = "[2001:db8::1]:1234" },
		"no address":            func(r *http.Request) { r.RemoteAddr = "@" },
		"HTTP/1.0":              func(r *http.Request) { r.ProtoMinor = 0 },
		"no host":               func(r *http.Request) { r.Host = "" },
	} {
		r := httptest.NewRequest("GET", "http://127.0.0.1/api/topics", nil)
		r.RemoteAddr = "127.0.0.1:1"
		change(r)
		w := httptest.NewRecorder()
		if s.api.ServeHTTP(w, r); w.Code != 403 {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	local = false
	s.wantError(s.do("GET", "/api/topics", nil), 403, codeNoKeys, "")
	s.api.options.Local = nil
	s.wantError(s.do("GET", "/api/topics", nil), 403, codeNoKeys, "")
}

func TestConfig(t *testing.T) {
	folder := t.TempDir()
	file := func(name, content string) string {
		name = filepath.Join(folder, name)
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	for says, c := range map[string]Config{
		"keys[1]: a key has 20 to 255 characters, not 5": {Keys: []string{apiKey, "short"}},
		"not 256":                                   {Keys: []string{strings.Repeat("x", 256)}},
		"visible ASCII":                             {Keys: []string{"a key with spaces in it, many"}},
		"keys: at most 64, not 65":                  {Keys: make([]string, 65)},
		"max-body: between 1 and 67108864":          {MaxBody: -1},
		"max-topics: between 1 and 100000 , not -1": {MaxTopics: -1},
		"key-file: open ":                           {KeyFile: filepath.Join(folder, "missing")},
		"holds no key":                              {KeyFile: file("a", "# nothing\n\n")},
		"line 2: a key has 20":                      {KeyFile: file("b", "#\nshort\n")},
		"key-file: at most 64 keys":                 {KeyFile: file("c", strings.Repeat(apiKey+"\n", 65))},
		"key-file: read ":                           {KeyFile: folder},
	} {
		_, err := New(c, Options{})
		if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(says, " ,", ",")) {
			t.Errorf("%v without %q", err, says)
		}
	}
	if err := (Config{}).Validate(); err != nil {
		t.Error(err)
	}
}
