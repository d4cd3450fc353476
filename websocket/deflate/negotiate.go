package deflate

import "fmt"

// parsed is one offer or answer with every parameter checked. Bits are 0 where
// there was no value.
type parsed struct {
	serverNoTakeover, clientNoTakeover   bool
	serverBits, clientBits               int
	serverBitsPresent, clientBitsPresent bool
}

// parse checks what holds for an offer and for an answer alike, RFC 7692 section
// 7.1: no unknown parameter, none twice, no value that is invalid. Each rule ends
// with "server declines" and "client fails the connection"; the callers do that.
// Names are compared exactly.
func parse(params []Param) (parsed, error) {
	var p parsed
	for _, param := range params {
		var err error
		switch param.Name {
		case serverNoContextTakeover:
			err = p.flag(&p.serverNoTakeover, param)
		case clientNoContextTakeover:
			err = p.flag(&p.clientNoTakeover, param)
		case serverMaxWindowBits:
			err = p.number(&p.serverBits, &p.serverBitsPresent, param)
		case clientMaxWindowBits:
			err = p.number(&p.clientBits, &p.clientBitsPresent, param)
		default:
			err = fmt.Errorf("deflate: unknown parameter %q", param.Name)
		}
		if err != nil {
			return parsed{}, err
		}
	}
	// Section 7.1.2.1: the value of server_max_window_bits is never optional.
	if p.serverBitsPresent && p.serverBits == 0 {
		return parsed{}, fmt.Errorf("deflate: %s without a value", serverMaxWindowBits)
	}
	return p, nil
}

// flag takes a parameter of section 7.1.1, which has no value.
func (*parsed) flag(seen *bool, param Param) error {
	if *seen {
		return fmt.Errorf("deflate: %s appears twice", param.Name)
	}
	if param.HasValue {
		return fmt.Errorf("deflate: %s with a value, which it cannot have", param.Name)
	}
	*seen = true
	return nil
}

// number takes a parameter of section 7.1.2. Its value, if there is one, is a
// decimal integer without leading zeroes from 8 to 15.
func (*parsed) number(bits *int, seen *bool, param Param) error {
	if *seen {
		return fmt.Errorf("deflate: %s appears twice", param.Name)
	}
	*seen = true
	if !param.HasValue {
		return nil
	}
	switch v := param.Value; v {
	case "8", "9":
		*bits = int(v[0] - '0')
	case "10", "11", "12", "13", "14", "15":
		*bits = 10 + int(v[1]-'0')
	default:
		return fmt.Errorf("deflate: %s=%q, want %d to %d", param.Name, v, minWindowBits, maxWindowBits)
	}
	return nil
}

// Offer returns the element that a client puts into Sec-WebSocket-Extensions, as
// RFC 7692 section 7.1 has it:
//
//   - server_no_context_takeover when o has it, or when o's budget has no room
//     for the window of the server at this moment (7.1.1.1);
//   - client_no_context_takeover when o has it, as a hint (7.1.1.2);
//   - server_max_window_bits=N when o limits it to less than 15 (7.1.2.1);
//   - client_max_window_bits always, since we can compress with any window; with
//     a value when o limits it to less than 15 (7.1.2.2).
func (o *Options) Offer() string {
	o = o.orDefault()
	p := Params{
		ServerNoContextTakeover: o.ServerNoContextTakeover,
		ClientNoContextTakeover: o.ClientNoContextTakeover,
		ServerMaxWindowBits:     clampBits(o.ServerMaxWindowBits),
		ClientMaxWindowBits:     clampBits(o.ClientMaxWindowBits),
	}
	o.economise(&p.ServerNoContextTakeover, p.ServerMaxWindowBits, &p.ClientNoContextTakeover, p.ClientMaxWindowBits)
	s := p.String()
	if p.ClientMaxWindowBits == maxWindowBits {
		s += "; " + clientMaxWindowBits
	}
	return s
}

// Accept is the server's answer to one offer; the header for it is Params.String.
// It declines, by returning false, an offer that breaks a rule of RFC 7692
// section 7.1. Every correct offer is acceptable. The answer:
//
//   - server_no_context_takeover when offered, which obliges us (7.1.1.1), when o
//     has it, or when the budget has no room for our sending window;
//   - client_no_context_takeover when offered, so that no window is kept for
//     nothing, when o has it, or when the budget has no room for the window of
//     the client (7.1.1.2: the server may answer it unasked);
//   - server_max_window_bits with the smaller of the offered and o's value: always
//     when offered, and unasked when o limits it (7.1.2.1);
//   - client_max_window_bits only when offered, with the smaller of the offered
//     and o's value, and only when that is less than 15 (7.1.2.2).
//
// When o limits the client's window but the client cannot be told so, because it
// did not offer client_max_window_bits, the answer is client_no_context_takeover:
// then there is no window to keep.
//
// Accept looks at the budget; it reserves nothing, as the handshake can still
// fail. NewCompressor and NewDecompressor reserve.
func (o *Options) Accept(offer []Param) (Params, bool) {
	o = o.orDefault()
	in, err := parse(offer)
	if err != nil {
		return Params{}, false
	}
	p := Params{
		ServerNoContextTakeover: in.serverNoTakeover || o.ServerNoContextTakeover,
		ClientNoContextTakeover: in.clientNoTakeover || o.ClientNoContextTakeover,
		ServerMaxWindowBits:     min(clampBits(o.ServerMaxWindowBits), clampBits(in.serverBits)),
		ClientMaxWindowBits:     maxWindowBits,
		serverBitsOffered:       in.serverBitsPresent,
	}
	if in.clientBitsPresent {
		p.ClientMaxWindowBits = min(clampBits(o.ClientMaxWindowBits), clampBits(in.clientBits))
	} else if clampBits(o.ClientMaxWindowBits) < maxWindowBits {
		p.ClientNoContextTakeover = true
	}
	o.economise(&p.ClientNoContextTakeover, p.ClientMaxWindowBits, &p.ServerNoContextTakeover, p.ServerMaxWindowBits)
	return p, true
}

// economise gives up context takeover where the budget has no room for the
// window: first for what we receive, which takes far more memory, then for what
// we send.
func (o *Options) economise(receiveNone *bool, receiveBits int, sendNone *bool, sendBits int) {
	var need int64
	if !*receiveNone {
		need = int64(historyLimit(receiveHistory(receiveBits)))
		if !o.budget().fits(need) {
			*receiveNone, need = true, 0
		}
	}
	if !*sendNone && !o.budget().fits(need+int64(historyLimit(sendHistory(o.level(), sendBits)))) {
		*sendNone = true
	}
}

// Confirm is the client's check of the server's answer to [Options.Offer]. An
// error means that the connection must fail (RFC 7692 section 7.1), with status
// 1010 or by dropping it. The answer may
//
//   - say server_no_context_takeover unasked, and must when o asked (7.1.1.1);
//   - say client_no_context_takeover, which binds us (7.1.1.2);
//   - give server_max_window_bits unasked; when o asked for N it must, and not
//     more than N (7.1.2.1);
//   - give client_max_window_bits, always with a value, and not more than the one
//     that o named (7.1.2.2).
//
// What o limits for the client's own half holds even if the answer is silent. A
// server_no_context_takeover that was offered only for want of budget is not
// insisted on. Confirm reserves nothing, as Accept does not.
func (o *Options) Confirm(answer []Param) (Params, error) {
	o = o.orDefault()
	in, err := parse(answer)
	if err != nil {
		return Params{}, err
	}
	if o.ServerNoContextTakeover && !in.serverNoTakeover {
		return Params{}, fmt.Errorf("deflate: the answer lacks %s, which was offered", serverNoContextTakeover)
	}
	wantServer, wantClient := clampBits(o.ServerMaxWindowBits), clampBits(o.ClientMaxWindowBits)
	switch {
	case wantServer < maxWindowBits && !in.serverBitsPresent:
		return Params{}, fmt.Errorf("deflate: the answer lacks %s, which was offered", serverMaxWindowBits)
	case in.serverBits > wantServer:
		return Params{}, fmt.Errorf("deflate: the answer has %s=%d, more than the %d offered", serverMaxWindowBits, in.serverBits, wantServer)
	case in.clientBitsPresent && in.clientBits == 0:
		return Params{}, fmt.Errorf("deflate: %s without a value in an answer", clientMaxWindowBits)
	case in.clientBits > wantClient:
		return Params{}, fmt.Errorf("deflate: the answer has %s=%d, more than the %d offered", clientMaxWindowBits, in.clientBits, wantClient)
	}
	return Params{
		ServerNoContextTakeover: in.serverNoTakeover,
		ClientNoContextTakeover: in.clientNoTakeover || o.ClientNoContextTakeover,
		ServerMaxWindowBits:     clampBits(in.serverBits),
		ClientMaxWindowBits:     min(clampBits(in.clientBits), wantClient),
	}, nil
}
