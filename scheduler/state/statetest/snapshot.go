package statetest

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/scheduler/state"
)

func snapshot(t *testing.T, c *Candidate) (map[state.Key][]byte, state.Position) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	values, position, err := c.Snapshot(ctx)
	require.NoError(t, err)
	return values, position
}

func snapshotWithoutLeading(t *testing.T, b *Backend) {
	reader := b.Candidate(t)
	values, position := snapshot(t, reader)
	assert.NotNil(t, values)
	assert.Empty(t, values, "nobody has ever led")
	assert.Zero(t, position)

	_, lease := lead(t, b)
	want := map[state.Key][]byte{
		"clusters/sec-events": []byte(`{"v":1}`), "slots/empty": {}, "slots/binary": {0, 0xff},
	}
	for key, value := range want {
		commit(t, lease, state.Write{Key: key, Value: value})
	}
	commit(t, lease, put("slots/gone", "1"))
	commit(t, lease, remove("slots/gone"))
	values, position = snapshot(t, reader)
	assert.Equal(t, want, values)
	assert.Equal(t, lease.Epoch(), position.Epoch)
	requireHeld(t, lease)
	commit(t, lease, put("slots/after", "1"))
	assert.Len(t, want, len(values), "a snapshot does not change afterwards")

	require.NoError(t, lease.Resign())
	want["slots/after"] = []byte("1")
	values, last := snapshot(t, reader)
	assert.Equal(t, want, values, "the state of a Berth that is stopped")
	if position.Commit != 0 {
		assert.Equal(t, position.Commit+1, last.Commit)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, _, err := reader.Snapshot(ctx)
	require.ErrorIs(t, err, state.ErrUnavailable)
}

// snapshotsUnderCommits: a leader commits as fast as it can. After every commit
// two records say the same, and a third has moved to another name.
func snapshotsUnderCommits(t *testing.T, b *Backend) {
	const others, names, first, snapshots = 500, 7, 100, 12
	_, lease := lead(t, b)
	want := map[state.Key][]byte{}
	var writes []state.Write
	for i := range others {
		w := put(fmt.Sprintf("slots/other-%d", i), "same")
		writes, want[w.Key] = append(writes, w), w.Value
	}
	numbered := func(n int) []state.Write {
		return []state.Write{
			put("pair/left", fmt.Sprint(n)), remove(fmt.Sprintf("moving/%d", (n-1)%names)),
			put(fmt.Sprintf("moving/%d", n%names), fmt.Sprint(n)), put("pair/right", fmt.Sprint(n)),
		}
	}
	commit(t, lease, append(writes, numbered(first)...)...)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	committed, stopped := make(chan int, 1), make(chan error, 1)
	go func() {
		for n := first + 1; ; n++ {
			// Not with ctx: the last commit must not be abandoned.
			if err := lease.Store().Commit(t.Context(), numbered(n)); err != nil || ctx.Err() != nil {
				stopped <- err
				return
			}
			select {
			case committed <- n:
			default:
			}
		}
	}()
	reader := b.Candidate(t)
	for range snapshots {
		<-committed
		n := <-committed // the one before may have waited for long
		values, _ := snapshot(t, reader)
		var seen int
		_, err := fmt.Sscan(string(values["pair/left"]), &seen)
		require.NoError(t, err)
		require.GreaterOrEqual(t, seen, n, "what was committed before is in it")
		for _, w := range numbered(seen) {
			if w.Value != nil {
				want[w.Key] = w.Value
			}
		}
		require.Equal(t, want, values)
		delete(want, state.Key(fmt.Sprintf("moving/%d", seen%names)))
	}
	stop()
	require.NoError(t, <-stopped, "the leader was not disturbed")
	requireHeld(t, lease)
}
