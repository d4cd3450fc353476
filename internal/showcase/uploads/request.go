package uploads

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/duplex-websocket/duplex/hub"
	"github.com/duplex-websocket/duplex/internal/showcase"
)

// file is what everybody may know of a finished file.
type file struct {
	ID       string    `json:"id"`
	Owner    string    `json:"owner"`
	Name     string    `json:"name"`
	Size     int64     `json:"size"`
	From     string    `json:"from"`
	SHA256   string    `json:"sha256"`
	Finished time.Time `json:"finished"`
}

func (m *meta) public() *file {
	return &file{m.ID, m.Owner, m.Name, m.Size, m.From, m.SHA256, m.Finished}
}

// progress is what everybody may know of an upload.
type progress struct {
	ID     string `json:"id"`
	Owner  string `json:"owner,omitempty"`
	Name   string `json:"name,omitempty"`
	Size   int64  `json:"size,omitempty"`
	From   string `json:"from,omitempty"`
	Offset int64  `json:"offset,omitempty"`
	Ended  bool   `json:"ended,omitempty"` // it is no upload any more
}

func (u *upload) progress() progress {
	return progress{u.ID, u.Owner, u.Name, u.Size, u.From, u.written.Load(), false}
}

const (
	minKey, maxKey = 20, 100
	header         = 16 + 8 // of a chunk
)

// ownerOf makes of a key what others may see. Nobody finds the key by it.
func ownerOf(key string) (string, error) {
	if len(key) < minKey || len(key) > maxKey {
		return "", hub.Errorf(codeKey, "a key of %d to %d random characters says whose uploads these are", minKey, maxKey)
	}
	sum := sha256.Sum256([]byte("owner of uploads: " + key))
	return hex.EncodeToString(sum[:12]), nil
}

type asked struct {
	Key    string `json:"key"`
	ID     string `json:"id"`
	SHA256 string `json:"sha256"` // of finish
}

type listed struct {
	Files    []*file    `json:"files"`   // the newest first
	Uploads  []progress `json:"uploads"` // that move at the moment
	Owner    string     `json:"owner"`   // who asks
	Place    string     `json:"place"`   // as in event
	MaxFile  int64      `json:"maxFile"` // bytes
	MaxTotal int64      `json:"maxTotal"`
	Refused  []string   `json:"refused"` // extensions
	Keep     int64      `json:"keep"`    // seconds for which a finished file is here
	Abandon  int64      `json:"abandon"` // and an unfinished one
}

func (s *service) list(_ context.Context, _ *hub.Request, q asked) (listed, error) {
	owner, err := ownerOf(q.Key)
	if err != nil {
		return listed{}, err
	}
	if err := s.open(); err != nil {
		return listed{}, err
	}
	l := listed{
		Files: []*file{}, Uploads: []progress{}, Owner: owner, Place: s.place, MaxFile: s.limits.File, MaxTotal: s.limits.Total, Refused: programs,
		Keep: int64(s.limits.Keep.Seconds()), Abandon: int64(s.limits.Abandon.Seconds()),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.files {
		l.Files = append(l.Files, m.public())
	}
	slices.SortFunc(l.Files, func(a, b *file) int { return cmp.Or(b.Finished.Compare(a.Finished), cmp.Compare(a.ID, b.ID)) })
	for _, u := range s.uploads {
		if !u.rests(time.Now(), time.Minute) {
			l.Uploads = append(l.Uploads, u.progress())
		}
	}
	return l, nil
}

type begun struct {
	ID     string `json:"id"`
	Name   string `json:"name"`   // under which it will be listed
	Offset int64  `json:"offset"` // so much is here already
	Chunk  int    `json:"chunk"`  // bytes that one request may carry
}

type beginning struct {
	Key      string `json:"key"`
	Name     string `json:"name"`
	Size     int64  `json:"size"`
	Modified int64  `json:"modified"`
	Head     string `json:"head"`
}

var isSum = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (s *service) begin(ctx context.Context, r *hub.Request, q beginning) (begun, error) {
	owner, err := ownerOf(q.Key)
	if err != nil {
		return begun{}, err
	}
	from, err := showcase.NameOf(r.Identity)
	if err != nil {
		return begun{}, err
	}
	switch {
	case q.Name == "" || !utf8.ValidString(q.Name) || len(q.Name) > 4096:
		return begun{}, hub.Errorf(codeName, "a file has a name, of at most 4,096 bytes")
	case q.Size < 0:
		return begun{}, hub.Errorf(codeSize, "a file has 0 bytes or more")
	case !isSum.MatchString(q.Head):
		return begun{}, hub.Errorf(hub.CodeBadRequest, "head is the SHA-256 of the file's beginning: 64 digits from 0 to f")
	}
	m := meta{Owner: owner, Name: safeName(q.Name), Size: q.Size, Modified: q.Modified, Head: q.Head, From: from}
	if isProgram(m.Name) {
		return begun{}, errType
	}
	if err := s.open(); err != nil {
		return begun{}, err
	}
	u, err := s.enter(m)
	if err != nil {
		return begun{}, s.failed(err)
	}
	offset, err := u.resume(ctx, r.Session)
	if err != nil {
		return begun{}, s.failed(err)
	}
	s.tell(ctx, progressTopic, u.ID, u.progress())
	return begun{u.ID, u.Name, offset, maxChunk}, nil
}

// enter returns the unfinished upload of the same file by the same owner, or a new one.
func (s *service) enter(m meta) (*upload, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.uploads {
		if u.Owner == m.Owner && u.Name == m.Name && u.Size == m.Size && u.Modified == m.Modified && u.Head == m.Head {
			return u, s.room(m.Owner, m.Size, m.Size-u.needs(time.Now(), s.limits.Rest), false)
		}
	}
	if err := s.room(m.Owner, m.Size, m.Size, true); err != nil {
		return nil, err
	}
	var id [16]byte
	_, _ = rand.Read(id[:]) // it never fails
	m.ID = hex.EncodeToString(id[:])
	if err := s.note(m); err != nil {
		return nil, err
	}
	u := newUpload(m, filepath.Join(s.dir, m.ID+partSuffix), 0, time.Now())
	u.writes = s.writer()
	s.uploads[m.ID] = u
	return u, nil
}

// chunk answers demo.uploads.chunk.
func (s *service) chunk(ctx context.Context, r *hub.Request) (hub.Reply, error) {
	if !r.Binary || len(r.Data) <= header || len(r.Data) > header+maxChunk {
		return hub.Reply{}, hub.Errorf(codeChunk, "a chunk is 16 bytes of id, 8 of offset, and 1 to %d bytes of the file", maxChunk)
	}
	id, at, p := hex.EncodeToString(r.Data[:16]), binary.BigEndian.Uint64(r.Data[16:]), r.Data[header:]
	if at > 1<<53 {
		return hub.Reply{}, hub.Errorf(codeChunk, "no file is so long")
	}
	s.mu.Lock()
	u := s.uploads[id]
	s.mu.Unlock()
	if u == nil {
		return hub.Reply{}, errGone
	}
	offset, tell, err := u.take(ctx, r.Session, int64(at), p, s.limits.Rest)
	if err == error(errType) {
		s.drop(ctx, u)
	}
	if err != nil {
		return hub.Reply{}, s.failed(err)
	}
	if tell {
		s.tell(ctx, progressTopic, u.ID, u.progress())
	}
	data, err := json.Marshal(struct {
		Offset int64 `json:"offset"`
	}{offset})
	return hub.Reply{Data: data}, err
}

func (s *service) finish(ctx context.Context, _ *hub.Request, q asked) (*file, error) {
	owner, err := ownerOf(q.Key)
	if err != nil {
		return nil, err
	}
	if !isSum.MatchString(q.SHA256) {
		return nil, hub.Errorf(hub.CodeBadRequest, "sha256 is 64 digits from 0 to f")
	}
	u := s.find(owner, q.ID)
	if u == nil {
		return s.finished(owner, q.ID) // the answer to the first time may have been lost
	}
	u.finish.Lock() // or the first time is still at it
	defer u.finish.Unlock()
	if s.find(owner, q.ID) == nil {
		return s.finished(owner, q.ID)
	}
	switch err := u.seal(q.SHA256); err {
	case nil:
	case error(errDamaged):
		s.forget(u.ID)
		s.wipe(filepath.Join(s.dir, u.ID))
		s.tell(ctx, progressTopic, u.ID, progress{ID: u.ID, Ended: true})
		return nil, err
	default:
		return nil, s.failed(err)
	}
	done := u.meta
	done.SHA256, done.Finished = q.SHA256, time.Now().UTC()
	if err := s.keep(done); err != nil {
		s.forget(u.ID)
		s.wipe(filepath.Join(s.dir, u.ID))
		return nil, s.failed(err)
	}
	s.tell(ctx, progressTopic, u.ID, progress{ID: u.ID, Ended: true})
	s.tell(ctx, doneTopic, u.ID, event{"done", u.ID, s.place, done.public()})
	return done.public(), nil
}

// keep makes a file of an upload that is complete.
func (s *service) keep(m meta) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.note(m); err != nil {
		return err
	}
	base := filepath.Join(s.dir, m.ID)
	if err := os.Rename(base+partSuffix, base+fileSuffix); err != nil {
		return diskError(err)
	}
	delete(s.uploads, m.ID)
	s.files[m.ID] = &m
	return nil
}

func (s *service) finished(owner, id string) (*file, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.files[id]; f != nil && f.Owner == owner {
		return f.public(), nil
	}
	return nil, errGone
}

// cancel is harmless for what is not there.
func (s *service) cancel(ctx context.Context, _ *hub.Request, q asked) (struct{}, error) {
	owner, err := ownerOf(q.Key)
	if u := s.find(owner, q.ID); err == nil && u != nil {
		s.drop(ctx, u)
	}
	return struct{}{}, err
}

func (s *service) remove(ctx context.Context, _ *hub.Request, q asked) (struct{}, error) {
	owner, err := ownerOf(q.Key)
	if err != nil {
		return struct{}{}, err
	}
	s.mu.Lock()
	f := s.files[q.ID]
	own := f != nil && f.Owner == owner
	if own {
		delete(s.files, q.ID)
	}
	s.mu.Unlock()
	if own {
		s.discard(ctx, f)
	}
	return struct{}{}, nil
}
