package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/api/client"
	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/test/rig"
	"github.com/berthdata/berth/test/rig/berth"
	"github.com/berthdata/berth/test/rig/documents"
	"github.com/berthdata/berth/test/rig/mesos"
)

// TestMainJob is the main job from apply to delete: three nodes on three agents,
// a node killed and back in place with every document, the host rule, volumes
// kept and destroyed by order.
func TestMainJob(t *testing.T) {
	w := newWorld(t, 5*time.Minute, mesos.Options{})
	const name, docs = "logs", 500
	view := w.apply(name, 3)
	assert.Equal(t, "green", view.Status.Health)
	assert.Equal(t, 3, view.Status.NodesHealthy)
	assert.NotEmpty(t, view.Status.ClusterUUID)

	nodes, err := w.berth.Nodes(w.ctx, name)
	require.NoError(t, err)
	hosts := map[string]string{}
	for _, n := range nodes {
		assert.Equal(t, "Healthy", n.State)
		assert.Empty(t, hosts[n.Hostname], "host rule: %s holds two nodes", n.Hostname)
		hosts[n.Hostname] = n.Name
	}
	require.Len(t, hosts, 3)

	endpoints, err := w.berth.Endpoints(w.ctx, name)
	require.NoError(t, err)
	require.Len(t, endpoints.HTTP, 3)
	index, err := documents.Open(endpoints.HTTP, "docs")
	require.NoError(t, err)
	require.NoError(t, index.Create(w.ctx, 3, 1))
	require.NoError(t, index.Write(w.ctx, 0, docs))

	before := nodes[1]
	_, err = berth.KillNode(w.rig.Dir(), before.Name)
	require.NoError(t, err)
	after, err := w.berth.WaitNode(w.ctx, name, before.Name, "healthy again in a new life", func(n v1.NodeView) bool {
		return n.Life > before.Life && n.State == "Healthy"
	})
	require.NoError(t, err)
	assert.Equal(t, before.AgentID, after.AgentID, "it returns in place")
	assert.Equal(t, before.VolumeID, after.VolumeID, "on its volume")
	assert.Equal(t, before.HTTPPort, after.HTTPPort, "at its address")
	_, err = w.berth.WaitPhase(w.ctx, name, "Ready")
	require.NoError(t, err)
	count, err := index.Count(w.ctx)
	require.NoError(t, err)
	assert.Equal(t, docs, count, "no document is lost")
	w.certifies(name, endpoints.HTTP)

	_, err = w.berth.DeleteCluster(w.ctx, name, nil, "end of test")
	require.NoError(t, err)
	require.NoError(t, w.berth.WaitGone(w.ctx, name))
	volumes, err := w.berth.Volumes(w.ctx, client.VolumeQuery{})
	require.NoError(t, err)
	require.Len(t, volumes.Volumes, 3)
	for _, v := range volumes.Volumes {
		assert.Equal(t, "retained", v.Class)
	}
}

// certifies expects, of a cluster whose shards all have two copies, that any machine
// may go until an index without replicas is made: then not the one that has it.
func (w *world) certifies(name string, endpoints []string) {
	w.t.Helper()
	frail, err := documents.Open(endpoints, "frail")
	require.NoError(w.t, err)
	require.NoError(w.t, frail.Create(w.ctx, 1, 0))
	require.NoError(w.t, rig.Eventually(w.ctx, time.Second, "a certificate that names the index without replicas", func(ctx context.Context) error {
		x, err := w.berth.Survives(ctx, name)
		if err != nil {
			return err
		}
		verdicts := map[string]int{}
		for _, m := range x.Machines {
			verdicts[m.Survives]++
			for _, loss := range m.Clusters {
				if m.Survives == v1.VerdictFalse && (len(loss.AtRisk) != 1 || loss.AtRisk[0].Index != "frail") {
					return rig.Permanent(fmt.Errorf("%s is said to be the only one with %+v", m.Machine, loss.AtRisk))
				}
			}
		}
		if x.Survives != v1.VerdictFalse || verdicts[v1.VerdictFalse] != 1 || verdicts[v1.VerdictTrue] != 2 {
			return fmt.Errorf("it says %+v", x)
		}
		return nil
	}))
}
