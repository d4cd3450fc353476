package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/session"
	"github.com/duplex-websocket/duplex/websocket"
)

const hubTopic = "bench.room"

// duplexHub is the hub without a protocol of its own: every connection subscribes to one topic, and what it sends is published there as it
// is. On the wire it does what duplex echo does with --mode broadcast; the difference is what the hub costs.
func duplexHub(o options) error {
	if !o.broadcast || o.compression != "off" {
		return errCannot("hub", o)
	}
	h, err := hub.New(hub.Options{})
	if err != nil {
		return err
	}
	server := &websocket.Server{
		Driver:  websocket.DriverLoop,
		Handler: hubHandler{h},
		Accept: websocket.AcceptOptions{
			Options: websocket.Options{MaxMessage: maxMessage, Outbox: 2 * maxMessage}, InsecureSkipOriginCheck: true,
		},
	}
	return server.ListenAndServe(context.Background(), o.listen)
}

type hubHandler struct{ hub *hub.Hub }

type hubSink struct{ conn *websocket.Conn }

func (s hubSink) Deliver(m *hub.Message) bool {
	_ = s.conn.SendPrepared(m.Encoded(prepare).(*websocket.Prepared)) // an error means that the connection is closing
	return true
}

func (s hubSink) End(hub.End) { _ = s.conn.CloseNow() }

func prepare(m *hub.Message) any { return websocket.NewPrepared(websocket.Binary, m.Data) }

type subscriberKey struct{}

func (h hubHandler) Open(c *websocket.Conn) {
	subscriber, err := h.hub.Connect(hub.Connecting{
		Session: fmt.Sprint(c.RemoteAddr()), Identity: hub.Identity{User: "load"}, Sink: hubSink{c},
	})
	if err != nil {
		fail(err)
	}
	c.SetAttribute(subscriberKey{}, subscriber)
	subscribed, err := subscriber.Subscribe(context.Background(), hubTopic, hub.SubscribeOptions{})
	if err != nil {
		fail(err)
	}
	subscribed.Begin()
}

func (h hubHandler) Message(c *websocket.Conn, _ websocket.MessageType, p []byte) {
	publication := hub.Publication{Data: bytes.Clone(p), Binary: true} // p is borrowed
	if _, err := c.Attribute(subscriberKey{}).(*hub.Subscriber).Publish(context.Background(), hubTopic, publication); err != nil {
		fail(err)
	}
}

func (h hubHandler) Close(c *websocket.Conn, _ error) {
	c.Attribute(subscriberKey{}).(*hub.Subscriber).Close()
}

// duplexSession is the session protocol as duplex serve has it at /ws, under net/http. Only the limit on commands is out of the way:
// one client publishes as fast as it can.
func duplexSession(o options) error {
	if !o.broadcast || o.compression != "off" {
		return errCannot("session", o)
	}
	h, err := hub.New(hub.Options{})
	if err != nil {
		return err
	}
	var settings session.Options
	settings.CommandRate, settings.CommandBurst = 1e6, 1e6
	mux := http.NewServeMux()
	mux.Handle("/ws", session.New(h, settings))
	return http.ListenAndServe(o.listen, mux)
}
