package natsserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/gofrs/flock"
)

// The files of a data directory, beside JetStream's own folder.
const (
	lockFile  = "lock"       // locked while a process uses the directory
	nodeFile  = "node.json"  // whose data it is: identity
	stateFile = "state.json" // how it was left: state
	storeDir  = "jetstream"  // what nats-server writes
)

// identity says whose data a directory holds. Data of one node would be taken apart by another: a cluster throws away what
// a single server has stored, and two nodes with one log are no replicas.
type identity struct {
	Format  int    `json:"format"`
	Cluster string `json:"cluster,omitempty"` // empty: a server on its own
	Node    string `json:"node,omitempty"`
}

const format = 1

func (i identity) String() string {
	if i.Cluster == "" {
		return "a server on its own"
	}
	return fmt.Sprintf("node %s of a cluster", i.Node)
}

// state says how the directory was left, to find out whether a machine has lost what it had acknowledged.
type state struct {
	Clean   bool   `json:"clean"`             // the last process ended as it should, and everything was on disk then
	Boot    string `json:"boot"`              // bootID when it was written
	Always  bool   `json:"sync_always"`       // every message was on disk before its acknowledgement
	Suspect bool   `json:"suspect,omitempty"` // messages may have been lost, and nobody has been told yet
	PID     int    `json:"pid"`
}

// directory is a data directory that this process has locked. Its methods are called by one goroutine.
type directory struct {
	path  string
	lock  *flock.Flock
	state state
}

// openDirectory makes and locks a directory and finds out how it was left. The caller closes it.
func openDirectory(path string, who identity, syncAlways bool) (*directory, error) {
	d := &directory{path: path, lock: flock.New(filepath.Join(path, lockFile))}
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, d.explain("cannot be made", err)
	}
	locked, err := d.lock.TryLock()
	if err != nil {
		return nil, d.explain("cannot be locked", err)
	}
	if !locked {
		holder := ""
		if last, err := d.readState(); err == nil {
			holder = fmt.Sprintf(" (process %d)", last.PID)
		}
		return nil, fmt.Errorf("the data directory %s is in use by another server%s; every server needs one of its own", path, holder)
	}
	if err := d.prepare(who, syncAlways); err != nil {
		return nil, errors.Join(err, d.lock.Close())
	}
	return d, nil
}

func (d *directory) prepare(who identity, syncAlways bool) error {
	if err := d.checkIdentity(who); err != nil {
		return err
	}
	last, err := d.readState()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return d.explain("cannot be read", err)
	}
	boot := bootID()
	d.state = state{Boot: boot, Always: syncAlways, Suspect: d.hasData() && last.suspect(boot), PID: os.Getpid()}
	return d.writeState()
}

// suspect reports whether messages that were acknowledged may be lost. What a process has written outlives the process, as the
// system has it; it does not outlive the machine. The zero state, of data about whose past nothing is known, is suspect.
func (s state) suspect(boot string) bool {
	sameBoot := s.Boot != "" && s.Boot == boot
	return s.Suspect || !s.Clean && !sameBoot && !s.Always
}

// checkIdentity refuses the data of others, and marks a new directory.
func (d *directory) checkIdentity(who identity) error {
	who.Format = format
	content, err := os.ReadFile(d.file(nodeFile))
	if errors.Is(err, fs.ErrNotExist) {
		if d.hasData() {
			return fmt.Errorf("the data directory %s holds JetStream data but no %s, so it is not known whose it is; give a new directory", d.path, nodeFile)
		}
		return d.write(nodeFile, who)
	}
	if err != nil {
		return d.explain("cannot be read", err)
	}
	var was identity
	switch err := json.Unmarshal(content, &was); {
	case err != nil:
		return fmt.Errorf("the data directory %s: %s cannot be understood: %w", d.path, nodeFile, err)
	case was.Format != format:
		return fmt.Errorf("the data directory %s has format %d, and this version knows format %d only", d.path, was.Format, format)
	case was != who:
		return fmt.Errorf("the data directory %s holds the data of %s and cannot serve %s; give another directory, or start as before", d.path, was, who)
	}
	return nil
}

// hasData reports whether anything was ever stored.
func (d *directory) hasData() bool {
	entries, err := os.ReadDir(d.file(storeDir))
	return err == nil && len(entries) > 0
}

// readState returns the zero state for a file that a failing machine has spoiled.
func (d *directory) readState() (state, error) {
	var s state
	content, err := os.ReadFile(d.file(stateFile))
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(content, &s); err != nil {
		return state{}, nil
	}
	return s, nil
}

// settle records that subscribers were told what suspect means for them.
func (d *directory) settle() error {
	d.state.Suspect = false
	return d.writeState()
}

// close records a clean end, once all is on disk, and lets others have the directory. With clean false it only does the latter.
func (d *directory) close(clean bool) error {
	var err error
	if clean {
		if err = syncTree(d.file(storeDir)); err == nil {
			d.state.Clean = true
			err = d.writeState()
		}
	}
	return errors.Join(err, d.lock.Close())
}

func (d *directory) writeState() error { return d.write(stateFile, d.state) }

// write replaces a file as a whole, and so that it outlives the machine.
func (d *directory) write(name string, content any) error {
	text, err := json.Marshal(content)
	if err != nil {
		return err
	}
	if err := d.replace(name, append(text, '\n')); err != nil {
		return d.explain("cannot be written to", err)
	}
	return nil
}

func (d *directory) replace(name string, content []byte) error {
	temporary := d.file(name + ".new")
	f, err := os.OpenFile(temporary, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temporary, d.file(name)); err != nil {
		return err
	}
	return syncFile(d.path)
}

func (d *directory) file(name string) string { return filepath.Join(d.path, name) }

// probeSize is more than what JetStream writes at a time when it is idle, so that it does not fail again at once.
const probeSize = 4 << 20

// probe finds out whether data can be written now.
func (d *directory) probe() error {
	name := d.file("probe")
	err := os.WriteFile(name, make([]byte, probeSize), 0o600)
	if err == nil {
		err = syncFile(name)
	}
	_ = os.Remove(name) // what remains is overwritten the next time
	if err != nil {
		return d.explain("cannot be written to", err)
	}
	return nil
}

// explain says what is wrong with the directory and what to do about it.
func (d *directory) explain(what string, err error) error {
	advice := ""
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		advice = "; the user that runs the server must be able to write there"
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist):
		advice = "; a part of this path is a file"
	case errors.Is(err, syscall.ENOSPC):
		advice = "; the disk is full: make room"
	}
	return fmt.Errorf("the data directory %s %s: %w%s", d.path, what, err, advice)
}

// syncTree puts all files below a folder on disk.
func syncTree(root string) error {
	return filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case entry.IsDir() || entry.Type().IsRegular():
			return syncFile(name)
		}
		return nil
	})
}

// syncFile puts a file, or the names in a folder, on disk. Some file systems cannot sync folders, and need not.
func syncFile(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, fs.ErrPermission) {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

// bootID tells apart the times that a machine has been started. It is empty where the system has none; then every end
// that was not clean counts as the machine's.
func bootID() string {
	content, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}
