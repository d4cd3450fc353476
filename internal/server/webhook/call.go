package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/hub"
)

// The headers of a call, besides the usual ones.
const (
	headerEvent     = "Duplex-Event"     // which hook it is
	headerSignature = "Duplex-Signature" // t=SECONDS,v1=HEX: HMAC-SHA256 of "SECONDS.BODY"
)

// caller makes the calls of one Config. It is replaced when that is.
type caller struct {
	config  Config
	secret  []byte
	client  *http.Client
	turns   chan struct{} // one for each call that is under way
	waiting atomic.Int64
}

func newCaller(c Config, secret []byte, transport http.RoundTripper) *caller {
	c = c.withDefaults()
	if transport == nil {
		transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: c.Timeout}).DialContext, TLSHandshakeTimeout: c.Timeout,
			MaxIdleConnsPerHost: c.Concurrency, MaxConnsPerHost: c.Concurrency, IdleConnTimeout: 90 * time.Second,
			MaxResponseHeaderBytes: 64 << 10, ForceAttemptHTTP2: true,
		}
	}
	return &caller{config: c, secret: secret, turns: make(chan struct{}, c.Concurrency), client: &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// answer is what a backend said: fields of an object. Those that have not been taken at the end are unknown.
type answer map[string]json.RawMessage

// take decodes a field into target, if it is there, and reports whether it was.
func (a answer) take(name string, target any) (bool, error) {
	value, is := a[name]
	delete(a, name)
	if !is {
		return false, nil
	}
	if err := json.Unmarshal(value, target); err != nil {
		return false, fmt.Errorf("its %s: %w", name, err)
	}
	return true, nil
}

// done complains about fields that nobody took: with a misspelt one a backend would say something else than it means.
func (a answer) done() error {
	for _, name := range slices.Sorted(maps.Keys(a)) {
		return fmt.Errorf("its field %.64q is unknown here", name)
	}
	return nil
}

// refusal is what a backend says when it does not allow something.
func (a answer) refusal() (*hub.Error, error) {
	var told *struct {
		Code    hub.Code `json:"code"`
		Message string   `json:"message"`
		Retry   int64    `json:"retry"`
	}
	if _, err := a.take("error", &told); err != nil || told == nil {
		return nil, err
	}
	const longest = time.Hour
	switch {
	case told.Code == "":
		return nil, errors.New("its error has no code")
	case len(told.Message) > 1024:
		return nil, errors.New("its error has a message of more than 1024 bytes")
	case told.Retry < 0 || told.Retry > longest.Milliseconds():
		return nil, fmt.Errorf("its error has a retry that is not between 0 and %d", longest.Milliseconds())
	case told.Message == "":
		told.Message = "the application refused it"
	}
	return &hub.Error{Code: told.Code, Message: told.Message, Retry: time.Duration(told.Retry) * time.Millisecond}, nil
}

// errBusy is not the backend's fault.
var errBusy = errors.New("too many calls wait for their turn")

// call asks a backend. It waits for its turn and for the answer, both together for at most Config.Timeout.
func (c *caller) call(ctx context.Context, event, address string, question any) (answer, error) {
	body, err := json.Marshal(question)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.config.Timeout)
	defer cancel()
	if err := c.wait(ctx); err != nil {
		return nil, err
	}
	defer func() { <-c.turns }()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header = http.Header{
		"Content-Type": {"application/json"}, "Accept": {"application/json"}, "User-Agent": {"duplex"},
		headerEvent: {event}, headerSignature: {sign(c.secret, time.Now(), body)},
	}
	if event != eventRequest {
		// It lets net/http ask again when a connection ends that was kept for later. A request may do something, so it is not repeated.
		request.Header.Set("Idempotency-Key", rand.Text())
	}
	response, err := c.client.Do(request)
	if err != nil {
		if wrapped, is := errors.AsType[*url.Error](err); is {
			err = wrapped.Err // the address is in the log already
		}
		return nil, err
	}
	defer response.Body.Close()
	return c.read(response)
}

// wait waits for a turn. How many wait is bounded, too.
func (c *caller) wait(ctx context.Context) error {
	select {
	case c.turns <- struct{}{}:
		return nil
	default:
	}
	defer c.waiting.Add(-1)
	if c.waiting.Add(1) > int64(c.config.Queue) {
		return errBusy
	}
	select {
	case c.turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("waiting for a turn: %w", ctx.Err())
	}
}

func (c *caller) read(response *http.Response) (answer, error) {
	content, err := io.ReadAll(io.LimitReader(response.Body, c.config.MaxResponse+1))
	switch {
	case response.StatusCode == http.StatusNoContent:
		return answer{}, nil
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the answer has the status %s, not 200", response.Status)
	case err != nil:
		return nil, err
	case int64(len(content)) > c.config.MaxResponse:
		return nil, fmt.Errorf("the answer has more than %d bytes", c.config.MaxResponse)
	case !utf8.Valid(content): // encoding/json lets it pass, and clients would have to end their connections for it
		return nil, errors.New("the answer is not UTF-8")
	}
	var a answer
	if err := json.Unmarshal(content, &a); err != nil || a == nil {
		return nil, errors.New("the answer is no JSON object")
	}
	return a, nil
}

// sign makes the value of the header Duplex-Signature.
func sign(secret []byte, now time.Time, body []byte) string {
	seconds := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, secret)
	_, _ = mac.Write([]byte(seconds + ".")) // never fails
	_, _ = mac.Write(body)
	return "t=" + seconds + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}
