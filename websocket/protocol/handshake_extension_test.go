package protocol

import (
	"reflect"
	"testing"

	"github.com/duplex-websocket/duplex/websocket/deflate"
)

// RFC 6455, section 9.1.
func TestParseExtensions(t *testing.T) {
	param := func(name string) deflate.Param { return deflate.Param{Name: name} }
	value := func(name, value string) deflate.Param { return deflate.Param{Name: name, Value: value, HasValue: true} }
	tests := []struct {
		name   string
		values []string
		want   []Extension
	}{
		{"no header", nil, nil},
		{"one", []string{"foo"}, []Extension{{"foo", nil}}},
		{"two in a line", []string{"foo,bar"}, []Extension{{"foo", nil}, {"bar", nil}}},
		{"two in two lines", []string{"foo", "bar"}, []Extension{{"foo", nil}, {"bar", nil}}},
		{"the RFC's example", []string{"foo, bar; baz=2"}, []Extension{{"foo", nil}, {"bar", []deflate.Param{value("baz", "2")}}}},
		{"several parameters", []string{"a;b;c=1;d"}, []Extension{{"a", []deflate.Param{param("b"), value("c", "1"), param("d")}}}},
		{"repeated parameter", []string{"a;b;b"}, []Extension{{"a", []deflate.Param{param("b"), param("b")}}}},
		{"quoted", []string{`a; b="10"`}, []Extension{{"a", []deflate.Param{value("b", "10")}}}},
		{"quoted with escape", []string{`a; b="1\0"`}, []Extension{{"a", []deflate.Param{value("b", "10")}}}},
		{"white space everywhere", []string{" \ta ;\tb = 1 ; c , d "}, []Extension{{"a", []deflate.Param{value("b", "1"), param("c")}}, {"d", nil}}},
		{"empty elements", []string{", a,, b ,", ""}, []Extension{{"a", nil}, {"b", nil}}},
		{"comma, then line", []string{"", "a"}, []Extension{{"a", nil}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := ParseExtensions(test.values)
			if err != nil || !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %+v, %v; want %+v", got, err, test.want)
			}
		})
	}
}

func TestParseExtensionsMalformed(t *testing.T) {
	for name, value := range map[string]string{
		"empty":                      "",
		"space":                      "  ",
		"commas":                     ",,",
		"semicolon alone":            ";",
		"no name":                    ";a",
		"no parameter":               "a;",
		"no parameter, then another": "a;;b",
		"no parameter, then comma":   "a;,b",
		"no value":                   "a;b=",
		"no value, then another":     "a;b=;c",
		"parameter without a name":   "a;=1",
		"two names":                  "a b",
		"two parameters":             "a;b c",
		"two values":                 "a;b=1 2",
		"two equals":                 "a;b==1",
		"value on the name":          "a=1",
		"no closing quote":           `a;b="1`,
		"escape at the end":          `a;b="1\`,
		"escaped closing quote":      `a;b="1\"`,
		"quoted nothing":             `a;b=""`,
		"quoted space":               `a;b="1 2"`,
		"quoted escaped quote":       `a;b="\""`,
		"quoted comma":               `a;b="1,2"`,
		"text behind the quote":      `a;b="1"2`,
		"quoted name":                `"a"`,
		"control character":          "a\x01",
		"byte above ASCII":           "a;b=\xff",
		"malformed behind good":      "permessage-deflate, @",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := ParseExtensions([]string{value})
			mustRefuse(t, err, 0, "Sec-WebSocket-Extensions")
			if got != nil {
				t.Errorf("got %v beside an error", got)
			}
		})
	}
}
