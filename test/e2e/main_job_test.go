package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/api/client"
	v1 "github.com/berthdata/berth/api/v1"
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
