// Package hubtest holds the contract of hub.Broker as tests: every broker must pass TestBroker.
package hubtest

import (
	"context"
	"testing"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// timeout bounds each test of the contract.
const timeout = 30 * time.Second

// TestBroker runs the contract against brokers that open makes; each is used for one test, under a new name of its own, and open
// cleans up through t. What a broker tells its nodes may come a little later than its methods return. A broker whose nodes are
// processes is opened as several of them behind one, which passes calls with a node on to where that was attached.
func TestBroker(t *testing.T, open func(t *testing.T) hub.Broker) {
	for name, test := range map[string]func(*kit){
		"order":          testOrder,
		"at":             testTopicsAndPatterns,
		"order together": testConcurrentPublishers,
		"detach":         testDetach,
		"retries":        testRetries,
		"count":          testRetentionByCount,
		"age":            testRetentionByAge,
		"bytes":          testRetentionByBytes,
		"nothing kept":   testNothingKept,
		"pages":          testPages,
		"patterns":       testPatterns,
		"epoch":          testOtherEpoch,
		"reading":        testReadingWhilePublishing,
		"presence":       testPresence,
		"presence late":  testPresenceOfLatecomers,
		"counted":        testCounted,
		"nodes leave":    testNodeLeaves,
		"commands":       testCast,
		"requests":       testCall,
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(context.Background(), timeout)
			t.Cleanup(cancel)
			test(&kit{T: t, broker: open(t), ctx: ctx, keeps: make(map[string]hub.Retention)})
		})
	}
}
