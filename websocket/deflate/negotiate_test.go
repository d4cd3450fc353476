package deflate

import (
	"strings"
	"testing"
)

// header splits one element of a literal Sec-WebSocket-Extensions header into
// the parameters behind the extension's name. Values are as in the literals of
// this file: no spaces around "=", no semicolon inside quotes.
func header(t testing.TB, element string) []Param {
	t.Helper()
	name, rest, _ := strings.Cut(element, ";")
	if name != Name {
		t.Fatalf("literal %q is not about %s", element, Name)
	}
	var params []Param
	for p := range strings.SplitSeq(rest, ";") {
		if p = strings.TrimSpace(p); p == "" {
			continue
		}
		n, v, has := strings.Cut(p, "=")
		params = append(params, Param{Name: n, Value: strings.Trim(v, `"`), HasValue: has})
	}
	return params
}

// wrong is declined by a server (as an offer) and fails a client (as an answer).
var wrong = []struct{ section, name, element string }{
	{"7.1", "unknown parameter", "permessage-deflate; foo"},
	{"7.1", "unknown parameter with value", "permessage-deflate; foo=1"},
	{"7.1", "unknown behind known", "permessage-deflate; server_no_context_takeover; x-webkit"},
	{"7.1", "names are exact", "permessage-deflate; Server_No_Context_Takeover"},
	{"7.1", "server_no_context_takeover twice", "permessage-deflate; server_no_context_takeover; server_no_context_takeover"},
	{"7.1", "client_no_context_takeover twice", "permessage-deflate; client_no_context_takeover; client_no_context_takeover"},
	{"7.1", "server_max_window_bits twice", "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10"},
	{"7.1", "client_max_window_bits twice", "permessage-deflate; client_max_window_bits=10; client_max_window_bits=11"},
	{"7.1", "client_max_window_bits twice, first bare", "permessage-deflate; client_max_window_bits; client_max_window_bits=11"},
	{"7.1.1.1", "server_no_context_takeover with value", "permessage-deflate; server_no_context_takeover=true"},
	{"7.1.1.1", "server_no_context_takeover with empty value", `permessage-deflate; server_no_context_takeover=""`},
	{"7.1.1.2", "client_no_context_takeover with value", "permessage-deflate; client_no_context_takeover=1"},
	{"7.1.2.1", "server_max_window_bits without value", "permessage-deflate; server_max_window_bits"},
	{"7.1.2.1", "server_max_window_bits empty", `permessage-deflate; server_max_window_bits=""`},
	{"7.1.2.1", "server_max_window_bits too small", "permessage-deflate; server_max_window_bits=7"},
	{"7.1.2.1", "server_max_window_bits zero", "permessage-deflate; server_max_window_bits=0"},
	{"7.1.2.1", "server_max_window_bits too large", "permessage-deflate; server_max_window_bits=16"},
	{"7.1.2.1", "server_max_window_bits huge", "permessage-deflate; server_max_window_bits=18446744073709551624"},
	{"7.1.2.1", "server_max_window_bits leading zero", "permessage-deflate; server_max_window_bits=08"},
	{"7.1.2.1", "server_max_window_bits sign", "permessage-deflate; server_max_window_bits=+8"},
	{"7.1.2.1", "server_max_window_bits negative", "permessage-deflate; server_max_window_bits=-15"},
	{"7.1.2.1", "server_max_window_bits hexadecimal", "permessage-deflate; server_max_window_bits=0xa"},
	{"7.1.2.1", "server_max_window_bits fraction", "permessage-deflate; server_max_window_bits=10.0"},
	{"7.1.2.1", "server_max_window_bits space", `permessage-deflate; server_max_window_bits=" 10"`},
	{"7.1.2.2", "client_max_window_bits empty", `permessage-deflate; client_max_window_bits=""`},
	{"7.1.2.2", "client_max_window_bits too small", "permessage-deflate; client_max_window_bits=7"},
	{"7.1.2.2", "client_max_window_bits too large", "permessage-deflate; client_max_window_bits=16"},
	{"7.1.2.2", "client_max_window_bits leading zero", "permessage-deflate; client_max_window_bits=015"},
	{"7.1.2.2", "client_max_window_bits word", "permessage-deflate; client_max_window_bits=max"},
}

func TestWrongParametersBothRoles(t *testing.T) {
	for _, c := range wrong {
		t.Run(c.section+" "+c.name, func(t *testing.T) {
			var o *Options
			if p, ok := o.Accept(header(t, c.element)); ok {
				t.Errorf("server accepted %q as %v", c.element, p)
			}
			if p, err := o.Confirm(header(t, c.element)); err == nil {
				t.Errorf("client accepted %q as %v", c.element, p)
			}
		})
	}
}

func TestServerAnswers(t *testing.T) {
	full := NewBudget(0)
	cases := []struct {
		section, name string
		o             *Options
		offer, answer string
	}{
		{"7.1", "plain", nil, "permessage-deflate", "permessage-deflate"},
		{"7.1", "what Chrome and Firefox send", nil, "permessage-deflate; client_max_window_bits", "permessage-deflate"},
		{"7.1", "what Safari sends", nil, "permessage-deflate", "permessage-deflate"},

		{"7.1.1.1", "offered must be answered", nil,
			"permessage-deflate; server_no_context_takeover", "permessage-deflate; server_no_context_takeover"},
		{"7.1.1.1", "answered unasked", &Options{ServerNoContextTakeover: true},
			"permessage-deflate", "permessage-deflate; server_no_context_takeover"},
		{"7.1.1.2", "hint is taken up", nil,
			"permessage-deflate; client_no_context_takeover", "permessage-deflate; client_no_context_takeover"},
		{"7.1.1.2", "answered unasked", &Options{ClientNoContextTakeover: true},
			"permessage-deflate", "permessage-deflate; client_no_context_takeover"},
		{"7.1.1", "both", &Options{ServerNoContextTakeover: true, ClientNoContextTakeover: true},
			"permessage-deflate; client_max_window_bits", "permessage-deflate; server_no_context_takeover; client_no_context_takeover"},

		{"7.1.2.1", "offered must be answered", nil,
			"permessage-deflate; server_max_window_bits=10", "permessage-deflate; server_max_window_bits=10"},
		{"7.1.2.1", "offered 8", nil,
			"permessage-deflate; server_max_window_bits=8", "permessage-deflate; server_max_window_bits=8"},
		{"7.1.2.1", "offered 15 must be answered too", nil,
			"permessage-deflate; server_max_window_bits=15", "permessage-deflate; server_max_window_bits=15"},
		{"7.1.2.1", "ours is smaller", &Options{ServerMaxWindowBits: 9},
			"permessage-deflate; server_max_window_bits=12", "permessage-deflate; server_max_window_bits=9"},
		{"7.1.2.1", "theirs is smaller", &Options{ServerMaxWindowBits: 12},
			"permessage-deflate; server_max_window_bits=9", "permessage-deflate; server_max_window_bits=9"},
		{"7.1.2.1", "answered unasked", &Options{ServerMaxWindowBits: 11},
			"permessage-deflate", "permessage-deflate; server_max_window_bits=11"},

		{"7.1.2.2", "offered without value", &Options{ClientMaxWindowBits: 10},
			"permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits=10"},
		{"7.1.2.2", "ours is smaller", &Options{ClientMaxWindowBits: 10},
			"permessage-deflate; client_max_window_bits=12", "permessage-deflate; client_max_window_bits=10"},
		{"7.1.2.2", "theirs is smaller", &Options{ClientMaxWindowBits: 12},
			"permessage-deflate; client_max_window_bits=10", "permessage-deflate; client_max_window_bits=10"},
		{"7.1.2.2", "theirs is the only one", nil,
			"permessage-deflate; client_max_window_bits=8", "permessage-deflate; client_max_window_bits=8"},
		{"7.1.2.2", "15 needs no answer", nil,
			"permessage-deflate; client_max_window_bits=15", "permessage-deflate"},
		{"7.1.2.2", "never answered unless offered", &Options{ClientMaxWindowBits: 10},
			"permessage-deflate", "permessage-deflate; client_no_context_takeover"},

		{"7.1", "all four", &Options{ServerMaxWindowBits: 14, ClientMaxWindowBits: 13},
			"permessage-deflate; client_max_window_bits=12; server_max_window_bits=11; client_no_context_takeover; server_no_context_takeover",
			"permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=11; client_max_window_bits=12"},
		{"7.1", "quoted value", nil,
			`permessage-deflate; server_max_window_bits="10"`, "permessage-deflate; server_max_window_bits=10"},
		{"budget", "no room at all", &Options{Budget: full},
			"permessage-deflate; client_max_window_bits", "permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
		{"budget", "room for our own window", &Options{Budget: NewBudget(5 << 10)},
			"permessage-deflate; client_max_window_bits", "permessage-deflate; client_no_context_takeover"},
		{"budget", "room for the client's window", &Options{Budget: NewBudget(36 << 10)},
			"permessage-deflate; client_max_window_bits", "permessage-deflate; server_no_context_takeover"},
		{"budget", "room for both", &Options{Budget: NewBudget(36<<10 + 4608)},
			"permessage-deflate; client_max_window_bits", "permessage-deflate"},
	}
	for _, c := range cases {
		t.Run(c.section+" "+c.name, func(t *testing.T) {
			p, ok := c.o.Accept(header(t, c.offer))
			if !ok {
				t.Fatalf("declined %q", c.offer)
			}
			if got := p.String(); got != c.answer {
				t.Errorf("offer  %q\nanswer %q\nwant   %q", c.offer, got, c.answer)
			}
		})
	}
}

func TestClientOffers(t *testing.T) {
	cases := []struct {
		section, name string
		o             *Options
		offer         string
	}{
		{"7.1.2.2", "default", nil, "permessage-deflate; client_max_window_bits"},
		{"7.1.2.2", "15 is the default", &Options{ClientMaxWindowBits: 15, ServerMaxWindowBits: 15}, "permessage-deflate; client_max_window_bits"},
		{"7.1.2.2", "with a value", &Options{ClientMaxWindowBits: 9}, "permessage-deflate; client_max_window_bits=9"},
		{"7.1.2.1", "server's window", &Options{ServerMaxWindowBits: 9}, "permessage-deflate; server_max_window_bits=9; client_max_window_bits"},
		{"7.1.1.1", "server's context", &Options{ServerNoContextTakeover: true}, "permessage-deflate; server_no_context_takeover; client_max_window_bits"},
		{"7.1.1.2", "own context", &Options{ClientNoContextTakeover: true}, "permessage-deflate; client_no_context_takeover; client_max_window_bits"},
		{"budget", "no room", &Options{Budget: NewBudget(0)}, "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits"},
	}
	for _, c := range cases {
		t.Run(c.section+" "+c.name, func(t *testing.T) {
			if got := c.o.Offer(); got != c.offer {
				t.Errorf("got  %q\nwant %q", got, c.offer)
			}
			if _, ok := (*Options)(nil).Accept(header(t, c.o.Offer())); !ok {
				t.Error("our own server declines it")
			}
		})
	}
}

func TestClientConfirms(t *testing.T) {
	limited := &Options{ServerMaxWindowBits: 10, ClientMaxWindowBits: 12}
	cases := []struct {
		section, name string
		o             *Options
		answer        string
		want          Params // zero: the connection fails
	}{
		{"7.1", "plain", nil, "permessage-deflate", Params{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}},
		{"7.1.1.1", "unasked", nil, "permessage-deflate; server_no_context_takeover",
			Params{ServerNoContextTakeover: true, ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}},
		{"7.1.1.1", "asked and missing", &Options{ServerNoContextTakeover: true}, "permessage-deflate", Params{}},
		{"7.1.1.1", "asked for want of budget and missing", &Options{Budget: NewBudget(0)}, "permessage-deflate",
			Params{ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}},
		{"7.1.1.2", "binds us", nil, "permessage-deflate; client_no_context_takeover",
			Params{ClientNoContextTakeover: true, ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}},
		{"7.1.1.2", "hint ignored by the server", &Options{ClientNoContextTakeover: true}, "permessage-deflate",
			Params{ClientNoContextTakeover: true, ServerMaxWindowBits: 15, ClientMaxWindowBits: 15}},
		{"7.1.2.1", "unasked", nil, "permessage-deflate; server_max_window_bits=8",
			Params{ServerMaxWindowBits: 8, ClientMaxWindowBits: 15}},
		{"7.1.2.1", "as asked", limited, "permessage-deflate; server_max_window_bits=10",
			Params{ServerMaxWindowBits: 10, ClientMaxWindowBits: 12}},
		{"7.1.2.1", "smaller than asked", limited, "permessage-deflate; server_max_window_bits=9",
			Params{ServerMaxWindowBits: 9, ClientMaxWindowBits: 12}},
		{"7.1.2.1", "larger than asked", limited, "permessage-deflate; server_max_window_bits=11", Params{}},
		{"7.1.2.1", "asked and missing", limited, "permessage-deflate", Params{}},
		{"7.1.2.2", "with value", nil, "permessage-deflate; client_max_window_bits=9",
			Params{ServerMaxWindowBits: 15, ClientMaxWindowBits: 9}},
		{"7.1.2.2", "without value", nil, "permessage-deflate; client_max_window_bits", Params{}},
		{"7.1.2.2", "smaller than named", limited, "permessage-deflate; server_max_window_bits=10; client_max_window_bits=8",
			Params{ServerMaxWindowBits: 10, ClientMaxWindowBits: 8}},
		{"7.1.2.2", "larger than named", limited, "permessage-deflate; server_max_window_bits=10; client_max_window_bits=13", Params{}},
	}
	for _, c := range cases {
		t.Run(c.section+" "+c.name, func(t *testing.T) {
			p, err := c.o.Confirm(header(t, c.answer))
			if p != c.want || (err != nil) != (c.want == Params{}) {
				t.Errorf("answer %q: got %+v, %v; want %+v", c.answer, p, err, c.want)
			}
		})
	}
}

// TestNegotiateAll lets every combination of clients meet every server: each
// answer satisfies its client and both come to the same terms.
func TestNegotiateAll(t *testing.T) {
	var all []*Options
	bits := []int{0, 8, 11, 15}
	for i := range 4 {
		for _, s := range bits {
			for _, c := range bits {
				all = append(all, &Options{ServerNoContextTakeover: i&1 != 0, ClientNoContextTakeover: i&2 != 0,
					ServerMaxWindowBits: s, ClientMaxWindowBits: c})
			}
		}
	}
	for _, client := range all {
		for _, server := range all {
			theirs, ok := server.Accept(header(t, client.Offer()))
			if !ok {
				t.Fatalf("%q declined by %+v", client.Offer(), server)
			}
			ours, err := client.Confirm(header(t, theirs.String()))
			theirs.serverBitsOffered = false
			if err != nil || ours != theirs {
				t.Fatalf("offer %q answer %q: client %+v, server %+v, %v", client.Offer(), theirs, ours, theirs, err)
			}
		}
	}
}

func TestParamsStringOfZeroValue(t *testing.T) {
	if got := (Params{}).String(); got != "permessage-deflate" {
		t.Errorf("got %q", got)
	}
}

func TestOptionsValidate(t *testing.T) {
	for _, o := range []*Options{nil, {}, {Level: 1}, {Level: 9}, {ServerMaxWindowBits: 8, ClientMaxWindowBits: 15}} {
		if err := o.Validate(); err != nil {
			t.Errorf("%+v: %v", o, err)
		}
	}
	for field, o := range map[string]*Options{
		"Level":               {Level: 10},
		"Options.Level":       {Level: -1},
		"ServerMaxWindowBits": {ServerMaxWindowBits: 7},
		"ClientMaxWindowBits": {ClientMaxWindowBits: 16},
	} {
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%+v: error %v does not name %s", o, err, field)
		}
	}
}

// FuzzParams: whatever is offered, the answer is one that the rules for answers
// allow, and both readings of it agree.
func FuzzParams(f *testing.F) {
	for _, c := range wrong {
		f.Add(c.element)
	}
	f.Add("permessage-deflate; client_max_window_bits=12; server_max_window_bits=11; client_no_context_takeover")
	f.Fuzz(func(t *testing.T, element string) {
		_, rest, _ := strings.Cut(element, ";")
		params := header(t, Name+";"+rest)
		if p, err := (*Options)(nil).Confirm(params); err == nil {
			if _, ok := (*Options)(nil).Accept(params); !ok {
				t.Errorf("%q is an answer but no offer", rest)
			}
			if p.ServerMaxWindowBits < 8 || p.ServerMaxWindowBits > 15 || p.ClientMaxWindowBits < 8 || p.ClientMaxWindowBits > 15 {
				t.Errorf("%q: %+v", rest, p)
			}
		}
		for _, o := range []*Options{nil, {ServerMaxWindowBits: 9, ClientMaxWindowBits: 10}, {Budget: NewBudget(0)}} {
			p, ok := o.Accept(params)
			if !ok {
				continue
			}
			again, err := (*Options)(nil).Confirm(header(t, p.String()))
			p.serverBitsOffered = false
			if err != nil || again != p {
				t.Errorf("offer %q, answer %q: read back as %+v, %v", rest, p, again, err)
			}
		}
	})
}
