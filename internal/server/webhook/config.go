// Package webhook asks a backend over HTTP what a client may do: who it is, whether it may subscribe or publish, and what a
// request of it is answered. Every call is signed. When the backend does not answer as it should, the client is refused with
// unavailable: nothing gets through in silence.
package webhook

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// Config says which backend decides about what. A hook without a URL is not asked.
type Config struct {
	Connect   ConnectHook `yaml:"connect"`   // decides who a client is; it is told what the client's token says
	Subscribe TopicHook   `yaml:"subscribe"` // decides about subscriptions
	Publish   TopicHook   `yaml:"publish"`   // decides about publications, and may rewrite them
	Request   RequestHook `yaml:"request"`   // answers requests

	// SecretFile holds the key of the signatures: at least 32 bytes, as they are or in base64 behind "base64:". White space
	// around is left out. Needed as soon as there is a URL.
	SecretFile string `yaml:"secret-file"`

	Timeout     time.Duration `yaml:"timeout"`      // for one call, with what it waits for its turn; default 5 s, at most 30 s
	Concurrency int           `yaml:"concurrency"`  // calls at one time; default 64
	Queue       int           `yaml:"queue"`        // calls that wait for their turn; default 1,024; beyond that: unavailable
	MaxResponse int64         `yaml:"max-response"` // bytes of an answer; default 1 MiB

	// Insecure allows http addresses that are not loopback: others can then read and change what is said.
	Insecure bool `yaml:"insecure"`
}

// ConnectHook decides who a client is.
type ConnectHook struct {
	URL string `yaml:"url"`
	// Headers of the handshake that are passed on, besides Origin and User-Agent; for instance Cookie. At most 32.
	Headers []string `yaml:"headers"`
}

// TopicHook decides about what happens to topics.
type TopicHook struct {
	URL string `yaml:"url"`
	// Topics are the patterns that it is asked about. A subscription to a pattern is asked about when any topic that it could
	// match is. Default: all topics. At most 256.
	Topics []string `yaml:"topics"`
}

// RequestHook answers requests.
type RequestHook struct {
	URL     string   `yaml:"url"`
	Methods []string `yaml:"methods"` // patterns of the methods that it answers; default: all. At most 256
}

const (
	defaultTimeout     = 5 * time.Second
	maxTimeout         = 30 * time.Second
	defaultConcurrency = 64
	maxConcurrency     = 10_000
	defaultQueue       = 1024
	maxQueue           = 1_000_000
	defaultMaxResponse = 1 << 20
	maxMaxResponse     = 64 << 20
	maxPatterns        = 256
	maxHeaders         = 32
)

func (c Config) withDefaults() Config {
	c.Timeout = cmp.Or(c.Timeout, defaultTimeout)
	c.Concurrency = cmp.Or(c.Concurrency, defaultConcurrency)
	c.Queue = cmp.Or(c.Queue, defaultQueue)
	c.MaxResponse = cmp.Or(c.MaxResponse, defaultMaxResponse)
	return c
}

// Used reports whether any hook has a URL.
func (c Config) Used() bool {
	return c.Connect.URL != "" || c.Subscribe.URL != "" || c.Publish.URL != "" || c.Request.URL != ""
}

// Validate finds everything that is wrong with c by itself, without looking into files. Each error begins with the path of the
// setting, such as "publish.topics[0]: ".
func (c Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, h := range []struct{ path, url string }{
		{"connect", c.Connect.URL}, {"subscribe", c.Subscribe.URL}, {"publish", c.Publish.URL}, {"request", c.Request.URL},
	} {
		if h.url == "" {
			continue
		}
		if err := c.checkURL(h.url); err != nil {
			wrong("%s.url: %w", h.path, err)
		}
	}
	if c.Used() && c.SecretFile == "" {
		wrong("secret-file: is needed, so that the backend can see who asks; \"duplex token --new-secret\" makes one")
	}
	if len(c.Connect.Headers) > maxHeaders {
		wrong("connect.headers: at most %d, not %d", maxHeaders, len(c.Connect.Headers))
	}
	d := c.withDefaults()
	if d.Timeout < time.Millisecond || d.Timeout > maxTimeout {
		wrong("timeout: between 1ms and %v, not %v", maxTimeout, c.Timeout)
	}
	if d.Concurrency < 1 || d.Concurrency > maxConcurrency {
		wrong("concurrency: between 1 and %d, not %d", maxConcurrency, c.Concurrency)
	}
	if d.Queue < 1 || d.Queue > maxQueue {
		wrong("queue: between 1 and %d, not %d", maxQueue, c.Queue)
	}
	if d.MaxResponse < 1 || d.MaxResponse > maxMaxResponse {
		wrong("max-response: between 1 and %d bytes, not %d", maxMaxResponse, c.MaxResponse)
	}
	return errors.Join(append(errs, checkPatterns("subscribe.topics", c.Subscribe.Topics),
		checkPatterns("publish.topics", c.Publish.Topics), checkPatterns("request.methods", c.Request.Methods))...)
}

func checkPatterns(path string, patterns []string) error {
	if len(patterns) > maxPatterns {
		return fmt.Errorf("%s: at most %d, not %d", path, maxPatterns, len(patterns))
	}
	var errs []error
	for i, p := range patterns {
		if err := hub.CheckPattern(p); err != nil {
			errs = append(errs, fmt.Errorf("%s[%d]: %w", path, i, err))
		}
	}
	return errors.Join(errs...)
}

func (c Config) checkURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return fmt.Errorf("an address such as https://app.example.com/duplex is needed, not %q", address)
	case u.User != nil:
		return errors.New("a user in the address is not allowed: calls are signed")
	case u.Scheme == "http" && !c.Insecure && !loopback(u.Hostname()):
		return fmt.Errorf("%q can be read and changed on its way: use https, or say insecure: true", address)
	}
	return nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && ip.Unmap().IsLoopback()
}
