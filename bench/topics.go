package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// The servers with topics have a section of the report of their own. Their cost refers to what our event loop takes for a plain
// broadcast, which is what they stand on; and they are compared with socket.io.
const (
	topicReference = "duplex-loop"
	topicOurs      = "duplex-session"
	topicRival     = "socket.io"
)

// socketioFolder is where the npm package is, relative to this module.
const socketioFolder = "socketio"

// checkSocketio reports what is missing to run the socket.io server.
func checkSocketio() error {
	if _, err := exec.LookPath("node"); err != nil {
		return fmt.Errorf("socket.io needs Node: %w", err)
	}
	if _, err := os.Stat(filepath.Join(socketioFolder, "node_modules", "socket.io")); errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("socket.io is not installed: run make deps, or npm ci in bench/%s, or leave it out with -servers", socketioFolder)
	}
	return nil
}

// socketioVersion is for the report's conditions.
func socketioVersion() string {
	var about struct{ Version string }
	b, err := os.ReadFile(filepath.Join(socketioFolder, "node_modules", "socket.io", "package.json"))
	if err != nil || json.Unmarshal(b, &about) != nil {
		return ""
	}
	node, _ := exec.Command("node", "--version").Output()
	return fmt.Sprintf("socket.io %s on Node %s", about.Version, strings.TrimSpace(string(node)))
}

// topicServers are the columns of the section: those with topics, and beside them what their broadcasts refer to.
func topicServers(all []server) []server {
	if !slices.ContainsFunc(all, func(s server) bool { return s.topics }) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(all), func(s server) bool { return !s.topics && s.name != topicReference && s.name != reference })
}

// topicSection is the part of the report about servers with topics, or nothing if none was measured.
func topicSection(all []server, rows []row) string {
	columns := topicServers(all)
	var table, scenarios, peers strings.Builder
	for _, r := range rows {
		if !slices.ContainsFunc(columns, func(s server) bool { return s.topics && len(r.rounds[s.name]) > 0 }) {
			continue
		}
		fmt.Fprintln(&table, r.table(columns, topicReference))
		if r.scenario.topics {
			fmt.Fprintf(&scenarios, "- **%s**: %s\n", r.scenario.name, r.scenario.what)
		}
		peers.WriteString(r.besideSocketio())
	}
	if table.Len() == 0 {
		return ""
	}
	var b strings.Builder
	fmt.Fprintf(&b, topicHeading+"\nThe same measurement for servers with topics: duplex-hub is package hub with nothing around it, duplex-session the protocol that `duplex serve` speaks.\n"+
		"In brackets the ratio to %s, whose broadcast knows no topics and is what they stand on.\n\n%s\n%s", topicReference, tableHead(columns), table.String())
	if scenarios.Len() > 0 {
		fmt.Fprintf(&b, "\n%s", scenarios.String())
	}
	if peers.Len() > 0 {
		fmt.Fprintf(&b, "\nBeside socket.io, with the same clients:\n\n| | %s | %s | ratio |\n|---|---|---|---|\n%s", topicOurs, topicRival, peers.String())
	}
	return b.String()
}

const topicHeading = "## Topics\n"

// mergeTopics puts a section that was measured by itself into an earlier report: in the place of its section Topics, or before the scenarios.
func mergeTopics(report, section, spreads string, conditions []string) (string, error) {
	if section == "" {
		return "", errors.New("-merge: no server with topics was measured")
	}
	if v := socketioVersion(); v != "" {
		conditions = append(conditions, v)
	}
	section += "\n" + spreads + "\nThis section was measured by itself: " + strings.Join(conditions, "; ") + ".\n\n"
	from := strings.Index(report, topicHeading)
	if from < 0 {
		from = strings.Index(report, "## Scenarios\n")
	}
	if from < 0 {
		return "", errors.New("-merge: the file is no report of this program")
	}
	rest := report[from:]
	if after, found := strings.CutPrefix(rest, topicHeading); found {
		rest = after[max(0, strings.Index(after, "## ")):]
	}
	return report[:from] + section + rest, nil
}

// besideSocketio is what one row says about our protocol and socket.io's.
func (r row) besideSocketio() string {
	compare := func(what string, value func(measurement) float64) string {
		ours, ok := r.median(topicOurs, value)
		theirs, beside := r.median(topicRival, value)
		if !ok || !beside {
			return ""
		}
		return fmt.Sprintf("| %s: %s | %.0f | %.0f | %.3f |\n", r.scenario.name, what, ours, theirs, ours/theirs)
	}
	if r.scenario.mode == "idle" {
		return compare("bytes for each idle client that has subscribed", func(m measurement) float64 { return m.IdleFresh }) +
			compare("the same after one message to all of them", func(m measurement) float64 { return m.IdleUsed })
	}
	return compare("deliveries for each second of CPU time", func(m measurement) float64 { return 1e9 / m.ServerNs })
}
