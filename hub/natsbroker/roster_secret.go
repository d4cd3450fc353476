package natsbroker

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

const secretBytes = 32

// Secret returns 32 random bytes that all nodes of the cluster share under a name. Whoever asks first makes them; they last as long as
// the bucket does. Everybody who may read the bucket can read them. A name is any text of 1 to 100 bytes.
func (b *Broker) Secret(ctx context.Context, name string) ([]byte, error) {
	if len(name) == 0 || len(name) > 100 {
		return nil, fmt.Errorf("natsbroker: the name of a secret has 1 to 100 bytes, not %d", len(name))
	}
	k := &b.roster.bucket
	key := secretKeys + token(name)
	fresh := make([]byte, secretBytes)
	rand.Read(fresh) // it does not fail
	for range 2 {
		found, err := k.last(ctx, key)
		if err == nil && len(found.data) != secretBytes {
			return nil, fmt.Errorf("natsbroker: the secret %q has %d bytes in the bucket, not %d", name, len(found.data), secretBytes)
		}
		if err == nil {
			return found.data, nil
		}
		if !errors.Is(err, errNone) {
			return nil, failed(ctx, "the secret cannot be read", err)
		}
		_, err = k.put(ctx, key, fresh, jetstream.WithExpectLastSequencePerSubject(0))
		switch {
		case err == nil:
			return fresh, nil
		case !isConflict(err): // somebody else was faster if it is one
			return nil, failed(ctx, "the secret cannot be stored", err)
		}
	}
	return nil, unavailable("the secret cannot be read", errors.New("it was stored by somebody, and is not there"))
}
