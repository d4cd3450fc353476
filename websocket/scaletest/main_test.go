// Package scaletest holds the tests of a whole Server under load: many
// connections, many connects and disconnects, slow readers, handlers that block,
// slow and hostile handshakes, large messages. Each runs for every way in which a
// connection comes to be.
//
// The server runs in a process of its own, which is this test binary once more, so
// that its memory, descriptors and goroutines can be told from the clients'.
package scaletest

import (
	"fmt"
	"os"
	"runtime/debug"
	"testing"
)

// serverProcess in the environment makes this binary the server.
const serverProcess = "SCALETEST_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(serverProcess) != "" {
		if err := serve(); err != nil {
			fmt.Fprintln(os.Stderr, "server process:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// racing reports whether this binary was built with the race detector, which
// bears 8,128 goroutines at most and makes everything about ten times as slow.
var racing = func() bool {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return false
	}
	for _, s := range info.Settings {
		if s.Key == "-race" {
			return s.Value == "true"
		}
	}
	return false
}()

// scale returns how many of something a test uses, and prints it.
func scale(t *testing.T, what string, full, withRace int) int {
	t.Helper()
	n := full
	if racing {
		n = withRace
	}
	t.Logf("%d %s (race detector: %v)", n, what, racing)
	return n
}
