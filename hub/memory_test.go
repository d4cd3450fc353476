package hub_test

import (
	"testing"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/hub/hubtest"
)

func TestMemoryBroker(t *testing.T) {
	hubtest.TestBroker(t, func(*testing.T) hub.Broker { return hub.NewMemoryBroker(hub.MemoryOptions{}) })
}
