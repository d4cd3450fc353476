package server

import (
	"crypto/tls"
	"errors"
	"strings"
	"sync/atomic"

	"github.com/duplex-websocket/duplex/internal/server/config"
)

// part is something that a reload changes while it is in use.
type part struct {
	name  string
	apply func(*config.Config) error // all or nothing
}

// reloadable lists what takes new settings without dropping a connection. What reads files comes first: it may fail.
func (n *node) reloadable() []part {
	return []part{
		{"tls", n.certificates.load},
		{"tokens", func(c *config.Config) error { return n.auth.Reload(c.Tokens) }},
		{"webhooks", func(c *config.Config) error { return n.hooks.Reload(c.Webhooks) }},
		{"api", func(c *config.Config) error { return n.api.Reload(c.API) }},
		{"topics", func(c *config.Config) error { return n.hub.SetTopics(n.rules(c)) }},
		{"limits", n.setLimits},
		{"origins and proxies", func(c *config.Config) error { n.gate.set(c); return nil }},
		{"log", func(c *config.Config) error { n.level.Set(logLevels[c.Log.Level]); return nil }},
	}
}

// reload reads the configuration again. One that is wrong changes nothing.
func (n *node) reload() {
	was := n.current()
	is, err := was.Reload()
	if err == nil {
		err = n.apply(was.Config, is.Config)
	}
	if err != nil {
		for _, line := range problems(err) {
			n.logger.Error("the configuration was not reloaded, the old one still holds: " + line)
		}
		return
	}
	n.loaded.Store(is)
	changed, _ := config.Changes(was.Config, is.Config)
	n.logger.Info("the configuration was reloaded", "changed", strings.Join(changed, " "))
	if _, restart := config.Changes(n.booted, is.Config); len(restart) > 0 {
		n.logger.Warn("some settings take effect only when the server is started again", "settings", strings.Join(restart, " "))
	}
	for _, warning := range is.Warnings {
		n.logger.Warn("the configuration is odd: " + warning)
	}
}

// apply changes all parts or, when one of them fails, none.
func (n *node) apply(was, is *config.Config) error {
	if err := n.stillSafe(is); err != nil {
		return err
	}
	for i, p := range n.parts {
		err := p.apply(is)
		if err == nil {
			continue
		}
		err = setupError(p.name, err)
		for _, done := range n.parts[:i] {
			if undo := done.apply(was); undo != nil {
				err = errors.Join(err, setupError("going back to the old "+done.name, undo))
			}
		}
		return err
	}
	return nil
}

// stillSafe is checkSafety for the address that the server listens on, and for how it was started.
func (n *node) stillSafe(is *config.Config) error {
	effective := *is
	effective.Listen, effective.InsecureAnonymous = n.booted.Listen, n.booted.InsecureAnonymous
	if n.certificates.used() != (is.TLS.Cert != "") {
		return &SetupError{Problem: "a server with a certificate cannot go on without one, nor one without begin to have one", Advice: "start it again"}
	}
	return checkSafety(&effective)
}

// problems makes one line of each thing that is wrong.
func problems(err error) []string {
	if wrong, ok := errors.AsType[*config.Error](err); ok {
		lines := make([]string, len(wrong.Problems))
		for i, p := range wrong.Problems {
			lines[i] = p.String()
		}
		return lines
	}
	return strings.Split(err.Error(), "\n")
}

// certificates holds the server's certificate, which may change between handshakes.
type certificates struct {
	current atomic.Pointer[tls.Certificate]
}

// load reads the files, if there are any.
func (c *certificates) load(settings *config.Config) error {
	if settings.TLS == (config.TLS{}) {
		return nil
	}
	certificate, err := loadCertificate(settings.TLS.Cert, settings.TLS.Key)
	if err != nil {
		return err
	}
	c.current.Store(&certificate)
	return nil
}

func (c *certificates) used() bool { return c.current.Load() != nil }

// config returns nil when there is no certificate.
func (c *certificates) config() *tls.Config {
	if !c.used() {
		return nil
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}
