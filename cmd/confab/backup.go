package main

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"confab/rooms/bus"
)

// A backup is a tar file: about.json, the files of the data folder below files/, each stream of the log in numbered pieces
// below streams/NAME/, and end.json. One without its end is no backup.
const (
	backupFormat  = 1
	backupAbout   = "about.json"
	backupEnd     = "end.json"
	backupFiles   = "files/"
	backupStreams = "streams/"
	backupStdout  = "-"
	maxBackupJSON = 64 << 10
	maxPieceBytes = 2 << 20  // of a stream; NATS makes them of at most 1 MiB
	maxFolderFile = 16 << 30 // of a file of the data folder
)

// leftOut is what a backup has none of: the log's own files, of which it has snapshots, what belongs to the running server,
// and recordings, which are files to be copied at any time.
var leftOut = []string{"nats", busLockName, "bus.checkpoint", backupSocketName, restoringName, "recordings"}

// backupHead is about.json.
type backupHead struct {
	Format  int       `json:"format"`
	Made    time.Time `json:"made"`
	Program string    `json:"program"` // its version
}

// backupTail is end.json.
type backupTail struct {
	Entries int   `json:"entries"` // before it
	Bytes   int64 `json:"bytes"`   // of them, without headers
}

// snapshots are a log that can be read as it is at a moment.
type snapshots interface {
	Snapshot(ctx context.Context, stream string, each func(piece []byte) error) error
}

// backupWriter writes a backup.
type backupWriter struct {
	out  *tar.Writer
	made time.Time
	tail backupTail
}

func (w *backupWriter) add(name string, size int64, from io.Reader) error {
	header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o600, ModTime: w.made, Format: tar.FormatPAX}
	if err := w.out.WriteHeader(header); err != nil {
		return err
	}
	if _, err := io.CopyN(w.out, from, size); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	w.tail.Entries++
	w.tail.Bytes += size
	return nil
}

func (w *backupWriter) addJSON(name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return w.add(name, int64(len(text)), strings.NewReader(string(text)))
}

// writeBackup writes a backup of a data folder and its log.
func writeBackup(ctx context.Context, to io.Writer, folder string, log snapshots) error {
	w := &backupWriter{out: tar.NewWriter(to), made: time.Now().UTC().Truncate(time.Second)}
	if err := w.addJSON(backupAbout, backupHead{Format: backupFormat, Made: w.made, Program: version()}); err != nil {
		return err
	}
	if err := w.addFolder(folder); err != nil {
		return fmt.Errorf("the data folder: %w", err)
	}
	for _, stream := range bus.SnapshotStreams() {
		number := 0
		err := log.Snapshot(ctx, stream, func(piece []byte) error {
			number++
			return w.add(fmt.Sprintf("%s%s/%08d", backupStreams, stream, number), int64(len(piece)), strings.NewReader(string(piece)))
		})
		if err != nil {
			return err
		}
	}
	if err := w.addJSON(backupEnd, w.tail); err != nil {
		return err
	}
	return w.out.Close()
}

// addFolder adds the files of the data folder that are no part of the log.
func (w *backupWriter) addFolder(folder string) error {
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case path != "." && strings.HasPrefix(entry.Name(), "."): // being written
		case !slices.Contains(leftOut, path) && entry.Type().IsRegular():
			return w.addFile(root, path)
		case !slices.Contains(leftOut, path):
			return nil
		}
		if entry.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
}

// addFile adds a file as long as it is now: what is appended meanwhile is not in it.
func (w *backupWriter) addFile(root *os.Root, path string) error {
	file, err := root.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it went in between
	}
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	return w.add(backupFiles+filepath.ToSlash(path), info.Size(), file)
}

// backupReader reads what writeBackup wrote.
type backupReader struct {
	in   *tar.Reader
	seen backupTail
	next *tar.Header // read, and not taken yet
}

var errNoBackup = errors.New("it is no backup of confab, or not all of one")

// openBackup reads the beginning of a backup.
func openBackup(from io.Reader) (*backupReader, backupHead, error) {
	r := &backupReader{in: tar.NewReader(from)}
	var head backupHead
	if err := r.json(backupAbout, &head); err != nil {
		return nil, head, err
	}
	if head.Format != backupFormat {
		return nil, head, fmt.Errorf("it has format %d, this program knows %d: restore it with the program that made it, version %s", head.Format, backupFormat, head.Program)
	}
	return r, head, nil
}

// peek is the next entry. The error is errNoBackup where there is none.
func (r *backupReader) peek() (*tar.Header, error) {
	if r.next != nil {
		return r.next, nil
	}
	header, err := r.in.Next()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoBackup, err)
	}
	if header.Typeflag != tar.TypeReg {
		return nil, fmt.Errorf("%w: %s is no file", errNoBackup, header.Name)
	}
	r.next = header
	return header, nil
}

// take counts the next entry as read.
func (r *backupReader) take() {
	r.seen.Entries++
	r.seen.Bytes += r.next.Size
	r.next = nil
}

func (r *backupReader) json(name string, value any) error {
	header, err := r.peek()
	if err != nil {
		return err
	}
	if header.Name != name || header.Size > maxBackupJSON {
		return fmt.Errorf("%w: %s stands where %s should", errNoBackup, header.Name, name)
	}
	text, err := io.ReadAll(r.in)
	if err != nil {
		return fmt.Errorf("%w: %w", errNoBackup, err)
	}
	r.take()
	if err := json.Unmarshal(text, value); err != nil {
		return fmt.Errorf("%w: %s: %w", errNoBackup, name, err)
	}
	return nil
}

// file calls use with the next file of the data folder, and reports whether there was one.
func (r *backupReader) file(use func(path string, content io.Reader) error) (bool, error) {
	header, err := r.peek()
	if err != nil {
		return false, err
	}
	path, ok := strings.CutPrefix(header.Name, backupFiles)
	if !ok {
		return false, nil
	}
	if !filepath.IsLocal(filepath.FromSlash(path)) || header.Size > maxFolderFile {
		return false, fmt.Errorf("%w: a file called %q of %d bytes", errNoBackup, path, header.Size)
	}
	defer r.take()
	return true, use(filepath.FromSlash(path), r.in)
}

// piece is the next one of a stream; io.EOF after the last one.
func (r *backupReader) piece(stream string) ([]byte, error) {
	header, err := r.peek()
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(header.Name, backupStreams+stream+"/") {
		return nil, io.EOF
	}
	if header.Size > maxPieceBytes {
		return nil, fmt.Errorf("%w: a piece of %d bytes", errNoBackup, header.Size)
	}
	piece, err := io.ReadAll(r.in)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoBackup, err)
	}
	r.take()
	return piece, nil
}

// end wants everything that was written to have been read.
func (r *backupReader) end() error {
	seen := r.seen
	var tail backupTail
	if err := r.json(backupEnd, &tail); err != nil {
		return err
	}
	if tail != seen {
		return fmt.Errorf("%w: %d of %d entries", errNoBackup, seen.Entries, tail.Entries)
	}
	return nil
}

// checkBackup reads a whole backup and keeps nothing of it.
func checkBackup(from io.Reader) (backupHead, error) {
	r, head, err := openBackup(from)
	if err != nil {
		return head, err
	}
	for more := true; more; {
		if more, err = r.file(func(_ string, content io.Reader) error { _, err := io.Copy(io.Discard, content); return err }); err != nil {
			return head, err
		}
	}
	for _, stream := range bus.SnapshotStreams() {
		for err == nil {
			_, err = r.piece(stream)
		}
		if !errors.Is(err, io.EOF) {
			return head, err
		}
		err = nil
	}
	return head, r.end()
}

// backupCommand is `confab backup`.
type backupCommand struct {
	File string `arg:"" help:"File to write, which must not be there; - is the standard output."`
}

// Run asks the server that is at work on the data folder, by a socket in it, or reads the folder itself when none is. The
// file is there when it is complete.
func (c *backupCommand) Run(p *process) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if c.File == backupStdout {
		return wrap("the backup", takeBackup(ctx, p, p.stdout))
	}
	if _, err := os.Lstat(c.File); err == nil {
		return fmt.Errorf("%s is there already; name another file", c.File)
	}
	file, err := os.CreateTemp(filepath.Dir(c.File), "."+filepath.Base(c.File)+"-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("the backup: %w", err)
	}
	defer os.Remove(file.Name())
	err = takeBackup(ctx, p, file)
	if err == nil {
		err = file.Sync()
	}
	info, statErr := file.Stat()
	if err = errors.Join(err, statErr, file.Close()); err == nil {
		err = os.Link(file.Name(), c.File) // unlike a rename it never replaces another file
	}
	if err != nil {
		return fmt.Errorf("the backup: %w", err)
	}
	_, err = fmt.Fprintf(p.stdout, "%s: %.1f MiB\n", c.File, float64(info.Size())/(1<<20))
	return err
}

// takeBackup writes a backup and sees that it is whole.
func takeBackup(ctx context.Context, p *process, to io.Writer) error {
	out, in := io.Pipe()
	checked := make(chan error, 1)
	go func() {
		_, err := checkBackup(out)
		_, _ = io.Copy(io.Discard, out) // the end of a tar file is padded
		checked <- err
	}()
	err := readBackup(ctx, p, io.MultiWriter(to, in))
	_ = in.CloseWithError(err) // never fails; nil is the end
	if check := <-checked; err == nil {
		err = check
	}
	return err
}

// readBackup has the running server write the backup, or does it.
func readBackup(ctx context.Context, p *process, to io.Writer) error {
	s := p.settings
	asked, err := askForBackup(ctx, s.Data, to)
	if asked || err != nil {
		return err
	}
	if s.NATS == "" {
		if _, err := os.Stat(filepath.Join(s.Data, leftOut[0])); err != nil {
			return fmt.Errorf("there is no log in %s: %w", s.Data, err)
		}
	}
	log, err := openIdleLog(ctx, s, newLogger(s, p.stderr))
	if err != nil {
		return err
	}
	return errors.Join(writeBackup(ctx, to, s.Data, log), log.Close())
}

// openIdleLog opens the log for what no server may be at work meanwhile.
func openIdleLog(ctx context.Context, s *Settings, log *slog.Logger) (*bus.Idle, error) {
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	idle, err := bus.OpenIdle(opening, bus.Options{
		DataDir: s.Data, URL: s.NATS, Replicas: s.Replicas, History: s.History, Durability: s.busDurability(), Logger: log,
	})
	if err != nil {
		return nil, plainLogError(err)
	}
	return idle, nil
}
