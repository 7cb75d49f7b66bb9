package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	mesosgo "github.com/mesos/mesos-go/api/v1/lib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/test/rig"
	"github.com/berthdata/berth/test/rig/berth"
	"github.com/berthdata/berth/test/rig/documents"
	"github.com/berthdata/berth/test/rig/mesos"
)

// TestRestoredBackup: a backup is put back that is older than what runs. Whatever
// it does not know goes on running, is listed, and ends only when a person says so;
// then its node returns in place, with every document.
func TestRestoredBackup(t *testing.T) {
	w := newWorld(t, 6*time.Minute, mesos.Options{Agents: []mesos.AgentOptions{{Attributes: "rack:r1"}, {Attributes: "rack:r2"}}})
	const docs = 200
	w.apply("kept", 1)
	endpoints, err := w.berth.Endpoints(w.ctx, "kept")
	require.NoError(t, err)
	index, err := documents.Open(endpoints.HTTP, "docs")
	require.NoError(t, err)
	require.NoError(t, index.Create(w.ctx, 1, 0))
	require.NoError(t, index.Write(w.ctx, 0, docs))

	file := filepath.Join(t.TempDir(), "berth.jsonl")
	w.command("backup", file, "--zookeeper", w.zk.Addr)

	// Since then: the node is in its second life, and there is another cluster.
	first, err := w.berth.Node(w.ctx, "kept", "kept-node-0")
	require.NoError(t, err)
	_, err = berth.KillNode(w.rig.Dir(), first.Name)
	require.NoError(t, err)
	second, err := w.berth.WaitNode(w.ctx, "kept", "kept-node-0", "healthy in its second life", func(n v1.NodeView) bool {
		return n.Life > first.Life && n.State == "Healthy"
	})
	require.NoError(t, err)
	w.apply("later", 1)
	later, err := w.berth.Node(w.ctx, "later", "later-node-0")
	require.NoError(t, err)
	unknown := []string{second.TaskID, later.TaskID}
	slices.Sort(unknown)

	require.NoError(t, w.berth.Stop(w.ctx))
	w.command("restore", file, "--zookeeper", w.zk.Addr, "--replace", "--confirm", "/berth")
	require.NoError(t, w.berth.Restart())
	require.NoError(t, w.berth.WaitReady(w.ctx))
	_, err = w.berth.Cluster(w.ctx, "later")
	require.Error(t, err, "what came after the backup is forgotten")
	require.NoError(t, rig.Eventually(w.ctx, 100*time.Millisecond, "both tasks to be listed", func(ctx context.Context) error {
		got, err := w.unknownTasks(ctx)
		if err == nil && !slices.Equal(got, unknown) {
			err = fmt.Errorf("unknown are %v, not %v", got, unknown)
		}
		return err
	}))

	// They are left alone, for longer than a new life would take.
	tick, long := time.NewTicker(500*time.Millisecond), time.After(20*time.Second)
	defer tick.Stop()
	for watching := true; watching; {
		select {
		case <-tick.C:
			require.NoError(t, w.run(unknown...))
		case <-long:
			watching = false
		}
	}
	count, err := index.Count(w.ctx)
	require.NoError(t, err, "the unknown life still serves")
	assert.Equal(t, docs, count)
	node, err := w.berth.Node(w.ctx, "kept", "kept-node-0")
	require.NoError(t, err)
	assert.Equal(t, "Down", node.State, "it waits for its volume, which is in use")

	// A person ends the one.
	w.command("tasks", "kill", second.TaskID, "--confirm", second.TaskID, "--message", "the restored state takes over", "--server", w.berth.URL())
	third, err := w.berth.WaitNode(w.ctx, "kept", "kept-node-0", "healthy in a new life", func(n v1.NodeView) bool { return n.State == "Healthy" })
	require.NoError(t, err)
	assert.Greater(t, third.Life, second.Life, "under a number that was never used")
	assert.Equal(t, second.VolumeID, third.VolumeID)
	assert.Equal(t, second.HTTPPort, third.HTTPPort)
	_, err = w.berth.WaitPhase(w.ctx, "kept", "Ready")
	require.NoError(t, err)
	count, err = index.Count(w.ctx)
	require.NoError(t, err)
	assert.Equal(t, docs, count)
	got, err := w.unknownTasks(w.ctx)
	require.NoError(t, err)
	assert.Equal(t, []string{later.TaskID}, got, "the other is left alone still")
	require.NoError(t, w.run(later.TaskID))
}

// command runs Berth's command line to its end.
func (w *world) command(args ...string) string {
	w.t.Helper()
	out, err := exec.CommandContext(w.ctx, w.binaries.Scheduler, args...).CombinedOutput()
	require.NoError(w.t, err, "berth %v: %s", args, out)
	return string(out)
}

// unknownTasks are the ids that the command line lists.
func (w *world) unknownTasks(ctx context.Context) ([]string, error) {
	out, err := exec.CommandContext(ctx, w.binaries.Scheduler, "tasks", "unknown", "-o", "json", "--server", w.berth.URL()).Output()
	if err != nil {
		return nil, err
	}
	var list v1.UnknownTaskList
	if err := json.Unmarshal(out, &list); err != nil {
		return nil, err
	}
	var ids []string
	for _, t := range list.Tasks {
		ids = append(ids, t.TaskID)
	}
	slices.Sort(ids)
	return ids, nil
}

// run says whether all these tasks run, by Mesos' own word.
func (w *world) run(ids ...string) error {
	tasks, err := w.mesos.Tasks(w.ctx)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if !slices.ContainsFunc(tasks, func(t mesosgo.Task) bool { return t.TaskID.Value == id && t.GetState() == mesosgo.TASK_RUNNING }) {
			return fmt.Errorf("task %s does not run", id)
		}
	}
	return nil
}
