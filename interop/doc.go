// Package interop has no code of its own: its tests let Duplex talk to other people's WebSocket clients and servers, each way, with
// every setting of compression that they have: gorilla, coder, gobwas and gws in Go, ws, undici and the built-in WebSocket of Node, the
// JDK's client, and nginx in between. It is a module of its own, so that they are no dependency of Duplex.
//
// Programs and npm packages that a test needs are installed by "make deps" in the folder above. A test whose program is missing
// fails; only the JDK's is left out, and that is logged.
package interop
