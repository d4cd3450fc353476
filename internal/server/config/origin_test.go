package config

import "testing"

func TestOriginPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, origin string
		matches         bool
	}{
		{"https://example.com", "https://example.com", true},
		{"https://Example.com:443", "https://example.COM", true},
		{"https://example.com", "http://example.com", false},
		{"https://example.com", "https://example.com:8443", false},
		{"https://example.com", "https://evil.example.com", false},
		{"https://example.com", "https://example.com.evil.net", false},
		{"https://example.com:*", "https://example.com:8443", true},
		{"https://*.example.com", "https://a.b.example.com", true},
		{"https://*.example.com", "https://example.com", false},
		{"https://*.example.com", "https://evilexample.com", false},
		{"https://*.example.com", "https://.example.com", false},
		{"http://localhost:*", "http://localhost:3000", true},
		{"http://[::1]:3000", "http://[::1]:3000", true},
		{"https://example.com", "null", false},
		{"https://example.com", "https://example.com/", false},
		{"https://example.com", "https://user@example.com", false},
		{"https://example.com", "", false},
	} {
		p, err := parseOriginPattern(c.pattern)
		if err != nil || p.Matches(c.origin) != c.matches {
			t.Errorf("%s and %q: not %v (%v)", c.pattern, c.origin, c.matches, err)
		}
	}
	for _, bad := range []string{
		"", "*", "null", "example.com", "https://", "https://*", "https://*.", "https://a.*.b", "wss://example.com", "https://example.com/",
		"https://example.com:0", "https://example.com:99999", "https://[::1", "https://ex ample.com", "https://exämple.com", "https://*..com", "https://[127.0.0.1]",
	} {
		if p, err := parseOriginPattern(bad); err == nil {
			t.Errorf("%q is a pattern: %+v", bad, p)
		}
	}
}
