package server

import (
	"context"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

const keyTimeout = 30 * time.Second // for the key of sessions to be read

// secretKeeper is a broker whose nodes share secrets.
type secretKeeper interface {
	Secret(ctx context.Context, name string) ([]byte, error)
}

// sharedKey returns what all servers of a broker sign sessions with, so that a client that comes back to another one, or after a restart, is
// who it was. It is nil for a broker without secrets.
func sharedKey(ctx context.Context, b hub.Broker) ([]byte, error) {
	keeper, is := b.(secretKeeper)
	if !is {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, keyTimeout)
	defer cancel()
	return keeper.Secret(ctx, "sessions")
}
