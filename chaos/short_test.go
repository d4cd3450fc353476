package main

import "testing"

// TestShort is the short form: one of each fault.
func TestShort(t *testing.T) {
	code, out := chaos(t, "")("-short")
	if t.Log(out); code != 0 {
		t.Errorf("the exit code is %d", code)
	}
}
