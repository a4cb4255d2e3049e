package bus

import (
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

// setRepublish changes what a stream repeats, behind the bus's back.
func setRepublish(t *testing.T, b *Bus, number int, to *jetstream.RePublish) {
	t.Helper()
	p := b.parts[number]
	config := republishOf(t, b, number)
	config.RePublish = to
	if _, err := p.js.UpdateStream(testContext(t), config); err != nil {
		t.Fatal(err)
	}
}

func republishOf(t *testing.T, b *Bus, number int) jetstream.StreamConfig {
	t.Helper()
	stream, err := b.parts[number].js.Stream(testContext(t), b.parts[number].name)
	if err != nil {
		t.Fatal(err)
	}
	return stream.CachedInfo().Config
}

// TestRepublish: a store that was used by several processes is taken over by one, and the other way about, with all that
// it holds.
func TestRepublish(t *testing.T) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) { testRepublish(t, Options{DataDir: t.TempDir()}) })
	t.Run("external", func(t *testing.T) {
		testRepublish(t, Options{DataDir: t.TempDir(), URL: startExternal(t).url()})
	})
}

func testRepublish(t *testing.T, opts Options) {
	b := openBus(t, opts)
	to := timeline("republish")
	number := partitionOf(to.Room)
	wanted := republishOf(t, b, number)
	if (wanted.RePublish == nil) != b.alone() {
		t.Fatalf("made with %+v", wanted.RePublish)
	}
	append1(t, b, to, "", "1")
	other := repeated(wanted.Subjects[0])
	if !b.alone() {
		other = nil
	}
	setRepublish(t, b, number, other)
	closeBus(t, b)

	b = openBus(t, opts)
	if have := republishOf(t, b, number); (have.RePublish == nil) != b.alone() || have.Metadata[epochKey] != wanted.Metadata[epochKey] {
		t.Fatalf("republishes %+v, metadata %v, was %v", have.RePublish, have.Metadata, wanted.Metadata)
	}
	l, tail, stop := open1(t, b, to)
	append1(t, b, to, "", "2")
	if len(tail.Records) != 1 || len(l.await(t, 1)) != 1 {
		t.Fatalf("tail %+v", tail)
	}
	stop()
	setRepublish(t, b, number, &jetstream.RePublish{Source: wanted.Subjects[0], Destination: "elsewhere.{{wildcard(1)}}"})
	closeBus(t, b)

	opts.Logger = quiet()
	if b, err := Open(testContext(t), opts); err == nil {
		closeBus(t, b)
		t.Fatal("a stream that somebody else listens to was taken")
	} else if !strings.Contains(err.Error(), "republish is") {
		t.Fatal(err)
	}
}
