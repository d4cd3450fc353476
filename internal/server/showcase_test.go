package server

import (
	"testing"
)

// TestSlowLineAsksForTokens: the second door to the hub, which the quotes have, is as closed as the first one.
func TestSlowLineAsksForTokens(t *testing.T) {
	settings := configured(t, "demo: on\ntokens: {keys: [{file: "+secretFile(t, tokenSecret)+", algorithm: HS256}]}\n")
	address := start(t, Config{Settings: settings})
	for _, door := range []string{address, address + "quotes/slow?"} { // to which the path of the sessions is added
		p, err := dialSession(t, door, nil)
		if err != nil {
			t.Fatal(err)
		}
		if reply := p.ask(map[string]any{"type": "connect"}); reply["code"] != "token-missing" {
			t.Errorf("%s lets in who has no token: %v", door, reply)
		}
	}
}

// TestConsoleIsClosed to visitors where the API has keys, whichever way they ask, and knows the warnings of the server.
func TestConsoleIsClosed(t *testing.T) {
	const apiKey = "a-key-that-the-test-has-for-itself"
	address := start(t, Config{Settings: configured(t, "api: {keys: ["+apiKey+"]}\n")})
	visitor := join(t, address, "")
	for _, topic := range []string{"demo.console.figures", "demo.console.>", "demo.>", ">"} {
		if reply := visitor.ask(map[string]any{"type": "subscribe", "topic": topic}); reply["type"] != "error" {
			t.Errorf("a visitor listens to %s: %v", topic, reply)
		}
	}
	if reply := visitor.ask(map[string]any{"type": "request", "method": "demo.console.errors"}); reply["code"] != "demo.not-operator" {
		t.Errorf("a visitor reads the log: %v", reply)
	}
	operator := join(t, address, "")
	if reply := operator.ask(map[string]any{"type": "request", "method": "demo.operator", "data": map[string]string{"key": apiKey}}); reply["type"] != "reply" {
		t.Fatalf("the key is not taken: %v", reply)
	}
	for _, method := range []string{"errors", "sessions", "topics", "past"} {
		if reply := operator.ask(map[string]any{"type": "request", "method": "demo.console." + method}); reply["type"] != "reply" {
			t.Errorf("an operator asks for %s: %v", method, reply)
		}
	}
	if reply := operator.ask(map[string]any{"type": "subscribe", "topic": "demo.console.figures"}); reply["type"] != "reply" {
		t.Errorf("an operator listens: %v", reply)
	}
}
