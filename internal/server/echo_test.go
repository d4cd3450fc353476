package server

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/websocket"
)

func dialEcho(t *testing.T, address string, o websocket.Options) *websocket.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	o.Logger, o.MaxMessage = quiet, 64<<20
	conn, err := websocket.Dial(ctx, address, &websocket.DialOptions{Options: o, Header: http.Header{"Origin": {"https://elsewhere.example"}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	return conn
}

func expectMessage(t *testing.T, conn *websocket.Conn, typ websocket.MessageType, want []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	gotType, got, err := conn.Read(ctx)
	if err != nil || gotType != typ || !bytes.Equal(got, want) {
		t.Fatalf("got %v, %d bytes, %v; want %v, %d bytes", gotType, len(got), err, typ, len(want))
	}
}

func TestEcho(t *testing.T) {
	for name, mode := range map[string]websocket.CompressionMode{
		"off": websocket.CompressionOff, "no-takeover": websocket.CompressionNoTakeover, "takeover": websocket.CompressionTakeover,
	} {
		t.Run(name, func(t *testing.T) {
			address := startEcho(t, EchoConfig{Compression: mode})
			conn := dialEcho(t, address+"any/path?query", websocket.Options{Compression: websocket.Compression{Mode: mode}})
			if compressed := strings.Contains(conn.Extensions(), "permessage-deflate"); compressed != (mode != websocket.CompressionOff) {
				t.Errorf("extensions: %q", conn.Extensions())
			}
			for _, size := range []int{0, 1, 125, 126, 65535, 65536, 3 << 20} {
				payload := bytes.Repeat([]byte("compressible "), size/13+1)[:size]
				for _, typ := range []websocket.MessageType{websocket.Text, websocket.Binary} {
					if err := conn.Write(t.Context(), typ, payload); err != nil {
						t.Fatal(err)
					}
					expectMessage(t, conn, typ, payload)
				}
			}
		})
	}
}

func TestEchoOfTheLargestMessage(t *testing.T) {
	conn := dialEcho(t, startEcho(t, EchoConfig{}), websocket.Options{})
	payload := make([]byte, 64<<20)
	payload[len(payload)-1] = 1
	if err := conn.Write(t.Context(), websocket.Binary, payload); err != nil {
		t.Fatal(err)
	}
	expectMessage(t, conn, websocket.Binary, payload)
}

// TestEchoToOneWhoDoesNotRead sends far more than the outbox holds before it reads the first answer: the server must stop
// reading rather than lose answers or pile them up.
func TestEchoToOneWhoDoesNotRead(t *testing.T) {
	const count = 400
	conn := dialEcho(t, startEcho(t, EchoConfig{}), websocket.Options{})
	payload := make([]byte, 64<<10)
	sent := make(chan error, 1)
	go func() {
		for i := range count {
			payload[0] = byte(i)
			if err := conn.Write(t.Context(), websocket.Binary, payload); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	select {
	case err := <-sent:
		t.Fatalf("%d MiB went out without anybody reading them: %v", count*len(payload)>>20, err)
	case <-time.After(200 * time.Millisecond):
	}
	for i := range count {
		_, p, err := conn.Read(t.Context())
		if err != nil || len(p) != len(payload) || p[0] != byte(i) {
			t.Fatalf("answer %d: %d bytes, %v", i, len(p), err)
		}
	}
	if err := <-sent; err != nil {
		t.Error(err)
	}
}

func TestBroadcast(t *testing.T) {
	address := startEcho(t, EchoConfig{Mode: ModeBroadcast})
	var conns []*websocket.Conn
	for range 5 {
		conns = append(conns, dialEcho(t, address, websocket.Options{}))
	}
	for i, c := range conns {
		if err := c.Write(t.Context(), websocket.Text, fmt.Append(nil, "from ", i)); err != nil {
			t.Fatal(err)
		}
		for _, other := range conns {
			expectMessage(t, other, websocket.Text, fmt.Append(nil, "from ", i))
		}
	}
}

func TestEchoExplainsItselfToBrowsers(t *testing.T) {
	address := startEcho(t, EchoConfig{})
	response, body := get(t, strings.Replace(address, "ws", "http", 1), nil)
	if response.StatusCode != http.StatusUpgradeRequired || !strings.Contains(body, "ws://127.0.0.1") {
		t.Errorf("%d %q", response.StatusCode, body)
	}
}

// rawEcho does the opening handshake by hand, for clients that the library would not be.
func rawEcho(t *testing.T, host, path string) net.Conn {
	t.Helper()
	host = strings.TrimSuffix(host, "/")
	conn, err := net.Dial("tcp", host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	_, err = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", path, host)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(conn, 16), nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake: %v, %v", response, err)
	}
	return conn
}

// TestEchoAllocatesNothing counts the allocations of the whole process while small messages come in bunches.
func TestEchoAllocatesNothing(t *testing.T) {
	address := startEcho(t, EchoConfig{})
	conn := rawEcho(t, strings.TrimPrefix(address, "ws://"), "/")
	const bunch = 32
	one := append([]byte{0x82, 0x80 | 64, 0, 0, 0, 0}, make([]byte, 64)...) // a binary frame, masked with zeros
	request := bytes.Repeat(one, bunch)
	answer := make([]byte, bunch*(2+64))
	exchange := func() {
		if _, err := conn.Write(request); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(conn, answer); err != nil {
			t.Fatal(err)
		}
	}
	// Handlers of other tests have blocked, after which a loop gives turns to
	// goroutines of their own for a while.
	for range 5000 {
		exchange()
	}
	allocations := testing.AllocsPerRun(500, exchange)
	allowed := 0.0
	if raceBuild() {
		allowed = bunch / 4 // there a sync.Pool forgets on purpose
	}
	if allocations > allowed {
		t.Errorf("%v allocations for %d messages", allocations, bunch)
	}
	if answer[0] != 0x82 || answer[1] != 64 {
		t.Errorf("the answer begins with % x", answer[:2])
	}
}

func raceBuild() bool {
	info, _ := debug.ReadBuildInfo()
	return info != nil && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}
