package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"confab/rooms/bus"
)

// restoringName is a file in a data folder whose restore did not finish: no server starts there.
const restoringName = "restoring"

// restoreCommand is `confab restore`.
type restoreCommand struct {
	File string `arg:"" help:"Backup to read."`
}

// Run fills an empty data folder, and an empty log, with what a backup holds. The whole backup is read before anything is
// made of it.
func (c *restoreCommand) Run(p *process) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	file, err := os.Open(c.File)
	if err != nil {
		return fmt.Errorf("the backup: %w", err)
	}
	defer file.Close()
	head, err := checkBackup(file)
	if err == nil {
		_, err = file.Seek(0, io.SeekStart)
	}
	if err != nil {
		return fmt.Errorf("the backup %s: %w", c.File, err)
	}
	folder := p.settings.Data
	if err := makeEmpty(folder); err != nil {
		return err
	}
	mark := filepath.Join(folder, restoringName)
	if err := os.WriteFile(mark, nil, 0o600); err != nil {
		return fmt.Errorf("the data folder: %w", err)
	}
	if err := restoreBackup(ctx, p, file); err != nil {
		return fmt.Errorf("restoring: %w; empty %s before you try again", err, folder)
	}
	if err := os.Remove(mark); err != nil {
		return fmt.Errorf("the data folder: %w", err)
	}
	_, err = fmt.Fprintf(p.stdout, "%s holds what was there on %s. Start the server with the same settings as before.\n", folder, head.Made.Format(time.RFC1123))
	return err
}

// makeEmpty makes a folder, or sees that it holds nothing but what a new file system has.
func makeEmpty(folder string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("the data folder: %w", err)
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("the data folder: %w", err)
	}
	for _, entry := range entries {
		if entry.Name() != "lost+found" {
			return fmt.Errorf("the data folder %s is not empty (%s); restore into another one with --data", folder, entry.Name())
		}
	}
	return nil
}

// restoreBackup restores the files and the log.
func restoreBackup(ctx context.Context, p *process, from io.Reader) (err error) {
	r, _, err := openBackup(from)
	if err != nil {
		return err
	}
	root, err := os.OpenRoot(p.settings.Data)
	if err != nil {
		return err
	}
	defer root.Close()
	for more := true; more; {
		if more, err = r.file(func(path string, content io.Reader) error { return restoreFile(root, path, content) }); err != nil {
			return err
		}
	}
	log, err := openIdleLog(ctx, p.settings, newLogger(p.settings, p.stderr))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	if err := log.Empty(ctx); err != nil {
		return err
	}
	for _, stream := range bus.SnapshotStreams() {
		if err := log.Restore(ctx, stream, func() ([]byte, error) { return r.piece(stream) }); err != nil {
			return err
		}
	}
	return r.end()
}

// restoreFile writes one file of the data folder, to the disk.
func restoreFile(root *os.Root, path string, content io.Reader) error {
	if err := root.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	file, err := root.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Sync(), file.Close())
}

// checkRestored wants the restore of a folder to have finished, if there was one.
func checkRestored(folder string) error {
	_, err := os.Stat(filepath.Join(folder, restoringName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the data folder: %w", err)
	}
	return fmt.Errorf("the restore of the data folder %s did not finish; empty it, and restore once more", folder)
}

// upgradeCommand is `confab upgrade`.
type upgradeCommand struct {
	YesDelete bool `help:"Also where it deletes messages, as less history does."`
}

// Run changes the log to the settings, where a start refuses a log that was made with others.
func (c *upgradeCommand) Run(p *process) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if p.settings.NATS == "" {
		if _, err := os.Stat(p.settings.Data); err != nil {
			return fmt.Errorf("there is no log to upgrade: %w", err)
		}
	}
	log, err := openIdleLog(ctx, p.settings, newLogger(p.settings, p.stderr))
	if err != nil {
		return err
	}
	changes, err := log.Upgrade(ctx, c.YesDelete)
	if err = errors.Join(err, log.Close()); err != nil && !errors.Is(err, bus.ErrWouldDelete) {
		return plainLogError(err)
	}
	printChanges(p.stdout, changes)
	if err != nil {
		return fmt.Errorf("nothing was changed, since %d records would be deleted; make a backup, and say --yes-delete if they may go", deletedBy(changes))
	}
	return nil
}

// printChanges prints a line for what is the same in several streams.
func printChanges(to io.Writer, changes []bus.Change) {
	if len(changes) == 0 {
		fmt.Fprintln(to, "The log is as the settings want it.")
	}
	streams := map[bus.Change]int{}
	var order []bus.Change
	for _, c := range changes {
		c.Stream, c.Deletes = "", 0
		if streams[c] == 0 {
			order = append(order, c)
		}
		streams[c]++
	}
	for _, c := range order {
		fmt.Fprintf(to, "%s: from %d to %d in %d streams\n", c.Setting, c.From, c.To, streams[c])
	}
}

func deletedBy(changes []bus.Change) (records uint64) {
	for _, c := range changes {
		records += c.Deletes
	}
	return records
}
