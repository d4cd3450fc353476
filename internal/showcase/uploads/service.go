package uploads

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

// What belongs to an upload is called by its ID and one of these.
const (
	metaSuffix = ".json"
	partSuffix = ".part" // what has arrived
	fileSuffix = ".file" // all of it
)

// service is all uploads. Its methods may be called from any goroutine. An upload's lock is never waited for while mu is held.
type service struct {
	env    *showcase.Env
	limits limits
	place  string                                     // another one for each process
	writes func(f *os.File, p []byte, at int64) error // nil: the usual way

	mu      sync.Mutex
	dir     string             // empty: not opened yet
	uploads map[string]*upload // by ID
	files   map[string]*meta   // finished, by ID; what they point to is immutable
}

// open finds what an earlier process has left, the first time that it succeeds.
func (s *service) open() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dir != "" {
		return nil
	}
	dir, err := s.env.Dir("uploads")
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		id, suffix, _ := strings.Cut(entry.Name(), ".")
		if !isID.MatchString(id) {
			continue // not ours
		}
		if "."+suffix == metaSuffix && s.load(dir, id) {
			continue
		}
		if s.uploads[id] == nil && s.files[id] == nil && !exists(filepath.Join(dir, id+metaSuffix)) {
			_ = os.Remove(filepath.Join(dir, entry.Name())) // half of something
		}
	}
	s.dir = dir
	return nil
}

var isID = regexp.MustCompile(`^[0-9a-f]{32}$`)

func exists(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// load takes up an upload or a file, and removes what is neither. It reports whether there is one.
func (s *service) load(dir, id string) bool {
	base := filepath.Join(dir, id)
	var m meta
	content, err := os.ReadFile(base + metaSuffix)
	if err == nil {
		err = json.Unmarshal(content, &m)
	}
	if err == nil && m.ID == id && !m.Finished.IsZero() {
		if exists(base + partSuffix) {
			err = os.Rename(base+partSuffix, base+fileSuffix) // the process ended just before it could
		}
		if info, missing := os.Stat(base + fileSuffix); err == nil && missing == nil && info.Size() == m.Size {
			s.files[id] = &m
			return true
		}
	} else if info, missing := os.Stat(base + partSuffix); err == nil && m.ID == id && missing == nil && info.Size() <= m.Size {
		s.uploads[id] = newUpload(m, base+partSuffix, info.Size(), info.ModTime())
		s.uploads[id].writes = s.writer()
		return true
	}
	s.env.Logger.Warn("an upload that cannot be read is removed", "id", id, "error", err)
	s.wipe(base)
	return false
}

func (s *service) writer() func(*os.File, []byte, int64) error {
	if s.writes != nil {
		return s.writes
	}
	return writeAt
}

// wipe removes everything of an upload. The description goes last: what is left of the rest is found by it.
func (s *service) wipe(base string) {
	for _, suffix := range []string{partSuffix, fileSuffix, metaSuffix + ".new", metaSuffix} {
		if err := os.Remove(base + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.env.Logger.Warn("a part of an upload is still there", "error", err)
		}
	}
}

// note writes a description down, all of it or nothing.
func (s *service) note(m meta) error {
	content, err := json.Marshal(m)
	if err != nil {
		return err
	}
	name := filepath.Join(s.dir, m.ID+metaSuffix)
	if err := os.WriteFile(name+".new", content, 0o600); err != nil {
		return diskError(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return diskError(err)
	}
	return nil
}

// find returns an upload of an owner's.
func (s *service) find(owner, id string) *upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	if u := s.uploads[id]; u != nil && u.Owner == owner {
		return u
	}
	return nil
}

// drop ends an upload and removes it. It reports whether it was there.
func (s *service) drop(ctx context.Context, u *upload) bool {
	if !u.end() {
		return false
	}
	s.forget(u.ID)
	s.wipe(filepath.Join(s.dir, u.ID))
	s.tell(ctx, progressTopic, u.ID, progress{ID: u.ID, Ended: true})
	return true
}

func (s *service) forget(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.uploads, id)
}

// room reports why there is none for an upload that will have so many bytes; more is what it needs beyond what is counted already. mu is held.
func (s *service) room(owner string, size, more int64, isNew bool) error {
	if size > s.limits.File {
		return hub.Errorf(codeSize, "a file has at most %d MiB", s.limits.File>>20)
	}
	now, used, own := time.Now(), int64(0), 0
	for _, u := range s.uploads {
		used += u.needs(now, s.limits.Rest)
		if u.Owner == owner {
			own++
		}
	}
	for _, f := range s.files {
		used += f.Size
	}
	switch {
	case used+more > s.limits.Total:
		return hub.Errorf(codeFull, "there is no room for this file: all together may have %d MiB; old files go after %s", s.limits.Total>>20, s.limits.Keep)
	case isNew && own >= s.limits.PerKey:
		return hub.Errorf(codeMany, "at most %d of your uploads are unfinished at one time; finish or cancel one", s.limits.PerKey)
	case isNew && (len(s.uploads) >= s.limits.Uploads || len(s.files)+len(s.uploads) >= s.limits.Files):
		return hub.Errorf(codeMany, "there are too many files here already; come back later")
	}
	return nil
}

// purge removes what has been abandoned and what is old, and closes files that nobody writes.
func (s *service) purge(ctx context.Context, now time.Time) {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.uploads))
	var old []*meta
	for id, f := range s.files {
		if now.Sub(f.Finished) > s.limits.Keep {
			old = append(old, f)
			delete(s.files, id)
		}
	}
	s.mu.Unlock()
	for _, u := range all {
		switch {
		case u.rests(now, s.limits.Abandon), u.written.Load() == 0 && u.rests(now, s.limits.Rest):
			s.drop(ctx, u)
		case u.rests(now, s.limits.Rest) && u.mu.TryLock():
			u.release()
			u.mu.Unlock()
		}
	}
	for _, f := range old {
		s.discard(ctx, f)
	}
}

// discard removes a finished file that is in the list no more.
func (s *service) discard(ctx context.Context, f *meta) {
	s.wipe(filepath.Join(s.dir, f.ID))
	s.tell(ctx, doneTopic, f.ID, event{Op: "gone", ID: f.ID, Place: s.place})
}

// close closes the files. What is not complete stays, for the next process.
func (s *service) close() {
	s.mu.Lock()
	all := slices.Collect(maps.Values(s.uploads))
	s.mu.Unlock()
	for _, u := range all {
		u.mu.Lock()
		u.release()
		u.mu.Unlock()
	}
}

// failed logs what the system has said, which is not for the visitor.
func (s *service) failed(err error) error {
	if errors.Is(err, context.Canceled) {
		return hub.Errorf(hub.CodeUnavailable, "nobody waits for the answer any more")
	}
	refusal := new(hub.Error)
	if _, plain := err.(*hub.Error); plain || !errors.As(err, &refusal) {
		return err
	}
	s.env.Logger.Warn("an upload cannot go on", "error", fmt.Errorf("%s: %w", refusal.Code, err))
	return refusal
}
