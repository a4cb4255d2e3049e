package bus

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// ErrWouldDelete says that a change was not made because records would go, or may go, by it.
var ErrWouldDelete = errors.New("bus: the change deletes records")

// A Change is a setting of a stream that is not what the options ask for.
type Change struct {
	Stream  string
	Setting string // as NATS names it
	From    int64
	To      int64
	Deletes uint64 // records that go by it
}

// Upgrade changes the log to the history and the replicas of the options, where Open would refuse it. Less history deletes the
// oldest records of timelines that have more: without deletes nothing at all is changed then, and the error is
// ErrWouldDelete. It returns what it has changed, or would have; nothing when the log is as it should be. With a NATS
// outside nobody else may be at work on it either. When it fails half-way it can be called again. Errors: what NATS says.
func (i *Idle) Upgrade(ctx context.Context, deletes bool) (changes []Change, err error) {
	b, js := i.bus, i.js
	var updates []jetstream.StreamConfig
	less := false
	wanted := []jetstream.StreamConfig{b.stateConfig(), b.outboxConfig()}
	for n := range partitions {
		wanted = append(wanted, b.roomsConfig(n))
	}
	for _, want := range wanted {
		update, found, err := b.plan(ctx, js, want)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			continue
		}
		updates, changes = append(updates, update), append(changes, found...)
		for _, c := range found {
			less = less || c.To < c.From && c.Setting == historySetting
		}
	}
	if less && !deletes {
		return changes, ErrWouldDelete
	}
	for _, update := range updates {
		i.changed = true
		if _, err := js.UpdateStream(ctx, update); err != nil {
			return changes, fmt.Errorf("bus: changing stream %s: %w", update.Name, err)
		}
	}
	return changes, nil
}

const (
	historySetting  = "max_msgs_per_subject"
	replicasSetting = "num_replicas"
)

// plan is what must be changed of a stream, and into what. A stream that is missing is made at the next start.
func (b *Bus) plan(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) (jetstream.StreamConfig, []Change, error) {
	stream, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return want, nil, nil
	}
	if err != nil {
		return want, nil, fmt.Errorf("bus: stream %s: %w", want.Name, err)
	}
	update := stream.CachedInfo().Config
	var changes []Change
	if have := update.MaxMsgsPerSubject; have != want.MaxMsgsPerSubject {
		change := Change{Stream: want.Name, Setting: historySetting, From: have, To: want.MaxMsgsPerSubject}
		if change.To < change.From {
			if change.Deletes, err = above(ctx, stream, uint64(change.To)); err != nil {
				return want, nil, fmt.Errorf("bus: counting the records of stream %s: %w", want.Name, err)
			}
		}
		update.MaxMsgsPerSubject = want.MaxMsgsPerSubject
		changes = append(changes, change)
	}
	if update.Replicas != want.Replicas {
		changes = append(changes, Change{Stream: want.Name, Setting: replicasSetting, From: int64(update.Replicas), To: int64(want.Replicas)})
		update.Replicas = want.Replicas
	}
	if err := compare(update, want); err != nil {
		return want, nil, err // another setting differs, which is not for us to change
	}
	return update, changes, nil
}

// above counts the records that timelines have above so many each.
func above(ctx context.Context, stream jetstream.Stream, most uint64) (uint64, error) {
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		return 0, err
	}
	var sum uint64
	for _, records := range info.State.Subjects {
		sum += records - min(records, most)
	}
	return sum, nil
}
