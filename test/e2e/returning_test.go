package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/berthdata/berth/api/client"
	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/test/rig"
	"github.com/berthdata/berth/test/rig/documents"
	"github.com/berthdata/berth/test/rig/mesos"
)

// TestReturningAgents: what agents do to a cluster of three with one replica, one
// fault after the other, with every document counted after each.
func TestReturningAgents(t *testing.T) {
	w := newWorld(t, 8*time.Minute, mesos.Options{})
	const name, docs = "ret", 300
	w.apply(name, 3)
	endpoints, err := w.berth.Endpoints(w.ctx, name)
	require.NoError(t, err)
	index, err := documents.Open(endpoints.HTTP, "docs")
	require.NoError(t, err)
	require.NoError(t, index.Create(w.ctx, 3, 1))
	require.NoError(t, index.Write(w.ctx, 0, docs))
	_, err = w.berth.WaitPhase(w.ctx, name, "Ready")
	require.NoError(t, err)

	victim := "ret-node-1"
	node := func() v1.NodeView {
		t.Helper()
		n, err := w.berth.Node(w.ctx, name, victim)
		require.NoError(t, err)
		return n
	}
	whole := func(when string) {
		t.Helper()
		_, err := w.berth.WaitPhase(w.ctx, name, "Ready")
		require.NoError(t, err, when)
		count, err := index.Count(w.ctx)
		require.NoError(t, err, when)
		assert.Equal(t, docs, count, when)
	}
	before := node()
	agent := w.mesos.Agent(before.Hostname)
	require.NotNil(t, agent)

	t.Run("reboot", func(t *testing.T) {
		require.NoError(t, agent.PowerOff(w.ctx))
		require.NoError(t, agent.Start())
		after, err := w.berth.WaitNode(w.ctx, name, victim, "healthy in a new life", func(n v1.NodeView) bool {
			return n.Life > before.Life && n.State == "Healthy"
		})
		require.NoError(t, err)
		assert.Equal(t, before.VolumeID, after.VolumeID, "on its volume")
		assert.Equal(t, before.AgentID, after.AgentID, "on the agent with its old id")
		whole("after a reboot")
	})

	t.Run("unreachable and back", func(t *testing.T) {
		before := node()
		require.NoError(t, agent.Pause())
		_, err := w.berth.WaitNode(w.ctx, name, victim, "unreachable", func(n v1.NodeView) bool { return n.State == "Unreachable" })
		require.NoError(t, err)
		require.NoError(t, agent.Resume())
		after, err := w.berth.WaitNode(w.ctx, name, victim, "healthy", func(n v1.NodeView) bool { return n.State == "Healthy" })
		require.NoError(t, err)
		assert.Equal(t, before.TaskID, after.TaskID, "nothing was replaced")
		whole("after an unreachable agent came back")
	})

	t.Run("back under a new id", func(t *testing.T) {
		before := node()
		require.NoError(t, agent.PowerOff(w.ctx))
		require.NoError(t, agent.ForgetID(w.ctx))
		require.NoError(t, agent.Start())
		after, err := w.berth.WaitNode(w.ctx, name, victim, "healthy on the agent's new id", func(n v1.NodeView) bool {
			return n.AgentID != before.AgentID && n.State == "Healthy"
		})
		require.NoError(t, err)
		assert.Equal(t, before.Hostname, after.Hostname, "on the same machine")
		assert.Equal(t, before.VolumeID, after.VolumeID, "on its volume")
		assert.Equal(t, before.HTTPPort, after.HTTPPort, "at its address")
		whole("after the agent came back under a new id")
	})

	t.Run("declared gone", func(t *testing.T) {
		before := node()
		_, err := w.mesos.AddAgent(mesos.AgentOptions{Name: "spare", Attributes: "rack:r4"})
		require.NoError(t, err)
		require.NoError(t, w.mesos.WaitAgents(w.ctx, 4))
		require.NoError(t, w.mesos.MarkGone(w.ctx, agent))
		lost, err := w.berth.WaitNode(w.ctx, name, victim, "lost", func(n v1.NodeView) bool { return n.State == "Lost" })
		require.NoError(t, err)
		assert.Equal(t, before.VolumeID, lost.VolumeID)
		var after v1.NodeView
		require.NoError(t, rig.Eventually(w.ctx, 200*time.Millisecond, "a successor to be healthy elsewhere", func(ctx context.Context) error {
			nodes, err := w.berth.Nodes(ctx, name)
			for _, n := range nodes {
				if after = n; n.Hostname == "spare.test" && n.State == "Healthy" {
					return nil
				}
			}
			return errors.Join(err, fmt.Errorf("%+v", nodes))
		}))
		assert.Regexp(t, "^"+victim+`-r\d+$`, after.Name, "a name of its own")
		assert.Equal(t, victim, after.Replaces)
		assert.NotEqual(t, before.VolumeID, after.VolumeID, "a lost volume's id is never used again")
		whole("after an agent was declared gone")
		volumes, err := w.berth.Volumes(w.ctx, client.VolumeQuery{})
		require.NoError(t, err)
		classes := map[string]string{}
		for _, v := range volumes.Volumes {
			classes[v.ID] = v.Class
		}
		assert.Equal(t, "missing", classes[before.VolumeID], "the loss is listed: %v", classes)
	})
}
