package provider

import (
	"context"
	"time"
)

type firstByKey struct{}

// WithFirstBy says by when the first piece of a turn is wanted, where the time that a Model waits by itself is longer.
// Who asks again after a failure keeps the whole within one bound so.
func WithFirstBy(ctx context.Context, by time.Time) context.Context {
	return context.WithValue(ctx, firstByKey{}, by)
}

// FirstBy returns what WithFirstBy set; false when nothing did.
func FirstBy(ctx context.Context) (by time.Time, ok bool) {
	by, ok = ctx.Value(firstByKey{}).(time.Time)
	return by, ok
}
