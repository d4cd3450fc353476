// Package api is the HTTP interface of the server for programs: publish, ask, and end sessions. Its paths begin with /api.
package api

import (
	"cmp"
	"errors"
	"fmt"
)

// Config says who may use the API, and how much at once.
type Config struct {
	// Keys are accepted as "Authorization: Bearer KEY" or "X-API-Key: KEY": 20 to 255 visible ASCII characters each, at most 64.
	Keys []string `yaml:"keys"`
	// KeyFile holds further keys, one in a line. Empty lines and those that begin with # are left out.
	KeyFile string `yaml:"key-file"`

	MaxBody   int64 `yaml:"max-body"`   // bytes of a request; default 1 MiB
	MaxTopics int   `yaml:"max-topics"` // topics of one broadcast; default 1,000
}

const (
	minKey  = 20
	maxKey  = 255
	maxKeys = 64

	defaultMaxBody   = 1 << 20
	maxMaxBody       = 64 << 20
	defaultMaxTopics = 1000
	maxMaxTopics     = 100_000
)

func (c Config) withDefaults() Config {
	c.MaxBody = cmp.Or(c.MaxBody, defaultMaxBody)
	c.MaxTopics = cmp.Or(c.MaxTopics, defaultMaxTopics)
	return c
}

// Validate finds everything that is wrong with c by itself, without looking into files. Each error begins with the path of the
// setting, such as "keys[0]: ". No error repeats a key.
func (c Config) Validate() error {
	var errs []error
	if len(c.Keys) > maxKeys {
		errs = append(errs, fmt.Errorf("keys: at most %d, not %d", maxKeys, len(c.Keys)))
	}
	for i, k := range c.Keys {
		if err := checkKey(k); err != nil {
			errs = append(errs, fmt.Errorf("keys[%d]: %w", i, err))
		}
	}
	d := c.withDefaults()
	if d.MaxBody < 1 || d.MaxBody > maxMaxBody {
		errs = append(errs, fmt.Errorf("max-body: between 1 and %d bytes, not %d", maxMaxBody, c.MaxBody))
	}
	if d.MaxTopics < 1 || d.MaxTopics > maxMaxTopics {
		errs = append(errs, fmt.Errorf("max-topics: between 1 and %d, not %d", maxMaxTopics, c.MaxTopics))
	}
	return errors.Join(errs...)
}

// checkKey also keeps away what is no secret but a word somebody put there to see how it works.
func checkKey(key string) error {
	if len(key) < minKey || len(key) > maxKey {
		return fmt.Errorf("a key has %d to %d characters, not %d", minKey, maxKey, len(key))
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] >= 0x7f {
			return errors.New("a key consists of visible ASCII characters")
		}
	}
	return nil
}
