//go:build !linux

package loop

import "time"

// ProcessCPU returns ErrUnsupported.
func ProcessCPU(int) (time.Duration, error) { return 0, ErrUnsupported }

// NewAlarm returns ErrUnsupported.
func NewAlarm() (fd int, err error) { return -1, ErrUnsupported }

// SetAlarm is never called: there are no alarms here.
func SetAlarm(int, time.Duration) error { return ErrUnsupported }
