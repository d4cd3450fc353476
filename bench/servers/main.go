// Command servers is the other side of the benchmark: the same echo and broadcast server on five WebSocket libraries for Go,
// each used as its own documentation advises and with what makes it fastest for this job. All of them
//
//   - accept any origin and messages of up to 64 MiB,
//   - check that text is UTF-8, which gorilla, coder and gobwas leave to the program,
//   - answer each message with itself, in order (echo), or send it to every connection without waiting for slow ones (broadcast),
//   - compress replies of any length from 128 bytes when -compression says so and the client agreed.
//
// Beside them stand our own hub and session protocol (duplex.go), which broadcast only. The flags are those of duplex echo, and -lib.
package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
)

// options is what the command line asks for.
type options struct {
	listen      string
	compression string // off, no-takeover or takeover
	broadcast   bool
}

const (
	maxMessage = 64 << 20
	threshold  = 128 // bytes from which on a reply is compressed, where the library lets one choose
)

// A library serves until it fails; it returns an error at once for what it cannot do.
var libraries = map[string]func(options) error{
	"gorilla": gorilla,
	"gws":     gwsServer,
	"coder":   coder,
	"gobwas":  gobwas,
	"nbio":    nbioServer,
	"hub":     duplexHub,
	"session": duplexSession,
}

func main() {
	var o options
	lib := flag.String("lib", "", "gorilla, gws, coder, gobwas or nbio; or what Duplex has for topics: hub or session")
	flag.StringVar(&o.listen, "listen", "127.0.0.1:9001", "`address`")
	flag.StringVar(&o.compression, "compression", "off", "off, no-takeover or takeover")
	mode := flag.String("mode", "echo", "echo or broadcast")
	flag.Parse()
	o.broadcast = *mode == "broadcast"
	serve := libraries[*lib]
	switch {
	case serve == nil:
		fail(fmt.Errorf("-lib %q is not known", *lib))
	case *mode != "echo" && *mode != "broadcast":
		fail(fmt.Errorf("-mode %q: want echo or broadcast", *mode))
	case o.compression != "off" && o.compression != "no-takeover" && o.compression != "takeover":
		fail(fmt.Errorf("-compression %q: want off, no-takeover or takeover", o.compression))
	}
	fail(serve(o))
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "servers:", err)
	os.Exit(1)
}

// errCannot is returned where a library, or its server here, has no such feature.
func errCannot(lib string, o options) error {
	mode := "echo"
	if o.broadcast {
		mode = "broadcast"
	}
	return fmt.Errorf("%s has no -mode %s with -compression %s", lib, mode, o.compression)
}

// listenHTTP serves upgrades at any path under net/http.
func listenHTTP(o options, h http.HandlerFunc) error {
	return http.ListenAndServe(o.listen, h)
}
