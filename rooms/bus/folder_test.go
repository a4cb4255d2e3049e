package bus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"confab/rooms"
	"confab/signaling/wire"
)

// TestFolder: whatever is wrong with the data folder is told at the start and never passes for an empty log.
func TestFolder(t *testing.T) {
	to := timeline("kept")
	stream := fmt.Sprint(streamPrefix, partitionOf(to.Room))
	cases := []struct {
		name   string
		damage func(t *testing.T, dir string)
		want   string // part of the error; empty: it starts and the records are there
		epoch  bool   // it is another one
	}{
		{name: "untouched", damage: func(*testing.T, string) {}},
		{name: "folder is a file", damage: func(t *testing.T, dir string) {
			must(t, os.RemoveAll(dir))
			must(t, os.WriteFile(dir, nil, 0o600))
		}, want: "cannot be made"},
		{name: "store is a file", damage: func(t *testing.T, dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, storeFolder)))
			must(t, os.WriteFile(filepath.Join(dir, storeFolder), nil, 0o600))
		}, want: "cannot be made"},
		{name: "jetstream is a file", damage: func(t *testing.T, dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, storeFolder, "jetstream")))
			must(t, os.WriteFile(filepath.Join(dir, storeFolder, "jetstream"), nil, 0o600))
		}, want: "cannot be used"},
		{name: "store is gone", damage: func(t *testing.T, dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, storeFolder)))
		}, want: "is empty now"},
		{name: "meta is gone", damage: func(t *testing.T, dir string) {
			must(t, os.Remove(findFile(t, dir, stream, "meta.inf")))
		}, epoch: true},
		{name: "meta is garbage", damage: func(t *testing.T, dir string) {
			must(t, os.WriteFile(findFile(t, dir, stream, "meta.inf"), []byte("garbage"), 0o600))
		}, epoch: true},
		{name: "index is garbage", damage: func(t *testing.T, dir string) {
			must(t, os.WriteFile(findFile(t, dir, stream, "index.db"), []byte("garbage"), 0o600))
		}},
		{name: "blocks are gone", damage: func(t *testing.T, dir string) {
			must(t, os.RemoveAll(filepath.Dir(findFile(t, dir, stream, "index.db"))))
		}, want: "is empty now"},
		{name: "checkpoint is garbage", damage: func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, checkpointName), []byte("garbage"), 0o600))
		}, epoch: true},
		{name: "not stopped, same boot", damage: func(t *testing.T, dir string) {
			changeCheckpoint(t, dir, func(c *checkpoint) { c.Clean = false })
		}},
		{name: "stopped, another boot", damage: func(t *testing.T, dir string) {
			changeCheckpoint(t, dir, func(c *checkpoint) { c.Boot = "another" })
		}},
		{name: "not stopped, another boot", damage: func(t *testing.T, dir string) {
			changeCheckpoint(t, dir, func(c *checkpoint) { c.Clean, c.Boot = false, "another" })
		}, epoch: true},
		{name: "sequences went back", damage: func(t *testing.T, dir string) {
			changeCheckpoint(t, dir, func(c *checkpoint) {
				m := c.Streams[stream]
				m.Last++
				c.Streams[stream] = m
			})
		}, epoch: true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "data")
			b := openBus(t, Options{DataDir: dir})
			for i := range 10 {
				append1(t, b, to, "", fmt.Sprint(i))
			}
			epoch := b.parts[partitionOf(to.Room)].currentEpoch()
			closeBus(t, b)
			c.damage(t, dir)
			b, err := Open(testContext(t), Options{DataDir: dir, Logger: quiet()})
			if c.want != "" {
				if err == nil {
					closeBus(t, b)
				}
				if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), dir) {
					t.Fatalf("error %v, want one that says %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer closeBus(t, b)
			_, tail, stop := open1(t, b, to)
			defer stop()
			if len(tail.Records) != 10 || (tail.Epoch != epoch) != c.epoch {
				t.Fatalf("%d records, epoch %s was %s", len(tail.Records), tail.Epoch, epoch)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// findFile is the file of that name in the folder of a stream.
func findFile(t *testing.T, dir, stream, name string) string {
	t.Helper()
	found := ""
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Name() == name && strings.Contains(path, string(filepath.Separator)+stream+string(filepath.Separator)) {
			found = path
		}
		return err
	}))
	if found == "" {
		t.Fatalf("no %s of %s in %s", name, stream, dir)
	}
	return found
}

func changeCheckpoint(t *testing.T, dir string, change func(*checkpoint)) {
	t.Helper()
	path := filepath.Join(dir, checkpointName)
	data, err := os.ReadFile(path)
	must(t, err)
	var c checkpoint
	must(t, json.Unmarshal(data, &c))
	change(&c)
	data, err = json.Marshal(c)
	must(t, err)
	must(t, os.WriteFile(path, data, 0o600))
}

// TestSettings: a stream that was made with other settings is refused, with its records untouched.
func TestSettings(t *testing.T) {
	dir := t.TempDir()
	b := openBus(t, Options{DataDir: dir, History: 32})
	to := timeline("settings")
	for i := range 100 {
		append1(t, b, to, "", fmt.Sprint(i))
	}
	closeBus(t, b)
	for _, c := range []struct {
		opts Options
		want string
	}{
		{Options{History: 16}, "max_msgs_per_subject is 128, wanted 64"},
		{Options{History: 32, MaxBytes: 1 << 30}, "max_bytes is"},
		{Options{History: -1}, "history of -1"},
		{Options{Durability: "hope"}, "durability"},
		{Options{MaxBytes: 1}, "at most 1 bytes"},
		{Options{Replicas: 3}, "3 replicas"},
	} {
		c.opts.DataDir, c.opts.Logger = dir, quiet()
		if b, err := Open(testContext(t), c.opts); err == nil {
			closeBus(t, b)
			t.Errorf("%+v was taken", c.opts)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v, want one that says %q", err, c.want)
		}
	}
	b = openBus(t, Options{DataDir: dir, History: 32})
	_, tail, stop := open1(t, b, to)
	defer stop()
	if len(tail.Records) != 100 {
		t.Fatalf("%d records are left", len(tail.Records))
	}
}

// TestErasedBytes looks for erased texts in the files of the store.
func TestErasedBytes(t *testing.T) {
	dir := t.TempDir()
	b := openBus(t, Options{DataDir: dir})
	to, thread := timeline("secrets"), rooms.Timeline{Room: "secrets", Thread: "t"}
	secret := func(i int) string { return fmt.Sprintf("secret-%04d-of-the-room", i) }
	const records = 200
	var seqs []wire.Seq
	for i := range records {
		seqs = append(seqs, append1(t, b, to, "", secret(i)).Seq)
		append1(t, b, thread, "", fmt.Sprintf("of-the-thread-%d", i))
	}
	ctx := testContext(t)
	if !onDisk(t, dir, secret(7)) {
		t.Fatal("the texts are not to be found at all")
	}
	last := len(seqs) - 1
	must(t, b.Erase(ctx, to, seqs[7], seqs[last]))
	for _, i := range []int{7, last} {
		if onDisk(t, dir, secret(i)) {
			t.Errorf("record %d was erased and is on disk", i)
		}
	}
	began := time.Now()
	must(t, b.Purge(ctx, to, seqs[150]))
	t.Logf("purged 149 records in %s", time.Since(began))
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the purge took %s", took)
	}
	for i := range 150 {
		if onDisk(t, dir, secret(i)) {
			t.Fatalf("record %d was purged and is on disk", i)
		}
	}
	append1(t, b, to, "", "after")
	closeBus(t, b)
	if onDisk(t, dir, secret(7)) || onDisk(t, dir, secret(100)) {
		t.Error("closing wrote an erased record")
	}
	b = openBus(t, Options{DataDir: dir})
	_, tail, stop := open1(t, b, to)
	defer stop()
	want := []string{}
	for i := 150; i < last; i++ {
		want = append(want, secret(i))
	}
	if want = append(want, "after"); !slices.Equal(texts(tail.Records), want) {
		t.Errorf("%d records are left, wanted %d", len(tail.Records), len(want))
	}
	_, tail, stopThread := open1(t, b, thread)
	defer stopThread()
	if len(tail.Records) != records {
		t.Errorf("the thread has %d records left", len(tail.Records))
	}
}

// onDisk looks for a text in every file of a folder.
func onDisk(t *testing.T, dir, text string) bool {
	t.Helper()
	found := false
	must(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		found = found || bytes.Contains(data, []byte(text))
		return err
	}))
	return found
}
