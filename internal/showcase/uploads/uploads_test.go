package uploads

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duplex-websocket/duplex/hub"
)

// TestUpload: what is sent is there, byte for byte, everybody hears of it, and its owner can remove it.
func TestUpload(t *testing.T) {
	p := startPage(t, t.TempDir(), defaults)
	ann, bob := p.visit(t, "a", annsKey), p.visit(t, "b", bobsKey)
	bob.follow(t, doneTopic)
	content := noise(3<<20+17, "x")
	b := ann.begin(t, "../../etc/旅行 \u202egnp.exe.png", content)
	if b.Name != "旅行 gnp.exe.png" || b.Offset != 0 || b.Chunk != maxChunk {
		t.Errorf("%+v", b)
	}
	ann.sendAll(t, b, content)
	var group sync.WaitGroup
	var several [4]file
	for i := range several { // as when the answer was lost, or comes late
		group.Go(func() { several[i] = ann.finish(t, b.ID, content) })
	}
	group.Wait()
	f, again := several[0], several[3]
	var e event
	bob.next(t, &e)
	if e.Op != "done" || *e.File != f || again != f || f.SHA256 != sum(content) || f.From != "Ann" {
		t.Errorf("%+v, %+v", e, f)
	}
	var l listed
	if refused := bob.ask(t, "list", map[string]any{}, &l); refused != nil || len(l.Files) != 1 || *l.Files[0] != f || l.Owner == f.Owner || len(l.Uploads) != 0 {
		t.Errorf("%+v, %v", l, refused)
	}

	w := httptest.NewRecorder()
	p.mux.ServeHTTP(w, httptest.NewRequest("GET", "/uploads/files/"+b.ID, nil))
	h := w.Header()
	if w.Code != 200 || sum(w.Body.Bytes()) != f.SHA256 || h.Get("X-Content-Type-Options") != "nosniff" ||
		h.Get("Content-Disposition") != "attachment; filename*=utf-8''%E6%97%85%E8%A1%8C%20gnp.exe.png" || h.Get("Content-Type") != "application/octet-stream" {
		t.Errorf("%d, %v", w.Code, h)
	}
	for _, path := range []string{"/uploads/files/..%2f" + b.ID, "/uploads/files/" + b.ID + ".json", "/uploads/files/%2e%2e"} {
		w := httptest.NewRecorder()
		if p.mux.ServeHTTP(w, httptest.NewRequest("GET", path, nil)); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}

	var nothing struct{}
	bob.ask(t, "remove", map[string]any{"id": b.ID}, &nothing) // not his
	if got := p.left(t); got != "file json" {
		t.Errorf("left: %s", got)
	}
	if refused := ann.ask(t, "remove", map[string]any{"id": b.ID}, &nothing); refused != nil || p.left(t) != "" {
		t.Error(refused, p.left(t))
	}
	if bob.next(t, &e); e.Op != "gone" || e.ID != b.ID {
		t.Errorf("%+v", e)
	}
	empty := ann.begin(t, "empty", nil)
	if f := ann.finish(t, empty.ID, nil); f.Size != 0 {
		t.Errorf("%+v", f)
	}
}

// TestWindow: chunks that are under way at the same time are written in their order, whichever comes first, and twice is once.
func TestWindow(t *testing.T) {
	p := startPage(t, t.TempDir(), defaults)
	ann := p.visit(t, "a", annsKey)
	content := noise(1<<20, "window")
	b := ann.begin(t, "a.bin", content)
	const size = 128 << 10
	var group sync.WaitGroup
	for at := len(content) - size; at >= 0; at -= size {
		group.Go(func() {
			if _, refused, err := ann.send(t.Context(), b.ID, at, content[at:at+size]); refused != nil || err != nil {
				t.Error(at, refused, err)
			}
		})
	}
	group.Wait()
	if offset, refused, err := ann.send(t.Context(), b.ID, size, content[size:2*size]); offset != len(content) || refused != nil || err != nil {
		t.Error(offset, refused, err)
	}
	ann.finish(t, b.ID, content)
}

// TestResume: after a restart, in another session, an upload goes on where it was, and so does its sum.
func TestResume(t *testing.T) {
	data := t.TempDir()
	content := noise(2<<20, "resume")
	half := len(content) / 2
	p := startPage(t, data, defaults)
	ann := p.visit(t, "a", annsKey)
	b := ann.begin(t, "a.bin", content)
	ann.sendAll(t, b, content[:half])
	if refused := ann.ask(t, "finish", map[string]any{"id": b.ID, "sha256": sum(content)}, &file{}); refused == nil || refused.Code != codeUnsent {
		t.Error(refused)
	}
	p.end()
	// What a crash may leave behind.
	for _, name := range []string{strings.Repeat("a", 32) + ".part", strings.Repeat("b", 32) + ".json.new", strings.Repeat("c", 32) + ".file", strings.Repeat("d", 32) + ".json", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
	}

	p = startPage(t, data, defaults)
	ann = p.visit(t, "a2", annsKey)
	bob := p.visit(t, "b", bobsKey)
	if other := bob.begin(t, "a.bin", content); other.ID == b.ID || other.Offset != 0 {
		t.Errorf("somebody else goes on with it: %+v", other)
	}
	if _, refused, _ := ann.send(t.Context(), b.ID, half, content[half:half+9]); refused == nil || refused.Code != codeElsewhere {
		t.Error(refused)
	}
	again := ann.begin(t, "a.bin", content)
	if again.ID != b.ID || again.Offset != int64(half) {
		t.Fatalf("%+v after %+v", again, b)
	}
	ann.sendAll(t, again, content)
	ann.finish(t, b.ID, content)
	p.end()

	p = startPage(t, data, defaults)
	var l listed
	p.visit(t, "c", bobsKey).ask(t, "list", map[string]any{}, &l)
	if len(l.Files) != 1 || l.Files[0].SHA256 != sum(content) {
		t.Errorf("%+v", l)
	}
	if got := p.left(t); got != "file json json part txt" && got != "json part file json txt" {
		t.Errorf("left: %s", got)
	}
}

// TestTakeOver: a second window goes on, and the first is told so.
func TestTakeOver(t *testing.T) {
	p := startPage(t, t.TempDir(), defaults)
	first, second := p.visit(t, "1", annsKey), p.visit(t, "2", annsKey)
	content := noise(5000, "")
	b := first.begin(t, "a", content)
	waiting := make(chan *hub.Error)
	go func() { // a chunk that waits for one before it
		_, refused, _ := first.send(t.Context(), b.ID, 2000, content[2000:])
		waiting <- refused
	}()
	if again := second.begin(t, "a", content); again.ID != b.ID {
		t.Fatal(again)
	}
	if refused := <-waiting; refused == nil || refused.Code != codeElsewhere {
		t.Error(refused)
	}
	second.sendAll(t, b, content)
	second.finish(t, b.ID, content)
}

// TestDamaged: what does not arrive as it was sent is not kept.
func TestDamaged(t *testing.T) {
	p := startPage(t, t.TempDir(), defaults)
	ann := p.visit(t, "a", annsKey)
	content := noise(5000, "")
	b := ann.begin(t, "a", content)
	ann.sendAll(t, b, noise(5000, "something else"))
	if refused := ann.ask(t, "finish", map[string]any{"id": b.ID, "sha256": sum(content)}, &file{}); refused == nil || refused.Code != codeDamaged {
		t.Error(refused)
	}
	if p.left(t) != "" {
		t.Error(p.left(t))
	}
}

// TestCancel leaves nothing behind, also while chunks are under way; it is not for others.
func TestCancel(t *testing.T) {
	p := startPage(t, t.TempDir(), defaults)
	ann, bob := p.visit(t, "a", annsKey), p.visit(t, "b", bobsKey)
	bob.follow(t, progressTopic)
	content := noise(1<<20, "")
	b := ann.begin(t, "a", content)
	var nothing struct{}
	bob.ask(t, "cancel", map[string]any{"id": b.ID}, &nothing)
	var group sync.WaitGroup
	for i := range 4 {
		group.Go(func() {
			at := i << 18
			_, refused, err := ann.send(t.Context(), b.ID, at, content[at:at+1<<18])
			if err != nil || refused != nil && refused.Code != codeGone {
				t.Error(refused, err)
			}
		})
	}
	for range 2 {
		if refused := ann.ask(t, "cancel", map[string]any{"id": b.ID}, &nothing); refused != nil {
			t.Error(refused)
		}
	}
	group.Wait()
	if p.left(t) != "" {
		t.Error(p.left(t))
	}
	for last := (progress{}); !last.Ended; {
		bob.next(t, &last)
	}
}

// TestLimits: what is too large, too much or a program is refused in words, and others feel nothing.
func TestLimits(t *testing.T) {
	l := defaults
	l.File, l.Total, l.PerKey, l.Uploads = 1<<20, 5<<19, 3, 5
	p := startPage(t, t.TempDir(), l)
	ann, bob := p.visit(t, "a", annsKey), p.visit(t, "b", bobsKey)
	refused := func(v visitor, code hub.Code, change map[string]any) {
		t.Helper()
		q := describe("a", noise(10, ""))
		for k, value := range change {
			q[k] = value
		}
		if got := v.ask(t, "begin", q, &begun{}); got == nil || got.Code != code || got.Message == "" {
			t.Errorf("%v: %v", change, got)
		}
	}
	refused(ann, codeSize, map[string]any{"size": 1<<20 + 1})
	refused(ann, codeSize, map[string]any{"size": -1})
	refused(ann, hub.CodeBadRequest, map[string]any{"size": 1.5})
	refused(ann, codeName, map[string]any{"name": ""})
	refused(ann, codeName, map[string]any{"name": strings.Repeat("x", 5000)})
	refused(ann, codeType, map[string]any{"name": "setup.EXE. "})
	refused(ann, codeKey, map[string]any{"key": "short"})
	refused(ann, hub.CodeBadRequest, map[string]any{"head": "x"})

	program := append([]byte("MZ\x90\x00"), noise(100, "")...)
	b := ann.begin(t, "picture.png", program)
	if _, got, _ := ann.send(t.Context(), b.ID, 0, program); got == nil || got.Code != codeType || p.left(t) != "" {
		t.Error(got, p.left(t))
	}
	for i := range 3 {
		ann.begin(t, fmt.Sprint(i), noise(10, ""))
	}
	refused(ann, codeMany, map[string]any{"name": "fourth"})
	bob.begin(t, "big", noise(1<<20, ""))
	bob.begin(t, "bigger", noise(1<<20, "2"))
	refused(bob, codeFull, map[string]any{"size": 1 << 20})
	p.visit(t, "c", "somebody-elses-key-003").ask(t, "list", map[string]any{}, &listed{})
	refused(p.visit(t, "d", "somebody-elses-key-004"), codeMany, nil)
}

// TestMalformed chunks are refused, and what they are about stays as it is.
func TestMalformed(t *testing.T) {
	p := startPage(t, t.TempDir(), defaults)
	ann := p.visit(t, "a", annsKey)
	content := noise(100, "")
	b := ann.begin(t, "a", content)
	for _, c := range []struct {
		data   []byte
		binary bool
		code   hub.Code
	}{
		{nil, true, codeChunk},
		{make([]byte, header), true, codeChunk},
		{make([]byte, header+maxChunk+1), true, codeChunk},
		{make([]byte, 100), true, codeGone},
		{[]byte(`{}`), false, codeChunk},
		{chunkOf(b.ID, 0, noise(101, "")), true, codeChunk},
		{chunkOf(b.ID, -1, content), true, codeChunk},
		{chunkOf(b.ID, 1<<53, content), true, codeChunk},
	} {
		pending, err := ann.Request(t.Context(), "demo.uploads.chunk", c.data, c.binary)
		refused, err := refusal(pending, err, &struct{}{})
		if err != nil || refused == nil || refused.Code != c.code {
			t.Errorf("%d bytes: %v, %v", len(c.data), refused, err)
		}
	}
	ann.sendAll(t, b, content)
	ann.finish(t, b.ID, content)
}

// TestDiskFull: what does not fit is refused, what was written stays, and when there is room it goes on.
func TestDiskFull(t *testing.T) {
	full := true
	u := newUpload(meta{Size: 100}, filepath.Join(t.TempDir(), "part"), 0, time.Now())
	u.writes = func(f *os.File, p []byte, at int64) error {
		if full && at >= 40 {
			_ = writeAt(f, p[:5], at)
			return &os.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
		}
		return writeAt(f, p, at)
	}
	content := noise(100, "")
	for _, disk := range []bool{true, false} {
		full = disk
		offset, err := u.resume(t.Context(), "s")
		if err != nil {
			t.Fatal(err)
		}
		for offset < 100 && err == nil {
			offset, _, err = u.take(t.Context(), "s", offset, content[offset:offset+20], time.Hour)
		}
		if !full {
			if err != nil {
				t.Fatal(err)
			}
			break
		}
		var refused *hub.Error
		if !errors.As(err, &refused) || refused.Code != codeFull || !errors.Is(err, syscall.ENOSPC) {
			t.Fatal(err)
		}
		if info, err := os.Stat(u.path); err != nil || info.Size() != 40 {
			t.Errorf("%v, %v", info.Size(), err)
		}
	}
	if err := u.seal(sum(content)); err != nil {
		t.Error(err)
	}
}

// TestPurge: what nobody goes on with keeps no room after a while, and is gone after a day; finished files after a week.
func TestPurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := defaults
		l.Total = 1000
		p := startPage(t, t.TempDir(), l)
		ann := p.visit(t, "a", annsKey)
		ann.follow(t, doneTopic)
		content := noise(600, "")
		b := ann.begin(t, "a", content)
		if _, refused, err := ann.send(t.Context(), b.ID, 0, content[:100]); refused != nil || err != nil {
			t.Fatal(refused, err)
		}
		small := noise(300, "s")
		s := ann.begin(t, "small", small)
		ann.sendAll(t, s, small)
		ann.finish(t, s.ID, small)
		if refused := ann.ask(t, "begin", describe("c", content), &begun{}); refused == nil || refused.Code != codeFull {
			t.Error(refused)
		}
		time.Sleep(l.Rest + purgeEvery + time.Second)
		synctest.Wait()
		ann.begin(t, "c", content) // there is room for it now
		if _, refused, _ := ann.send(t.Context(), b.ID, 100, content[100:]); refused == nil || refused.Code != codeRested {
			t.Error(refused)
		}
		if refused := ann.ask(t, "begin", describe("a", content), &begun{}); refused == nil || refused.Code != codeFull {
			t.Error(refused)
		}
		time.Sleep(l.Abandon + purgeEvery)
		synctest.Wait()
		if got := p.left(t); got != "file json" {
			t.Errorf("left: %s", got)
		}
		time.Sleep(l.Keep)
		synctest.Wait()
		if got := p.left(t); got != "" {
			t.Errorf("left: %s", got)
		}
		var e event
		for e.Op != "gone" {
			ann.next(t, &e)
		}
		p.end()
	})
}

func TestSafeName(t *testing.T) {
	for name, want := range map[string]string{
		"report.pdf":                     "report.pdf",
		"../../etc/passwd":               "passwd",
		`C:\files\ann\photo.jpg`:         "photo.jpg",
		"/":                              "file",
		"...":                            "file",
		".bashrc":                        "bashrc",
		"a\x00b\r\nc\u202egpj.exe":       "ab  cgpj.exe",
		"con.txt":                        "_con.txt",
		`a"b<c>d|e?.txt`:                 "a_b_c_d_e_.txt",
		"照片 2026.png":                    "照片 2026.png",
		"👨‍👩‍👧.gif":                      "👨‍👩‍👧.gif",
		strings.Repeat("x", 300) + ".gz": strings.Repeat("x", 97) + ".gz",
		strings.Repeat("王", 300) + ".gz": strings.Repeat("王", 65) + ".gz",
		"a." + strings.Repeat("e", 300):  "a." + strings.Repeat("e", 98),
		"\xff\xfe":                       "file",
	} {
		if got := safeName(name); got != want {
			t.Errorf("%q becomes %q, not %q", name, got, want)
		}
	}
}

func FuzzSafeName(f *testing.F) {
	for _, name := range []string{"a.txt", "../x", "con", "\u202e", strings.Repeat("é.", 99)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		safe := safeName(name)
		if safe == "" || len(safe) > maxNameBytes || strings.ContainsAny(safe, "/\\\x00\n\r\"") || strings.HasPrefix(safe, ".") || strings.HasSuffix(safe, " ") {
			t.Errorf("%q becomes %q", name, safe)
		}
		if again := safeName(safe); again != safe {
			t.Errorf("%q becomes %q, and that %q", name, safe, again)
		}
	})
}
