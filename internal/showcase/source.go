package showcase

import "embed"

// Source is the text of the apps and of what they have in common, for the source page.
//
//go:embed *.go */*.go */*.sql */*/*.go
var Source embed.FS
