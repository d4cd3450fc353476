package main

import (
	"fmt"
	"strings"

	"github.com/duplex-websocket/duplex/bench/figures"
)

// tables are the tables of docs/scale.md, by name.
func tables(s *setup, c *costs, f *figures.Figures) map[string]string {
	return map[string]string{
		"costs": costTable(c), "growth": growthTable(c, f), "workloads": workloadTable(s, c), "limits": limitTable(s, c),
		"memory": memoryTable(s, c), "guard": guardTable(s, c), "storms": stormTable(s, c),
	}
}

// table writes a table in Markdown.
func table(head string, rows ...string) string {
	line := "|" + strings.Repeat("---|", strings.Count(head, "|")+1)
	return "| " + head + " |\n" + line + "\n| " + strings.Join(rows, " |\n| ") + " |\n"
}

func row(format string, args ...any) string { return fmt.Sprintf(format, args...) }

// short writes a number so that it can be read.
func short(n float64) string {
	switch {
	case n >= 1e9:
		return fmt.Sprintf("%.1f G", n/1e9)
	case n >= 1e6:
		return fmt.Sprintf("%.1f M", n/1e6)
	case n >= 10_000:
		return fmt.Sprintf("%.0f k", n/1e3)
	case n >= 100:
		return fmt.Sprintf("%.0f", n)
	case n >= 1:
		return fmt.Sprintf("%.1f", n)
	}
	return fmt.Sprintf("%.3f", n)
}

func costTable(c *costs) string {
	us := func(ns float64) string {
		if ns < 1000 {
			return fmt.Sprintf("%.0f ns", ns)
		}
		return fmt.Sprintf("%.1f µs", ns/1e3)
	}
	return table("cost | symbol | value",
		row("a stored publication, nobody follows it; all nodes | P | %s", us(c.kept.base)),
		row("and for each node that holds subscribers | g | %s", us(c.kept.each)),
		row("a publication without history, nobody follows it | P₀ | %s", us(c.live.base)),
		row("and for each node that holds subscribers | g₀ | %s", us(c.live.each)),
		row("a delivery to a client, with protocol and socket, at 10 messages a second to each (RESULTS.md, fanout) | d | %s", us(c.local)),
		row("a handshake (RESULTS.md, duplex-goroutine) | h | %s", us(c.handshake)),
		row("a question to the stream's leader, all nodes; half of what it takes to begin to follow a topic | q | %s", us(c.ask)),
		row("a subscriber that comes back and has missed nothing | r | %s", us(c.resume)),
		row("a message of any topic that NATS looks at, to find those that were missed | z | %s", us(c.scanned)),
		row("an idle connection with a subscription (RESULTS.md, clients) | | %.0f bytes", c.client),
		row("a topic that a node follows, with the NATS server it is at | | %.0f bytes", c.follow),
		row("the same at each other NATS server | | %.0f bytes", c.peer),
		row("stored publications a second: reached by three nodes on two cores | | %s", short(c.ceilingReached)),
		row("the same if the leader has a core to itself, and a third of the work is its own | L | %s", short(c.ceilingLeader)))
}

func growthTable(c *costs, f *figures.Figures) string {
	var rows []string
	for _, kept := range []bool{true, false} {
		name, l := "with history", c.kept
		if !kept {
			name, l = "without history", c.live
		}
		cells := []string{name}
		_, cpu := growth(f, kept)
		for i, ns := range cpu {
			cells = append(cells, fmt.Sprintf("%.0f (%.0f)", ns/1e3, l.at(float64(i))/1e3))
		}
		for _, n := range []float64{10, 30, 100} {
			cells = append(cells, fmt.Sprintf("%.0f", l.at(n)/1e3))
		}
		rows = append(rows, strings.Join(cells, " | "))
	}
	return table("CPU µs of a publication, by nodes that hold subscribers | 0: measured (line) | 1 | 2 | 3 | 10: line | 30 | 100", rows...)
}

func workloadTable(s *setup, c *costs) string {
	var rows []string
	for _, w := range workloads {
		l := s.load(w, c, true)
		rows = append(rows, row("%s | %s | %s | %.1f | %s | %s", w.name, short(w.subscribers), short(l.topics), l.held, short(l.follows), short(l.interest)))
	}
	return table("workload | subscribers of a topic | topics | nodes that hold a topic | topics that a node follows | pairs of node and topic", rows...)
}

func limitTable(s *setup, c *costs) string {
	var rows []string
	for _, w := range workloads {
		for _, kept := range []bool{true, false} {
			name := "with history"
			if !kept {
				name = "without"
			}
			m := s.limits(w, c, kept)
			most, what := m.least()
			stream := "-"
			if kept {
				stream = short(m.stream)
			}
			rows = append(rows, row("%s | %s | %s | %s | %s | **%s** | %s | %s", w.name, name, short(m.nodes), short(m.servers), stream, short(most), what, short(most*w.subscribers)))
		}
	}
	return table("workload | topics | deliveries of the nodes | NATS servers | stream's leader | publications a second | limited by | deliveries a second", rows...)
}

func memoryTable(s *setup, c *costs) string {
	var rows []string
	each := s.Connections / float64(s.Nodes)
	for _, w := range workloads {
		l := s.load(w, c, true)
		// A NATS server has the interest of its own clients once for each, and that of the others' once for each topic and server.
		own := l.interest / float64(s.Servers) * c.follow
		others := l.topics * min(l.held, float64(s.Servers-1)) * c.peer
		rows = append(rows, row("%s | %s | %s | %s | %s", w.name, bytes(each*c.client), bytes(l.follows*c.follow), bytes(each*c.client+l.follows*c.follow), bytes(own+others)))
	}
	return table("workload | a node: connections | topics that it follows | together | a NATS server: interest", rows...)
}

func bytes(n float64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", n/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", n/(1<<20))
	}
	return fmt.Sprintf("%.1f KiB", n/(1<<10))
}

func guardTable(s *setup, c *costs) string {
	var rows []string
	for _, nodes := range []int{3, 10, 30, s.Nodes} {
		at := *s
		at.Nodes, at.Connections = nodes, s.Connections/float64(s.Nodes)*float64(nodes)
		l := at.load(workloads[0], c, true)
		asks := at.guard(l.follows)
		rows = append(rows, row("%d | %s | %s | %.1f | %.0f s", nodes, short(l.follows), short(asks), asks*c.ask*leaderShare/1e9, max(guardEvery, l.follows/guardPace)))
	}
	return table("nodes | topics that a node follows | questions to the leader a second | cores of its server that they take | a quiet topic is checked every", rows...)
}

func stormTable(s *setup, c *costs) string {
	each := s.Connections / float64(s.Nodes)
	var rows []string
	for _, x := range []struct {
		name    string
		clients float64
		left    int
		rate    float64
		missed  float64
	}{
		{"a node dies; nothing was missed", each, s.Nodes - 1, 0, 0},
		{"a node dies; 1,000 messages a second, each client missed 10", each, s.Nodes - 1, 1000, 10},
		{"a node dies; 10,000 messages a second, each client missed 10", each, s.Nodes - 1, 10_000, 10},
		{"a zone of a third of the nodes dies; 10,000 a second", s.Connections / 3, s.Nodes - s.Nodes/3, 10_000, 10},
		{"all clients lose their way at once; 10,000 a second", s.Connections, s.Nodes, 10_000, 10},
	} {
		t := s.storm(c, x.clients, x.left, outage, x.rate, x.missed)
		rows = append(rows, row("%s | %s | %s | %.1f | %.0f | %.0f | %.0f s", x.name, short(t.clients), short(t.each), t.nodeCPU, t.askCPU, t.scanCPU, t.spread))
	}
	return table("storm | clients | to each node left | CPU s of each node | CPU s of the leader, for questions | CPU s of the NATS servers, for looking | spread over at least", rows...)
}

// outage is for how many seconds a client is away.
const outage = 10

// calculate makes all tables out of the files.
func calculate(s *setup, measured, report string) (map[string]string, error) {
	f, err := figures.Load(measured)
	if err != nil {
		return nil, err
	}
	r, err := readResults(report)
	if err != nil {
		return nil, err
	}
	c, err := calibrate(f, r)
	if err != nil {
		return nil, err
	}
	return tables(s, c, f), nil
}
