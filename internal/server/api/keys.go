package api

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"

	"github.com/duplex-websocket/duplex/hub"
)

// digest stands for a key, so that comparing takes the same time whatever is wrong with the other one.
type digest [sha256.Size]byte

const maxKeyFile = 1 << 20

func loadKeys(c Config) ([]digest, error) {
	var keys []digest
	for _, k := range c.Keys {
		keys = append(keys, sha256.Sum256([]byte(k)))
	}
	if c.KeyFile == "" {
		return keys, nil
	}
	f, err := os.Open(c.KeyFile)
	if err != nil {
		return nil, fmt.Errorf("key-file: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, fmt.Errorf("key-file: %w", err)
	}
	before := len(keys)
	for i, line := range bytes.Split(content, []byte("\n")) {
		line = bytes.TrimSpace(line)
		if len(line) == 0 || line[0] == '#' {
			continue
		}
		if err := checkKey(string(line)); err != nil {
			return nil, fmt.Errorf("key-file: %s, line %d: %w", c.KeyFile, i+1, err)
		}
		keys = append(keys, sha256.Sum256(line))
	}
	switch {
	case len(keys) == before:
		return nil, fmt.Errorf("key-file: %s holds no key", c.KeyFile)
	case len(keys) > maxKeys:
		return nil, fmt.Errorf("key-file: at most %d keys are allowed, not %d", maxKeys, len(keys))
	}
	return keys, nil
}

// mayUse lets whoever has a key in. Without any key configured nobody has one; then only programs on the same machine may come in, and
// only if the server lets anyone in there.
func (a *API) mayUse(c *call) error {
	if len(c.rules.keys) == 0 {
		if a.options.Local != nil && a.options.Local() && fromHere(c.Request) {
			return nil
		}
		return hub.Errorf(codeNoKeys, "the API has no key; configure one with api.keys or api.key-file")
	}
	given := c.Header.Get("X-API-Key")
	if scheme, key, _ := strings.Cut(c.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") {
		given = strings.TrimSpace(key)
	}
	if given == "" {
		return hub.Errorf(codeKeyMissing, `the API needs a key: send it as "Authorization: Bearer KEY" or as "X-API-Key: KEY"`)
	}
	if !c.rules.isKey(given) {
		return hub.Errorf(codeKeyInvalid, "the key is none of the API's")
	}
	return nil
}

// isKey compares with every key, in a time that tells nothing about them.
func (r *rules) isKey(given string) bool {
	hash := sha256.Sum256([]byte(given))
	right := 0
	for _, k := range r.keys {
		right |= subtle.ConstantTimeCompare(hash[:], k[:])
	}
	return right != 0
}

// IsKey reports whether a key is one of the API's.
func (a *API) IsKey(given string) bool { return a.rules.Load().isKey(given) }

// HasKeys reports whether the API has any key.
func (a *API) HasKeys() bool { return len(a.rules.Load().keys) > 0 }

// foreign are headers of requests that a page in a browser sent, or that came through a proxy.
var foreign = []string{
	"Origin", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest", "Referer", "Cookie",
	"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-Ip", "Via",
}

// fromHere reports whether a request was sent by a program on this machine for itself: not by a page of somebody else in a browser,
// which may reach loopback addresses under a name of its own too, and not by a proxy for somebody elsewhere.
func fromHere(r *http.Request) bool {
	for _, name := range foreign {
		if _, has := r.Header[name]; has {
			return false
		}
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() || !r.ProtoAtLeast(1, 1) { // proxies like to speak 1.0
		return false
	}
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}
