package websocket

import (
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// redirected returns the next leg when failure is a redirect that may be
// followed, and an error otherwise: failure itself, or the redirect with the
// reason why it is not followed.
func (d *dialer) redirected(l *leg, failure error, followed int) (*leg, error) {
	answer, ok := errors.AsType[*HandshakeError](failure)
	if !ok || !isRedirect(answer.Status) || errors.Is(answer, errProxyRefused) {
		return nil, failure
	}
	location := answer.Header.Get("Location")
	if location == "" {
		return nil, notFollowed(answer, "the server redirects without saying where (no Location header)")
	}
	next, err := l.target.resolve(location)
	if err != nil {
		return nil, notFollowed(answer, "the server redirects to an invalid Location: "+err.Error())
	}
	where := "the server redirects to " + next.String()
	switch {
	case l.target.secure && !next.secure:
		return nil, notFollowed(answer, where+", which is not encrypted; not followed")
	case d.maxRedirects < 0:
		return nil, notFollowed(answer, where+"; not followed, MaxRedirects forbids it")
	case followed >= d.maxRedirects:
		return nil, notFollowed(answer, where+"; not followed after "+strconv.Itoa(followed)+" redirects (MaxRedirects)")
	case l.target.sameOrigin(next):
		return &leg{target: next, header: l.header, foreign: l.foreign}, nil
	case d.unixSocket != "":
		return nil, notFollowed(answer, where+"; not followed, the Unix socket stands for "+l.target.hostHeader()+" only")
	}
	next.user = nil
	return &leg{target: next, header: harmless(l.header), foreign: true}, nil
}

// isRedirect lists the statuses of RFC 9110, section 15.4, that name another
// place for the same request.
func isRedirect(status int) bool {
	switch status {
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther,
		http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return true
	}
	return false
}

// notFollowed returns answer with the reason.
func notFollowed(answer *HandshakeError, reason string) error {
	out := *answer
	out.Reason = reason
	return &out
}

// resolve returns the target that a Location means (RFC 9110, section 10.2.2).
// Credentials are the program's to give: those in a Location are ignored, and
// those of this target stay, for the caller to take away.
func (t *target) resolve(location string) (*target, error) {
	ref, err := url.Parse(location)
	if err != nil {
		if parse, ok := err.(*url.Error); ok {
			err = parse.Err
		}
		return nil, err
	}
	u := t.httpURL().ResolveReference(ref)
	u.Fragment, u.RawFragment = "", ""
	next, err := newTarget(u)
	if err != nil {
		return nil, err
	}
	next.user = t.user
	if next.host == t.serverName() {
		next.host = t.host // with its zone, which only this side knows
	}
	return next, nil
}

// harmless returns the headers that may go to another origin. Any other may be
// a credential whose name we cannot know.
func harmless(h http.Header) http.Header {
	out := http.Header{}
	for name, values := range h {
		if name == "User-Agent" || name == "Origin" || strings.HasPrefix(name, "Accept") {
			out[name] = values
		}
	}
	return out
}
