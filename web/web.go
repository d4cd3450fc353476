// Package web holds the pages that the server shows: plain HTML, CSS and ES modules that need no build. duplex-client.js is built in
// clients/typescript.
package web

import "embed"

// Files are the pages and what belongs to them, with index.html at the root.
//
//go:embed *.html *.css *.js *.svg *.webmanifest
var Files embed.FS
