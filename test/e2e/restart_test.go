package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/test/rig"
	"github.com/berthdata/berth/test/rig/documents"
	"github.com/berthdata/berth/test/rig/mesos"
	"github.com/berthdata/berth/test/rig/setup"
)

// index makes an index of one replica with some documents.
func (w *world) index(name string, docs int) *documents.Index {
	w.t.Helper()
	endpoints, err := w.berth.Endpoints(w.ctx, name)
	require.NoError(w.t, err)
	index, err := documents.Open(endpoints.HTTP, "docs")
	require.NoError(w.t, err)
	require.NoError(w.t, index.Create(w.ctx, 3, 1))
	require.NoError(w.t, index.Write(w.ctx, 0, docs))
	return index
}

// restarted waits until a plan that was seen under way is over.
func (w *world) restarted(name string) {
	w.t.Helper()
	require.NoError(w.t, rig.Eventually(w.ctx, 200*time.Millisecond, "the end of the restart", func(ctx context.Context) error {
		view, err := w.berth.Cluster(ctx, name)
		if err != nil {
			return err
		}
		if c := condition(view, "NodesCurrent"); c.Status != "True" || view.Status.Phase != "Ready" {
			return fmt.Errorf("%s: %s %s", view.Status.Phase, c.Reason, c.Message)
		}
		return nil
	}))
}

func condition(view v1.ClusterView, typ string) v1.Condition {
	for _, c := range view.Status.Conditions {
		if c.Type == typ {
			return c
		}
	}
	return v1.Condition{}
}

func (w *world) lives(name string) map[string]int64 {
	w.t.Helper()
	nodes, err := w.berth.Nodes(w.ctx, name)
	require.NoError(w.t, err)
	lives := map[string]int64{}
	for _, n := range nodes {
		lives[n.Name] = n.Life
	}
	return lives
}

// TestRollingRestart: every node is restarted while a client writes and searches,
// with no search failed and no document lost; a setting that no node can start
// with stops at the first node, and the former spec undoes it.
func TestRollingRestart(t *testing.T) {
	w := newWorld(t, 8*time.Minute, mesos.Options{})
	const name, docs = "roll", 300
	w.apply(name, 3)
	index := w.index(name, docs)
	driver := index.Drive(w.ctx, docs)
	_, err := w.berth.RestartCluster(w.ctx, name, nil, false, "kernel update")
	require.NoError(t, err)
	w.restarted(name)
	traffic := driver.Stop()
	t.Log(traffic)
	assert.Empty(t, traffic.FailedSearches)
	assert.LessOrEqual(t, traffic.Repeated, 3, "one search is under way when one of three nodes is stopped")
	assert.Positive(t, traffic.Searches)
	count, err := index.Count(w.ctx)
	require.NoError(t, err)
	// The write that the end cut off may have happened.
	assert.Contains(t, []int{docs + traffic.Written, docs + traffic.Written + 1}, count)
	assert.Equal(t, map[string]int64{"roll-node-0": 2, "roll-node-1": 2, "roll-node-2": 2}, w.lives(name))

	good := spec(name, 3)
	_, err = w.berth.Apply(w.ctx, name, good+"      config: {thread_pool.write.queue_size: many}\n")
	require.NoError(t, err)
	require.NoError(t, rig.Eventually(w.ctx, 200*time.Millisecond, "the plan to halt", func(ctx context.Context) error {
		p, err := w.berth.Plan(ctx, name)
		if err != nil {
			return err
		}
		if p.Status != "Halted" || !strings.Contains(p.Message, "queue_size") {
			return fmt.Errorf("plan %s: %s %s", p.ID, p.Status, p.Message)
		}
		return nil
	}))
	broken := 0
	for node, life := range w.lives(name) {
		if life > 2 {
			broken++
			t.Logf("%s is in its life %d", node, life)
		}
	}
	assert.Equal(t, 1, broken, "tried on one node")
	after, err := index.Count(w.ctx)
	require.NoError(t, err)
	assert.Equal(t, count, after, "every shard answers without that node")
	_, err = w.berth.Apply(w.ctx, name, good)
	require.NoError(t, err)
	w.restarted(name)
	after, err = index.Count(w.ctx)
	require.NoError(t, err)
	assert.Equal(t, count, after)
}

// TestUpgrade: from 7.17 to 8.19 node by node while a client writes and searches.
func TestUpgrade(t *testing.T) {
	w := newWorldOf(t, 8*time.Minute, mesos.Options{}, setup.Upgrade())
	const name, docs = "up", 300
	now := spec(name, 3)
	old := strings.Replace(now, setup.DefaultElasticsearch, setup.UpgradeFrom, 1)
	_, err := w.berth.Apply(w.ctx, name, old)
	require.NoError(t, err)
	_, err = w.berth.WaitPhase(w.ctx, name, "Ready")
	require.NoError(t, err)
	index := w.index(name, docs)
	driver := index.Drive(w.ctx, docs)
	_, err = w.berth.Apply(w.ctx, name, now)
	require.NoError(t, err)
	w.restarted(name)
	traffic := driver.Stop()
	t.Log(traffic)
	assert.Empty(t, traffic.FailedSearches)
	assert.LessOrEqual(t, traffic.Repeated, 3, "one search is under way when one of three nodes is stopped")
	count, err := index.Count(w.ctx)
	require.NoError(t, err)
	assert.Contains(t, []int{docs + traffic.Written, docs + traffic.Written + 1}, count)
	assert.Equal(t, map[string]int64{"up-node-0": 2, "up-node-1": 2, "up-node-2": 2}, w.lives(name))
	_, err = w.berth.Apply(w.ctx, name, old)
	require.ErrorContains(t, err, "older than", "there is no way back")
}
