package webapi

import (
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// newTarget is an EventTarget without a socket, used as a WebSocket's.
func newTarget() (*EventTarget, *WebSocket) {
	w := &WebSocket{c: newConnection(&plan{url: "ws://user:secret@h/?token=secret", options: &Options{}}, nil, nil)}
	w.init(quiet)
	return &w.EventTarget, w
}

func (t *EventTarget) fireAndWait(events ...Event) {
	t.postAndWait(func() []Event { return events }, nil)
}

// DOM, sections 2.7 and 2.9: order, duplicates, once, removal.
func TestListeners(t *testing.T) {
	target, w := newTarget()
	var got []string
	add := func(name string) *Listener { return NewListener(func(Event) { got = append(got, name) }) }
	fire := func(want ...string) {
		t.Helper()
		got = nil
		target.fireAndWait(&OpenEvent{target: w})
		if !slices.Equal(got, want) {
			t.Errorf("called %q, want %q", got, want)
		}
	}
	a, b, once := add("a"), add("b"), add("once")
	target.AddEventListener(TypeOpen, a)
	target.OnOpen(func(*OpenEvent) { got = append(got, "handler") })
	target.AddEventListener(TypeOpen, b)
	target.AddEventListener(TypeOpen, a) // again: nothing
	target.AddEventListener(TypeOpen, once, ListenerOptions{Once: true})
	target.AddEventListener(TypeOpen, nil)
	target.AddEventListener(TypeClose, add("other type"))
	fire("a", "handler", "b", "once")
	fire("a", "handler", "b")
	target.OnOpen(func(*OpenEvent) { got = append(got, "new handler") }) // keeps its place
	target.RemoveEventListener(TypeOpen, a)
	target.RemoveEventListener(TypeOpen, once)
	target.RemoveEventListener(TypeOpen, nil)
	fire("new handler", "b")
	target.OnOpen(nil)
	target.OnOpen(nil)
	fire("b")
	target.OnOpen(func(*OpenEvent) { got = append(got, "handler") }) // a new place
	fire("b", "handler")
}

// DOM, section 2.9: who is removed or added while an event is fired.
func TestListenersChangedWhileFired(t *testing.T) {
	target, w := newTarget()
	var got []string
	removed := NewListener(func(Event) { got = append(got, "removed") })
	added := NewListener(func(Event) { got = append(got, "added") })
	target.AddEventListener(TypeOpen, NewListener(func(Event) {
		got = append(got, "first")
		target.RemoveEventListener(TypeOpen, removed)
		target.AddEventListener(TypeOpen, added)
	}))
	target.AddEventListener(TypeOpen, removed)
	target.fireAndWait(&OpenEvent{target: w})
	if want := []string{"first"}; !slices.Equal(got, want) {
		t.Errorf("called %q, want %q", got, want)
	}
	got = nil
	target.fireAndWait(&OpenEvent{target: w})
	if want := []string{"first", "added"}; !slices.Equal(got, want) {
		t.Errorf("called %q, want %q", got, want)
	}
}

// A panic, and the end of the goroutine, harm nobody else.
func TestListenerThatFails(t *testing.T) {
	var log strings.Builder
	target, w := newTarget()
	target.logger = textLogger(&log)
	calls := 0
	target.AddEventListener(TypeOpen, NewListener(func(Event) { panic("at the disco") }))
	target.AddEventListener(TypeOpen, NewListener(func(Event) { calls++ }))
	target.AddEventListener(TypeError, NewListener(func(Event) { runtime.Goexit() }))
	target.fireAndWait(&OpenEvent{target: w})
	target.fireAndWait(&ErrorEvent{target: w})
	target.fireAndWait(&OpenEvent{target: w})
	if calls != 2 {
		t.Errorf("the other listener was called %d times, want 2", calls)
	}
	if !strings.Contains(log.String(), "at the disco") || !strings.Contains(log.String(), "target_test.go") || strings.Contains(log.String(), "secret") {
		t.Errorf("the log says %q, want the panic with its stack and no secret", log.String())
	}
}

// Events that came before anybody listened are fired when somebody does.
func TestLateListeners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, w := newTarget()
		target.fireAndWait(&OpenEvent{target: w}, &MessageEvent{Data: "1", target: w}, &MessageEvent{Data: "2", target: w}, &CloseEvent{target: w})
		j := &journal{}
		target.OnOpen(func(e *OpenEvent) { j.add("%s", describe(e)) })
		target.OnMessage(func(e *MessageEvent) { j.add("%s", describe(e)) })
		synctest.Wait()
		j.want(t, "open", "text 1", "text 2")
		target.OnMessage(nil)
		target.fireAndWait(&MessageEvent{Data: "unheard", target: w}) // who unset the handler wants none
		target.OnMessage(func(e *MessageEvent) { j.add("%s", describe(e)) })
		target.OnClose(func(e *CloseEvent) { j.add("%s", describe(e)) })
		synctest.Wait()
		j.want(t, "open", "text 1", "text 2", `close 0 "" false`)
	})
}

func TestKeptEventsAreBounded(t *testing.T) {
	for _, c := range []struct {
		name   string
		event  func(w *WebSocket) Event
		events int
	}{
		{"count", func(w *WebSocket) Event { return &ErrorEvent{target: w} }, maxKeptEvents + 1},
		{"bytes", func(w *WebSocket) Event { return &MessageEvent{Data: make([]byte, maxKeptBytes/4), target: w} }, 5},
	} {
		target, w := newTarget()
		for range c.events {
			target.fireAndWait(c.event(w))
		}
		if len(target.kept) != 0 || target.keptBytes != 0 {
			t.Errorf("%s: %d events with %d bytes are kept", c.name, len(target.kept), target.keptBytes)
		}
		target.fireAndWait(c.event(w), &CloseEvent{target: w})
		if len(target.kept) != 1 || target.kept[0].event.Type() != TypeClose {
			t.Errorf("%s: kept are %v, want the close event", c.name, target.kept)
		}
	}
}

// Who registers and then waits for Done has heard everything, whenever that is.
func TestDoneWaitsForLateListeners(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(end func())
	}{
		{"registered after the end", func(end func()) { end() }},
		{"registered during the end", func(end func()) { go end() }},
	} {
		for range 200 {
			target, w := newTarget()
			c.end(func() {
				target.postAndWait(func() []Event { return []Event{&OpenEvent{target: w}, &CloseEvent{target: w}} }, target.end)
			})
			heard := 0
			target.OnClose(func(*CloseEvent) { heard++ })
			target.OnOpen(func(*OpenEvent) { heard++ })
			<-target.Done()
			if heard != 2 {
				t.Fatalf("%s: %d of 2 events were heard when Done was closed", c.name, heard)
			}
			<-target.Done()
		}
	}
}
