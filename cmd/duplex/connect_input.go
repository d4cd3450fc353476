package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/websocket"
	"github.com/duplex-websocket/duplex/websocket/protocol"
)

// actionKind is what a line of input asks for.
type actionKind uint8

const (
	actionNone actionKind = iota
	actionSend
	actionPing
	actionClose
	actionQuit
	actionHelp
	actionInfo
)

// action is one parsed line of input.
type action struct {
	kind    actionKind
	typ     websocket.MessageType // of actionSend
	payload []byte                // of actionSend
	code    websocket.StatusCode  // of actionClose; 0 sends a close frame without a code
	reason  string                // of actionClose
}

// slashCommand is one command that can be typed at the prompt.
type slashCommand struct {
	name, arguments, help string
	parse                 func(arguments string) (action, error)
}

// slashCommands is the table behind the prompt, its completion and its help.
var slashCommands = []slashCommand{
	{"/text", "TEXT", "send TEXT (also //TEXT, to send what starts with a slash)", parseText},
	{"/binary", "TEXT", "send TEXT as a binary message", parseBinary},
	{"/hex", "00ff", "send bytes, written in hexadecimal, as a binary message", parseHexMessage},
	{"/file", "PATH", "send a file: as text if it is UTF-8, else as binary", parseFileMessage},
	{"/ping", "", "send a ping and show how long its pong takes", parseAs(actionPing)},
	{"/close", "[CODE [REASON]]", "close with this code (default 1000; 1005 sends none) and leave", parseClose},
	{"/info", "", "show what was negotiated and the server's headers", parseAs(actionInfo)},
	{"/help", "", "show this list", parseAs(actionHelp)},
	{"/quit", "", "close with 1000 and leave (also Ctrl-D and Ctrl-C)", parseAs(actionQuit)},
}

// parseLine turns one line into an action. Without slash every line is a message of type typ; with it a line that
// begins with one slash is a command.
func parseLine(line string, typ websocket.MessageType, slash bool) (action, error) {
	if !slash || !strings.HasPrefix(line, "/") {
		return message(typ, []byte(line))
	}
	if rest, doubled := strings.CutPrefix(line, "//"); doubled {
		return message(typ, []byte("/"+rest))
	}
	name, arguments, _ := strings.Cut(line, " ")
	i := slices.IndexFunc(slashCommands, func(c slashCommand) bool { return c.name == name })
	if i < 0 {
		return action{}, fmt.Errorf("%s is no command; /help lists them, and //%s sends it as text", visible(name), visible(line[1:]))
	}
	return slashCommands[i].parse(arguments)
}

// message checks what the receiver would have to fail the connection for (RFC 6455, 8.1).
func message(typ websocket.MessageType, payload []byte) (action, error) {
	if typ == websocket.Text && !utf8.Valid(payload) {
		return action{}, fmt.Errorf("not valid UTF-8, which text messages must be; --binary sends bytes")
	}
	return action{kind: actionSend, typ: typ, payload: payload}, nil
}

func parseText(s string) (action, error)   { return message(websocket.Text, []byte(s)) }
func parseBinary(s string) (action, error) { return message(websocket.Binary, []byte(s)) }

func parseHexMessage(s string) (action, error) {
	p, err := parseHex(s)
	if err != nil {
		return action{}, err
	}
	return message(websocket.Binary, p)
}

func parseFileMessage(s string) (action, error) {
	name := strings.TrimSpace(s)
	if name == "" {
		return action{}, fmt.Errorf("/file needs a path, e.g. /file picture.png")
	}
	p, err := os.ReadFile(name)
	if err != nil {
		return action{}, err
	}
	if utf8.Valid(p) {
		return message(websocket.Text, p)
	}
	return message(websocket.Binary, p)
}

func parseAs(kind actionKind) func(string) (action, error) {
	return func(string) (action, error) { return action{kind: kind}, nil }
}

// parseClose reads "/close [CODE [REASON]]" and refuses what may not be sent (RFC 6455, 7.4).
func parseClose(s string) (action, error) {
	number, reason, _ := strings.Cut(strings.TrimSpace(s), " ")
	if number == "" {
		return action{kind: actionClose, code: websocket.StatusNormalClosure}, nil
	}
	code, err := strconv.ParseUint(number, 10, 16)
	if err != nil {
		return action{}, fmt.Errorf("%q is no close code; write a number, e.g. /close 1000 bye", visible(number))
	}
	if err := protocol.CheckClose(websocket.StatusCode(code), reason); err != nil {
		return action{}, err
	}
	return action{kind: actionClose, code: websocket.StatusCode(code), reason: reason}, nil
}

// completeCommand is the prompt's answer to the Tab key: it completes a command as far as it is unambiguous.
// Elsewhere Tab is a character like any other.
func completeCommand(line string, pos int, key rune) (newLine string, newPos int, ok bool) {
	if key != '\t' {
		return "", 0, false
	}
	if !strings.HasPrefix(line, "/") || strings.Contains(line[:pos], " ") {
		return line[:pos] + "\t" + line[pos:], pos + 1, true
	}
	completed := ""
	for _, c := range slashCommands {
		switch {
		case !strings.HasPrefix(c.name, line[:pos]):
		case completed == "":
			completed = c.name + " "
		default:
			completed = completed[:commonPrefix(completed, c.name)]
		}
	}
	if completed == "" {
		return line, pos, true
	}
	return completed + line[pos:], len(completed), true
}

func commonPrefix(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

// slashHelp lists the commands in two columns.
func slashHelp() []string {
	lines := make([]string, 0, len(slashCommands))
	for _, c := range slashCommands {
		lines = append(lines, fmt.Sprintf("%-24s %s", strings.TrimSpace(c.name+" "+c.arguments), c.help))
	}
	return lines
}
