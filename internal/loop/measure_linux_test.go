package loop

import (
	"os"
	"testing"
	"time"
)

func TestProcessCPU(t *testing.T) {
	before, err := ProcessCPU(os.Getpid())
	if err != nil || before <= 0 {
		t.Fatalf("%v, %v", before, err)
	}
	for end := time.Now().Add(10 * time.Second); ; { // work until it shows
		after, err := ProcessCPU(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if after >= before+time.Millisecond {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s after ten seconds of work, %s before", after, before)
		}
	}
}

func TestProcessCPUOfNobody(t *testing.T) {
	for _, pid := range []int{0, -1, maxPID, maxPID + 1, 1 << 29} { // the kernel gives numbers below maxPID
		if used, err := ProcessCPU(pid); err == nil {
			t.Errorf("process %d: %s", pid, used)
		}
	}
}

func TestAlarmWakesPoller(t *testing.T) {
	poller, err := NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	defer poller.Close()
	fd, err := NewAlarm()
	if err != nil {
		t.Fatal(err)
	}
	defer poller.CloseFD(fd)
	if err := poller.Add(fd, 7, Readable); err != nil {
		t.Fatal(err)
	}
	events := make([]Event, 8)
	for _, after := range []time.Duration{0, 20 * time.Millisecond} { // setting it anew ends the last ringing
		began := time.Now()
		if err := SetAlarm(fd, after); err != nil {
			t.Fatal(err)
		}
		n, err := poller.Wait(events)
		if err != nil || n != 1 || events[0].Tag != 7 {
			t.Fatalf("%d events, %v: %v", n, events[0], err)
		}
		if took := time.Since(began); took < after {
			t.Errorf("it rang after %s, not %s", took, after)
		}
	}
}
