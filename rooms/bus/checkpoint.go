package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

const (
	lockName       = "bus.lock"
	checkpointName = "bus.checkpoint"
	bootIDFile     = "/proc/sys/kernel/random/boot_id" // Linux; elsewhere every unclean stop counts as a new boot
)

var errFolderInUse = errors.New("it is in use by another process: stop that one, or give this one a folder of its own")

// A mark is how far a stream is known to have come.
type mark struct {
	Epoch string `json:"epoch"`
	Last  uint64 `json:"last"`
}

// A checkpoint is what the data folder remembers from one run to the next, to tell at the start whether
// sequences may be used twice. It never holds what the log could not be rebuilt without.
type checkpoint struct {
	Boot    string          `json:"boot"`  // boot id of the machine, empty where there is none
	Clean   bool            `json:"clean"` // the last run ended in good order
	Streams map[string]mark `json:"streams"`
}

// A checkpointFile is a checkpoint on disk, replaced as a whole at each write.
type checkpointFile struct {
	// Set by openCheckpoint, then constant.
	path  string
	boot  string     // of this run
	found checkpoint // what the last run left
	known bool       // false: the last run left nothing, or nothing readable

	mu sync.Mutex
	// Guarded by mu.
	written []byte
}

// openCheckpoint reads the file at path. A missing or damaged one is not an error: it says that nothing is
// known of the last run, and that is answered by new epochs.
func openCheckpoint(path string) (*checkpointFile, error) {
	c := &checkpointFile{path: path, boot: bootID()}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading its checkpoint: %w", err)
	}
	c.known = json.Unmarshal(data, &c.found) == nil
	return c, nil
}

func bootID() string {
	data, err := os.ReadFile(bootIDFile)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// doubtful reports whether the embedded server's store may have lost what it had confirmed: nothing is known
// of the last run, or it was not stopped in good order and the machine has been started since. A killed process
// alone loses nothing.
func (c *checkpointFile) doubtful() bool {
	if !c.known {
		return true
	}
	return !c.found.Clean && (c.boot == "" || c.boot != c.found.Boot)
}

// markOpen notes, on the disk before anything is appended, that a run is under way.
func (c *checkpointFile) markOpen(marks map[string]mark) error { return c.write(marks, false) }

// write replaces the file when its content changes.
func (c *checkpointFile) write(marks map[string]mark, clean bool) error {
	data, err := json.MarshalIndent(checkpoint{Boot: c.boot, Clean: clean, Streams: marks}, "", "\t")
	if err != nil {
		return fmt.Errorf("encoding the checkpoint: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if string(data) == string(c.written) {
		return nil
	}
	if err := replaceFile(c.path, data); err != nil {
		return fmt.Errorf("writing the checkpoint %s: %w", c.path, err)
	}
	c.written = data
	return nil
}

// replaceFile puts data at path so that a reader, also after a power cut, finds the old content or the new.
func replaceFile(path string, data []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = file.Write(data)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return err
	}
	syncFolder(filepath.Dir(path))
	return nil
}

// syncFolder makes a rename durable. Not every file system can; then the old content may come back, which is
// what the epoch rules expect of a power cut anyway.
func syncFolder(path string) {
	if dir, err := os.Open(path); err == nil {
		_ = dir.Sync()
		_ = dir.Close()
	}
}
