package main

import (
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// results are the figures of RESULTS.md that are not those of the scenario cluster.
type results struct {
	delivery  float64 // fanout of duplex-session: ns of a delivery at 10 messages a second, with the protocol and the socket
	client    float64 // clients of duplex-session: bytes
	handshake float64 // of duplex-goroutine, under net/http: ns
}

// readResults finds them in the tables.
func readResults(name string) (*results, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	r := &results{}
	for _, want := range []struct {
		row, column string
		to          *float64
	}{{"fanout", "duplex-session", &r.delivery}, {"clients", "duplex-session", &r.client}, {"handshake", "duplex-goroutine", &r.handshake}} {
		if *want.to, err = cell(string(text), want.row, want.column); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return r, nil
}

var firstNumber = regexp.MustCompile(`^\d+`)

// cell returns the first number in the row and column of the first table that has both.
func cell(text, row, column string) (float64, error) {
	var head []string
	for l := range strings.Lines(text) {
		cells := strings.Split(strings.TrimSpace(l), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		if len(cells) > 1 && cells[1] == "scenario" {
			head = cells
		}
		if len(cells) < 2 || cells[1] != row {
			continue
		}
		for i, name := range head {
			if name == column && i < len(cells) {
				return strconv.ParseFloat(firstNumber.FindString(cells[i]), 64)
			}
		}
	}
	return 0, fmt.Errorf("no table has a row %s with a column %s", row, column)
}
