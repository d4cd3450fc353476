// Package prooftest proves what the client and the server promise together: on real sockets, with a server that is killed and a network
// that is bad, whoever subscribes gets every acknowledged message once and in order, or is told of a gap.
package prooftest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/client"
	"github.com/duplex-websocket/duplex/internal/ledger"
)

// limit bounds every test; they take a few seconds.
const limit = 60 * time.Second

// records is what all publishers know.
type records struct {
	mu  sync.Mutex
	all []ledger.Publication
}

// of is number seq of a publisher to a topic.
func of(topic string, publisher, seq int) ledger.Publication {
	return ledger.Publication{
		Topic: topic, ID: fmt.Sprintf("%s-%d-%d", topic, publisher, seq), Publisher: fmt.Sprint(publisher), Seq: seq,
	}
}

// theEnd is what comes when all others have been published.
func theEnd(topic string) ledger.Publication {
	return ledger.Publication{Topic: topic, ID: topic + "-end", Last: true}
}

// publish publishes, and notes what is known of it. Only an error other than "perhaps" fails.
func (l *records) publish(ctx context.Context, c *client.Client, p ledger.Publication) error {
	receipt, err := c.Publish(ctx, p.Topic, publication(p))
	return l.note(p, receipt.Position, err)
}

// publication is what is sent: its data are its ID.
func publication(p ledger.Publication) client.Publication {
	return client.Publication{ID: p.ID, Data: fmt.Appendf(nil, "%q", p.ID)}
}

func (l *records) note(p ledger.Publication, at client.Position, err error) error {
	p.Acked, p.Position = err == nil, at
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, p)
	return err
}

// epochs counts the acknowledged publications by epoch.
func (l *records) epochs() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return ledger.Check(l.all, nil).Epochs
}

// follow notes what a subscription is told, until the last message of its topic or the end of ctx. The journal may have a beginning.
func follow(ctx context.Context, s *client.Subscription, j *ledger.Journal) error {
	if len(j.Entries) == 0 {
		j.Entries = append(j.Entries, ledger.Entry{Kind: ledger.Begin, Position: s.Position()})
	}
	for {
		e, err := s.Next(ctx)
		if err != nil {
			return fmt.Errorf("%s of %s: %w", j.Name, j.Topic, err)
		}
		switch e := e.(type) {
		case *client.Message:
			j.Entries = append(j.Entries, ledger.Entry{Kind: ledger.Message, Position: e.Position, ID: e.ID})
			if string(e.Data) != fmt.Sprintf("%q", e.ID) {
				return fmt.Errorf("%s of %s: the data of %s is %s", j.Name, j.Topic, e.ID, e.Data)
			}
			if e.ID == theEnd(j.Topic).ID {
				return nil
			}
		case *client.Gap:
			j.Entries = append(j.Entries, ledger.Entry{Kind: ledger.Gap, Since: e.Since, Until: e.Until, Reason: string(e.Reason)})
		case *client.Resubscribed:
			j.Entries = append(j.Entries, ledger.Entry{Kind: ledger.Resubscribed, Position: e.Position, Recovered: e.Recovered})
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

// report fails the test with what the ledger complains about.
func report(t *testing.T, l *records, journals []*ledger.Journal) {
	t.Helper()
	all := make([]ledger.Journal, len(journals))
	for i, j := range journals {
		all[i] = *j
	}
	complaints := ledger.Check(l.all, all).Complaints
	for _, c := range complaints[:min(len(complaints), 20)] {
		t.Error(c)
	}
	if n := len(complaints); n > 20 {
		t.Errorf("and %d more", n-20)
	}
}
