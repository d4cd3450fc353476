package natsserver

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func openTest(t *testing.T, path string, who identity) *directory {
	t.Helper()
	d, err := openDirectory(path, who, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.lock.Close() })
	return d
}

func closeTest(t *testing.T, d *directory, clean bool) {
	t.Helper()
	if err := d.close(clean); err != nil {
		t.Fatal(err)
	}
}

// store makes the directory one that has data.
func store(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Join(path, storeDir, "$G", "streams"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, storeDir, "$G", "1.blk"), []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
}

// leave writes how a directory was left.
func leave(t *testing.T, path string, s state) {
	t.Helper()
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(path, stateFile), text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestSuspect: only the end of the machine loses what was written, and only if it was not on disk.
func TestSuspect(t *testing.T) {
	boot := bootID()
	if boot == "" {
		t.Log("this system does not tell when it was started")
		boot = "this"
	}
	for _, c := range []struct {
		name string
		was  state
		now  string
		want bool
	}{
		{"the process was killed", state{Boot: boot}, boot, false},
		{"the machine was started anew", state{Boot: "before"}, boot, true},
		{"after a clean end", state{Boot: "before", Clean: true}, boot, false},
		{"everything was on disk", state{Boot: "before", Always: true}, boot, false},
		{"nobody was told before the next end", state{Boot: boot, Suspect: true}, boot, true},
		{"nor before a clean one", state{Boot: boot, Suspect: true, Clean: true, Always: true}, boot, true},
		{"nothing is known", state{}, boot, true},
		{"a system that does not tell", state{}, "", true},
		{"a system that does not tell, after a clean end", state{Clean: true}, "", false},
	} {
		if got := c.was.suspect(c.now); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// TestStateOfDirectory goes through the life of a directory.
func TestStateOfDirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	expect := func(what string, want bool) *directory {
		t.Helper()
		d := openTest(t, path, identity{})
		if d.state.Suspect != want {
			t.Errorf("%s: suspect is %v", what, d.state.Suspect)
		}
		return d
	}
	d := expect("new", false)
	store(t, path)
	closeTest(t, d, true)
	d = expect("after a clean end", false)
	closeTest(t, d, false)
	leave(t, path, state{Boot: "another"})
	d = expect("after a power failure", true)
	closeTest(t, d, true)
	d = expect("when nobody was told", true)
	if err := d.settle(); err != nil {
		t.Fatal(err)
	}
	closeTest(t, d, true)
	d = expect("when they were", false)
	closeTest(t, d, true)
	if err := os.WriteFile(filepath.Join(path, stateFile), []byte(`{"clean":tr`), 0o600); err != nil {
		t.Fatal(err)
	}
	d = expect("a spoiled file", true)
	closeTest(t, d, true)
	if err := os.Remove(filepath.Join(path, stateFile)); err != nil {
		t.Fatal(err)
	}
	expect("a backup that was put back", true)
}

// TestIdentity: nobody gets the data of others.
func TestIdentity(t *testing.T) {
	path := t.TempDir()
	node := identity{Cluster: clusterName, Node: "a"}
	closeTest(t, openTest(t, path, node), true)
	closeTest(t, openTest(t, path, node), true)
	for _, c := range []struct {
		who  identity
		says string
	}{
		{identity{}, "holds the data of node a of a cluster and cannot serve a server on its own"},
		{identity{Cluster: clusterName, Node: "b"}, "and cannot serve node b of a cluster"},
	} {
		if _, err := openDirectory(path, c.who, false); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v does not say %q", err, c.says)
		}
	}
	closeTest(t, openTest(t, path, node), true) // a refusal leaves no lock
	for content, says := range map[string]string{
		`{"format":2}`: "has format 2, and this version knows format 1 only", "{": "node.json cannot be understood",
	} {
		if err := os.WriteFile(filepath.Join(path, nodeFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openDirectory(path, node, false); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v does not say %q", err, says)
		}
	}
	foreign := t.TempDir()
	store(t, foreign)
	if _, err := openDirectory(foreign, node, false); err == nil || !strings.Contains(err.Error(), "it is not known whose it is") {
		t.Error(err)
	}
}

// TestAdvice: what whoever started the server can do about an error of the system.
func TestAdvice(t *testing.T) {
	d := &directory{path: "data"}
	for _, c := range []struct {
		err  error
		says string
	}{
		{&fs.PathError{Op: "open", Path: "data", Err: syscall.ENOSPC}, "the disk is full: make room"},
		{&fs.PathError{Op: "open", Path: "data", Err: syscall.EACCES}, "must be able to write there"},
		{&fs.PathError{Op: "open", Path: "data", Err: syscall.EROFS}, "must be able to write there"},
		{&fs.PathError{Op: "mkdir", Path: "data", Err: syscall.ENOTDIR}, "a part of this path is a file"},
	} {
		err := d.explain("cannot be written to", c.err)
		if !strings.HasPrefix(err.Error(), "the data directory data cannot be written to: ") || !strings.HasSuffix(err.Error(), c.says) || !errors.Is(err, c.err) {
			t.Error(err)
		}
	}
}
