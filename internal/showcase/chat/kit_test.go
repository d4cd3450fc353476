package chat

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
	"github.com/duplex-websocket/duplex/session"
	"github.com/duplex-websocket/duplex/websocket"
)

const patience = 10 * time.Second // how long a test waits for what must come

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// site is a server with the chat and nothing else.
type site struct {
	url string // ends in /
	hub *hub.Hub
}

// start serves the chat until the test ends.
func start(t *testing.T, o Options) site {
	return startWith(t, o, &showcase.Env{MaxFrame: 11 << 20}, nil)
}

// startWith does so in another environment, with further rules from a configuration.
func startWith(t *testing.T, o Options, env *showcase.Env, configured []hub.Rule) site {
	t.Helper()
	env.Logger = quiet
	if env.Operators == nil {
		env.Operators = operators(true)
	}
	all, err := showcase.New(env, With(o))
	if err != nil {
		t.Fatal(err)
	}
	h, err := hub.New(hub.Options{Topics: all.Rules(configured...), Hooks: all.Hooks(hub.Hooks{}), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	if err := all.Start(h); err != nil {
		t.Fatal(err)
	}
	sessions := session.New(h, session.Options{MaxFrame: env.MaxFrame, Logger: quiet})
	mux := http.NewServeMux()
	mux.Handle("/ws", sessions)
	all.Register(mux, nil)
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := sessions.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		server.Close()
		all.Close()
		h.Close()
	})
	return site{server.URL + "/", h}
}

// operators lets everybody do what they may, or nobody.
func operators(everybody bool) *showcase.Operators {
	return &showcase.Operators{Everybody: func() bool { return everybody }, Valid: func(string) bool { return false }}
}

// get asks for a page.
func (s site) get(t *testing.T, path string) (header http.Header, body string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	all, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.Header, string(all)
}

// frame is anything that the server sends to somebody in a room.
type frame struct {
	Type, Code, Topic, User, MessageID string
	Epoch, Key                         string
	ID                                 int
	Offset                             uint64
	Time, Retry                        int64
	Count                              int
	Duplicate, More                    bool
	Info                               struct{ Name string }
	From                               struct{ Info struct{ Name string } }
	Meta                               pictureMeta
	Data                               json.RawMessage
	Users                              []struct{ Info struct{ Name string } }
	picture                            []byte // of a binary frame
}

// visitor is a client of the session protocol under a name.
type visitor struct {
	*websocket.Conn
	t        *testing.T
	patience time.Duration
	resume   string
	last     int     // id of the last command
	early    []frame // pushes that came before an answer
}

// visit connects with that name, or without one if it is empty.
func visit(t *testing.T, at site, name string) *visitor {
	t.Helper()
	connect := map[string]any{}
	if name != "" {
		connect["info"] = map[string]any{"name": name}
	}
	return visitWith(t, at, connect)
}

func visitWith(t *testing.T, at site, connect map[string]any) *visitor {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := websocket.Dial(ctx, strings.Replace(at.url, "http", "ws", 1)+"ws",
		&websocket.DialOptions{Options: websocket.Options{MaxMessage: 32 << 20, Logger: quiet}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	v := &visitor{Conn: conn, t: t, patience: patience}
	connect["type"], connect["id"] = "connect", 1
	v.sendRaw(websocket.Text, mustJSON(connect))
	_, p, err := conn.Read(ctx)
	var reply struct{ Type, Resume string }
	if err != nil || json.Unmarshal(p, &reply) != nil || reply.Type != "reply" {
		t.Fatalf("connect: %s, %v", p, err)
	}
	v.last, v.resume = 1, reply.Resume
	return v
}

// enter visits a room, and waits until it is told of its own coming.
func enter(t *testing.T, at site, name, room string) *visitor {
	t.Helper()
	v := visit(t, at, name)
	v.goInto(room)
	return v
}

func (v *visitor) goInto(room string) {
	v.t.Helper()
	if f := v.subscribe("chat." + room); f.Type != "reply" {
		v.t.Fatalf("entering %s: %s", room, f.Code)
	}
	v.expect("join")
}

func (v *visitor) subscribe(topic string) frame {
	v.t.Helper()
	return v.ask(map[string]any{"type": "subscribe", "topic": topic, "presence": !strings.ContainsAny(topic, "*>")})
}

// ask sends a command and returns its answer; what is pushed before it can be had from expect.
func (v *visitor) ask(command map[string]any) frame {
	v.t.Helper()
	v.last++
	command["id"] = v.last
	v.sendRaw(websocket.Text, mustJSON(command))
	return v.answer()
}

func (v *visitor) answer() frame {
	v.t.Helper()
	for {
		f, err := v.read()
		if err != nil {
			v.t.Fatalf("waiting for an answer: %v", err)
		}
		if f.ID == v.last {
			return f
		}
		v.early = append(v.early, f)
	}
}

// say publishes data to a room.
func (v *visitor) say(room string, data any) frame {
	v.t.Helper()
	return v.ask(map[string]any{"type": "publish", "topic": "chat." + room, "data": data})
}

func (v *visitor) text(room, text string) {
	v.t.Helper()
	if f := v.say(room, map[string]any{"text": text}); f.Type != "reply" {
		v.t.Fatalf("%.40q: %s", text, f.Code)
	}
}

// sendPicture publishes bytes; name is the file's.
func (v *visitor) sendPicture(room, name string, picture []byte) frame {
	v.t.Helper()
	v.last++
	header := mustJSON(map[string]any{
		"type": "publish", "id": v.last, "topic": "chat." + room, "echo": false, "meta": map[string]any{"name": name, "mime": "text/html"},
	})
	v.sendRaw(websocket.Binary, append(append(binary.BigEndian.AppendUint16(nil, uint16(len(header))), header...), picture...))
	return v.answer()
}

func (v *visitor) sendRaw(typ websocket.MessageType, p []byte) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), v.patience)
	defer cancel()
	if err := v.Write(ctx, typ, p); err != nil {
		v.t.Fatalf("sending %d bytes: %v", len(p), err)
	}
}

func (v *visitor) read() (f frame, err error) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), v.patience)
	defer cancel()
	typ, p, err := v.Read(ctx)
	if err != nil {
		return f, err
	}
	if typ == websocket.Binary {
		n := 2 + int(binary.BigEndian.Uint16(p))
		f.picture = append([]byte{}, p[n:]...)
		p = p[2:n]
	}
	if err := json.Unmarshal(p, &f); err != nil {
		v.t.Fatalf("the server sent %.100q: %v", p, err)
	}
	return f, nil
}

// expect reads the next push, which must be of that type.
func (v *visitor) expect(typ string) (f frame) {
	v.t.Helper()
	var err error
	if len(v.early) > 0 {
		f, v.early = v.early[0], v.early[1:]
	} else if f, err = v.read(); err != nil {
		v.t.Fatalf("waiting for %q: %v", typ, err)
	}
	if f.Type != typ {
		v.t.Fatalf("waiting for %q, got %q %s from %q: %.100q", typ, f.Type, f.Code, f.From.Info.Name+f.Info.Name, f.Data)
	}
	return f
}

// expectText reads the next push, which must be that text.
func (v *visitor) expectText(from, text string) {
	v.t.Helper()
	f := v.expect("message")
	var data struct{ Text string }
	if err := json.Unmarshal(f.Data, &data); err != nil || f.From.Info.Name != from || data.Text != text {
		v.t.Fatalf("got %s from %q, want %q from %q", f.Data, f.From.Info.Name, text, from)
	}
}

// expectClose reads until the connection ends, which must be with that code.
func (v *visitor) expectClose(code websocket.StatusCode) {
	v.t.Helper()
	for {
		if _, err := v.read(); err != nil {
			if got := websocket.CloseStatus(err); got != code {
				v.t.Fatalf("closed with %v (%v), want %v", got, err, code)
			}
			return
		}
	}
}

// leave closes the connection.
func (v *visitor) leave() {
	v.t.Helper()
	if err := v.Close(v.t.Context(), websocket.StatusNormalClosure, ""); err != nil {
		v.t.Error(err)
	}
}

// request asks the chat, and puts the answer into what it is given.
func (v *visitor) request(method string, question, into any) frame {
	v.t.Helper()
	f := v.ask(map[string]any{"type": "request", "method": "chat." + method, "data": question})
	if f.Type == "reply" && into != nil {
		if err := json.Unmarshal(f.Data, into); err != nil {
			v.t.Fatalf("%s: %s, %v", method, f.Data, err)
		}
	}
	return f
}

// wantRefused checks the code of an answer.
func wantRefused(t *testing.T, what string, got frame, code hub.Code) {
	t.Helper()
	if code == "" && got.Type != "reply" || got.Code != string(code) {
		t.Errorf("%s: %s %q, want %q", what, got.Type, got.Code, code)
	}
}

// sample is a picture of 40 by 30 pixels, as far as headers say it, filled up to a size.
func sample(mime string, size int) []byte {
	head := map[string]string{
		"image/png":  "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x28\x00\x00\x00\x1e",
		"image/jpeg": "\xff\xd8\xff\xc0\x00\x11\x08\x00\x1e\x00\x28\x03",
		"image/gif":  "GIF89a\x28\x00\x1e\x00\x00\x00",
		"image/webp": "RIFF\x24\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x27\x00\x00\x1d\x00\x00",
		"image/avif": "\x00\x00\x00\x1cftypmif1\x00\x00\x00\x00avifmif1miaf" +
			"\x00\x00\x00\x30meta\x00\x00\x00\x00\x00\x00\x00\x24iprp\x00\x00\x00\x1cipco\x00\x00\x00\x14ispe\x00\x00\x00\x00\x00\x00\x00\x28\x00\x00\x00\x1e",
	}[mime]
	picture := append([]byte(head), make([]byte, max(0, size-len(head)))...)
	for i := len(head); i < len(picture); i++ {
		picture[i] = byte(i * 7)
	}
	return picture
}

var pictureTypes = []string{"image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"}
