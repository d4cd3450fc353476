// Package web holds the pages that the server shows. src/ is what people write, one folder for each page; dist/ is built from it by "make
// web", and committed so that nobody needs Node to run a server. duplex-client.js is built in clients/typescript.
package web

import (
	"embed"
	"io/fs"
)

//go:embed dist
var dist embed.FS

// Public are the files for browsers that are no page: the client, for pages of other people, and what belongs to the site as a whole.
//
//go:embed duplex-client.js icon.svg app.webmanifest
var Public embed.FS

// Source is what the pages were built from.
//
//go:embed src
var Source embed.FS

// Pages are the pages, with index.html at the root.
func Pages() fs.FS {
	pages, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the name is valid
	}
	return pages
}
