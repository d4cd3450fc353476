package loop

import (
	"os"
	"syscall"
	"time"
	"unsafe"
)

// The parts of Linux that package syscall has no names for.
const (
	clockMonotonic = 1
	cpuClockSched  = 2 // of a whole process: see clock_getcpuclockid(3)
	maxPID         = 1 << 22
)

// ProcessCPU returns the CPU time, user and system, that all threads of a
// process have used, ended ones included. It reads the kernel's CPU clock of
// that process, which has no steps of 10 ms as /proc has. Elsewhere than on
// Linux it returns ErrUnsupported.
func ProcessCPU(pid int) (time.Duration, error) {
	if pid <= 0 || pid > maxPID { // would name another process, or a clock of the system
		return 0, os.NewSyscallError("clock_gettime", syscall.ESRCH)
	}
	var ts syscall.Timespec
	clock := int32(^pid<<3 | cpuClockSched)
	_, _, errno := syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, uintptr(clock), uintptr(unsafe.Pointer(&ts)), 0)
	if errno != 0 {
		return 0, os.NewSyscallError("clock_gettime", errno)
	}
	return time.Duration(ts.Nano()), nil
}

// NewAlarm returns a descriptor that becomes readable at the time that SetAlarm
// says, to within microseconds; Go's own timers come up to a millisecond late
// when nothing else happens. A Poller can watch it, and its CloseFD ends it.
func NewAlarm() (fd int, err error) {
	n, _, errno := syscall.RawSyscall(syscall.SYS_TIMERFD_CREATE, clockMonotonic, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if errno != 0 {
		return -1, os.NewSyscallError("timerfd_create", errno)
	}
	return int(n), nil
}

// SetAlarm makes the descriptor readable in after, and not before; at least a
// nanosecond, as 0 would mean never.
func SetAlarm(fd int, after time.Duration) error {
	spec := [2]syscall.Timespec{1: syscall.NsecToTimespec(int64(max(after, 1)))} // interval, first time
	_, _, errno := syscall.RawSyscall6(syscall.SYS_TIMERFD_SETTIME, uintptr(fd), 0, uintptr(unsafe.Pointer(&spec)), 0, 0, 0)
	if errno != 0 {
		return os.NewSyscallError("timerfd_settime", errno)
	}
	return nil
}
