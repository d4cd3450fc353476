// Package session speaks duplex.v1, the protocol between a hub and one of its clients, over WebSocket. docs/protocol.md is its
// specification.
//
// A Server is an http.Handler:
//
//	h, err := hub.New(hub.Options{})
//	http.Handle("/ws", session.New(h, session.Options{}))
package session
