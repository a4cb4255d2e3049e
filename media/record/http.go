package record

import (
	"cmp"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"mime"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"confab/signaling/wire"
)

const (
	maxListed  = 500  // recordings in a list; the newest ones
	maxScanned = 5000 // manifests read for one
)

// A Caller is who asks for recordings. It sees and deletes those that it has started itself and those of the rooms
// that it moderates.
type Caller struct {
	User      wire.UserID                 // "" = nobody in particular
	Moderates func(room wire.RoomID) bool // nil = no room
}

// may reports whether c may see and delete a recording.
func (c Caller) may(m *Manifest) bool {
	return c.User != "" && m.By == c.User || c.Moderates != nil && c.Moderates(m.Room)
}

// Handler serves the recordings below /api/v1/recordings:
//
//	GET    /api/v1/recordings             a List of what the caller may see, or with ?room= of one room; newest first
//	GET    /api/v1/recordings/{id}        the Manifest
//	GET    /api/v1/recordings/{id}/{file} a file that the manifest names, also in parts (Range)
//	DELETE /api/v1/recordings/{id}        204; conflict while it is being recorded
//
// identify says who asks; its error is a *wire.Error and goes to the client. Problems are {error:{code,message}} with
// the codes of the wire protocol. What a caller may not see is not-found, so that ids tell nothing.
func (r *Recorder) Handler(identify func(*http.Request) (Caller, error)) http.Handler {
	h := &handler{recorder: r, dir: r.opts.Dir, identify: identify, log: r.opts.Log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/recordings", h.serve(h.list))
	mux.HandleFunc("GET /api/v1/recordings/{id}", h.serve(h.manifest))
	mux.HandleFunc("GET /api/v1/recordings/{id}/{file}", h.serve(h.file))
	mux.HandleFunc("DELETE /api/v1/recordings/{id}", h.serve(h.remove))
	return mux
}

// A List is the answer to GET /api/v1/recordings.
type List struct {
	Recordings []Summary `json:"recordings"`
}

// A Summary is a Manifest without its lists.
type Summary struct {
	ID           string      `json:"id"`
	Room         wire.RoomID `json:"room"`
	Started      string      `json:"started"`         // RFC 3339
	Ended        string      `json:"ended,omitempty"` // absent = it goes on
	Reason       Reason      `json:"reason,omitempty"`
	By           wire.UserID `json:"by"`
	Bytes        int64       `json:"bytes"`
	Tracks       int         `json:"tracks"`
	Participants int         `json:"participants"`
}

type handler struct {
	// Constant.
	recorder *Recorder
	dir      string
	identify func(*http.Request) (Caller, error)
	log      *slog.Logger
}

// serve maps the error of a handler to an answer.
func (h *handler) serve(fn func(http.ResponseWriter, *http.Request) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		err := fn(w, r)
		if err == nil {
			return
		}
		problem, ok := errors.AsType[*wire.Error](err)
		if !ok {
			h.log.Error("serving recordings", "path", r.URL.Path, "error", err)
			problem = wire.Errorf(wire.CodeInternal, "the recordings cannot be read")
		}
		wire.WriteProblem(w, 0, problem)
	}
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the client is gone
}

func (h *handler) list(w http.ResponseWriter, r *http.Request) error {
	room := wire.RoomID(r.URL.Query().Get("room"))
	if room != "" && !wire.ValidName(string(room)) {
		return wire.Errorf(wire.CodeBadMessage, "that is no name of a room")
	}
	caller, err := h.identify(r)
	if err != nil {
		return err
	}
	entries, err := os.ReadDir(h.dir)
	if err != nil {
		return err
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(b.Name(), a.Name()) }) // newest first
	list, scanned := List{Recordings: []Summary{}}, 0
	for _, entry := range entries {
		if !validID(entry.Name()) || room != "" && !strings.Contains(entry.Name(), "-"+string(room)+"-") {
			continue // the folder's name has the room in it, which spares reading the others' manifests
		}
		if scanned++; scanned > maxScanned {
			break
		}
		m, err := readManifest(filepath.Join(h.dir, entry.Name()))
		if err != nil || room != "" && m.Room != room || !caller.may(m) {
			continue
		}
		if list.Recordings = append(list.Recordings, m.summary()); len(list.Recordings) == maxListed {
			break
		}
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, list)
	return nil
}

func (m *Manifest) summary() Summary {
	const format = "2006-01-02T15:04:05.000Z07:00"
	s := Summary{
		ID: m.ID, Room: m.Room, Started: m.Started.Format(format), Reason: m.Reason, By: m.By, Bytes: m.Bytes,
		Tracks: len(m.files()), Participants: len(m.Participants),
	}
	if m.Ended != nil {
		s.Ended = m.Ended.Format(format)
	}
	return s
}

// find reads the manifest that a request names, if the caller may.
func (h *handler) find(r *http.Request) (*Manifest, string, error) {
	caller, err := h.identify(r)
	if err != nil {
		return nil, "", err
	}
	missing := wire.Errorf(wire.CodeNotFound, "there is no such recording")
	id := r.PathValue("id")
	if !validID(id) {
		return nil, "", missing
	}
	dir := filepath.Join(h.dir, id)
	m, err := readManifest(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, "", missing
	case err != nil:
		return nil, "", err
	case !caller.may(m):
		return nil, "", missing
	}
	return m, dir, nil
}

func (h *handler) manifest(w http.ResponseWriter, r *http.Request) error {
	m, _, err := h.find(r)
	if err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusOK, m)
	return nil
}

func (h *handler) file(w http.ResponseWriter, r *http.Request) error {
	m, dir, err := h.find(r)
	if err != nil {
		return err
	}
	name := r.PathValue("file")
	if name != manifestName && (name != m.Chat || name == "") && !slices.Contains(m.files(), name) {
		return wire.Errorf(wire.CodeNotFound, "the recording has no such file")
	}
	root, err := os.OpenRoot(dir) // whatever a name says, it stays within
	if err != nil {
		return err
	}
	defer root.Close()
	file, err := root.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return wire.Errorf(wire.CodeNotFound, "the recording has no such file")
	}
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", contentType(name))
	header.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": name}))
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "private, no-cache")
	http.ServeContent(w, r, name, info.ModTime(), file)
	return nil
}

func contentType(name string) string {
	switch filepath.Ext(name) {
	case ".webm":
		return "video/webm"
	case ".mkv":
		return "video/x-matroska"
	case ".jsonl":
		return "application/jsonl; charset=utf-8"
	default:
		return "application/json; charset=utf-8"
	}
}

// remove deletes a recording: its manifest first, so that what is left when that fails is no recording any more.
func (h *handler) remove(w http.ResponseWriter, r *http.Request) error {
	m, dir, err := h.find(r)
	if err != nil {
		return err
	}
	if h.recorder.liveID(m.ID) {
		return wire.Errorf(wire.CodeConflict, "it is being recorded; stop it first")
	}
	if err := os.Remove(filepath.Join(dir, manifestName)); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	h.log.Info("recording deleted", "room", m.Room, "recording", m.ID)
	w.WriteHeader(http.StatusNoContent)
	return nil
}
