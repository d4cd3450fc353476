// Command scale calculates what a large cluster would do, from what the benchmark has measured on a small one, and prints the tables of
// docs/scale.md. There is nothing random in it; docs/scale.md has the formulas.
//
//	go run ./scale                                   the tables
//	go run ./scale -nodes 20 -connections 2e6        of another cluster
//	go run ./scale -w ../docs/scale.md               puts them where they belong
package main

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

var standard = setup{Nodes: 100, Connections: 10e6, Servers: 3, Cores: 8, Budget: 0.5}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	s := standard
	flags := flag.NewFlagSet("scale", flag.ExitOnError)
	flags.IntVar(&s.Nodes, "nodes", s.Nodes, "of Duplex")
	flags.Float64Var(&s.Connections, "connections", s.Connections, "in all")
	flags.IntVar(&s.Servers, "servers", s.Servers, "of NATS, that the nodes share")
	flags.Float64Var(&s.Cores, "cores", s.Cores, "of a node, and of a NATS server")
	flags.Float64Var(&s.Budget, "budget", s.Budget, "share of the cores that may be busy")
	measured := flags.String("figures", "cluster.json", "`file` of the scenario cluster")
	report := flags.String("results", "RESULTS.md", "`file` with the other measurements")
	write := flags.String("w", "", "`file` whose tables are replaced")
	flags.Parse(args)
	if s.Nodes < 2 || s.Connections < 1 || s.Servers < 1 || s.Cores <= 0 || s.Budget <= 0 || s.Budget > 1 {
		return errors.New("want two nodes or more, one connection, one server, some cores, and a budget above 0 up to 1")
	}
	if *write != "" && s != standard {
		return errors.New("-w writes the tables of the standard cluster, so it goes without other flags")
	}
	all, err := calculate(&s, *measured, *report)
	if err != nil {
		return err
	}
	if *write == "" {
		for _, name := range slices.Sorted(maps.Keys(all)) {
			fmt.Printf("## %s\n\n%s\n", name, all[name])
		}
		return nil
	}
	before, err := os.ReadFile(*write)
	if err != nil {
		return err
	}
	after, err := replace(string(before), all)
	if err != nil {
		return fmt.Errorf("%s: %w", *write, err)
	}
	return os.WriteFile(*write, []byte(after), 0o644)
}

func beginning(name string) string { return "<!-- table " + name + ": written by bench/scale -->\n" }

const ending = "<!-- end of table -->\n"

// replace puts every table between its marks.
func replace(text string, all map[string]string) (string, error) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		before, rest, found := strings.Cut(text, beginning(name))
		_, after, ended := strings.Cut(rest, ending)
		if !found || !ended {
			return "", fmt.Errorf("there is no place for the table %s: want the lines %q and %q", name, beginning(name), ending)
		}
		text = before + beginning(name) + all[name] + ending + after
	}
	return text, nil
}
