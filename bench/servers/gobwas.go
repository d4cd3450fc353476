package main

import (
	"bytes"
	"io"
	"net"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// gobwas upgrades on the bare listener and works without a read buffer: the zero-copy upgrade and the low-level frames are what
// its README recommends it for. Compression is left out: its wsflate package needs the program to do the negotiation, the
// framing and the buffering.
func gobwas(o options) error {
	if o.compression != "off" {
		return errCannot("gobwas", o)
	}
	ln, err := net.Listen("tcp", o.listen)
	if err != nil {
		return err
	}
	all := newRoom[[]byte]()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		go gobwasConn(conn, o, all)
	}
}

func gobwasConn(conn net.Conn, o options, all *room[[]byte]) {
	defer conn.Close()
	if _, err := ws.Upgrade(conn); err != nil {
		return
	}
	if o.broadcast {
		queue := all.join(func() { conn.Close() })
		defer all.leave(queue)
		go func() {
			for frame := range queue {
				conn.Write(frame)
			}
		}()
	}
	control := wsutil.ControlFrameHandler(conn, ws.StateServerSide)
	reader := &wsutil.Reader{Source: conn, State: ws.StateServerSide, OnIntermediate: control, MaxFrameSize: maxMessage}
	for gobwasStep(conn, reader, control, o, all) == nil {
	}
}

func gobwasStep(conn net.Conn, reader *wsutil.Reader, control wsutil.FrameHandlerFunc, o options, all *room[[]byte]) error {
	header, err := reader.NextFrame()
	if err != nil {
		return err
	}
	if header.OpCode.IsControl() {
		return control(header, reader)
	}
	buf := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(buf)
	buf.Reset()
	// Room for the reply's header in front, so that header and payload leave in one write.
	buf.Write(make([]byte, ws.MaxHeaderSize))
	if _, err := io.Copy(buf, reader); err != nil {
		return err
	}
	payload := buf.Bytes()[ws.MaxHeaderSize:]
	if header.OpCode == ws.OpText && !utf8.Valid(payload) {
		return ws.WriteFrame(conn, ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusInvalidFramePayloadData, "")))
	}
	var head bytes.Buffer
	ws.WriteHeader(&head, ws.Header{Fin: true, OpCode: header.OpCode, Length: int64(len(payload))})
	frame := buf.Bytes()[ws.MaxHeaderSize-head.Len():]
	copy(frame, head.Bytes())
	if o.broadcast {
		all.publish(bytes.Clone(frame))
		return nil
	}
	_, err = conn.Write(frame)
	return err
}
