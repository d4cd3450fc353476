package load

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/duplex-websocket/duplex/internal/loop"
)

// meter is a reading of the CPU clocks of the server and of this process.
type meter struct {
	at           time.Time
	server, load time.Duration
}

// readMeter's error is about the server only: where there is no such clock,
// nothing is said about this process either.
func readMeter(pid int) (m meter, err error) {
	m.at = time.Now()
	m.load, _ = loop.ProcessCPU(os.Getpid())
	if pid != 0 {
		if m.server, err = loop.ProcessCPU(pid); err != nil {
			err = fmt.Errorf("the CPU clock of process %d: %w", pid, err)
		}
	}
	return m, err
}

// usage is what was used from before to m.
func usage(used, wall time.Duration, messages int64) Usage {
	u := Usage{CPU: used.Seconds()}
	if wall > 0 {
		u.Busy = float64(used) / float64(wall)
	}
	if messages > 0 {
		u.NsPerMessage = float64(used) / float64(messages)
	}
	return u
}

// residentBytes returns the resident memory of a process, counted page by page
// (smaps_rollup), because the counter in statm lags by up to some hundred pages.
func residentBytes(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, "Rss:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("process %d: smaps_rollup has no Rss", pid)
}

// residentRoughly is cheap for the process that is looked at, and 0 when there
// is nothing to say.
func residentRoughly(pid int) int64 {
	if pid == 0 {
		return 0
	}
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}
