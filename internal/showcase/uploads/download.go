package uploads

import (
	"mime"
	"net/http"
	"os"
	"path/filepath"
)

// download serves a finished file so that no browser shows or runs it in this server's name.
func (s *service) download(w http.ResponseWriter, r *http.Request) {
	if err := s.open(); err != nil {
		http.Error(w, "files cannot be read at the moment", http.StatusServiceUnavailable)
		return
	}
	id := r.PathValue("id")
	s.mu.Lock()
	m, dir := s.files[id], s.dir
	s.mu.Unlock()
	if m == nil {
		http.Error(w, "there is no such file any more", http.StatusNotFound)
		return
	}
	f, err := os.Open(filepath.Join(dir, m.ID+fileSuffix)) // an ID of ours, not what was asked for
	if err != nil {
		http.Error(w, "there is no such file any more", http.StatusNotFound)
		return
	}
	defer f.Close()
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": m.Name}))
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "private, no-cache")
	h.Set("ETag", `"`+m.SHA256+`"`)
	http.ServeContent(w, r, "", m.Finished, f)
}
