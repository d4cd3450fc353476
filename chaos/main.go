// Command chaos puts clients, nodes and NATS servers under every fault that there is, and holds what publishers know against what
// subscribers were told: each acknowledged message came to each subscriber once and in order, or lies in a range that it was told of
// as a gap.
//
//	go run ./chaos              # about 6 minutes: 300 clients, 50 topics, three nodes, three NATS servers
//	go run ./chaos -short       # one of each fault, about a minute and a half; go test ./chaos does this
//	go run ./chaos -seed 7      # the schedule of faults of an earlier run
//
// Everything runs on this machine, in network namespaces of its own where that is allowed (Linux, also without root), and
// is gone when it ends. Exit codes: 0 when everything is explained, 1 when not, 2 when it could not begin.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// roleVariable says which of its parts the program is, when it starts itself again.
const roleVariable = "CHAOS_ROLE"

func main() {
	var err error
	switch os.Getenv(roleVariable) {
	case "nats":
		err = runNATS(os.Getenv("CHAOS_NATS"), os.Stdin, os.Stdout)
	case "agent":
		err = runAgent(os.Stdin, os.Stdout)
	default:
		os.Exit(command(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// command is the program for people. It returns the exit code.
func command(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if o.inside || o.untilEOF {
		var cancel context.CancelFunc
		ctx, cancel = context.WithCancel(ctx)
		go func() {
			_, _ = io.Copy(io.Discard, stdin)
			cancel()
		}()
	}
	if !o.inside {
		return o.outside(ctx, stdout, stderr)
	}
	repository, err := findRepository(ctx)
	if err == nil {
		err = o.do(ctx, repository, stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "\nFAILED\n%v\n", err)
		return 1
	}
	fmt.Fprintln(stdout, "\neverything is explained")
	return 0
}

// findRepository returns the folder of the module.
func findRepository(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	file := strings.TrimSpace(string(out))
	if err != nil || filepath.Base(file) != "go.mod" {
		return "", fmt.Errorf("chaos: run it in the folder of the repository: %q is no go.mod, %v", file, err)
	}
	return filepath.Dir(file), nil
}

// outside prepares what the namespaces do not have, and starts the program again within them.
func (o *options) outside(ctx context.Context, stdout, stderr io.Writer) int {
	fail := func(err error) int {
		fmt.Fprintln(stderr, "chaos:", err)
		return 2
	}
	var inside []string
	if o.network != "links" {
		unshare, err := canUnshare(ctx)
		switch {
		case err == nil:
			inside, o.network = unshare, "namespaces"
		case o.network == "namespaces":
			return fail(err)
		default:
			o.network = "links"
			fmt.Fprintf(stdout, "no namespaces here: %v\n", err)
		}
	}
	repository, err := findRepository(ctx)
	if err != nil {
		return fail(err)
	}
	if o.dir, err = os.MkdirTemp("", "duplex-chaos-"); err != nil {
		return fail(err)
	}
	fmt.Fprintf(stdout, "seed %d; logs are in %s\n", o.seed, o.dir)
	if o.binary == "" {
		o.binary = filepath.Join(o.dir, "duplex.exe")
		if err := o.build(ctx, repository); err != nil {
			return fail(errors.Join(err, os.RemoveAll(o.dir)))
		}
	}
	code := o.enter(ctx, inside, stdout, stderr)
	if code == 0 && !o.keep {
		if err := os.RemoveAll(o.dir); err != nil {
			return fail(err)
		}
	} else {
		fmt.Fprintf(stdout, "the logs are kept in %s; -seed %d makes the same schedule again\n", o.dir, o.seed)
	}
	return code
}

// build builds the nodes' program.
func (o *options) build(ctx context.Context, repository string) error {
	args := []string{"build", "-o", o.binary}
	if o.race {
		args = append(args, "-race")
	}
	cmd := exec.CommandContext(ctx, "go", append(args, "./cmd/duplex")...)
	cmd.Dir = repository
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the nodes: %w\n%s", err, out)
	}
	return nil
}

// enter starts the program again, inside, and waits for its end. When ctx ends it is asked to end, and made to after a while.
func (o *options) enter(ctx context.Context, unshare []string, stdout, stderr io.Writer) int {
	program, err := os.Executable()
	if err != nil {
		fmt.Fprintln(stderr, "chaos:", err)
		return 2
	}
	words := slices.Concat(unshare, []string{program}, o.again())
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Stdout, cmd.Stderr = stdout, stderr
	alive, err := cmd.StdinPipe() // its end is the end of everything inside, however this process ends
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(stderr, "chaos:", err)
		return 2
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err = <-ended:
	case <-ctx.Done():
		_ = alive.Close()
		timer := time.NewTimer(30 * time.Second)
		defer timer.Stop()
		select {
		case err = <-ended:
		case <-timer.C:
			_ = cmd.Process.Kill()
			err = <-ended
		}
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return max(exit.ExitCode(), 1)
	}
	if err != nil {
		fmt.Fprintln(stderr, "chaos:", err)
		return 2
	}
	return 0
}
