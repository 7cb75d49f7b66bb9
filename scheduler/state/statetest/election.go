package statetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/state"
)

func epochRises(t *testing.T, b *Backend) {
	last := int64(0)
	for i := range 4 {
		_, lease := lead(t, b)
		require.Greater(t, lease.Epoch(), last)
		last = lease.Epoch()
		values := load(t, lease)
		require.Len(t, values, i, "what earlier leaders wrote")
		commit(t, lease, put(fmt.Sprintf("slots/%d", i), "1"))
		require.NoError(t, lease.Resign())
		awaitDone(t, lease)
	}
}

type won struct {
	name  string
	lease state.Lease
	err   error
}

func handOver(t *testing.T, b *Backend) {
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	candidates := map[string]*Candidate{}
	wins := make(chan won, 3)
	for i := range 3 {
		name := fmt.Sprintf("http://candidate-%d.example:8080", i)
		c := b.Candidate(t)
		candidates[name] = c
		go func() {
			lease, err := c.Campaign(ctx, name)
			wins <- won{name, lease, err}
		}()
	}
	var previous state.Lease
	for range 3 {
		w := <-wins
		require.NoError(t, w.err)
		for name, c := range candidates {
			leader, err := c.Leader(ctx)
			require.NoError(t, err)
			assert.Equal(t, w.name, leader, "as %s sees it", name)
		}
		if previous != nil {
			assert.Greater(t, w.lease.Epoch(), previous.Epoch())
			assert.ErrorIs(t, previous.Store().Commit(ctx, []state.Write{put("slots/a", "x")}), state.ErrFenced)
		}
		commit(t, w.lease, put("leaders/last", w.name))
		select {
		case second := <-wins:
			require.FailNow(t, "two leaders", "%s and %s", w.name, second.name)
		default:
		}
		requireHeld(t, w.lease)
		require.NoError(t, w.lease.Resign())
		require.NoError(t, w.lease.Resign(), "resigning twice")
		awaitDone(t, w.lease)
		previous = w.lease
	}
	for _, c := range candidates {
		leader, err := c.Leader(ctx)
		require.NoError(t, err)
		assert.Empty(t, leader)
	}
}

func campaignEnds(t *testing.T, b *Backend) {
	_, lease := lead(t, b)
	second := b.Candidate(t)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := second.Campaign(ctx, "http://second.example:8080")
	require.ErrorIs(t, err, context.DeadlineExceeded)
	requireHeld(t, lease)
	require.NoError(t, lease.Resign())
	_, third := lead(t, b) // the one that gave up must not stand in the way
	requireHeld(t, third)
}

func closeResigns(t *testing.T, b *Backend) {
	first, lease := lead(t, b)
	second := b.Candidate(t)
	closed := make(chan won, 1)
	go func() {
		lease, err := second.Campaign(t.Context(), "http://second.example:8080")
		closed <- won{"", lease, err}
	}()
	require.NoError(t, second.Close())
	select {
	case w := <-closed:
		require.Error(t, w.err, "closing ends a campaign")
	case <-time.After(Patience):
		require.FailNow(t, "the campaign did not end")
	}
	requireHeld(t, lease)
	require.NoError(t, first.Close())
	awaitDone(t, lease)
	_, err := first.Campaign(t.Context(), "http://first.example:8080")
	require.Error(t, err, "a closed elector does not campaign")
	_, third := lead(t, b)
	assert.Greater(t, third.Epoch(), lease.Epoch())
}

func resignedLease(t *testing.T, b *Backend) {
	_, lease := lead(t, b)
	commit(t, lease, put("slots/a", "1"))
	require.NoError(t, lease.Resign())
	require.ErrorIs(t, lease.Store().Commit(t.Context(), []state.Write{put("slots/a", "2")}), state.ErrFenced)
	_, next := lead(t, b)
	assert.Equal(t, map[state.Key][]byte{"slots/a": []byte("1")}, load(t, next))
}

// newerEpochFences: the present leader believes in its lease, and must be stopped
// by the store alone.
func newerEpochFences(t *testing.T, b *Backend) {
	c, lease := lead(t, b)
	commit(t, lease, put("slots/a", "1"), put("slots/b", "1"))
	b.Usurp(t)
	err := lease.Store().Commit(t.Context(), []state.Write{put("slots/a", "2"), remove("slots/b"), put("slots/c", "2")})
	require.ErrorIs(t, err, state.ErrFenced)
	require.NotErrorIs(t, err, state.ErrUnavailable)
	awaitDone(t, lease)
	_, err = lease.Store().Load(t.Context())
	require.Error(t, err, "nothing is read for a leader that is none")
	next := campaign(t, c, "http://again.example:8080")
	assert.Greater(t, next.Epoch(), lease.Epoch()+1)
	assert.Equal(t, map[state.Key][]byte{"slots/a": []byte("1"), "slots/b": []byte("1")}, load(t, next))
}

// newerEpochStopsLoad: what a deposed leader would read may be half of what its
// successor is writing.
func newerEpochStopsLoad(t *testing.T, b *Backend) {
	_, lease := lead(t, b)
	b.Usurp(t)
	_, err := lease.Store().Load(t.Context())
	require.ErrorIs(t, err, state.ErrFenced)
	awaitDone(t, lease)
}

func expiry(t *testing.T, b *Backend) {
	first, lease := lead(t, b)
	if first.Expire == nil {
		t.Skip("this backend has no sessions")
	}
	commit(t, lease, put("slots/a", "1"))
	second := b.Candidate(t)
	wins := make(chan won, 1)
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	go func() {
		next, err := second.Campaign(ctx, "http://second.example:8080")
		// The old lease must have ended before the new one begins: look first.
		select {
		case <-lease.Done():
		default:
			err = fmt.Errorf("two leases at once (%w)", err)
		}
		wins <- won{"", next, err}
	}()
	first.Expire(t)
	awaitDone(t, lease)
	require.ErrorIs(t, lease.Store().Commit(t.Context(), []state.Write{put("slots/a", "2")}), state.ErrFenced)
	w := <-wins
	require.NoError(t, w.err)
	assert.Greater(t, w.lease.Epoch(), lease.Epoch())
	assert.Equal(t, map[state.Key][]byte{"slots/a": []byte("1")}, load(t, w.lease))
}
