package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/client"
)

// sessionFlags are the flags of the verbs that are clients of a Duplex server: pub, sub, history and presence.
type sessionFlags struct {
	Server    string `default:"ws://127.0.0.1:8080/ws" env:"DUPLEX_SERVER" placeholder:"URL" help:"The server (default ${default})."`
	Token     string `env:"DUPLEX_TOKEN" placeholder:"TOKEN" help:"Who you are; others see it among the processes, so rather use DUPLEX_TOKEN or --token-file."`
	TokenFile string `placeholder:"FILE" help:"Read the token from this file, for each connection and when it expires."`
	Quiet     bool   `short:"q" help:"Do not tell of lost connections."`

	Header             []string      `short:"H" sep:"none" placeholder:"'NAME: VALUE'" group:"TLS and routes" help:"Send this header with the handshake. Repeatable."`
	Origin             string        `placeholder:"URL" group:"TLS and routes" help:"Send this Origin, as a browser would."`
	User               string        `placeholder:"NAME:PASSWORD" group:"TLS and routes" help:"Authenticate with HTTP Basic."`
	CA                 string        `name:"ca" placeholder:"FILE" group:"TLS and routes" help:"Trust the certificates in this PEM file instead of the system's."`
	ServerName         string        `placeholder:"NAME" group:"TLS and routes" help:"Name to ask for and to expect in the certificate, instead of the URL's host."`
	InsecureSkipVerify bool          `group:"TLS and routes" help:"Do not check the server's certificate: anybody on the way can read and change everything."`
	Proxy              string        `placeholder:"URL" group:"TLS and routes" help:"Go through this proxy (http, https, socks5), or none; default: what HTTP_PROXY, HTTPS_PROXY and NO_PROXY say."`
	ConnectTimeout     time.Duration `default:"10s" placeholder:"DURATION" group:"TLS and routes" help:"How long connecting may take (default ${default})."`
}

const sessionExitCodes = `Exit codes:
  0    done
  1    wrong usage, or the server refused what was asked for
  2    could not connect, or the server did not let us in
  3    the server ended the connection for good
  130  ended by a signal`

// maxTokenFile is more than any token that a server takes.
const maxTokenFile = 64 << 10

// token reads --token-file.
func (f *sessionFlags) token(context.Context) (string, error) {
	file, err := os.Open(f.TokenFile)
	if err != nil {
		return "", err
	}
	defer file.Close()
	p, err := io.ReadAll(io.LimitReader(file, maxTokenFile+1))
	token := strings.TrimSpace(string(p))
	switch {
	case err != nil:
		return "", err
	case token == "" || len(p) > maxTokenFile:
		return "", fmt.Errorf("there is no token in %s; duplex token makes one", f.TokenFile)
	}
	return token, nil
}

// dial connects. Its errors carry an exit code.
func (f *sessionFlags) dial(ctx context.Context, out output) (*client.Client, error) {
	u, err := checkURL(f.Server)
	if err != nil {
		return nil, withExit(exitUsage, fmt.Errorf("--server: %w", err))
	}
	o, err := f.options(out)
	if err != nil {
		return nil, withExit(exitUsage, err)
	}
	c, err := client.Dial(ctx, u.String(), o)
	switch {
	case err == nil:
		return c, nil
	case ctx.Err() != nil:
		return nil, errInterrupted
	}
	return nil, explainSession(u, err)
}

func (f *sessionFlags) options(out output) (*client.Options, error) {
	if f.ConnectTimeout <= 0 {
		return nil, errors.New("--connect-timeout must be positive")
	}
	common := connectCmd{
		Header: f.Header, Origin: f.Origin, User: f.User, CA: f.CA, ServerName: f.ServerName, InsecureSkipVerify: f.InsecureSkipVerify,
		Proxy: f.Proxy, ConnectTimeout: f.ConnectTimeout, Compression: "off",
	}
	dial, err := common.dialOptions()
	if err != nil {
		return nil, err
	}
	o := &client.Options{Dial: *dial, ConnectTimeout: f.ConnectTimeout, Logger: slog.New(slog.NewTextHandler(out.stderr, nil))}
	switch {
	case f.Token != "" && f.TokenFile != "":
		return nil, errors.New("--token and --token-file are two ways to give one token; give one (DUPLEX_TOKEN counts as --token)")
	case f.TokenFile != "":
		if _, err := f.token(context.Background()); err != nil {
			return nil, fmt.Errorf("--token-file: %w", err)
		}
		o.Token = f.token
	case f.Token != "":
		o.Token = func(context.Context) (string, error) { return f.Token, nil }
	}
	if !f.Quiet {
		o.OnStatus = tellStatus(out.stderr)
	}
	return o, nil
}

// tellStatus tells of connections that are lost and found.
func tellStatus(w io.Writer) func(client.Status) {
	lost := false
	return func(s client.Status) {
		switch {
		case s.State == client.Waiting:
			lost = true
			fmt.Fprintf(w, "! %s; connecting again in %v\n", sessionText(s.Err), s.Delay.Round(time.Millisecond))
		case s.State == client.Online && lost:
			lost = false
			fmt.Fprintln(w, "* connected again")
		}
	}
}

// sessionText is an error without our packages' names, fit for a terminal.
func sessionText(err error) string {
	return visible(strings.TrimPrefix(strings.TrimPrefix(err.Error(), "duplex: "), "websocket: "))
}

var errInterrupted = withExit(exitSignal, errors.New("interrupted"))

// explainSession says why there is no connection, and what can be done about it.
func explainSession(u *url.URL, err error) error {
	refused, is := errors.AsType[*client.Error](err)
	if !is {
		if text := err.Error(); strings.HasPrefix(text, "duplex: the server does not") {
			return explain(exitUnreachable, err, "%s: %s", visible(u.Redacted()), sessionText(err))
		}
		return explainDial(u, err)
	}
	text := fmt.Sprintf("%s does not let us in: %s", visible(u.Redacted()), sessionText(err))
	if strings.HasPrefix(string(refused.Code), "token-") {
		text += "\ngive a token with --token-file, --token or DUPLEX_TOKEN; \"duplex token\" makes one for trying out"
	}
	return explain(exitUnreachable, err, "%s", text)
}

// explainCall says why something that was asked for did not happen.
func explainCall(ctx context.Context, c *client.Client, what string, err error) error {
	if ctx.Err() != nil {
		return errInterrupted
	}
	code := exitUsage
	select {
	case <-c.Done():
		code = exitAbnormal
	default:
	}
	text := what + ": " + sessionText(err)
	if refused, is := errors.AsType[*client.Error](err); is {
		text += sessionHints[refused.Code]
	}
	return explain(code, err, "%s", text)
}

var sessionHints = map[client.Code]string{
	client.CodeForbidden:    "\na token may allow it: --token-file, --token or DUPLEX_TOKEN",
	client.CodeTokenExpired: "\nwith --token-file it is replaced when the file changes",
	client.CodeNoHistory:    "\nthe server's configuration says which topics keep messages (topics, history)",
	client.CodeNoPresence:   "\nthe server's configuration says which topics know who is there (topics, presence)",
	client.CodeBadTopic:     "\na topic is words with dots between them, such as chat.lobby; only sub takes patterns with * and >",
}

// leave closes the connection as people expect it to be closed.
func leave(c *client.Client) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = c.Close(ctx)
}

// lines writes JSON values, one a line. It may be used from several goroutines.
type lines struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lines) write(v any) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := l.w.Write(harmlessJSON(b.Bytes()))
	return err
}

// harmlessJSON escapes what could make a terminal do things: control characters that JSON lets stand in strings, and those that turn
// the direction of text.
func harmlessJSON(p []byte) []byte {
	if !bytes.ContainsFunc(p, mischievous) {
		return p
	}
	out := make([]byte, 0, len(p)+16)
	for len(p) > 0 {
		r, n := utf8.DecodeRune(p)
		if mischievous(r) {
			out = fmt.Appendf(out, `\u%04x`, r)
		} else {
			out = append(out, p[:n]...)
		}
		p = p[n:]
	}
	return out
}

func mischievous(r rune) bool {
	return r >= 0x7f && r <= 0x9f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// messageLine is a message as sub and history print it; the names are those of docs/protocol.md.
type messageLine struct {
	Type      string          `json:"type"`
	Topic     string          `json:"topic"`
	Sub       string          `json:"sub,omitempty"`
	Epoch     string          `json:"epoch,omitempty"` // absent with offset if it has no place in the line
	Offset    uint64          `json:"offset,omitempty"`
	Time      int64           `json:"time"`
	MessageID string          `json:"messageId,omitempty"`
	Key       string          `json:"key,omitempty"`
	From      *userLine       `json:"from,omitempty"`
	Meta      json.RawMessage `json:"meta,omitempty"`
	Data      json.RawMessage `json:"data,omitempty"`
	Base64    *[]byte         `json:"base64,omitempty"` // bytes, in the place of data
}

type userLine struct {
	User        string          `json:"user"`
	Info        json.RawMessage `json:"info,omitempty"`
	Connections int             `json:"connections,omitempty"`
}

func lineOf(m *client.Message) messageLine {
	l := messageLine{
		Type: "message", Topic: m.Topic, Sub: m.Pattern, Epoch: m.Position.Epoch, Offset: m.Position.Offset, Time: m.Time.UnixMilli(),
		MessageID: m.ID, Key: m.Key, Meta: m.Meta,
	}
	if m.From != nil {
		l.From = &userLine{User: m.From.Name, Info: m.From.Info}
	}
	if m.Binary {
		l.Base64 = &m.Data
	} else {
		l.Data = m.Data
	}
	return l
}
