// Command stream sends a message of 10 MB without ever holding it in memory as a whole, on either side.
package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"

	"github.com/duplex-websocket/duplex/websocket"
)

const size = 10_000_000

// upload answers a message with its length and checksum.
func upload(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Options: websocket.Options{MaxMessage: size}})
	if err != nil {
		return
	}
	defer c.CloseNow()
	_, message, err := c.Reader(r.Context())
	if err != nil {
		return
	}
	sum := sha256.New()
	n, err := io.Copy(sum, message)
	if err != nil {
		return
	}
	c.WriteJSON(r.Context(), map[string]any{"bytes": n, "sha256": fmt.Sprintf("%x", sum.Sum(nil))})
}

func main() {
	server := httptest.NewServer(http.HandlerFunc(upload))
	defer server.Close()

	ctx := context.Background()
	c, err := websocket.Dial(ctx, server.URL, nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.CloseNow()
	w, err := c.Writer(ctx, websocket.Binary)
	if err != nil {
		log.Fatal(err)
	}
	sum := sha256.New()
	if _, err := io.Copy(io.MultiWriter(w, sum), io.LimitReader(rand.NewChaCha8([32]byte{}), size)); err != nil {
		log.Fatal(err)
	}
	if err := w.Close(); err != nil {
		log.Fatal(err)
	}
	var answer struct {
		Bytes  int
		SHA256 string
	}
	if err := c.ReadJSON(ctx, &answer); err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Bytes, answer.SHA256 == fmt.Sprintf("%x", sum.Sum(nil)))
}

// Output:
// 10000000 true
