package main

import (
	"errors"

	"github.com/alecthomas/kong"
)

// Exit codes, the same for every verb. They are part of the command's interface: scripts test them.
const (
	exitOK          = 0 // done, or the connection closed normally
	exitUsage       = 1 // wrong flags, arguments or input files; also a failure that has no code of its own
	exitUnreachable = 2 // could not connect, or the server refused the handshake
	exitAbnormal    = 3 // the connection was lost, or closed with a code that means trouble
	exitProtocol    = 4 // one side broke the WebSocket protocol
	exitNoAnswer    = 5 // the answers that --count asks for did not come in time

	exitSignal = 130 // a signal ended a connection; servers that a signal stops end with 0
)

// exitError is an error that knows the exit code of the process.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

// ExitCode is the status that the process ends with because of this error.
func (e *exitError) ExitCode() int { return e.code }

// withExit gives err an exit code; nil stays nil.
func withExit(code int, err error) error {
	if err == nil {
		return nil
	}
	return &exitError{code: code, err: err}
}

// exitCode maps what a verb returned to the status of the process: 0 for nil, the code that the error
// carries, and exitUsage for anything else. kong's parse errors are bad usage too (kong itself would say 80).
func exitCode(err error) int {
	if err == nil {
		return exitOK
	}
	var parse *kong.ParseError
	if errors.As(err, &parse) {
		return exitUsage
	}
	var coded interface{ ExitCode() int }
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	return exitUsage
}
