package websocket

// Handler takes the events of a Server's connections.
//
// For one connection its methods are called one at a time, in the order Open,
// Message for each message, Close, exactly one Open and one Close. Different
// connections call it at the same time. What it sends to its own connection
// leaves in one write with what the other messages of the same read caused,
// within about a millisecond; so does what it sends to others.
//
// A method may block or compute for as long as it likes: that holds up its own
// connection and no other. With DriverLoop it is called on the goroutine that
// serves the connections of one core; when it keeps that for a millisecond or two,
// the others move on to a fresh goroutine, and so it costs a goroutine while it
// lasts and those milliseconds once. While a method runs, nothing more of its
// connection is read; control frames are answered when it returns.
//
// A panic is logged with its stack and closes that connection with 1011, after
// which Close is called as always. runtime.Goexit in a method ends the connection
// without a close frame.
type Handler interface {
	// Open is called when the opening handshake is done.
	Open(c *Conn)

	// Message is called for each message. p is valid until Message returns, and
	// may be changed; keep a copy of what is needed longer. Text is valid UTF-8.
	Message(c *Conn, typ MessageType, p []byte)

	// Close is called when the connection is over: err is a *CloseError or a
	// *ProtocolError. Nothing can be sent any more.
	Close(c *Conn, err error)
}

// HandlerFuncs is a Handler made of functions; a nil one does nothing.
type HandlerFuncs struct {
	OnOpen    func(c *Conn)
	OnMessage func(c *Conn, typ MessageType, p []byte)
	OnClose   func(c *Conn, err error)
}

var _ Handler = (*HandlerFuncs)(nil)

// Open calls OnOpen.
func (h *HandlerFuncs) Open(c *Conn) {
	if h.OnOpen != nil {
		h.OnOpen(c)
	}
}

// Message calls OnMessage.
func (h *HandlerFuncs) Message(c *Conn, typ MessageType, p []byte) {
	if h.OnMessage != nil {
		h.OnMessage(c, typ, p)
	}
}

// Close calls OnClose.
func (h *HandlerFuncs) Close(c *Conn, err error) {
	if h.OnClose != nil {
		h.OnClose(c, err)
	}
}

// handlerSink is the sink of a Server's connections.
type handlerSink struct {
	handler     Handler
	keepRequest bool
}

func (s *handlerSink) opened(c *Conn) {
	s.handler.Open(c)
	if !s.keepRequest {
		c.forgetRequest()
	}
}

func (s *handlerSink) data(c *Conn, typ MessageType, p []byte, _ bool) { s.handler.Message(c, typ, p) }

// ending implements sink: the handler is through with all that came before.
func (s *handlerSink) ending(*Conn) {}

func (s *handlerSink) closed(c *Conn, err error) { s.handler.Close(c, err) }
