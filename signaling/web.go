package signaling

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

const (
	indexFile   = "index.html"
	gzipMinimum = 1 << 10 // bytes; below it a compressed variant saves no packet
)

// A webApp serves the built app from memory. It is constant after newWebApp.
type webApp struct {
	files map[string]*webFile // by path without the leading slash
	page  []header            // of index.html
}

type webFile struct {
	name    string
	content []byte
	kind    string // Content-Type
	etag    string
	cache   string        // Cache-Control
	gzipped func() []byte // made at the first request for it; nil = no variant
	app     bool          // index.html: bears the headers of a page
}

// newWebApp reads the app, which may be embedded by pages of the origins in embed. Errors: those of the file system, and a missing index.html.
func newWebApp(root fs.FS, embed []string) (*webApp, error) {
	app := &webApp{files: make(map[string]*webFile), page: pageHeaders(embed)}
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		app.files[name] = newWebFile(name, content)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("signaling: read the web app: %w", err)
	}
	if app.files[indexFile] == nil {
		return nil, fmt.Errorf("signaling: the web app has no %s", indexFile)
	}
	return app, nil
}

func newWebFile(name string, content []byte) *webFile {
	sum := sha256.Sum256(content)
	f := &webFile{
		name: name, content: content, app: name == indexFile, cache: "no-cache",
		etag: base64.RawURLEncoding.EncodeToString(sum[:12]), kind: contentType(name),
	}
	if strings.HasPrefix(name, "assets/") { // their names change with their content
		f.cache = "public, max-age=31536000, immutable"
	}
	text := strings.HasPrefix(f.kind, "text/") || strings.Contains(f.kind, "json") || strings.Contains(f.kind, "svg") || strings.Contains(f.kind, "wasm")
	if text && len(content) >= gzipMinimum {
		f.gzipped = sync.OnceValue(func() []byte { return compressed(content) })
	}
	return f
}

// contentType does not trust the machine's mime table for what browsers insist on.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".html":
		return "text/html; charset=utf-8"
	case ".json", ".map":
		return "application/json"
	case ".webmanifest":
		return "application/manifest+json"
	case ".svg":
		return "image/svg+xml"
	case ".wasm":
		return "application/wasm"
	case ".woff2":
		return "font/woff2"
	case ".txt":
		return "text/plain; charset=utf-8"
	}
	if kind := mime.TypeByExtension(path.Ext(name)); kind != "" {
		return kind
	}
	return "application/octet-stream"
}

func compressed(content []byte) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // the level is valid
	_, _ = w.Write(content)                                 // a buffer does not fail
	_ = w.Close()
	return out.Bytes()
}

// serve answers a request that no route took.
func (a *webApp) serve(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	f := a.files[name]
	if f == nil && isPage(r, name) {
		f = a.files[indexFile]
	}
	if f == nil {
		notFound(w)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		notFound(w)
		return
	}
	if f.app {
		for _, one := range a.page {
			w.Header()[one.name] = one.value
		}
	}
	f.serve(w, r)
}

// isPage reports whether a browser asks for a page of the app, which does its own routing.
func isPage(r *http.Request, name string) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	first, _, _ := strings.Cut(name, "/")
	switch first {
	case "": // the start page, whatever the client accepts
		return true
	case "api", "ws", "assets", "session", "events", "send", "whip", "whep", "metrics", "healthz", "readyz":
		return false
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

func (f *webFile) serve(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", f.cache)
	content, etag := f.content, f.etag
	if f.gzipped != nil {
		h.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r) && r.Header.Get("Range") == "" {
			content, etag = f.gzipped(), etag+"-gz"
			h.Set("Content-Encoding", "gzip")
		}
	}
	h.Set("ETag", `"`+etag+`"`)
	http.ServeContent(w, r, f.name, time.Time{}, bytes.NewReader(content))
}

// acceptsGzip reads Accept-Encoding (RFC 9110 section 12.5.3) as far as browsers use it.
func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		coding, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if coding == "gzip" && strings.ReplaceAll(params, " ", "") != "q=0" {
			return true
		}
	}
	return false
}
