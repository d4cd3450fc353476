package client

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// refreshMargin is how long before its expiry a token is refreshed, if it lives for more than four times as long.
const refreshMargin = time.Minute

// refreshLeast is the least time between two attempts to refresh.
const refreshLeast = time.Second

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
		wait := left - margin - time.Duration(l.client.random()*float64(margin))
		if !l.sleep(max(wait, refreshLeast)) {
			return
		}
		until, ok := l.renewed(max(margin/4, refreshLeast))
		if !ok {
			return
		}
		expires = until
	}
}

// renewed tries until it has another token. It reports false when the link has ended before.
func (l *link) renewed(pause time.Duration) (expires int64, ok bool) {
	level := slog.LevelWarn
	for {
		expires, err := l.renew()
		if err == nil {
			return expires, true
		}
		l.client.options.Logger.Log(l.ctx, level, "duplex: the token cannot be refreshed", "error", err)
		level = slog.LevelDebug // once is enough
		if !l.sleep(pause) {
			return 0, false
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
	token, err := l.client.token(l.ctx)
	if err != nil {
		return 0, err
	}
	if token == l.token || token == l.refused {
		return 0, errors.New("duplex: Options.Token gave the same token again")
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
			if aboutToken[a.refusal.Code] {
				l.refused = token
			}
			return 0, a.refusal
		}
		l.token = token
		return a.frame.Expires, nil
	case <-l.ctx.Done():
		return 0, l.ctx.Err()
	}
}
