package conformance

import (
	"context"
	"slices"
	"testing"
	"time"
)

// quick are options for servers in the same process.
func quick(only ...string) *Options {
	return &Options{Only: only, SkipLarge: true, Timeout: 2500 * time.Millisecond, Parallel: 16}
}

func TestReferenceServerIsStrict(t *testing.T) {
	report, err := TestServer(context.Background(), serveReference(t, ""), &Options{SkipLarge: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range report.Compare(Expected{}) {
		t.Error(d)
	}
	t.Log(report.Summary())
}

// mutants are faults, the cases in which each must show, and how it is judged there.
var mutants = []struct {
	fault fault
	only  string
	want  Verdict
}{
	{"accepts unmasked frames", "6455-5.1-*", Failed},
	{"skips UTF-8", "6455-8.1-*", Failed},
	{"skips UTF-8 in reasons", "6455-5.5.1-*", Failed},
	{"skips UTF-8 in compressed text", "6455-8.1-*", Failed},
	{"looks at text at the end", "6455-8.1-*", NonStrict},
	{"drops TCP", "6455-5.4-*", NonStrict},
	{"always fails with 1011", "6455-5.4-*", NonStrict},
	{"answers every close with 1000", "6455-7.4.1-*", NonStrict},
	{"answers no close", "6455-5.5.1-*", Failed},
	{"echoes any code", "6455-7.4.2-*", Failed},
	{"keeps TCP open", "6455-7.1-*", Failed},
	{"goes on behind the close frame", "6455-5.5.1-*", Failed},
	{"takes the server down", "6455-5.2-11[4-9]", Failed},
	{"waits for any length", "6455-10.4-*", Informational},
	{"accepts long lengths", "6455-5.2-*", NonStrict},
	{"writes long lengths", "6455-5.2-0*", Failed},
	{"masks its frames", "6455-5.2-0*", Failed},
	{"answers pings with nothing in it", "6455-5.5.2-*", Failed},
	{"cuts pongs at 124", "6455-5.5.2-*", Failed},
	{"answers pongs", "6455-5.5.3-*", Failed},
	{"answers pings behind the message", "6455-5.4-*", NonStrict},
	{"answers pings in pairs, the later first", "6455-5.5.2-*", Failed},
	{"echoes fragments out of order", "6455-5.4-*", Failed},
	{"ignores reserved bits", "6455-5.2-1*", Failed},
	{"ignores reserved opcodes", "6455-5.2-*", Failed},
	{"accepts fragmented control frames", "6455-5.5-*", Failed},
	{"accepts long control frames", "6455-5.5-*", Failed},
	{"accepts a continuation of nothing", "6455-5.4-*", Failed},
	{"accepts a message in a message", "6455-5.4-*", Failed},
	{"splits controls into messages", "6455-5.2-*", Failed},
	{"swaps text and binary", "6455-5.2-0*", Failed},
	{"loses the last byte at 65536", "6455-5.2-0*", Failed},
	{"answers empty messages with nothing", "6455-5.2-0*", Failed},
	{"changes a byte behind 32768", "6455-5.2-0*", Failed},
	{"answers twice", "6455-5.2-0*", Failed},
	{"accepts any method", "6455-4.2.1-*", Failed},
	{"accepts HTTP/1.0", "6455-4.2.1-*", Failed},
	{"needs no Host", "6455-4.2.1-*", Failed},
	{"needs no Upgrade", "6455-4.2.1-*", Failed},
	{"needs no Connection", "6455-4.2.1-*", Failed},
	{"compares Upgrade with case", "6455-4.2.1-*", Failed},
	{"wants Connection alone", "6455-4.2.1-*", Failed},
	{"accepts any version", "6455-4.4-*", Failed},
	{"does not name its version", "6455-4.4-*", Failed},
	{"accepts any key", "6455-4.2.1-*", Failed},
	{"keeps refused connections", "6455-4.2.2-*", Informational},
	{"sends a wrong Accept", "6455-4.2.1-*", Failed},
	{"takes a subprotocol nobody offered", "6455-4.2.2-*", Failed},
	{"names an extension nobody offered", "6455-4.2.1-*", Failed},
	{"has no compression", "7692-7.2-*", Unimplemented},
	{"takes any parameter", "7692-7.1-*", Failed},
	{"forgets to answer server_no_context_takeover", "7692-7.1.1-*", Failed},
	{"answers client_max_window_bits unasked", "7692-7.1.1-*", Failed},
	{"ignores the window", "7692-7.1.2-*", Failed},
	{"keeps its context", "7692-7.2-*", Failed},
	{"stops at a final block", "7692-7.2.3-*", Failed},
	{"delivers corrupt data", "7692-7.2.2-*", Failed},
	{"allows RSV1 everywhere", "7692-6*", Failed},
	{"sends RSV1 on pongs", "7692-6.1-*", Failed},
	{"sets RSV1 on continuations", "7692-7.2-*", Failed},
}

func TestMutantsAreFound(t *testing.T) {
	for _, m := range mutants {
		t.Run(string(m.fault), func(t *testing.T) {
			t.Parallel()
			o := quick(m.only)
			report, err := TestServer(context.Background(), serveReference(t, m.fault), o)
			if err != nil {
				t.Fatal(err)
			}
			if report.Count(m.want) == 0 {
				t.Errorf("no case of %s is %s: %s", m.only, m.want, report.Summary())
			}
			// What is allowed must not be called a failure.
			if m.want != Failed && report.Count(Failed) > 0 && m.fault != "keeps TCP open" {
				i := slices.IndexFunc(report.Results, func(r Result) bool { return r.Verdict == Failed })
				t.Errorf("%s is called a failure: %v", report.Results[i].ID, report.Results[i].Details)
			}
		})
	}
}
