package backup_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/app"
	"github.com/berthdata/berth/scheduler/state"
	"github.com/berthdata/berth/scheduler/state/backup"
	"github.com/berthdata/berth/scheduler/state/memstore"
)

// atCommit is what the n-th commit of a busy leader leaves: a cluster's generation,
// a life of each of its nodes, and one slot that has moved to a new name, all in one
// batch.
func atCommit(t testing.TB, n int) []state.Write {
	t.Helper()
	var all []state.Write
	add := func(w state.Write, err error) {
		require.NoError(t, err)
		all = append(all, w)
	}
	add(clusters.Encode("busy", state.Cluster{Spec: v1.Cluster{Name: "busy"}, Incarnation: 1, Generation: int64(n)}))
	slot := func(id string) {
		add(slots.Encode(id, state.Slot{ID: id, Name: "busy-data", Kind: "elasticsearch", Owner: "busy", OwnerIncarnation: 1, Want: state.WantRun, Life: int64(n)}))
	}
	for i := range 40 {
		slot(fmt.Sprintf("busy-data-%d.2", i))
	}
	add(slots.Delete(fmt.Sprintf("busy-moving.%d", n-1)))
	slot(fmt.Sprintf("busy-moving.%d", n))
	return all
}

// A backup that is taken while a leader commits as fast as it can shows one commit
// and no half of another; the file says which, and can be restored.
func TestABackupUnderCommitsShowsOneOfThem(t *testing.T) {
	const backups = 8
	eachStore(t, func(t *testing.T, s *store) {
		lease, err := s.elector().Campaign(t.Context(), "http://busy")
		require.NoError(t, err)
		require.NoError(t, lease.Store().Commit(t.Context(), good(t, 500)))
		require.NoError(t, lease.Store().Commit(t.Context(), atCommit(t, 1)))
		first := take(t, s.elector())
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		committed, stopped := make(chan int, 1), make(chan error, 1)
		go func() {
			for n := 2; ; n++ {
				if err := lease.Store().Commit(t.Context(), atCommit(t, n)); err != nil || ctx.Err() != nil {
					stopped <- err
					return
				}
				select {
				case committed <- n:
				default:
				}
			}
		}()
		reader := s.elector()
		seen := map[int64]bool{}
		for range backups {
			<-committed
			least := <-committed // the one before may have waited for long
			var file bytes.Buffer
			require.NoError(t, take(t, reader).Write(&file))
			b, err := backup.Read(&file)
			require.NoError(t, err)
			cl, err := clusters.Decode("clusters/busy", b.Values["clusters/busy"])
			require.NoError(t, err)
			n := cl.Generation
			require.GreaterOrEqual(t, n, int64(least), "what was committed before it was taken is in it")
			for _, w := range atCommit(t, int(n)) {
				require.Equal(t, string(w.Value), string(b.Values[w.Key]), "%s at commit %d", w.Key, n)
			}
			require.Len(t, b.Values, len(first.Values), "nothing of another commit is left over")
			if b.Commit != 0 { // stores that number them
				require.Equal(t, n-1, b.Commit-first.Commit, "the header names that commit")
			}
			require.NoError(t, app.CheckRecords(b.Values))
			into := memstore.NewMemory().NewElector()
			_, err = backup.Restore(t.Context(), into, order(b))
			require.NoError(t, err)
			require.NoError(t, into.Close())
			seen[n] = true
		}
		assert.Greater(t, len(seen), 1, "commits went on between them")
		stop()
		require.NoError(t, <-stopped)
		require.NoError(t, lease.Resign())
	})
}
