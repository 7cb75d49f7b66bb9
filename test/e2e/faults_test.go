package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/test/rig"
	"github.com/berthdata/berth/test/rig/berth"
	"github.com/berthdata/berth/test/rig/documents"
	"github.com/berthdata/berth/test/rig/mesos"
	"github.com/berthdata/berth/test/rig/zookeeper"
)

// TestImpossibleSpec: a cluster that cannot be placed is accepted and explained,
// and goes on by itself when the Mesos cluster grows.
func TestImpossibleSpec(t *testing.T) {
	w := newWorld(t, 4*time.Minute, mesos.Options{Agents: []mesos.AgentOptions{{Attributes: "rack:r1"}}})
	const name = "grow"
	_, err := w.berth.Apply(w.ctx, name, spec(name, 2))
	require.NoError(t, err)
	_, err = w.berth.WaitNode(w.ctx, name, "grow-node-0", "healthy or starting", func(n v1.NodeView) bool { return n.Hostname != "" })
	require.NoError(t, err)
	var explained v1.Explanation
	require.NoError(t, rig.Eventually(w.ctx, 200*time.Millisecond, "an explanation by the host rule", func(ctx context.Context) error {
		if explained, err = w.berth.Explain(ctx, name); err != nil {
			return err
		}
		for _, n := range explained.Nodes {
			if n.Node == "grow-node-1" && n.Agents == 1 && strings.Contains(fmt.Sprint(n), "host rule") {
				return nil
			}
		}
		return fmt.Errorf("got %+v", explained)
	}))
	assert.Equal(t, 0, explained.Nodes[len(explained.Nodes)-1].Fitting)
	assert.NotEmpty(t, explained.Nodes[len(explained.Nodes)-1].SmallestChange)

	_, err = w.mesos.AddAgent(mesos.AgentOptions{Attributes: "rack:r2"})
	require.NoError(t, err)
	view, err := w.berth.WaitPhase(w.ctx, name, "Ready")
	require.NoError(t, err)
	assert.Equal(t, 2, view.Status.NodesHealthy)
}

// TestBadSpec: a wrong spec names its fields and changes nothing.
func TestBadSpec(t *testing.T) {
	w := newWorld(t, 2*time.Minute, mesos.Options{Agents: []mesos.AgentOptions{{}}})
	for doc, field := range map[string]string{
		strings.Replace(spec("bad", 1), "count: 1", "cuont: 1", 1):               "spec.nodeSets[0].cuont",
		strings.Replace(spec("bad", 1), "memory: 1gb", "memory: lots", 1):        "spec.nodeSets[0].resources.memory",
		strings.Replace(spec("bad", 1), "version: 8.19.21", "version: 8.1.1", 1): "spec.version",
	} {
		_, err := w.berth.Apply(w.ctx, "bad", doc)
		var p *v1.Problem
		require.ErrorAs(t, err, &p, doc)
		assert.Contains(t, []int{http.StatusBadRequest, http.StatusUnprocessableEntity}, p.Status)
		require.NotEmpty(t, p.Fields, p)
		assert.Equal(t, field, p.Fields[0].Field)
	}
	clusters, err := w.berth.Clusters(w.ctx)
	require.NoError(t, err)
	assert.Empty(t, clusters)
}

// TestNeverComesUp: a node that cannot start backs off, says why, and can be
// deleted.
func TestNeverComesUp(t *testing.T) {
	w := newWorld(t, 3*time.Minute, mesos.Options{Agents: []mesos.AgentOptions{{}}})
	const name = "broken"
	doc := strings.Replace(spec(name, 1), `"-XX:-AlwaysPreTouch"`, `"-XX:NoSuchFlagAtAll"`, 1)
	_, err := w.berth.Apply(w.ctx, name, doc)
	require.NoError(t, err)
	node, err := w.berth.WaitNode(w.ctx, name, "broken-node-0", "failed three times", func(n v1.NodeView) bool { return n.Failures >= 3 && n.State == "Backoff" })
	require.NoError(t, err)
	assert.Contains(t, node.Message, "NoSuchFlagAtAll", "the reason is shown")
	require.NotNil(t, node.NextTryAt)
	assert.NotEmpty(t, node.VolumeID)
	_, err = w.berth.DeleteCluster(w.ctx, name, nil, "")
	require.NoError(t, err)
	require.NoError(t, w.berth.WaitGone(w.ctx, name))
}

// TestCreateRefused: CREATE fails after RESERVE has worked. Berth says so, gives
// the empty reservation back, and leaks nothing.
func TestCreateRefused(t *testing.T) {
	w := newWorld(t, 3*time.Minute, mesos.Options{
		Agents: []mesos.AgentOptions{{}},
		ACLs:   `{"permissive": true, "create_volumes": [{"principals": {"type": "ANY"}, "roles": {"type": "NONE"}}]}`,
	})
	const name = "refused"
	_, err := w.berth.Apply(w.ctx, name, spec(name, 1))
	require.NoError(t, err)
	node, err := w.berth.WaitNode(w.ctx, name, "refused-node-0", "refused", func(n v1.NodeView) bool { return strings.Contains(n.Message, "CREATE") })
	require.NoError(t, err)
	assert.Empty(t, node.VolumeID)
	// Its reservation is given back after the third refusal, and with one agent
	// there is nowhere else to go.
	require.NoError(t, rig.Eventually(w.ctx, 200*time.Millisecond, "the reservation to be given back", func(ctx context.Context) error {
		held, err := w.mesos.Reserved(ctx, w.mesos.Agent("agent1"))
		if err != nil {
			return err
		}
		node, err := w.berth.Node(ctx, name, "refused-node-0")
		if err != nil {
			return err
		}
		if len(held) > 0 || node.Hostname != "" {
			return fmt.Errorf("%d resources are reserved, the node is %s on %q: %s", len(held), node.State, node.Hostname, node.Message)
		}
		return nil
	}))
	_, err = w.berth.DeleteCluster(w.ctx, name, nil, "")
	require.NoError(t, err)
	require.NoError(t, w.berth.WaitGone(w.ctx, name))
}

// TestExecutorAndAgentCrash: the executor's death is the node's, and the node is
// back in place; an agent that dies and returns finds the node still running.
func TestExecutorAndAgentCrash(t *testing.T) {
	w := newWorld(t, 5*time.Minute, mesos.Options{Agents: []mesos.AgentOptions{{Attributes: "rack:r1"}, {Attributes: "rack:r2"}}})
	const name, docs = "crash", 200
	w.apply(name, 2)
	endpoints, err := w.berth.Endpoints(w.ctx, name)
	require.NoError(t, err)
	index, err := documents.Open(endpoints.HTTP, "docs")
	require.NoError(t, err)
	require.NoError(t, index.Create(w.ctx, 2, 1))
	require.NoError(t, index.Write(w.ctx, 0, docs))

	before, err := w.berth.Node(w.ctx, name, "crash-node-0")
	require.NoError(t, err)
	_, err = berth.KillExecutor(w.rig.Dir(), before.Name)
	require.NoError(t, err)
	after, err := w.berth.WaitNode(w.ctx, name, before.Name, "back in place", func(n v1.NodeView) bool { return n.Life > before.Life && n.State == "Healthy" })
	require.NoError(t, err)
	assert.Equal(t, before.VolumeID, after.VolumeID)
	assert.Equal(t, before.AgentID, after.AgentID)

	agent := w.mesos.Agent(after.Hostname)
	require.NoError(t, agent.Kill9(w.ctx))
	require.NoError(t, agent.Start())
	_, err = w.mesos.WaitAgent(w.ctx, agent)
	require.NoError(t, err)
	view, err := w.berth.WaitPhase(w.ctx, name, "Ready")
	require.NoError(t, err)
	assert.Equal(t, 2, view.Status.NodesHealthy)
	same, err := w.berth.Node(w.ctx, name, before.Name)
	require.NoError(t, err)
	assert.Equal(t, after.Life, same.Life, "the node survives its agent's restart")
	count, err := index.Count(w.ctx)
	require.NoError(t, err)
	assert.Equal(t, docs, count)
}

// TestControlPlaneFaults: ZooKeeper away, Berth killed, the leading master
// killed. No node is touched by any of it, and Berth goes on under its id.
func TestControlPlaneFaults(t *testing.T) {
	// The masters elect their leader in a ZooKeeper of their own: they end when
	// theirs is away.
	masters := zookeeper.Run(t, zookeeper.Options{})
	w := newWorld(t, 6*time.Minute, mesos.Options{
		Agents: []mesos.AgentOptions{{Attributes: "rack:r1"}, {Attributes: "rack:r2"}}, Masters: 3, ZooKeeper: []string{masters.Addr},
	})
	const name = "steady"
	w.apply(name, 1)
	ready, err := w.berth.Readiness(w.ctx)
	require.NoError(t, err)
	node, err := w.berth.Node(w.ctx, name, "steady-node-0")
	require.NoError(t, err)
	untouched := func(when string) {
		t.Helper()
		n, err := w.berth.WaitNode(w.ctx, name, node.Name, "healthy "+when, func(n v1.NodeView) bool { return n.State == "Healthy" })
		require.NoError(t, err)
		assert.Equal(t, node.TaskID, n.TaskID, "the node is not touched "+when)
		r, err := w.berth.Readiness(w.ctx)
		require.NoError(t, err)
		assert.Equal(t, ready.FrameworkID, r.FrameworkID, when)
	}

	t.Log("a blip of ZooKeeper: a change waits for it and is then durable")
	require.NoError(t, w.zk.Pause())
	answered := make(chan error, 1)
	go func() {
		_, err := w.berth.Apply(w.ctx, "later", spec("later", 1))
		answered <- err
	}()
	require.NoError(t, rig.Eventually(w.ctx, 100*time.Millisecond, "Berth to see that ZooKeeper is away", func(ctx context.Context) error {
		select {
		case err := <-answered:
			return rig.Permanent(fmt.Errorf("the change was answered (%v) while ZooKeeper was away", err))
		default:
		}
		r, err := w.berth.Readiness(ctx)
		if err != nil {
			return err
		}
		if r.Checks["state"] == "ok" {
			return fmt.Errorf("%v", r.Checks)
		}
		return nil
	}))
	require.NoError(t, w.zk.Resume())
	require.NoError(t, <-answered)
	require.NoError(t, w.berth.WaitReady(w.ctx))
	untouched("by a blip of ZooKeeper")

	t.Log("Berth is killed and comes back")
	require.NoError(t, w.berth.Process().Kill9(w.ctx))
	require.NoError(t, w.berth.Restart())
	require.NoError(t, w.berth.WaitReady(w.ctx))
	untouched("by a crash of Berth")
	_, err = w.berth.WaitPhase(w.ctx, "later", "Ready")
	require.NoError(t, err)

	t.Log("the leading master is killed")
	leader, err := w.mesos.WaitLeader(w.ctx)
	require.NoError(t, err)
	require.NoError(t, leader.Kill9(w.ctx))
	_, err = w.mesos.WaitLeader(w.ctx)
	require.NoError(t, err)
	require.NoError(t, w.berth.WaitReady(w.ctx))
	require.NoError(t, w.mesos.WaitAgents(w.ctx, 2))
	untouched("by a failover of the master")
	_, err = w.berth.DeleteCluster(w.ctx, "later", nil, "")
	require.NoError(t, err)
	require.NoError(t, w.berth.WaitGone(w.ctx, "later"))
}
