package uploads

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// Codes of what is refused.
const (
	codeKey       hub.Code = "uploads.key"
	codeName      hub.Code = "uploads.name"
	codeType      hub.Code = "uploads.type"
	codeSize      hub.Code = "uploads.size"
	codeFull      hub.Code = "uploads.full"
	codeMany      hub.Code = "uploads.many"
	codeDisk      hub.Code = "uploads.disk"
	codeChunk     hub.Code = "uploads.chunk"
	codeGone      hub.Code = "uploads.gone"
	codeElsewhere hub.Code = "uploads.elsewhere"
	codeRested    hub.Code = "uploads.rested"
	codeChecking  hub.Code = "uploads.checking"
	codeUnsent    hub.Code = "uploads.unsent"
	codeDamaged   hub.Code = "uploads.damaged"
)

var (
	errGone      = hub.Errorf(codeGone, "there is no such upload any more")
	errElsewhere = hub.Errorf(codeElsewhere, "this upload goes on in another window")
	errRested    = hub.Errorf(codeRested, "this upload has rested for long: begin it again, to see whether there is room for it")
	errType      = hub.Errorf(codeType, "programs are not taken: %v, and what is one under another name", programs)
	errDamaged   = hub.Errorf(codeDamaged, "what has arrived is not what was sent; the file is not kept")
)

// meta is what is known of a file or an upload, and is written down beside it.
type meta struct {
	ID       string    `json:"id"`
	Owner    string    `json:"owner"` // made of the key, which is written down nowhere
	Name     string    `json:"name"`
	Size     int64     `json:"size"`
	Modified int64     `json:"modified"` // by the sender's clock; with Name, Size and Head it tells whether a file is the same one
	Head     string    `json:"head"`     // the sum of its beginning
	From     string    `json:"from"`     // the sender's name
	SHA256   string    `json:"sha256,omitempty"`
	Finished time.Time `json:"finished,omitzero"`
}

// upload is a file that is not complete yet.
type upload struct {
	meta   // immutable until it is finished
	path   string
	writes func(f *os.File, p []byte, at int64) error // immutable; how to write

	written atomic.Int64 // bytes; changed with mu held
	moved   atomic.Int64 // when something last came, in nanoseconds since 1970; changed with mu held

	finish sync.Mutex // held by who makes a file of it; taken before mu

	mu      sync.Mutex
	file    *os.File      // nil: not open
	sum     hash.Hash     // of the first summed bytes
	summed  int64         // less than written only after a restart
	session string        // whose chunks are taken
	told    time.Time     // when progress was last told
	turn    chan struct{} // closed when any of this changes
	ended   bool          // finished or removed
}

func newUpload(m meta, path string, offset int64, moved time.Time) *upload {
	u := &upload{meta: m, path: path, writes: writeAt, sum: sha256.New(), turn: make(chan struct{})}
	u.written.Store(offset)
	u.moved.Store(moved.UnixNano())
	return u
}

func writeAt(f *os.File, p []byte, at int64) error {
	_, err := f.WriteAt(p, at)
	return err
}

// wake lets those that wait look again. u.mu is held.
func (u *upload) wake() {
	close(u.turn)
	u.turn = make(chan struct{})
}

// resume makes a session the one whose chunks are taken, and returns from where on.
func (u *upload) resume(ctx context.Context, session string) (offset int64, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return 0, errGone
	}
	if u.file == nil {
		if u.file, err = os.OpenFile(u.path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
			return 0, diskError(err)
		}
	}
	if err := u.catchUp(ctx); err != nil {
		return 0, err
	}
	u.session = session
	u.moved.Store(time.Now().UnixNano())
	u.wake()
	return u.written.Load(), nil
}

// catchUp computes the sum of what was written before a restart. It may take several calls: each goes on where the last one had to stop.
func (u *upload) catchUp(ctx context.Context) error {
	buffer := make([]byte, min(maxChunk, u.written.Load()-u.summed))
	for u.summed < u.written.Load() {
		if ctx.Err() != nil {
			return &hub.Error{Code: codeChecking, Message: "what is here already is still being read; begin again", Retry: 100 * time.Millisecond}
		}
		part := buffer[:min(int64(len(buffer)), u.written.Load()-u.summed)]
		n, err := u.file.ReadAt(part, u.summed)
		u.sum.Write(part[:n])
		u.summed += int64(n)
		if err != nil && !(errors.Is(err, io.EOF) && u.summed == u.written.Load()) {
			return diskError(err)
		}
	}
	return nil
}

// take writes a chunk when it is its turn, and returns up to where everything is written. tell says that others should hear of it.
func (u *upload) take(ctx context.Context, session string, at int64, p []byte, rest time.Duration) (offset int64, tell bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for {
		switch {
		case u.ended:
			return 0, false, errGone
		case u.session != session:
			return 0, false, errElsewhere
		case u.file == nil || u.rests(time.Now(), rest):
			return 0, false, errRested
		case at+int64(len(p)) > u.Size:
			return 0, false, hub.Errorf(codeChunk, "the file was to have %d bytes, and this would be beyond", u.Size)
		case at < u.written.Load():
			return u.written.Load(), false, nil // it was sent again
		case at == u.written.Load():
			tell, err := u.write(p)
			return u.written.Load(), tell, err
		}
		if err := u.wait(ctx); err != nil {
			return 0, false, err
		}
	}
}

// wait lets go of the lock until something has changed.
func (u *upload) wait(ctx context.Context) error {
	turn := u.turn
	u.mu.Unlock()
	defer u.mu.Lock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// write appends. What does not fit on the disk is not there at all.
func (u *upload) write(p []byte) (tell bool, err error) {
	if u.written.Load() == 0 && beginsLikeProgram(p) {
		return false, errType
	}
	if err := u.writes(u.file, p, u.written.Load()); err != nil {
		return false, errors.Join(diskError(err), u.file.Truncate(u.written.Load()))
	}
	u.sum.Write(p)
	now := time.Now()
	u.summed = u.written.Add(int64(len(p)))
	u.moved.Store(now.UnixNano())
	u.wake()
	if tell = now.Sub(u.told) >= tellEvery; tell {
		u.told = now
	}
	return tell, nil
}

// end makes it take nothing any more. It reports whether it still did.
func (u *upload) end() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.endLocked()
}

func (u *upload) endLocked() bool {
	was := !u.ended
	u.ended = true
	u.release()
	u.wake()
	return was
}

// release closes the file until somebody goes on. u.mu is held.
func (u *upload) release() {
	if u.file != nil {
		_ = u.file.Close() // seal has synced what is kept
		u.file = nil
	}
}

// seal checks that everything has arrived as it was sent, and that it is on disk. The upload has ended unless the error says that more is
// to be sent.
func (u *upload) seal(sum string) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.ended:
		return errGone
	case u.written.Load() < u.Size:
		return hub.Errorf(codeUnsent, "%d of %d bytes are here; send the rest first", u.written.Load(), u.Size)
	case u.file == nil || u.summed < u.written.Load():
		return errRested
	case fmt.Sprintf("%x", u.sum.Sum(nil)) != sum:
		u.endLocked()
		return errDamaged
	}
	if err := u.file.Sync(); err != nil {
		return diskError(err)
	}
	u.endLocked()
	return nil
}

// rests reports whether nothing has come for so long.
func (u *upload) rests(now time.Time, rest time.Duration) bool {
	return now.UnixNano()-u.moved.Load() > int64(rest)
}

// needs is what it takes on disk, with what is still to come unless it rests. It does not wait for the lock.
func (u *upload) needs(now time.Time, rest time.Duration) int64 {
	if u.rests(now, rest) {
		return u.written.Load()
	}
	return u.Size
}

// diskError says that it is not the sender's fault, and keeps what the system said for the log. Whether there is no room is worth telling.
func diskError(err error) error {
	if errors.Is(err, syscall.ENOSPC) {
		return errors.Join(hub.Errorf(codeFull, "the server's disk is full; what has arrived is kept for a day, to go on later"), err)
	}
	return errors.Join(&hub.Error{Code: codeDisk, Message: "the server cannot write this file at the moment", Retry: time.Second}, err)
}
