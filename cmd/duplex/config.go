package main

import (
	"fmt"

	"github.com/duplex-websocket/duplex/internal/server"
)

// configCmd is the verb config.
type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Say what is wrong with a configuration; the exit code is 0 if nothing is."`
	Print configPrintCmd `cmd:"" help:"Print the configuration that holds in the end, and where each setting came from."`
}

type configCheckCmd struct{ settingFlags }

// Run also reads the files that the configuration names.
func (c *configCheckCmd) Run(out output) error {
	settings, err := c.load()
	if err != nil {
		return err
	}
	if err := server.Check(settings.Config); err != nil {
		return err
	}
	if err := checkBus(settings.Config); err != nil {
		return err
	}
	for _, warning := range settings.Warnings {
		fmt.Fprintln(out.stderr, "duplex:", warning)
	}
	fmt.Fprintln(out.stdout, "the configuration is in order")
	return nil
}

type configPrintCmd struct{ settingFlags }

// Run prints YAML.
func (c *configPrintCmd) Run(out output) error {
	settings, err := c.load()
	if err != nil {
		return err
	}
	return settings.Print(out.stdout)
}
