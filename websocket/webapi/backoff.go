package webapi

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

// backoff says how long to wait before the next attempt. It is exponential with
// full jitter: anything between nothing and the ceiling, so that clients that
// lost the same server do not come back together.
type backoff struct {
	base, most, mostHint time.Duration
	random               func() float64 // in [0, 1)
}

// ceiling doubles from base with each failure up to most.
func (b *backoff) ceiling(failures int) time.Duration {
	d := b.base
	for ; failures > 1; failures-- {
		if d > b.most/2 {
			return b.most
		}
		d *= 2
	}
	return min(d, b.most)
}

// delay returns the wait after so many failures in a row, the last of which is
// err. A server's hint is the least wait, and the jitter comes on top of it, since
// the same hint went to everybody.
func (b *backoff) delay(failures int, err error) time.Duration {
	hint, _ := RetryAfter(err)
	return min(hint, b.mostHint) + time.Duration(b.random()*float64(b.ceiling(failures)))
}

func newBackoff(o *ReconnectOptions) backoff {
	return backoff{base: o.BaseDelay, most: o.MaxDelay, mostHint: o.MaxHint, random: rand.Float64}
}

// retryMark introduces a hint in a close frame's reason.
const retryMark = "retry-after="

// RetryAfter returns how long the server asked to be left alone, according to an
// error of Dial or of a connection:
//
//   - A refused handshake with status 429 or 503 says it in Retry-After, in seconds
//     or as a date (RFC 9110, section 10.2.3).
//   - A close frame with 1012 (service restart) or 1013 (try again later) says it in
//     its reason, as the word "retry-after=" with a whole number of seconds or
//     milliseconds, between spaces, commas or semicolons: "retry-after=5s",
//     "new version; retry-after=1500ms".
func RetryAfter(err error) (time.Duration, bool) {
	if refused, ok := errors.AsType[*websocket.HandshakeError](err); ok {
		if refused.Status == http.StatusTooManyRequests || refused.Status == http.StatusServiceUnavailable {
			return parseRetryAfter(refused.Header.Get("Retry-After"))
		}
		return 0, false
	}
	if closed, ok := errors.AsType[*websocket.CloseError](err); ok && !closed.Local {
		if closed.Code == websocket.StatusServiceRestart || closed.Code == websocket.StatusTryAgainLater {
			return parseRetryReason(closed.Reason)
		}
	}
	return 0, false
}

// parseRetryAfter parses the header's value.
func parseRetryAfter(value string) (time.Duration, bool) {
	if d, ok := parseNumber(value, time.Second); ok {
		return d, true
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0, false
	}
	return max(0, time.Until(at)), true
}

// parseRetryReason finds the hint in a reason.
func parseRetryReason(reason string) (time.Duration, bool) {
	words := strings.FieldsFunc(reason, func(r rune) bool { return r == ' ' || r == ',' || r == ';' })
	for _, word := range words {
		value, found := strings.CutPrefix(word, retryMark)
		if !found {
			continue
		}
		if number, ok := strings.CutSuffix(value, "ms"); ok {
			return parseNumber(number, time.Millisecond)
		}
		if number, ok := strings.CutSuffix(value, "s"); ok {
			return parseNumber(number, time.Second)
		}
	}
	return 0, false
}

// parseNumber parses digits. What is too large for a Duration is the largest.
func parseNumber(s string, unit time.Duration) (time.Duration, bool) {
	const largest = time.Duration(1<<63 - 1)
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	if s == "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n > int64(largest/unit) {
		return largest, true
	}
	return time.Duration(n) * unit, true
}

// fatalCloseCodes are those with which a server says that coming back will not
// help.
var fatalCloseCodes = map[websocket.StatusCode]bool{
	websocket.StatusNormalClosure:      true, // it is finished with us
	websocket.StatusUnsupportedData:    true,
	websocket.StatusPolicyViolation:    true, // we are not allowed
	websocket.StatusMandatoryExtension: true,
}

// Fatal is the default of ReconnectOptions.Fatal: it reports whether another
// attempt is pointless after err. It is after
//
//   - a refused handshake with a status from 400 to 499 other than 408, 425 and
//     429, or with 501 or 505;
//   - a redirect that may not be followed;
//   - a close frame of the server with 1000, 1003, 1008 or 1010.
//
// Everything else, such as a network that is away, a certificate that does not fit
// or a page of a hotel's network, may be different next time.
func Fatal(err error) bool {
	if refused, ok := errors.AsType[*websocket.HandshakeError](err); ok {
		return fatalStatus(refused.Status)
	}
	if closed, ok := errors.AsType[*websocket.CloseError](err); ok {
		return !closed.Local && fatalCloseCodes[closed.Code]
	}
	return false
}

func fatalStatus(status int) bool {
	switch status {
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return false
	case http.StatusNotImplemented, http.StatusHTTPVersionNotSupported:
		return true
	}
	return status >= 300 && status <= 499
}
