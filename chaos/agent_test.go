package main

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"
)

// TestAgentEnds: an agent whose input ends, ends too, whatever its clients are doing.
func TestAgentEnds(t *testing.T) {
	in, orders := io.Pipe()
	out, told := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- runAgent(in, told) }()
	encoder := json.NewEncoder(orders)
	nowhere := clientSpec{
		Name: "go000", URL: "ws://127.0.0.1:1/ws", Subs: []subSpec{{Topic: "kept.a", Covers: []string{"kept.a"}}}, Publish: []string{"kept.a"}, Every: 1,
	}
	dir := t.TempDir()
	for _, o := range []order{{Do: "start", Dir: dir, Clients: []clientSpec{nowhere}}, {Do: "publish"}} {
		if err := encoder.Encode(o); err != nil {
			t.Fatal(err)
		}
	}
	decoder := json.NewDecoder(out)
	for {
		var s status
		if err := decoder.Decode(&s); err != nil {
			t.Fatal(err)
		}
		if s.OnTheWay == window { // and it waits for room
			break
		}
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	if err := orders.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it goes on")
	}
	r, err := readLogs(dir)
	if err != nil || len(r.sendings) < window || r.sendings[0].Acked {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestBadOrders: an agent that cannot do what it is told ends with a sentence.
func TestBadOrders(t *testing.T) {
	for _, c := range []struct{ order, says string }{
		{`{"do":"dance"}`, `cannot "dance"`},
		{`{"do":`, "unexpected end of JSON"},
		{`{"do":"start","dir":"/nowhere/at/all","clients":[{"name":"x"}]}`, "no such file"},
	} {
		if err := runAgent(strings.NewReader(c.order+"\n"), io.Discard); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.order, err)
		}
	}
}
