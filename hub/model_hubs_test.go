package hub_test

import (
	"testing"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/hub/hubtest"
)

// The model of several nodes holds for hubs on one MemoryBroker, too, so that it means the same for all brokers.
func TestModelOfNodes(t *testing.T) {
	b := hub.NewMemoryBroker(hub.MemoryOptions{})
	hubtest.TestModel(t, hubtest.Options{
		Open: func(int) (hub.Broker, func(), error) { return b, func() {}, nil }, Placed: true,
	})
}
