// Package examples carries the runnable examples inside the binary, so that `hoist demo` works from anywhere. Its
// invariant: what is embedded is exactly what lies in this folder.
//
//	files, err := fs.Sub(examples.Files(), "shop")
//	…
//	hoist dev examples/shop   # the same files, from the command line
package examples

import (
	"embed"
	"io/fs"
)

//go:embed shop cloudbees
var files embed.FS

// Files returns the examples as a file system; its top folders are the examples' names.
func Files() fs.FS { return files }
