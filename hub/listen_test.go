package hub

import (
	"context"
	"testing"
)

// TestListen: the program itself hears what nobody else may, and nobody sees it.
func TestListen(t *testing.T) {
	asked := 0
	f := newFixture(t, Options{
		Topics: []Rule{{Pattern: "secret.*", TopicOptions: TopicOptions{
			HistoryMessages: 10, Presence: PresenceFull, Subscribe: Nobody, Publish: Nobody, ReadHistory: Nobody, ReadPresence: Nobody,
		}}},
		Hooks: Hooks{
			Subscribe: func(*SubscribeCall) error { asked++; return nil },
			Publish:   func(*PublishCall) error { asked++; return nil },
		},
	})
	ctx := context.Background()
	if _, err := f.hub.Publish(ctx, "secret.a", data("1")); err != nil {
		t.Fatal(err)
	}
	heard := newInbox()
	own, err := f.hub.Listen(heard)
	if err != nil {
		t.Fatal(err)
	}
	f.subscribe(own, "secret.*", SubscribeOptions{Last: 10})
	f.publish(own, "secret.a", "2")
	heard.expect(t, "secret.* secret.a : 1", "secret.* secret.a : 2")

	sessions, err := f.hub.Sessions(ctx, SessionQuery{})
	if stats := f.hub.Stats(); err != nil || len(sessions.Sessions) != 0 || stats.Subscribers != 0 || asked != 0 {
		t.Errorf("%d sessions, %d subscribers, %d questions: %v", len(sessions.Sessions), stats.Subscribers, asked, err)
	}
	f.subscribe(own, "secret.a", SubscribeOptions{Presence: true})
	if present, err := f.hub.Presence(ctx, "secret.a"); err != nil || present.Connections != 0 {
		t.Errorf("%d are present: %v", present.Connections, err)
	}
	who := Selector{Session: own.ID()}
	if n, _ := f.hub.Disconnect(ctx, who, End{Code: EndDisconnected}); n != 0 {
		t.Error("an operator has disconnected the program")
	}
	if n, _ := f.hub.Unsubscribe(ctx, who, "secret.a", Errorf(CodeForbidden, "no")); n != 0 {
		t.Error("an operator has ended a subscription of the program")
	}
	if err := f.hub.SetTopics([]Rule{{Pattern: ">", TopicOptions: TopicOptions{Subscribe: Nobody}}}); err != nil {
		t.Fatal(err)
	}
	f.publish(own, "secret.b", "3")
	heard.expect(t, "secret.* secret.b : 3")

	own.Close()
	if stats := f.hub.Stats(); stats.Subscribers != 0 || stats.Subscriptions != 0 {
		t.Errorf("%d subscribers with %d subscriptions", stats.Subscribers, stats.Subscriptions)
	}
	f.hub.Close()
	_, err = f.hub.Listen(heard)
	f.refused(CodeUnavailable, err)
}
