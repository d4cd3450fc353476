package server

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/websocket"
)

// frame is anything that the server sends to somebody in a room.
type frame struct {
	Type, Code, Topic, User, MessageID string
	ID                                 int
	Offset                             uint64
	Time, Retry                        int64
	Count                              int
	Duplicate                          bool
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
func visit(t *testing.T, address, name string) *visitor {
	t.Helper()
	connect := map[string]any{}
	if name != "" {
		connect["info"] = map[string]any{"name": name}
	}
	return visitWith(t, address, connect)
}

func visitWith(t *testing.T, address string, connect map[string]any) *visitor {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, err := websocket.Dial(ctx, strings.Replace(address, "http", "ws", 1)+"ws",
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
func enter(t *testing.T, address, name, room string) *visitor {
	t.Helper()
	v := visit(t, address, name)
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

// wantRefused checks the code of an answer.
func wantRefused(t *testing.T, what string, got frame, code hub.Code) {
	t.Helper()
	if code == "" && got.Type != "reply" || got.Code != string(code) {
		t.Errorf("%s: %s %q, want %q", what, got.Type, got.Code, code)
	}
}
