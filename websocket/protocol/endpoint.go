package protocol

import "github.com/duplex-websocket/duplex/websocket/deflate"

// Endpoint is one side of one connection: a Receiver and a Sender. The two
// halves share no fields, so a driver may guard each by itself; what arrived
// crosses from one to the other in Sender.Reply.
type Endpoint struct {
	Receiver
	Sender
}

// Init readies an Endpoint for a connection whose opening handshake is done.
// config is borrowed for the endpoint's life. The compressor sends, the
// decompressor receives; both are nil when no compression was agreed.
func (e *Endpoint) Init(config *Config, send *deflate.Compressor, receive *deflate.Decompressor) {
	*e = Endpoint{
		Receiver: Receiver{config: config, inflater: receive},
		Sender:   Sender{config: config, deflater: send, state: StateOpen},
	}
}

// Next parses in up to the next event and appends the protocol's own answer to
// it to out: see Receiver.Next and Sender.Reply.
func (e *Endpoint) Next(in, out []byte) (ev Event, n int, replied []byte) {
	ev, n = e.Receiver.Next(in)
	return ev, n, e.Reply(out, &ev)
}

// Close gives back what both halves hold.
func (e *Endpoint) Close() {
	e.Receiver.Close()
	e.Sender.Close()
}
