package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// We fetch key sets ourselves, with some hundred lines, since it is where other servers were attacked: a library that looks for a key
// by its `kid` in all sets at once, as the common one does, lets one issuer sign for another; and what bounds the answer, the
// redirects, the frequency and the age must be seen in one place.

const (
	fetchTimeout    = 5 * time.Second
	maxSetBytes     = 256 << 10
	maxRedirects    = 3
	maxSameKey      = 16               // keys that are tried for one token
	fetchInterval   = 10 * time.Second // no earlier than so long after a fetch comes the next
	refreshAfter    = 15 * time.Minute // keys of that age are fetched again when they are needed
	maxPublishedAge = 24 * time.Hour   // as old as that they are not used any more, if the issuer cannot be reached
)

// issuer is one that publishes its keys. It never changes, but for the cache in set.
type issuer struct {
	prefix     string
	algorithms []string
	set        *remoteSet
}

// find returns the issuer's keys with an id, or all if id is empty, for an algorithm.
func (s *issuer) find(ctx context.Context, id, algorithm string) ([]*key, error) {
	published, err := s.set.keys(ctx, func(k *key) bool { return k.algorithm == algorithm && (id == "" || k.id == id) })
	if err != nil {
		return nil, err
	}
	keys := make([]*key, 0, len(published))
	for _, k := range published[:min(len(published), maxSameKey)] {
		keys = append(keys, &key{id: k.id, algorithm: k.algorithm, prefix: s.prefix, public: k.public})
	}
	return keys, nil
}

// remoteSet is the key set of one address, of one issuer: nothing is shared with another.
type remoteSet struct {
	url    string
	client *http.Client
	logger *slog.Logger

	mu       sync.Mutex
	cached   []*key        // guarded by mu, as is all that follows
	fetched  time.Time     // when cached was
	tried    time.Time     // when the last fetch began
	fetching chan struct{} // closed when the fetch that is under way ends; nil: there is none
}

func newRemoteSet(address string, transport http.RoundTripper, logger *slog.Logger) *remoteSet {
	return &remoteSet{url: address, logger: logger, client: &http.Client{Transport: transport, CheckRedirect: sameHost}}
}

// sameHost follows an issuer within its own house only.
func sameHost(next *http.Request, via []*http.Request) error {
	first := via[0].URL
	if len(via) > maxRedirects {
		return errors.New("too many redirects")
	}
	if next.URL.Scheme != first.Scheme || next.URL.Host != first.Host {
		return fmt.Errorf("it redirects to another host, %s", next.URL.Redacted())
	}
	return nil
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:       http.ProxyFromEnvironment,
		DialContext: (&net.Dialer{Timeout: fetchTimeout}).DialContext, TLSHandshakeTimeout: fetchTimeout,
		MaxResponseHeaderBytes: 64 << 10, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true,
	}
}

// keys returns the wanted keys. It fetches the set when they are not there, but not too often; when the set is old, it is
// fetched besides.
func (s *remoteSet) keys(ctx context.Context, wanted func(*key) bool) ([]*key, error) {
	s.mu.Lock()
	found, age := s.lookup(wanted)
	var wait <-chan struct{}
	if len(found) == 0 || age > refreshAfter {
		wait = s.fetch()
	}
	s.mu.Unlock()
	if len(found) > 0 {
		return found, nil
	}
	if wait != nil {
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, unreachable()
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, _ = s.lookup(wanted)
	if len(found) == 0 && s.fetched.Before(s.tried) {
		return nil, unreachable() // it may well have the key
	}
	return found, nil
}

func unreachable() error {
	return &hub.Error{Code: hub.CodeUnavailable, Message: "the token cannot be checked now: its issuer does not answer", Retry: fetchInterval}
}

// lookup is called with mu held.
func (s *remoteSet) lookup(wanted func(*key) bool) (found []*key, age time.Duration) {
	age = time.Since(s.fetched)
	if s.cached == nil || age > maxPublishedAge {
		return nil, age
	}
	for _, k := range s.cached {
		if wanted(k) {
			found = append(found, k)
		}
	}
	return found, age
}

// fetch begins a fetch, if it is time for one, and returns what is closed at its end; nil: there is nothing to wait for. It is called
// with mu held. The fetch is nobody's in particular, so it goes on when the client for which it began goes away.
func (s *remoteSet) fetch() <-chan struct{} {
	if s.fetching != nil {
		return s.fetching
	}
	if !s.tried.IsZero() && time.Since(s.tried) < fetchInterval {
		return nil
	}
	s.tried = time.Now()
	done := make(chan struct{})
	s.fetching = done
	go func() {
		keys, err := s.download()
		s.mu.Lock()
		defer s.mu.Unlock()
		if err != nil {
			s.logger.Warn("the keys of an issuer cannot be had", "url", s.url, "error", err)
		} else {
			s.cached, s.fetched = keys, time.Now()
		}
		s.fetching = nil
		close(done)
	}()
	return done
}

func (s *remoteSet) download() ([]*key, error) {
	ctx, cancel := context.WithTimeout(context.Background(), fetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/jwk-set+json, application/json")
	response, err := s.client.Do(request)
	if err != nil {
		var wrapped *url.Error
		if errors.As(err, &wrapped) {
			err = wrapped.Err // the address is in the log already
		}
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the answer has the status %s", response.Status)
	}
	content, err := io.ReadAll(io.LimitReader(response.Body, maxSetBytes+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxSetBytes {
		return nil, fmt.Errorf("the answer has more than %d bytes", maxSetBytes)
	}
	return parseSet(content)
}
