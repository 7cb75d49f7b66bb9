package scheduler

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	v1 "github.com/berthdata/berth/api/v1"
	"github.com/berthdata/berth/scheduler/elastic/observe"
	"github.com/berthdata/berth/scheduler/plan"
	"github.com/berthdata/berth/scheduler/state"
)

// spread is a cluster of three masters on m0 to m2 and four data nodes, two of them
// on m3, that Elasticsearch has just told everything about.
func spread(t *testing.T) (*Core, *cluster) {
	t.Helper()
	c, err := New(benchConfig(), nil)
	require.NoError(t, err)
	c.begin(benchEpoch)
	set := func(name string, count int, roles ...string) v1.NodeSet {
		return v1.NodeSet{Name: name, Count: count, Roles: &roles, Resources: v1.NodeResources{CPUs: 1, Memory: "1gb"}, Storage: v1.Storage{Size: "1gb"}}
	}
	spec := v1.Cluster{Name: "logs", Spec: v1.ClusterSpec{Version: "8.19.21", Role: "db", NodeSets: []v1.NodeSet{set("master", 3, "master"), set("data", 4, "data")}}}
	cl := newCluster(state.Cluster{Spec: spec, Generation: 1, Incarnation: 1, ClusterUUID: "U1", InitialMasters: plan.Masters(spec)})
	c.clusters["logs"] = cl
	for i, n := range plan.Nodes(spec) {
		s := c.newSlot(cl, n)
		a := &agent{id: fmt.Sprintf("a%d", i), hostname: fmt.Sprintf("h%d", i), machine: fmt.Sprintf("m%d", min(i, 5)), active: true}
		if n.Name == "logs-data-1" {
			a.machine = "m3"
		}
		c.agents[a.id] = a
		s.Bind = c.binding(a)
		s.Bind.Reserved, s.Bind.Volume = state.KnownYes, state.KnownYes
		s.Life = 1
		s.Task = &state.Task{ID: s.taskID(1), Life: 1, AgentID: a.id, State: state.TaskRunning, Healthy: true, Since: benchEpoch.Add(-time.Hour)}
	}
	cl.fullAsked, cl.fullAt = benchEpoch.Add(-20*time.Second), benchEpoch.Add(-19*time.Second)
	cl.observedAt = cl.fullAt
	cl.lastFull = observe.Observation{Full: true, Health: "green", MinReplicas: 1}
	return c, cl
}

func TestSurvives(t *testing.T) {
	sole := func(host string, nodes ...string) observe.SoleMachine {
		return observe.SoleMachine{Host: host, Nodes: nodes, IndexTotal: 1, ShardTotal: 2, Indices: []observe.SoleIndex{{Index: "events", Shards: []int{1, 4}, ShardCount: 2}}}
	}
	node := func(c *Core, name string) *slot {
		_, s, problem := c.nodeOf("logs", name)
		require.Nil(t, problem)
		return s
	}
	everywhere := []string{"m0", "m1", "m2", "m3", "m5"}
	for name, k := range map[string]struct {
		change  func(c *Core, cl *cluster)
		verdict string
		// on are the machines that the reason is given for, text what one says.
		on     []string
		reason string
		text   string
	}{
		"all is well": {verdict: v1.VerdictTrue},
		"the only copies, on a node": {func(_ *Core, cl *cluster) { cl.lastFull.Sole = []observe.SoleMachine{sole("m5", "logs-data-2")} },
			v1.VerdictFalse, []string{"m5"}, v1.LossData, "the only started copies of shards are there, 2 in all, such as index events, shards 1, 4: only on logs-data-2"},
		"on a member that no record knows": {func(_ *Core, cl *cluster) { cl.lastFull.Sole = []observe.SoleMachine{sole("m9", "stranger")} },
			v1.VerdictFalse, []string{"m9"}, v1.LossData, "only on stranger"},
		"a master is away: two machines have none to lose": {func(c *Core, cl *cluster) {
			node(c, "logs-master-0").Task.State = state.TaskUnreachable
			cl.lastFull.Away = cl.away()
		}, v1.VerdictFalse, []string{"m1", "m2"}, v1.LossQuorum, "healthy masters elsewhere: 1, a majority: 2"},
		"two masters are away": {func(c *Core, cl *cluster) {
			node(c, "logs-master-0").Task.State, node(c, "logs-master-1").Task.Healthy = state.TaskUnreachable, false
			cl.lastFull.Away = cl.away()
		}, v1.VerdictFalse, everywhere, v1.LossQuorum, ""},
		"shards are lost as it is": {func(_ *Core, cl *cluster) {
			cl.lastFull.AtRisk, cl.lastFull.AtRiskTotal = []observe.AtRisk{{Index: "old", Shards: []int{0}, ShardCount: 1, Unknown: true, Reason: "CLUSTER_RECOVERED"}}, 1
		}, v1.VerdictUnknown, everywhere, v1.LossAlready, "index old, shard 0: where its copies are is not known (CLUSTER_RECOVERED)"},
		"never told": {func(_ *Core, cl *cluster) { cl.lastFull = observe.Observation{} },
			v1.VerdictUnknown, everywhere, v1.LossUnseen, "has not said yet"},
		"told long ago": {func(_ *Core, cl *cluster) { cl.fullAsked = benchEpoch.Add(-survivalTrusted - time.Second) },
			v1.VerdictUnknown, everywhere, v1.LossUnseen, "was asked last at"},
		"silent": {func(_ *Core, cl *cluster) { cl.observeErr = "timeout: late" },
			v1.VerdictUnknown, everywhere, v1.LossUnseen, "does not answer now: timeout: late"},
		"its master is behind": {func(_ *Core, cl *cluster) { cl.lastFull.TimedOut = true },
			v1.VerdictUnknown, everywhere, v1.LossUnseen, "behind with its work"},
		"a data node has left since": {func(c *Core, _ *cluster) { node(c, "logs-data-0").Task.State = state.TaskUnreachable },
			v1.VerdictUnknown, everywhere, v1.LossUnseen, "other nodes are away"},
		"a node has started since": {func(c *Core, _ *cluster) { node(c, "logs-data-0").Task.Since = benchEpoch.Add(-10 * time.Second) },
			v1.VerdictUnknown, everywhere, v1.LossUnseen, "logs-data-0 has changed since"},
	} {
		t.Run(name, func(t *testing.T) {
			c, cl := spread(t)
			if k.change != nil {
				k.change(c, cl)
			}
			got, problem := c.Survives("logs")
			require.Nil(t, problem)
			require.Equal(t, k.verdict, got.Survives)
			var on []string
			for _, m := range got.Machines {
				require.Len(t, m.Clusters, 1)
				loss := m.Clusters[0]
				require.Equal(t, loss.Survives, m.Survives)
				require.Equal(t, len(loss.Reasons) == 0, loss.Survives == v1.VerdictTrue)
				for _, r := range loss.Reasons {
					require.Equal(t, k.reason, r)
					require.Contains(t, loss.Message, k.text)
					on = append(on, m.Machine)
				}
			}
			require.Equal(t, k.on, on)
		})
	}
}

// TestSurvivesCountsMachines: agents that share a machine are lost together, and the
// certificate of all clusters is theirs together.
func TestSurvivesCountsMachines(t *testing.T) {
	c, cl := spread(t)
	got, problem := c.Survives("")
	require.Nil(t, problem)
	require.Equal(t, v1.VerdictTrue, got.Survives)
	m := got.Machines[3]
	require.Equal(t, "m3", m.Machine)
	require.Equal(t, []string{"logs-data-0", "logs-data-1"}, m.Clusters[0].Nodes)
	require.Equal(t, v1.ClusterLoss{
		Cluster: "logs", Nodes: []string{"logs-master-0"}, Survives: v1.VerdictTrue, Reasons: []string{},
		Masters: 1, MastersElsewhere: 2, MastersNeeded: 2, ObservedAt: &cl.fullAt,
	}, got.Machines[0].Clusters[0])

	empty := newCluster(state.Cluster{Spec: v1.Cluster{Name: "shop"}})
	c.clusters["shop"] = empty
	got, problem = c.Survives("shop")
	require.Nil(t, problem)
	require.Equal(t, v1.Certificate{Survives: v1.VerdictUnknown, Machines: []v1.MachineLoss{}}, got)
	_, problem = c.Survives("none")
	require.Equal(t, 404, problem.Status)
}
