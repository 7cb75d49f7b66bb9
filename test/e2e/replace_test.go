package e2e

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
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

// lostNode is a cluster of three nodes with one replica on four machines, of which
// the victim's is lost in various ways.
type lostNode struct {
	*world
	name, victim string
	index        *documents.Index
	docs         int
	before       v1.NodeView
	agent        *mesos.Agent
}

func newLostNode(t *testing.T) *lostNode {
	agents := append(slices.Clone(threeAgents), mesos.AgentOptions{Name: "spare", Attributes: "rack:r4;zone:z2"})
	w := &lostNode{world: newWorld(t, 5*time.Minute, mesos.Options{Agents: agents}, "--retention", "1s"), name: "rep", victim: "rep-node-1", docs: 300}
	w.apply(w.name, 3)
	endpoints, err := w.berth.Endpoints(w.ctx, w.name)
	require.NoError(t, err)
	w.index, err = documents.Open(endpoints.HTTP, "docs")
	require.NoError(t, err)
	require.NoError(t, w.index.Create(w.ctx, 3, 1))
	require.NoError(t, w.index.Write(w.ctx, 0, w.docs))
	// Ready is from before the index was made: a copy that has not started yet is none.
	w.elastic(http.MethodGet, endpoints.HTTP[0], "/_cluster/health/docs?wait_for_status=green&timeout=60s", "")
	w.whole("before")
	w.before, err = w.berth.Node(w.ctx, w.name, w.victim)
	require.NoError(t, err)
	w.agent = w.mesos.Agent(w.before.Hostname)
	require.NotNil(t, w.agent)
	return w
}

// whole: every wanted node is healthy, Elasticsearch green, and every document there.
func (w *lostNode) whole(when string) {
	w.t.Helper()
	_, err := w.berth.WaitPhase(w.ctx, w.name, "Ready")
	require.NoError(w.t, err, when)
	count, err := w.index.Count(w.ctx)
	require.NoError(w.t, err, when)
	assert.Equal(w.t, w.docs, count, when)
}

func (w *lostNode) waitState(node, state string) v1.NodeView {
	w.t.Helper()
	n, err := w.berth.WaitNode(w.ctx, w.name, node, state, func(n v1.NodeView) bool { return n.State == state })
	require.NoError(w.t, err)
	return n
}

// refused is the problem that an order to replace the victim meets.
func (w *lostNode) refused(o client.ReplaceOptions) *v1.Problem {
	w.t.Helper()
	_, err := w.berth.ReplaceNode(w.ctx, w.name, w.victim, o)
	var p *v1.Problem
	require.ErrorAs(w.t, err, &p)
	assert.Equal(w.t, 409, p.Status)
	return p
}

// replace orders the victim replaced, once all that it rests on is known, waits until
// its successor is healthy, and returns that.
func (w *lostNode) replace() v1.NodeView {
	w.t.Helper()
	var accepted v1.Accepted
	require.NoError(w.t, rig.Eventually(w.ctx, 500*time.Millisecond, "the order to be accepted", func(ctx context.Context) error {
		var err error
		accepted, err = w.berth.ReplaceNode(ctx, w.name, w.victim, client.ReplaceOptions{Message: "the machine burnt"})
		return err
	}))
	require.NotEmpty(w.t, accepted.Successor)
	assert.NotEqual(w.t, w.victim, accepted.Successor, "a name of its own")
	after := w.waitState(accepted.Successor, "Healthy")
	assert.NotEqual(w.t, w.before.Hostname, after.Hostname, "on another machine")
	assert.Equal(w.t, w.victim, after.Replaces)
	w.whole("after the replacement")
	return after
}

// volume is the victim's, in the ledger.
func (w *lostNode) volume() v1.VolumeView {
	w.t.Helper()
	for _, v := range w.ledger().Volumes {
		if v.ID == w.before.VolumeID {
			return v
		}
	}
	require.Fail(w.t, "the volume is not listed")
	return v1.VolumeView{}
}

// members are the names of the cluster's nodes, as Elasticsearch itself has them.
func (w *lostNode) members() []string {
	w.t.Helper()
	endpoints, err := w.berth.Endpoints(w.ctx, w.name)
	require.NoError(w.t, err)
	return strings.Fields(w.elastic(http.MethodGet, endpoints.HTTP[0], "/_cat/nodes?h=name", ""))
}

func (w *lostNode) elastic(method, url, path, body string) string {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.ctx, method, url+path, strings.NewReader(body))
	require.NoError(w.t, err)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	require.NoError(w.t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(w.t, err)
	require.Less(w.t, resp.StatusCode, 300, "%s %s: %s", method, path, answer)
	return string(answer)
}

// TestReplaceUnreachable: only the agent has died, its node runs on as a member. The
// node is replaced by order, and when its agent is back it is stopped, its volume kept.
func TestReplaceUnreachable(t *testing.T) {
	w := newLostNode(t)
	p := w.refused(client.ReplaceOptions{})
	assert.Equal(t, v1.CodeConflict, p.Code)
	assert.Contains(t, p.Detail, "is Healthy")

	require.NoError(t, w.agent.Kill9(w.ctx))
	away := w.waitState(w.victim, "Unreachable")
	assert.Contains(t, away.Message, "berth cluster replace rep rep-node-1")
	after := w.replace()
	assert.Contains(t, w.members(), w.victim, "its node runs on")
	assert.Equal(t, "unknown", w.volume().Class, "its agent is away")
	old, err := w.berth.Node(w.ctx, w.name, w.victim)
	require.NoError(t, err)
	assert.Equal(t, "Replaced", old.State)
	assert.Equal(t, after.Name, old.ReplacedBy)
	assert.Contains(t, old.Message, "the machine burnt")

	require.NoError(t, w.agent.Start())
	old = w.waitState(w.victim, "Retained")
	assert.Equal(t, w.before.TaskID, old.TaskID, "its last life was never started again")
	w.whole("after the old node was stopped")
	assert.NotContains(t, w.members(), w.victim)
	assert.Len(t, w.members(), 3)
	var kept v1.VolumeView
	require.NoError(t, rig.Eventually(w.ctx, time.Second, "only the volume to be left", func(context.Context) error {
		if kept = w.volume(); !kept.Confirmed || kept.Reserved == nil || kept.Reserved.CPUs > 0 {
			return fmt.Errorf("%+v", kept)
		}
		return nil
	}))
	assert.Equal(t, "replaced", kept.Class)
	assert.Contains(t, kept.Message, "replaced by "+after.Name+" on order of")
	assert.Equal(t, w.victim, kept.Node)
	assert.Equal(t, float64(1024), kept.SizeMiB)

	// It goes by the order of a person alone.
	_, err = w.berth.DestroyVolume(w.ctx, kept.ID, "copied")
	require.NoError(t, err)
	require.NoError(t, rig.Eventually(w.ctx, time.Second, "the volume to be gone", func(ctx context.Context) error {
		held, err := w.mesos.Reserved(ctx, w.agent)
		if err == nil && len(held) > 0 {
			err = fmt.Errorf("%d resources are reserved", len(held))
		}
		return err
	}))
	w.whole("in the end")
}

// TestReplaceRefused: the machine is off, and the only copy of an index is on it. The
// order is refused and names index and shards; with these given up in so many words it
// would be accepted. Once the index has gone the node is replaced; and when its machine
// boots, nothing is started there any more.
func TestReplaceRefused(t *testing.T) {
	w := newLostNode(t)
	endpoints, err := w.berth.Endpoints(w.ctx, w.name)
	require.NoError(t, err)
	other := endpoints.HTTP[0]
	if strings.HasSuffix(other, fmt.Sprintf(":%d", w.before.HTTPPort)) {
		other = endpoints.HTTP[1]
	}
	w.elastic(http.MethodPut, other, "/audit", fmt.Sprintf(`{"settings":{"number_of_shards":2,"number_of_replicas":0,"index.routing.allocation.require._name":%q}}`, w.victim))
	w.whole("with an index that has one copy")
	require.NoError(t, w.agent.PowerOff(w.ctx))
	w.waitState(w.victim, "Unreachable")

	var p *v1.Problem
	require.NoError(t, rig.Eventually(w.ctx, 500*time.Millisecond, "a refusal that knows why", func(context.Context) error {
		if p = w.refused(client.ReplaceOptions{DryRun: true}); p.Code != v1.CodeDataAtRisk {
			return p
		}
		return nil
	}))
	assert.Equal(t, []v1.IndexAtRisk{{Index: "audit", Shards: []int{0, 1}, ShardCount: 2, Reason: "only on " + w.victim}}, p.AtRisk)
	cmd := exec.CommandContext(w.ctx, w.binaries.Scheduler, "cluster", "replace", w.name, w.victim, "--server", w.berth.URL())
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(out), "index audit, shards 0, 1: only on rep-node-1")
	assert.Contains(t, string(out), "berth cluster replace rep rep-node-1 --accept-data-loss audit")
	assert.Equal(t, v1.CodeDataAtRisk, w.refused(client.ReplaceOptions{AcceptDataLoss: []string{"audit", "docs"}}).Code, "another set")
	accepted, err := w.berth.ReplaceNode(w.ctx, w.name, w.victim, client.ReplaceOptions{AcceptDataLoss: []string{"audit"}, DryRun: true})
	require.NoError(t, err)
	assert.True(t, accepted.DryRun)
	w.waitState(w.victim, "Unreachable")

	w.elastic(http.MethodDelete, other, "/audit", "")
	w.replace()
	require.NoError(t, w.agent.Start())
	old := w.waitState(w.victim, "Retained")
	assert.Equal(t, w.before.TaskID, old.TaskID, "nothing is started there any more")
	w.whole("after the machine was back")
	require.NoError(t, rig.Eventually(w.ctx, time.Second, "the volume to be seen", func(context.Context) error {
		if v := w.volume(); v.Class != "replaced" || !v.Confirmed {
			return fmt.Errorf("%+v", v)
		}
		return nil
	}))
}

// spare is the machine without a node.
func (w *lostNode) spare() *mesos.Agent {
	w.t.Helper()
	nodes, err := w.berth.Nodes(w.ctx, w.name)
	require.NoError(w.t, err)
	free := []string{"agent1.test", "agent2.test", "agent3.test", "spare.test"}
	for _, n := range nodes {
		free = slices.DeleteFunc(free, func(host string) bool { return host == n.Hostname })
	}
	require.Len(w.t, free, 1)
	agent := w.mesos.Agent(free[0])
	require.NotNil(w.t, agent)
	return agent
}

// TestReplaceCancelled: the order takes itself back when the node comes back before its
// successor has a place.
func TestReplaceCancelled(t *testing.T) {
	w := newLostNode(t)
	require.NoError(t, w.spare().Leave(w.ctx))
	require.NoError(t, w.agent.Kill9(w.ctx))
	w.waitState(w.victim, "Unreachable")
	var accepted v1.Accepted
	require.NoError(t, rig.Eventually(w.ctx, 500*time.Millisecond, "the order to be accepted", func(ctx context.Context) (err error) {
		accepted, err = w.berth.ReplaceNode(ctx, w.name, w.victim, client.ReplaceOptions{})
		return err
	}))
	replaced := w.waitState(w.victim, "Replaced")
	assert.Equal(t, accepted.Successor, replaced.ReplacedBy)
	require.NoError(t, w.agent.Start())
	after := w.waitState(w.victim, "Healthy")
	assert.Equal(t, w.before.TaskID, after.TaskID)
	assert.Empty(t, after.ReplacedBy)
	nodes, err := w.berth.Nodes(w.ctx, w.name)
	require.NoError(t, err)
	assert.Len(t, nodes, 3, "its successor is gone")
	w.whole("after the node kept its place")
}
