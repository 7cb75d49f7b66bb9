package zkstore

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	term  = 12 * time.Second
	every = 3 * time.Second
)

// keeping is a keeper on a virtual clock, with proofs by script.
type keeping struct {
	lost, up, stop, ended chan struct{}
	start                 time.Time
}

// keep runs a keeper with the proof until it ends, and returns when and why.
func keep(t *testing.T, prove func(context.Context) error, events func(k *keeping)) (after time.Duration, cause error) {
	t.Helper()
	k := &keeping{
		lost: make(chan struct{}), up: make(chan struct{}, 1), stop: make(chan struct{}), ended: make(chan struct{}),
		start: time.Now(),
	}
	if events != nil {
		go events(k)
	}
	keeper := keeper{term: term, every: every, prove: prove, lost: k.lost, up: k.up, stop: k.stop, ended: k.ended}
	cause = keeper.run(time.Now())
	return time.Since(k.start), cause
}

func hang(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

var errAway = errors.New("away")

func TestLeaseHoldsWhileProven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		proofs := 0
		after, cause := keep(t, func(context.Context) error { proofs++; return nil }, func(k *keeping) {
			<-time.After(24*time.Hour + time.Second)
			close(k.stop)
		})
		require.ErrorIs(t, cause, errResigned)
		assert.Equal(t, 24*time.Hour+time.Second, after)
		assert.Equal(t, int(24*time.Hour/every), proofs)
	})
}

func TestLeaseEndsOneTermAfterTheLastProofWasAsked(t *testing.T) {
	for name, test := range map[string]struct {
		prove func(asked time.Duration) (takes time.Duration, err error)
		want  time.Duration
	}{
		"never proven":      {func(time.Duration) (time.Duration, error) { return 0, errAway }, term},
		"every proof hangs": {func(time.Duration) (time.Duration, error) { return time.Hour, nil }, term},
		"proven at 3 s and 6 s": {func(asked time.Duration) (time.Duration, error) {
			if asked > 6*time.Second {
				return 0, errAway
			}
			return 0, nil
		}, 6*time.Second + term},
		// The answer comes at 10 s, but the server spoke at an unknown moment since 3 s.
		"a slow answer counts from the question": {func(asked time.Duration) (time.Duration, error) {
			if asked > 3*time.Second {
				return time.Hour, nil
			}
			return 7 * time.Second, nil
		}, 3*time.Second + term},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				after, cause := keep(t, func(ctx context.Context) error {
					takes, err := test.prove(time.Since(start))
					select {
					case <-time.After(takes):
						return err
					case <-ctx.Done():
						return ctx.Err()
					}
				}, nil)
				assert.Equal(t, test.want, after)
				assert.ErrorContains(t, cause, "no proof of leadership for 12s")
			})
		})
	}
}

func TestLeaseOutlastsAnOutageShorterThanItsTerm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		// Away from 10 s to 20.5 s: last proven at 9 s, so good until 21 s. The next
		// proof by the clock would be at 21 s; the connection's return asks sooner.
		after, cause := keep(t, func(context.Context) error {
			if at := time.Since(start); at > 10*time.Second && at < 20*time.Second+500*time.Millisecond {
				return errAway
			}
			return nil
		}, func(k *keeping) {
			<-time.After(20*time.Second + 500*time.Millisecond)
			k.up <- struct{}{}
			<-time.After(time.Minute)
			close(k.stop)
		})
		require.ErrorIs(t, cause, errResigned)
		assert.Equal(t, 80*time.Second+500*time.Millisecond, after)
	})
}

func TestLeaseEndsAtOnce(t *testing.T) {
	const at = 4 * time.Second
	for name, event := range map[string]func(k *keeping){
		"session lost": func(k *keeping) { close(k.lost) },
		"resigned":     func(k *keeping) { close(k.stop) },
		"store fenced": func(k *keeping) { close(k.ended) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				after, cause := keep(t, hang, func(k *keeping) {
					<-time.After(at)
					event(k)
				})
				require.Error(t, cause)
				assert.Equal(t, at, after)
			})
		})
	}
	t.Run("disproved", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			after, cause := keep(t, func(context.Context) error { return errDisproved }, nil)
			require.ErrorIs(t, cause, errDisproved)
			assert.Equal(t, every, after)
		})
	})
}

// TestLateStartEndsAtOnce: the epoch's claim took longer than a term to be
// answered, so that the lease is over before it has begun.
func TestLateStartEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := keeper{term: term, every: every, prove: hang}
		start := time.Now()
		cause := k.run(start.Add(-term))
		require.ErrorContains(t, cause, "no proof of leadership")
		assert.Zero(t, time.Since(start))
	})
}

func TestTermsLeaveRoom(t *testing.T) {
	for _, session := range []time.Duration{minSessionTimeout, 4 * time.Second, defaultSessionTimeout} {
		assert.LessOrEqual(t, leaseTerm(session), session*2/3)
		assert.GreaterOrEqual(t, leaseTerm(session), 4*proofEvery(session), "four attempts within a term")
		assert.GreaterOrEqual(t, leaseTerm(session)-proofEvery(session)-proofPatience(session), session/7, "for another server, once a hung one is given up")
	}
}
