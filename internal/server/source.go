package server

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/duplex-websocket/duplex/internal/showcase"
	"github.com/duplex-websocket/duplex/web"
)

// Where in the repository what is embedded comes from.
const (
	pageFolder = "web/src/"
	appFolder  = "internal/showcase/"
)

// source serves the files that the showcase was built from, so that each page can show its own.
type source struct {
	files map[string][]byte  // immutable: by path in the repository
	lists map[string]listing // immutable: by page
}

// listing is what a page consists of.
type listing struct {
	Title json.RawMessage `json:"title"` // in each language
	Files []string        `json:"files"` // paths in the repository, what the server does first
}

func newSource() (*source, error) {
	s := &source{files: make(map[string][]byte), lists: make(map[string]listing)}
	if err := s.add(web.Source, "web/"); err != nil {
		return nil, err
	}
	if err := s.add(showcase.Source, appFolder); err != nil {
		return nil, err
	}
	for name, content := range s.files {
		folder, file := path.Split(name)
		if file != "page.json" {
			continue
		}
		var about struct {
			Title   json.RawMessage
			Sources []string
		}
		if err := json.Unmarshal(content, &about); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		page := path.Base(folder)
		list := listing{about.Title, append(s.in(appFolder+page+"/", ".go", ".sql"), s.in(folder, ".ts", ".html", ".css", ".json")...)}
		for _, other := range about.Sources {
			found := s.in(other)
			if len(found) == 0 {
				return nil, fmt.Errorf("%s: there is no source %s", name, other)
			}
			list.Files = append(list.Files, found...)
		}
		s.lists[page] = list
	}
	return s, nil
}

// add reads a file system, but for tests.
func (s *source) add(files fs.FS, prefix string) error {
	return fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasSuffix(name, "_test.go") {
			return err
		}
		s.files[prefix+name], err = fs.ReadFile(files, name)
		return err
	})
}

// in returns the files whose paths begin with prefix, main files first; with one of the endings if any are given.
func (s *source) in(prefix string, endings ...string) []string {
	found := []string{}
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		if strings.HasPrefix(name, prefix) && (len(endings) == 0 || slices.Contains(endings, path.Ext(name))) {
			found = append(found, name)
		}
	}
	main := func(name string) bool {
		return path.Base(name) == "main.ts" || strings.TrimSuffix(path.Base(name), ".go") == path.Base(path.Dir(name))
	}
	slices.SortStableFunc(found, func(a, b string) int {
		switch {
		case main(a) == main(b):
			return 0
		case main(a):
			return -1
		}
		return 1
	})
	return found
}

// serveList answers GET /source/list?page=NAME.
func (s *source) serveList(w http.ResponseWriter, r *http.Request) {
	list, ok := s.lists[r.URL.Query().Get("page")]
	if !ok {
		http.Error(w, "there is no such page", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-cache")
	_, _ = w.Write(mustJSON(list))
}

// serveFile answers GET /source/files/PATH with text that no browser takes for anything else.
func (s *source) serveFile(w http.ResponseWriter, r *http.Request) {
	content, ok := s.files[r.PathValue("path")]
	if !ok {
		http.Error(w, "there is no such file", http.StatusNotFound)
		return
	}
	header := w.Header()
	header.Set("Content-Type", "text/plain; charset=utf-8")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Content-Security-Policy", contentPolicy)
	header.Set("Cache-Control", "no-cache")
	_, _ = w.Write(content)
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("%T: %v", v, err)) // only ever called with what has a form in JSON
	}
	return b
}
