package resilient

import (
	"context"
	"errors"

	"confab/bots/provider"
)

var errNone = errors.New("there is no provider to ask")

// A chain asks one after the other until one answers.
type chain struct {
	providers []*Provider
	last      provider.Model // nil = none
}

// NewChain returns a Model that asks the providers in order, each when the ones before it could not begin an answer,
// and then last, which is for what cannot fail; nil = none. The Turn is Degraded when another than the first one
// answered. When none did, the error is the first one's.
func NewChain(providers []*Provider, last provider.Model) provider.Model {
	return &chain{providers: providers, last: last}
}

// Answer implements provider.Model.
func (c *chain) Answer(ctx context.Context, r provider.Request, emit func(provider.Part)) (provider.Turn, error) {
	var used provider.Usage
	var failed error
	ask := func(m provider.Model) (turn provider.Turn, over bool, err error) {
		emitted := false
		turn, err = m.Answer(ctx, r, func(part provider.Part) {
			emitted = true
			emit(part)
		})
		used = used.Add(turn.Usage)
		turn.Usage = used
		turn.Degraded = turn.Degraded || failed != nil
		_, others := errors.AsType[*provider.Error](err) // could answer
		return turn, err == nil || emitted || !others, err
	}
	for _, p := range c.providers {
		turn, over, err := ask(p)
		if over {
			return turn, err
		}
		if failed == nil {
			failed = err
		}
	}
	switch {
	case c.last != nil:
	case failed == nil:
		return provider.Turn{}, &provider.Error{Code: provider.Unavailable, Err: errNone}
	default:
		return provider.Turn{Usage: used}, failed
	}
	turn, _, err := ask(c.last)
	return turn, err
}
