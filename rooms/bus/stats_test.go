package bus

import (
	"strconv"
	"testing"
)

func testStats(t *testing.T, b *Bus) {
	const records = 5
	before := b.Stats()
	to := newTimeline()
	_, _, stop := open1(t, b, to)
	for i := range records {
		append1(t, b, to, string(to.Room)+"."+strconv.Itoa(i), `{"n":1}`)
	}
	after := b.Stats()
	if stored := after.Stored - before.Stored; stored != records {
		t.Errorf("%d stored; want %d", stored, records)
	}
	if reads := after.Reads - before.Reads; reads == 0 {
		t.Error("a tail was read that is not counted")
	}
	if after.Timelines == 0 || after.Pending != 0 || after.PendingBytes != 0 || after.Oldest != 0 || after.Failed != before.Failed {
		t.Errorf("%+v", after)
	}
	if after.MaxBytes != uint64(b.opts.MaxBytes)/partitions || after.Fullest > after.Bytes {
		t.Errorf("%+v", after)
	}
	stop()
}
