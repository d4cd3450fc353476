package config

import (
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"

	"github.com/duplex-websocket/duplex/hub"
)

// check finds what only the values together show to be wrong.
func (l *loader) check() {
	c := l.loaded.Config
	l.checkAddress("listen", c.Listen)
	if c.Admin.Listen != "" {
		l.checkAddress("admin.listen", c.Admin.Listen)
	}
	switch {
	case c.TLS.Cert != "" && c.TLS.Key == "":
		l.complainAt("tls.cert", "a certificate needs its key; give tls.key (--tls-key) too")
	case c.TLS.Cert == "" && c.TLS.Key != "":
		l.complainAt("tls.key", "a key needs its certificate; give tls.cert (--tls-cert) too")
	}
	for _, pattern := range c.Origins {
		if err := checkOrigin(pattern); err != nil {
			l.complainAt("origins", "%v", err)
		}
	}
	for _, proxy := range c.Proxies {
		if _, err := parseNetwork(proxy); err != nil {
			l.complainAt("proxies", "%v", err)
		}
	}
	l.checkPostgres()
	l.checkTopics(c.Topics)
	l.checkBus()
	l.adopt("tokens", c.Tokens.Validate())
	l.adopt("webhooks", c.Webhooks.Validate())
	l.adopt("api", c.API.Validate())
}

// adopt takes over what another package says about its part, each error beginning with the path of a setting in it.
func (l *loader) adopt(part string, err error) {
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range several.Unwrap() {
			l.adopt(part, one)
		}
		return
	}
	if err == nil {
		return
	}
	path, text, found := strings.Cut(err.Error(), ": ")
	if !found || strings.ContainsAny(path, " \"") {
		path, text = "", err.Error()
	}
	l.complainAt(join(part, path), "%s", text)
}

func (l *loader) checkAddress(path, address string) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		l.complainAt(path, "%q is not an address to listen on; write host:port, for instance 127.0.0.1:8080, or :8080 for every interface", address)
		return
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		l.complainAt(path, "%q is not a port; write a number from 1 to 65535, or 0 for any free port", port)
	}
}

// checkPostgres sees to it that no password is where everybody who reads the command line or the configuration finds it. Whether it is a
// connection string is for whoever connects to say.
func (l *loader) checkPostgres() {
	c := l.loaded.Config
	switch {
	case c.Postgres == "":
		return
	case c.PostgresFile != "":
		l.complainAt("postgres", "there is postgres-file (%s) too; give one of them", l.origin("postgres-file"))
	case HasPassword(c.Postgres):
		l.complainAt("postgres", "a password is seen by others here; write the same into a file that only the server reads, and give postgres-file (--postgres-file)")
	}
}

var passwordPair = regexp.MustCompile(`(?i)(^|[\s?&])(password|sslpassword)\s*=`)

// HasPassword reports whether a connection string has a password in it, as a URL or as pairs.
func HasPassword(dsn string) bool {
	// Not url.Parse, for which something else may be wrong with it.
	if _, rest, isURL := strings.Cut(dsn, "://"); isURL {
		authority, _, _ := strings.Cut(rest, "/")
		if at := strings.LastIndex(authority, "@"); at >= 0 && strings.Contains(authority[:at], ":") {
			return true
		}
	}
	return passwordPair.MatchString(dsn)
}

func (l *loader) checkTopics(topics []Topic) {
	for i, t := range topics {
		path := fmt.Sprintf("topics[%d]", i)
		if t.Pattern == "" {
			l.complainAt(path, "it has no pattern, which says for what topics it is; write for instance chat.* or >")
			continue
		}
		if err := hub.CheckPattern(t.Pattern); err != nil {
			l.complainAt(path+".pattern", "%v", err)
			continue
		}
		for j, earlier := range topics[:i] {
			if hub.CheckPattern(earlier.Pattern) == nil && hub.Covers(earlier.Pattern, t.Pattern) {
				l.loaded.Warnings = append(l.loaded.Warnings, fmt.Sprintf("%s: %s.pattern: %s never holds, as %s (%s) comes first and the first that matches holds",
					l.loaded.sources[path+".pattern"], path, t.Pattern, earlier.Pattern, l.loaded.sources[fmt.Sprintf("topics[%d].pattern", j)]))
				break
			}
		}
	}
}

// parseNetwork reads an address or a network.
func parseNetwork(text string) (netip.Prefix, error) {
	if address, err := netip.ParseAddr(text); err == nil && address.Zone() == "" {
		return netip.PrefixFrom(address.Unmap(), address.Unmap().BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return prefix, fmt.Errorf("%q is neither an address nor a network; write for instance 10.0.0.7 or 10.0.0.0/8", text)
	}
	return prefix.Masked(), nil
}

// ProxyNetworks returns Proxies as networks.
func (c *Config) ProxyNetworks() []netip.Prefix {
	var all []netip.Prefix
	for _, text := range c.Proxies {
		if prefix, err := parseNetwork(text); err == nil {
			all = append(all, prefix)
		}
	}
	return all
}
