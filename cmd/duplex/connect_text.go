package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What a server sends is shown on somebody's terminal, so it must not be able to do more than be read: control
// characters could move the cursor, rename the window or answer for the user; characters that change the direction
// of text could make one thing look like another.

const (
	zeroWidthNonJoiner = '\u200c'
	zeroWidthJoiner    = '\u200d'
)

// harmlessRune reports whether r can be shown as it is. The two joiners shape emoji and several scripts
// and do nothing else.
func harmlessRune(r rune) bool {
	return unicode.IsGraphic(r) && r != '\u2028' && r != '\u2029' || r == zeroWidthJoiner || r == zeroWidthNonJoiner
}

// appendVisible appends s to dst with everything that is not plain text escaped as Go writes it in
// strings (\x1b, \u202e). Tabs stay when keepTabs is set; line breaks never do.
func appendVisible(dst []byte, s string, keepTabs bool) []byte {
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1:
			dst = fmt.Appendf(dst, `\x%02x`, s[0])
		case r == '\t' && keepTabs, harmlessRune(r):
			dst = append(dst, s[:n]...)
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r < 0x80:
			dst = fmt.Appendf(dst, `\x%02x`, r)
		case r > 0xffff:
			dst = fmt.Appendf(dst, `\U%08x`, r)
		default:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		}
		s = s[n:]
	}
	return dst
}

// visible is s on one line, safe to show: for close reasons, headers, error texts.
func visible(s string) string { return string(appendVisible(nil, s, false)) }

// visibleLines splits text at its line breaks and makes each line safe to show.
func visibleLines(text string) []string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = string(appendVisible(nil, line, true))
	}
	return lines
}

// indentJSON lays a JSON text out over several lines. Numbers, the order of members and duplicates stay as they are;
// ok is false for what is not JSON.
func indentJSON(p []byte) (pretty []byte, ok bool) {
	var b bytes.Buffer
	if json.Indent(&b, p, "", "  ") != nil {
		return nil, false
	}
	return b.Bytes(), true
}

// dumpLines shows bytes with offset, hexadecimal and ASCII columns, 16 to a line.
func dumpLines(p []byte) []string {
	if len(p) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(hex.Dump(p), "\n"), "\n")
}

// parseHex reads the bytes that a person types: two digits each, with or without spaces, colons or a leading 0x.
func parseHex(s string) ([]byte, error) {
	var digits strings.Builder
	for _, field := range strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r == ':' || r == ',' }) {
		field = strings.TrimPrefix(strings.TrimPrefix(field, "0x"), "0X")
		if len(field)%2 != 0 {
			return nil, fmt.Errorf("%q has an odd number of hexadecimal digits; write two for each byte, e.g. 00ff", field)
		}
		digits.WriteString(field)
	}
	p, err := hex.DecodeString(digits.String())
	if err != nil {
		return nil, fmt.Errorf("%q is not hexadecimal; write two digits for each byte, e.g. 00ff", s)
	}
	return p, nil
}

// cut shortens p to at most limit bytes without splitting a character, and says how many bytes are left out.
func cut(p []byte, limit int) (head []byte, left int) {
	if len(p) <= limit {
		return p, 0
	}
	end := limit
	for end > limit-utf8.UTFMax && end > 0 && !utf8.RuneStart(p[end]) {
		end--
	}
	return p[:end], len(p) - end
}
