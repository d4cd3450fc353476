package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/duplex-websocket/duplex/internal/ledger"
)

// report holds the logs against each other and prints the counts. The error says what is wrong.
func (r *run) report() error {
	logs, err := readLogs(r.world.clientLogs())
	if err != nil {
		return err
	}
	v := ledger.Check(logs.publications(), logs.journals)
	refused := 0
	for _, n := range logs.refusals {
		refused += n
	}
	row := func(what, format string, args ...any) {
		fmt.Fprintf(r.out, "%-26s%s\n", what, fmt.Sprintf(format, args...))
	}
	fmt.Fprintf(r.out, "\nreport: seed %d, %s, %.0f s\n", r.options.seed, r.options.topology, time.Since(r.began).Seconds())
	row("network", "%s", r.world.network.describe())
	row("clients", "%d, which came online %d times; %d subscriptions", logs.clients, logs.connected, len(logs.journals))
	row("published", "%d acknowledged, %d unknown (%d of these were delivered)", v.Acked, v.Unknown, v.Late)
	row("given up", "%s", table(logs.gaveUp))
	row("answered by an error", "%d: %s", refused, table(logs.refusals))
	row("delivered", "%d", v.Delivered)
	row("missing within gaps", "%s", table(v.Missed))
	row("gaps told", "%s", table(v.Gaps))
	row("resumed", "%d without a loss, %d with a gap", v.Recovered, v.Unrecovered)
	row("overtaken", "%d messages came behind a later one of their publisher: not acknowledged, or without a place", v.Overtaken)
	row("twice", "%d messages without a place came again after a resubscription", v.Twice)
	row("epochs", "%d", len(v.Epochs))
	row("presence checks", "%d, %d failed", r.presence.done, len(r.presence.failed))
	for _, took := range r.presence.took {
		row("", "%s", took)
	}
	row("well again after", "%.1f s", r.converged.Seconds())
	for _, skipped := range r.skipped {
		row("not possible here", "%s", skipped)
	}
	r.recovery(logs)
	if r.options.topology != "memory" && len(v.Epochs) > 1 {
		v.Complaints = append(v.Complaints, fmt.Sprintf("acknowledgements are of %d epochs, but nothing has lost its data: %v", len(v.Epochs), v.Epochs))
	}
	row("unexplained", "%d", len(v.Complaints))
	everything := slices.Concat(v.Complaints, logs.mishaps, r.world.mishaps, r.presence.failed)
	if err := os.WriteFile(filepath.Join(r.options.dir, "complaints.txt"), []byte(strings.Join(everything, "\n")+"\n"), 0o600); err != nil {
		return err
	}
	return errors.Join(
		first("unexplained", v.Complaints), first("what must not happen to clients", logs.mishaps),
		first("what must not happen", r.world.mishaps), first("presence", r.presence.failed), enough(v),
	)
}

// enough complains about a run that has shown nothing.
func enough(v *ledger.Verdict) error {
	if v.Acked == 0 || v.Delivered == 0 {
		return fmt.Errorf("nothing was published or delivered: %+v", v.Counts)
	}
	return nil
}

const shown = 12 // complaints of a kind that are printed

// first is an error with the first complaints of a list, or nil.
func first(what string, complaints []string) error {
	if len(complaints) == 0 {
		return nil
	}
	text := strings.Join(complaints[:min(len(complaints), shown)], "\n  ")
	if more := len(complaints) - shown; more > 0 {
		text += fmt.Sprintf("\n  and %d more", more)
	}
	return fmt.Errorf("%s (%d):\n  %s", what, len(complaints), text)
}

// table is counts by name, the largest first.
func table(counts map[string]int) string {
	if len(counts) == 0 {
		return "none"
	}
	names := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return counts[b] - counts[a] })
	var parts []string
	for _, name := range names {
		parts = append(parts, fmt.Sprintf("%d %s", counts[name], name))
	}
	return strings.Join(parts, ", ")
}

// recovery prints for each fault how long clients waited for an acknowledgement since it began.
func (r *run) recovery(logs *records) {
	waits := waitsOf(logs)
	fmt.Fprintf(r.out, "each fault, how long it lasted, and how long clients waited for an acknowledgement meanwhile and afterwards\n")
	fmt.Fprintf(r.out, "%8s  %-76s %8s %8s %8s\n", "", "", "lasted", "p50", "max")
	r.mu.Lock()
	defer r.mu.Unlock()
	slices.SortFunc(r.faults, func(a, b *happened) int { return a.begin.Compare(b.begin) })
	for i, f := range r.faults {
		until := time.Now()
		if i+1 < len(r.faults) {
			until = r.faults[i+1].begin
		}
		var longest []time.Duration
		for _, of := range waits {
			longest = append(longest, longestWait(of, f.begin, until))
		}
		slices.Sort(longest)
		if len(longest) == 0 {
			continue
		}
		fmt.Fprintf(r.out, "%6.1f s  %-76.76s %6.1f s %6.2f s %6.1f s\n", f.begin.Sub(r.began).Seconds(), f.what, f.end.Sub(f.begin).Seconds(),
			longest[len(longest)/2].Seconds(), longest[len(longest)-1].Seconds())
	}
}

// wait is the time from a publication to the next acknowledgement of the same client.
type wait struct{ from, to int64 }

// waitsOf returns the waits of each client.
func waitsOf(logs *records) map[string][]wait {
	acks, waits := make(map[string][]int64), make(map[string][]wait)
	for _, s := range logs.sendings {
		if s.Acked {
			acks[s.client] = append(acks[s.client], s.settled)
		}
	}
	for _, all := range acks {
		slices.Sort(all)
	}
	for _, s := range logs.sendings {
		if i, _ := slices.BinarySearch(acks[s.client], s.sent); i < len(acks[s.client]) {
			waits[s.client] = append(waits[s.client], wait{s.sent, acks[s.client][i]})
		}
	}
	return waits
}

// longestWait returns the longest of the waits that fall into a time, counted from its beginning.
func longestWait(all []wait, begin, end time.Time) time.Duration {
	var longest int64
	for _, w := range all {
		from := max(w.from, begin.UnixMilli())
		if w.to >= begin.UnixMilli() && from < end.UnixMilli() {
			longest = max(longest, w.to-from)
		}
	}
	return time.Duration(longest) * time.Millisecond
}
