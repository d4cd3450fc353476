// Command tally runs one step of "make test", shows what people want to see of its output, and keeps count, so
// that the last line of a test run can say what really ran. It is used by the Makefile only:
//
//	tally go   STEP COMMAND...   a command that prints go test -json
//	tally tap  STEP COMMAND...   a command that prints TAP, such as node --test
//	tally exit STEP COMMAND...   a command that only succeeds or fails; it counts when it fails
//	tally fuzz STEP TOTAL        every fuzz target of the module, for TOTAL (a duration) together
//	tally sum                    add up all steps, print "N passed, N failed", fail if any did
//
// The counts of a step are kept in build/tally/STEP. A skipped test counts as failed: a test that cannot
// run proves nothing.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "tally:", err)
		os.Exit(1)
	}
}

// errUsage is the answer to wrong arguments.
var errUsage = errors.New("usage: tally go|tap|exit STEP COMMAND..., tally fuzz STEP TOTAL, tally sum")

func run(args []string) error {
	if len(args) == 1 && args[0] == "sum" {
		return sum(os.Stdout)
	}
	if len(args) < 3 {
		return errUsage
	}
	step := step{name: args[1], out: os.Stdout, began: time.Now()}
	if args[0] == "fuzz" {
		return step.save(step.fuzz(args[2]))
	}
	read, known := map[string]reader{"go": (*counts).readGo, "tap": (*counts).readTAP, "exit": (*counts).readNothing}[args[0]]
	if !known {
		return errUsage
	}
	return step.save(step.command(read, args[2:]))
}

// folder is where the steps leave their counts, below the module that "make test" runs in.
func folder() string {
	if dir := os.Getenv("TALLY"); dir != "" {
		return dir
	}
	return filepath.Join("build", "tally")
}
