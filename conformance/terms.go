package conformance

import (
	"fmt"
	"strconv"
	"strings"
)

// extension is the name of RFC 7692's extension.
const extension = "permessage-deflate"

// terms is what a case wants to agree on: offered to a server, answered to a client. The zero value is the bare
// extension.
type terms struct {
	serverNoTakeover, clientNoTakeover bool
	serverBits                         int  // server_max_window_bits; 0: not named
	clientBits                         int  // client_max_window_bits; 0: not named
	clientHint                         bool // an offer names client_max_window_bits without a value
}

func (t *terms) element(offer bool) string {
	s := extension
	if t.serverNoTakeover {
		s += "; server_no_context_takeover"
	}
	if t.clientNoTakeover {
		s += "; client_no_context_takeover"
	}
	if t.serverBits != 0 {
		s += "; server_max_window_bits=" + strconv.Itoa(t.serverBits)
	}
	switch {
	case t.clientBits != 0:
		s += "; client_max_window_bits=" + strconv.Itoa(t.clientBits)
	case t.clientHint && offer:
		s += "; client_max_window_bits"
	}
	return s
}

func (t *terms) offer() string { return t.element(true) }

func (t *terms) answer() string { return t.element(false) }

// agreement is what holds on a connection.
type agreement struct {
	serverTakeover, clientTakeover bool
	serverBits, clientBits         int
	notes                          []string // what the answer could have said better
}

// compressor is the half of the side that is not under test.
func (a *agreement) compressor(tested side) *compressor {
	if tested == serverSide {
		return &compressor{bits: a.clientBits, takeover: a.clientTakeover}
	}
	return &compressor{bits: a.serverBits, takeover: a.serverTakeover}
}

// decompressor undoes what the side under test compresses.
func (a *agreement) decompressor(tested side) *decompressor {
	if tested == serverSide {
		return &decompressor{bits: a.serverBits, takeover: a.serverTakeover}
	}
	return &decompressor{bits: a.clientBits, takeover: a.clientTakeover}
}

// agreed is what our answer to a client means.
func (t *terms) agreed() *agreement {
	a := &agreement{serverTakeover: !t.serverNoTakeover, clientTakeover: !t.clientNoTakeover, serverBits: 15, clientBits: 15}
	if t.serverBits != 0 {
		a.serverBits = t.serverBits
	}
	if t.clientBits != 0 {
		a.clientBits = t.clientBits
	}
	return a
}

// param is one parameter of an extension; quotes are gone.
type param struct{ name, value string }

// elements cuts a Sec-WebSocket-Extensions value. Servers under test write simple ones, so quoted commas are not expected.
func elements(value string) (out [][]param) {
	for element := range strings.SplitSeq(value, ",") {
		var params []param
		for part := range strings.SplitSeq(element, ";") {
			name, v, _ := strings.Cut(part, "=")
			params = append(params, param{strings.ToLower(strings.TrimSpace(name)), strings.Trim(strings.TrimSpace(v), `"`)})
		}
		out = append(out, params)
	}
	return out
}

// confirm judges a server's answer to the offer, RFC 7692 section 7.1. A declined offer is no error of the server.
func (t *terms) confirm(answer string) (*agreement, error) {
	if answer == "" {
		return nil, unimplemented("the server declined %q", t.offer())
	}
	list := elements(answer)
	if len(list) != 1 || list[0][0].name != extension {
		return nil, failed("the server answered %q to the offer %q", answer, t.offer())
	}
	a := &agreement{serverTakeover: true, clientTakeover: true, serverBits: 15, clientBits: 15}
	seen := map[string]bool{}
	for _, p := range list[0][1:] {
		if seen[p.name] {
			return nil, failed("the answer %q names %s twice", answer, p.name)
		}
		seen[p.name] = true
		if err := t.apply(a, p); err != nil {
			return nil, err
		}
	}
	switch { // section 7.1.1.1 and 7.1.2.1: what the client demands must be in the answer
	case t.serverNoTakeover && a.serverTakeover:
		return nil, failed("the server accepted %q without answering server_no_context_takeover (RFC 7692 section 7.1.1.1): %q", t.offer(), answer)
	case t.serverBits == 15 && !seen["server_max_window_bits"]: // harmless: without an answer it is 15
		a.notes = append(a.notes, fmt.Sprintf("the answer %q to %q lacks server_max_window_bits (RFC 7692 section 7.1.2.1)", answer, t.offer()))
	case t.serverBits != 0 && !seen["server_max_window_bits"]:
		return nil, failed("the server accepted %q without answering server_max_window_bits (RFC 7692 section 7.1.2.1): %q", t.offer(), answer)
	}
	return a, nil
}

func (t *terms) apply(a *agreement, p param) error {
	bits, err := strconv.Atoi(p.value)
	lawful := err == nil && bits >= 8 && bits <= 15 && strconv.Itoa(bits) == p.value
	switch p.name {
	case "server_no_context_takeover", "client_no_context_takeover":
		if p.value != "" {
			return failed("%s has a value in the answer", p.name)
		}
		if p.name[0] == 's' {
			a.serverTakeover = false
		} else {
			a.clientTakeover = false
		}
	case "server_max_window_bits":
		if !lawful || t.serverBits != 0 && bits > t.serverBits {
			return failed("server_max_window_bits=%q in the answer to %q", p.value, t.offer())
		}
		a.serverBits = bits
	case "client_max_window_bits":
		most := 15
		if t.clientBits != 0 {
			most = t.clientBits
		}
		if t.clientBits == 0 && !t.clientHint || !lawful || bits > most {
			return failed("client_max_window_bits=%q in the answer to %q", p.value, t.offer())
		}
		a.clientBits = bits
	default:
		return failed("unknown parameter %q in the answer to %q", p.name, t.offer())
	}
	return nil
}

// answerTo is the answer to a client's offer: the terms, and what the offer demands of every answer, RFC 7692 sections
// 7.1.1.1 and 7.1.2.1. A client whose offer does not allow the terms is not tested with them.
func (t *terms) answerTo(offer string) (terms, error) {
	for _, element := range elements(offer) {
		if element[0].name != extension {
			continue
		}
		out, hint, bits := *t, false, 15
		for _, p := range element[1:] {
			switch p.name {
			case "server_no_context_takeover":
				out.serverNoTakeover = true
			case "client_no_context_takeover": // only a hint, but a client may count on a server that takes it
				out.clientNoTakeover = true
			case "client_max_window_bits":
				hint = true
			case "server_max_window_bits":
				bits, _ = strconv.Atoi(p.value)
			}
		}
		switch {
		case t.clientBits != 0 && !hint:
			return out, unimplemented("the client's offer %q has no client_max_window_bits", offer)
		case t.serverBits > bits:
			return out, unimplemented("the client's offer %q wants at most %d bits", offer, bits)
		case t.serverBits == 0 && bits < 15:
			out.serverBits = bits
		}
		return out, nil
	}
	return *t, unimplemented("the client did not offer %s (%s)", extension, orNothing(offer))
}

func orNothing(s string) string {
	if s == "" {
		return "it offered no extension"
	}
	return fmt.Sprintf("it offered %q", s)
}
