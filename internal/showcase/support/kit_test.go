package support

import (
	"testing"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase/showcasetest"
)

// shop is the app, someone a visitor or an agent.
type shop struct{ *showcasetest.Place }

type someone struct {
	*showcasetest.Someone
	t *testing.T
}

func openShop(t *testing.T, broker hub.Broker, everybody bool) shop {
	t.Helper()
	return shop{showcasetest.Open(t, broker, everybody, New)}
}

func (s shop) enter(user, name string) someone {
	s.Helper()
	return someone{s.Enter(user, name), s.T}
}

func (w someone) mustDo(id string, events ...event) {
	w.t.Helper()
	for _, e := range events {
		if err := w.Say(topicTalk+id, e); err != nil {
			w.t.Fatalf("%+v: %v", e, err)
		}
	}
}

// begin begins a conversation, and returns its id.
func (w someone) begin() string {
	w.t.Helper()
	var answer struct{ ID string }
	if err := w.Ask(prefix+"open", nil, &answer); err != nil {
		w.t.Fatal(err)
	}
	return answer.ID
}

// lists returns what an agent sees.
func (w someone) lists() map[string]conversation {
	w.t.Helper()
	var answer struct{ Conversations []conversation }
	if err := w.Ask(prefix+"desk", nil, &answer); err != nil {
		w.t.Fatal(err)
	}
	all := make(map[string]conversation)
	for _, c := range answer.Conversations {
		all[c.ID] = c
	}
	return all
}
