// Package web holds the built web app, so that the binary serves it with no file beside it.
//
// The folder dist is what `vite build` makes of src. It is committed, so that building the server
// needs no Node.
package web

import (
	"embed"
	"io/fs"
)

// The prefix all: keeps files whose names begin with "_" or ".", which the bundler makes.
//
//go:embed all:dist
var embedded embed.FS

// Dist is the built app, rooted at the folder that holds index.html.
var Dist = mustSub(embedded, "dist")

// mustSub panics only when dir is no valid path, which a constant argument settles at the first start.
func mustSub(fsys fs.FS, dir string) fs.FS {
	sub, err := fs.Sub(fsys, dir)
	if err != nil {
		panic(err)
	}
	return sub
}
