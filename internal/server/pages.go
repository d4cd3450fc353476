package server

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
)

// contentTypes are what package web consists of. They are written down because mime.TypeByExtension answers what the
// machine's own tables say, which has been known to make scripts text/plain.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
	".png":  "image/png",
	".json": "application/json",
	".txt":  "text/plain; charset=utf-8",

	".webmanifest": "application/manifest+json",
}

// contentPolicy lets a page load and connect to what this server serves and nothing else: no inline script or style, no frame.
// Pictures and media that came over a WebSocket are shown from blob: URLs; data: is for what a map draws where it has no picture.
const contentPolicy = "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; " +
	"connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

type page struct {
	content     []byte
	gzipped     []byte // nil: it would not be smaller
	contentType string
	etag        string // without quotes
}

// pages serves files from memory.
type pages map[string]page // by URL path

// newPages reads file systems; what is in a later one takes the place of what an earlier one has.
func newPages(systems ...fs.FS) (pages, error) {
	all := pages{}
	for _, files := range systems {
		if err := all.add(files); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (all pages) add(files fs.FS) error {
	return fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
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
		p := page{content, compressed(content), contentType, base64.RawURLEncoding.EncodeToString(sum[:12])}
		all["/"+name] = p
		if path.Base(name) == "index.html" {
			all[path.Join("/", path.Dir(name), "/")] = p
		}
		return nil
	})
}

// compressed returns content as gzip, or nil if that saves little.
func compressed(content []byte) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // the level is valid, and a Buffer takes everything
	_, _ = w.Write(content)
	_ = w.Close()
	if out.Len() > len(content)*9/10 {
		return nil
	}
	return out.Bytes()
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
	if path.Ext(r.URL.Path) == "" && !strings.HasSuffix(r.URL.Path, "/") {
		// A page's links are relative to its folder.
		http.Redirect(w, r, (&url.URL{Path: path.Base(r.URL.Path) + "/", RawQuery: r.URL.RawQuery}).String(), http.StatusMovedPermanently)
		return
	}
	header.Set("Content-Type", page.contentType)
	header.Set("Cache-Control", "no-cache") // kept by the browser, but asked for again: the names never change
	header.Set("Vary", "Accept-Encoding")
	content, etag := page.content, page.etag
	if page.gzipped != nil && acceptsGzip(r.Header) {
		content, etag = page.gzipped, etag+"-gzip"
		header.Set("Content-Encoding", "gzip")
	}
	header.Set("ETag", `"`+etag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
}

// acceptsGzip reports whether an Accept-Encoding names gzip and does not refuse it (RFC 9110 section 12.5.3).
func acceptsGzip(h http.Header) bool {
	for _, line := range h.Values("Accept-Encoding") {
		for one := range strings.SplitSeq(line, ",") {
			coding, weight, _ := strings.Cut(one, ";")
			if strings.EqualFold(strings.TrimSpace(coding), "gzip") {
				weight = strings.TrimSpace(weight)
				return weight != "q=0" && !strings.HasPrefix(weight, "q=0.000")
			}
		}
	}
	return false
}
