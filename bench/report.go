package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// The server that ratios refer to.
const reference = "gws"

func tableHead(all []server) string {
	var head, line strings.Builder
	head.WriteString("| scenario |")
	line.WriteString("|---|")
	for _, s := range all {
		head.WriteString(" " + s.name + " |")
		line.WriteString("---|")
	}
	return head.String() + "\n" + line.String()
}

// plainServers are the columns of the main table.
func plainServers(all []server) []server {
	return slices.DeleteFunc(slices.Clone(all), func(s server) bool { return s.topics })
}

// table is the row in Markdown: for each server its figure and, behind it, the ratio to the reference of the same run.
func (r row) table(all []server, base string) string {
	ns := func(m measurement) float64 { return m.ServerNs }
	fresh := func(m measurement) float64 { return m.IdleFresh }
	used := func(m measurement) float64 { return m.IdleUsed }
	var b strings.Builder
	b.WriteString("| " + r.scenario.name + " |")
	for _, s := range all {
		cell := "-"
		if r.scenario.mode == "idle" {
			if f, ok := r.median(s.name, fresh); ok {
				u, _ := r.median(s.name, used)
				cell = fmt.Sprintf("%.0f / %.0f", f, u) + r.ratio(s.name, base, u, used)
			}
		} else if v, ok := r.median(s.name, ns); ok {
			cell = fmt.Sprintf("%.0f", v) + r.ratio(s.name, base, v, ns)
		}
		b.WriteString(" " + cell + " |")
	}
	return b.String()
}

func (r row) ratio(name, reference string, v float64, value func(measurement) float64) string {
	base, ok := r.median(reference, value)
	if !ok || base == 0 || name == reference {
		return ""
	}
	return fmt.Sprintf(" (%.3f)", v/base)
}

// report is the content of RESULTS.md.
func report(p plan, rows []row, command string) string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Benchmark results\n\nServer CPU time for one message in nanoseconds (idle: bytes for each connection), and in brackets the ratio to %s in the "+
		"same run.\nQuote ratios: absolute figures drift with the machine. README.md of this folder says how it is measured.\n\n", reference)
	plain := plainServers(p.servers)
	fmt.Fprintln(&b, tableHead(plain))
	for _, r := range rows {
		if !r.scenario.topics {
			fmt.Fprintln(&b, r.table(plain, reference))
		}
	}
	if section := topicSection(p.servers, rows); section != "" {
		fmt.Fprintf(&b, "\n%s", section)
	}
	fmt.Fprint(&b, "\n## Scenarios\n\n")
	for _, r := range rows {
		if !r.scenario.topics {
			fmt.Fprintf(&b, "- **%s**: %s\n", r.scenario.name, r.scenario.what)
		}
	}
	fmt.Fprintf(&b, "\n## How far the rounds were apart, and how busy both sides were\n\n%s", spreads(p.servers, rows))
	fmt.Fprint(&b, "\n## Conditions\n\n")
	for _, line := range append(p.conditions(command), versions()...) {
		fmt.Fprintf(&b, "- %s\n", line)
	}
	return b.String()
}

// conditions are what a reader needs to judge, or to repeat, a run.
func (p plan) conditions(command string) []string {
	return []string{
		time.Now().UTC().Format("2006-01-02"),
		fmt.Sprintf("command: `%s`", strings.TrimSpace(command)),
		fmt.Sprintf("%d rounds of %s after %s of warm-up, server on core %d, load on core %d, GOMAXPROCS=1", p.rounds, p.duration, p.warmup,
			p.serverCore, p.loadCore),
		"commit: " + commit(), "machine: " + machine(), runtime.Version(),
	}
}

// spreads is the table of how far the rounds were apart.
func spreads(all []server, rows []row) string {
	var b bytes.Buffer
	fmt.Fprint(&b, "| scenario | server | lowest | highest | server busy | load busy | reply bytes |\n|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		for _, s := range all {
			r.spread(&b, s.name)
		}
	}
	return b.String()
}

func (r row) spread(b *bytes.Buffer, name string) {
	all := r.rounds[name]
	if len(all) == 0 || r.scenario.mode == "idle" {
		return
	}
	low, high := all[0].ServerNs, all[0].ServerNs
	for _, m := range all {
		low, high = min(low, m.ServerNs), max(high, m.ServerNs)
	}
	server, _ := r.median(name, func(m measurement) float64 { return m.ServerBusy })
	load, _ := r.median(name, func(m measurement) float64 { return m.LoadBusy })
	size, _ := r.median(name, func(m measurement) float64 { return m.ReplyBytes })
	fmt.Fprintf(b, "| %s | %s | %.0f | %.0f | %.0f %% | %.0f %% | %.0f |\n", r.scenario.name, name, low, high, 100*server, 100*load, size)
}

func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// machine names processor, core count and kernel.
func machine() string {
	model := "unknown processor"
	if info, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%s, %d cores, Linux %s", model, runtime.NumCPU(), strings.TrimSpace(string(kernel)))
}

// versions lists the rivals as go.mod pins them; the runner's own build information has no rivals, so it asks the go command.
func versions() []string {
	out, err := exec.Command("go", "list", "-m", "github.com/gorilla/websocket", "github.com/lxzan/gws", "github.com/coder/websocket",
		"github.com/gobwas/ws", "github.com/lesismal/nbio").Output()
	if err != nil {
		return nil
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if v := socketioVersion(); v != "" {
		lines = append(lines, v)
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		i := slices.IndexFunc(info.Deps, func(m *debug.Module) bool { return m.Path == "golang.org/x/sys" })
		if i >= 0 {
			lines = append(lines, info.Deps[i].Path+" "+info.Deps[i].Version)
		}
	}
	return lines
}
