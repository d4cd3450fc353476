package main

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestReadGo(t *testing.T) {
	const output = `{"Action":"start","Package":"m/a"}
{"Action":"run","Package":"m/a","Test":"TestGood"}
{"Action":"output","Package":"m/a","Test":"TestGood","Output":"chatter\n"}
{"Action":"pass","Package":"m/a","Test":"TestGood"}
{"Action":"pass","Package":"m/a","Test":"TestGood/case"}
{"Action":"output","Package":"m/a","Output":"ok  \tm/a\t0.1s\n"}
{"Action":"pass","Package":"m/a"}
{"Action":"output","Package":"m/b","Test":"TestBad","Output":"why\n"}
{"Action":"fail","Package":"m/b","Test":"TestBad"}
{"Action":"skip","Package":"m/b","Test":"TestLazy"}
{"Action":"fail","Package":"m/b"}
{"Action":"skip","Package":"m/empty"}
{"ImportPath":"m/c","Action":"build-output","Output":"c.go:1: no\n"}
{"Action":"fail","Package":"m/c","FailedBuild":"m/c"}
{"Action":"run","Package":"m/d","Test":"TestStuck"}
{"Action":"output","Package":"m/d","Test":"TestStuck","Output":"panic: test timed out\n"}
{"Action":"output","Package":"m/d","Output":"FAIL\tm/d\t300s\n"}
{"Action":"fail","Package":"m/d"}
not json
`
	var c counts
	var shown bytes.Buffer
	if err := c.readGo(strings.NewReader(output), &shown); err != nil {
		t.Fatal(err)
	}
	if c.Passed != 2 || c.Failed != 4 {
		t.Errorf("%d passed, %d failed; want 2 and 4", c.Passed, c.Failed)
	}
	if want := []string{"m/b TestBad", "m/b TestLazy (skipped)", "m/c", "m/d"}; !slices.Equal(c.Notes, want) {
		t.Errorf("notes %q, want %q", c.Notes, want)
	}
	if want := "ok  \tm/a\t0.1s\nwhy\nc.go:1: no\nFAIL\tm/d\t300s\npanic: test timed out\nnot json\n"; shown.String() != want {
		t.Errorf("shown %q, want %q", shown.String(), want)
	}
}

func TestReadTAP(t *testing.T) {
	const output = `TAP version 13
# Subtest: chat
    # Subtest: picture
    ok 1 - picture
    not ok 2 - restart
    ok 3 - later # SKIP no reason
    1..3
not ok 1 - chat
ok 2 - phone
1..2
# pass 2
`
	var c counts
	if err := c.readTAP(strings.NewReader(output), io.Discard); err != nil {
		t.Fatal(err)
	}
	if c.Passed != 2 || c.Failed != 3 {
		t.Errorf("%d passed, %d failed; want 2 and 3: %q", c.Passed, c.Failed, c.Notes)
	}
}

func TestTimeUpIsNoFault(t *testing.T) {
	const running = "fuzz: elapsed: 6s, execs: 67736 (0/sec), new interesting: 2 (total: 100)\n"
	const end = "FAIL\nexit status 1\nFAIL\tm/a\t6.117s\n"
	for output, want := range map[string]bool{
		running + "--- FAIL: FuzzA (6.11s)\n    context deadline exceeded\n" + end:                                                                                     true,
		running + "--- FAIL: FuzzA (6.11s)\n    --- FAIL: FuzzA (0.00s)\n        a_test.go:9: wrong\n    \n    Failing input written to testdata/fuzz/FuzzA/1\n" + end: false,
		running + "--- FAIL: FuzzA (6.11s)\n    fuzzing process hung or terminated unexpectedly: exit status 2\n" + end:                                                false,
		running + "--- FAIL: FuzzA (6.11s)\n    a_test.go:9: context deadline exceeded\n" + end:                                                                        false,
		running + "--- FAIL: FuzzA (6.11s)\n    context deadline exceeded\n    Failing input written to testdata/fuzz/FuzzA/1\n" + end:                                 false,
	} {
		if onlyTimeUp([]byte(output)) != want {
			t.Errorf("%v instead of %v for:\n%s", !want, want, output)
		}
	}
}

func TestStepsAddUp(t *testing.T) {
	t.Setenv("TALLY", t.TempDir())
	var out bytes.Buffer
	good := step{name: "unit", out: &out}
	if err := good.save(counts{Passed: 7}, nil); err != nil {
		t.Fatal(err)
	}
	if err := sum(&out); err != nil {
		t.Error(err)
	}
	if !strings.HasSuffix(out.String(), "\n7 passed, 0 failed\n") {
		t.Errorf("summary %q", out.String())
	}
	bad := step{name: "vet", out: &out}
	if bad.save(bad.command((*counts).readNothing, []string{"false"})) == nil {
		t.Error("a command that fails passed")
	}
	if sum(&out) == nil {
		t.Error("a sum with failures passed")
	}
	if !strings.HasSuffix(out.String(), "FAILED vet: vet: false: exit status 1\n7 passed, 1 failed\n") {
		t.Errorf("summary %q", out.String())
	}
}

func TestSumOfNothingFails(t *testing.T) {
	t.Setenv("TALLY", t.TempDir())
	if sum(io.Discard) == nil {
		t.Error("a run without a single test passed")
	}
}
