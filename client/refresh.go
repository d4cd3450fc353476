package client

import (
	"context"
	"time"
)

// refreshMargin is how long before its expiry a token is refreshed, if it lives for more than four times as long.
const refreshMargin = time.Minute

// refresh replaces the token before it expires, as long as the link lives. expires and now are the server's times; 0: it does not
// expire. What cannot be refreshed ends with the connection, and connecting asks for a token too.
func (l *link) refresh(expires, now int64) {
	if expires == 0 || l.client.options.Token == nil {
		return
	}
	offset := time.Since(time.UnixMilli(now)) // between the server's clock and ours
	for expires != 0 {
		left := time.Until(time.UnixMilli(expires).Add(offset))
		margin := min(left/4, refreshMargin)
		// Spread over time, as many tokens may have been given out at once.
		if !l.sleep(left - margin - time.Duration(l.client.random()*float64(margin))) {
			return
		}
		for expires = 0; expires == 0; {
			until, err := l.renew()
			if err == nil {
				if expires = until; until == 0 {
					return // the new one does not expire
				}
				break
			}
			l.client.options.Logger.Warn("duplex: the token cannot be refreshed", "error", err)
			if !l.sleep(max(margin/4, time.Second)) {
				return
			}
		}
	}
}

// sleep reports whether the link still lives afterwards.
func (l *link) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// renew sends a new token and returns when it expires.
func (l *link) renew() (expires int64, err error) {
	token, err := l.client.options.Token(l.ctx)
	if err != nil {
		return 0, err
	}
	type answer struct {
		frame   *frame
		refusal *Error
	}
	answered := make(chan answer, 1)
	if !l.client.desk.bind(command{Type: "refresh", Token: token}, func(f *frame, e *Error) { answered <- answer{f, e} }) {
		return 0, context.Canceled // the link is ending
	}
	select {
	case a := <-answered:
		if a.refusal != nil {
			return 0, a.refusal
		}
		l.token = token
		return a.frame.Expires, nil
	case <-l.ctx.Done():
		return 0, l.ctx.Err()
	}
}
