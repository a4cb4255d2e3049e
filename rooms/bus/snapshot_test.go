package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"reflect"
	"slices"
	"sync"
	"testing"

	"confab/rooms"
)

// A snapshots keeps what Snapshot gave, by stream.
type snapshots map[string][][]byte

func takeSnapshots(t *testing.T, b *Bus) snapshots {
	t.Helper()
	all := snapshots{}
	for _, stream := range SnapshotStreams() {
		err := b.Snapshot(testContext(t), stream, func(piece []byte) error {
			all[stream] = append(all[stream], append([]byte(nil), piece...))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// restore makes a log of them.
func (s snapshots) restore(ctx context.Context, opts Options) error {
	log, err := OpenIdle(ctx, opts)
	if err != nil {
		return err
	}
	if err := log.Empty(ctx); err != nil {
		return errors.Join(err, log.Close())
	}
	for _, stream := range SnapshotStreams() {
		pieces := s[stream]
		err := log.Restore(ctx, stream, func() ([]byte, error) {
			if len(pieces) == 0 {
				return nil, io.EOF
			}
			piece := pieces[0]
			pieces = pieces[1:]
			return piece, nil
		})
		if err != nil {
			return errors.Join(err, log.Close())
		}
	}
	return log.Close()
}

// fill writes so many records into the timelines of some rooms, one of them a thread, and saves a state.
func fill(t *testing.T, b *Bus, records int) []rooms.Timeline {
	t.Helper()
	var all []rooms.Timeline
	for i := range 5 {
		to := timeline(fmt.Sprint("full-", i))
		if i == 4 {
			to.Thread = "m1"
		}
		for n := range records {
			append1(t, b, to, fmt.Sprint(to.Room, ".", n), fmt.Sprintf(`{"n":%d}`, n))
		}
		all = append(all, to)
	}
	must(t, b.SaveState(testContext(t), "full-0", []byte(`{"locked":true}`)))
	return all
}

// tails are the records of timelines.
func tails(t *testing.T, b *Bus, of []rooms.Timeline) (records [][]rooms.Record, epochs []string) {
	t.Helper()
	for _, to := range of {
		_, tail, stop := open1(t, b, to)
		stop()
		records, epochs = append(records, tail.Records), append(epochs, tail.Epoch)
	}
	return records, epochs
}

// What was snapshotted is there after a restore, record by record, in a log that trusts no earlier cursor: into a folder, and
// onto a NATS outside.
func TestSnapshot(t *testing.T) {
	b := openBus(t, Options{History: 16})
	all := fill(t, b, 40)
	want, before := tails(t, b, all)
	taken := takeSnapshots(t, b)
	check := func(t *testing.T, opts Options) {
		opts.History, opts.Logger = 16, quiet()
		must(t, taken.restore(testContext(t), opts))
		restored := openBus(t, opts)
		got, epochs := tails(t, restored, all)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("restored %v; want %v", got, want)
		}
		for i := range epochs {
			if epochs[i] == before[i] {
				t.Errorf("%v has its old epoch: cursors beyond the snapshot would be trusted", all[i])
			}
		}
		if doc, err := restored.LoadState(testContext(t), "full-0"); err != nil || string(doc) != `{"locked":true}` {
			t.Errorf("state %s, %v", doc, err)
		}
		if next := append1(t, restored, all[0], "next", `{}`); next.Seq <= want[0][len(want[0])-1].Seq {
			t.Errorf("goes on with %d", next.Seq)
		}
		closeBus(t, restored)
		if err := taken.restore(testContext(t), opts); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("a second time: %v", err)
		}
	}
	t.Run("folder", func(t *testing.T) { check(t, Options{DataDir: t.TempDir()}) })
	t.Run("external", func(t *testing.T) { check(t, Options{DataDir: t.TempDir(), URL: startExternal(t).url()}) })
}

// A snapshot that is taken while others write holds everything that was stored before it began, with no hole.
func TestSnapshotUnderWrites(t *testing.T) {
	b := openBus(t, Options{History: 256})
	to := timeline("busy")
	const first = 50
	for n := range first {
		append1(t, b, to, fmt.Sprint(n), `{}`)
	}
	writing, stop := context.WithCancel(testContext(t))
	var writer sync.WaitGroup
	writer.Go(func() {
		for n := first; writing.Err() == nil && n < 900; n++ {
			append1(t, b, to, fmt.Sprint(n), `{}`)
		}
	})
	taken := takeSnapshots(t, b)
	stop()
	writer.Wait()
	opts := Options{DataDir: t.TempDir(), History: 256, Logger: quiet()}
	must(t, taken.restore(testContext(t), opts))
	got, _ := tails(t, openBus(t, opts), []rooms.Timeline{to})
	if len(got[0]) < first {
		t.Fatalf("%d records; %d were stored before", len(got[0]), first)
	}
	for i, record := range got[0] {
		if record.ID != fmt.Sprint(i) {
			t.Fatalf("record %d is %q", i, record.ID)
		}
	}
}

// A snapshot that is cut off, or of something else, makes no log.
func TestRestoreRefuses(t *testing.T) {
	b := openBus(t, Options{History: 16})
	fill(t, b, 4)
	busy := SnapshotStreams()[partitionOf("full-0")]
	taken := takeSnapshots(t, b)[busy]
	cut := errors.New("cut off")
	for _, c := range []struct {
		name   string
		stream string
		pieces [][]byte
		end    error
	}{
		{"cut off", busy, taken[:1], cut},
		{"not of a stream", busy, [][]byte{[]byte("{}"), taken[1]}, io.EOF},
		{"of another stream", stateStream, taken, io.EOF},
		{"no snapshot", busy, [][]byte{taken[0], []byte("garbage")}, io.EOF},
		{"an empty piece", busy, [][]byte{taken[0], {}}, io.EOF},
		{"nothing", busy, nil, io.EOF},
	} {
		t.Run(c.name, func(t *testing.T) {
			log, err := OpenIdle(testContext(t), Options{DataDir: t.TempDir(), History: 16, Logger: quiet()})
			must(t, err)
			next, stop := iter.Pull(slices.Values(c.pieces))
			defer stop()
			err = log.Restore(testContext(t), c.stream, func() ([]byte, error) {
				if piece, ok := next(); ok {
					return piece, nil
				}
				return nil, c.end
			})
			if err == nil || errors.Is(c.end, cut) && !errors.Is(err, cut) {
				t.Errorf("it says %v", err)
			}
			must(t, log.Close())
		})
	}
}

func upgrade(ctx context.Context, opts Options, deletes bool) ([]Change, error) {
	log, err := OpenIdle(ctx, opts)
	if err != nil {
		return nil, err
	}
	changes, err := log.Upgrade(ctx, deletes)
	return changes, errors.Join(err, log.Close())
}

// More history, and less of it, is made by Upgrade alone.
func TestUpgrade(t *testing.T) {
	dir := t.TempDir()
	opts := func(history int) Options { return Options{DataDir: dir, History: history, Logger: quiet()} }
	b := openBus(t, opts(16))
	all := fill(t, b, 64) // as many as are kept
	want, epochs := tails(t, b, all)
	if _, err := upgrade(testContext(t), opts(32), false); err == nil {
		t.Error("it was changed while a server was at work")
	}
	closeBus(t, b)
	if _, err := Open(testContext(t), opts(32)); err == nil {
		t.Fatal("another history was taken without a word")
	}

	changes, err := upgrade(testContext(t), opts(32), false)
	if err != nil || len(changes) != partitions || changes[0].From != 64 || changes[0].To != 128 || changes[0].Deletes != 0 {
		t.Fatalf("%v, %+v", err, changes)
	}
	if changes, err = upgrade(testContext(t), opts(32), false); err != nil || len(changes) != 0 {
		t.Errorf("once more: %v, %+v", err, changes)
	}
	b = openBus(t, opts(32))
	got, after := tails(t, b, all)
	if !reflect.DeepEqual(got, want) || !reflect.DeepEqual(after, epochs) {
		t.Errorf("more history: %d records in %v; want %d in %v", len(got[0]), after, len(want[0]), epochs)
	}
	for n := range 64 {
		append1(t, b, all[0], fmt.Sprint("more.", n), `{}`)
	}
	if got, _ = tails(t, b, all[:1]); len(got[0]) != 128 {
		t.Errorf("%d records are kept; want 128", len(got[0]))
	}
	closeBus(t, b)

	changes, err = upgrade(testContext(t), opts(8), false)
	deleted := uint64(0)
	for _, c := range changes {
		deleted += c.Deletes
	}
	if !errors.Is(err, ErrWouldDelete) || deleted != (128-32)+4*(64-32) {
		t.Errorf("less history would delete %d: %v", deleted, err)
	}
	b = openBus(t, opts(32)) // nothing was changed
	closeBus(t, b)
	if _, err = upgrade(testContext(t), opts(8), true); err != nil {
		t.Fatal(err)
	}
	got, _ = tails(t, openBus(t, opts(8)), all)
	for i := range got {
		if len(got[i]) != 32 {
			t.Errorf("%d records of %v are left", len(got[i]), all[i])
		}
	}
	if last := want[1][len(want[1])-1]; !reflect.DeepEqual(got[1][31].Seq, last.Seq) {
		t.Errorf("the newest is %d; want %d", got[1][31].Seq, last.Seq)
	}
}
