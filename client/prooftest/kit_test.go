package prooftest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/client"
)

// limit bounds every test; they take a few seconds.
const limit = 60 * time.Second

// ledger is what all publishers know.
type ledger struct {
	mu  sync.Mutex
	all []published
}

// publish publishes number seq of a publisher to a topic and notes what is known of it. Only an error other than "perhaps" fails.
func (l *ledger) publish(ctx context.Context, c *client.Client, p published) error {
	receipt, err := c.Publish(ctx, p.topic, p.publication())
	return l.note(p, receipt, err)
}

func (p *published) publication() client.Publication {
	return client.Publication{ID: p.id(), Data: fmt.Appendf(nil, "%q", p.id())}
}

func (l *ledger) note(p published, receipt client.Receipt, err error) error {
	p.acked, p.position = err == nil, receipt.Position
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, p)
	return err
}

// epochs counts the acknowledged publications by epoch.
func (l *ledger) epochs() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	found := make(map[string]int)
	for _, p := range l.all {
		if p.acked {
			found[p.position.Epoch]++
		}
	}
	return found
}

// follow notes what a subscription is told, until the last message of its topic or the end of ctx. The journal may have a beginning.
func follow(ctx context.Context, s *client.Subscription, j *journal) error {
	if len(j.entries) == 0 {
		j.entries = append(j.entries, entry{kind: entryBegin, position: s.Position()})
	}
	for {
		e, err := s.Next(ctx)
		if err != nil {
			return fmt.Errorf("%s of %s: %w", j.name, j.topic, err)
		}
		switch e := e.(type) {
		case *client.Message:
			j.entries = append(j.entries, entry{kind: entryMessage, position: e.Position, id: e.ID})
			if string(e.Data) != fmt.Sprintf("%q", e.ID) {
				return fmt.Errorf("%s of %s: the data of %s is %s", j.name, j.topic, e.ID, e.Data)
			}
			if strings.HasSuffix(e.ID, endID) {
				return nil
			}
		case *client.Gap:
			j.entries = append(j.entries, entry{kind: entryGap, since: e.Since, until: e.Until})
		case *client.Resubscribed:
			j.entries = append(j.entries, entry{kind: entryResubscribed, position: e.Position, recovered: e.Recovered})
		}
	}
}

// group runs functions at the same time and collects their errors.
type group struct {
	wg   sync.WaitGroup
	mu   sync.Mutex
	errs []error
}

func (g *group) run(f func() error) {
	g.wg.Go(func() {
		if err := f(); err != nil {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.errs = append(g.errs, err)
		}
	})
}

// wait fails the test if a function has failed.
func (g *group) wait(t *testing.T, what string) {
	t.Helper()
	g.wg.Wait()
	if len(g.errs) > 0 {
		t.Fatalf("%s: %d failed: %v", what, len(g.errs), errors.Join(g.errs[:min(len(g.errs), 3)]...))
	}
}

// report fails the test with what check complains about.
func report(t *testing.T, l *ledger, journals []*journal) {
	t.Helper()
	all := make([]journal, len(journals))
	for i, j := range journals {
		all[i] = *j
	}
	complaints := check(l.all, all)
	for _, c := range complaints[:min(len(complaints), 20)] {
		t.Error(c)
	}
	if n := len(complaints); n > 20 {
		t.Errorf("and %d more", n-20)
	}
}
