package hub

import (
	"context"
	"slices"
)

// offer is that a node answers requests.
type offer struct {
	node   Node
	method string // a pattern
}

// Cast implements Broker.
func (b *MemoryBroker) Cast(_ context.Context, from Node, command string, data []byte) (answers [][]byte, err error) {
	b.mu.Lock()
	var others []Node
	for n := range b.roster.nodes {
		if n != from {
			others = append(others, n)
		}
	}
	b.mu.Unlock()
	for _, n := range others {
		answers = append(answers, n.Do(command, data))
	}
	return answers, nil
}

// Offer implements Broker.
func (b *MemoryBroker) Offer(node Node, method string) (withdraw func(), err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	o := &offer{node, method}
	b.offers = append(b.offers, o)
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.offers = slices.DeleteFunc(b.offers, func(other *offer) bool { return other == o })
	}, nil
}

// Call implements Broker.
func (b *MemoryBroker) Call(ctx context.Context, from Node, method string, data []byte) (answer []byte, err error) {
	b.mu.Lock()
	i := slices.IndexFunc(b.offers, func(o *offer) bool { return o.node != from && Match(o.method, method) })
	var n Node
	if i >= 0 {
		n = b.offers[i].node
	}
	b.mu.Unlock()
	if n == nil {
		return nil, Errorf(CodeUnknownMethod, "nobody answers %s", method)
	}
	return n.Answer(ctx, method, data), nil
}
