package rig

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// permanent marks an error that further polling cannot cure.
type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }

// Permanent wraps an error that makes Eventually give up at once, such as the
// death of the process that is waited for.
func Permanent(err error) error { return permanent{err} }

// Eventually calls check at once and then every interval until it returns nil.
// It gives up when ctx ends or check returns a Permanent error; the error then
// says what was waited for, for how long, and what the last check said.
//
// It is the one place where the rig polls, for systems that offer no event.
func Eventually(ctx context.Context, every time.Duration, what string, check func(context.Context) error) error {
	began := time.Now()
	tick := time.NewTicker(every)
	defer tick.Stop()
	var last error
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		// A check that was cut off by the deadline says less than the one
		// before it.
		if last == nil || ctx.Err() == nil {
			last = err
		}
		if p := (permanent{}); errors.As(err, &p) {
			return fmt.Errorf("wait for %s: gave up after %s: %w", what, time.Since(began).Round(time.Millisecond), err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: not so after %s: %w (%w)", what, time.Since(began).Round(time.Millisecond), last, ctx.Err())
		case <-tick.C:
		}
	}
}

// Hold calls check at once and then every interval for as long as given, and returns
// its first error: for what must not happen, where nothing tells that it will not.
func Hold(ctx context.Context, long, every time.Duration, what string, check func(context.Context) error) error {
	end := time.NewTimer(long)
	defer end.Stop()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := check(ctx); err != nil {
			return fmt.Errorf("%s: not any more: %w", what, err)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: cut short: %w", what, ctx.Err())
		case <-end.C:
			return nil
		case <-tick.C:
		}
	}
}
