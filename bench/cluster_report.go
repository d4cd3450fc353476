package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/duplex-websocket/duplex/bench/figures"
)

const clusterHeading = "## Cluster\n"

var systemNames = map[string]string{
	figures.Memory0: "memory", figures.One: "one node, files", figures.Three: "three nodes, three copies",
}

// clusterSection is the part of the report about brokers. It says nothing that is not in the figures.
func clusterSection(f *figures.Figures) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line(clusterHeading)
	line("Brokers beside each other, in one run: in memory, JetStream embedded in one node (`duplex serve --data`), and in three nodes of a cluster with three copies of each message.")
	line("CPU is of all nodes together. README.md says how it is measured.\n")
	line("| acknowledged publications of 128 B | in flight | a second | CPU µs each | a second of CPU | ratio to memory | acknowledged p50 µs | p99 µs |\n|---|---|---|---|---|---|---|---|")
	base := make(map[int]float64)
	for _, p := range f.Publish {
		if p.System == figures.Memory0 {
			base[p.InFlight] = p.CPU
		}
		line("| %s | %d | %.0f | %.2f | %.0f | %.1f | %.0f | %.0f |", systemNames[p.System], p.InFlight, p.Rate, p.CPU/1e3, 1e9/p.CPU, p.CPU/base[p.InFlight], p.P50, p.P99)
	}
	line("\n| from publishing to the sink of a subscriber, %d a second | topic | subscriber at | p50 µs | p99 µs |\n|---|---|---|---|---|", latencyRate)
	for _, l := range f.Latency {
		line("| %s | %s | %s | %.0f | %.0f |", systemNames[l.System], kind(l.Kept), l.Where, l.P50, l.P99)
	}
	line("\nAs on a busy cluster, 256 in flight, or 10,000 a second without history:\n")
	line("| CPU µs of a publication, by nodes that hold subscribers | topic | none | 1 | 2 | 3 |\n|---|---|---|---|---|---|")
	for _, system := range []string{figures.Memory0, figures.One, figures.Three} {
		for _, kept := range []bool{true, false} {
			var cells [4]string
			for i := range cells {
				cells[i] = "-"
			}
			for _, g := range f.Growth {
				if g.System == system && g.Kept == kept {
					cells[g.Nodes] = fmt.Sprintf("%.1f", g.CPU/1e3)
				}
			}
			line("| %s | %s | %s |", systemNames[system], kind(kept), strings.Join(cells[:], " | "))
		}
	}
	line("\nA delivery to one more subscriber of a node that has the message costs %.0f ns before the socket, whatever the broker is.", f.Local.CPU)
	line("\n| subscribers that come back at once | clients | topics | missed by each | s | CPU µs each |\n|---|---|---|---|---|---|")
	for _, r := range f.Resume {
		line("| %s | %d | %d | %d | %.2f | %.0f |", systemNames[r.System], r.Clients, r.Topics, r.Missed, r.Seconds, r.CPU/1e3)
	}
	memorySection(line, &f.Memory)
	line("\nMeasured: %s.", strings.Join(f.Conditions, "; "))
	if len(f.Recovery) > 0 {
		recoverySection(line, f.Recovery)
		line("\nMeasured: %s.", strings.Join(f.RecoveryConditions, "; "))
	}
	line("")
	return b.String()
}

func memorySection(line func(format string, args ...any), m *figures.Memory) {
	line("\n| heap | bytes |\n|---|---|")
	line("| a subscriber with one subscription, in the hub | %.0f |", m.Subscription)
	line("| a topic that the node follows: memory broker | %.0f |", m.FollowMemory)
	line("| the same: one node, with its NATS server | %.0f |", m.FollowOne)
	line("| the same: the node of three that follows | %.0f |", m.FollowThree)
	line("| the same: each other node | %.0f |", m.FollowPeer)
}

func recoverySection(line func(format string, args ...any), all []figures.Recovery) {
	line("\nThree `duplex serve` processes on one core, all clients (Go, on the other core) at one of them, which is killed with SIGKILL; one subscription for each; up to 1,000 messages a second to 1,000 topics, as fast as they are acknowledged. The load average says how much of their cores the processes had.\n")
	line("| recovery | %s |\n|---|%s", columns(all, func(r *figures.Recovery) string {
		return fmt.Sprintf("%d clients, base delay %g s", r.Clients, r.BaseDelay)
	}),
		strings.Repeat("---|", len(all)))
	for _, row := range recoveryRows {
		line("| %s | %s |", row.name, columns(all, row.value))
	}
}

func kind(kept bool) string {
	if kept {
		return "with history"
	}
	return "without history"
}

func columns(all []figures.Recovery, value func(*figures.Recovery) string) string {
	var cells []string
	for i := range all {
		cells = append(cells, value(&all[i]))
	}
	return strings.Join(cells, " | ")
}

var recoveryRows = []struct {
	name  string
	value func(*figures.Recovery) string
}{
	{"subscribed again: half, 99 %, all; s", func(r *figures.Recovery) string {
		return fmt.Sprintf("%.2f, %.2f, %.2f", r.Back50, r.Back99, r.BackAll)
	}},
	{"all have caught up; s", func(r *figures.Recovery) string { return fmt.Sprintf("%.2f", r.CaughtUpAll) }},
	{"attempts to connect, of all", func(r *figures.Recovery) string { return fmt.Sprint(r.Attempts) }},
	{"most that came back in 100 ms, as a rate a second", func(r *figures.Recovery) string { return fmt.Sprintf("%.0f", r.PeakReturns) }},
	{"CPU of the other two nodes until then; s", func(r *figures.Recovery) string { return fmt.Sprintf("%.2f", r.CPU) }},
	{"that is, ms for each client", func(r *figures.Recovery) string { return fmt.Sprintf("%.2f", 1e3*r.CPU/float64(r.Clients)) }},
	{"busy: their core before, and until then; the clients' core", func(r *figures.Recovery) string {
		return fmt.Sprintf("%.0f %%, %.0f %%; %.0f %%", 100*r.Before, 100*r.Busy, 100*r.Load)
	}},
	{"to clients: before, and in the busiest 100 ms; MB/s", func(r *figures.Recovery) string { return fmt.Sprintf("%.1f, %.1f", r.Steady/1e6, r.Peak/1e6) }},
	{"longest time without an acknowledged publication; s", func(r *figures.Recovery) string { return fmt.Sprintf("%.2f", r.PublishStall) }},
	{"published, delivered", func(r *figures.Recovery) string { return fmt.Sprintf("%d, %d", r.Published, r.Delivered) }},
	{"left out in silence, gaps", func(r *figures.Recovery) string { return fmt.Sprintf("%d, %d", r.Missing, r.Gaps) }},
}

// mergeCluster puts the section in the place of the earlier one, or before the scenarios.
func mergeCluster(report, section string) (string, error) {
	from := strings.Index(report, clusterHeading)
	rest := ""
	if from >= 0 {
		rest = report[from+len(clusterHeading):]
		next := strings.Index(rest, "\n## ")
		if next < 0 {
			return report[:from] + section, nil
		}
		rest = rest[next+1:]
	} else if from = strings.Index(report, "## Scenarios\n"); from >= 0 {
		rest = report[from:]
	} else {
		return "", errors.New("the file is no report of this program")
	}
	return report[:from] + section + rest, nil
}
