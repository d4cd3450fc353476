package how

import (
	"bytes"
	"fmt"
	"net/http"

	"github.com/duplex-websocket/duplex/internal/showcase/wire"
)

// estimating counts an answer as HTTP/1.1 would write it, each Write followed by a flush.
type estimating struct {
	http.ResponseWriter
	meter   *wire.Meter
	begun   bool
	chunked bool
}

// Unwrap is for http.ResponseController.
func (e *estimating) Unwrap() http.ResponseWriter { return e.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (e *estimating) WriteHeader(status int) {
	e.begun = true
	var head bytes.Buffer
	fmt.Fprintf(&head, "HTTP/1.1 %03d %s\r\n", status, http.StatusText(status))
	_ = e.Header().Write(&head) // to memory
	fmt.Fprintf(&head, "Date: %s\r\n", http.TimeFormat)
	if e.chunked = e.Header().Get("Content-Length") == ""; e.chunked {
		head.WriteString("Transfer-Encoding: chunked\r\n")
	}
	head.WriteString("\r\n")
	e.meter.Out.Add(int64(head.Len()))
	e.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (e *estimating) Write(p []byte) (int, error) {
	if !e.begun {
		e.WriteHeader(http.StatusOK)
	}
	n, err := e.ResponseWriter.Write(p)
	if e.chunked {
		e.meter.Out.Add(int64(len(fmt.Sprintf("%x\r\n\r\n", n))))
	}
	e.meter.Out.Add(int64(n))
	return n, err
}

// done counts the end of the answer.
func (e *estimating) done() {
	if e.chunked {
		e.meter.Out.Add(int64(len("0\r\n\r\n")))
	}
}
