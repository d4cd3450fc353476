package natsbroker

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/duplex-websocket/duplex/hub"
)

// others returns where the other nodes are, those that offer a method if it is not empty. With exact it is as the bucket's leader knows it, or
// else as it is known here.
func (r *roster) others(ctx context.Context, n hub.Node, method string, exact bool) ([]string, error) {
	a, err := r.of(n)
	if err != nil {
		return nil, err
	}
	if exact {
		last, err := r.bucket.last(ctx, leaseKeys+"*")
		if err == nil && last.sequence > r.leasesSeen() {
			err = r.auditLeases(ctx)
		}
		if err != nil && !errors.Is(err, errNone) {
			return nil, failed(ctx, "the other nodes cannot be found out", err)
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leases.addresses(a.address, method), nil
}

func (r *roster) leasesSeen() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.leases.seen
}

// there reports whether a node with this address has a valid lease.
func (r *roster) there(address string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, lease := range r.leases.all {
		if lease.State == leaseValid && lease.Address == address {
			return true
		}
	}
	return false
}

// offers reports whether a node of ours offers a method.
func (r *roster) offers(a *attached, method string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(a.offers, func(o *offer) bool { return hub.Match(o.method, method) })
}

// changeOffers changes what a node of ours offers, and lets the others know by its lease.
func (r *roster) changeOffers(a *attached, change func([]*offer) []*offer) error {
	a.renewing.Lock()
	defer a.renewing.Unlock()
	if a.left {
		return errDetached
	}
	r.mu.Lock()
	before := slices.Clone(a.offers)
	a.offers = change(a.offers)
	n := len(a.offers)
	r.mu.Unlock()
	err := error(nil)
	if n > maxOffers && n > len(before) {
		err = fmt.Errorf("a node offers at most %d", maxOffers)
	} else {
		_, err = r.renew(r.b.life, a) // if the lease is over, the next one says it
	}
	if err != nil && n > len(before) {
		r.mu.Lock()
		a.offers = before
		r.mu.Unlock()
	}
	return err
}
