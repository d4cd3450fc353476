package natsbroker

import "testing"

// Whoever publishes to a stream that was made again finds out by the acknowledgement: a receipt never names a place of the old one.
func TestPublishToRecreated(t *testing.T) {
	a, b := twoBrokers(t)
	publish(t, a, "t", "1")
	before := publish(t, b, "t", "2")
	if err := a.js.DeleteStream(t.Context(), a.names.stream); err != nil {
		t.Fatal(err)
	}
	if err := a.stream.open(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	after := publish(t, a, "t", "3")
	if got := publish(t, b, "t", "4"); got.Epoch != after.Epoch || got.Epoch == before.Epoch || got.Offset <= after.Offset {
		t.Errorf("the other node published at %v, behind %v, and %v in the old stream", got, after, before)
	}
}
