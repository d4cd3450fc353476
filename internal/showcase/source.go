package showcase

import "embed"

// Source is the text of the apps, for the source page.
//
//go:embed */*.go */*.sql
var Source embed.FS
