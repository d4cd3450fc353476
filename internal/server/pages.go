package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"io/fs"
	"net/http"
	"path"
	"time"
)

// contentTypes are what package web consists of. They are written down because mime.TypeByExtension answers what the
// machine's own tables say, which has been known to make scripts text/plain.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
	".json": "application/json",

	".webmanifest": "application/manifest+json",
}

// contentPolicy lets a page load and connect to what this server serves and nothing else: no inline script or style, no frame.
// Pictures of the chat are shown from blob: URLs.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; " +
	"manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

type page struct {
	content     []byte
	contentType string
	etag        string
}

// pages serves the files of one file system from memory.
type pages map[string]page // by URL path

func newPages(files fs.FS) (pages, error) {
	all := pages{}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		contentType, ok := contentTypes[path.Ext(name)]
		if !ok {
			return nil // not for browsers, such as Go files
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		p := page{content, contentType, `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
		all["/"+name] = p
		if path.Base(name) == "index.html" {
			all[path.Join("/", path.Dir(name), "/")] = p
		}
		return nil
	})
	return all, err
}

func (p pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", contentPolicy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "only GET and HEAD", http.StatusMethodNotAllowed)
		return
	}
	page, ok := p[path.Clean(r.URL.Path)]
	if !ok {
		http.Error(w, "there is nothing at "+r.URL.Path, http.StatusNotFound)
		return
	}
	header.Set("Content-Type", page.contentType)
	header.Set("Cache-Control", "no-cache") // kept by the browser, but asked for again: the names never change
	header.Set("ETag", page.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(page.content))
}
