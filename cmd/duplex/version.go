package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// versionCmd is the verb version.
type versionCmd struct{}

// Run prints one line.
func (c *versionCmd) Run(out output) error {
	info, _ := debug.ReadBuildInfo()
	fmt.Fprintln(out.stdout, versionLine(info))
	return nil
}

// versionLine says which release this is, or which commit when it was built in a working copy.
func versionLine(info *debug.BuildInfo) string {
	version, commit := "unknown version", ""
	if info != nil {
		if info.Main.Version != "" {
			version = info.Main.Version
		}
		settings := map[string]string{}
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
		if revision := settings["vcs.revision"]; revision != "" {
			commit = ", commit " + revision[:min(12, len(revision))]
			if settings["vcs.modified"] == "true" {
				commit += " with changes"
			}
		}
	}
	return fmt.Sprintf("duplex %s (%s %s/%s%s)", version, runtime.Version(), runtime.GOOS, runtime.GOARCH, commit)
}
