package scaletest

import (
	"os"
	"strconv"
	"strings"
)

// descriptors counts this process's open descriptors, -1 where there is no
// folder that lists them.
func descriptors() int {
	for _, dir := range []string{"/proc/self/fd", "/dev/fd"} {
		if list, err := os.ReadDir(dir); err == nil {
			return len(list)
		}
	}
	return -1
}

// resident returns how many bytes of memory this process has, -1 where there is
// no file that tells.
func resident() int {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return -1
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		return -1
	}
	return pages * os.Getpagesize()
}

// mib shows a size.
func mib(n int) string { return strconv.FormatFloat(float64(n)/(1<<20), 'f', 1, 64) + " MiB" }
